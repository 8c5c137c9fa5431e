//! Coming to rest: after the healing the fabric must fall quiet within a bound, know all its minions, and have settled
//! whatever can be settled.
//!
//! When it is quiet first, every link is broken once more: a reconnect asks the journals for all that is `unknown`.

use relay_core::{
    invariants::{at_rest, throughout},
    outcome::Outcome,
    time::Millis,
};

use crate::{
    event::{End, Event, Place},
    world::World,
};

/// How long the fabric may take to fall quiet after the healing, and after the last job was closed (or due).
const BOUND: Millis = 90_000;
/// How long it must have been quiet: rosters and re-offers are on their way for a while after a reconnect.
const QUIET_FOR: Millis = 3_000;

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rest {
    /// Quiet since then.
    quiet_since: Option<Millis>,
    /// Every link was broken once more at that time.
    shaken: Option<Millis>,
    /// A job was open then, within its time.
    open_until: Millis,
    /// The run is over.
    pub over: bool,
}

impl World {
    /// Looks whether everything is quiet.
    pub fn poll(&mut self) {
        let restless = self.restless();
        let since = *self.faults.rest.quiet_since.get_or_insert(self.now);
        match restless {
            Some(why) => {
                self.faults.rest.quiet_since = None;
                let begun = self.faults.rest.shaken.unwrap_or(self.faults.until);
                if let Some(due) = self.last_due() {
                    self.faults.rest.open_until = due.min(self.now);
                }
                let busy_until = self.last_due().unwrap_or(self.faults.rest.open_until);
                if self.now > begun.max(busy_until) + BOUND {
                    self.breach(
                        "rest",
                        format!("not quiet {BOUND} ms after the healing and the last job: {why}"),
                    );
                    self.faults.rest.over = true;
                }
            }
            None if self.now < since + QUIET_FOR => {}
            None if self.faults.rest.shaken.is_none() => self.shake(),
            None => self.conclude(),
        }
        if !self.faults.rest.over {
            self.agenda.at(self.now + 500, Event::Poll);
        }
    }

    fn shake(&mut self) {
        self.say(|| "every link is broken once more".into());
        (self.faults.rest.shaken, self.faults.rest.quiet_since) = (Some(self.now), None);
        let links: Vec<u64> = self.net.open_links().map(|(no, _)| no).collect();
        links.into_iter().for_each(|link| self.sever(link, &[End::Child, End::Parent]));
    }

    /// What is not quiet yet.
    fn restless(&mut self) -> Option<String> {
        if let Some(no) = self.requests.iter().position(|r| !r.over && r.misuses.is_none()) {
            return Some(format!("request {no} has no answer"));
        }
        let Some((ruler, owner)) = self.ruler().zip(self.owner()) else {
            return Some("nobody owns the fabric".into());
        };
        if let Some(jid) = owner.open_jobs().next() {
            return Some(format!("job {jid} is open"));
        }
        if let Some(no) = self.watchers.iter().position(|watcher| !watcher.over) {
            return Some(format!("watcher {no} was not told the end of its job"));
        }
        for (no, minion) in self.minions.iter().enumerate() {
            let linked = minion
                .link
                .and_then(|link| self.net.get(link))
                .is_some_and(|l| !l.is_dead() && l.is_open(End::Child) && l.is_open(End::Parent));
            if !linked || minion.is_running() || minion.seat.unacked_count() > 0 || !minion.journal.is_idle()
            {
                return Some(format!(
                    "{}: linked {linked}, {} unacked",
                    Place::Minion(no),
                    minion.seat.unacked_count()
                ));
            }
        }
        for (no, syndic) in self.syndics.iter().enumerate() {
            let left = syndic.relay.spooled_batches();
            let parent = syndic.link.and_then(|link| self.net.get(link)).map(|l| l.parent.0);
            let elsewhere = matches!(parent, Some(Place::Top(top)) if top != ruler);
            if elsewhere {
                return Some(format!("{} is attached to {parent:?}", Place::Syndic(no)));
            }
            if syndic.relay.parents_up() == 0 || left > 0 || !syndic.spool.is_idle() {
                return Some(format!("{}: {left} batches spooled", Place::Syndic(no)));
            }
        }
        let idle = self.reign(ruler).is_some_and(|reign| reign.commits.is_idle());
        (!idle).then(|| "the store is being written".into())
    }

    fn conclude(&mut self) {
        self.faults.rest.over = true;
        self.count_lost();
        let jobs = self.store.jobs();
        self.note(relay_core::invariants::Observation::Looked { jobs });
        self.know_everyone();
        self.settled();
    }

    /// The top master knows every minion, that it is up, and through which syndic.
    fn know_everyone(&mut self) {
        let mut wrong = Vec::new();
        let Some(owner) = self.owner() else { return };
        for minion in &self.minions {
            let parent = minion.link.and_then(|l| self.net.get(l)).map(|l| l.parent.0);
            let Some(syndic) = self.top_syndic(parent) else { continue };
            let inventory = owner.inventory();
            let known = inventory.no_of(minion.id.as_str()).and_then(|no| inventory.get(no));
            let right = |k: &&relay_core::inventory::Minion| {
                k.up && k.syndic == self.syndics[syndic].id && k.incarnation.0 == minion.incarnation
            };
            if known.filter(right).is_none() {
                let is = known.map(|k| (k.up, k.syndic.clone(), k.incarnation));
                wrong.push(format!("{} sits at {parent:?}, the top master has {is:?}", minion.id));
            }
        }
        wrong.into_iter().for_each(|what| self.breach("inventory", what));
    }

    /// The syndic under the owner through which a place is reached.
    fn top_syndic(&self, place: Option<Place>) -> Option<usize> {
        let Some(Place::Syndic(no)) = place else { return None };
        match self.net.get(self.syndics[no].link?)?.parent.0 {
            Place::Top(_) => Some(no),
            above => self.top_syndic(Some(above)),
        }
    }

    /// Nothing is left `unknown` that a journal could settle: its minion is there, with the journal it had.
    fn settled(&mut self) {
        let mut unsettled = Vec::new();
        for ((jid, id), history) in self.trace.slots() {
            let Some(last) = history.last() else { continue };
            let minion = self.minions.iter().find(|m| m.id == *id);
            let kept = minion.is_some_and(|m| !m.lost_journal);
            if last.outcome == Outcome::Unknown && kept {
                unsettled.push(format!("job {jid}: {id} is {last}, and its journal is there"));
            }
        }
        unsettled.into_iter().for_each(|what| self.breach("settled", what));
    }

    /// Everything that is wrong at the end.
    pub fn verdict(&self) -> Vec<relay_core::invariants::Violation> {
        let rests = self.faults.rest.over;
        let mut all = if rests { at_rest(&self.trace) } else { throughout(&self.trace) };
        all.extend(self.breaches.iter().cloned());
        all
    }
}
