//! The top master's rules: accept a job, see it through, account for every target.
//!
//! Owns acceptance (frozen targets, jid, request id), the deadlines after which an outcome is declared, and what is
//! written to the store in which order: nothing leaves before it is durable. Sending, storing and talking to
//! operators are the top-master crate's, which is told by [`OwnerEffect`]s.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{
    Members,
    batch::{BatchRule, RegionBatch},
    ids::{Epoch, Incarnation, Jid, MinionId, RegionName, TierId},
    inventory::{Inventory, MinionNo, Record},
    job::{JobSpec, MAX_OPEN_JOBS, Seal},
    leaves::Leaves,
    ledger::{GroupNo, Ledger, Recorded},
    message::{Down, LinkId, ReturnBatch, RosterEntry, RosterUpdate, Up},
    outcome::{Answer, Outcome, Reason},
    seat::HeartbeatRule,
    suspicion::Ration,
    tier::{Sending, Tier, Work},
    time::{Millis, WallMicros},
    topology::Share,
    window::Window,
};

mod accept;
mod advance;
mod cancelling;
mod commit;
mod dirty;
mod effect;
mod frozen;
mod record;
mod reports;
mod request;
mod sealing;
mod syndics;
mod timing;
pub use advance::{ApproveError, Approving, Held};
pub use cancelling::CANCEL_COUNTS;
use cancelling::Sealed;
use commit::Owed;
pub use commit::{CommitRule, FENCE_CHECK, MAX_COMMIT_BYTES, SHORT_COMMIT_BYTES, SHORT_FOR, SMALL_BYTES};
use dirty::Dirty;
pub use dirty::ROW_BYTES;
pub use effect::*;
use frozen::{Frozen, Kept};
pub use record::*;
pub use request::*;
use sealing::Agreed;
pub use sealing::MAX_WAIT;
use timing::Timing;
pub use timing::{HOP_GRACE, HOPS, SILENCE_CHECK};

/// Closed jobs with `unknown` targets kept in memory, so that a late return resolves them. The oldest go first.
pub const MAX_UNRESOLVED: usize = 256;
/// How many similar ids an error suggests.
const SUGGESTIONS: usize = 3;

/// The owner's settings.
#[derive(Debug, Clone)]
pub struct OwnerRule {
    /// The fabric's name, sealed into each job.
    pub fabric: String,
    /// This owner's epoch.
    pub epoch: Epoch,
    /// Heartbeats.
    pub heartbeat: HeartbeatRule,
    /// Encodes and signs a job.
    pub seal: Arc<dyn Seal>,
    /// What regions have for jobs whose operator does not say.
    pub batches: Batches,
    /// How much one commit of outcomes holds.
    pub commits: CommitRule,
}

/// What the topology says of batches.
#[derive(Debug, Clone, Default)]
pub struct Batches {
    /// By region.
    pub regions: BTreeMap<RegionName, RegionBatch>,
    /// A job without any batch that is wider than this share of the fleet must be confirmed. Nothing: no limit.
    pub unbatched_limit: Option<Share>,
    /// Links between the owner and a minion where the tree is deepest: each may take its time. [`HOPS`] at least.
    pub hops: u64,
}

#[derive(Debug)]
struct Syndic {
    id: TierId,
    region: RegionName,
}

#[derive(Debug)]
struct OpenJob {
    head: JobHead,
    timing: Timing,
    window: Window,
    closed: bool,
    /// Who waits for the acceptance; gone once answered.
    token: Option<u64>,
    /// Nobody is sent it for the first time from then on: the time for which it is signed is over.
    grant_until: Millis,
    /// Its cancel, as it was signed last.
    cancel: Sealed,
    /// Its cancel was kept back from somebody for want of a key: all are told once there is one.
    cancel_owed: bool,
    /// The number of the last change of its answers.
    seq: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    accept: Option<Jid>,
    /// It holds "send begun" marks of this job.
    marks: Option<Jid>,
    /// Those of them who are sent the job for the first time.
    granted: Members,
    sendings: Vec<Sending>,
    /// Since when they wait.
    since: Millis,
    acks: BTreeMap<LinkId, u64>,
    changes: Vec<Change>,
    /// It is the commit of outcomes: the next may follow.
    outcomes: bool,
}

/// One top master.
#[derive(Debug)]
pub struct Owner {
    rule: OwnerRule,
    inventory: Inventory,
    tier: Tier,
    /// The targets of a former job.
    kept: Option<Kept>,
    /// Whom a job of now is signed for, as last looked up.
    agreed: Option<Agreed>,
    syndics: BTreeMap<LinkId, Syndic>,
    jobs: BTreeMap<Jid, OpenJob>,
    dirty: BTreeMap<Jid, Dirty>,
    /// Acknowledgements, in the order in which their batches came.
    owed: BTreeMap<LinkId, VecDeque<Owed>>,
    /// How many batches of returns were taken: what is dirty is older than the next.
    batches: u64,
    /// The last commit was of small jobs alone: large ones have waited for it.
    large_is_next: bool,
    /// Commits hold less until then.
    short_until: Millis,
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
    last_jid: u64,
    committing: bool,
    /// Jobs that something has happened to in this turn.
    ready: BTreeSet<Jid>,
    /// Open jobs that wait their turn on each minion: any answer may let them go on.
    serial: BTreeSet<Jid>,
    /// The newest moment heard of,
    now: Millis,
    /// and what the wall clock said last.
    wall: WallMicros,
    ticked: Millis,
    stalled: Option<String>,
    /// Another owner has begun: what is in memory here is worth nothing any more.
    fenced: bool,
    /// When the store was asked for something last that would have told of another owner.
    proved: Millis,
    /// Of what is reported, by syndic.
    reports: Ration<TierId>,
    effects: Vec<OwnerEffect>,
}

impl Owner {
    /// A top master as its store remembers it. Deadlines of open jobs start anew, but never leave more of the delivery
    /// window than the wall clock says is left: an old job does not start late.
    pub fn recover(
        rule: OwnerRule,
        now: Millis,
        wall: WallMicros,
        inventory: Inventory,
        stored: Vec<StoredJob>,
    ) -> Owner {
        let mut owner = Owner {
            rule,
            inventory,
            tier: Tier::default(),
            kept: None,
            agreed: None,
            syndics: BTreeMap::new(),
            jobs: BTreeMap::new(),
            dirty: BTreeMap::new(),
            owed: BTreeMap::new(),
            batches: 0,
            large_is_next: false,
            short_until: 0,
            waiting: BTreeMap::new(),
            next_ticket: 0,
            last_jid: 0,
            committing: false,
            ready: BTreeSet::new(),
            serial: BTreeSet::new(),
            now,
            wall,
            ticked: now,
            stalled: None,
            fenced: false,
            proved: now,
            reports: Ration::default(),
            effects: Vec::new(),
        };
        stored.into_iter().for_each(|job| owner.restore(now, wall, job));
        owner
    }

    fn restore(&mut self, now: Millis, wall: WallMicros, stored: StoredJob) {
        let StoredJob { mut head, sent, groups, closed, cancelled, seq, approved } = stored;
        let jid = head.job.jid;
        head.epoch = self.rule.epoch;
        self.inventory.raise_version(head.inventory_version);
        self.last_jid = self.last_jid.max(jid.micros());
        let age = wall.saturating_sub(head.created) / 1_000;
        let all_sent = sent.iter().fold(Members::new(), |all, (_, m)| all | m);
        let mut work = Work::new(Some(head.job.clone()), head.epoch, Members::new());
        work.ledger = Ledger::restore(head.targets.clone(), &all_sent, groups);
        work.cancelled = cancelled;
        for (via, members) in sent {
            for (_, others) in work.sent_via.iter().filter(|(other, _)| **other != via) {
                work.tainted |= others & &members;
            }
            *work.sent_via.entry(via).or_default() |= members;
        }
        let mut window = self.window(now, age, &head);
        window.set_approved(approved);
        // They hold their places from now on as if they had just been sent it: perhaps they were.
        // What is `unknown` may still run, but nothing more may start there.
        let (deliver_by, open) = (window.deliver_by(now), work.ledger.in_flight() | work.ledger.unknown());
        window.linger(work.ledger.unknown());
        let mut timing = self.timing(&head);
        timing.sending(now, deliver_by, &open);
        work.deadlines.set(now, deliver_by, work.ledger.in_flight());
        self.tier.works.insert(jid, work);
        self.serial.extend((head.batch.serial && !closed).then_some(jid));
        let grant_until = now + sealing::left(&head.spec.span, wall);
        self.jobs.insert(
            jid,
            OpenJob {
                head,
                timing,
                window,
                closed,
                token: None,
                grant_until,
                cancel: Sealed::default(),
                cancel_owed: false,
                seq,
            },
        );
        self.ready.insert(jid);
        // A crash between the last outcome and the close.
        self.dirty.entry(jid).or_default();
        if cancelled {
            // Or between the cancel and the outcomes of those who were never sent the job.
            let (never_sent, _) = self.tier.cancel(jid, Bytes::new());
            self.record(jid, Arc::new(Answer::by_tier(Outcome::Cancelled, Reason::BeforeStart)), &never_sent);
        }
    }

    /// What the topology says of batches from now on. Jobs that were accepted before keep what they were accepted with.
    pub fn set_batches(&mut self, batches: Batches) {
        self.rule.batches = batches;
    }

    fn timing(&self, head: &JobHead) -> Timing {
        let (hops, dead_after) = (self.rule.batches.hops.max(HOPS), self.rule.heartbeat.dead_after);
        Timing::new(head.spec.run_limit, dead_after, hops)
    }

    /// Takes what must be done. Call after [`Owner::end_turn`].
    pub fn effects(&mut self) -> Vec<OwnerEffect> {
        if self.fenced {
            self.effects.retain(|effect| matches!(effect, OwnerEffect::Reply { .. }));
        }
        std::mem::take(&mut self.effects)
    }

    // ---- operators ----

    fn persist(&mut self, writes: Vec<Write>, mut waiting: Waiting, may_fail: bool) {
        (waiting.since, self.proved) = (self.now, self.now);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, waiting);
        self.effects.push(OwnerEffect::Persist { ticket, writes, may_fail });
    }

    fn note(&mut self, jid: Jid, what: &'static str, members: u64) {
        self.effects.push(OwnerEffect::Note { jid, what, members });
    }

    fn record(&mut self, jid: Jid, answer: Arc<Answer>, members: &Members) {
        let Some(work) = self.tier.works.get_mut(&jid) else {
            // Closed with every outcome final, or pruned: nothing can change any more.
            self.effects.push(OwnerEffect::Duplicates(members.len()));
            return;
        };
        let recorded = work.ledger.record(&answer, members);
        let dropped = members.len() - recorded.members.len();
        if dropped > 0 {
            self.effects.push(OwnerEffect::Duplicates(dropped));
        }
        if recorded.members.is_empty() {
            return;
        }
        let dirty = self.dirty.entry(jid).or_default();
        dirty.add(self.batches, &answer, &recorded);
        self.answered(jid, &answer, &recorded.members);
    }

    // ---- time ----

    /// Time has come to [`Owner::next_deadline`]. What is due is declared at the end of the turn.
    pub fn tick(&mut self, now: Millis) {
        (self.now, self.ticked) = (now, now);
        for link in self.tier.silent(now, self.rule.heartbeat.dead_after) {
            self.effects.push(OwnerEffect::Hangup { link, why: "silent" });
        }
        self.ready.extend(self.jobs.iter().filter(|(_, j)| !j.closed).map(|(jid, _)| *jid));
        self.renew_cancels(now);
        self.prove(now);
    }

    /// When [`Owner::tick`] must be called next, at the latest: a second after the last one, to look for silence.
    pub fn next_deadline(&self, now: Millis) -> Millis {
        let due = self.jobs.iter().filter(|(_, j)| !j.closed).filter_map(|(jid, job)| {
            let work = self.tier.works.get(jid)?;
            let outdated = (!work.ledger.unsent().is_empty()).then_some(job.grant_until);
            let own = job.timing.next(&work.ledger).into_iter().chain(job.window.next(&work.ledger));
            let own = own.chain(outdated);
            own.min()
        });
        due.min().unwrap_or(u64::MAX).min(self.ticked + 1_000).max(now)
    }

    // ---- for status, watchers and tests ----

    /// Under which epoch it owns the fabric.
    pub fn epoch(&self) -> Epoch {
        self.rule.epoch
    }

    /// All minions.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The attached syndics.
    pub fn syndics(&self) -> impl Iterator<Item = (LinkId, &TierId, &RegionName)> {
        self.syndics.iter().map(|(link, s)| (*link, &s.id, &s.region))
    }

    /// The link over which a minion is reached, and its number in that syndic's roster.
    pub fn seat_of(&self, minion: MinionNo) -> Option<(LinkId, u32)> {
        self.tier.seat_of(minion)
    }

    /// The ledger of a job that is open or has unknown targets.
    pub fn ledger(&self, jid: Jid) -> Option<&Ledger> {
        self.tier.works.get(&jid).map(|w| &w.ledger)
    }

    /// The head of a job that is open or has unknown targets.
    pub fn head(&self, jid: Jid) -> Option<&JobHead> {
        self.jobs.get(&jid).map(|j| &j.head)
    }

    /// The jobs that are open.
    pub fn open_jobs(&self) -> impl Iterator<Item = Jid> + '_ {
        self.jobs.iter().filter(|(_, j)| !j.closed).map(|(jid, _)| *jid)
    }

    /// Each job's ledger, for the invariants.
    pub fn ledgers(&self) -> impl Iterator<Item = (Jid, &Ledger)> {
        self.tier.works.iter().map(|(jid, work)| (*jid, &work.ledger))
    }
}

#[cfg(test)]
mod batch_tests;
#[cfg(test)]
mod fence_tests;
#[cfg(test)]
mod sealing_tests;
#[cfg(test)]
mod tests;
