//! How values are read from columns; what does not come back whole is damage, with the row it is in.

use std::{borrow::Cow, collections::BTreeMap};

use relay_core::{Members, outcome::Outcome};
use tokio_postgres::{Row, types::FromSqlOwned};

use super::{
    super::{StoreError, value::counts_from_text},
    session::Trouble,
};

/// Stands for itself and for the zero byte, which PostgreSQL's texts can't have.
const ESCAPE: char = '\u{1}';

/// A text from elsewhere as it is stored. The order of texts stays.
pub(super) fn text_column(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => stored.extend([ESCAPE, '0']),
            ESCAPE => stored.extend([ESCAPE, '1']),
            other => stored.push(other),
        }
    }
    Cow::Owned(stored)
}

pub(super) fn text_back(stored: String) -> Result<String, &'static str> {
    if !stored.contains(ESCAPE) {
        return Ok(stored);
    }
    let (mut text, mut chars) = (String::with_capacity(stored.len()), stored.chars());
    while let Some(c) = chars.next() {
        text.push(match (c, c == ESCAPE) {
            (other, false) => other,
            _ => match chars.next() {
                Some('0') => '\0',
                Some('1') => ESCAPE,
                _ => return Err("an escape of nothing"),
            },
        });
    }
    Ok(text)
}

/// Reads the columns of one row, and knows which row that is.
pub(super) struct Columns<'a> {
    row: &'a Row,
    what: &'static str,
    name: &'a dyn std::fmt::Display,
}

impl<'a> Columns<'a> {
    /// The row of table `what` that belongs to `name`.
    pub(super) fn of(row: &'a Row, what: &'static str, name: &'a dyn std::fmt::Display) -> Columns<'a> {
        Columns { row, what, name }
    }

    pub(super) fn damaged(&self, why: impl std::fmt::Display) -> Trouble {
        let row = format!("{} of {}", self.what, self.name);
        Trouble::Store(StoreError::Damaged { row, why: why.to_string() })
    }

    pub(super) fn get<T: FromSqlOwned>(&self, column: &'static str) -> Result<T, Trouble> {
        self.row.try_get(column).map_err(|e| self.damaged(e))
    }

    pub(super) fn bits(&self, column: &'static str) -> Result<u64, Trouble> {
        self.get::<i64>(column).map(|n| n as u64)
    }

    pub(super) fn moment(&self, column: &'static str) -> Result<Option<u64>, Trouble> {
        Ok(self.get::<Option<i64>>(column)?.map(|at| at as u64))
    }

    pub(super) fn small(&self, column: &'static str) -> Result<u32, Trouble> {
        let number = self.get::<i64>(column)?;
        u32::try_from(number).map_err(|e| self.damaged(format_args!("{column}: {number}: {e}")))
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, Trouble> {
        text_back(self.get(column)?).map_err(|e| self.damaged(format_args!("{column}: {e}")))
    }

    pub(super) fn bytes<const N: usize>(&self, column: &'static str) -> Result<[u8; N], Trouble> {
        let bytes: Vec<u8> = self.get(column)?;
        let wrong = |b: Vec<u8>| self.damaged(format_args!("{column}: {} bytes, not {N}", b.len()));
        bytes.try_into().map_err(wrong)
    }

    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        column: &'static str,
    ) -> Result<T, Trouble> {
        self.text(column)?.parse().map_err(|e| self.damaged(format_args!("{column}: {e}")))
    }

    pub(super) fn word<T>(&self, column: &'static str, from: fn(&str) -> Option<T>) -> Result<T, Trouble> {
        let word: String = self.get(column)?;
        from(&word).ok_or_else(|| self.damaged(format_args!("{column}: {word:?}")))
    }

    pub(super) fn set(&self, column: &'static str) -> Result<Members, Trouble> {
        let blob: Vec<u8> = self.get(column)?;
        Members::deserialize_from(&blob[..]).map_err(|e| self.damaged(format_args!("{column}: {e}")))
    }

    pub(super) fn counts(&self, column: &'static str) -> Result<BTreeMap<Outcome, u64>, Trouble> {
        let text: String = self.get(column)?;
        counts_from_text(&text).map_err(|e| self.damaged(format_args!("{column}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_come_back_and_keep_their_order(a in "[\0\u{1}\u{2}0-2]{0,6}", b in "[\0\u{1}\u{2}0-2]{0,6}") {
            let (stored_a, stored_b) = (text_column(&a).into_owned(), text_column(&b).into_owned());
            prop_assert!(!stored_a.contains('\0'));
            prop_assert_eq!(stored_a.cmp(&stored_b), a.cmp(&b));
            prop_assert_eq!(text_back(stored_a), Ok(a));
        }
    }

    #[test]
    fn half_an_escape_is_damage() {
        for text in ["\u{1}", "a\u{1}2"] {
            assert!(text_back(text.into()).is_err());
        }
    }
}
