//! How values stand in a database, whichever it is.

use std::collections::BTreeMap;

use relay_core::{
    ids::{Epoch, Jid, RequestId},
    outcome::Outcome,
    owner::{Write, WriteError},
};

use super::MAX_READ_BODY_BYTES;

/// A set's column.
pub(super) use relay_core::members::encode as set_to_blob;

/// 64 bits without sign, as the signed number that databases have.
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

/// Counts as people read them in the database.
pub(super) fn counts_to_text(counts: &BTreeMap<Outcome, u64>) -> String {
    let named: serde_json::Map<_, _> =
        counts.iter().map(|(outcome, n)| (outcome.word().to_owned(), (*n).into())).collect();
    serde_json::Value::Object(named).to_string()
}

/// Reads [`counts_to_text`] again. The error says what is wrong.
pub(super) fn counts_from_text(text: &str) -> Result<BTreeMap<Outcome, u64>, String> {
    let named: BTreeMap<String, u64> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let one = |(word, n): (String, u64)| {
        let outcome = Outcome::from_word(&word);
        outcome.map(|o| (o, n)).ok_or_else(|| format!("{word:?}"))
    };
    named.into_iter().map(one).collect()
}

/// Bodies that may still be read. Once one did not fit, none does: what is left out is then one range of numbers.
pub(super) struct Budget(usize);

impl Budget {
    /// A read's.
    pub(super) fn of_a_read() -> Budget {
        Budget(MAX_READ_BODY_BYTES)
    }

    /// Whether so many fit still.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// Bytes as people write them.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Invariant I7: no write under an old epoch lands. `stored`: of the owner that began last; `ours`: under which this
/// process began, for writes that carry none.
pub(super) fn fence(stored: Epoch, ours: Epoch, write: &Write) -> Result<(), WriteError> {
    let carried = match write {
        Write::Minions(_) => ours,
        Write::Accept(head) => head.epoch,
        Write::Sent(_, epoch)
        | Write::Returns { epoch, .. }
        | Write::Cancel(_, epoch)
        | Write::Approve(_, epoch, _)
        | Write::Close { epoch, .. } => *epoch,
    };
    match carried.min(ours).cmp(&stored) {
        std::cmp::Ordering::Less => Err(WriteError::Fenced),
        _ if carried > stored => Err(WriteError::Failed(format!("epoch {} has not begun", carried.0))),
        _ => Ok(()),
    }
}
