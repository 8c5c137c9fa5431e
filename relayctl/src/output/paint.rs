//! Colours, and keeping foreign text from painting on its own.

use std::fmt::Display;

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// No colours.
    pub const PLAIN: Paint = Paint { on: false };

    /// For a stream: colours if it is a terminal and `NO_COLOR` is not set (no-color.org: any value but an empty one).
    pub fn for_stream(terminal: bool) -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint { on: terminal && !refused }
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
        assert_eq!(Paint { on: true }.red("x"), "\x1b[31mx\x1b[0m");
        assert!(!Paint::for_stream(false).on);
    }

    #[test]
    fn foreign_text_moves_no_cursor() {
        assert_eq!(clean("a\tb\nc\x1b[2J\u{9b}é\r"), "a\tb\nc\\x1b[2J\\u{9b}é\\x0d");
    }
}
