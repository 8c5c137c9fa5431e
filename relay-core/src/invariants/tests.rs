use super::*;
use Observation as O;

fn jid() -> Jid {
    Jid::from_micros(7)
}
fn slot(id: &str) -> Slot {
    (jid(), id.parse().unwrap())
}
fn says(outcome: Outcome, reason: Reason) -> Verdict {
    Verdict { outcome, reason, retcode: 0, body: None }
}
fn ok() -> Verdict {
    says(Outcome::Ok, Reason::None)
}
fn unknown() -> Verdict {
    says(Outcome::Unknown, Reason::NoReport)
}
fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

/// A job for `a`, run well.
fn good() -> Vec<O> {
    let targets: BTreeSet<MinionId> = [slot("a").1].into();
    vec![
        O::Recorded { jid: jid(), targets: targets.clone() },
        O::Due(jid(), 100),
        O::Shown { jid: jid(), targets: 1 },
        O::Started(slot("a")),
        O::Ended(slot("a"), ok()),
        O::SaidBy { slot: slot("a"), home: region("aws"), by: region("aws") },
        O::Wrote { jid: jid(), epoch: Epoch(2), newest: Epoch(2) },
        O::Slot(slot("a"), ok()),
        O::Closed(jid(), 90),
        O::Looked { jobs: [(jid(), targets)].into() },
    ]
}

fn broken(observations: Vec<O>) -> Vec<&'static str> {
    let mut trace = Trace::default();
    observations.into_iter().for_each(|o| trace.note(o));
    let mut names: Vec<_> = at_rest(&trace).into_iter().map(|v| v.invariant).collect();
    names.dedup();
    names
}

#[test]
fn a_good_run_breaks_nothing() {
    assert_eq!(broken(good()), Vec::<&str>::new());
}

#[test]
fn each_breach_is_named() {
    let stranger = O::Slot(slot("b"), ok());
    let foreign = O::SaidBy { slot: slot("a"), home: region("aws"), by: region("azure") };
    let stale = O::Wrote { jid: jid(), epoch: Epoch(1), newest: Epoch(2) };
    let after: Vec<(O, &[&str])> = vec![
        (O::Started(slot("a")), &["I1"]),
        (O::Slot(slot("a"), ok()), &["I2"]),
        (stranger, &["I2"]),
        (O::BrokenLedger("x".into()), &["I2"]),
        (O::Ended(slot("a"), says(Outcome::Failed, Reason::None)), &["I3"]),
        (O::Looked { jobs: BTreeMap::new() }, &["I4"]),
        (O::Shown { jid: jid(), targets: 2 }, &["I4"]),
        (O::Started(slot("b")), &["I5"]),
        (O::Due(jid(), 80), &["I6"]),
        (stale, &["I7"]),
        (foreign, &["I8"]),
    ];
    for (extra, expected) in after {
        let text = format!("{extra:?}");
        assert_eq!(broken(good().into_iter().chain([extra]).collect()), expected, "{text}");
    }
}

#[test]
fn whoever_is_said_not_to_have_run_must_not_have() {
    for verdict in [
        says(Outcome::NotStarted, Reason::Unreachable),
        says(Outcome::Refused, Reason::Busy),
        says(Outcome::Cancelled, Reason::BeforeStart),
    ] {
        let mut run = good();
        run.retain(|o| !matches!(o, O::Slot(..) | O::Ended(..)));
        run.push(O::Slot(slot("a"), verdict));
        assert_eq!(broken(run), ["I11"]);
    }
}

#[test]
fn a_slot_resolves_once_and_must_have_a_value() {
    let mut run = good();
    run.retain(|o| !matches!(o, O::Slot(..)));
    assert_eq!(broken(run.clone()), ["I2", "I3"], "no outcome");
    run.push(O::Slot(slot("a"), unknown()));
    assert_eq!(broken(run.clone()), ["I3"], "unknown, although an END was journaled");
    run.push(O::Slot(slot("a"), ok()));
    assert_eq!(broken(run.clone()), Vec::<&str>::new(), "resolved");
    run.push(O::Slot(slot("a"), unknown()));
    assert_eq!(broken(run), ["I2", "I3"], "final, and taken back");
}

#[test]
fn an_end_of_which_no_copy_is_left_is_not_expected() {
    let mut run = good();
    run.retain(|o| !matches!(o, O::Slot(..)));
    run.extend([O::Destroyed(slot("a")), O::Slot(slot("a"), unknown())]);
    assert_eq!(broken(run), Vec::<&str>::new());
}
