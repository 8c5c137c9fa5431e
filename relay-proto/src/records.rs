//! Records of the syndic's spool and the minion's journal, as bytes for a record log.

use bytes::Bytes;
use prost::Message;
use relay_core::{
    Members,
    ids::{Incarnation, Jid},
    message::ReturnGroup,
    relay::SpoolRecord,
    seat::JournalRecord,
    tier::SendMark,
};

use crate::{convert, error::WireError, spool};

/// Encodes a spool record.
pub fn spool_out(record: &SpoolRecord) -> Vec<u8> {
    use spool::spool_record::Record;
    let record = match record {
        SpoolRecord::Member { no, id, incarnation } => {
            Record::Member(spool::Member { no: *no, id: id.to_string(), incarnation: incarnation.0 })
        }
        SpoolRecord::Sent(mark) => Record::Sent(spool::SendMark {
            jid: mark.jid.micros(),
            via: mark.via.0,
            members: convert::members_out(&mark.members),
        }),
        SpoolRecord::Batch { parent, batch } => {
            Record::Batch(spool::Batch { parent: *parent as u32, returns: Some(convert::returns_out(batch)) })
        }
        SpoolRecord::Acked { parent, up_to } => {
            Record::Acked(spool::BatchAcked { parent: *parent as u32, up_to: *up_to })
        }
        SpoolRecord::Forget { jid } => Record::Forget(jid.micros()),
    };
    spool::SpoolRecord { record: Some(record) }.encode_to_vec()
}

/// Decodes a spool record.
pub fn spool_in(bytes: Bytes) -> Result<SpoolRecord, WireError> {
    use spool::spool_record::Record;
    let record = spool::SpoolRecord::decode(bytes).map_err(|e| WireError::Decode(e.to_string()))?;
    Ok(match record.record.ok_or(WireError::Empty)? {
        Record::Member(m) => {
            let id = m.id.parse().map_err(|e| WireError::field("id", e))?;
            SpoolRecord::Member { no: m.no, id, incarnation: Incarnation(m.incarnation) }
        }
        Record::Sent(mark) => SpoolRecord::Sent(SendMark {
            jid: Jid::from_micros(mark.jid),
            via: Incarnation(mark.via),
            members: convert::members_in(&mark.members)?,
        }),
        Record::Batch(batch) => {
            let returns = batch.returns.ok_or(WireError::Empty)?;
            SpoolRecord::Batch { parent: batch.parent as usize, batch: convert::returns_in(returns)? }
        }
        Record::Acked(acked) => SpoolRecord::Acked { parent: acked.parent as usize, up_to: acked.up_to },
        Record::Forget(jid) => SpoolRecord::Forget { jid: Jid::from_micros(jid) },
    })
}

/// Encodes a journal record.
pub fn journal_out(record: &JournalRecord) -> Vec<u8> {
    use spool::journal_record::Record;
    let record = match record {
        JournalRecord::Intent { jid, digest, run } => {
            Record::Intent(spool::Intent { jid: jid.micros(), digest: digest.to_vec(), run: *run })
        }
        JournalRecord::End { jid, answer } => {
            let members = Members::from_iter([0]);
            Record::End(convert::group_out(&ReturnGroup { jid: *jid, answer: answer.clone(), members }))
        }
        JournalRecord::Acked { jid } => Record::Acked(jid.micros()),
        JournalRecord::Forget { jid } => Record::Forget(jid.micros()),
    };
    spool::JournalRecord { record: Some(record) }.encode_to_vec()
}

/// Decodes a journal record.
pub fn journal_in(bytes: Bytes) -> Result<JournalRecord, WireError> {
    use spool::journal_record::Record;
    let record = spool::JournalRecord::decode(bytes).map_err(|e| WireError::Decode(e.to_string()))?;
    Ok(match record.record.ok_or(WireError::Empty)? {
        Record::Intent(intent) => {
            let digest = intent
                .digest
                .as_slice()
                .try_into()
                .map_err(|_| WireError::field("digest", "not 32 bytes"))?;
            JournalRecord::Intent { jid: Jid::from_micros(intent.jid), digest, run: intent.run }
        }
        Record::End(end) => {
            let group = convert::group_in(end)?;
            JournalRecord::End { jid: group.jid, answer: group.answer }
        }
        Record::Acked(jid) => JournalRecord::Acked { jid: Jid::from_micros(jid) },
        Record::Forget(jid) => JournalRecord::Forget { jid: Jid::from_micros(jid) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link;
    use relay_core::{
        message::ReturnBatch,
        outcome::{Answer, Outcome, Reason},
    };
    use std::sync::Arc;

    #[test]
    fn records_survive() {
        let jid = Jid::from_micros(5);
        let answer = Arc::new(Answer { body: "1".into(), ..Answer::bare(Outcome::Ok, Reason::None) });
        let members: Members = [0, 3].into_iter().collect();
        let groups = vec![ReturnGroup { jid, answer: answer.clone(), members: members.clone() }];
        for record in [
            SpoolRecord::Member { no: 3, id: "a.b".parse().unwrap(), incarnation: Incarnation(8) },
            SpoolRecord::Sent(SendMark { jid, via: Incarnation(2), members }),
            SpoolRecord::Batch { parent: 1, batch: ReturnBatch { seq: 4, groups } },
            SpoolRecord::Acked { parent: 1, up_to: 4 },
            SpoolRecord::Forget { jid },
        ] {
            assert_eq!(spool_in(spool_out(&record).into()).unwrap(), record);
        }
        for record in [
            JournalRecord::Intent { jid, digest: [4; 32], run: 9 },
            JournalRecord::End { jid, answer },
            JournalRecord::Acked { jid },
            JournalRecord::Forget { jid },
        ] {
            assert_eq!(journal_in(journal_out(&record).into()).unwrap(), record);
        }
        let short = link::ReturnGroup { outcome: 1, same_body: 1, ..Default::default() };
        let returns = Some(link::Returns { seq: 4, groups: vec![short.clone()] });
        let batch = spool::spool_record::Record::Batch(spool::Batch { parent: 0, returns });
        let batch = spool::SpoolRecord { record: Some(batch) }.encode_to_vec();
        let end = spool::JournalRecord { record: Some(spool::journal_record::Record::End(short)) };
        for refused in [spool_in(batch.into()).err(), journal_in(end.encode_to_vec().into()).err()] {
            let refused = refused.expect("a file refers to no connection").to_string();
            assert!(refused.starts_with("same_body"), "{refused}");
        }
        assert!(spool_in(Bytes::new()).is_err());
        assert!(journal_in(Bytes::from_static(b"\xff")).is_err());
    }
}
