//! Tokens to a checked [`Expr`]. Python's precedence, as in Salt: `not` binds tighter than `and`, that tighter than `or`.
//!
//! ```text
//! any  = all { "or" all }
//! all  = one { ( "and" one | "not" one ) }      Salt: an `and` may be left out before `not`
//! one  = "not" one | "(" any ")" | term
//! ```

use super::{
    Expr, Glob, GrainMatch, MAX_TARGET_DEPTH, MAX_TARGET_NODES, TargetError, check_length, grain, lexer,
    lexer::{Term, Token, Word},
    list_items,
};

/// What may begin an expression, for messages.
const A_TERM: &str = "a glob on ids, L@id,id, G@key:glob, 'not' or '('";
const AN_OPERATOR: &str = "'and', 'or' or the end (put a pattern that holds spaces in double quotes)";
const AN_OPERATOR_OR_CLOSE: &str = "'and', 'or' or ')'";

pub(super) fn parse(text: &str) -> Result<Expr, TargetError> {
    check_length(text)?;
    let tokens = lexer::lex(text)?;
    let mut parser = Parser { text, tokens: &tokens, nodes: 0, depth: 0 };
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

    fn term(&self, at: usize, term: &Term) -> Result<Expr, TargetError> {
        let wrong = |found: String, expected: String| TargetError::new(self.text, at, found, expected);
        match term.letter {
            Some('G') => GrainMatch::new(&term.pattern, term.delimiter.unwrap_or(grain::DELIMITER))
                .map(Expr::Grain)
                .map_err(|p| wrong(p.found, p.expected)),
            Some(letter) => match (unsupported(letter), term.delimiter) {
                (None, None) if letter == 'L' => self.list(at, term),
                (Some((what, instead)), _) => {
                    Err(wrong(format!("{letter}@ ({what}) is not supported yet"), instead.into()))
                }
                (None, _) => Err(wrong(no_such_matcher(letter, term.delimiter), A_TERM.into())),
            },
            None => self.glob(at, term),
        }
    }

    fn list(&self, at: usize, term: &Term) -> Result<Expr, TargetError> {
        let ids: Vec<String> = list_items(&term.pattern).collect();
        match ids.is_empty() {
            true => Err(TargetError::new(
                self.text,
                at,
                "L@ without an id",
                "minion ids separated by commas: L@web01,db3",
            )),
            false => Ok(Expr::List(ids)),
        }
    }

    fn glob(&self, at: usize, term: &Term) -> Result<Expr, TargetError> {
        let own =
            ["region:", "syndic:"].into_iter().find(|own| term.pattern.starts_with(own) && !term.quoted);
        if let Some(own) = own {
            let found = format!("{own} (our own matcher of a place in the tree) is not supported yet");
            return Err(TargetError::new(self.text, at, found, "a glob on ids, L@id,id or G@key:glob"));
        }
        match term.pattern.is_empty() {
            true => Err(TargetError::new(self.text, at, "an empty glob", A_TERM)),
            false => Ok(Expr::Glob(Glob::new(&term.pattern))),
        }
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
            Some(Word::Term(term)) => format!("another term, {:?},", term.pattern),
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

/// The matchers of Salt's table that are still to come: what they are, and what to write today.
fn unsupported(letter: char) -> Option<(&'static str, &'static str)> {
    Some(match letter {
        'E' => ("regular expression on ids", "a glob such as 'web[0-4]*', or L@id,id"),
        'P' => ("regular expression on a grain", "G@key:glob"),
        'I' => ("pillar", "G@key:glob, or a glob on ids"),
        'J' => ("regular expression on pillar", "G@key:glob, or a glob on ids"),
        'S' => ("subnet or address", "a glob on the address, G@ipv4:10.1.*"),
        'N' => ("node group", "the expression that the group stands for"),
        'R' => ("range", "a glob such as 'web[0-4]*', or L@id,id"),
        _ => return None,
    })
}

fn no_such_matcher(letter: char, delimiter: Option<char>) -> String {
    let upper = letter.to_ascii_uppercase();
    match delimiter {
        Some(delimiter) if letter == 'L' => format!("L{delimiter}@: a list takes no delimiter"),
        _ if upper != letter && (matches!(upper, 'L' | 'G') || unsupported(upper).is_some()) => {
            format!("there is no matcher {letter}@ (matchers are capitals: {upper}@)")
        }
        _ => format!("there is no matcher {letter}@"),
    }
}
