//! What a job is signed with: for how long it counts, and who may still be sent it.
//!
//! Its targets are `frozen`'s when it is accepted. The tree over them is made anew from what is kept with the job whenever it is
//! needed and not there.

use super::{frozen::WORTH_KEEPING, *};
use crate::{
    batch::BatchSize,
    inventory::Minion,
    merkle::{Tree, leaf},
    signing::Span,
    tier::{Placement, Provable, SendMark, set_of},
};

/// How long a job may wait for its minions' turns, for an operator between two stages, or for minions that are offline; no deadline
/// may be later. Keys that sign jobs stay listed for so long
/// after their last one, and whoever has stolen a job can keep it back for so long.
pub const MAX_WAIT: Millis = 24 * 60 * 60 * 1_000;

/// When a job counts that is accepted now: until the last of its minions may still receive it.
pub(super) fn span(batch: &BatchRule, delivery: Millis, wall: WallMicros) -> Span {
    let regional = batch.regions.values().any(|r| r.cap.is_some() || r.default_window.is_some());
    let waits = batch.serial
        || batch.queue.is_some()
        || regional
        || !matches!(batch.size, BatchSize::All | BatchSize::Regions);
    let wait = if waits { batch.deadline.unwrap_or(MAX_WAIT).min(MAX_WAIT) } else { 0 };
    Span {
        not_before: wall,
        not_after: wall.saturating_add(wait.saturating_add(delivery).saturating_mul(1_000)),
    }
}

/// How long a job still counts.
pub(super) fn left(span: &Span, wall: WallMicros) -> Millis {
    span.not_after.saturating_sub(wall) / 1_000
}

/// A walk over the whole inventory costs as much as looking up one minion in so many of it.
const WALK_AGAINST_LOOKUP: u64 = 8;

/// Who, among some, can be sent a job that is signed now.
#[derive(Debug)]
pub(super) struct Agreed {
    /// Versions of the inventory, of the seats and of what is said of journals.
    at: [u64; 3],
    among: Members,
    signed: Members,
}

impl Owner {
    /// The tree over targets in their order; none, if one of them is not known any more.
    fn tree(&self, leaves: &Leaves) -> Option<Tree> {
        let hash = |(no, incarnation)| self.inventory.get(no).map(|minion| leaf(incarnation, &minion.id));
        leaves.iter().map(hash).collect::<Option<Vec<_>>>().map(Tree::full)
    }

    /// Minions by their numbers, in order. Those who are most of the fleet are met on a walk over all of it: looking them up
    /// one by one would wait for the memory at each.
    fn minions<'a>(&'a self, among: &'a Members) -> impl Iterator<Item = (u32, &'a Minion)> {
        let most = among.len().saturating_mul(WALK_AGAINST_LOOKUP) >= self.inventory.all().len();
        let mut next = among.iter().peekable();
        let met = move |(no, _): &(u32, &Minion)| {
            while next.next_if(|next| next < no).is_some() {}
            next.next_if_eq(no).is_some()
        };
        let walk = most.then(|| self.inventory.iter().filter(met));
        let looked = (!most).then(|| among.iter().filter_map(|no| Some((no, self.inventory.get(no)?))));
        walk.into_iter().flatten().chain(looked.into_iter().flatten())
    }

    /// Sees to it that members of a job can be proven.
    fn plant(&mut self, jid: Jid) {
        let Some(job) = self.jobs.get(&jid).filter(|_| !self.tier.trees.has(jid)) else { return };
        let Some(root) = job.head.job.targets else { return };
        let leaves = Leaves::decode(&job.head.leaves, &job.head.targets).unwrap_or_default();
        match self.tree(&leaves).filter(|tree| tree.root() == root) {
            Some(tree) => self.tier.trees.add(jid, Arc::new(Provable::new(tree, leaves.places()))),
            None => self.note(
                jid,
                "the stored order of its targets is not the signed one: offered to nobody",
                root.count.into(),
            ),
        }
    }

    /// Those among some who are the ones that the job is signed for: under the journal that they had when the targets were frozen.
    pub(super) fn signed_for(&mut self, jid: Jid, among: &Members) -> Members {
        let Some(version) = self.jobs.get(&jid).map(|job| job.head.inventory_version) else {
            return Members::new();
        };
        // Nobody has got another journal since: it is the same for every job of now.
        if version == self.inventory.version() && among.len() >= WORTH_KEEPING {
            return self.agreed(version, among);
        }
        self.look_for_signed(version, among)
    }

    /// The same as of now, looked up once for as long as nobody has another journal or seat, nor is said to have one.
    fn agreed(&mut self, version: u64, among: &Members) -> Members {
        let at = [version, self.tier.seating(), self.tier.telling()];
        if let Some(kept) = self.agreed.as_ref().filter(|kept| kept.at == at && among.is_subset(&kept.among))
        {
            return among & &kept.signed;
        }
        let signed = self.look_for_signed(version, among);
        self.agreed = Some(Agreed { at, among: among.clone(), signed: signed.clone() });
        signed
    }

    /// The same without what is kept.
    pub(super) fn look_for_signed(&self, version: u64, among: &Members) -> Members {
        // A syndic may still know an older journal, or a copy of one.
        let mut told = self.tier.incarnations();
        let mut agrees = |no, known| told(no).is_none_or(|there| there == known);
        let same = |(no, minion): &(u32, &Minion)| {
            minion.incarnation_seq <= version && agrees(*no, minion.incarnation)
        };
        set_of(self.minions(among).filter(same).map(|(no, _)| no))
    }

    /// Those who can know that a job was not started: a minion that has another journal than the one for which the job was signed
    /// knows nothing of what it did before, whatever somebody made it refuse.
    pub(super) fn knowing(&self, link: LinkId, jid: Jid, members: &Members) -> Members {
        let Some(job) = self.jobs.get(&jid) else { return self.tier.localise(link, members) };
        let mut frozen: Option<BTreeMap<u32, Incarnation>> = None;
        let mut knows = |no: u32, incarnation: Incarnation| match self.inventory.get(no) {
            Some(minion) if minion.incarnation_seq <= job.head.inventory_version => {
                minion.incarnation == incarnation
            }
            _ => {
                let stored = || Leaves::decode(&job.head.leaves, &job.head.targets).unwrap_or_default();
                let frozen = frozen.get_or_insert_with(|| stored().iter().collect());
                frozen.get(&no) == Some(&incarnation)
            }
        };
        let told = self.tier.journals(link, members).into_iter();
        told.filter(|(no, incarnation)| knows(*no, *incarnation)).map(|(no, _)| no).collect()
    }

    /// What to send to these for a job.
    pub(super) fn place(&mut self, now: Millis, jid: Jid, among: &Members) -> Placement {
        let among = self.signed_for(jid, &(among & self.tier.up()));
        self.place_signed(now, jid, &among)
    }

    /// The same, for those that it is signed for.
    pub(super) fn place_signed(&mut self, now: Millis, jid: Jid, signed: &Members) -> Placement {
        if signed.is_empty() {
            return Placement::default();
        }
        self.plant(jid);
        let unsigned = self.tier.works.get(&jid).is_some_and(|work| work.cancelled) && !self.seal_cancel(jid);
        let mut placement = self.tier.place(now, jid, signed);
        if unsigned {
            self.owe_cancel(jid);
            placement.sendings.retain(|sending| !matches!(sending.down, Down::Cancel { .. }));
        }
        placement
    }

    /// The same without the messages, which are made once the marks are durable.
    pub(super) fn mark(&mut self, now: Millis, jid: Jid, signed: &Members) -> Vec<SendMark> {
        if signed.is_empty() {
            return Vec::new();
        }
        self.plant(jid);
        self.tier.mark(now, jid, signed)
    }

    /// Those who had their turn and can't be sent the job: they have another journal now than it is signed for.
    pub(super) fn turn_away(&mut self, jid: Jid, others: &Members) {
        if !others.is_empty() {
            self.note(jid, Reason::NewJournal.explain(), others.len());
            self.record(jid, Arc::new(Answer::by_tier(Outcome::NotStarted, Reason::NewJournal)), others);
        }
    }
}
