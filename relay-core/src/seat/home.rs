//! Where a minion belongs: the list of syndics that it was told, and when it goes to the first of them.
//!
//! Owns the pace. A minion looks for its primary when it is attached to another one, no job of its runs and no return waits;
//! it leaves only after the primary was seen to answer, and if nothing has begun meanwhile. Between two tries lies at
//! least `quiet`, and more each time that it did not help, so that a primary that comes and goes costs its minions little.
//! Writing the list down, looking and dialling are the minion crate's.
//!
//! A list is not signed, and who sends one may claim any revision. So a revision counts for as long as somebody can be found who says
//! it: below a parent that says an older one for [`PATIENCE`], that is taken. A syndic in foreign hands keeps its minions while it is
//! believed, and no longer; and a fabric that lost its history gets its minions back.

use std::sync::Arc;

use super::{Seat, SeatEffect, State};
use crate::{
    backoff::Backoff,
    ids::TierId,
    message::{Placed, PlacedSyndic},
    time::Millis,
};

/// A link that held for so many times the heartbeat's `dead_after` was a good one, and tries to move lie at least as far
/// apart: no silence is mistaken for life in that time.
const QUIET: Millis = 2;
/// The waits between tries grow to so many times the quiet time: with the usual heartbeat a quarter of an hour. A parent
/// that sees the primary again says so at once.
const LONGEST_WAIT: Millis = 16;
/// An answer of the primary is waited for so many quiet times; then the try counts as failed.
const ANSWER_TIME: Millis = 2;

/// For so long a minion is attached to a parent that says an older revision, until it takes that one. Meanwhile it looks for the
/// syndics of the newer one, and who was cut off, as the parent may be, mostly is no more.
pub const PATIENCE: Millis = 3_600_000;

/// The syndics that a minion was told, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The topology's revision that it was told of.
    pub revision: u64,
    /// Its primary, then its fallbacks. Never empty.
    pub syndics: Arc<[PlacedSyndic]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing to do: no list, no link, or attached to the primary.
    Settled,
    /// Goes if it is idle at this moment, for which it has waited so long.
    Waiting { due: Millis, wait: Millis },
    /// It was not idle at that moment.
    Missed { wait: Millis },
    /// Whether the primary answers is being found out; the answer counts until then.
    Asking { until: Millis },
    /// The link is being given up.
    Leaving,
}

#[derive(Debug)]
struct Doubted {
    home: Home,
    spread: Millis,
    taken_at: Millis,
}

/// A minion's way to its primary.
#[derive(Debug)]
pub(super) struct Homing {
    quiet: Millis,
    home: Option<Home>,
    /// This parent has said it: what it says of an older one was under way for long.
    confirmed: bool,
    /// An older one, where the parent knows of no other.
    doubted: Option<Doubted>,
    parent: Option<TierId>,
    attached_at: Millis,
    step: Step,
    /// No try before this.
    not_before: Millis,
    backoff: Backoff,
    /// Random bits that were brought, from which more are made.
    seed: u64,
}

impl Homing {
    fn new(quiet: Millis, home: Option<Home>) -> Homing {
        let quiet = quiet.max(1);
        Homing {
            quiet,
            home: home.filter(|home| !home.syndics.is_empty()),
            confirmed: false,
            doubted: None,
            parent: None,
            attached_at: 0,
            step: Step::Settled,
            not_before: 0,
            backoff: Backoff::new(quiet, quiet.saturating_mul(LONGEST_WAIT)),
            seed: 0,
        }
    }

    /// More random bits out of those that were brought (splitmix64).
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random part of a span.
    fn part(&mut self, span: Millis) -> Millis {
        ((u128::from(self.random()) * (u128::from(span) + 1)) >> 64) as Millis
    }

    fn primary(&self) -> Option<&PlacedSyndic> {
        self.home.as_ref().and_then(|home| home.syndics.first())
    }

    fn is_misplaced(&self) -> bool {
        self.primary().zip(self.parent.as_ref()).is_some_and(|(primary, parent)| primary.id != *parent)
    }

    /// A list came. True if it is to be written down. The same one again says that the primary may answer now.
    fn told(&mut self, now: Millis, placed: &Placed, random: u64) -> bool {
        self.seed ^= random;
        let own = placed.groups.iter().find(|group| group.members.contains(0) && !group.syndics.is_empty());
        let older = self.home.as_ref().is_some_and(|known| placed.revision < known.revision);
        let Some(own) = own else { return false };
        let home = Home { revision: placed.revision, syndics: own.syndics.clone() };
        if older && self.confirmed {
            return false;
        }
        if older {
            let taken_at = self.doubted.as_ref().map_or(now.saturating_add(PATIENCE), |known| known.taken_at);
            self.doubted = Some(Doubted { home, spread: placed.spread, taken_at });
            return false;
        }
        self.take(now, home, placed.spread)
    }

    /// What was doubted for long enough is taken. True if it is to be written down.
    fn relent(&mut self, now: Millis) -> bool {
        match self.doubted.take_if(|doubted| doubted.taken_at <= now) {
            Some(Doubted { home, spread, .. }) => self.take(now, home, spread),
            None => false,
        }
    }

    fn take(&mut self, now: Millis, home: Home, spread: Millis) -> bool {
        (self.confirmed, self.doubted) = (true, None);
        if self.primary() != home.syndics.first() {
            self.backoff.reset();
        }
        let new = self.home.as_ref() != Some(&home);
        self.home = Some(home);
        match self.step {
            Step::Asking { .. } | Step::Leaving => {}
            _ if !self.is_misplaced() => self.step = Step::Settled,
            Step::Missed { .. } => {}
            Step::Settled | Step::Waiting { .. } => {
                let wait = self.part(spread);
                self.wait(now, wait);
            }
        }
        new
    }

    /// Waits, unless it goes earlier anyway.
    fn wait(&mut self, now: Millis, wait: Millis) {
        let due = now.saturating_add(wait).max(self.not_before);
        match self.step {
            Step::Waiting { due: earlier, .. } if earlier <= due => {}
            _ => self.step = Step::Waiting { due, wait },
        }
    }

    fn wait_longer(&mut self, now: Millis) {
        self.step = Step::Settled;
        if self.is_misplaced() {
            let random = self.random();
            let wait = self.backoff.next(random);
            self.wait(now, wait);
        }
    }

    /// A link is up. From another than the primary that one is looked for again after a while.
    fn attached(&mut self, now: Millis, parent: &TierId, random: u64) {
        self.seed ^= random;
        (self.confirmed, self.doubted) = (false, None);
        (self.parent, self.attached_at) = (Some(parent.clone()), now);
        self.wait_longer(now);
    }

    pub(super) fn detached(&mut self) {
        (self.parent, self.step) = (None, Step::Settled);
        (self.confirmed, self.doubted) = (false, None);
    }

    /// Whom to look for now, if it is time and the minion idle. A moment missed for work comes again after a part of half the
    /// wait: a minion that always has a little to do still moves, and those that worked on the same job not all at once.
    fn poll(&mut self, now: Millis, idle: impl Fn() -> bool) -> Option<PlacedSyndic> {
        if self.parent.is_some() && !self.is_misplaced() && now >= self.attached_at + self.quiet {
            self.backoff.reset();
        }
        match self.step {
            Step::Waiting { due, wait } if due <= now && !idle() => {
                self.step = Step::Missed { wait: wait / 2 };
            }
            Step::Missed { wait } if idle() => {
                let wait = self.part(wait);
                self.wait(now, wait);
            }
            Step::Asking { until } if until <= now => self.wait_longer(now),
            _ => {}
        }
        let Step::Waiting { due, .. } = self.step else { return None };
        if due > now {
            return None;
        }
        self.not_before = now + self.quiet;
        self.step = Step::Asking { until: now + self.quiet.saturating_mul(ANSWER_TIME) };
        self.primary().cloned()
    }

    /// Whether the one that was looked for answers. True: leave now.
    fn reached(&mut self, now: Millis, syndic: &TierId, answers: bool, idle: impl Fn() -> bool) -> bool {
        let Step::Asking { .. } = self.step else { return false };
        let wanted = self.is_misplaced() && self.primary().is_some_and(|primary| primary.id == *syndic);
        if !(answers && wanted && idle()) {
            self.wait_longer(now);
            return false;
        }
        self.not_before = now + self.quiet;
        self.step = Step::Leaving;
        true
    }

    /// When [`Homing::poll`] must be called next, at the latest.
    pub(super) fn next(&self) -> Option<Millis> {
        let step = match self.step {
            Step::Waiting { due, .. } => Some(due),
            Step::Asking { until } => Some(until),
            _ => None,
        };
        step.into_iter().chain(self.doubted.as_ref().map(|doubted| doubted.taken_at)).min()
    }
}

impl Seat {
    /// From now on it goes where it is told to belong. `home` is what it was told in an earlier life. Without this, lists mean
    /// nothing to it: its site orders its parents by itself.
    pub fn follow(&mut self, home: Option<Home>) {
        self.homing = Some(Homing::new(self.rule.dead_after.saturating_mul(QUIET), home));
    }

    /// Where it was told that it belongs.
    pub fn home(&self) -> Option<&Home> {
        self.homing.as_ref().and_then(|homing| homing.home.as_ref())
    }

    /// The link is up, to this parent: as [`Seat::attached`], and it may have to move on from there.
    pub fn attached_to(&mut self, now: Millis, parent: &TierId, random: u64) {
        if let Some(homing) = &mut self.homing {
            homing.attached(now, parent, random);
        }
        self.attached(now);
    }

    /// Whether the syndic of a [`SeatEffect::Seek`] can be reached.
    pub fn reached(&mut self, now: Millis, syndic: &TierId, answers: bool) {
        let Seat { homing: Some(homing), entries, session: Some(_), .. } = self else { return };
        if homing.reached(now, syndic, answers, || entries.values().all(|e| e.is_over())) {
            self.effects.push(SeatEffect::Leave);
        }
    }

    pub(super) fn placed(&mut self, now: Millis, placed: &Placed, random: u64) {
        let Some(homing) = &mut self.homing else { return };
        if homing.told(now, placed, random) {
            self.effects.extend(homing.home.clone().map(SeatEffect::Keep));
        }
    }

    /// Looks for the primary, if it is time.
    pub(super) fn go_home(&mut self, now: Millis) {
        let Seat { homing: Some(homing), entries, session: Some(_), .. } = self else { return };
        if homing.relent(now) {
            self.effects.extend(homing.home.clone().map(SeatEffect::Keep));
        }
        if let Some(syndic) = homing.poll(now, || entries.values().all(|e| e.is_over())) {
            self.effects.push(SeatEffect::Seek(syndic));
        }
    }
}

impl super::Entry {
    /// Nothing of it runs, is being written or waits for an acknowledgement.
    fn is_over(&self) -> bool {
        matches!(self.state, State::Ended { acked: true, .. })
    }
}

#[cfg(test)]
mod tests;
