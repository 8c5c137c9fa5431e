//! YAML text to a tree with positions. One document; no anchors, aliases, tags or merge keys, which no configuration
//! file here needs and which make a file mean what it does not show (and a small file a large tree).

use granit_parser::{Event, Parser, ScalarStyle, Span};
use relay_core::document::{At, Kind, Node, Position, Problem};

/// How deep a document may be nested. The deepest file of ours has six levels.
const MAX_DEPTH: usize = 32;

/// Parses a document. The first error of syntax ends it, since nothing after it can be trusted.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut events = Events { parser: Parser::new_from_str(text), depth: 0 };
    loop {
        match events.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd, at) => {
                return Err(Problem::error(at, "the file is empty", "see deploy/examples"));
            }
            (event, at) => {
                let root = events.node(event, at)?;
                events.end()?;
                return Ok(root);
            }
        }
    }
}

struct Events<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    depth: usize,
}

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Position), Problem> {
        loop {
            return match self.parser.next_event() {
                None => Ok((Event::StreamEnd, Position { line: 1, column: 1 })),
                Some(Ok((event, span))) => match event.is_node() || ends(&event) {
                    true => Ok((event, place(&span))),
                    false => continue,
                },
                Some(Err(error)) => {
                    let at = position(error.marker().line(), error.marker().col());
                    Err(Problem::error(at, format!("not YAML: {}", error.info()), "correct the line"))
                }
            };
        }
    }

    fn node(&mut self, event: Event<'t>, at: Position) -> Result<Node, Problem> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Problem::error(at, format!("nested deeper than {MAX_DEPTH} levels"), "flatten it"));
        }
        let kind = match event {
            Event::Scalar(text, style, 0, None) => {
                Kind::Scalar { text: text.into_owned(), quoted: style != ScalarStyle::Plain }
            }
            Event::SequenceStart(_, 0, None) => Kind::List(self.list()?),
            Event::MappingStart(_, 0, None) => Kind::Map(self.map()?),
            _ => {
                let what = "anchors (&), aliases (*) and tags (!) are not read in configuration files";
                return Err(Problem::error(at, what, "write the value out, or put it in quotes"));
            }
        };
        self.depth -= 1;
        Ok(Node { at, kind })
    }

    fn list(&mut self) -> Result<Vec<Node>, Problem> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(nodes),
                (event, at) => nodes.push(self.node(event, at)?),
            }
        }
    }

    fn map(&mut self) -> Result<Vec<(At<String>, Node)>, Problem> {
        let mut entries = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                return Ok(entries);
            }
            let key = self.node(event, at)?;
            let Kind::Scalar { text, .. } = key.kind else {
                return Err(Problem::error(at, "a key has to be a word", "write \"key: value\""));
            };
            let (event, value_at) = self.next()?;
            entries.push((At { value: text, at }, self.node(event, value_at)?));
        }
    }

    fn end(&mut self) -> Result<(), Problem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd, _) => {}
                (_, at) => {
                    return Err(Problem::error(at, "a second document starts here", "use one file for each"));
                }
            }
        }
    }
}

/// The events that close something; the others that are no nodes (comments, starts) say nothing here.
fn ends(event: &Event<'_>) -> bool {
    matches!(event, Event::SequenceEnd | Event::MappingEnd | Event::DocumentEnd | Event::StreamEnd)
}

fn place(span: &Span) -> Position {
    position(span.start.line(), span.start.col())
}

/// The parser counts lines from 1 and columns from 0.
fn position(line: usize, column: usize) -> Position {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: small(line.max(1)), column: small(column + 1) }
}
