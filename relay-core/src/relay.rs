//! The syndic's rules: a top master to what is below it, a minion to what is above it.
//!
//! Owns the spool's meaning (not its bytes): which sends were begun, which returns no parent has yet. Folds equal
//! answers, acknowledges a return only when it is durable, and keeps it until the parent that owns the job has it.
//! A relay never says `unknown`: that is the owner's. Links, files and clocks belong to the syndic crate, which is
//! told by [`RelayEffect`]s.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Members,
    fold::FlushRule,
    ids::{Incarnation, Jid, MinionId},
    ledger::Ledger,
    message::{Dispatch, Down, LinkId, ReturnBatch, ReturnGroup, RosterUpdate, Running, Up},
    outcome::{Answer, Outcome, Reason},
    roster::Roster,
    seat::HeartbeatRule,
    tier::{DIRECT, Placement, SendMark, Sending, Tier, Work},
    time::{Millis, WallMicros},
};

mod effect;
mod uplink;
pub use effect::*;
use uplink::Uplink;
pub use uplink::{MAX_UNACKED_BATCHES, MAX_UNACKED_BYTES, ParentNo};

/// How long work is remembered after its delivery window, if nobody asks for it any more. Send marks must outlive any
/// offer that could still claim "never sent": the owner offers as `reoffer` once the window is over.
pub const WORK_RETAIN: Millis = 2 * 60 * 60 * 1_000;
/// Jobs known at once. Twice an owner's limit, for two owners.
pub const MAX_WORKS: usize = 2 * crate::job::MAX_OPEN_JOBS;
/// What a child is told to wait when its returns can't be taken.
pub const BUSY_RETRY: Millis = 1_000;
/// Roster changes are gathered for this long, so that an attach storm is a few deltas and not thousands.
pub const ROSTER_PACE: Millis = 20;
/// An acknowledgement waits this long for another message to its minion to go along with: on its own it costs as much as
/// the job did. Nobody waits for it; a minion may have 2 MiB unacknowledged meanwhile.
pub const ACK_PACE: Millis = 1_000;
/// Acknowledgements of bulk, and of syndics below, wait this long: their senders have a window to fill.
pub const ACK_SOON: Millis = 20;
/// A batch with bodies of this size is bulk, in bytes.
const BULK: usize = 64 << 10;
/// New evidence of running jobs is passed on after at most this long.
pub const TELL_PACE: Millis = 1_000;

/// The relay's settings.
#[derive(Debug, Clone, Copy)]
pub struct RelayRule {
    /// How many parents are configured.
    pub parents: usize,
    /// When a fold is flushed.
    pub flush: FlushRule,
    /// Heartbeats, both ways.
    pub heartbeat: HeartbeatRule,
    /// Bytes of unacknowledged returns, in memory and on disk; beyond it minions keep theirs.
    pub spool_max_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    sendings: Vec<Sending>,
    /// Since when they wait.
    since: Millis,
    /// It holds "send begun" marks of this job.
    marks: Option<Jid>,
    acks: BTreeMap<LinkId, u64>,
    batches: Vec<(ParentNo, u64)>,
}

/// What the relay remembers of a job besides the tier's work.
#[derive(Debug, Clone, Copy)]
struct Errand {
    parent: ParentNo,
    forget_at: Millis,
    /// Batches not acknowledged by the parent that speak of this job.
    spooled: usize,
    /// The open fold speaks of it.
    folding: bool,
}

/// One syndic.
#[derive(Debug)]
pub struct Relay {
    rule: RelayRule,
    tier: Tier,
    roster: Roster,
    errands: BTreeMap<Jid, Errand>,
    uplinks: Vec<Uplink>,
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
    /// Records that may wait for the next group commit.
    lazy: Vec<SpoolRecord>,
    /// Acknowledgements owed to children for what the open folds hold.
    owed: BTreeMap<LinkId, u64>,
    /// Durable, and not told yet.
    acks: BTreeMap<LinkId, u64>,
    acks_due: Option<Millis>,
    /// Some of what is owed is bulk.
    hurry: bool,
    /// A job has its last answer from here: its fold waits for nothing more.
    finished: bool,
    roster_due: Option<Millis>,
    tell_due: Option<Millis>,
    ticked: Millis,
    stalled: bool,
    effects: Vec<RelayEffect>,
}

impl Relay {
    /// A syndic as its spool remembers it.
    pub fn recover(rule: RelayRule, now: Millis, records: Vec<SpoolRecord>) -> Relay {
        let mut numbers = Vec::new();
        let mut relay = Relay {
            rule,
            tier: Tier::default(),
            roster: Roster::default(),
            errands: BTreeMap::new(),
            uplinks: (0..rule.parents.max(1)).map(|_| Uplink::new(rule.flush)).collect(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
            lazy: Vec::new(),
            owed: BTreeMap::new(),
            acks: BTreeMap::new(),
            acks_due: None,
            hurry: false,
            finished: false,
            roster_due: None,
            tell_due: None,
            ticked: now,
            stalled: false,
            effects: Vec::new(),
        };
        for record in records {
            match record {
                SpoolRecord::Member { no, id, incarnation } => numbers.push((no, id, incarnation)),
                SpoolRecord::Sent(mark) => relay.replay_sent(now, mark),
                SpoolRecord::Batch { parent, batch } => relay.replay_batch(now, parent, batch),
                SpoolRecord::Acked { parent, up_to } => relay.acked(parent, up_to),
                SpoolRecord::Forget { jid } => relay.forget(jid),
            }
        }
        relay.lazy.clear();
        relay.roster = Roster::restore(numbers);
        relay
    }

    fn replay_sent(&mut self, now: Millis, mark: SendMark) {
        let work = self.work_of(now, mark.jid);
        work.ledger.extend(&mark.members);
        work.ledger.sent(&mark.members);
        *work.sent_via.entry(mark.via).or_default() |= mark.members;
    }

    fn replay_batch(&mut self, now: Millis, parent: ParentNo, batch: ReturnBatch) {
        for group in &batch.groups {
            let work = self.work_of(now, group.jid);
            work.ledger.extend(&group.members);
            work.ledger.record(&group.answer, &group.members);
            let errand = self.errands.entry(group.jid);
            errand
                .or_insert(Errand { parent, forget_at: now + WORK_RETAIN, spooled: 0, folding: false })
                .spooled += 1;
        }
        let parent = self.clamp(parent);
        self.uplinks[parent].restore(batch);
    }

    fn work_of(&mut self, now: Millis, jid: Jid) -> &mut Work {
        let errand = Errand { parent: 0, forget_at: now + WORK_RETAIN, spooled: 0, folding: false };
        self.errands.entry(jid).or_insert(errand);
        let new = || Work::new(None, Default::default(), Members::new());
        self.tier.works.entry(jid).or_insert_with(new)
    }

    fn clamp(&self, parent: ParentNo) -> ParentNo {
        parent.min(self.uplinks.len() - 1)
    }

    /// The records that say the same as the spool will once everything asked for so far is written: for compaction.
    pub fn live_records(&self) -> Vec<SpoolRecord> {
        let member = |(no, id, incarnation): (u32, &MinionId, Incarnation)| SpoolRecord::Member {
            no,
            id: id.clone(),
            incarnation,
        };
        let mut records: Vec<_> = self.roster.numbers().map(member).collect();
        for (&jid, work) in &self.tier.works {
            let mark =
                |(&via, members): (&Incarnation, &Members)| SendMark { jid, via, members: members.clone() };
            records.extend(work.sent_via.iter().map(mark).map(SpoolRecord::Sent));
        }
        for (parent, uplink) in self.uplinks.iter().enumerate() {
            records.extend(uplink.batches().cloned().map(|batch| SpoolRecord::Batch { parent, batch }));
        }
        records
    }

    /// Takes what must be done. Call after each turn of events, after [`Relay::end_turn`].
    pub fn effects(&mut self) -> Vec<RelayEffect> {
        std::mem::take(&mut self.effects)
    }

    // ---- what comes from below ----

    /// A child attached: a minion under its own id, or a syndic (`id` is `None`) whose roster names its minions.
    /// A minion id that is already here by another link and journal is refused; by the same journal, it takes over.
    pub fn child_up(&mut self, now: Millis, link: LinkId, id: Option<&MinionId>, incarnation: Incarnation) {
        if let Some(present) = id.and_then(|id| self.roster.by_id(id)).filter(|e| e.up)
            && let Some(old) = self.tier.link_of(present.no)
        {
            if present.incarnation != incarnation {
                self.effects.push(RelayEffect::Hangup { link, why: "id in use by another journal" });
                return;
            }
            self.effects.push(RelayEffect::Hangup { link: old, why: "taken over by a new connection" });
            self.child_down(now, 0, old);
        }
        self.tier.attach(link, if id.is_some() { DIRECT } else { incarnation }, now);
    }

    /// A child's link is gone.
    pub fn child_down(&mut self, now: Millis, wall: WallMicros, link: LinkId) {
        let down = self.tier.detach(link);
        self.owed.remove(&link);
        self.acks.remove(&link);
        self.roster.set_up(&down, false, wall);
        self.roster_due.get_or_insert(now + ROSTER_PACE);
        self.ask_contested();
    }

    /// A message came from a child.
    pub fn from_child(&mut self, now: Millis, wall: WallMicros, link: LinkId, up: Up) {
        if !self.tier.has(link) {
            return;
        }
        self.tier.heard(link, now);
        match up {
            Up::Roster(update) => self.child_roster(now, wall, link, update),
            Up::Heartbeat(running) => {
                if self.tier.seen_running(link, &running) {
                    self.tell_due.get_or_insert(now + TELL_PACE);
                }
                self.send(Sending { links: vec![link], down: Down::Heartbeat });
            }
            Up::Returns(batch) => self.child_returns(now, link, batch),
        }
    }

    fn send(&mut self, sending: Sending) {
        // Heartbeats to many links in one turn become one message.
        if let (Down::Heartbeat, Some(RelayEffect::Send(Sending { links, down: Down::Heartbeat }))) =
            (&sending.down, self.effects.last_mut())
        {
            links.extend(sending.links);
            return;
        }
        self.effects.push(RelayEffect::Send(sending));
    }

    fn child_roster(&mut self, now: Millis, wall: WallMicros, link: LinkId, update: RosterUpdate) {
        let (roster, lazy) = (&mut self.roster, &mut self.lazy);
        let mut number = |entry: &crate::message::RosterEntry| {
            let given = roster.number(&entry.id, entry.incarnation)?;
            if given.new {
                let (id, incarnation) = (entry.id.clone(), entry.incarnation);
                lazy.push(SpoolRecord::Member { no: given.no, id, incarnation });
            }
            if !entry.is_remembered() {
                let mut own = entry.clone();
                (own.no, own.since) = (given.no, wall);
                roster.put(own);
            }
            Some(given.no)
        };
        let Ok(news) = self.tier.roster(link, &update, &mut number) else {
            self.send(Sending { links: vec![link], down: Down::RosterResync });
            return;
        };
        if news.refused > 0 {
            self.effects.push(RelayEffect::Hangup { link, why: "roster full" });
        }
        self.roster.set_up(&news.up, true, wall);
        self.roster.set_up(&news.down, false, wall);
        self.roster_due.get_or_insert(now + ROSTER_PACE);
        let open: Vec<Jid> = self.tier.works.keys().copied().collect();
        for jid in open {
            let placement = self.tier.place(now, jid, &news.up);
            self.begin(now, jid, placement);
        }
        self.ask_contested();
    }

    fn ask_contested(&mut self) {
        for link in self.tier.take_contested() {
            self.send(Sending { links: vec![link], down: Down::RosterResync });
        }
    }

    /// Marks first, then the messages; and no message before the marks of an earlier placement that are under way.
    fn begin(&mut self, now: Millis, jid: Jid, placement: Placement) {
        if placement.marks.is_empty() {
            let marking = self.waiting.values_mut().rev().find(|w| w.marks == Some(jid));
            match marking {
                Some(waiting) => waiting.sendings.extend(placement.sendings),
                None => placement.sendings.into_iter().for_each(|s| self.send(s)),
            }
            return;
        }
        let records = placement.marks.into_iter().map(SpoolRecord::Sent).collect();
        let (sendings, marks) = (placement.sendings, Some(jid));
        let waiting = Waiting { sendings, since: now, marks, ..Waiting::default() };
        self.persist(records, waiting);
    }

    fn persist(&mut self, mut records: Vec<SpoolRecord>, waiting: Waiting) {
        let mut all = std::mem::take(&mut self.lazy);
        all.append(&mut records);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, waiting);
        self.effects.push(RelayEffect::Persist { ticket, records: all });
    }

    fn child_returns(&mut self, now: Millis, link: LinkId, batch: ReturnBatch) {
        let known = batch.groups.iter().all(|g| self.tier.knows(link, &g.members));
        let room = !self.stalled && self.spooled_bytes() < self.rule.spool_max_bytes;
        if !self.tier.takes(link, batch.seq, known && room) {
            if !known {
                self.send(Sending { links: vec![link], down: Down::RosterResync });
            }
            self.send(Sending { links: vec![link], down: Down::ReturnsBusy { retry_after: BUSY_RETRY } });
            return;
        }
        let bytes: usize = batch.groups.iter().map(|g| g.answer.body.len()).sum();
        self.hurry |= bytes >= BULK || !self.tier.is_direct(link);
        for ReturnGroup { jid, answer, members } in batch.groups {
            let local = self.tier.localise(link, &members);
            let believed = self.tier.believable(link, jid, &answer, &local);
            self.answer(now, jid, answer, &believed);
        }
        self.owed.insert(link, batch.seq);
    }

    /// Writes an answer into the ledger, and folds what is new of it.
    fn answer(&mut self, now: Millis, jid: Jid, answer: Arc<Answer>, members: &Members) {
        let fresh = match self.tier.works.get_mut(&jid) {
            // Not dispatched through here: brought along by a minion that moved. Passed on as it is.
            None => members.clone(),
            Some(work) => {
                // A minion's own word stands above what this tier said of it: it may have had the job by another way.
                if !answer.by_tier {
                    work.ledger.reopen_said_by_tier(members);
                }
                let strangers = members - work.ledger.targets();
                let recorded = work.ledger.record(&answer, members).members;
                self.finished |= work.ledger.is_complete() && !recorded.is_empty();
                recorded | strangers
            }
        };
        let dropped = members.len() - fresh.len();
        if dropped > 0 {
            self.effects.push(RelayEffect::Duplicates(dropped));
        }
        if fresh.is_empty() {
            return;
        }
        let parent = match self.errands.get_mut(&jid) {
            Some(errand) => {
                errand.folding = true;
                errand.parent
            }
            None => 0,
        };
        let parent = self.clamp(parent);
        self.uplinks[parent].fold.add(now, jid, answer, &fresh);
    }

    // ---- what comes from above ----

    /// The link to a parent is up.
    pub fn parent_up(&mut self, now: Millis, parent: ParentNo, link: LinkId) {
        self.flush_roster();
        let parent = self.clamp(parent);
        self.uplinks[parent].attach(now, link);
        self.effects.push(RelayEffect::SendUp { link, up: Up::Roster(self.roster.full()) });
        self.heartbeat(now, parent);
        self.pump(now);
    }

    /// The link to a parent is gone.
    pub fn parent_down(&mut self, link: LinkId) {
        for uplink in self.uplinks.iter_mut().filter(|u| u.link() == Some(link)) {
            uplink.detach();
        }
    }

    /// A message came from a parent.
    pub fn from_parent(&mut self, now: Millis, link: LinkId, down: Down) {
        let Some(parent) = self.uplinks.iter().position(|u| u.link() == Some(link)) else { return };
        // It may have waited here for as long as nothing was heard (this process was stopped): too old to be believed
        // about time. The tick drops the link, and the parent offers again.
        if self.uplinks[parent].is_silent(now, self.rule.heartbeat.dead_after) {
            return;
        }
        self.uplinks[parent].heard(now);
        match down {
            Down::Heartbeat => {}
            Down::RosterResync => {
                self.flush_roster();
                self.effects.push(RelayEffect::SendUp { link, up: Up::Roster(self.roster.full()) });
            }
            Down::Dispatch(dispatch) => self.dispatch(now, parent, dispatch),
            Down::Cancel { jid, epoch } => {
                if self.tier.works.get(&jid).is_some_and(|w| epoch >= w.epoch) {
                    self.cancel(now, jid);
                }
            }
            Down::ReturnsAck { up_to } => {
                self.lazy.push(SpoolRecord::Acked { parent, up_to });
                self.acked(parent, up_to);
                self.pump(now);
            }
            Down::ReturnsBusy { retry_after } => self.uplinks[parent].hold(now + retry_after),
        }
    }

    fn dispatch(&mut self, now: Millis, parent: ParentNo, dispatch: Dispatch) {
        let jid = dispatch.job.jid;
        let known = self.tier.works.get(&jid).and_then(|w| w.job.as_ref().map(|job| (w.epoch, job.digest)));
        if known.is_some_and(|(epoch, digest)| epoch > dispatch.epoch || digest != dispatch.job.digest) {
            self.note(jid, "refused a dispatch: old epoch or another content", dispatch.members.len());
            return;
        }
        if self.tier.works.len() >= MAX_WORKS && !self.tier.works.contains_key(&jid) {
            let busy = Arc::new(Answer::by_tier(Outcome::NotStarted, Reason::Busy));
            self.uplinks[parent].fold.add(now, jid, busy, &dispatch.members);
            return;
        }
        let deliver_by = now + dispatch.deliver_within;
        let work = self.work_of(now, jid);
        work.job = Some(dispatch.job);
        work.epoch = dispatch.epoch;
        work.deadlines.set(now, deliver_by, &dispatch.members);
        if dispatch.reoffer {
            work.ledger.reopen_said_by_tier(&dispatch.members);
            work.tainted |= &dispatch.members;
        }
        // Members whose number is retired are taken in too: never sent anything from here, they end as not started.
        work.ledger.extend(&dispatch.members);
        if let Some(errand) = self.errands.get_mut(&jid) {
            errand.parent = parent;
            errand.forget_at = errand.forget_at.max(deliver_by + WORK_RETAIN);
        }
        self.note(jid, "dispatched", dispatch.members.len());
        let placement = self.tier.place(now, jid, &dispatch.members);
        self.begin(now, jid, placement);
    }

    fn note(&mut self, jid: Jid, what: &'static str, members: u64) {
        self.effects.push(RelayEffect::Note { jid, what, members });
    }

    fn cancel(&mut self, now: Millis, jid: Jid) {
        let (never_sent, sending) = self.tier.cancel(jid);
        sending.into_iter().for_each(|s| self.send(s));
        self.note(jid, "cancelled", never_sent.len());
        let answer = Arc::new(Answer::by_tier(Outcome::Cancelled, Reason::BeforeStart));
        self.answer(now, jid, answer, &never_sent);
    }

    fn acked(&mut self, parent: ParentNo, up_to: u64) {
        let parent = self.clamp(parent);
        for jid in self.uplinks[parent].acked(up_to) {
            let Some(errand) = self.errands.get_mut(&jid) else { continue };
            errand.spooled = errand.spooled.saturating_sub(1);
            let done = errand.spooled == 0 && !errand.folding;
            if done && self.tier.works.get(&jid).is_some_and(|w| w.ledger.is_complete()) {
                self.lazy.push(SpoolRecord::Forget { jid });
                self.forget(jid);
            }
        }
    }

    fn forget(&mut self, jid: Jid) {
        self.errands.remove(&jid);
        self.tier.works.remove(&jid);
    }

    // ---- durability ----

    /// A [`RelayEffect::Persist`] is durable: its messages may leave, its returns are acknowledged and sent up.
    pub fn persisted(&mut self, now: Millis, ticket: u64) {
        let Some(waiting) = self.waiting.remove(&ticket) else { return };
        if !waiting.sendings.is_empty() {
            self.send_acks(); // in the same write as the job
        }
        // The disk may have stood still for long: nothing starts later than it was granted for.
        let waited = now.saturating_sub(waiting.since);
        waiting.sendings.into_iter().for_each(|s| self.send(s.aged(waited)));
        self.acknowledge(now, waiting.acks);
        for (parent, seq) in waiting.batches {
            self.uplinks[parent].set_durable(seq);
        }
        self.pump(now);
    }

    /// The spool can't be written (disk full): returns stay with the minions until it can.
    pub fn set_stalled(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    /// Bytes of returns that no parent has yet.
    pub fn spooled_bytes(&self) -> usize {
        self.uplinks.iter().map(|u| u.bytes() + u.fold.bytes()).sum()
    }

    /// Return batches that no parent has yet.
    pub fn spooled_batches(&self) -> usize {
        self.uplinks.iter().map(Uplink::len).sum()
    }

    /// The events of one turn are in: flush what is due.
    pub fn end_turn(&mut self, now: Millis) {
        let finished = std::mem::take(&mut self.finished);
        if finished || self.uplinks.iter().filter_map(|u| u.fold.due()).any(|due| due <= now) {
            self.flush(now);
        } else if !self.owed.is_empty() && self.uplinks.iter().all(|u| u.fold.due().is_none()) {
            self.acknowledge_duplicates(now);
        }
        if self.acks_due.is_some_and(|due| due <= now) {
            self.send_acks();
        }
        if self.roster_due.is_some_and(|due| due <= now) {
            self.flush_roster();
        }
    }

    /// All open folds, one group commit.
    fn flush(&mut self, now: Millis) {
        let mut waiting = Waiting { acks: std::mem::take(&mut self.owed), ..Waiting::default() };
        let mut records = Vec::new();
        for (parent, uplink) in self.uplinks.iter_mut().enumerate() {
            if let Some(batch) = uplink.flush(now) {
                for group in &batch.groups {
                    if let Some(errand) = self.errands.get_mut(&group.jid) {
                        errand.folding = false;
                        errand.spooled += 1;
                    }
                }
                waiting.batches.push((parent, batch.seq));
                records.push(SpoolRecord::Batch { parent, batch });
            }
        }
        self.persist(records, waiting);
    }

    /// Nothing new in what was received: acknowledge it with the newest commit under way, or now.
    fn acknowledge_duplicates(&mut self, now: Millis) {
        let owed = std::mem::take(&mut self.owed);
        match self.waiting.values_mut().next_back() {
            Some(newest) => newest.acks.extend(owed),
            None => self.acknowledge(now, owed),
        }
    }

    fn acknowledge(&mut self, now: Millis, acks: BTreeMap<LinkId, u64>) {
        if !acks.is_empty() {
            self.acks.extend(acks);
            let due = now + if std::mem::take(&mut self.hurry) { ACK_SOON } else { ACK_PACE };
            self.acks_due = Some(self.acks_due.map_or(due, |earlier| earlier.min(due)));
        }
    }

    /// One message for all links that are acknowledged as far.
    fn send_acks(&mut self) {
        self.acks_due = None;
        let mut by_seq: BTreeMap<u64, Vec<LinkId>> = BTreeMap::new();
        for (link, up_to) in std::mem::take(&mut self.acks) {
            by_seq.entry(up_to).or_default().push(link);
        }
        for (up_to, links) in by_seq {
            self.send(Sending { links, down: Down::ReturnsAck { up_to } });
        }
    }

    fn flush_roster(&mut self) {
        self.roster_due = None;
        let Some(delta) = self.roster.delta() else { return };
        let links = self.uplinks.iter().filter_map(Uplink::link);
        self.effects.extend(links.map(|link| RelayEffect::SendUp { link, up: Up::Roster(delta.clone()) }));
    }

    /// Sends what is durable, within each uplink's window. Roster changes go first: a parent must know every number
    /// that a return names.
    fn pump(&mut self, now: Millis) {
        if self.uplinks.iter().any(|u| u.has_to_send(now)) {
            self.flush_roster();
        }
        for uplink in &mut self.uplinks {
            let Some(link) = uplink.link() else { continue };
            while let Some(batch) = uplink.next_to_send(now) {
                self.effects.push(RelayEffect::SendUp { link, up: Up::Returns(batch) });
            }
        }
    }

    fn heartbeat(&mut self, now: Millis, parent: ParentNo) {
        let Some(link) = self.uplinks[parent].link() else { return };
        self.uplinks[parent].next_beat = now + self.rule.heartbeat.interval;
        let started = |(&jid, work): (&Jid, &Work)| {
            let members = work.ledger.started().clone();
            (!members.is_empty()).then_some(Running { jid, members })
        };
        let running = self.tier.works.iter().filter_map(started).collect();
        self.effects.push(RelayEffect::SendUp { link, up: Up::Heartbeat(running) });
    }

    // ---- time ----

    /// Time has come to [`Relay::next_deadline`].
    pub fn tick(&mut self, now: Millis) {
        self.ticked = now;
        for link in self.tier.silent(now, self.rule.heartbeat.dead_after) {
            self.effects.push(RelayEffect::Hangup { link, why: "silent" });
        }
        let tell = self.tell_due.is_some_and(|due| due <= now);
        for parent in 0..self.uplinks.len() {
            let uplink = &self.uplinks[parent];
            let Some(link) = uplink.link() else { continue };
            if uplink.is_silent(now, self.rule.heartbeat.dead_after) {
                self.uplinks[parent].next_beat = now + self.rule.heartbeat.interval;
                self.effects.push(RelayEffect::Hangup { link, why: "silent" });
            } else if tell || uplink.next_beat <= now {
                self.heartbeat(now, parent);
            }
        }
        if tell {
            self.tell_due = None;
        }
        self.expire(now);
        self.pump(now);
    }

    fn expire(&mut self, now: Millis) {
        let over = |w: &Work| &(w.ledger.unsent() - &w.tainted) & &w.deadlines.passed(now);
        let overdue = self.tier.works.iter().map(|(jid, work)| (*jid, over(work)));
        let overdue: Vec<(Jid, Members)> = overdue.filter(|(_, unsent)| !unsent.is_empty()).collect();
        let answer = Arc::new(Answer::by_tier(Outcome::NotStarted, Reason::Unreachable));
        for (jid, unsent) in overdue {
            self.note(jid, "not started: unreachable", unsent.len());
            self.answer(now, jid, answer.clone(), &unsent);
        }
        let stale = self.errands.iter().filter(|(_, e)| e.forget_at <= now && e.spooled == 0 && !e.folding);
        for jid in stale.map(|(jid, _)| *jid).collect::<Vec<_>>() {
            self.lazy.push(SpoolRecord::Forget { jid });
            self.forget(jid);
        }
    }

    /// When [`Relay::tick`] and [`Relay::end_turn`] must be called next, at the latest. Silence is looked for once a
    /// second, counted from the last tick: however much comes in, this moment does not move away.
    pub fn next_deadline(&self, now: Millis) -> Millis {
        let folds = self.uplinks.iter().filter_map(|u| u.fold.due());
        let unsent = |w: &Work| w.deadlines.first_of(&(w.ledger.unsent() - &w.tainted));
        let works = self.tier.works.values().filter_map(unsent);
        let paced = self.roster_due.into_iter().chain(self.tell_due).chain(self.acks_due);
        let beats = self.uplinks.iter().filter(|u| u.link().is_some()).map(|u| u.next_beat);
        folds
            .chain(works)
            .chain(paced)
            .chain(beats)
            .min()
            .unwrap_or(u64::MAX)
            .min(self.ticked + 1_000)
            .max(now)
    }

    // ---- for status and tests ----

    /// The roster of this syndic.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Each job's ledger, for the invariants.
    pub fn ledgers(&self) -> impl Iterator<Item = (Jid, &Ledger)> {
        self.tier.works.iter().map(|(jid, work)| (*jid, &work.ledger))
    }

    /// How many parents are attached.
    pub fn parents_up(&self) -> usize {
        self.uplinks.iter().filter(|u| u.link().is_some()).count()
    }
}

#[cfg(test)]
mod tests;
