//! What comes from below: who is there, what runs, and answers, which are folded.
//!
//! Owns what is believed of a child and when it is told to wait. What becomes durable when is `commit`'s.

use super::*;
use crate::inventory::MAX_GRAINS_BYTES;

impl Relay {
    /// A child attached: a minion under its own id, or a syndic (`id` is `None`) whose roster names its minions.
    /// A minion id that is already here by another link and journal is refused; by the same journal, it takes over.
    pub fn child_up(&mut self, now: Millis, link: LinkId, id: Option<&MinionId>, incarnation: Incarnation) {
        if let Some(present) = id.and_then(|id| self.roster.by_id(id)).filter(|e| e.up)
            && let Some(old) = self.tier.link_of(present.no)
        {
            if present.incarnation != incarnation {
                self.effects.push(RelayEffect::Hangup { link, why: "id in use by another journal" });
                return;
            }
            self.effects.push(RelayEffect::Hangup { link: old, why: "taken over by a new connection" });
            self.child_down(now, 0, old);
        }
        if let Some(id) = id
            && !self.roster.has_number(id, incarnation)
            && !self.journals.take(now, id)
        {
            self.effects.push(RelayEffect::Hangup { link, why: "too many journals" });
            return;
        }
        self.tier.attach(link, if id.is_some() { DIRECT } else { incarnation }, now);
    }

    /// A child's link is gone.
    pub fn child_down(&mut self, now: Millis, wall: WallMicros, link: LinkId) {
        let down = self.tier.detach(link);
        self.owed.forget(link);
        self.acks.forget(link);
        self.beats.remove(&link);
        self.roster.set_up(&down, false, wall);
        self.roster_due.get_or_insert(now + ROSTER_PACE);
        self.ask_contested();
    }

    /// A message came from a child.
    pub fn from_child(&mut self, now: Millis, wall: WallMicros, link: LinkId, up: Up) {
        if !self.tier.has(link) {
            return;
        }
        self.tier.heard(link, now);
        match up {
            Up::Roster(update) => self.child_roster(now, wall, link, update),
            Up::Heartbeat(running) => {
                if self.tier.seen_running(link, &running) {
                    self.tell_due.get_or_insert(now + TELL_PACE);
                }
                self.beats.insert(link);
                self.beats_due.get_or_insert(self.rule.heartbeat.answered_at(now));
            }
            Up::Returns(batch) => self.child_returns(now, link, batch),
            Up::Suspicions(list) => self.child_suspects(now, link, list),
        }
    }

    pub(super) fn send(&mut self, sending: Sending) {
        self.effects.push(RelayEffect::Send(sending));
    }

    fn child_roster(&mut self, now: Millis, wall: WallMicros, link: LinkId, update: RosterUpdate) {
        let (roster, lazy) = (&mut self.roster, &mut self.lazy);
        let mut number = |entry: &crate::message::RosterEntry| {
            let given = roster.number(&entry.id, entry.incarnation)?;
            if given.new {
                let (id, incarnation) = (entry.id.clone(), entry.incarnation);
                lazy.push(SpoolRecord::Member { no: given.no, id, incarnation });
            }
            // Whoever is up at another child has moved there: this one only remembers it. Is it this one's own, the seat
            // that it loses takes it down.
            let moved_on = !entry.up && roster.by_id(&entry.id).is_some_and(|e| e.up);
            if !entry.is_remembered() && !moved_on {
                let mut own = entry.clone();
                (own.no, own.since, own.grains) = (given.no, wall, bounded(entry.grains.clone()));
                roster.put(own);
            }
            Some(given.no)
        };
        let Ok(news) = self.tier.roster(link, &update, &mut number) else {
            self.send(Sending::new(vec![link], Down::RosterResync));
            return;
        };
        if news.refused > 0 {
            self.effects.push(RelayEffect::Hangup { link, why: "roster full" });
        }
        self.roster.set_up(&news.up, true, wall);
        self.roster.set_up(&news.down, false, wall);
        self.roster_due.get_or_insert(now + ROSTER_PACE);
        // A spool remembers whom a job was sent to and not until when it may start: who is not named by the owner since then
        // would be asked as one that is late, and refuse for good what it may still run.
        let named = |work: &Work| &news.up & &work.deadlines.known();
        let open: Vec<(Jid, Members)> = self.tier.works.iter().map(|(jid, w)| (*jid, named(w))).collect();
        for (jid, members) in open {
            let placement = self.tier.place(now, jid, &members);
            self.begin(now, jid, placement);
        }
        self.tell_homes(&news.up);
        self.ask_contested();
    }

    fn ask_contested(&mut self) {
        for link in self.tier.take_contested() {
            self.send(Sending::new(vec![link], Down::RosterResync));
        }
    }

    /// Marks first, then the messages; and no message before the marks of an earlier placement that are under way.
    pub(super) fn begin(&mut self, now: Millis, jid: Jid, placement: Placement) {
        if placement.marks.is_empty() {
            return self.after_marks(jid, placement.sendings);
        }
        let records = placement.marks.into_iter().map(SpoolRecord::Sent).collect();
        let (sendings, marks) = (placement.sendings, Some(jid));
        let waiting = Waiting { sendings, since: now, marks, ..Waiting::default() };
        self.persist(records, waiting);
    }

    /// Sends behind what waits for the marks of this job.
    pub(super) fn after_marks(&mut self, jid: Jid, sendings: Vec<Sending>) {
        match self.waiting.values_mut().rev().find(|w| w.marks == Some(jid)) {
            Some(waiting) => waiting.sendings.extend(sendings),
            None => sendings.into_iter().for_each(|s| self.send(s)),
        }
    }

    pub(super) fn persist(&mut self, mut records: Vec<SpoolRecord>, waiting: Waiting) {
        let mut all = std::mem::take(&mut self.lazy);
        all.append(&mut records);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, waiting);
        self.effects.push(RelayEffect::Persist { ticket, records: all });
    }

    fn child_returns(&mut self, now: Millis, link: LinkId, batch: ReturnBatch) {
        let known = batch.groups.iter().all(|g| self.tier.knows(link, &g.members));
        let room = !self.stalled && self.spooled_bytes() < self.rule.spool_max_bytes;
        if !self.tier.takes(link, batch.seq, known && room) {
            if !known {
                self.send(Sending::new(vec![link], Down::RosterResync));
            }
            self.send(Sending::new(vec![link], Down::ReturnsBusy { retry_after: BUSY_RETRY }));
            return;
        }
        let bytes: usize = batch.groups.iter().map(|g| g.answer.body.len()).sum();
        let by = acks::pace(self.tier.is_direct(link), bytes);
        for ReturnGroup { jid, answer, members } in batch.groups {
            let local = self.tier.localise(link, &members);
            let believed = self.tier.believable(link, jid, &answer, &local);
            self.answer(now, jid, answer, &believed);
        }
        self.owed.add(link, Ack { up_to: batch.seq, by });
    }

    /// Writes an answer into the ledger, and folds what is new of it.
    pub(super) fn answer(&mut self, now: Millis, jid: Jid, answer: Arc<Answer>, members: &Members) {
        let fresh = match self.tier.works.get_mut(&jid) {
            // Not dispatched through here: brought along by a minion that moved. Passed on as it is.
            None => members.clone(),
            Some(work) => {
                // A minion's own word stands above what this tier said of it: it may have had the job by another way.
                if !answer.by_tier {
                    work.ledger.reopen_said_by_tier(members);
                }
                let strangers = members - work.ledger.targets();
                let recorded = work.ledger.record(&answer, members).members;
                if work.ledger.is_complete() && !recorded.is_empty() {
                    self.finished.insert(jid);
                }
                recorded | strangers
            }
        };
        let dropped = members.len() - fresh.len();
        if dropped > 0 {
            self.effects.push(RelayEffect::Duplicates(dropped));
        }
        if fresh.is_empty() {
            return;
        }
        let (parent, awaited) = match self.errands.get_mut(&jid) {
            Some(errand) => {
                errand.folding = true;
                (errand.parent, errand.windowed)
            }
            None => (0, true), // of a job that is not here: nobody else will answer it
        };
        let parent = self.clamp(parent);
        // What a tier says is of many at once: there is no company to wait for.
        let hurried = awaited || answer.by_tier;
        let fold = &mut self.uplinks[parent].fold;
        fold.add(now, jid, answer, &fresh);
        if hurried {
            fold.hurry();
        }
    }
}

/// Grains as they are passed on: too long ones are cut, so that the top master sees that they are too long and refuses them,
/// and a few minions with megabytes of them cannot make this syndic's roster larger than a link takes.
fn bounded(grains: Arc<str>) -> Arc<str> {
    match grains.len() <= MAX_GRAINS_BYTES {
        true => grains,
        false => grains.get(..grains.ceil_char_boundary(MAX_GRAINS_BYTES + 1)).unwrap_or_default().into(),
    }
}
