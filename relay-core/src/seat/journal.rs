//! The journal's meaning: what its records say after a restart, what it may forget, and what forgetting costs.

use super::{Entry, JournalRecord, RETAIN, Seat, State};
use crate::{
    ids::{Epoch, Jid},
    time::Millis,
};

/// Entries forgotten in one turn: the records of so many fit one write.
const FORGOTTEN_AT_ONCE: usize = 1_024;

impl Seat {
    pub(super) fn replay(&mut self, now: Millis, record: JournalRecord) {
        let forget_after = now + RETAIN;
        match record {
            JournalRecord::Intent { jid, digest, run } => {
                let state = State::Running { since: now, told: false };
                let entry = Entry { digest: Some(digest), epoch: Epoch(0), run, forget_after, state };
                self.entries.insert(jid, entry);
            }
            JournalRecord::End { jid, answer } => {
                let state = State::Ended { answer, acked: false };
                let bare =
                    Entry { digest: None, epoch: Epoch(0), run: 0, forget_after, state: state.clone() };
                self.entries.entry(jid).or_insert(bare).state = state;
                self.outbox.insert(jid);
            }
            JournalRecord::Acked { jid } => {
                self.outbox.remove(&jid);
                if let Some(Entry { state: State::Ended { acked, .. }, .. }) = self.entries.get_mut(&jid) {
                    *acked = true;
                }
                self.keep(jid);
            }
            JournalRecord::Forget { jid } => {
                self.outbox.remove(&jid);
                self.forget_entry(jid);
            }
        }
    }

    /// The records that say the same as the journal will once everything asked for so far is written: for compaction.
    pub fn live_records(&self) -> Vec<JournalRecord> {
        let forgotten = self.forgotten.map(|jid| JournalRecord::Forget { jid });
        let mut records: Vec<JournalRecord> = forgotten.into_iter().collect();
        for (&jid, entry) in &self.entries {
            records.extend(entry.digest.map(|digest| JournalRecord::Intent { jid, digest, run: entry.run }));
            if let State::Ended { answer, .. } | State::Ending(answer) = &entry.state {
                records.push(JournalRecord::End { jid, answer: answer.clone() });
            }
            let acked = matches!(entry.state, State::Ended { acked: true, .. });
            records.extend(acked.then_some(JournalRecord::Acked { jid }));
        }
        records
    }

    pub(super) fn forget_entry(&mut self, jid: Jid) {
        self.entries.remove(&jid);
        self.forgotten = self.forgotten.max(Some(jid));
        self.kept_bytes -= self.kept.remove(&jid).unwrap_or_default();
    }

    pub(super) fn forget(&mut self, now: Millis) {
        let over = |e: &Entry| matches!(e.state, State::Ended { acked: true, .. }) && e.forget_after <= now;
        let old: Vec<Jid> = self
            .entries
            .iter()
            .filter(|(_, e)| over(e))
            .map(|(jid, _)| *jid)
            .take(FORGOTTEN_AT_ONCE)
            .collect();
        if !old.is_empty() {
            old.iter().for_each(|jid| self.forget_entry(*jid));
            self.persist(
                old.into_iter().map(|jid| JournalRecord::Forget { jid }).collect(),
                Vec::new(),
                false,
            );
        }
    }

    /// Asked about such a job, the minion keeps silent: "never started" would be a guess.
    pub(super) fn may_have_forgotten(&self, jid: Jid) -> bool {
        self.forgotten.is_some_and(|newest| jid <= newest)
    }
}
