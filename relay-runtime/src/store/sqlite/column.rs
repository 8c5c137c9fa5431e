//! How values stand in columns, both ways; what does not come back whole is damage, with the row it is in.

use std::collections::BTreeMap;

use relay_core::{
    Members,
    ids::{Jid, RequestId},
    outcome::Outcome,
};
use rusqlite::{Row, types::FromSql};

use super::super::StoreError;

/// A set, in roaring's portable format.
pub(super) fn set_to_blob(members: &Members) -> Vec<u8> {
    let mut blob = Vec::with_capacity(members.serialized_size());
    // Writing to memory cannot fail.
    let _ = members.serialize_into(&mut blob);
    blob
}

/// 64 bits without sign, as the signed number SQLite has.
pub(super) fn bits(number: u64) -> i64 {
    number as i64
}

/// A number that is compared with what is stored: one that no column can hold is the largest that one can.
pub(super) fn at_most(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A jid's column.
pub(super) fn jid_column(jid: Jid) -> i64 {
    bits(jid.micros())
}

/// A request id's column.
pub(super) fn request_column(id: RequestId) -> [u8; 16] {
    id.0.to_be_bytes()
}

/// Counts as people read them in the file.
pub(super) fn counts_to_text(counts: &BTreeMap<Outcome, u64>) -> String {
    let named: serde_json::Map<_, _> =
        counts.iter().map(|(outcome, n)| (outcome.word().to_owned(), (*n).into())).collect();
    serde_json::Value::Object(named).to_string()
}

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
        let named: BTreeMap<String, u64> =
            serde_json::from_str(&text).map_err(|e| self.damaged(format_args!("{column}: {e}")))?;
        let one = |(word, n): (String, u64)| {
            let outcome = Outcome::from_word(&word);
            outcome.map(|o| (o, n)).ok_or_else(|| self.damaged(format_args!("{column}: {word:?}")))
        };
        named.into_iter().map(one).collect()
    }
}
