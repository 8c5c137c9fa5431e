//! Somebody who has a syndic's key and everything that syndics were told, and wants something else to run, or elsewhere, or again.
//!
//! He speaks over the links of a real syndic, which goes on as well. What he could do and does not: keep jobs back, or bring one in
//! its time to whom it is for, which is what a syndic is there for.

use prost::Message as _;
use relay_core::{
    Members,
    ids::{Incarnation, Jid, MinionId},
    merkle::{Hash, Proof, leaf},
    message::{Dispatch, Down, LinkId},
    signing::Span,
};
use relay_proto::{
    envelope,
    link::{Envelope, SignedEnvelope},
};
use sha2::{Digest, Sha256};

use crate::{
    event::{End, Place},
    minion::TOLERANCE,
    network::Message,
    world::World,
};

/// Dispatches that are kept: the newest.
const KEPT: usize = 256;
/// Of these every other try is made of the newest.
const FRESH: usize = 16;
/// What he tries each time.
const TRIES: usize = 6;
/// How long he says that his dispatches may be delivered.
const WITHIN: u64 = 20_000;

/// What a syndic was told for one member, with the proof that it would pass on.
#[derive(Debug, Clone)]
pub struct Loot {
    dispatch: Dispatch,
    id: MinionId,
    incarnation: Incarnation,
    span: Span,
}

impl World {
    /// What a syndic is told is overheard, where the red team is at work.
    pub fn steal(&mut self, no: usize, dispatch: &Dispatch) {
        let Some(root) = dispatch.job.targets.filter(|_| self.faults.red_team()) else { return };
        let Ok(spec) = envelope::open(&dispatch.job) else { return };
        let roster = self.syndics[no].relay.roster();
        let leaves: Option<Vec<Hash>> = dispatch.members.iter().map(|member| roster.leaf(member)).collect();
        let Some(tree) = leaves.and_then(|leaves| dispatch.proof.verify(&leaves, &root).ok()) else { return };
        let mut loot = Vec::new();
        for (member, place) in dispatch.members.iter().zip(&dispatch.proof.places) {
            let (Some(entry), Some(proof)) = (roster.get(member), tree.prove(vec![*place])) else { continue };
            let (members, reoffer, deliver_within) = (Members::from_iter([0]), false, WITHIN);
            let dispatch = Dispatch { members, proof, reoffer, deliver_within, ..dispatch.clone() };
            let (id, incarnation) = (entry.id.clone(), entry.incarnation);
            loot.push(Loot { dispatch, id, incarnation, span: spec.span });
        }
        self.loot.extend(loot);
        let over = self.loot.len().saturating_sub(KEPT);
        self.loot.drain(..over);
    }

    /// He tries some of what he knows.
    pub fn attack(&mut self) {
        for _ in 0..TRIES {
            if self.loot.is_empty() {
                return;
            }
            // Much of it is soon over; what is fresh tries the other defences.
            let among = if self.random.once_in(2) { FRESH.min(self.loot.len()) } else { self.loot.len() };
            let loot = self.loot[self.loot.len() - 1 - self.random.below(among)].clone();
            match self.random.below(7) {
                0 => self.alter(loot),
                6 => self.make_up(loot),
                1 => self.rename(loot),
                2 => self.re_aim(loot),
                3 => self.add_member(loot),
                4 => self.replay(loot),
                _ => self.deceive_a_syndic(loot),
            }
        }
    }

    /// The same signature over something else.
    fn alter(&mut self, loot: Loot) {
        let Some(mut body) = body_of(&loot) else { return };
        let at = self.random.below(body.len());
        body[at] ^= 1 << self.random.below(8);
        self.coverage.add("red team: altered", 1);
        let jid = loot.dispatch.job.jid;
        self.bring_another(loot, jid, body);
    }

    /// A job of his own for the same targets, with a signature that was made for another.
    fn make_up(&mut self, loot: Loot) {
        let Some(mut envelope) = body_of(&loot).and_then(|body| Envelope::decode(&body[..]).ok()) else {
            return;
        };
        envelope.jid += 1 + self.random.bits() % 1_000_000;
        self.coverage.add("red team: made up", 1);
        self.bring_another(loot, Jid::from_micros(envelope.jid), envelope.encode_to_vec());
    }

    /// Another body, under the signature of what was stolen.
    fn bring_another(&mut self, mut loot: Loot, jid: Jid, body: Vec<u8>) {
        let Ok(mut signed) = SignedEnvelope::decode(loot.dispatch.job.envelope.clone()) else { return };
        signed.body = body.into();
        let bytes = signed.encode_to_vec();
        let digest = Sha256::digest(&bytes).into();
        loot.dispatch.job = envelope::job(jid, digest, bytes.into()).into();
        self.bring(&loot.id.clone(), loot.dispatch);
    }

    /// What was signed, under a name under which nobody has seen it.
    fn rename(&mut self, mut loot: Loot) {
        let mut job = (*loot.dispatch.job).clone();
        job.jid = Jid::from_micros(job.jid.micros() + 1 + self.random.bits() % 1_000_000);
        loot.dispatch.job = job.into();
        self.coverage.add("red team: renamed", 1);
        self.bring(&loot.id.clone(), loot.dispatch);
    }

    /// What was signed for one, to another; with the proof of the one, or as if it were all there is.
    fn re_aim(&mut self, mut loot: Loot) {
        let other = self.minions[self.random.below(self.minions.len())].id.clone();
        if other == loot.id {
            return;
        }
        if self.random.once_in(3) {
            loot.dispatch.proof = Proof { size: 1, places: vec![0], hashes: Vec::new() };
        }
        self.coverage.add("red team: re-aimed", 1);
        self.bring(&other, loot.dispatch);
    }

    /// Somebody is put into the tree, beside or in place of those who are in it.
    fn add_member(&mut self, mut loot: Loot) {
        let other = &self.minions[self.random.below(self.minions.len())];
        if other.id == loot.id {
            return;
        }
        let (own, other) = (leaf(Incarnation(other.incarnation), &other.id), other.id.clone());
        let proof = &mut loot.dispatch.proof;
        match self.random.below(3) {
            0 => proof.hashes.push(own),
            1 => proof.size += 1,
            _ => proof.hashes.iter_mut().take(1).for_each(|hash| *hash = own),
        }
        self.coverage.add("red team: added a member", 1);
        self.bring(&other, loot.dispatch);
    }

    /// What was for it, when its time is over, or to a journal that is new since.
    fn replay(&mut self, loot: Loot) {
        let late = self.true_wall() > loot.span.not_after + TOLERANCE * 1_000;
        let minion = self.minions.iter().find(|minion| minion.id == loot.id);
        let new = minion.is_some_and(|minion| minion.incarnation != loot.incarnation.0);
        // It has run it, or refused it: nothing must come of it either.
        let known = minion.is_some_and(|minion| minion.holds(loot.dispatch.job.jid));
        let what = match () {
            () if new => "red team: replayed to a new journal",
            () if late => "red team: replayed after its time",
            () if known => "red team: replayed",
            () => return,
        };
        self.coverage.add(what, 1);
        self.bring(&loot.id.clone(), loot.dispatch);
    }

    /// To a syndic below, for others of its minions.
    fn deceive_a_syndic(&mut self, loot: Loot) {
        let below = |(no, link): (u64, &crate::network::Link)| match (link.parent.0, link.child.0) {
            (Place::Syndic(_), Place::Syndic(_)) if !link.is_dead() && link.is_open(End::Child) => Some(no),
            _ => None,
        };
        let links: Vec<u64> = self.net.open_links().filter_map(below).collect();
        if links.is_empty() {
            return;
        }
        let link = self.random.pick(&links);
        let members = Members::from_iter([self.random.below(8) as u32]);
        self.coverage.add("red team: to a syndic", 1);
        let down = Down::Dispatch(Dispatch { members, ..loot.dispatch });
        self.send(link, End::Child, Message::Down(down));
    }

    /// Over the link of whichever syndic the minion hangs on.
    fn bring(&mut self, id: &MinionId, dispatch: Dispatch) {
        let Some(minion) = self.minions.iter().find(|minion| minion.id == *id) else { return };
        let Some(LinkId(link)) = minion.link.map(LinkId) else { return };
        self.say(|| format!("RED TEAM brings {} to {id}", dispatch.job.jid));
        self.send(link, End::Child, Message::Down(Down::Dispatch(dispatch)));
    }
}

/// What was signed.
fn body_of(loot: &Loot) -> Option<Vec<u8>> {
    let signed = SignedEnvelope::decode(loot.dispatch.job.envelope.clone()).ok()?;
    Some(signed.body.to_vec())
}
