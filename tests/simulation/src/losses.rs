//! Deaths, and what is lost by them: processes, machines, journals, spools.
//!
//! Owns the count of durable copies of each END: when the last one is destroyed, nobody can expect it any more (I3).

use relay_core::{
    ids::{Jid, MinionId},
    invariants::Observation,
};

use crate::{
    event::{End, Event, Place},
    minion::MinionProcess,
    network::Link,
    world::{Process, World},
};

impl World {
    /// A process dies at once; with `reboot` its whole machine. It is started again after a while.
    pub fn crash(&mut self, place: Place, reboot: bool) {
        if !self.process(place).up {
            return;
        }
        self.count_death(place);
        self.say(|| format!("{place} dies{}", if reboot { ", its machine restarts" } else { "" }));
        let life = self.process(place).die();
        self.drop_links(place);
        match place {
            Place::Top(no) => self.end_reign(no),
            Place::Syndic(no) => {
                self.syndics[no].spool.crash(&mut self.random);
            }
            Place::Minion(no) => {
                let (made_it, _) = self.minions[no].journal.crash(&mut self.random);
                made_it.iter().for_each(|pending| self.witness_ends(no, &pending.records));
                for jid in self.minions[no].kill_runs(reboot) {
                    self.note(Observation::Over((jid, self.minions[no].id.clone())));
                }
            }
        }
        let wait = self.random.between(50, 8_000);
        self.agenda.at(self.now + wait, Event::Restart(place, life));
    }

    /// Both kinds of death: the kernel closes the links, or the power is gone and nobody is told.
    fn drop_links(&mut self, place: Place) {
        let told = !self.random.once_in(4);
        let ends = [End::Child, End::Parent];
        let at = |l: &Link| ends.into_iter().find(|end| l.at(*end).0 == place);
        let links: Vec<(u64, End)> = self.net.open_links().filter_map(|(no, l)| Some((no, at(l)?))).collect();
        for (link, end) in links {
            let other: &[End] = if told { &[end.other()] } else { &[] };
            self.sever(link, other);
            self.net.close(link, end);
        }
    }

    /// A dead process is started again.
    pub fn restart(&mut self, place: Place, life: u32) {
        let process = self.process(place);
        if process.up || process.life != life {
            return;
        }
        process.up = true;
        self.say(|| format!("{place} starts"));
        match place {
            Place::Top(no) => self.start_top(no),
            Place::Syndic(no) => self.start_syndic(no),
            Place::Minion(no) => self.start_minion(no),
        }
    }

    /// A machine loses its journal: its minion comes back as another incarnation.
    pub fn lose_journal(&mut self, no: usize) {
        self.crash(Place::Minion(no), true);
        let incarnation = self.random.bits() | 1;
        self.say(|| format!("m{no} loses its journal, now {incarnation:016x}"));
        self.minions[no].lose_journal(incarnation);
        self.count_copies(&[]);
    }

    /// A machine loses its spool: its syndic comes back as another incarnation.
    pub fn lose_spool(&mut self, no: usize) {
        self.crash(Place::Syndic(no), false);
        let incarnation = self.random.bits() | 1;
        self.say(|| format!("s{no} loses its spool, now {incarnation:016x}"));
        let lost = self.syndics[no].holds();
        self.syndics[no].lose_spool(incarnation);
        self.count_copies(&lost);
        self.lost_spooled.extend(lost);
    }

    /// A spool that had it was lost while its acknowledgement was under way.
    pub fn lost_on_the_way(&self, slot: &(Jid, MinionId)) -> bool {
        self.lost_spooled.contains(slot)
    }

    /// At rest: spools have forgotten what was acknowledged to them, by one that was lost since, perhaps. Then only the
    /// journal has it still.
    pub fn count_lost(&mut self) {
        // What a spool still holds was acknowledged to it: that is written down with its next record.
        for slot in std::mem::take(&mut self.lost_spooled) {
            let kept = |m: &MinionProcess| m.id == slot.1 && m.holds(slot.0) && !m.lost_journal;
            if !self.store.has_final(slot.0, &slot.1) && !self.minions.iter().any(kept) {
                self.note(Observation::Destroyed(slot));
            }
        }
    }

    /// Something durable was lost: whatever END has no durable copy left can't be expected at the owner (I3). If the
    /// copy that was lost is the spool's, which had acknowledged it, the journal has it still, but is asked only under
    /// the incarnation that the owner sent the job to, which a restarted owner no longer knows of a later one.
    fn count_copies(&mut self, lost: &[(Jid, MinionId)]) {
        let spooled: Vec<(Jid, MinionId)> = self.syndics.iter().flat_map(|s| s.holds()).collect();
        let slots: Vec<(Jid, MinionId)> = self.trace.expected_ends().map(|(slot, _)| slot.clone()).collect();
        for slot in slots {
            let asked = |m: &MinionProcess| !(m.lost_journal && lost.contains(&slot));
            let journaled = self.minions.iter().any(|m| m.id == slot.1 && m.holds(slot.0) && asked(m));
            if !journaled && !spooled.contains(&slot) && !self.store.has_final(slot.0, &slot.1) {
                self.note(Observation::Destroyed(slot));
            }
        }
    }

    /// A journal and a spool are compacted, if their processes run.
    pub fn compact(&mut self, minion: usize, syndic: usize) {
        let alive = |p: &Process| p.up && !p.paused;
        if alive(&self.syndics[syndic].process) && !self.syndics[syndic].spool.failing {
            let records = self.syndics[syndic].relay.live_records();
            self.syndics[syndic].spool.compact(records);
        }
        if alive(&self.minions[minion].process) && !self.minions[minion].journal.failing {
            let records = self.minions[minion].seat.live_records();
            self.witness_ends(minion, &records);
            self.minions[minion].journal.compact(records);
        }
    }
}
