//! What a syndic has been told by those below, folded, until its own parent has heard it.
//!
//! In memory only: who told it forgets it when this syndic has it. So if this process dies with it, it is lost; the forger's next
//! forgery is told again.

use std::collections::BTreeMap;

use super::{A_MINUTE_OF_A_SYNDIC, ANSWERS, Forgery, Ration, Suspicion, Witness};
use crate::{
    Members,
    ids::{Jid, TierId},
    time::{Millis, WallMicros},
};

/// Different ones kept at once. What comes then is dropped, and counted.
pub const MAX_GATHERED: usize = 256;
/// They are gathered for so long, so that what thousands of minions refuse is few messages.
const PACE: Millis = 500;

/// With the syndic that says so, if it is one.
type Key = (Forgery, TierId, Option<Jid>, Option<TierId>);

#[derive(Debug, Clone, Default)]
struct Group {
    members: Members,
    at: WallMicros,
    count: u64,
    /// It was sent over the present link, and since then so many heartbeats were answered.
    sent: Option<u8>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Gathered {
    groups: BTreeMap<Key, Group>,
    dropped: u64,
    due: Option<Millis>,
    ration: Ration<()>,
}

impl Gathered {
    /// Takes one, its minions in own numbers. A syndic has to be named.
    pub fn add(&mut self, now: Millis, suspicion: Suspicion) {
        let Suspicion { kind, jid, parent, at, count, witness } = suspicion;
        let (members, syndic) = match witness {
            Witness::Minions(members) if !members.is_empty() => (members, None),
            Witness::Below(syndic) => (Members::new(), Some(syndic)),
            Witness::Minions(_) | Witness::Sender => return self.drop(1),
        };
        let key = (kind, parent, jid, syndic);
        if self.groups.len() >= MAX_GATHERED && !self.groups.contains_key(&key) {
            return self.drop(1);
        }
        let group = self.groups.entry(key).or_insert(Group { at, ..Group::default() });
        // What is under way says less than this: it goes again, and is told twice rather than not at all.
        group.sent = None;
        group.members |= members;
        group.count = group.count.saturating_add(count);
        group.at = group.at.min(at);
        self.due.get_or_insert(now + PACE);
    }

    /// So many were not taken.
    pub fn drop(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    /// How many were not taken since this was asked last.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// When there is something to send, if there is a link.
    pub fn due(&self) -> Option<Millis> {
        self.due
    }

    /// What is to be sent now.
    pub fn take(&mut self, now: Millis) -> Vec<Suspicion> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.due = None;
        let mut out = Vec::new();
        for (key, group) in self.groups.iter_mut().filter(|(_, group)| group.sent.is_none()) {
            if !self.ration.take(now, (), A_MINUTE_OF_A_SYNDIC) {
                self.due = Some(self.ration.renewed());
                break;
            }
            group.sent = Some(0);
            out.push(suspicion(key, group));
        }
        out
    }

    /// A link to a parent is up: it has heard nothing yet.
    pub fn attached(&mut self, now: Millis) {
        self.groups.values_mut().for_each(|group| group.sent = None);
        self.due = (!self.groups.is_empty()).then_some(now + PACE);
    }

    /// The parent has answered a heartbeat: what was sent well before is heard.
    pub fn answered(&mut self) {
        self.groups.retain(|_, group| match &mut group.sent {
            Some(answers) => {
                *answers += 1;
                *answers < ANSWERS
            }
            None => true,
        });
    }
}

fn suspicion(key: &Key, group: &Group) -> Suspicion {
    let (kind, parent, jid, syndic) = key.clone();
    let witness = syndic.map_or_else(|| Witness::Minions(group.members.clone()), Witness::Below);
    Suspicion { kind, jid, parent, at: group.at, count: group.count, witness }
}
