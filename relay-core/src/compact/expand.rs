//! Compact form back to ids, with bounds: `[0-999999999999]` is short to write and must not fill the memory.

use super::{MAX_DIGITS, digits};

/// Most ids that one text may expand to: ten times the largest fleet.
pub const MAX_EXPANDED_IDS: usize = 1_000_000;
/// Most bytes of all ids together: a long name around a long range is no way past the other bound.
pub const MAX_EXPANDED_BYTES: usize = 128 << 20;

/// Why a text is no compact form. Columns count characters, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// Something stands where it may not.
    #[error("compact ids, column {column}: {found}; expected {expected}")]
    Syntax {
        /// Where.
        column: usize,
        /// What is there.
        found: String,
        /// What could be there.
        expected: &'static str,
    },
    /// More than [`MAX_EXPANDED_IDS`] ids or [`MAX_EXPANDED_BYTES`] bytes.
    #[error(
        "compact ids: more than {MAX_EXPANDED_IDS} ids or {MAX_EXPANDED_BYTES} bytes: write smaller ranges"
    )]
    TooMany,
}

/// The ids of a compact form, in its order. The empty text has none.
///
/// # Errors
/// The text is not in compact form, or there are too many ids in it.
pub fn expand(text: &str) -> Result<Vec<String>, ExpandError> {
    let mut reader = Reader { text, at: 0, ids: Vec::new(), bytes: 0 };
    while reader.at < text.len() {
        reader.piece()?;
    }
    Ok(reader.ids)
}

/// What stands inside brackets: from a number to a number, both as written.
type Range<'a> = (&'a str, &'a str);

struct Reader<'a> {
    text: &'a str,
    at: usize,
    ids: Vec<String>,
    bytes: usize,
}

impl<'a> Reader<'a> {
    /// One piece and the comma after it.
    fn piece(&mut self) -> Result<(), ExpandError> {
        let before = self.plain()?;
        let ranges = if self.skip('[') { Some(self.ranges()?) } else { None };
        let after = if ranges.is_some() { self.plain()? } else { String::new() };
        if ranges.is_none() && before.is_empty() {
            return Err(self.unexpected("an id ('[]' is the empty one)"));
        }
        for (first, last) in ranges.unwrap_or_else(|| vec![("", "")]) {
            self.emit(&before, first, last, &after)?;
        }
        if self.at == self.text.len() {
            return Ok(());
        }
        match self.skip(',') && self.at < self.text.len() {
            true => Ok(()),
            false => Err(self.unexpected("',' and another id, or the end")),
        }
    }

    /// Characters of an id, up to one that means something.
    fn plain(&mut self) -> Result<String, ExpandError> {
        let mut out = String::new();
        while let Some(c) = self.peek() {
            match c {
                '[' | ']' | ',' => break,
                '\\' => {
                    self.at += 1;
                    match self.peek() {
                        Some(c @ ('[' | ']' | ',' | '\\')) => out.push(c),
                        _ => return Err(self.unexpected("'[', ']', ',' or '\\' after '\\'")),
                    }
                }
                c => out.push(c),
            }
            self.at += self.peek().map_or(0, char::len_utf8);
        }
        Ok(out)
    }

    /// What stands between `[` and `]`.
    fn ranges(&mut self) -> Result<Vec<Range<'a>>, ExpandError> {
        if self.skip(']') {
            return Ok(vec![("", "")]);
        }
        let mut ranges = Vec::new();
        loop {
            let first = self.number()?;
            let last = if self.skip('-') { self.number()? } else { first };
            ranges.push((first, last));
            if self.skip(']') {
                return Ok(ranges);
            }
            if !self.skip(',') {
                return Err(self.unexpected("',', '-' or ']'"));
            }
        }
    }

    fn number(&mut self) -> Result<&'a str, ExpandError> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if end == 0 || end > MAX_DIGITS {
            return Err(self.unexpected("a number of at most 18 digits"));
        }
        self.at += end;
        Ok(&rest[..end])
    }

    /// All ids of one range, once it is sure that they fit.
    fn emit(&mut self, before: &str, first: &str, last: &str, after: &str) -> Result<(), ExpandError> {
        if first.is_empty() {
            self.account(1, before.len() + after.len())?;
            self.ids.push(format!("{before}{after}"));
            return Ok(());
        }
        let (from, to): (u64, u64) = match (first.parse(), last.parse()) {
            (Ok(from), Ok(to)) if from <= to => (from, to),
            _ => return Err(self.unexpected("ranges that go up, such as 001-120")),
        };
        self.account(
            (to - from).saturating_add(1) as usize,
            before.len() + first.len().max(last.len()) + after.len(),
        )?;
        self.ids.extend((from..=to).map(|value| format!("{before}{}{after}", digits((value, first.len())))));
        Ok(())
    }

    fn account(&mut self, count: usize, each: usize) -> Result<(), ExpandError> {
        self.bytes = self.bytes.saturating_add(count.saturating_mul(each));
        match self.ids.len().saturating_add(count) > MAX_EXPANDED_IDS || self.bytes > MAX_EXPANDED_BYTES {
            true => Err(ExpandError::TooMany),
            false => Ok(()),
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    fn unexpected(&self, expected: &'static str) -> ExpandError {
        let found = self.peek().map_or("the end".into(), |c| format!("{c:?}"));
        ExpandError::Syntax { column: self.text[..self.at].chars().count() + 1, found, expected }
    }
}
