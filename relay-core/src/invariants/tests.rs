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

// ---- I12 ----

fn ids(names: &[&str]) -> BTreeSet<MinionId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A job for a to d, two at once over both regions, one in aws; `Running` at 10 if it was offered until 100.
fn batch(limits: Limits) -> Vec<O> {
    let names = ["a", "b", "c", "d"];
    let mut run = vec![
        O::Recorded { jid: jid(), targets: ids(&names) },
        O::Limited(jid(), limits),
        O::Due(jid(), 9_999),
    ];
    run.extend(names.map(|name| O::Slot(slot(name), ok())));
    run.push(O::Closed(jid(), 1));
    run
}

fn place(name: &str) -> [O; 2] {
    [O::Granted(slot(name)), O::Offered(slot(name), 100)]
}

fn runs(name: &str) -> Vec<O> {
    place(name).into_iter().chain([O::Running(slot(name), 10)]).collect()
}

fn knows(decided: &[&str], failed: &[&str]) -> O {
    let known = Knowledge { decided: ids(decided), failed: ids(failed), answered: ids(decided) };
    O::Known(jid(), known)
}

fn breaks_i12(limits: Limits, steps: Vec<Vec<O>>) -> bool {
    match broken(batch(limits).into_iter().chain(steps.concat()).collect())[..] {
        [] => false,
        ["I12"] => true,
        ref other => panic!("{other:?}"),
    }
}

fn two() -> Limits {
    Limits { at_once: Some(2), ..Limits::default() }
}

#[test]
fn more_at_once_than_the_limit_breaks_i12_even_for_a_moment() {
    let over = |name: &str| vec![O::Over(slot(name))];
    assert!(!breaks_i12(two(), vec![runs("a"), runs("b"), over("a"), runs("c")]));
    assert!(breaks_i12(two(), vec![runs("a"), runs("b"), runs("c"), over("a"), over("b"), over("c")]));
    let aws = RegionLimits { members: ids(&["a", "b"]), at_once: Some(1), max_failures: None };
    let here = Limits { regions: [(region("aws"), aws)].into(), ..two() };
    assert!(!breaks_i12(here.clone(), vec![runs("a"), runs("c")]));
    assert!(breaks_i12(here, vec![runs("a"), runs("b")]));
}

#[test]
fn a_start_long_after_its_time_is_told_and_not_counted() {
    let late = |at| vec![O::Granted(slot("c")), O::Offered(slot("c"), 100), O::Running(slot("c"), at)];
    assert!(breaks_i12(two(), vec![runs("a"), runs("b"), late(100 + START_GRACE)]));
    assert!(!breaks_i12(two(), vec![runs("a"), runs("b"), late(101 + START_GRACE)]));
    let mut trace = Trace::default();
    batch(two()).into_iter().chain(late(101 + START_GRACE)).for_each(|o| trace.note(o));
    assert_eq!(trace.late_starts(), 1);
    assert!(breaks_i12(two(), vec![vec![O::Running(slot("d"), 10)]]), "nobody offered it that one at all");
}

#[test]
fn nothing_is_offered_once_the_batch_is_known_to_be_stopped() {
    let stops = [
        Limits { max_failures: Some(1), ..Limits::default() },
        Limits { until: Some(1), ..Limits::default() },
        Limits {
            regions: [(
                region("aws"),
                RegionLimits { members: ids(&["a", "b"]), at_once: None, max_failures: Some(1) },
            )]
            .into(),
            ..Limits::default()
        },
    ];
    for limits in stops {
        assert!(!breaks_i12(limits.clone(), vec![runs("a"), runs("b"), vec![knows(&["a"], &["a"])]]));
        assert!(breaks_i12(limits.clone(), vec![runs("a"), vec![knows(&["a"], &["a"])], runs("b")]));
        let forgets = vec![knows(&["a"], &["a"]), knows(&[], &[])];
        assert!(!breaks_i12(limits, vec![runs("a"), forgets, runs("b")]), "killed before it was committed");
    }
}

#[test]
fn a_stage_begins_when_all_before_have_outcomes() {
    let canary = || Limits { stages: vec![1, 3, 4], ..Limits::default() };
    let steps = |known: O| vec![runs("a"), vec![known], runs("b"), runs("c")];
    assert!(!breaks_i12(canary(), steps(knows(&["a"], &[]))));
    assert!(breaks_i12(canary(), steps(knows(&[], &[]))));
    let last = |known: O| [steps(knows(&["a"], &[])), vec![vec![known], runs("d")]].concat();
    assert!(!breaks_i12(canary(), last(knows(&["a", "b", "c"], &[]))));
    assert!(breaks_i12(canary(), last(knows(&["a", "b"], &[]))));
}

#[test]
fn a_serial_job_runs_beside_nothing_that_was_granted_before() {
    let other = |serial| {
        let jid = Jid::from_micros(8);
        let slot = || (jid, slot("a").1);
        let limits = Limits { serial, ..Limits::default() };
        let head = vec![
            O::Recorded { jid, targets: ids(&["a"]) },
            O::Limited(jid, limits),
            O::Due(jid, 9),
            O::Closed(jid, 1),
            O::Slot(slot(), ok()),
        ];
        let run = vec![O::Granted(slot()), O::Offered(slot(), 100), O::Running(slot(), 10)];
        (head, run)
    };
    let serial = || Limits { serial: true, ..Limits::default() };
    for (first, second, expected) in [
        (Limits::default(), false, false),
        (serial(), false, false),
        (Limits::default(), true, true),
        (serial(), true, true),
    ] {
        let (head, run) = other(second);
        let text = format!("{first:?}, then serial {second}");
        assert_eq!(breaks_i12(first, vec![runs("a"), head, run]), expected, "{text}");
    }
    let (head, run) = other(false);
    let crossing = vec![place("a").to_vec(), head, run, vec![O::Running(slot("a"), 20)]];
    assert!(!breaks_i12(serial(), crossing), "granted before the other, and only started after it");
}
