//! What syndics report of forgeries that were refused below them.
//!
//! Owns what is taken of it: a syndic speaks for minions of its own region and of its own roster, about syndics of that region.
//! That it is true, nobody knows: it is written down as what they say.

use super::*;
use crate::suspicion::{A_MINUTE_OF_A_LINK, Report, Reporter, Suspicion, Witness};

/// Minions that a report names; of the others it has the number.
const NAMED: usize = 8;

impl Owner {
    pub(super) fn suspicions(&mut self, link: LinkId, list: Vec<Suspicion>) {
        let Some(Syndic { id: via, region }) = self.syndics.get(&link) else { return };
        let (via, region) = (via.clone(), region.clone());
        let mut dropped = 0;
        for suspicion in list {
            if !self.reports.take(self.now, via.clone(), A_MINUTE_OF_A_LINK) {
                dropped += 1;
                continue;
            }
            let by = self.reporter(link, &via, &region, &suspicion.witness);
            match by.filter(|_| !self.is_elsewhere(&suspicion.parent, &region)) {
                Some(by) => {
                    let Suspicion { kind, jid, parent: accused, at, count, .. } = suspicion;
                    let report = Report { via: via.clone(), by, accused, kind, jid, at, count };
                    self.effects.push(OwnerEffect::Reported(report));
                }
                None => dropped += 1,
            }
        }
        if dropped > 0 {
            self.effects.push(OwnerEffect::ReportsDropped { syndic: via, dropped });
        }
    }

    /// Who says so, by name; nobody, if there is none of that region.
    fn reporter(
        &self,
        link: LinkId,
        via: &TierId,
        region: &RegionName,
        witness: &Witness,
    ) -> Option<Reporter> {
        let members = match witness {
            Witness::Sender => return Some(Reporter::Syndic(via.clone())),
            Witness::Below(syndic) if self.is_elsewhere(syndic, region) => return None,
            Witness::Below(syndic) => return Some(Reporter::Syndic(syndic.clone())),
            Witness::Minions(members) => self.tier.localise(link, members),
        };
        let known = members.iter().filter_map(|no| self.inventory.get(no));
        let own: Vec<&MinionId> = known.filter(|m| m.region == *region).map(|m| &m.id).collect();
        let named = own.iter().take(NAMED).map(|id| (*id).clone()).collect();
        (!own.is_empty()).then_some(Reporter::Minions(own.len() as u64, named))
    }

    /// A syndic that is attached, and is another region's.
    fn is_elsewhere(&self, id: &TierId, region: &RegionName) -> bool {
        self.syndics.values().any(|syndic| syndic.id == *id && syndic.region != *region)
    }
}
