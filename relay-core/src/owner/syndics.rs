//! What syndics tell: who is below them, what runs there, and what came back.
//!
//! Owns whose word is taken for whom; what an answer changes is [`Owner::record`]'s.

use super::*;
use crate::message::ReturnGroup;

impl Owner {
    /// A syndic attached.
    pub fn syndic_up(
        &mut self,
        now: Millis,
        link: LinkId,
        id: TierId,
        region: RegionName,
        spool: Incarnation,
    ) {
        let old = self.syndics.iter().find(|(_, s)| s.id == id).map(|(link, _)| *link);
        if let Some(old) = old {
            self.effects.push(OwnerEffect::Hangup { link: old, why: "taken over by a new connection" });
            self.syndic_down(0, old);
        }
        self.syndics.insert(link, Syndic { id, region });
        self.tier.attach(link, spool, now);
    }

    /// A syndic's link is gone.
    pub fn syndic_down(&mut self, wall: WallMicros, link: LinkId) {
        let down = self.tier.detach(link);
        self.inventory.set_up(&down, false, wall);
        self.owed.remove(&link);
        self.syndics.remove(&link);
        self.ask_contested();
    }

    /// A message came from a syndic.
    pub fn from_syndic(&mut self, now: Millis, wall: WallMicros, link: LinkId, up: Up) {
        if !self.tier.has(link) {
            return;
        }
        self.now = now;
        self.tier.heard(link, now);
        match up {
            Up::Roster(update) => self.roster(now, wall, link, update),
            Up::Heartbeat(running) => {
                self.tier.seen_running(link, &running);
                let sending = Sending::new(vec![link], Down::Heartbeat);
                self.effects.push(OwnerEffect::Send(sending));
            }
            Up::Returns(batch) => self.returns(link, batch),
            Up::Suspicions(list) => self.suspicions(link, list),
        }
    }

    fn roster(&mut self, now: Millis, wall: WallMicros, link: LinkId, update: RosterUpdate) {
        let Some(syndic) = self.syndics.get(&link) else { return };
        let (inventory, effects) = (&mut self.inventory, &mut self.effects);
        let (mut changed, mut turned_away) = (Vec::new(), Vec::new());
        let mut number = |entry: &RosterEntry| {
            let known = inventory.no_of(entry.id.as_str()).and_then(|no| inventory.get(no));
            if known.is_some_and(|m| m.region != syndic.region) {
                effects.push(OwnerEffect::ForeignMinion { syndic: syndic.id.clone(), id: entry.id.clone() });
                return None;
            }
            if known.is_none() && !inventory.has_room(&syndic.region) {
                turned_away.push(entry.id.clone());
                return None;
            }
            let moved = known.is_none_or(|m| m.syndic != syndic.id);
            if entry.is_remembered() && known.is_some() {
                return inventory.no_of(entry.id.as_str());
            }
            let (grains, up) = (Some(&*entry.grains).filter(|text| !text.is_empty()), entry.up);
            let up = up || known.is_some_and(|m| m.up && m.syndic != syndic.id);
            if !entry.up && moved && known.is_some() {
                // It has moved on; this syndic only remembers it.
                return inventory.no_of(entry.id.as_str());
            }
            let did =
                inventory.upsert(&entry.id, &syndic.region, &syndic.id, entry.incarnation, grains, up, wall);
            if let Some(why) = did.grains_refused {
                effects.push(OwnerEffect::GrainsRefused { id: entry.id.clone(), why });
            }
            if did.created || did.incarnation_changed || did.grains_changed || moved {
                changed.push(did.no);
            }
            Some(did.no)
        };
        let news = self.tier.roster(link, &update, &mut number);
        if let Some(first) = turned_away.first() {
            let (syndic, region) = (syndic.id.clone(), syndic.region.clone());
            let (first, refused) = (first.clone(), turned_away.len() as u64);
            self.effects.push(OwnerEffect::RegionFull { syndic, region, first, refused });
        }
        let Ok(news) = news else {
            self.resync(link);
            return;
        };
        self.inventory.set_up(&news.up, true, wall);
        self.inventory.set_up(&news.down, false, wall);
        let records: Vec<Record> = changed.into_iter().filter_map(|no| self.inventory.record(no)).collect();
        if !records.is_empty() {
            self.persist(vec![Write::Minions(records)], Waiting::default(), false);
        }
        self.offer(now, &news.up);
        self.ask_contested();
    }

    fn resync(&mut self, link: LinkId) {
        self.effects.push(OwnerEffect::Send(Sending::new(vec![link], Down::RosterResync)));
    }

    fn ask_contested(&mut self) {
        self.tier.take_contested().into_iter().for_each(|link| self.resync(link));
    }

    fn returns(&mut self, link: LinkId, batch: ReturnBatch) {
        let known = batch.groups.iter().all(|g| self.tier.knows(link, &g.members));
        if !self.tier.takes(link, batch.seq, known && self.stalled.is_none()) {
            if !known {
                self.resync(link);
            }
            self.congested(link);
            let down = Down::ReturnsBusy { retry_after: crate::relay::BUSY_RETRY };
            self.effects.push(OwnerEffect::Send(Sending::new(vec![link], down)));
            return;
        }
        self.batches += 1;
        for group in batch.groups {
            let told = self.tier.localise(link, &group.members);
            let local = match group.answer.denies_start() && !group.answer.by_tier {
                true => self.knowing(link, group.jid, &group.members),
                false => told.clone(),
            };
            let invented = self.is_invented(group.jid, &group.answer);
            let believed = self.tier.believable(link, group.jid, &group.answer, &local);
            let believed = if invented { Members::new() } else { believed };
            self.suspect(link, &group, told.len() - local.len(), invented);
            self.record(group.jid, group.answer, &believed);
        }
        self.owe(link, batch.seq);
    }

    /// A tier says that it kept a job back because it was cancelled, and nobody has cancelled it.
    fn is_invented(&self, jid: Jid, answer: &Answer) -> bool {
        let cancelled = answer.by_tier && answer.outcome == Outcome::Cancelled;
        cancelled && self.tier.works.get(&jid).is_some_and(|work| !work.cancelled)
    }

    /// What an answer shows of whoever is below this link, beside what it says. `strangers`: those who said that nothing was started
    /// under a journal that cannot know.
    fn suspect(&mut self, link: LinkId, group: &ReturnGroup, strangers: u64, invented: bool) {
        let (answer, all) = (&group.answer, group.members.len());
        let (why, members) = match () {
            () if invented => ("a tier says that a job was cancelled which nobody cancelled", all),
            () if answer.by_tier && !answer.denies_start() => {
                ("a tier says what only a minion can know", all)
            }
            () if answer.reason.is_alarming() => (answer.reason.word(), all),
            () if strangers > 0 => ("refused under another journal than the one it is signed for", strangers),
            () => return,
        };
        let Some(syndic) = self.syndics.get(&link).map(|syndic| syndic.id.clone()) else { return };
        self.effects.push(OwnerEffect::Suspect { syndic, jid: group.jid, why, members });
    }

    /// Returns come faster than they can be taken, from this link among others.
    fn congested(&mut self, link: LinkId) {
        let members = self.tier.members_of(link);
        self.jobs.values_mut().filter(|job| !job.closed).for_each(|job| job.window.congested(&members));
    }
}
