//! Tokens to a checked [`Expr`]. Python's precedence, as in Salt: `not` binds tighter than `and`, that tighter than `or`.
//!
//! ```text
//! any  = all { "or" all }
//! all  = one { ( "and" one | "not" one ) }      Salt: an `and` may be left out before `not`
//! one  = "not" one | "(" any ")" | term
//! ```

use super::{
    Expr, Glob, GrainMatch, GrainRegex, GroupName, MAX_TARGET_DEPTH, MAX_TARGET_NODES, MAX_TARGET_REGEXES,
    RangeSet, Regex, Subnet, TargetError, check_length,
    error::Problem,
    grain, lexer,
    lexer::{Term, Token, Word},
    list_items, size,
};

/// What may begin an expression, for messages.
const A_TERM: &str = "a glob on ids, L@id,id, G@key:glob, 'not' or '('";
const AN_OPERATOR: &str = "'and', 'or' or the end (put a pattern that holds spaces in double quotes)";
const AN_OPERATOR_OR_CLOSE: &str = "'and', 'or' or ')'";

/// Our own matchers, of a place in the tree.
pub(super) const PLACES: [(&str, Place); 2] = [("region:", Expr::Region), ("syndic:", Expr::Syndic)];
/// What a glob on names becomes.
type Place = fn(Glob) -> Expr;

pub(super) fn parse(text: &str) -> Result<Expr, TargetError> {
    check_length(text)?;
    let tokens = lexer::lex(text)?;
    let mut parser = Parser { text, tokens: &tokens, nodes: 0, depth: 0, regexes: 0 };
    let expr = parser.any()?;
    match parser.tokens.first() {
        None => Ok(expr),
        Some(token) => Err(parser.unexpected(Some(token), AN_OPERATOR)),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// What is not read yet.
    tokens: &'a [Token],
    nodes: usize,
    depth: usize,
    /// How many regular expressions are compiled.
    regexes: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Expr, TargetError> {
        let mut parts = vec![self.all()?];
        while self.peek() == Some(&Word::Or) {
            self.take();
            parts.push(self.all()?);
        }
        self.joined(parts, Expr::Or)
    }

    fn all(&mut self) -> Result<Expr, TargetError> {
        let mut parts = vec![self.one()?];
        while let Some(Word::And | Word::Not) = self.peek() {
            if self.peek() == Some(&Word::And) {
                self.take();
            }
            parts.push(self.one()?);
        }
        self.joined(parts, Expr::And)
    }

    fn one(&mut self) -> Result<Expr, TargetError> {
        let token = self.take();
        match token.map(|t| &t.word) {
            Some(Word::Not) => {
                let inner = self.deeper(token, Self::one)?;
                self.count(token)?;
                Ok(Expr::Not(Box::new(inner)))
            }
            Some(Word::Open) => self.deeper(token, Self::group),
            Some(Word::Term(term)) => {
                self.count(token)?;
                self.term(token.map_or(0, |t| t.at), term)
            }
            _ => Err(self.unexpected(token, A_TERM)),
        }
    }

    fn group(&mut self) -> Result<Expr, TargetError> {
        let inner = self.any()?;
        match self.take() {
            Some(Token { word: Word::Close, .. }) => Ok(inner),
            other => Err(self.unexpected(other, AN_OPERATOR_OR_CLOSE)),
        }
    }

    fn term(&mut self, at: usize, term: &Term) -> Result<Expr, TargetError> {
        let (letter, text) = (term.letter, term.pattern.as_str());
        let delimiter = term.delimiter.unwrap_or(grain::DELIMITER);
        let read = match letter {
            Some('G') => GrainMatch::new(text, delimiter).map(Expr::Grain),
            Some('P') => GrainRegex::new(text, delimiter).map(Expr::GrainRegex),
            Some('I') => GrainMatch::new(text, delimiter).map(Expr::Pillar),
            Some('J') => GrainRegex::new(text, delimiter).map(Expr::PillarRegex),
            Some('N') if term.delimiter.is_none() => GroupName::new(text).map(Expr::NodeGroup),
            Some('E') if term.delimiter.is_none() => Regex::new(text).map(Expr::Regex),
            Some('S') if term.delimiter.is_none() => Subnet::new(text).map(Expr::Subnet),
            Some('L') if term.delimiter.is_none() => list(text),
            Some(letter) => Err(no_matcher(letter, term.delimiter)),
            None => default_matcher(term),
        };
        let expr = read.map_err(|problem| {
            let place = problem.at.map_or(at, |offset| self.place(at, term, offset));
            TargetError::new(self.text, place, problem.found, problem.expected)
        })?;
        self.count_regexes(at, &expr)?;
        Ok(expr)
    }

    /// Where byte `offset` of a pattern stands in the text: after letter, delimiter and `@`, all ASCII, and with each
    /// escape in quotes one byte longer.
    fn place(&self, at: usize, term: &Term, offset: usize) -> usize {
        let letter = term.letter.map_or(0, |_| 2) + term.delimiter.map_or(0, |_| 1);
        let before = term.pattern.get(..offset).unwrap_or(&term.pattern);
        let quotes = if term.quoted { 1 + before.matches(['"', '\\']).count() } else { 0 };
        at + letter + quotes + offset
    }

    /// Before the next one is compiled, so at most one `P@` goes beyond the bound.
    fn count_regexes(&mut self, at: usize, expr: &Expr) -> Result<(), TargetError> {
        self.regexes += size::regexes(expr);
        if self.regexes <= MAX_TARGET_REGEXES {
            return Ok(());
        }
        let expected = format!("at most {MAX_TARGET_REGEXES}: join some with '|', or use globs");
        Err(TargetError::new(self.text, at, "too many regular expressions in one target", expected))
    }

    /// One part stands for itself; more become one node, however many there are.
    fn joined(&mut self, mut parts: Vec<Expr>, node: fn(Vec<Expr>) -> Expr) -> Result<Expr, TargetError> {
        match parts.pop() {
            Some(only) if parts.is_empty() => Ok(only),
            last => {
                self.count(self.tokens.first())?;
                parts.extend(last);
                Ok(node(parts))
            }
        }
    }

    fn deeper(
        &mut self,
        token: Option<&Token>,
        inner: fn(&mut Self) -> Result<Expr, TargetError>,
    ) -> Result<Expr, TargetError> {
        if self.depth == MAX_TARGET_DEPTH {
            return Err(
                self.bound(token, format!("at most {MAX_TARGET_DEPTH} levels of parentheses and 'not'"))
            );
        }
        self.depth += 1;
        let expr = inner(self)?;
        self.depth -= 1;
        Ok(expr)
    }

    fn count(&mut self, token: Option<&Token>) -> Result<(), TargetError> {
        self.nodes += 1;
        match self.nodes > MAX_TARGET_NODES {
            true => Err(self.bound(token, format!("at most {MAX_TARGET_NODES} terms and operators"))),
            false => Ok(()),
        }
    }

    fn bound(&self, token: Option<&Token>, expected: String) -> TargetError {
        let at = token.map_or(self.text.len(), |t| t.at);
        TargetError::new(self.text, at, "the expression is too large", expected)
    }

    fn unexpected(&self, token: Option<&Token>, expected: &str) -> TargetError {
        let found = match token.map(|t| &t.word) {
            None if self.text.trim().is_empty() => "nothing is there".into(),
            None => "the text ends".into(),
            Some(Word::Open) => "'('".into(),
            Some(Word::Close) => "')'".into(),
            Some(Word::And) => "'and'".into(),
            Some(Word::Or) => "'or'".into(),
            Some(Word::Not) => "'not'".into(),
            Some(Word::Term(term)) => format!("another term, {:?}", term.pattern),
        };
        TargetError::new(self.text, token.map_or(self.text.len(), |t| t.at), found, expected)
    }

    fn peek(&self) -> Option<&'a Word> {
        self.tokens.first().map(|t| &t.word)
    }

    fn take(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }
}

fn list(text: &str) -> Result<Expr, Problem> {
    let ids: Vec<String> = list_items(text).collect();
    match ids.is_empty() {
        true => Err(Problem::new("L@ without an id", "minion ids separated by commas: L@web01,db3")),
        false => Ok(Expr::List(ids)),
    }
}

/// A term without a letter: in quotes a glob, else perhaps a place in the tree or a range set.
fn default_matcher(term: &Term) -> Result<Expr, Problem> {
    let text = term.pattern.as_str();
    let place = PLACES.iter().find_map(|(own, expr)| Some((own, text.strip_prefix(own)?, expr)));
    match (place, RangeSet::read(text)) {
        _ if text.is_empty() => Err(Problem::new("an empty glob", A_TERM)),
        _ if term.quoted => Ok(Expr::Glob(Glob::new(text))),
        (Some((own, "", _)), _) => {
            Err(Problem::new(format!("{own} without a name"), format!("a glob on names: {own}aws*")))
        }
        (Some((_, name, expr)), _) => Ok(expr(Glob::new(name))),
        (None, Some(range)) => range.map(Expr::Range),
        (None, None) => Ok(Expr::Glob(Glob::new(text))),
    }
}

/// The letters that are matchers.
const HERE: [char; 8] = ['E', 'G', 'I', 'J', 'L', 'N', 'P', 'S'];

/// Why a letter is no matcher.
fn no_matcher(letter: char, delimiter: Option<char>) -> Problem {
    match letter {
        'R' => Problem::new(
            "R@ asks a range server, and there is none here",
            "a range set such as 'web[001-120,200]', a node group (N@name) of the topology, or L@id,id",
        ),
        _ => Problem::new(no_such_matcher(letter, delimiter), A_TERM),
    }
}

fn no_such_matcher(letter: char, delimiter: Option<char>) -> String {
    let upper = letter.to_ascii_uppercase();
    match (letter, delimiter) {
        ('L', Some(delimiter)) => format!("L{delimiter}@: a list takes no delimiter"),
        ('E', Some(delimiter)) => format!("E{delimiter}@: a regular expression on ids takes no delimiter"),
        ('S', Some(delimiter)) => format!("S{delimiter}@: an address takes no delimiter"),
        ('N', Some(delimiter)) => format!("N{delimiter}@: a node group takes no delimiter"),
        _ if upper != letter && HERE.contains(&upper) => {
            format!("there is no matcher {letter}@ (matchers are capitals: {upper}@)")
        }
        _ => format!("there is no matcher {letter}@"),
    }
}
