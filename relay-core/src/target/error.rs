//! What is wrong with a target, where, and what would be right: one sentence, the line, and a caret.

/// How much of the line is shown on either side of the caret, in characters: enough to recognise the place, and a
/// target of 4 KiB does not fill the terminal.
const SHOWN_AROUND: usize = 50;

/// Why a text is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("target, column {column}: {found}; expected {expected}\n{}", self.drawing())]
pub struct TargetError {
    /// The text, as it was given.
    pub text: String,
    /// Where, counted in characters from 1. One past the end if something is missing there.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What could stand there instead.
    pub expected: String,
}

/// What is wrong with one pattern, before it is known where in the target that stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The byte of the pattern; `None` if it is the pattern as a whole.
    pub(super) at: Option<usize>,
    pub(super) found: String,
    pub(super) expected: String,
}

impl Problem {
    /// A problem of a pattern as a whole.
    pub(super) fn new(found: impl Into<String>, expected: impl Into<String>) -> Problem {
        Problem { at: None, found: found.into(), expected: expected.into() }
    }

    /// The same in a longer pattern, of which this one is the part from byte `start`.
    pub(super) fn moved(self, start: usize) -> Problem {
        Problem { at: self.at.map(|at| at + start), ..self }
    }

    /// The error in a text that is the pattern and nothing else.
    pub(super) fn in_text(self, text: &str) -> TargetError {
        TargetError::new(text, self.at.unwrap_or(0), self.found, self.expected)
    }
}

impl TargetError {
    /// An error at byte `at` of `text`.
    pub(super) fn new(text: &str, at: usize, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let column = text.char_indices().take_while(|(i, _)| *i < at).count() + 1;
        TargetError { text: text.into(), column, found: found.into(), expected: expected.into() }
    }

    /// The part of the line around the place, and a caret under it. Control characters are shown as `?`: a target may
    /// come out of a log or a request, and must not drive the terminal.
    fn drawing(&self) -> String {
        let start = self.column.saturating_sub(SHOWN_AROUND + 1);
        let shown = self.text.chars().skip(start).take(2 * SHOWN_AROUND);
        let line: String = shown.map(|c| if c.is_control() { '?' } else { c }).collect();
        format!("  {line}\n  {caret:>width$}", caret = '^', width = self.column - start)
    }
}
