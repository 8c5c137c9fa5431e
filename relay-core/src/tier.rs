//! What a top master and a syndic have in common: links from children, rosters below them, and the work in progress.
//!
//! Owns who sits where ([`Tier::roster`]) and whether a child's word about a member may be believed ([`Tier::believable`]). Which
//! members of a job go over which link is `placing`'s, by what of their job's tree can be shown is `provable`'s. Deadlines, durability and what to do with an
//! answer belong to [`crate::owner`] and [`crate::relay`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    Members,
    ids::{Epoch, Incarnation, Jid},
    job::Job,
    ledger::Ledger,
    merkle::Proof,
    message::{Down, LinkId, RosterChange, RosterEntry, RosterUpdate, Running},
    outcome::{Answer, Outcome, Reason},
    time::Millis,
};

mod child;
mod deadlines;
mod numbers;
mod placing;
mod provable;
mod seats;
use child::Child;
pub use deadlines::Deadlines;
use numbers::Told;
pub(crate) use numbers::set_of;
pub use placing::{Placement, SendMark};
pub use provable::{MAX_TREE_BYTES, Provable, Trees};
use seats::Seats;

/// The path "straight to a minion": its number already stands for one incarnation, so no more need be remembered.
pub const DIRECT: Incarnation = Incarnation(0);

/// A link that was named as silent is named again after this long, if it is still there.
const SILENT_AGAIN: Millis = 1_000;

/// One job in progress at this tier.
#[derive(Debug)]
pub struct Work {
    /// The sealed job; absent after a restart until the parent offers it again.
    pub job: Option<Arc<Job>>,
    /// Its owner's epoch.
    pub epoch: Epoch,
    /// Where each target stands.
    pub ledger: Ledger,
    /// Until when each may be delivered. After it nothing may start there any more.
    pub deadlines: Deadlines,
    /// Nothing may start there any more, deadline or not: the batch was stopped.
    pub stopped: Members,
    /// Members that may have been sent the job by another path: no tier may say that they did not start.
    pub tainted: Members,
    /// Who was sent the job by which path (durable before the first byte leaves).
    pub sent_via: BTreeMap<Incarnation, Members>,
    /// A cancel was asked for.
    pub cancelled: bool,
    /// That it was: signed by the owner. Empty if there is no cancel, or none that was signed.
    pub seal: Bytes,
}

impl Work {
    /// New work, nothing sent.
    pub fn new(job: Option<Arc<Job>>, epoch: Epoch, targets: Members) -> Work {
        Work {
            job,
            epoch,
            ledger: Ledger::new(targets),
            deadlines: Deadlines::default(),
            stopped: Members::new(),
            tainted: Members::new(),
            sent_via: BTreeMap::new(),
            cancelled: false,
            seal: Bytes::new(),
        }
    }
}

/// One message for one or more links, and whom it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Sending {
    /// Where it goes: the same bytes for each.
    pub links: Vec<LinkId>,
    /// What goes.
    pub down: Down,
    /// For a job that goes to minions: each link's proof, in the same order. Empty otherwise.
    pub proofs: Vec<Proof>,
}

impl Sending {
    /// The same for each of these links.
    pub fn new(links: Vec<LinkId>, down: Down) -> Sending {
        Sending { links, down, proofs: Vec::new() }
    }

    /// What each link is sent, its own proof in it: for who does not encode.
    pub fn each(&self) -> impl Iterator<Item = (LinkId, Down)> + '_ {
        self.links.iter().enumerate().map(|(at, link)| {
            let mut down = self.down.clone();
            if let (Down::Dispatch(dispatch), Some(proof)) = (&mut down, self.proofs.get(at)) {
                dispatch.proof = proof.clone();
            }
            (*link, down)
        })
    }

    /// It waited for so long before it could leave, and of the time to start so much is gone.
    pub fn aged(mut self, by: Millis) -> Sending {
        if let Down::Dispatch(dispatch) = &mut self.down {
            dispatch.deliver_within = dispatch.deliver_within.saturating_sub(by);
        }
        self
    }
}

/// What a roster update changed, in local numbers.
#[derive(Debug, Default, PartialEq)]
pub struct RosterNews {
    /// Reachable now by this link (again).
    pub up: Members,
    /// No longer reachable.
    pub down: Members,
    /// Entries that were refused a number.
    pub refused: u32,
}

/// A delta that does not follow the version held: ask for the whole.
#[derive(Debug, PartialEq, Eq)]
pub struct RosterGap;

/// Links, seats and work.
#[derive(Debug, Default)]
pub struct Tier {
    links: BTreeMap<LinkId, Child>,
    /// Before this no link can be silent.
    silence: Millis,
    seats: Seats,
    /// See [`Tier::telling`].
    telling: u64,
    up: Members,
    /// Links that say that a member is up which has just gone down at another: ask them.
    contested: BTreeSet<LinkId>,
    /// Work by jid, oldest first.
    pub works: BTreeMap<Jid, Work>,
    /// What of their trees can be shown.
    pub trees: Trees,
}

impl Tier {
    /// A child attached. `via` names the path: the spool's incarnation for a syndic, [`DIRECT`] for a minion.
    pub fn attach(&mut self, link: LinkId, via: Incarnation, now: Millis) {
        self.telling += 1;
        self.links.insert(link, Child::new(via, now));
    }

    /// A link is gone; those who sat there are down.
    pub fn detach(&mut self, link: LinkId) -> Members {
        let Some(child) = self.links.remove(&link) else { return Members::new() };
        self.unseat(link, &child.members())
    }

    /// Whether the link is attached.
    pub fn has(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }

    /// Every attached link.
    pub fn links(&self) -> impl Iterator<Item = LinkId> + '_ {
        self.links.keys().copied()
    }

    /// Whether a link is a minion's own.
    pub fn is_direct(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|child| child.via == DIRECT)
    }

    /// Something was heard on a link.
    pub fn heard(&mut self, link: LinkId, now: Millis) {
        if let Some(child) = self.links.get_mut(&link) {
            child.heard = now;
        }
    }

    /// Links on which nothing was heard for `dead_after`, which is always the same. All of them are gone through only when one could
    /// be: thousands are not silent.
    pub fn silent(&mut self, now: Millis, dead_after: Millis) -> Vec<LinkId> {
        if now < self.silence {
            return Vec::new();
        }
        let (mut late, mut first) = (Vec::new(), now + dead_after);
        for (link, child) in &self.links {
            match child.heard + dead_after {
                over if over <= now => late.push(*link),
                over => first = first.min(over),
            }
        }
        // One that is hung up is gone soon. Until then it is named again.
        self.silence = if late.is_empty() { first } else { first.min(now + SILENT_AGAIN) };
        late
    }

    /// Who is reachable, in local numbers.
    pub fn up(&self) -> &Members {
        &self.up
    }

    /// The link over which a member is reached.
    pub fn link_of(&self, member: u32) -> Option<LinkId> {
        self.seats.get(member).map(|(link, _)| link)
    }

    /// The link over which a member is reached, and its number in that child's roster.
    pub fn seat_of(&self, member: u32) -> Option<(LinkId, u32)> {
        self.seats.get(member)
    }

    /// Rises whenever a member takes or leaves a seat.
    pub fn seating(&self) -> u64 {
        self.seats.moves()
    }

    /// Rises whenever a child may have said something else of the journals of those who sit at its link.
    pub fn telling(&self) -> u64 {
        self.telling
    }

    /// Says the journal of a member, as the child says over whose link it is reached. For one after the other: neighbours
    /// mostly have one link, which is looked up once for all of them.
    pub fn incarnations(&self) -> impl FnMut(u32) -> Option<Incarnation> + '_ {
        let mut last: Option<(LinkId, &Child)> = None;
        move |member| {
            let (link, no) = self.seats.get(member)?;
            if last.is_none_or(|(known, _)| known != link) {
                last = self.links.get(&link).map(|child| (link, child));
            }
            last.and_then(|(_, child)| child.local.get(no)).map(|told| told.incarnation)
        }
    }

    /// Who sits at a link.
    pub fn members_of(&self, link: LinkId) -> Members {
        self.links.get(&link).map(Child::members).unwrap_or_default()
    }

    /// Nothing about a job is needed any more.
    pub fn forget(&mut self, jid: Jid) {
        self.works.remove(&jid);
        self.trees.forget(jid);
    }

    /// Takes a roster update. `number` gives an entry its local number, or refuses it.
    pub fn roster(
        &mut self,
        link: LinkId,
        update: &RosterUpdate,
        number: &mut dyn FnMut(&RosterEntry) -> Option<u32>,
    ) -> Result<RosterNews, RosterGap> {
        let Some(child) = self.links.get_mut(&link) else { return Ok(RosterNews::default()) };
        let mut news = RosterNews::default();
        match update {
            RosterUpdate::Full { version, entries } => {
                child.version = Some(*version);
                child.says_up.clear();
                let before = child.members();
                child.local.clear();
                self.telling += 1;
                for entry in entries {
                    self.put(link, entry, number, &mut news);
                }
                let gone = &before - &news.up;
                news.down |= self.unseat(link, &gone);
            }
            RosterUpdate::Delta { from, to, changes } => {
                if child.version != Some(*from) {
                    child.version = None;
                    return Err(RosterGap);
                }
                child.version = Some(*to);
                for change in changes {
                    self.change(link, change, number, &mut news);
                }
            }
        }
        Ok(news)
    }

    fn change(
        &mut self,
        link: LinkId,
        change: &RosterChange,
        number: &mut dyn FnMut(&RosterEntry) -> Option<u32>,
        news: &mut RosterNews,
    ) {
        match change {
            RosterChange::Put(entry) => self.put(link, entry, number, news),
            RosterChange::Up(members) => {
                for no in members {
                    if let Some(local) = self.links.get(&link).and_then(|child| child.member(no)) {
                        self.seat(link, no, local, news);
                    }
                }
            }
            // A retired number still says whose the returns are that its minion gave before.
            RosterChange::Down(members) | RosterChange::Drop(members) => {
                if let Some(child) = self.links.get_mut(&link) {
                    child.says_up -= members;
                }
                let local = self.seated(link, members);
                news.down |= self.unseat(link, &local);
            }
        }
    }

    fn put(
        &mut self,
        link: LinkId,
        entry: &RosterEntry,
        number: &mut dyn FnMut(&RosterEntry) -> Option<u32>,
        news: &mut RosterNews,
    ) {
        let given = number(entry);
        self.telling += 1;
        if let Some(child) = self.links.get_mut(&link) {
            if let Some(member) = given {
                child.local.insert(Told { no: entry.no, member, incarnation: entry.incarnation });
            } else {
                child.refused.insert(entry.no);
            }
        }
        let Some(local) = given else {
            news.refused += 1;
            return;
        };
        if entry.up {
            self.seat(link, entry.no, local, news);
        } else {
            if let Some(child) = self.links.get_mut(&link) {
                child.says_up.remove(entry.no);
            }
            let local = self.seated(link, &Members::from_iter([entry.no]));
            news.down |= self.unseat(link, &local);
        }
    }

    /// Those of a child's numbers that sit at its link under just that number (a newer incarnation has another).
    fn seated(&self, link: LinkId, numbers: &Members) -> Members {
        let Some(child) = self.links.get(&link) else { return Members::new() };
        let local = numbers.iter().filter_map(|no| child.member(no).map(|local| (no, local)));
        local
            .filter(|(no, local)| self.seats.get(*local) == Some((link, *no)))
            .map(|(_, local)| local)
            .collect()
    }

    fn seat(&mut self, link: LinkId, no: u32, local: u32, news: &mut RosterNews) {
        if let Some(child) = self.links.get_mut(&link) {
            child.says_up.insert(no);
        }
        self.seats.insert(local, (link, no));
        self.up.insert(local);
        news.up.insert(local);
        news.down.remove(local);
    }

    /// Takes members down if they still sit at this link (they may have moved on to another).
    fn unseat(&mut self, link: LinkId, members: &Members) -> Members {
        let here = members.iter().filter(|m| self.seats.get(*m).is_some_and(|(at, _)| at == link));
        let gone: Members = here.collect();
        for member in &gone {
            self.seats.remove(member);
        }
        self.up -= &gone;
        self.contest(link, &gone);
        gone
    }

    /// A minion moved, and the old place, which had not noticed yet, told its roster after the new one: then it went
    /// down there, and nobody would say again that it is up. (Minions under several links take over: no contest.)
    fn contest(&mut self, link: LinkId, gone: &Members) {
        if gone.is_empty() {
            return;
        }
        let others = self.links.iter().filter(|(other, c)| **other != link && c.via != DIRECT);
        let claims = |c: &Child| c.says_up.iter().any(|no| c.member(no).is_some_and(|m| gone.contains(m)));
        let claiming: Vec<LinkId> = others.filter(|(_, c)| claims(c)).map(|(other, _)| *other).collect();
        self.contested.extend(claiming);
    }

    /// Links whose whole roster must be asked for, to learn where a member is that has gone down elsewhere.
    pub fn take_contested(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.contested).into_iter().filter(|link| self.has(*link)).collect()
    }

    /// Whether a return batch may be taken, if this tier is `able` to. They are taken in order: after one was not, the
    /// later ones are not either until it comes again, for an acknowledgement covers all before it. (A minion gives its
    /// batches new numbers when it sends them again, and takes no acknowledgement of the old ones.)
    pub fn takes(&mut self, link: LinkId, seq: u64, able: bool) -> bool {
        let Some(child) = self.links.get_mut(&link) else { return false };
        if child.via == DIRECT {
            return able;
        }
        let next = child.next_batch.get_or_insert(seq);
        let takes = able && seq <= *next;
        if takes {
            *next = (*next).max(seq.saturating_add(1));
        }
        takes
    }

    /// Whether the roster of this link has told all these numbers.
    pub fn knows(&self, link: LinkId, members: &Members) -> bool {
        let told = |child: &Child, no| child.local.get(no).is_some() || child.refused.contains(no);
        self.links.get(&link).is_some_and(|child| members.iter().all(|no| told(child, no)))
    }

    /// A child's numbers in local ones; strangers are left out.
    pub fn localise(&self, link: LinkId, members: &Members) -> Members {
        let Some(child) = self.links.get(&link) else { return Members::new() };
        set_of(members.iter().filter_map(|no| child.member(no)))
    }

    /// Marks a job cancelled and says what to send: a cancel on each link that may have it. The unsent who can be
    /// answered for are returned: nobody will send it to them any more. An empty `seal` leaves the one that is there.
    pub fn cancel(&mut self, jid: Jid, seal: Bytes) -> (Members, Option<Sending>) {
        let Some(work) = self.works.get_mut(&jid) else { return (Members::new(), None) };
        work.cancelled = true;
        if !seal.is_empty() {
            work.seal = seal;
        }
        let never_sent = work.ledger.unsent() - &work.tainted;
        let asked = &(work.ledger.in_flight() | &(work.ledger.unsent() & &work.tainted)) & &self.up;
        let links: BTreeSet<LinkId> =
            asked.iter().filter_map(|m| self.seats.get(m)).map(|(link, _)| link).collect();
        let links: Vec<LinkId> = links.into_iter().collect();
        let down = Down::Cancel { jid, epoch: work.epoch, seal: work.seal.clone() };
        (never_sent, (!links.is_empty()).then_some(Sending::new(links, down)))
    }

    /// Those of `members` about whom this answer from this link may be believed. A minion's own word always is; a
    /// tier's word ("not started") only for members this tier sent by that path and by no other.
    pub fn believable(&self, link: LinkId, jid: Jid, answer: &Answer, members: &Members) -> Members {
        if !answer.by_tier {
            return members.clone();
        }
        // All that a tier can know is that it did not send something.
        if !matches!(
            (answer.outcome, answer.reason),
            (Outcome::NotStarted, _) | (Outcome::Cancelled, Reason::BeforeStart)
        ) {
            return Members::new();
        }
        let via = self.links.get(&link).map(|c| c.via);
        let work = self.works.get(&jid);
        let sent = work.zip(via).and_then(|(w, via)| w.sent_via.get(&via));
        match (work, sent) {
            (Some(work), Some(sent)) => (members & sent) - &work.tainted,
            _ => Members::new(),
        }
    }

    /// A child's numbers in local ones, with the journal that each stands for.
    pub fn journals(&self, link: LinkId, members: &Members) -> Vec<(u32, Incarnation)> {
        let Some(child) = self.links.get(&link) else { return Vec::new() };
        let told = members.iter().filter_map(|no| child.local.get(no));
        told.map(|told| (told.member, told.incarnation)).collect()
    }

    /// Takes a child's list of running jobs as evidence. True if any of it is new.
    pub fn seen_running(&mut self, link: LinkId, running: &[Running]) -> bool {
        let mut news = false;
        for run in running.iter().filter(|run| self.works.contains_key(&run.jid)).collect::<Vec<_>>() {
            let local = self.localise(link, &run.members);
            if let Some(work) = self.works.get_mut(&run.jid) {
                news |= work.ledger.seen_running(&local);
            }
        }
        news
    }
}

#[cfg(test)]
mod tests;
