//! What a syndic takes of a parent that may be nobody it should listen to, and what it passes on of a proof.

use super::*;
use crate::{
    merkle::{Proof, TargetRoot, Tree, leaf},
    tier::{MAX_TREE_BYTES, Provable},
};

/// The tree over m0.. of [`Bench::attached`] and as many that sit elsewhere, in turns.
fn tree(minions: u32) -> Tree {
    let pair = |no: u32| {
        let own = leaf(Incarnation(u64::from(no) + 1), &format!("m{no}").parse().unwrap());
        [own, leaf(Incarnation(9), &format!("x{no}").parse().unwrap())]
    };
    Tree::full((0..minions).flat_map(pair).collect())
}

fn job(root: TargetRoot) -> Arc<Job> {
    Arc::new(Job { jid: jid(), digest: [1; 32], envelope: "job".into(), targets: Some(root) })
}

fn dispatch(root: TargetRoot, members: &[u32], proof: Proof) -> Dispatch {
    let (job, members, flaw) = (job(root), set(members), None);
    Dispatch { job, epoch: Epoch(1), members, proof, reoffer: false, deliver_within: 10_000, flaw }
}

/// The proof for members, who stand at every other place.
fn proof(tree: &Tree, members: &[u32]) -> Proof {
    tree.prove(members.iter().map(|no| 2 * no).collect()).unwrap()
}

impl Bench {
    fn told(&mut self, dispatch: Dispatch) {
        self.relay.from_parent(0, PARENT, Down::Dispatch(dispatch));
        self.turn(0);
    }

    fn alarms(&self) -> usize {
        self.sent.iter().filter(|effect| matches!(effect, RelayEffect::Alarm { .. })).count()
    }

    /// The proofs that went down, by the link of the minion.
    fn proofs(&self) -> Vec<(u64, Proof)> {
        let one = |effect: &RelayEffect| match effect {
            RelayEffect::Send(sending) => {
                sending.links.iter().map(|link| link.0).zip(sending.proofs.clone()).collect()
            }
            _ => Vec::new(),
        };
        self.sent.iter().flat_map(one).collect()
    }
}

#[test]
fn each_minion_gets_its_own_part_of_the_proof() {
    let (mut bench, tree) = (Bench::attached(5), tree(5));
    bench.told(dispatch(tree.root(), &[0, 2, 3], proof(&tree, &[0, 2, 3])));
    let proofs = bench.proofs();
    assert_eq!(proofs.iter().map(|(no, _)| *no).collect::<Vec<_>>(), [0, 2, 3]);
    for (no, proof) in proofs {
        let own = leaf(Incarnation(no + 1), &format!("m{no}").parse().unwrap());
        assert!(proof.verify(&[own], &tree.root()).is_ok(), "m{no}");
    }
}

#[test]
fn a_dispatch_for_others_than_the_owner_meant_is_not_taken() {
    let (mut bench, tree) = (Bench::attached(5), tree(5));
    let right = dispatch(tree.root(), &[0, 2, 3], proof(&tree, &[0, 2, 3]));
    let more = Dispatch { members: set(&[0, 1, 2, 3]), ..right.clone() };
    let others = Dispatch { members: set(&[0, 1, 3]), ..right.clone() };
    let unknown = Dispatch { members: set(&[0, 2, 77]), ..right.clone() };
    let bare = Dispatch { proof: Proof::default(), ..right.clone() };
    let root = TargetRoot { hash: [7; 32], ..tree.root() };
    let forged = Dispatch { job: job(root), ..right.clone() };
    let refused = [more, others, unknown, bare, forged];
    let count = refused.len();
    refused.into_iter().for_each(|dispatch| bench.told(dispatch));
    assert_eq!((bench.alarms(), bench.dispatched().len(), bench.relay.ledgers().count()), (count, 0, 0));
    assert_eq!(bench.relay.tier.trees.bytes(), 0);
    bench.told(right);
    assert_eq!((bench.alarms(), bench.dispatched().len()), (count, 3), "the right one still comes through");
}

#[test]
fn what_was_shown_piece_by_piece_is_enough_for_who_comes_later() {
    let (mut bench, tree) = (Bench::attached(4), tree(4));
    bench.relay.child_down(0, 0, LinkId(1));
    bench.told(dispatch(tree.root(), &[0], proof(&tree, &[0])));
    bench.told(dispatch(tree.root(), &[1, 3], proof(&tree, &[1, 3])));
    assert_eq!(bench.dispatched(), [LinkId(0), LinkId(3)]);
    bench.minion(1);
    assert_eq!(bench.dispatched().last(), Some(&LinkId(1)));
    assert_eq!(bench.proofs().len(), 3);
}

/// Over the bound, a syndic forgets; whoever is above offers again what it has sent, with a proof.
#[test]
fn what_can_not_be_shown_any_more_waits_until_it_is_offered_again() {
    let (mut bench, tree) = (Bench::attached(4), tree(4));
    bench.relay.child_down(0, 0, LinkId(1));
    bench.told(dispatch(tree.root(), &[1, 3], proof(&tree, &[1, 3])));
    let full = Tree::full(vec![[0; 32]; MAX_TREE_BYTES / 64]);
    bench.relay.tier.trees.add(Jid::from_micros(1), Provable::new(full, Vec::new()).into());
    assert!(!bench.relay.tier.trees.has(jid()));
    bench.minion(1);
    assert_eq!(bench.dispatched(), [LinkId(3)]);
    bench.told(Dispatch { reoffer: true, ..dispatch(tree.root(), &[1], proof(&tree, &[1])) });
    assert_eq!(bench.dispatched(), [LinkId(3), LinkId(1)]);
}
