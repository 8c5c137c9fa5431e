//! I10: what watchers are told, across reconnects and a change of owner.
//!
//! A job's changes are numbered from 1 where they are kept. Each watcher must be told each of them once, in order, and with
//! just what is kept under its number.

use std::collections::BTreeMap;

use super::{Trace, Verdict, Violation, found};
use crate::ids::{Jid, MinionId};

/// Who newly has which outcome.
pub type Telling = Vec<(MinionId, Verdict)>;

/// Everything observed of watchers.
#[derive(Debug, Clone, Default)]
pub(super) struct Watching {
    /// What is kept of each job, by number.
    kept: BTreeMap<Jid, BTreeMap<u64, Telling>>,
    /// The newest change that each watcher was told.
    cursors: BTreeMap<(u64, Jid), u64>,
    breaches: Vec<String>,
}

fn sorted(mut told: Telling) -> Telling {
    told.sort_by(|a, b| a.0.cmp(&b.0));
    told
}

impl Watching {
    pub(super) fn changed(&mut self, jid: Jid, seq: u64, told: Telling) {
        if self.kept.entry(jid).or_default().insert(seq, sorted(told)).is_some() {
            self.breaches.push(format!("job {jid}: two changes have the number {seq}"));
        }
    }

    pub(super) fn watched(&mut self, watcher: u64, jid: Jid, seq: u64, told: Telling) {
        let cursor = self.cursors.entry((watcher, jid)).or_default();
        let before = std::mem::replace(cursor, seq);
        let who = || format!("watcher {watcher} of job {jid}");
        if seq != before + 1 {
            let what = if seq <= before { "again" } else { "with a gap" };
            self.breaches.push(format!("{} is told change {seq} after {before}: {what}", who()));
        }
        let kept = self.kept.get(&jid).and_then(|changes| changes.get(&seq));
        if kept != Some(&sorted(told)) {
            self.breaches.push(format!("{} is told as change {seq} what is not kept under it", who()));
        }
    }

    pub(super) fn ended(&mut self, watcher: u64, jid: Jid, seq: u64) {
        let told = self.cursors.get(&(watcher, jid)).copied().unwrap_or_default();
        if told < seq {
            let what = format!("watcher {watcher} of job {jid} is told its end after change {told} of {seq}");
            self.breaches.push(what);
        }
    }
}

/// I10: a watcher's stream has no gap and no repeat.
pub fn i10(trace: &Trace) -> Vec<Violation> {
    found("I10", trace.watching.breaches.iter().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        invariants::Observation as O,
        outcome::{Outcome, Reason},
    };

    fn told(id: &str) -> Telling {
        let verdict = Verdict { outcome: Outcome::Ok, reason: Reason::None, retcode: 0, body: None };
        vec![(id.parse().unwrap(), verdict)]
    }

    fn breaches(watched: &[(u64, &str)], end: Option<u64>) -> usize {
        let mut trace = Trace::default();
        let jid = Jid::from_micros(7);
        for (seq, id) in [(1, "a"), (2, "b"), (3, "c")] {
            trace.note(O::Changed { jid, seq, told: told(id) });
        }
        for (seq, id) in watched {
            trace.note(O::Watched { watcher: 1, jid, seq: *seq, told: told(id) });
        }
        end.into_iter().for_each(|seq| trace.note(O::WatchEnded { watcher: 1, jid, seq }));
        i10(&trace).len()
    }

    #[test]
    fn gaps_repeats_and_other_contents_are_breaches() {
        assert_eq!(breaches(&[(1, "a"), (2, "b"), (3, "c")], Some(3)), 0);
        for watched in [[(1, "a"), (3, "c")], [(1, "a"), (1, "a")], [(1, "a"), (2, "a")]] {
            assert_eq!(breaches(&watched, None), 1, "{watched:?}");
        }
        assert_eq!(breaches(&[(2, "b")], None), 1, "the first is missing");
        assert_eq!(breaches(&[(1, "a")], Some(3)), 1, "the end comes too early");
    }

    #[test]
    fn a_number_is_given_once() {
        let mut trace = Trace::default();
        let jid = Jid::from_micros(7);
        (0..2).for_each(|_| trace.note(O::Changed { jid, seq: 1, told: told("a") }));
        assert_eq!(i10(&trace).len(), 1);
    }
}
