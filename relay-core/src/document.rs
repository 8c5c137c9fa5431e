//! A file a person wrote, as a tree with positions, and the problems found in it.
//!
//! The YAML parser (`relay_runtime::config`) makes the tree; [`fields`] takes it apart. Values stay text until somebody
//! who knows what he expects reads them: so `region: no` is a region and no boolean, and a wrong type is reported in
//! the words of the key it stands under.

pub mod fields;
pub mod read;

pub use fields::Fields;

use std::{cell::RefCell, fmt};

/// A place in a file. Both count from 1, as editors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing starts with it.
    Error,
    /// Works, but somebody should know.
    Warning,
}

/// One thing that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file; nothing if it is not about a place in it.
    pub at: Option<Position>,
    /// Whether it stops anything.
    pub severity: Severity,
    /// What happened.
    pub what: String,
    /// What to do next.
    pub hint: String,
}

impl Problem {
    /// An error at a place.
    pub fn error(at: Position, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem { at: Some(at), severity: Severity::Error, what: what.into(), hint: hint.into() }
    }
    /// A warning at a place.
    pub fn warning(at: Position, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(at, what, hint) }
    }
    /// An error that no place in the file causes (a port in use).
    pub fn anywhere(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem { at: None, severity: Severity::Error, what: what.into(), hint: hint.into() }
    }
    /// The line a person sees: `file:line:column: what; what to do`.
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        Located { file, problem: self }
    }
}

struct Located<'a> {
    file: &'a str,
    problem: &'a Problem,
}

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Located { file, problem } = self;
        match problem.at {
            Some(at) => write!(f, "{file}:{at}: ")?,
            None => write!(f, "{file}: ")?,
        }
        if problem.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        write!(f, "{}; {}", problem.what, problem.hint)
    }
}

/// Where readers put what they find. Shared, so that one bad value stops nobody from reading the next.
#[derive(Debug, Default)]
pub struct Sink(RefCell<Vec<Problem>>);

impl Sink {
    /// Notes a problem.
    pub fn note(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }
    /// Notes an error at a place, and answers nothing: for the tail of a reader.
    pub fn refuse<T>(&self, at: Position, what: impl Into<String>, hint: impl Into<String>) -> Option<T> {
        self.note(Problem::error(at, what, hint));
        None
    }
    /// Ends reading: the value if there was no error (with the warnings), else every problem; sorted by position.
    pub fn conclude<T>(self, value: Option<T>) -> Result<(T, Vec<Problem>), Vec<Problem>> {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(|p| p.at);
        problems.dedup();
        let broken = problems.iter().any(|p| p.severity == Severity::Error);
        match value {
            Some(value) if !broken => Ok((value, problems)),
            _ => Err(problems),
        }
    }
}

/// A value with the place it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Position,
}

/// A piece of a document, with the place it starts at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it starts.
    pub at: Position,
    /// What it is.
    pub kind: Kind,
}

/// What a piece of a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A single value, as written. Which type it has depends on who asks.
    Scalar {
        /// The text, without quotes.
        text: String,
        /// Whether it was in quotes (or a block): then it is text and never empty, a number or a boolean.
        quoted: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the file; a key may stand there twice, which [`Fields`] reports.
    Map(Vec<(At<String>, Node)>),
}

impl Node {
    /// Whether nothing was written (`key:`, `~` or `null`).
    pub fn is_empty(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, quoted: false } if matches!(text.as_str(), "" | "~" | "null"))
    }
    /// What it is, in words, for messages.
    pub fn describe(&self) -> String {
        match &self.kind {
            _ if self.is_empty() => "nothing".into(),
            Kind::Scalar { text, .. } => format!("{:?}", text.chars().take(60).collect::<String>()),
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a map".into(),
        }
    }
}
