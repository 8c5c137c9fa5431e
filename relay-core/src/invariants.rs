//! The promises of the fabric as checks: what was observed, and which promise it breaks.
//!
//! Owns one [`Trace`] of plain observations and one function per invariant over it, used by property tests, the
//! simulation and the end-to-end checker alike. How an observation is made (a witness file, a simulated disk, a query
//! to the store) is the observer's. I9 is measured elsewhere: it speaks of memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    ids::{Epoch, Jid, MinionId, RegionName},
    ledger::{AnswerKey, Ledger},
    outcome::{Answer, Outcome, Reason},
    time::Millis,
};

mod batches;
mod signed;
mod watching;
use batches::Batches;
pub use batches::{Knowledge, Limits, RegionLimits, START_GRACE, i12};
use signed::Signed;
pub use signed::{Execution, Order, i13};
use watching::Watching;
pub use watching::{Telling, i10};

/// One (jid, minion): at most one execution, exactly one outcome.
pub type Slot = (Jid, MinionId);

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which: `I1` to `I13`.
    pub invariant: &'static str,
    /// What was seen, with the job and the minion.
    pub what: String,
}

/// How one execution ended, as far as an observer can compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The outcome.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The exit code.
    pub retcode: i32,
    /// SHA-256 of the body; `None` where the observer did not see it, and then it is not compared.
    pub body: Option<[u8; 32]>,
}

impl Verdict {
    /// What an answer says.
    pub fn of(answer: &Answer) -> Verdict {
        let AnswerKey { outcome, reason, retcode, body, .. } = AnswerKey::of(answer);
        Verdict { outcome, reason, retcode, body: Some(body) }
    }

    /// Whether both say the same, as far as both were seen.
    pub fn agrees(&self, other: &Verdict) -> bool {
        let bodies = self.body.zip(other.body);
        (self.outcome, self.reason, self.retcode) == (other.outcome, other.reason, other.retcode)
            && bodies.is_none_or(|(a, b)| a == b)
    }

    /// It claims that nothing was started.
    fn denies_start(&self) -> bool {
        matches!(
            (self.outcome, self.reason),
            (Outcome::NotStarted | Outcome::Refused, _) | (Outcome::Cancelled, Reason::BeforeStart)
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { outcome, reason, retcode, .. } = self;
        write!(f, "{} {} ({retcode}", outcome.word(), reason.word())?;
        match self.body {
            Some([a, b, c, ..]) => write!(f, ", body {a:02x}{b:02x}{c:02x})"),
            None => f.write_str(")"),
        }
    }
}

/// An END that a minion's journal held durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournaledEnd {
    /// What it says.
    pub verdict: Verdict,
    /// Every durable copy of it (journal, spool, store) was destroyed before the owner had it: it can't be expected.
    pub destroyed: bool,
}

/// When a job must be closed, and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// By then, on the observer's clock: not-after + run limit + 2 x grace per hop, and the observer's own slack.
    pub due: Millis,
    /// It was closed then.
    pub at: Option<Millis>,
}

/// One thing that was seen.
#[derive(Debug, Clone)]
pub enum Observation {
    /// The store holds this job durably.
    Recorded {
        /// The job.
        jid: Jid,
        /// Its frozen targets.
        targets: BTreeSet<MinionId>,
    },
    /// An operator was shown this jid.
    Shown {
        /// The job.
        jid: Jid,
        /// How many targets the answer named.
        targets: u64,
    },
    /// The store was looked into, and it holds exactly these jobs.
    Looked {
        /// Each with its targets.
        jobs: BTreeMap<Jid, BTreeSet<MinionId>>,
    },
    /// The witness saw a job body start.
    Started(Slot),
    /// A job is durable, and this is what was signed of it.
    Ordered(Jid, Order),
    /// What it was that started.
    Executed(Slot, Execution),
    /// A minion's journal holds this END durably.
    Ended(Slot, Verdict),
    /// The last durable copy of an END is gone.
    Destroyed(Slot),
    /// The owner's durable record of a slot changed to this.
    Slot(Slot, Verdict),
    /// What a syndic of a region said changed the slot of a minion.
    SaidBy {
        /// The slot.
        slot: Slot,
        /// The minion's own region.
        home: RegionName,
        /// The syndic's region.
        by: RegionName,
    },
    /// A write landed in the store.
    Wrote {
        /// About this job.
        jid: Jid,
        /// Under this epoch.
        epoch: Epoch,
        /// While the newest owner had this one.
        newest: Epoch,
    },
    /// A job must be closed by then. A later word replaces an earlier one (the owner was restarted).
    Due(Jid, Millis),
    /// A job was closed.
    Closed(Jid, Millis),
    /// This is what a job's batch promises.
    Limited(Jid, Limits),
    /// The owner has given a minion a place: its "send begun" is durable.
    Granted(Slot),
    /// The owner sends a job to a minion, which may start it until then on the observer's clock: the time that it is
    /// given, and for each hop the silence after which nothing that comes is taken any more.
    Offered(Slot, Millis),
    /// The same by a former owner that does not know yet that it is none: it does not know either what stops a job, and
    /// what it offers was granted before.
    OfferedBefore(Slot, Millis),
    /// The owner knows this now.
    Known(Jid, Knowledge),
    /// An execution runs since that time on the observer's clock,
    Running(Slot, Millis),
    /// and is over.
    Over(Slot),
    /// A change of a job's answers is durable.
    Changed {
        /// The job.
        jid: Jid,
        /// The change's number.
        seq: u64,
        /// What it says.
        told: Telling,
    },
    /// A watcher was told a change.
    Watched {
        /// Who.
        watcher: u64,
        /// Of which job.
        jid: Jid,
        /// The change's number.
        seq: u64,
        /// What it was told.
        told: Telling,
    },
    /// A watcher was told that its job is closed.
    WatchEnded {
        /// Who.
        watcher: u64,
        /// Of which job.
        jid: Jid,
        /// The number of the last change before that.
        seq: u64,
    },
    /// A ledger was found broken, see [`Trace::ledger`].
    BrokenLedger(String),
}

/// Everything observed so far.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    recorded: BTreeMap<Jid, BTreeSet<MinionId>>,
    shown: BTreeMap<Jid, u64>,
    vanished: BTreeSet<Jid>,
    starts: BTreeMap<Slot, u32>,
    unrecorded_starts: BTreeSet<Slot>,
    ends: BTreeMap<Slot, Vec<JournaledEnd>>,
    slots: BTreeMap<Slot, Vec<Verdict>>,
    foreign: Vec<(Slot, RegionName)>,
    stale_writes: Vec<(Jid, Epoch, Epoch)>,
    closings: BTreeMap<Jid, Closing>,
    broken_ledgers: Vec<String>,
    batches: Batches,
    watching: Watching,
    signed: Signed,
}

impl Trace {
    /// Adds an observation. Their order matters only where a promise speaks of an order (I4, I5).
    pub fn note(&mut self, observation: Observation) {
        match observation {
            Observation::Recorded { jid, targets } => drop(self.recorded.insert(jid, targets)),
            Observation::Shown { jid, targets } => drop(self.shown.insert(jid, targets)),
            Observation::Looked { jobs } => self.looked(&jobs),
            Observation::Started(slot) => self.started(slot),
            Observation::Ordered(jid, order) => self.signed.ordered(jid, order),
            Observation::Executed(slot, execution) => self.signed.executed(slot, execution),
            Observation::Ended(slot, verdict) => {
                let end = JournaledEnd { verdict, destroyed: false };
                self.ends.entry(slot).or_default().push(end);
            }
            Observation::Destroyed(slot) => {
                self.ends.entry(slot).or_default().iter_mut().for_each(|e| e.destroyed = true);
            }
            Observation::Slot(slot, verdict) => self.slots.entry(slot).or_default().push(verdict),
            Observation::SaidBy { slot, home, by } => {
                self.foreign.extend((home != by).then_some((slot, by)));
            }
            Observation::Wrote { jid, epoch, newest } => {
                self.stale_writes.extend((epoch < newest).then_some((jid, epoch, newest)));
            }
            Observation::Due(jid, due) => {
                self.closings.entry(jid).or_insert(Closing { due, at: None }).due = due
            }
            Observation::Closed(jid, at) => {
                let closing = self.closings.entry(jid).or_insert(Closing { due: at, at: None });
                closing.at.get_or_insert(at);
            }
            Observation::Limited(jid, limits) => self.batches.limited(jid, limits),
            Observation::Granted(slot) => self.batches.granted(slot),
            Observation::Offered(slot, until) => self.batches.offered(slot, until),
            Observation::OfferedBefore(slot, until) => self.batches.offered_before(slot, until),
            Observation::Known(jid, known) => self.batches.known(jid, known),
            Observation::Running(slot, now) => self.batches.running(slot, now),
            Observation::Over(slot) => self.batches.over(&slot),
            Observation::Changed { jid, seq, told } => self.watching.changed(jid, seq, told),
            Observation::Watched { watcher, jid, seq, told } => {
                self.watching.watched(watcher, jid, seq, told)
            }
            Observation::WatchEnded { watcher, jid, seq } => self.watching.ended(watcher, jid, seq),
            Observation::BrokenLedger(what) => self.broken_ledgers.push(what),
        }
    }

    fn looked(&mut self, jobs: &BTreeMap<Jid, BTreeSet<MinionId>>) {
        let gone = self.shown.keys().filter(|jid| {
            let now = jobs.get(jid);
            now.is_none() || now != self.recorded.get(jid)
        });
        self.vanished.extend(gone);
    }

    fn started(&mut self, slot: Slot) {
        let recorded = self.recorded.get(&slot.0).is_some_and(|targets| targets.contains(&slot.1));
        if !recorded {
            self.unrecorded_starts.insert(slot.clone());
        }
        *self.starts.entry(slot).or_default() += 1;
    }

    /// Checks a tier's ledger (I2) and notes it if it is broken.
    pub fn ledger(&mut self, tier: &str, jid: Jid, ledger: &Ledger) {
        if let Err(why) = ledger.check() {
            self.note(Observation::BrokenLedger(format!("{tier}: job {jid}: {why}")));
        }
    }

    /// Every END that was journaled and may still be expected at the owner.
    pub fn expected_ends(&self) -> impl Iterator<Item = (&Slot, &JournaledEnd)> {
        let each = self.ends.iter().flat_map(|(slot, ends)| ends.iter().map(move |end| (slot, end)));
        each.filter(|(_, end)| !end.destroyed)
    }

    /// The history of each slot at the owner.
    pub fn slots(&self) -> impl Iterator<Item = (&Slot, &[Verdict])> {
        self.slots.iter().map(|(slot, history)| (slot, history.as_slice()))
    }

    /// How often a slot was started.
    pub fn starts(&self, slot: &Slot) -> u32 {
        self.starts.get(slot).copied().unwrap_or_default()
    }

    /// How many starts there were in all: a run without any proves nothing.
    pub fn total_starts(&self) -> u32 {
        self.starts.values().sum()
    }

    fn last(&self, slot: &Slot) -> Option<&Verdict> {
        self.slots.get(slot).and_then(|history| history.last())
    }
}

fn found(invariant: &'static str, what: impl IntoIterator<Item = String>) -> Vec<Violation> {
    what.into_iter().map(|what| Violation { invariant, what }).collect()
}

/// I1: no (jid, minion) started twice.
pub fn i1(trace: &Trace) -> Vec<Violation> {
    let twice = trace.starts.iter().filter(|(_, count)| **count > 1);
    found(
        "I1",
        twice.map(|((jid, minion), count)| format!("job {jid} was started {count} times on {minion}")),
    )
}

/// I2 at every instant: ledgers are partitions, histories are legal, and only targets have slots.
pub fn i2(trace: &Trace) -> Vec<Violation> {
    let legal = |history: &[Verdict]| match history {
        [_] => true,
        [first, second] => !first.outcome.is_final() && second.outcome.is_final(),
        _ => false,
    };
    let illegal = trace.slots.iter().filter(|(_, h)| !legal(h)).map(|((jid, minion), history)| {
        let words: Vec<&str> = history.iter().map(|v| v.outcome.word()).collect();
        format!("job {jid}, {minion}: the history {} is not legal", words.join(" -> "))
    });
    let is_target = |(jid, minion): &Slot| trace.recorded.get(jid).is_some_and(|t| t.contains(minion));
    let strangers = trace.slots.keys().filter(|slot| !is_target(slot));
    let strangers =
        strangers.map(|(jid, minion)| format!("job {jid} has an outcome for {minion}, not a target"));
    found("I2", trace.broken_ledgers.iter().cloned().chain(illegal).chain(strangers))
}

/// I2 at rest: every target of every job has an outcome.
pub fn i2_complete(trace: &Trace) -> Vec<Violation> {
    let targets = trace.recorded.iter().flat_map(|(jid, t)| t.iter().map(move |m| (*jid, m.clone())));
    let empty = targets.filter(|slot| trace.last(slot).is_none());
    found("I2", empty.map(|(jid, minion)| format!("job {jid}: {minion} is a target and has no outcome")))
}

/// I3, at rest after the network healed: each END that a journal held, and of which a durable copy was left at every
/// moment, is the owner's final outcome.
pub fn i3(trace: &Trace) -> Vec<Violation> {
    let lost = trace.expected_ends().filter_map(|(slot, end)| {
        let last = trace.last(slot);
        let (jid, minion) = slot;
        // A journal's tombstone and a tier's own knowledge may both say, each truly, that it was not started.
        let same = |v: &Verdict| v.agrees(&end.verdict) || (v.denies_start() && end.verdict.denies_start());
        let missing = !last.is_some_and(same);
        let said = last.map_or("nothing".into(), Verdict::to_string);
        missing.then(|| format!("job {jid}: {minion} journaled {}, the owner has {said}", end.verdict))
    });
    found("I3", lost)
}

/// I4: a jid that was shown names a job in the store, with the targets that were shown, whenever one looked.
pub fn i4(trace: &Trace) -> Vec<Violation> {
    let differs = |(jid, shown): &(&Jid, &u64)| {
        trace.recorded.get(jid).is_none_or(|targets| targets.len() as u64 != **shown)
    };
    let wrong = trace.shown.iter().filter(differs).map(|(jid, _)| jid);
    let all: BTreeSet<&Jid> = trace.vanished.iter().chain(wrong).collect();
    found(
        "I4",
        all.into_iter().map(|jid| format!("job {jid} was shown to an operator and is not what is stored")),
    )
}

/// I5: nothing started that was not accepted and recorded first.
pub fn i5(trace: &Trace) -> Vec<Violation> {
    let starts = trace.unrecorded_starts.iter();
    found(
        "I5",
        starts.map(|(jid, minion)| format!("{minion} started job {jid}, not recorded for it at that time")),
    )
}

/// I6: every job was closed by its bound.
pub fn i6(trace: &Trace) -> Vec<Violation> {
    let late = trace.closings.iter().filter(|(_, c)| c.at.is_none_or(|at| at > c.due));
    found(
        "I6",
        late.map(|(jid, c)| format!("job {jid} was due to close by {}, and was at {:?}", c.due, c.at)),
    )
}

/// I7: no write under an old epoch landed.
pub fn i7(trace: &Trace) -> Vec<Violation> {
    let stale = trace.stale_writes.iter();
    found(
        "I7",
        stale.map(|(jid, old, new)| format!("job {jid}: a write of epoch {} landed under {}", old.0, new.0)),
    )
}

/// I8: no slot was changed by a syndic of another region.
pub fn i8(trace: &Trace) -> Vec<Violation> {
    let foreign = trace.foreign.iter();
    found("I8", foreign.map(|((jid, m), by)| format!("job {jid}: a syndic of {by} changed the slot of {m}")))
}

/// I11: whoever is said not to have been started (`not_started`, `refused`, cancelled before the start) was not.
pub fn i11(trace: &Trace) -> Vec<Violation> {
    let denied = trace.slots.iter().flat_map(|(slot, h)| h.iter().map(move |v| (slot, v)));
    let lies = denied.filter(|(slot, v)| v.denies_start() && trace.starts(slot) > 0);
    found(
        "I11",
        lies.map(|((jid, m), v)| format!("job {jid}: {m} is said to be {}, but it ran", v.outcome.word())),
    )
}

/// What must hold at every instant.
pub fn throughout(trace: &Trace) -> Vec<Violation> {
    [i1, i2, i4, i5, i7, i8, i10, i11, i12, i13].iter().flat_map(|check| check(trace)).collect()
}

/// What must hold once everything is healed and quiet, besides what must hold throughout.
pub fn at_rest(trace: &Trace) -> Vec<Violation> {
    [throughout, i2_complete, i3, i6].iter().flat_map(|check| check(trace)).collect()
}

#[cfg(test)]
mod tests;
