//! One minion that takes what it can get: numbers, room in the spool, room in the roster.

use super::*;
use crate::inventory::MAX_GRAINS_BYTES;

const MALLORY: LinkId = LinkId(66);

impl Bench {
    /// Mallory attaches under a journal, says so in a roster, and goes.
    fn mallory(&mut self, now: Millis, journal: u64, grains: &str) {
        let (id, journal) = ("mallory".parse().unwrap(), Incarnation(journal));
        self.relay.child_up(now, MALLORY, Some(&id), journal);
        self.relay.from_child(now, 0, MALLORY, Up::Roster(roster_of_one(&id, journal, grains.into())));
        self.turn(now);
    }
}

#[test]
fn one_minion_does_not_use_up_the_numbers_of_all() {
    let mut bench = Bench::attached(1);
    for journal in 0..10_000 {
        bench.mallory(journal, 1_000 + journal, "{}");
        bench.relay.child_down(journal, 0, MALLORY);
    }
    let given = bench.relay.roster().numbers().count();
    assert!(given < 100, "{given} numbers for one minion in ten seconds");
    let refused = |e: &RelayEffect| matches!(e, RelayEffect::Hangup { why: "too many journals", .. });
    assert!(bench.sent.iter().any(refused));
    // Others are let in as before, and mallory itself under a journal that is known.
    bench.minion(7);
    assert_eq!(bench.relay.minions_up(), 2);
    bench.mallory(20_000, 1_000, "{}");
    assert_eq!(bench.relay.minions_up(), 3);
}

#[test]
fn answers_of_nothing_fill_the_spool_like_others() {
    let mut bench = Bench::attached(1);
    bench.relay.parent_down(PARENT);
    let answer = Arc::new(Answer::bare(Outcome::Ok, Reason::None));
    for seq in 1..100 {
        // Of jobs that this syndic knows nothing of: they would be passed on, as those of a minion that has moved.
        let group = |n| ReturnGroup {
            jid: Jid::from_micros(seq * 4_096 + n),
            answer: answer.clone(),
            members: set(&[0]),
        };
        let groups = (0..4_096).map(group).collect();
        bench.relay.from_child(seq, 0, LinkId(0), Up::Returns(ReturnBatch { seq, groups }));
        bench.turn(seq);
    }
    let held: usize = bench.spool.iter().filter(|r| matches!(r, SpoolRecord::Batch { .. })).count();
    assert!(held < 10, "{held} batches of answers are kept, of a spool for 1 MiB");
}

#[test]
fn grains_that_are_too_long_are_passed_on_as_too_long_and_not_as_long_as_they_are() {
    let mut bench = Bench::attached(1);
    let long = format!("{{\"a\":\"{}\"}}", "é".repeat(1 << 20));
    bench.mallory(0, 5, &long);
    let entry = bench.relay.roster().by_id(&"mallory".parse().unwrap()).expect("it is attached");
    assert!(
        (MAX_GRAINS_BYTES + 1..MAX_GRAINS_BYTES + 4).contains(&entry.grains.len()),
        "{}",
        entry.grains.len()
    );
}
