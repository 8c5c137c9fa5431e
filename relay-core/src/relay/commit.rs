//! What becomes durable when, and what may leave only then: sends after their marks, returns and acknowledgements after their
//! batch.
//!
//! Owns the pace: folds, rosters and acknowledgements are gathered so that many cost one write.

use super::*;

impl Relay {
    /// A [`RelayEffect::Persist`] is durable: its messages may leave, its returns are acknowledged and sent up.
    pub fn persisted(&mut self, now: Millis, ticket: u64) {
        let Some(waiting) = self.waiting.remove(&ticket) else { return };
        // Before the job, in the same write.
        let company = self.acks.along(waiting.sendings.iter().flat_map(|sending| &sending.links));
        company.into_iter().for_each(|acks| self.send(acks));
        // The disk may have stood still for long: nothing starts later than it was granted for.
        let waited = now.saturating_sub(waiting.since);
        waiting.sendings.into_iter().for_each(|s| self.send(s.aged(waited)));
        self.acks.take_in(waiting.acks, now);
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
        let due = self.uplinks.iter().filter_map(|u| u.fold.due()).any(|due| due <= now);
        if due || !self.finished.is_empty() {
            self.flush(now, due);
        } else if !self.owed.is_empty() && self.uplinks.iter().all(|u| u.fold.due().is_none()) {
            self.acknowledge_duplicates(now);
        }
        if self.beats_due.is_some_and(|due| due <= now) {
            self.answer_beats();
        }
        self.acks.ripe(now).into_iter().for_each(|acks| self.send(acks));
        if self.roster_due.is_some_and(|due| due <= now) {
            self.flush_roster();
        }
        self.report(now);
    }

    /// What is folded of jobs that have their last answer, and all that is folded if it is due: one group commit.
    fn flush(&mut self, now: Millis, due: bool) {
        let finished = std::mem::take(&mut self.finished);
        let waits = |jid: &Jid| self.errands.get(jid).is_some_and(|errand| errand.spooled > 0);
        let (late, alone): (BTreeSet<Jid>, _) = finished.into_iter().partition(waits);
        let (mut waiting, mut records) = (Waiting::default(), Vec::new());
        for (parent, uplink) in self.uplinks.iter_mut().enumerate() {
            let express = uplink.flush_of(now, &alone, true);
            let rest = if due { uplink.flush(now) } else { uplink.flush_of(now, &late, false) };
            for batch in express.into_iter().chain(rest) {
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
        // An acknowledgement covers all that its link sent before: nothing of that may be in an open fold any more.
        if self.uplinks.iter().all(|uplink| uplink.fold.due().is_none()) {
            waiting.acks = std::mem::take(&mut self.owed);
        }
        self.persist(records, waiting);
    }

    /// Nothing new in what was received: acknowledge it with the newest commit under way, or now.
    fn acknowledge_duplicates(&mut self, now: Millis) {
        let owed = std::mem::take(&mut self.owed);
        match self.waiting.values_mut().next_back() {
            Some(newest) => newest.acks.take_in(owed, 0),
            None => self.acks.take_in(owed, now),
        }
    }

    /// One message for all whose heartbeats came since the last one, and what they are owed with it.
    fn answer_beats(&mut self) {
        self.beats_due = None;
        let links: Vec<LinkId> = std::mem::take(&mut self.beats).into_iter().collect();
        if !links.is_empty() {
            self.acks.along(&links).into_iter().for_each(|acks| self.send(acks));
            self.send(Sending::new(links, Down::Heartbeat));
        }
    }

    pub(super) fn flush_roster(&mut self) {
        self.roster_due = None;
        let Some(delta) = self.roster.delta() else { return };
        let links = self.uplinks.iter().filter_map(Uplink::link);
        self.effects.extend(links.map(|link| RelayEffect::SendUp { link, up: Up::Roster(delta.clone()) }));
    }

    /// Sends what is durable, within each uplink's window. Roster changes go first: a parent must know every number
    /// that a return names.
    pub(super) fn pump(&mut self, now: Millis) {
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

    pub(super) fn heartbeat(&mut self, now: Millis, parent: ParentNo) {
        let Some(link) = self.uplinks[parent].link() else { return };
        self.uplinks[parent].next_beat = now + self.rule.uplink.interval;
        let started = |(&jid, work): (&Jid, &Work)| {
            let members = work.ledger.started().clone();
            (!members.is_empty()).then_some(Running { jid, members })
        };
        let running = self.tier.works.iter().filter_map(started).collect();
        self.effects.push(RelayEffect::SendUp { link, up: Up::Heartbeat(running) });
    }
}
