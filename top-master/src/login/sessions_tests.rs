//! The limits of a login, on clocks that the tests set.

use std::sync::atomic::AtomicU64;

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { idle: 1_000, most: 10_000 };
/// The wall clock at the process's time 0.
const EPOCH: WallMicros = 1_700_000_000_000_000;

struct Clocks(Arc<AtomicU64>);

impl Clocks {
    fn new() -> (Clocks, Sessions) {
        let clock = Arc::new(AtomicU64::new(0));
        let read = clock.clone();
        (Clocks(clock), Sessions::new(LIMITS, Arc::new(move || read.load(Ordering::Relaxed))))
    }
    fn at(&self, clock: Millis) -> Now {
        self.0.store(clock, Ordering::Relaxed);
        Now { clock, wall: EPOCH + clock * 1_000 }
    }
}

fn caller(name: &str) -> Arc<Caller> {
    Arc::new(Caller::new(name, [], How::File).unwrap())
}

fn digest(n: usize) -> Digest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    Digest(digest)
}

fn open(sessions: &mut Sessions, n: usize, name: &str, now: Now) -> Result<Vec<Digest>, Full> {
    let login = sessions.login(caller(name), [0; 32], now);
    sessions.open(digest(n), login, now)
}

#[test]
fn an_unused_login_ends_and_its_next_use_is_none() {
    let (clocks, mut sessions) = Clocks::new();
    open(&mut sessions, 1, "alice", clocks.at(0)).unwrap();
    let used = sessions.take(&digest(1), clocks.at(900)).expect("in time");
    drop(used);
    assert!(sessions.take(&digest(1), clocks.at(1_899)).is_some());
    // The limit is looked at before the use counts as one.
    assert!(sessions.take(&digest(1), clocks.at(2_899)).is_none());
    assert!(sessions.take(&digest(1), clocks.at(2_899)).is_none());
    assert_eq!(sessions.expire(clocks.at(2_899)).len(), 1);
    assert!(sessions.take(&digest(1), clocks.at(1_900)).is_none(), "what is over does not come back");
}

#[test]
fn a_call_under_way_keeps_a_login_in_use_up_to_its_last_moment() {
    let (clocks, mut sessions) = Clocks::new();
    open(&mut sessions, 1, "alice", clocks.at(0)).unwrap();
    let stream = sessions.take(&digest(1), clocks.at(500)).unwrap();
    assert!(sessions.expire(clocks.at(9_999)).is_empty() && !stream.over.is_cancelled());
    assert_eq!(sessions.expire(clocks.at(10_000)).len(), 1);
    assert!(stream.over.is_cancelled());
    open(&mut sessions, 2, "alice", clocks.at(20_000)).unwrap();
    let stream = sessions.take(&digest(2), clocks.at(20_500)).unwrap();
    clocks.at(23_000);
    drop(stream);
    assert!(sessions.take(&digest(2), clocks.at(23_999)).is_some(), "idle since the stream's end");
}

#[test]
fn whichever_clock_says_first_that_a_login_is_over_is_believed() {
    let (clocks, mut sessions) = Clocks::new();
    open(&mut sessions, 1, "alice", clocks.at(0)).unwrap();
    let _stream = sessions.take(&digest(1), clocks.at(1)).unwrap();
    let ahead = Now { wall: EPOCH + 10_000_000, ..clocks.at(2) };
    assert!(sessions.take(&digest(1), ahead).is_none(), "the wall clock was set ahead");
    let back = Now { wall: EPOCH - 1_000_000_000, ..clocks.at(10_000) };
    assert!(sessions.take(&digest(1), back).is_none(), "the wall clock was set back");
    assert!(sessions.take(&digest(1), clocks.at(3)).is_some());
}

#[test]
fn a_login_outlives_its_process_with_what_is_left_of_it() {
    let (clocks, mut sessions) = Clocks::new();
    let now = clocks.at(50);
    let mut login = sessions.login(caller("alice"), [0; 32], Now { wall: EPOCH - 8_000_000, ..now });
    login.used = EPOCH - 600_000;
    assert!(sessions.restore(digest(1), login.clone(), Now { wall: EPOCH, ..now }));
    let at = |clock: Millis| Now { clock, wall: EPOCH + (clock - 50) * 1_000 };
    assert!(sessions.take(&digest(1), at(449)).is_some());
    sessions.end(&digest(1));
    for (used, until, now, why) in [
        (EPOCH - 1_000_000, EPOCH + 1, EPOCH, "idle"),
        (EPOCH, EPOCH, EPOCH, "its time is over"),
        (EPOCH + CLOCK_TOLERANCE + 1, EPOCH * 2, EPOCH, "the clock was set back"),
    ] {
        let login = Login { used, until, ..login.clone() };
        assert!(!sessions.restore(digest(2), login, Now { clock: 60, wall: now }), "{why}");
    }
    let long = Login { used: EPOCH, until: EPOCH + 1_000_000_000, ..login };
    assert!(sessions.restore(digest(3), long, at(100)));
    let _stream = sessions.take(&digest(3), at(100));
    assert!(sessions.take(&digest(3), at(10_100)).is_none(), "a stricter limit counts for it too");
}

#[test]
fn logins_are_bounded_by_user_and_in_all() {
    let (clocks, mut sessions) = Clocks::new();
    for n in 0..MAX_PER_USER {
        assert_eq!(open(&mut sessions, n, "alice", clocks.at(n as u64)), Ok(vec![]));
    }
    let first = sessions.take(&digest(0), clocks.at(100)).unwrap();
    let second = sessions.take(&digest(1), clocks.at(90)).unwrap();
    // The one used longest ago goes, and what was made with it.
    assert_eq!(open(&mut sessions, 100, "alice", clocks.at(101)), Ok(vec![digest(2)]));
    assert!(!first.over.is_cancelled() && !second.over.is_cancelled());
    for n in 1_000..1_000 + MAX_LOGINS - MAX_PER_USER {
        assert_eq!(open(&mut sessions, n, &format!("user{n}"), clocks.at(102)), Ok(vec![]));
    }
    assert_eq!(open(&mut sessions, 1, "bob", clocks.at(103)), Err(Full));
}

#[test]
fn what_is_suspended_opens_nothing_until_it_is_resumed() {
    let (clocks, mut sessions) = Clocks::new();
    open(&mut sessions, 1, "alice", clocks.at(0)).unwrap();
    let stream = sessions.take(&digest(1), clocks.at(1)).unwrap();
    sessions.suspend(&digest(1));
    assert!(stream.over.is_cancelled() && sessions.take(&digest(1), clocks.at(2)).is_none());
    sessions.resume(&digest(1));
    assert!(!sessions.take(&digest(1), clocks.at(3)).unwrap().over.is_cancelled());
}

#[test]
fn the_last_use_is_written_down_now_and_then() {
    let (clocks, mut sessions) = Clocks::new();
    open(&mut sessions, 1, "alice", clocks.at(0)).unwrap();
    drop(sessions.take(&digest(1), clocks.at(124)));
    assert!(sessions.take_moved(clocks.at(130)).is_empty());
    drop(sessions.take(&digest(1), clocks.at(125)));
    let written = sessions.take_moved(clocks.at(130));
    assert_eq!(written.iter().map(|(_, login)| login.used).collect::<Vec<_>>(), [EPOCH + 125_000]);
    assert!(sessions.take_moved(clocks.at(131)).is_empty());
}

proptest! {
    #[test]
    fn no_login_is_used_beyond_its_limits(uses in prop::collection::vec(0..1_500u64, 1..40)) {
        let (clocks, mut sessions) = Clocks::new();
        open(&mut sessions, 1, "alice", clocks.at(0)).unwrap();
        let (mut now, mut last, mut alive) = (0, 0, true);
        for pause in uses {
            now += pause;
            alive = alive && now - last < LIMITS.idle && now < LIMITS.most;
            let used = sessions.take(&digest(1), clocks.at(now)).is_some();
            prop_assert_eq!(used, alive);
            last = now;
        }
    }
}
