//! Rules as people write them, and laws that hold for every rule and every clock.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// 2026-03-01 00:00:00 UTC, a Sunday.
const SUNDAY: WallMicros = 1_772_323_200_000_000;
const SECOND: WallMicros = 1_000_000;
const HOUR: WallMicros = 3_600 * SECOND;
const YEAR: WallMicros = 365 * 24 * HOUR;

fn cron(text: &str) -> Draft<'_> {
    Draft { name: "nightly", cron: text, ..Draft::default() }
}

fn every(millis: Millis) -> Draft<'static> {
    Draft { name: "often", every: millis, ..Draft::default() }
}

fn rule(draft: Draft<'_>) -> Rule {
    Rule::check(draft, SUNDAY).unwrap()
}

#[test]
fn times_are_in_utc() {
    let table = [
        ("0 3 * * *", 3 * HOUR),
        ("*/15 * * * *", 900 * SECOND),
        ("30 2 * * mon", 24 * HOUR + 2 * HOUR + 1_800 * SECOND),
        ("0 0 1 jan *", (365 - 59) * 24 * HOUR),
        ("@daily", 24 * HOUR),
        // Either day, as in crontab(5): the second of the month, or a Saturday.
        ("0 0 2 * sat", 24 * HOUR),
    ];
    for (text, after) in table {
        assert_eq!(rule(cron(text)).next(SUNDAY), Some(SUNDAY + after), "{text}");
    }
    assert_eq!(rule(every(1_800_000)).next(SUNDAY + SECOND), Some(SUNDAY + HOUR / 2));
}

#[test]
fn nonsense_is_refused_with_the_reason() {
    let table = [
        (Draft { name: "", ..every(1_000) }, "no name"),
        (Draft { name: "a b", ..every(1_000) }, "no name"),
        (Draft { name: "x", ..Draft::default() }, "either a cron expression"),
        (Draft { every: 60_000, ..cron("* * * * *") }, "and not both"),
        (cron("* * * *"), "4 fields, not 5"),
        (cron("0 * * * * *"), "6 fields, not 5"),
        (cron("61 * * * *"), "cron expression \"61 * * * *\""),
        (cron("0 0 30 2 *"), "no such time ever comes"),
        (cron("@reboot"), "cron expression"),
        (every(999), "an interval of 999 ms"),
        (every(u64::MAX), "to a year"),
        (Draft { splay: MAX_SPLAY + 1, ..every(1_000) }, "at most a day"),
        (Draft { max_running: 101, ..every(1_000) }, "from 1 to 100"),
        (Draft { missed: "twice", ..every(1_000) }, "skip, or once"),
    ];
    for (draft, told) in table {
        let error = Rule::check(draft, SUNDAY).unwrap_err().to_string();
        assert!(error.contains(told), "{draft:?}: {error}");
    }
}

#[test]
fn a_time_runs_once_and_on_time() {
    let rule = rule(cron("0 3 * * *"));
    let three = SUNDAY + 3 * HOUR;
    assert_eq!(rule.due(three - 1, SUNDAY, 0), Due::Wait(Some(three)));
    assert_eq!(rule.due(three + SECOND, SUNDAY, 0), Due::Run(three));
    assert_eq!(rule.due(three + SECOND, three, 0), Due::Wait(Some(three + 24 * HOUR)));
}

#[test]
fn missed_times_are_skipped_or_made_up_for_once() {
    let noon = SUNDAY + 12 * HOUR + 1_800 * SECOND;
    let skip = rule(cron("0 * * * *"));
    assert_eq!(skip.due(noon, SUNDAY, 0), Due::Missed(SUNDAY + 12 * HOUR, MissedWhy::Late));
    let once = rule(Draft { missed: "once", ..cron("0 * * * *") });
    assert_eq!(once.due(noon, SUNDAY, 0), Due::Run(SUNDAY + 12 * HOUR));
    assert_eq!(once.due(noon, SUNDAY + 12 * HOUR, 0), Due::Wait(Some(SUNDAY + 13 * HOUR)));
}

#[test]
fn no_more_runs_are_open_than_may_be() {
    let one = SUNDAY + HOUR;
    let skip = rule(cron("0 * * * *"));
    assert_eq!(skip.due(one, SUNDAY, 1), Due::Missed(one, MissedWhy::Running(1)));
    let once = rule(Draft { missed: "once", max_running: 2, ..cron("0 * * * *") });
    assert_eq!(once.due(one, SUNDAY, 1), Due::Run(one));
    assert_eq!(once.due(one, SUNDAY, 2), Due::Wait(Some(one)));
    assert_eq!(once.due(one + 1_000 * SECOND, SUNDAY, 1), Due::Run(one));
}

#[test]
fn a_clock_that_is_put_right_does_not_silence_a_schedule() {
    let rule = rule(cron("0 * * * *"));
    // It was a year ahead.
    assert_eq!(rule.due(SUNDAY, SUNDAY + YEAR, 0), Due::Settle(SUNDAY));
    // It was a minute ahead: nothing is repeated.
    assert_eq!(rule.due(SUNDAY - 60 * SECOND, SUNDAY, 0), Due::Wait(Some(SUNDAY + HOUR)));
}

#[test]
fn runs_have_ids_of_their_own() {
    let mut ids = BTreeSet::new();
    for name in ["a", "b"] {
        for made in [1, 2] {
            for nominal in [SUNDAY, SUNDAY + HOUR] {
                ids.insert(request_id(name, made, nominal));
            }
        }
    }
    assert_eq!(ids.len(), 8);
    assert_eq!(request_id("a", 1, SUNDAY), request_id("a", 1, SUNDAY));
}

const CRONS: &[&str] = &["* * * * *", "*/7 * * * *", "0 3 * * *", "5,25 1-4 * * 1-5", "0 0 29 2 *"];

fn drafts() -> impl Strategy<Value = Draft<'static>> {
    let cron = prop::sample::select(CRONS).prop_map(|text| (text, 0));
    let every = (MIN_EVERY..40_000_000).prop_map(|every| ("", every));
    let splay = prop_oneof![Just(0), 0..MAX_SPLAY];
    (prop_oneof![cron, every], splay, 1..4_u32, prop::sample::select(&["skip", "once"][..])).prop_map(
        |((cron, every), splay, max_running, missed)| Draft {
            name: "any",
            cron,
            every,
            splay,
            max_running,
            missed,
        },
    )
}

proptest! {
    /// Each run begins within its splay and before the next one could, so runs begin in the order of their times.
    #[test]
    fn runs_begin_in_order(draft in drafts(), from in SUNDAY..SUNDAY + YEAR) {
        let rule = rule(draft);
        let first = rule.when.after(from).unwrap();
        let second = rule.when.after(first).unwrap();
        let begins = rule.begins(first);
        prop_assert!(from < first && first < second);
        prop_assert!(first <= begins && begins < second && begins - first <= draft.splay * 1_000);
        prop_assert_eq!(rule.when.at_or_before(first), Some(first));
        prop_assert_eq!(rule.when.at_or_before(second - 1), Some(first));
    }

    /// However the clock moves and whoever crashes: no time runs twice, one look gives one run at most, and under "skip"
    /// none that is late.
    #[test]
    fn nothing_runs_twice(
        draft in drafts(),
        steps in prop::collection::vec((0..4_u8, 0..3 * 24 * HOUR, 0..3_u32), 1..60),
    ) {
        let rule = rule(draft);
        let (mut now, mut settled) = (SUNDAY, SUNDAY);
        let mut ran = BTreeSet::new();
        for (kind, by, running) in steps {
            match kind {
                0 => now += by % (2 * SECOND),
                1 => now += by,
                2 => now -= (by % (MAX_STEP_BACK * 1_000)).min(now - SUNDAY),
                _ => now = rule.next(settled).unwrap().max(now),
            }
            for look in 0.. {
                prop_assert!(look < 3, "a storm");
                match rule.due(now, settled, running) {
                    Due::Wait(next) => {
                        prop_assert!(next.is_some());
                        break;
                    }
                    Due::Run(nominal) => {
                        prop_assert!(nominal > settled && rule.begins(nominal) <= now && running < rule.max_running());
                        let late = now - rule.begins(nominal) > GRACE * 1_000;
                        prop_assert!(!late || rule.missed() == Missed::Once);
                        prop_assert!(ran.insert(nominal), "twice");
                        settled = nominal;
                    }
                    Due::Missed(nominal, _) => {
                        prop_assert!(nominal > settled && rule.missed() == Missed::Skip);
                        settled = nominal;
                    }
                    Due::Settle(at) => {
                        prop_assert!(settled > at + MAX_STEP_BACK * 1_000);
                        // Times after it come again, under the request ids that they had.
                        ran.retain(|nominal| *nominal <= at);
                        settled = at;
                    }
                }
            }
        }
    }

    /// A clock that goes as clocks do: every time runs, none is missed.
    #[test]
    fn every_time_runs(draft in drafts(), from in SUNDAY..SUNDAY + YEAR) {
        let rule = rule(draft);
        let (mut settled, mut expected) = (from, rule.when.after(from).unwrap());
        for _ in 0..5 {
            let now = rule.next(settled).unwrap() + SECOND / 2;
            // A run that begins in the last half second before the next time: the look may see both.
            prop_assume!(rule.when.after(expected).unwrap() > now);
            prop_assert_eq!(rule.due(now, settled, 0), Due::Run(expected));
            settled = expected;
            expected = rule.when.after(expected).unwrap();
        }
    }
}
