//! How values stand in columns, both ways; what does not come back whole is damage, with the row it is in.

use std::collections::BTreeMap;

use relay_core::{Members, outcome::Outcome};
use rusqlite::{Row, types::FromSql};

use super::super::{StoreError, value::counts_from_text};

/// Reads the columns of one row, and knows which row that is.
pub(super) struct Columns<'a> {
    row: &'a Row<'a>,
    what: &'static str,
    name: &'a dyn std::fmt::Display,
}

impl<'a> Columns<'a> {
    /// The row of table `what` that belongs to `name`.
    pub(super) fn of(row: &'a Row<'a>, what: &'static str, name: &'a dyn std::fmt::Display) -> Columns<'a> {
        Columns { row, what, name }
    }

    pub(super) fn damaged(&self, why: impl std::fmt::Display) -> StoreError {
        StoreError::Damaged { row: format!("{} of {}", self.what, self.name), why: why.to_string() }
    }

    pub(super) fn get<T: FromSql>(&self, column: &'static str) -> Result<T, StoreError> {
        self.row.get(column).map_err(|e| self.damaged(e))
    }

    pub(super) fn bits(&self, column: &'static str) -> Result<u64, StoreError> {
        self.get::<i64>(column).map(|n| n as u64)
    }

    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.get::<String>(column)?.parse().map_err(|e| self.damaged(format_args!("{column}: {e}")))
    }

    pub(super) fn word<T>(&self, column: &'static str, from: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let word: String = self.get(column)?;
        from(&word).ok_or_else(|| self.damaged(format_args!("{column}: {word:?}")))
    }

    pub(super) fn set(&self, column: &'static str) -> Result<Members, StoreError> {
        let blob: Vec<u8> = self.get(column)?;
        Members::deserialize_from(&blob[..]).map_err(|e| self.damaged(format_args!("{column}: {e}")))
    }

    pub(super) fn counts(&self, column: &'static str) -> Result<BTreeMap<Outcome, u64>, StoreError> {
        let text: String = self.get(column)?;
        counts_from_text(&text).map_err(|e| self.damaged(format_args!("{column}: {e}")))
    }
}
