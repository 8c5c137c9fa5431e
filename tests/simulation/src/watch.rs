//! How batches are watched: what is promised of a job, what the owner knows of it, and what leaves the owner.
//!
//! The observations are made outside the window's code: of the ledger, of the commits, and of the messages.

use std::collections::{BTreeMap, BTreeSet};

use relay_core::{
    Members,
    batch::BatchSize,
    ids::{Jid, MinionId, RegionName},
    invariants::{Knowledge, Limits, Observation},
    ledger::{AnswerKey, Ledger},
    message::{Down, LinkId},
    outcome::{Outcome, Reason},
    owner::{HOP_GRACE, HOPS, Owner},
    time::Millis,
};

use crate::{
    batches::{self, Bound},
    event::Place,
    world::{HEARTBEAT, World},
};

/// An execution that did not go well, so far as anybody knows.
fn is_failure(key: &AnswerKey, canary: bool) -> bool {
    match (key.outcome, key.reason) {
        (Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted, _) => true,
        (Outcome::Unknown, Reason::NoReport) => true,
        (Outcome::Unknown, Reason::ConnectionLost) => canary,
        _ => false,
    }
}

fn those(ledger: &Ledger, which: impl Fn(&AnswerKey) -> bool) -> Members {
    let groups = ledger.groups().iter().filter(|group| which(&group.key));
    groups.fold(Members::new(), |all, group| all | &group.members)
}

fn named(owner: &Owner, members: &Members) -> BTreeSet<MinionId> {
    let inventory = owner.inventory();
    members.iter().filter_map(|no| inventory.get(no)).map(|minion| minion.id.clone()).collect()
}

impl World {
    /// What a job promises, from what its operator asked for.
    fn limits(&self, jid: Jid) -> Option<Limits> {
        let request = self.wanted(jid)?;
        let targets = self.store.names(&self.store.head(jid)?.targets);
        let mut by_region: BTreeMap<RegionName, BTreeSet<MinionId>> = BTreeMap::new();
        for minion in self.minions.iter().filter(|minion| targets.contains(&minion.id)) {
            by_region.entry(minion.region.clone()).or_default().insert(minion.id.clone());
        }
        Some(batches::limits(&request.batch, &self.batches.regions, &by_region))
    }

    /// A job was accepted.
    pub fn limit(&mut self, jid: Jid) {
        if let Some(limits) = self.limits(jid) {
            self.coverage.add("serial job", u64::from(limits.serial));
            self.coverage.add("canary", u64::from(!limits.stages.is_empty()));
            self.accepted.insert(jid, self.now);
            self.note(Observation::Limited(jid, limits));
        }
    }

    /// How long a job may take at the longest, from now on (I6). A serial one waits for others, perhaps for all.
    pub fn bound(&self, jid: Jid) -> Option<Millis> {
        let head = self.store.head(jid)?;
        let own = self.bound_alone(jid)?;
        let others = self.store.jobs().into_keys().filter(|other| *other != jid);
        let others: Millis = others.filter_map(|other| self.bound_alone(other)).sum();
        // And for those to come, each of which has its places for a while.
        let coming = self.requests.len() as u64 * (own + others) / 2;
        Some(if head.batch.serial { own + others + coming } else { own })
    }

    fn bound_alone(&self, jid: Jid) -> Option<Millis> {
        let (request, limits) = (self.wanted(jid)?, self.limits(jid)?);
        let bound = Bound { delivery: request.delivery_limit, run: request.run_limit, hops: self.hops };
        Some(bound.of(&request.batch, &limits))
    }

    /// Looks what the owner knows by now.
    pub fn know(&mut self, top: usize) {
        // One that another has replaced may know less, and nothing of what it asks for is done any more.
        let Some(reign) = self.reign(top).filter(|reign| reign.epoch == self.store.epoch) else { return };
        let mut news = Vec::new();
        for (jid, ledger) in reign.owner.ledgers() {
            let open = ledger.unsent() | ledger.in_flight();
            let decided = ledger.targets() - &open;
            let canary = self.wanted(jid).is_some_and(|r| matches!(r.batch.size, BatchSize::Canary(_)));
            let (failed, answered) = (
                those(ledger, |key| is_failure(key, canary)),
                those(ledger, |key| key.outcome.is_final() && !key.by_tier),
            );
            let counts = [decided.len(), failed.len(), answered.len()];
            if reign.known.get(&jid) != Some(&counts) {
                let [decided, failed, answered] =
                    [decided, failed, answered].map(|members| named(&reign.owner, &members));
                news.push((jid, counts, Knowledge { decided, failed, answered }, ledger.clone()));
            }
        }
        for (jid, counts, known, ledger) in news {
            if let Some(reign) = &mut self.tops[top].reign {
                reign.known.insert(jid, counts);
            }
            self.count_stop(&ledger);
            self.note(Observation::Known(jid, known));
        }
    }

    /// A message leaves the top master.
    pub fn leaves(&mut self, top: usize, link: LinkId, down: &Down) {
        let Down::Dispatch(dispatch) = down else { return };
        let (jid, within) = (dispatch.job.jid, dispatch.deliver_within);
        let names = self.names_below(link, &dispatch.members);
        let rules = self.ruler() == Some(top);
        let Some(owner) = self.reign(top).map(|reign| &reign.owner) else { return };
        if within == 0 {
            let stopped = owner.batch_state(jid).is_some_and(|state| state.stopped.is_some());
            self.coverage.add("recall", u64::from(stopped));
            return;
        }
        let head = owner.head(jid);
        let queued =
            head.is_some_and(|head| head.batch.queue.is_some_and(|queue| queue > head.delivery_limit));
        let late =
            self.accepted.get(&jid).zip(head).is_some_and(|(at, head)| self.now > at + head.delivery_limit);
        self.coverage.add("offer from the queue", u64::from(queued && late));
        let until = self.now + within + self.hops * HEARTBEAT.dead_after + (self.hops - HOPS) * HOP_GRACE;
        self.coverage.add("offer of a former owner", u64::from(!rules));
        for id in names {
            let slot = (jid, id);
            self.note(match rules {
                true => Observation::Offered(slot, until),
                false => Observation::OfferedBefore(slot, until),
            });
        }
    }

    /// The minions that a syndic's numbers stand for; nobody if the link is dead, for nothing arrives there.
    fn names_below(&self, link: LinkId, members: &Members) -> Vec<MinionId> {
        let Some(link) = self.net.get(link.0).filter(|link| !link.is_dead()) else { return Vec::new() };
        let Place::Syndic(no) = link.child.0 else { return Vec::new() };
        let numbers = self.syndics[no].relay.roster().numbers();
        numbers.filter(|(no, ..)| members.contains(*no)).map(|(_, id, _)| id.clone()).collect()
    }
}
