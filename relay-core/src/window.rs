//! The window of one job: who may start now, and when nothing more may.
//!
//! Owns the limit on how many minions run a job at once (invariant I12), exact over all regions because only the owner
//! hands out places: it names the members, a link starts nobody else, and a place is free again when its minion's
//! outcome is known or can no longer run. What is held and what has failed is read from the ledger, so a restart finds
//! the same window. Sending is [`crate::tier`]'s, deadlines of what was sent are [`crate::owner`]'s.

use std::collections::VecDeque;

use crate::{
    Members,
    batch::{BatchRule, BatchSize, RegionBatch},
    ids::RegionName,
    ledger::Ledger,
    message::LinkId,
    outcome::{Answer, Outcome, Reason},
    time::Millis,
};

mod auto;
mod failures;
mod preview;
mod share_out;
mod stages;
mod state;
#[cfg(test)]
mod tests;

use auto::Auto;
use failures::{Failures, answered_for_themselves};
pub use preview::{PlannedStage, preview};
use stages::Stages;
pub use state::{BatchState, Stop};

/// How long a canary waits for its operator's approval. After it nothing more is started: a job must end.
pub const APPROVAL_WAIT: Millis = 60 * 60 * 1_000;

/// The times of a job, seen from a moment at which its owner (re)started it.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// That moment.
    pub now: Millis,
    /// How long ago the job was accepted.
    pub age: Millis,
    /// How long a minion has to receive it.
    pub delivery: Millis,
}

/// Members of one region.
#[derive(Debug)]
struct Part {
    members: Members,
    /// `u64::MAX`: no limit.
    limit: u64,
    max_failures: Option<u64>,
    auto: Option<Auto>,
}

/// One job's window.
#[derive(Debug)]
pub struct Window {
    /// `u64::MAX`: no limit over all regions together.
    limit: u64,
    parts: Vec<Part>,
    stages: Stages,
    wait: Millis,
    failures: Failures,
    max_failures: Option<u64>,
    until: Option<u64>,
    deadline: Option<Millis>,
    delivery: Millis,
    /// Before this, offline members are waited for.
    patience_until: Millis,
    /// Nothing limits the job: all who are up go at once, all in the delivery window that began with it.
    open: bool,
    /// Declared `unknown` before their time was over: they may still run, so they keep their places.
    lingering: Members,
    /// Freed places that are kept empty for a while: until when, in which part, how many.
    cooling: VecDeque<(Millis, usize, u64)>,
    /// Since when there is room, and only offline members are left for it.
    idle_since: Option<Millis>,
    /// Since when it waits for an approval.
    asking_since: Option<Millis>,
}

impl Window {
    /// A job's window. `regions` holds all targets by region.
    pub fn new(rule: &BatchRule, regions: Vec<(RegionName, Members)>, times: Times) -> Window {
        let total: u64 = regions.iter().map(|(_, members)| members.len()).sum();
        let part = |(name, members): (RegionName, Members)| {
            let region = rule.regions.get(&name).copied().unwrap_or_default();
            Part::new(rule, &region, members)
        };
        let parts: Vec<Part> = regions.into_iter().map(part).collect();
        let limit = match &rule.size {
            BatchSize::Window(share) => share.of(total),
            _ => u64::MAX,
        };
        let stages = Stages::new(rule, total);
        let unlimited = limit == u64::MAX && parts.iter().all(|p| p.limit == u64::MAX && p.auto.is_none());
        let open = unlimited && stages.is_none() && rule.queue.is_none() && !rule.serial;
        let left = |limit: Millis| times.now + limit.saturating_sub(times.age);
        Window {
            limit,
            parts,
            stages,
            wait: rule.wait,
            failures: Failures { lost_too: matches!(rule.size, BatchSize::Canary(_)) },
            max_failures: rule.failures_allowed().map(|share| share.of(total)),
            until: rule.until.map(|share| share.at_least_of(total)),
            deadline: rule.deadline.map(left),
            delivery: times.delivery,
            patience_until: left(rule.queue.unwrap_or(0).max(times.delivery)),
            open,
            lingering: Members::new(),
            cooling: VecDeque::new(),
            idle_since: None,
            asking_since: None,
        }
    }

    /// Until when what is granted now may be delivered. Rounded up, so that grants of nearly the same moment have the
    /// same deadline: a tier keeps at most some hundred of them.
    pub fn deliver_by(&self, now: Millis) -> Millis {
        if self.open {
            return self.patience_until;
        }
        let step = (self.delivery / 128).max(100);
        (now + self.delivery).div_ceil(step) * step
    }

    /// Names those who may start now, among the unsent who are `up` and not `blocked`.
    pub fn grant(
        &mut self,
        now: Millis,
        ledger: &Ledger,
        up: &Members,
        blocked: &Members,
        link_of: &dyn Fn(u32) -> Option<LinkId>,
    ) -> Members {
        self.cool(now);
        let reachable = ledger.unsent() & up;
        let candidates = &reachable - blocked;
        if self.open {
            return candidates;
        }
        let (place, taken) = self.stages.place(ledger);
        self.asking_since = place.asks.then(|| self.asking_since.unwrap_or(now));
        let room = self.room(ledger).min(place.upto.saturating_sub(taken));
        let idle = reachable.is_empty() && !ledger.unsent().is_empty() && room > 0;
        self.idle_since = idle.then(|| self.idle_since.unwrap_or(now));
        if candidates.is_empty() || room == 0 || place.asks {
            return Members::new();
        }
        let rooms: Vec<u64> = (0..self.parts.len()).map(|part| self.room_in(part, ledger)).collect();
        share_out::share_out(&self.parts, &rooms, room, &candidates, link_of)
    }

    /// Places that are free, over all regions.
    fn room(&self, ledger: &Ledger) -> u64 {
        if self.limit == u64::MAX {
            return u64::MAX;
        }
        let cooling: u64 = self.cooling.iter().map(|(_, _, n)| n).sum();
        self.limit.saturating_sub(self.in_use(ledger).len() + cooling)
    }

    fn room_in(&self, part: usize, ledger: &Ledger) -> u64 {
        let p = &self.parts[part];
        let limit = p.auto.as_ref().map_or(p.limit, |auto| auto.limit().min(p.limit));
        if limit == u64::MAX {
            return u64::MAX;
        }
        let cooling: u64 = self.cooling.iter().filter(|(_, at, _)| *at == part).map(|(_, _, n)| n).sum();
        limit.saturating_sub(self.in_use(ledger).intersection_len(&p.members) + cooling)
    }

    /// Those who hold a place: sent and without outcome, or `unknown` and perhaps still running.
    fn in_use(&self, ledger: &Ledger) -> Members {
        ledger.in_flight() | (&self.lingering & ledger.unknown())
    }

    fn cool(&mut self, now: Millis) {
        while self.cooling.pop_front_if(|(until, ..)| *until <= now).is_some() {}
    }

    /// An answer was written for `members`, who were sent the job `since` (for `auto`).
    pub fn answered(&mut self, now: Millis, answer: &Answer, members: &Members, since: Option<Millis>) {
        if self.open {
            return;
        }
        if !answer.outcome.is_final() {
            self.lingering |= members;
            return;
        }
        self.lingering -= members;
        let failed = self.failures.is_one(answer.outcome, answer.reason);
        if answer.by_tier {
            return; // never had a place, or gave it back unused
        }
        for part in 0..self.parts.len() {
            let here = self.parts[part].members.intersection_len(members);
            self.keep_empty(now, part, here);
            if let Some(auto) = self.parts[part].auto.as_mut().filter(|_| here > 0) {
                auto.answered(here, failed, since.map(|since| now.saturating_sub(since)));
            }
        }
    }

    /// What was sent to these can no longer run: the minion itself would have ended it. Their places are free.
    pub fn over(&mut self, now: Millis, members: &Members) {
        let freed = &self.lingering & members;
        self.lingering -= &freed;
        for part in 0..self.parts.len() {
            let here = self.parts[part].members.intersection_len(&freed);
            self.keep_empty(now, part, here);
        }
    }

    fn keep_empty(&mut self, now: Millis, part: usize, places: u64) {
        if places > 0 && self.wait > 0 {
            self.cooling.push_back((now + self.wait, part, places));
        }
    }

    /// The owner can't take returns as fast as they come, from this member's region among others.
    pub fn congested(&mut self, members: &Members) {
        for part in self.parts.iter_mut().filter(|p| !p.members.is_disjoint(members)) {
            if let Some(auto) = &mut part.auto {
                auto.congested();
            }
        }
    }

    /// An operator lets it go on. The stage that begins, and how many there are; nothing if it does not wait.
    pub fn approve(&mut self, ledger: &Ledger) -> Option<(u32, u32)> {
        let (place, _) = self.stages.place(ledger);
        place.asks.then(|| self.stages.approve(place.no))
    }

    /// After a restart: these are `unknown`, and may still run.
    pub fn linger(&mut self, members: &Members) {
        if !self.open {
            self.lingering |= members;
        }
    }

    /// Why those among whom nothing more may start are not started.
    pub fn stop_reason(&self, now: Millis, ledger: &Ledger) -> Reason {
        self.stopped(now, ledger).map_or(Reason::BatchStopped, Stop::reason)
    }

    /// Those among whom nothing more may start.
    pub fn stopped_members(&self, now: Millis, ledger: &Ledger) -> Members {
        if self.stopped(now, ledger).is_some() {
            return ledger.targets().clone();
        }
        let failed = self.parts.iter().filter(|part| part.has_failed(self.failures, ledger));
        failed.fold(Members::new(), |all, part| all | &part.members)
    }

    /// How many stages were approved before a restart.
    pub fn set_approved(&mut self, approved: u32) {
        self.stages.set_approved(approved);
    }

    /// What the window itself declares now: outcomes of those who will not be started any more, and at an early close
    /// also of those who have not answered.
    pub fn declare(&mut self, now: Millis, ledger: &Ledger) -> Vec<(Answer, Members)> {
        let mut declared = Vec::new();
        let unsent = ledger.unsent();
        match self.stopped(now, ledger) {
            Some(stop) => {
                declared.push((Answer::by_tier(Outcome::NotStarted, stop.reason()), unsent.clone()));
                if stop.closes() {
                    declared
                        .push((Answer::bare(Outcome::Unknown, stop.reason()), ledger.in_flight().clone()));
                }
            }
            None => {
                for part in self.parts.iter().filter(|part| part.has_failed(self.failures, ledger)) {
                    let here = unsent & &part.members;
                    declared.push((Answer::by_tier(Outcome::NotStarted, Reason::BatchStopped), here));
                }
                if self.gives_up_at().is_some_and(|at| at <= now) {
                    let unreachable = Answer::by_tier(Outcome::NotStarted, Reason::Unreachable);
                    declared.push((unreachable, unsent.clone()));
                }
            }
        }
        declared.retain(|(_, members)| !members.is_empty());
        declared
    }

    /// Why nothing more is started at all, if so.
    fn stopped(&self, now: Millis, ledger: &Ledger) -> Option<Stop> {
        let failed = self.max_failures.filter(|max| self.failures.count(ledger, None) >= *max);
        let enough = self.until.filter(|until| answered_for_themselves(ledger) >= *until);
        let late = self.deadline.filter(|at| *at <= now);
        let silent = self.asking_since.filter(|since| since + APPROVAL_WAIT <= now);
        failed
            .map(Stop::Failures)
            .or(enough.map(|_| Stop::Enough))
            .or(late.map(|_| Stop::Deadline))
            .or(silent.map(|_| Stop::NotApproved))
    }

    /// When offline members are given up.
    fn gives_up_at(&self) -> Option<Millis> {
        if self.open {
            return Some(self.patience_until);
        }
        self.idle_since.map(|since| self.patience_until.max(since + self.delivery))
    }

    /// When [`Window::declare`] or [`Window::grant`] has something to say next without anything else happening.
    pub fn next(&self, ledger: &Ledger) -> Option<Millis> {
        let unsent = !ledger.unsent().is_empty();
        let give_up = self.gives_up_at().filter(|_| unsent);
        let cooled = self.cooling.front().map(|(until, ..)| *until).filter(|_| unsent);
        let asking = self.asking_since.map(|since| since + APPROVAL_WAIT);
        [give_up, cooled, self.deadline, asking].into_iter().flatten().min()
    }
}

impl Part {
    fn new(rule: &BatchRule, region: &RegionBatch, members: Members) -> Part {
        let size = members.len();
        let cap = region.cap.map_or(u64::MAX, |share| share.of(size));
        let by_default = matches!(rule.size, BatchSize::Regions);
        let window = region.default_window.filter(|_| by_default).map_or(u64::MAX, |share| share.of(size));
        let own_failures = region.max_failures.filter(|_| rule.max_failures.is_none() && by_default);
        Part {
            limit: window.min(cap),
            max_failures: own_failures.map(|share| share.of(size)),
            auto: matches!(rule.size, BatchSize::Auto).then(|| Auto::new(region, size, cap)),
            members,
        }
    }

    fn has_failed(&self, failures: Failures, ledger: &Ledger) -> bool {
        self.max_failures.is_some_and(|max| failures.count(ledger, Some(&self.members)) >= max)
    }
}
