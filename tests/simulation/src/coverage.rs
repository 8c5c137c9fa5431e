//! What a run has really tried: a promise that was never put to the test was not kept either.

use std::{collections::BTreeMap, fmt};

use relay_core::{ids::Jid, ledger::Ledger, outcome::Reason};

use crate::{event::Place, world::World};

/// How often each thing happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// It happened so often.
    pub fn add(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    /// What a minion thought of a dispatch.
    pub fn flaw(&mut self, flaw: Option<Reason>) {
        let what = match flaw {
            None => "dispatch taken",
            Some(Reason::BadSignature) => "refused: signature",
            Some(Reason::NotTarget) => "refused: not a target",
            Some(Reason::Outdated) => "refused: outdated",
            Some(Reason::StaleEpoch) => "refused: a former owner",
            Some(_) => "refused: another flaw",
        };
        self.add(what, 1);
    }

    /// What another run has tried.
    pub fn extend(&mut self, other: &Coverage) {
        other.0.iter().for_each(|(what, times)| self.add(what, *times));
    }

    /// How often it happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(|(what, times)| format!("{what} {times}")).collect();
        f.write_str(&words.join(", "))
    }
}

impl World {
    /// A process is about to die: is it in the middle of a batch?
    pub fn count_death(&mut self, place: Place) {
        let Some(owner) = self.owner() else { return };
        let what = match place {
            Place::Top(no) if self.ruler() != Some(no) => return,
            Place::Top(_) => "top master killed in mid-batch",
            Place::Syndic(_) if self.syndics.len() >= 8 => "one of 8 syndics killed in mid-batch",
            Place::Syndic(_) => "syndic killed in mid-batch",
            Place::Minion(_) => return,
        };
        let limited = |jid: Jid| owner.head(jid).is_some_and(|head| head.batch.is_limited());
        let halfway = |ledger: &Ledger| !ledger.unsent().is_empty() && !ledger.in_flight().is_empty();
        if owner.ledgers().any(|(jid, ledger)| halfway(ledger) && limited(jid)) {
            self.coverage.add(what, 1);
        }
    }

    /// The owner knows more of a job: has that stopped it?
    pub fn count_stop(&mut self, ledger: &Ledger) {
        let not_started = ledger.groups().iter().filter(|group| !group.members.is_empty());
        let stops: Vec<&'static str> = not_started
            .filter_map(|group| match group.key.reason {
                Reason::BatchStopped => Some("news of a job stopped by failures"),
                Reason::Enough => Some("news of a job closed by enough answers"),
                Reason::Deadline => Some("news of a job closed by its deadline"),
                _ => None,
            })
            .collect();
        stops.into_iter().for_each(|what| self.coverage.add(what, 1));
    }
}
