//! What those below have refused as forged, on its way up.
//!
//! Owns whose word is taken, and how much of it. What a syndic refuses itself is told by its process ([`RelayEffect::Alarm`]).

use super::*;
use crate::suspicion::{A_MINUTE_OF_A_LINK, A_MINUTE_OF_A_MINION, Gathered, Ration, Suspicion, Witness};

/// Whose ration. A minion's is its own, by whatever link and however often it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Minion(u32),
    Link(LinkId),
}

#[derive(Debug, Default)]
pub(super) struct Reports {
    pub(super) gathered: Gathered,
    ration: Ration<Whose>,
}

impl Relay {
    /// A child has refused these. A minion speaks for itself alone, a syndic for those of its roster and for syndics below it.
    pub(super) fn child_suspects(&mut self, now: Millis, link: LinkId, list: Vec<Suspicion>) {
        let direct = self.tier.is_direct(link);
        for suspicion in list {
            let witness = match suspicion.witness {
                Witness::Minions(members) => Witness::Minions(self.tier.localise(link, &members)),
                named if !direct => named,
                _ => Witness::Minions(Members::new()),
            };
            let (whose, most) = match &witness {
                Witness::Minions(members) if direct => match members.min() {
                    Some(own) => (Whose::Minion(own), A_MINUTE_OF_A_MINION),
                    None => {
                        self.reports.gathered.drop(1);
                        continue;
                    }
                },
                _ => (Whose::Link(link), A_MINUTE_OF_A_LINK),
            };
            match self.reports.ration.take(now, whose, most) {
                true => self.reports.gathered.add(now, Suspicion { witness, ..suspicion }),
                false => self.reports.gathered.drop(1),
            }
        }
        let dropped = self.reports.gathered.take_dropped();
        if dropped > 0 {
            self.effects.push(RelayEffect::ReportsDropped(dropped));
        }
    }

    /// When there is something to be passed on; without a link it waits for one.
    pub(super) fn reports_due(&self) -> Option<Millis> {
        self.reports.gathered.due().filter(|_| self.parents_up() > 0)
    }

    /// Passes on what is due, behind the numbers that it names.
    pub(super) fn report(&mut self, now: Millis) {
        let Some(link) = self.uplinks.iter().find_map(Uplink::link) else { return };
        let list = self.reports.gathered.take(now);
        if !list.is_empty() {
            self.flush_roster();
            self.effects.push(RelayEffect::SendUp { link, up: Up::Suspicions(list) });
        }
    }
}
