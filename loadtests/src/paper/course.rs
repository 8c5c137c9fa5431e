//! One job on paper: planned, sealed, dispatched, answered by every minion, folded, accounted for, closed.
//!
//! Owns the order of events and what is measured of it. The store answers at once and syndics are their folds alone.

use std::{collections::BTreeMap, mem::take};

use anyhow::{Context as _, ensure};
use nix::time::ClockId;
use relay_core::{
    Members,
    batch::BatchRule,
    fold::{FlushRule, Fold},
    ids::{Jid, RequestId},
    message::{Down, LinkId, ReturnBatch, ReturnGroup, Up},
    outcome::Outcome,
    owner::{OwnerEffect, Submission, Write},
    target::Target,
    time::{Millis, WallMicros},
};
use serde::{Deserialize, Serialize};

use super::{
    answers::{Answers, Book},
    fleet::Fleet,
};

/// Return batches that a top master takes in one turn, and commits together: 16 of 200 syndics.
const BATCHES_PER_TURN: usize = 16;
/// The moment at which a fleet's first job is asked for. Not the first one: a fold sends its first answer at once and then waits.
const NOW: Millis = 1;
/// Answers come so long after their job was accepted, and the next job is as long after them, in milliseconds. At once it would be as if
/// small jobs came all the time: commits are shorter then.
const APART: Millis = 1_000;

/// What one job took, in milliseconds of processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Targets found and frozen, their tree made, the first commit asked for.
    pub plan_ms: f64,
    /// From that commit to a message for each link, with its proof.
    pub dispatch_ms: f64,
    /// Each minion's answer folded at its syndic, one by one; all syndics together.
    pub fold_ms: f64,
    /// Batches of returns written into the ledger, commits, and the close.
    pub ledger_ms: f64,
}

impl Course {
    /// All of it, in milliseconds.
    pub fn total_ms(&self) -> f64 {
        self.plan_ms + self.dispatch_ms + self.fold_ms + self.ledger_ms
    }
}

/// One job under way.
pub struct Paper<'a> {
    fleet: &'a mut Fleet,
    book: Book,
    now: Millis,
    jid: Option<Jid>,
    dispatched: BTreeMap<LinkId, Members>,
    acknowledged: u64,
    rows: u64,
    closed: Option<BTreeMap<Outcome, u64>>,
}

impl<'a> Paper<'a> {
    /// A job for all of the fleet.
    pub fn new(fleet: &'a mut Fleet, answers: Answers) -> Paper<'a> {
        let (book, dispatched) = (Book::new(answers), BTreeMap::new());
        Paper { fleet, book, now: NOW, jid: None, dispatched, acknowledged: 0, rows: 0, closed: None }
    }

    /// Runs it to its end. `number`: another one for each job of a fleet.
    ///
    /// # Errors
    /// The job was not accepted, or something of what it should lead to was not so.
    pub fn run(mut self, number: u64) -> anyhow::Result<Course> {
        let (wall, asked) = (number * 1_000_000, submission(number)?);
        self.now = NOW + 2 * APART * number;
        let (plan_ms, ()) = timed(|| self.fleet.owner.submit(self.now, wall, 0, asked));
        let (dispatch_ms, dispatched) = timed(|| self.carry_out());
        dispatched?;
        self.check_dispatched()?;
        let jid = self.jid.context("the job was not accepted")?;
        let (fold_ms, batches) = timed(|| self.fold(jid));
        self.now += APART;
        let (ledger_ms, closed) = timed(|| self.record(wall, batches));
        closed?;
        self.check_closed()?;
        Ok(Course { plan_ms, dispatch_ms, fold_ms, ledger_ms })
    }

    /// Every minion's answer, through the fold of its syndic: the batches in the order in which they would come, every
    /// syndic's first before anybody's second.
    fn fold(&mut self, jid: Jid) -> Vec<(LinkId, ReturnBatch)> {
        let mut waves: Vec<Vec<(LinkId, ReturnBatch)>> = Vec::new();
        let mut first = 0;
        for (link, members) in take(&mut self.dispatched) {
            for (wave, groups) in folded(jid, &members, &self.book, first).into_iter().enumerate() {
                if waves.len() == wave {
                    waves.push(Vec::new());
                }
                let seq = self.fleet.next_batch(link);
                waves[wave].push((link, ReturnBatch { seq, groups }));
            }
            first += members.len() as u32;
        }
        waves.into_iter().flatten().collect()
    }

    fn record(&mut self, wall: WallMicros, batches: Vec<(LinkId, ReturnBatch)>) -> anyhow::Result<()> {
        let mut batches = batches.into_iter().peekable();
        loop {
            let all_came = batches.peek().is_none();
            for (link, batch) in batches.by_ref().take(BATCHES_PER_TURN) {
                self.fleet.owner.from_syndic(self.now, wall, link, Up::Returns(batch));
            }
            self.fleet.owner.end_turn(self.now, wall);
            // A commit holds so much: what is more follows when it is durable, also after the last batch.
            if !self.carry_out()? && all_came {
                return Ok(());
            }
        }
    }

    /// Carries out effects until there are no more. Says whether there were any.
    fn carry_out(&mut self) -> anyhow::Result<bool> {
        let mut any = false;
        loop {
            let effects = self.fleet.owner.effects();
            if effects.is_empty() {
                return Ok(any);
            }
            any = true;
            for effect in effects {
                self.effect(effect)?;
            }
        }
    }

    fn effect(&mut self, effect: OwnerEffect) -> anyhow::Result<()> {
        match effect {
            OwnerEffect::Persist { ticket, writes, .. } => {
                writes.into_iter().for_each(|write| self.write(write));
                self.fleet.owner.persisted(self.now, ticket, Ok(()));
            }
            OwnerEffect::Reply { result, .. } => {
                let accepted = result?;
                ensure!(
                    accepted.targets == u64::from(self.fleet.size.minions),
                    "{} targets",
                    accepted.targets
                );
                self.jid = Some(accepted.jid);
            }
            OwnerEffect::Send(sending) => {
                for (link, down) in sending.each() {
                    self.sent(link, down);
                }
            }
            OwnerEffect::Duplicates(n) => anyhow::bail!("{n} duplicates where there are none"),
            OwnerEffect::Suspect { why, members, .. } => anyhow::bail!("{members} minions suspected: {why}"),
            _ => {}
        }
        Ok(())
    }

    fn sent(&mut self, link: LinkId, down: Down) {
        match down {
            Down::Dispatch(dispatch) => *self.dispatched.entry(link).or_default() |= dispatch.members,
            Down::ReturnsAck { .. } => self.acknowledged += 1,
            _ => {}
        }
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Returns { rows, .. } => {
                self.rows += rows.iter().filter(|row| row.answer.is_some()).count() as u64
            }
            Write::Close { counts, .. } => self.closed = Some(counts),
            _ => {}
        }
    }

    fn check_dispatched(&self) -> anyhow::Result<()> {
        for (syndic, link) in self.fleet.size.links() {
            let sent = self.dispatched.get(&link).map_or(0, Members::len);
            let below = self.fleet.size.below(syndic);
            ensure!(sent == u64::from(below), "syndic {syndic} was sent {sent} of its {below} minions");
        }
        Ok(())
    }

    fn check_closed(&self) -> anyhow::Result<()> {
        let counts = self.closed.as_ref().context("every minion has answered, and the job is not closed")?;
        let (all, failed) = (u64::from(self.fleet.size.minions), self.book.failures(self.fleet.size.minions));
        let count = |outcome| counts.get(&outcome).copied().unwrap_or(0);
        ensure!(
            (count(Outcome::Ok), count(Outcome::Failed)) == (all - failed, failed),
            "of {all} minions {failed} failed; the ledger says {counts:?}"
        );
        let distinct = self.book.distinct(self.fleet.size.minions);
        ensure!(self.rows == distinct, "{} rows of answers for {distinct} different ones", self.rows);
        ensure!(self.acknowledged > 0, "no batch was acknowledged");
        Ok(())
    }
}

/// The answers of one syndic's minions, the first of which is `first` of all, in batches as it would send them.
fn folded(jid: Jid, members: &Members, book: &Book, first: u32) -> Vec<Vec<ReturnGroup>> {
    let mut fold = Fold::new(FlushRule::default());
    let mut batches = Vec::new();
    for no in members {
        fold.add(NOW, jid, book.of(first + no), &Members::from_iter([no]));
        if fold.due().is_some_and(|due| due <= NOW) {
            batches.push(fold.take(NOW));
        }
    }
    batches.extend((!fold.groups().is_empty()).then(|| fold.take(NOW)));
    batches
}

fn submission(number: u64) -> anyhow::Result<Submission> {
    Ok(Submission {
        request_id: RequestId(number.into()),
        request_digest: [0; 32],
        target: Target::parse("*")?,
        written: "*".into(),
        function: "test.ping".into(),
        args: r#"{"args":[],"kwargs":{}}"#.into(),
        caller: "paper".into(),
        delivery_limit: 60_000,
        run_limit: 60_000,
        batch: BatchRule::default(),
        subset: None,
        planned: None,
        confirmed: None,
    })
}

/// The processor time that a call took, in milliseconds, and what it gave. There is one thread and no waiting, so on a machine
/// with nothing else to do it is the time on the clock too.
fn timed<T>(call: impl FnOnce() -> T) -> (f64, T) {
    let before = processor_ms();
    let done = call();
    (processor_ms() - before, done)
}

/// Processor time of this thread so far; 0 where the kernel does not keep it.
fn processor_ms() -> f64 {
    let used = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    used.map_or(0.0, |used| used.tv_sec() as f64 * 1e3 + used.tv_nsec() as f64 / 1e6)
}
