//! A job's targets as they are frozen: the order of their leaves, the tree over them, and what is kept of it for the next job.
//!
//! Nothing of it depends on the job, and operators ask the same minions again and again: as long as nobody among the fleet has
//! another journal or another seat, the next job has the same tree. Making one costs about a microsecond for each target, which
//! was a fifth of what a job costs a top master.

use super::*;
use crate::{
    merkle::{Tree, leaf},
    tier::{MAX_TREE_BYTES, Provable},
};

/// Fewer targets are frozen, and looked up, anew for each job, which takes a tenth of a millisecond, and leave alone what is kept of
/// many.
pub(super) const WORTH_KEEPING: u64 = 256;

/// Targets in the order of their leaves.
#[derive(Debug, Clone)]
pub(super) struct Frozen {
    /// As the order is stored.
    pub(super) leaves: Bytes,
    /// What it takes to prove them.
    pub(super) shown: Arc<Provable>,
}

/// The last targets that were worth it, and when they were frozen.
#[derive(Debug)]
pub(super) struct Kept {
    targets: Members,
    inventory: u64,
    seating: u64,
    frozen: Frozen,
}

impl Owner {
    /// Freezes the targets of a job that is accepted now.
    pub(super) fn freeze(&mut self, targets: &Members) -> Frozen {
        if targets.len() < WORTH_KEEPING {
            return self.freeze_anew(targets);
        }
        let (inventory, seating) = (self.inventory.version(), self.tier.seating());
        let holds =
            |kept: &&Kept| (kept.inventory, kept.seating) == (inventory, seating) && kept.targets == *targets;
        if let Some(kept) = self.kept.as_ref().filter(holds) {
            return kept.frozen.clone();
        }
        // Before the next one is made: two of the largest are not held at once.
        self.kept = None;
        let frozen = self.freeze_anew(targets);
        if frozen.shown.bytes() <= MAX_TREE_BYTES {
            let (targets, frozen) = (targets.clone(), frozen.clone());
            self.kept = Some(Kept { targets, inventory, seating, frozen });
        }
        frozen
    }

    /// Those behind one link stand together, by their numbers there, so that the proof for a link is short; those whom no link
    /// reaches now come last.
    fn freeze_anew(&self, targets: &Members) -> Frozen {
        let mut keyed: Vec<((LinkId, u32), u32)> =
            targets.iter().map(|no| (self.tier.seat_of(no).unwrap_or((LinkId(u64::MAX), no)), no)).collect();
        keyed.sort_unstable();
        let (mut order, mut hashes) = (Vec::with_capacity(keyed.len()), Vec::with_capacity(keyed.len()));
        for (_, no) in keyed {
            let minion = self.inventory.get(no);
            let incarnation = minion.map(|minion| minion.incarnation).unwrap_or_default();
            order.push((no, incarnation));
            hashes.extend(minion.map(|minion| leaf(incarnation, &minion.id)));
        }
        // Nobody is ever taken out of the inventory: there is a leaf for each target.
        let tree = if hashes.len() == order.len() { Tree::full(hashes) } else { Tree::default() };
        let leaves = Leaves::new(order);
        Frozen { leaves: leaves.encode(), shown: Arc::new(Provable::new(tree, leaves.places())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{RosterChange, RosterUpdate},
        owner::sealing_tests::Bench,
    };

    /// Wide enough that they are kept.
    fn wide() -> (Bench, Members) {
        let names: Vec<String> = (0..2 * WORTH_KEEPING).map(|no| format!("w{no}")).collect();
        let mut bench = Bench::new();
        bench.attach(9, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let all = bench.owner.inventory.all().clone();
        (bench, all)
    }

    /// What is kept is what would be made now; whether it was kept.
    fn kept(bench: &mut Bench, targets: &Members) -> bool {
        let before = bench.owner.kept.as_ref().map(|kept| kept.frozen.shown.clone());
        let (given, anew) = (bench.owner.freeze(targets), bench.owner.freeze_anew(targets));
        assert_eq!(given.leaves, anew.leaves);
        assert_eq!(given.shown.root(), anew.shown.root());
        before.is_some_and(|before| Arc::ptr_eq(&before, &given.shown))
    }

    #[test]
    fn the_same_targets_have_the_same_tree_until_something_moves() {
        let (mut bench, all) = wide();
        assert!(!kept(&mut bench, &all) && kept(&mut bench, &all));
        let a1 = bench.owner.inventory.no_of("a1").unwrap();
        let minion = bench.owner.inventory.get(a1).unwrap().clone();
        let known = &mut bench.owner.inventory;
        known.upsert(&minion.id, &minion.region, &minion.syndic, Incarnation(99), None, true, 0);
        assert!(!kept(&mut bench, &all) && kept(&mut bench, &all), "another journal");
        bench.owner.syndic_down(0, LinkId(9));
        assert!(!kept(&mut bench, &all) && kept(&mut bench, &all), "other seats");
        let fewer = &all - Members::from_iter([a1]);
        assert!(!kept(&mut bench, &fewer) && kept(&mut bench, &fewer), "others");
    }

    /// Whom a job of now is signed for is what would be looked up now; whether it was looked up before.
    fn agreed(bench: &mut Bench, jid: Jid, among: &Members) -> bool {
        let kept = |owner: &Owner| owner.agreed.as_ref().map(|kept| format!("{kept:?}"));
        let version = bench.owner.inventory.version();
        bench.owner.jobs.get_mut(&jid).unwrap().head.inventory_version = version;
        let before = kept(&bench.owner);
        let signed = bench.owner.signed_for(jid, among);
        assert_eq!(signed, bench.owner.look_for_signed(version, among));
        before == kept(&bench.owner)
    }

    #[test]
    fn whom_it_is_signed_for_is_looked_up_again_when_somebody_says_something_else() {
        let (mut bench, all) = wide();
        let jid = bench.submit(BatchRule::default());
        agreed(&mut bench, jid, &all);
        assert!(agreed(&mut bench, jid, &all));
        let w1 = bench.owner.inventory.no_of("w1").unwrap();
        assert!(agreed(&mut bench, jid, &(&all - Members::from_iter([w1]))), "some of them");
        // The link says an older journal of one, which nobody else believes.
        let (id, no) = ("w1".parse().unwrap(), bench.owner.tier.seat_of(w1).unwrap().1);
        let entry =
            RosterEntry { no, id, incarnation: Incarnation(6), up: true, since: 0, grains: "{}".into() };
        let update = RosterUpdate::Delta { from: 1, to: 2, changes: vec![RosterChange::Put(entry)] };
        let news = bench.owner.tier.roster(LinkId(9), &update, &mut |_| Some(w1));
        assert!(news.is_ok() && !agreed(&mut bench, jid, &all) && agreed(&mut bench, jid, &all));
        assert!(!bench.owner.signed_for(jid, &all).contains(w1));
        let minion = bench.owner.inventory.get(w1).unwrap().clone();
        let known = &mut bench.owner.inventory;
        known.upsert(&minion.id, &minion.region, &minion.syndic, Incarnation(99), None, true, 0);
        assert!(!agreed(&mut bench, jid, &all), "another journal");
        bench.owner.syndic_down(0, LinkId(9));
        assert!(!agreed(&mut bench, jid, &all), "other seats");
    }

    #[test]
    fn a_few_leave_what_is_kept_alone() {
        let (mut bench, all) = wide();
        kept(&mut bench, &all);
        assert!(!kept(&mut bench, &Members::from_iter([0, 1])));
        assert!(kept(&mut bench, &all));
    }
}
