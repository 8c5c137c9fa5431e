//! What minions say of forgeries, on its way up.

use super::*;
use crate::suspicion::{A_MINUTE_OF_A_MINION, Forgery, RATION, Suspicion, Witness};

fn suspicion(jid: u64, witness: Witness) -> Suspicion {
    let (jid, parent) = (Some(Jid::from_micros(jid)), "evil".parse().unwrap());
    Suspicion { kind: Forgery::BadSignature, jid, parent, at: 3, count: 1, witness }
}

fn minions(members: &[u32]) -> Witness {
    Witness::Minions(set(members))
}

impl Bench {
    fn suspects(&mut self, now: Millis, link: u64, list: Vec<Suspicion>) {
        self.relay.from_child(now, 0, LinkId(link), Up::Suspicions(list));
        self.turn(now);
    }

    fn passed_on(&mut self) -> Vec<Witness> {
        let one = |effect: &RelayEffect| match effect {
            RelayEffect::SendUp { up: Up::Suspicions(list), .. } => list.clone(),
            _ => Vec::new(),
        };
        let list = self.sent.iter().flat_map(one).map(|suspicion| suspicion.witness).collect();
        self.sent.clear();
        list
    }

    fn dropped(&self) -> u64 {
        let one = |effect: &RelayEffect| match effect {
            RelayEffect::ReportsDropped(n) => *n,
            _ => 0,
        };
        self.sent.iter().map(one).sum()
    }

    /// Until nothing is due any more.
    fn rest(&mut self) -> Millis {
        let due = self.relay.reports_due().unwrap();
        self.turn(due);
        due
    }
}

#[test]
fn what_many_say_goes_up_as_one_with_who_they_are() {
    let mut bench = Bench::attached(3);
    for link in 0..3 {
        bench.suspects(0, link, vec![suspicion(1, minions(&[0]))]);
    }
    assert_eq!(bench.passed_on(), []);
    bench.rest();
    assert_eq!(bench.passed_on(), [minions(&[0, 1, 2])]);
    assert_eq!(bench.relay.reports_due(), None);
}

#[test]
fn a_minion_speaks_for_nobody_else() {
    let mut bench = Bench::attached(2);
    let named = Witness::Below("aws-9".parse().unwrap());
    let lies = vec![minions(&[1]), minions(&[0, 1]), Witness::Sender, named];
    bench.suspects(0, 0, lies.into_iter().map(|witness| suspicion(1, witness)).collect());
    assert_eq!(bench.dropped(), 3);
    bench.rest();
    assert_eq!(bench.passed_on(), [minions(&[0])], "itself, among others whom it has not");
}

#[test]
fn who_makes_them_up_has_his_ration_by_whatever_link() {
    let mut bench = Bench::attached(2);
    for round in 0..5 {
        let list = (0..20).map(|n| suspicion(1 + 20 * round + n, minions(&[0]))).collect();
        bench.suspects(0, 0, list);
        bench.relay.child_down(0, 0, LinkId(0));
        bench.minion(0);
    }
    assert_eq!(bench.dropped(), 100 - u64::from(A_MINUTE_OF_A_MINION));
    bench.suspects(0, 1, vec![suspicion(500, minions(&[0]))]);
    bench.rest();
    let passed = bench.passed_on();
    assert_eq!(passed.len(), A_MINUTE_OF_A_MINION as usize + 1);
    assert!(passed.contains(&minions(&[1])), "the other one is heard");
    bench.relay.from_child(RATION, 0, LinkId(0), Up::Heartbeat(Vec::new()));
    bench.suspects(RATION, 0, vec![suspicion(600, minions(&[0]))]);
    bench.rest();
    assert!(bench.passed_on().contains(&minions(&[0])), "a minute later it is heard again");
}

#[test]
fn it_waits_for_a_parent_and_is_said_again_over_the_next_link() {
    let mut bench = Bench::attached(1);
    bench.relay.parent_down(PARENT);
    bench.suspects(0, 0, vec![suspicion(1, minions(&[0]))]);
    assert_eq!(bench.relay.reports_due(), None, "there is nobody to tell");
    for again in 1..3 {
        let (now, link) = (again * 1_000, LinkId(2_000 + again));
        bench.relay.parent_up(now, 0, link);
        bench.rest();
        assert_eq!(bench.passed_on(), [minions(&[0])]);
        bench.relay.from_parent(now, link, Down::Heartbeat);
        bench.relay.parent_down(link);
    }
    bench.relay.parent_up(9_000, 0, PARENT);
    bench.rest();
    for _ in 0..2 {
        bench.relay.from_parent(9_100, PARENT, Down::Heartbeat);
    }
    bench.sent.clear();
    bench.relay.parent_down(PARENT);
    bench.relay.parent_up(9_900, 0, PARENT);
    assert_eq!(bench.relay.reports_due(), None, "it was heard");
}
