//! Which parent is dialled next, how long it may take, and the pause before: the order of a [`super::dial::Dialler`].
//!
//! Parents are tried in rounds, first to last. Between rounds lies decorrelated jitter, so that thousands of children of a
//! restarted parent do not come back at once; among top masters, of which only one takes links, rounds follow soon.

use std::time::Duration;

use relay_core::{backoff::Backoff, time::Millis};

/// Shortest pause between two rounds, in milliseconds.
const BACKOFF_BASE: Millis = 100;
/// Longest pause between two rounds, in milliseconds: a parent that comes back is found within this.
const BACKOFF_CAP: Millis = 10_000;
/// Pause after a round in which a standby answered, in milliseconds, with as much again of jitter: a takeover takes seconds,
/// and is noticed soon after; a refusal costs a standby a handshake of a millisecond.
const STANDBY_PAUSE: Millis = 250;
/// Longest pause before a top master is dialled, and after a link was lost where there are other parents, in milliseconds. A
/// top master has few children, so no storm threatens it; another parent may take over.
const SHORT_CAP: Millis = 1_000;
/// A link that lived this long was a good one: the next try starts from the shortest pause.
const GOOD_LINK: Duration = Duration::from_secs(10);
/// How long TCP, TLS and the first message may take, each.
pub(super) const CONNECT_TIME: Duration = Duration::from_secs(5);
/// The same where one of several top masters is dialled. Who does not answer by then is gone, and the one that takes over must
/// not wait for it.
const PEERS_TIME: Duration = Duration::from_secs(1);
/// Every so many rounds top masters have the whole [`CONNECT_TIME`] after all: the network may be that slow.
const PATIENT_ROUND: u32 = 4;

/// Where a dialler is.
#[derive(Debug)]
pub(super) struct Pace {
    backoff: Backoff,
    at: usize,
    round: u32,
    standby: bool,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { backoff: Backoff::new(BACKOFF_BASE, BACKOFF_CAP), at: 0, round: 0, standby: false }
    }

    /// Which of so many parents is next.
    pub(super) fn at(&self, parents: usize) -> usize {
        self.at % parents.max(1)
    }

    /// How long each step of its connection may take. `top`: it is a top master.
    pub(super) fn time(&self, top: bool, parents: usize) -> Duration {
        let patient = self.round % PATIENT_ROUND == PATIENT_ROUND - 1;
        if top && parents > 1 && !patient { PEERS_TIME } else { CONNECT_TIME }
    }

    /// Begins with the first parent again.
    pub(super) fn anew(&mut self) {
        (self.at, self.round, self.standby) = (0, 0, false);
    }

    /// A link to one of so many parents was lost after a time: the pause before the next dial, in milliseconds.
    pub(super) fn lost(&mut self, lived: Duration, top: bool, parents: usize, random: u64) -> Millis {
        self.anew();
        if lived >= GOOD_LINK {
            self.backoff.reset();
        }
        self.pause(top || parents > 1, random)
    }

    /// One of so many parents could not be attached to: the pause before the next is dialled; `None`: it is tried at once.
    pub(super) fn failed(&mut self, standby: bool, top: bool, parents: usize, random: u64) -> Option<Millis> {
        self.standby |= standby;
        self.at += 1;
        if self.at < parents {
            return None;
        }
        (self.at, self.round) = (0, self.round.wrapping_add(1));
        if !std::mem::take(&mut self.standby) {
            return Some(self.pause(top, random));
        }
        self.backoff.reset();
        Some(STANDBY_PAUSE + random % STANDBY_PAUSE)
    }

    fn pause(&mut self, short: bool, random: u64) -> Millis {
        let pause = self.backoff.next(random);
        if short { pause.min(SHORT_CAP) } else { pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = u64::MAX;

    #[test]
    fn fallbacks_are_tried_at_once_and_rounds_grow_apart() {
        let mut pace = Pace::new();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert_eq!((pace.at(2), pace.failed(false, false, 2, MOST)), (0, None));
            assert_eq!(pace.at(2), 1);
            pauses.extend(pace.failed(false, false, 2, MOST));
        }
        assert_eq!(pauses, [300, 900, 2_700, 8_100, 10_000, 10_000, 10_000]);
    }

    #[test]
    fn rounds_with_a_standby_follow_soon_wherever_it_is_among_the_parents() {
        for standby in [0, 1] {
            let mut pace = Pace::new();
            for random in [0, 100, MOST, 7] {
                assert_eq!(pace.failed(standby == 0, true, 2, random), None);
                let pause = pace.failed(standby == 1, true, 2, random).unwrap();
                assert!((STANDBY_PAUSE..2 * STANDBY_PAUSE).contains(&pause), "{pause}");
            }
            pace.failed(false, false, 2, 0);
            assert_eq!(pace.failed(false, false, 2, MOST), Some(300), "gone: jitter from its beginning");
        }
    }

    #[test]
    fn a_lost_link_begins_with_the_first_parent_soon_if_there_are_others() {
        let mut pace = Pace::new();
        for _ in 0..5 {
            pace.failed(false, false, 1, MOST);
        }
        assert_eq!(pace.lost(Duration::from_secs(1), false, 1, MOST), BACKOFF_CAP, "it accepts and drops");
        pace.failed(false, false, 2, MOST);
        assert_eq!(pace.at(2), 1);
        assert_eq!(pace.lost(Duration::from_secs(1), false, 2, MOST), SHORT_CAP);
        assert_eq!(
            pace.lost(Duration::from_secs(1), true, 1, MOST),
            SHORT_CAP,
            "a top master's few children"
        );
        assert_eq!(pace.at(2), 0);
        assert_eq!(pace.lost(GOOD_LINK, false, 2, MOST), 300);
    }

    #[test]
    fn a_top_master_that_says_nothing_holds_up_its_peers_for_a_second() {
        let mut pace = Pace::new();
        let mut times = Vec::new();
        for _ in 0..5 {
            times.push(pace.time(true, 2));
            assert_eq!((pace.time(true, 1), pace.time(false, 2)), (CONNECT_TIME, CONNECT_TIME));
            pace.failed(true, true, 1, 0);
        }
        assert_eq!(times, [PEERS_TIME, PEERS_TIME, PEERS_TIME, CONNECT_TIME, PEERS_TIME]);
    }
}
