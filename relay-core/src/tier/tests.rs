use super::*;
use crate::outcome::{Outcome, Reason};

fn set(members: &[u32]) -> Members {
    members.iter().copied().collect()
}

fn entry(no: u32, id: &str) -> RosterEntry {
    let id = id.parse().unwrap();
    RosterEntry { no, id, incarnation: Incarnation(no.into()), up: true, since: 0, grains: "{}".into() }
}

/// Links 1 and 2 are syndics; minions m0.. sit below link 1 as numbers 0.. .
fn tier(members: u32) -> Tier {
    let mut tier = Tier::default();
    tier.attach(LinkId(1), Incarnation(11), 0);
    tier.attach(LinkId(2), Incarnation(22), 0);
    let entries = (0..members).map(|no| entry(no, &format!("m{no}"))).collect();
    let full = RosterUpdate::Full { version: 1, entries };
    tier.roster(LinkId(1), &full, &mut |e| Some(100 + e.no)).unwrap();
    let job = Job { jid: Jid::from_micros(7), digest: [0; 32], envelope: "x".into(), targets: None };
    let targets = (100..100 + members).collect();
    tier.works.insert(job.jid, work(Some(job), targets));
    tier
}

/// Work that may be delivered until 1,000.
fn work(job: Option<Job>, targets: Members) -> Work {
    let mut work = Work::new(job.map(Arc::new), Epoch(1), targets.clone());
    work.deadlines.set(0, 1_000, &targets);
    work
}
const JID: fn() -> Jid = || Jid::from_micros(7);

fn dispatches(placement: &Placement) -> Vec<(Vec<LinkId>, Members, bool)> {
    let one = |s: &Sending| match &s.down {
        Down::Dispatch(d) => Some((s.links.clone(), d.members.clone(), d.reoffer)),
        _ => None,
    };
    placement.sendings.iter().filter_map(one).collect()
}

#[test]
fn one_dispatch_per_link() {
    let mut tier = tier(3);
    let placed = tier.place(0, JID(), &set(&[100, 101, 102]));
    assert_eq!(dispatches(&placed), vec![(vec![LinkId(1)], set(&[0, 1, 2]), false)]);
    assert_eq!(placed.marks[0].members, set(&[100, 101, 102]));
}

#[test]
fn a_member_that_moved_is_tainted_and_only_its_journal_is_believed() {
    let mut tier = tier(2);
    tier.place(0, JID(), &set(&[100, 101]));
    let moved = RosterUpdate::Full { version: 1, entries: vec![entry(9, "m0")] };
    let news = tier.roster(LinkId(2), &moved, &mut |_| Some(100)).unwrap();
    assert_eq!(news.up, set(&[100]));
    let placed = tier.place(0, JID(), &news.up);
    assert_eq!(dispatches(&placed), vec![(vec![LinkId(2)], set(&[9]), true)]);
    let not_started = Answer::by_tier(Outcome::NotStarted, Reason::Unreachable);
    assert_eq!(tier.believable(LinkId(1), JID(), &not_started, &set(&[100, 101])), set(&[101]));
    assert!(tier.believable(LinkId(2), JID(), &not_started, &set(&[100])).is_empty());
    let ok = Answer::bare(Outcome::Ok, Reason::None);
    assert_eq!(tier.believable(LinkId(1), JID(), &ok, &set(&[100])), set(&[100]));
}

#[test]
fn the_same_path_again_taints_nobody() {
    let mut tier = tier(1);
    tier.place(0, JID(), &set(&[100]));
    tier.detach(LinkId(1));
    tier.attach(LinkId(3), Incarnation(11), 0);
    let full = RosterUpdate::Full { version: 1, entries: vec![entry(0, "m0")] };
    tier.roster(LinkId(3), &full, &mut |_| Some(100)).unwrap();
    let placed = tier.place(0, JID(), &set(&[100]));
    assert_eq!(dispatches(&placed), vec![(vec![LinkId(3)], set(&[0]), false)]);
    assert!(placed.marks.is_empty());
}

#[test]
fn after_the_delivery_deadline_journals_are_only_asked() {
    let mut tier = tier(1);
    tier.place(0, JID(), &set(&[100]));
    let placed = tier.place(1_000, JID(), &set(&[100]));
    assert!(matches!(&placed.sendings[0].down, Down::Dispatch(d) if d.reoffer && d.deliver_within == 0));
}

#[test]
fn a_late_down_from_the_old_link_does_not_unseat() {
    let mut tier = tier(1);
    let moved = RosterUpdate::Full { version: 1, entries: vec![entry(9, "m0")] };
    tier.roster(LinkId(2), &moved, &mut |_| Some(100)).unwrap();
    assert!(tier.detach(LinkId(1)).is_empty());
    assert_eq!(tier.link_of(100), Some(LinkId(2)));
}

#[test]
fn a_retired_number_unseats_only_itself_and_still_says_whose_it_was() {
    let mut tier = tier(1);
    let delta = |from, changes| RosterUpdate::Delta { from, to: from + 1, changes };
    let newer = RosterEntry { no: 5, ..entry(0, "m0") };
    let first = delta(1, vec![RosterChange::Drop(set(&[0])), RosterChange::Put(newer)]);
    tier.roster(LinkId(1), &first, &mut |_| Some(100)).unwrap();
    tier.roster(LinkId(1), &delta(2, vec![RosterChange::Down(set(&[0]))]), &mut |_| None).unwrap();
    assert_eq!(tier.up(), &set(&[100]));
    assert_eq!(tier.localise(LinkId(1), &set(&[0, 5])), set(&[100]));
}

#[test]
fn after_a_batch_that_was_not_taken_none_is_until_it_comes_again() {
    let mut tier = tier(1);
    assert!(tier.takes(LinkId(1), 4, true));
    assert!(!tier.takes(LinkId(1), 5, false));
    assert!(!tier.takes(LinkId(1), 6, true), "its acknowledgement would cover 5");
    assert!(!tier.takes(LinkId(1), 4, false), "taken before: its acknowledgement is under way");
    assert!(tier.takes(LinkId(1), 5, true));
    assert!(tier.takes(LinkId(1), 6, true));
}

#[test]
fn who_goes_down_where_it_no_longer_is_is_asked_for_where_it_is() {
    let mut tier = tier(1);
    let moved = RosterUpdate::Full { version: 1, entries: vec![entry(9, "m0")] };
    tier.roster(LinkId(2), &moved, &mut |_| Some(100)).unwrap();
    let stale = RosterUpdate::Full { version: 2, entries: vec![entry(0, "m0")] };
    tier.roster(LinkId(1), &stale, &mut |_| Some(100)).unwrap();
    assert!(tier.take_contested().is_empty());
    tier.detach(LinkId(1));
    assert_eq!(tier.take_contested(), [LinkId(2)]);
    tier.detach(LinkId(2));
    assert!(tier.take_contested().is_empty());
}

#[test]
fn silence_is_found_when_it_begins_and_named_until_the_link_is_gone() {
    let mut tier = tier(1);
    let silent = |tier: &mut Tier, now| tier.silent(now, 2_000);
    assert_eq!((silent(&mut tier, 0), silent(&mut tier, 1_999)), (vec![], vec![]));
    tier.heard(LinkId(1), 1_200);
    tier.attach(LinkId(3), Incarnation(33), 1_999);
    assert_eq!(silent(&mut tier, 2_000), [LinkId(2)]);
    assert_eq!(silent(&mut tier, 3_200), [LinkId(1), LinkId(2)]);
    tier.detach(LinkId(1));
    tier.heard(LinkId(2), 3_201);
    assert_eq!(silent(&mut tier, 3_999), [LinkId(3)]);
    tier.detach(LinkId(3));
    assert_eq!(silent(&mut tier, 6_000), [LinkId(2)]);
    assert_eq!(silent(&mut tier, 6_000 + SILENT_AGAIN - 1), []);
    assert_eq!(silent(&mut tier, 6_000 + SILENT_AGAIN), [LinkId(2)]);
}

#[test]
fn a_gap_is_noticed_until_the_whole_comes() {
    let mut tier = tier(1);
    let delta = |from, to| RosterUpdate::Delta { from, to, changes: vec![RosterChange::Down(set(&[0]))] };
    assert_eq!(tier.roster(LinkId(1), &delta(2, 3), &mut |_| None), Err(RosterGap));
    assert_eq!(tier.roster(LinkId(1), &delta(1, 2), &mut |_| None), Err(RosterGap));
}

#[test]
fn minions_share_one_message() {
    let mut tier = Tier::default();
    for no in 0..4u32 {
        tier.attach(LinkId(no.into()), DIRECT, 0);
        let full = RosterUpdate::Full { version: 1, entries: vec![entry(0, &format!("m{no}"))] };
        tier.roster(LinkId(no.into()), &full, &mut |_| Some(no)).unwrap();
    }
    let job = Job { jid: JID(), digest: [0; 32], envelope: "x".into(), targets: None };
    tier.works.insert(JID(), work(Some(job), (0..4).collect()));
    let placed = tier.place(0, JID(), &(0..4).collect());
    assert_eq!(dispatches(&placed).len(), 1);
    assert_eq!(placed.sendings[0].links.len(), 4);
}

#[test]
fn cancel_answers_for_the_unsent_and_tells_the_rest() {
    let mut tier = tier(2);
    tier.place(0, JID(), &set(&[100]));
    let (never_sent, sending) = tier.cancel(JID(), "seal".into());
    assert_eq!(never_sent, set(&[101]));
    assert!(matches!(sending.unwrap().down, Down::Cancel { .. }));
    assert!(tier.place(0, JID(), &set(&[101])).sendings.is_empty());
}

#[test]
fn a_syndic_that_may_not_know_a_cancelled_job_is_sent_it_with_no_time_left_and_the_cancel() {
    let mut tier = tier(1);
    tier.place(0, JID(), &set(&[100]));
    tier.cancel(JID(), "seal".into());
    let placed = tier.place(0, JID(), &set(&[100]));
    let [dispatch, cancel] = &placed.sendings[..] else { panic!("both") };
    assert!(matches!(&dispatch.down, Down::Dispatch(d) if d.reoffer && d.deliver_within == 0));
    assert!(matches!(cancel.down, Down::Cancel { .. }));
}

#[test]
fn a_minion_that_another_path_may_have_reached_is_sent_the_cancel_and_needs_no_job_for_it() {
    let mut tier = Tier::default();
    tier.attach(LinkId(1), DIRECT, 0);
    let full = RosterUpdate::Full { version: 1, entries: vec![entry(0, "m0")] };
    tier.roster(LinkId(1), &full, &mut |_| Some(100)).unwrap();
    let mut work = work(None, set(&[100]));
    work.tainted = set(&[100]);
    tier.works.insert(JID(), work);
    let (never_sent, sending) = tier.cancel(JID(), "seal".into());
    assert!(never_sent.is_empty());
    assert_eq!(sending.unwrap().links, [LinkId(1)]);
    let placed = tier.place(0, JID(), &set(&[100]));
    assert!(placed.marks.is_empty());
    assert!(matches!(&placed.sendings[..], [Sending { down: Down::Cancel { .. }, .. }]));
}
