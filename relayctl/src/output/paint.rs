//! Colours, and keeping foreign text from painting on its own.

use std::{ffi::OsStr, fmt::Display};

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// No colours.
    pub const PLAIN: Paint = Paint { on: false };
    /// Colours, whatever reads them (`--force-color`).
    pub const ON: Paint = Paint { on: true };

    /// For a stream: colours if it is a terminal that has them and `NO_COLOR` is not set.
    pub fn for_stream(terminal: bool) -> Paint {
        Paint::allowed(terminal, std::env::var_os("NO_COLOR").as_deref(), std::env::var_os("TERM").as_deref())
    }

    /// no-color.org: any value but an empty one refuses colours. A terminal called "dumb" would print the codes.
    fn allowed(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Paint {
        let refused = no_color.is_some_and(|value| !value.is_empty());
        Paint { on: terminal && !refused && term.is_none_or(|term| term != "dumb") }
    }

    /// What went well.
    pub fn green(&self, text: impl Display) -> String {
        self.with("32", text)
    }
    /// What failed.
    pub fn red(&self, text: impl Display) -> String {
        self.with("31", text)
    }
    /// What nobody knows, or was not started.
    pub fn yellow(&self, text: impl Display) -> String {
        self.with("33", text)
    }
    /// Structure: keys, headings.
    pub fn cyan(&self, text: impl Display) -> String {
        self.with("36", text)
    }

    fn with(&self, code: &str, text: impl Display) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Text from elsewhere, safe for a terminal: control characters (an escape could rewrite the screen, or a window's
/// title) are shown as `\x1b`. Tabs and line ends stay.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() && c.is_ascii() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_plain() {
        assert_eq!(Paint::PLAIN.red("x"), "x");
        assert_eq!(Paint::ON.red("x"), "\x1b[31mx\x1b[0m");
        assert!(!Paint::for_stream(false).on);
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let on = |terminal, no_color: Option<&str>, term: Option<&str>| {
            Paint::allowed(terminal, no_color.map(OsStr::new), term.map(OsStr::new)).on
        };
        assert!(on(true, None, None) && on(true, Some(""), Some("xterm")));
        assert!(!on(true, Some("1"), Some("xterm")) && !on(true, Some("0"), None));
        assert!(!on(true, None, Some("dumb")) && !on(false, None, Some("xterm")));
    }

    #[test]
    fn foreign_text_moves_no_cursor() {
        assert_eq!(clean("a\tb\nc\x1b[2J\u{9b}é\r"), "a\tb\nc\\x1b[2J\\u{9b}é\\x0d");
    }
}
