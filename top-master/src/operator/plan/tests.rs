//! Estimates and ids of plans.

use relay_core::{batch::BatchSize, topology::Share};

use super::*;

fn window(n: u32, wait: Millis) -> BatchRule {
    BatchRule { size: BatchSize::Window(Share::Count(n)), wait, ..BatchRule::default() }
}

fn ran(targets: u64, duration_ms: Millis, batch: BatchRule) -> Ran {
    Ran { targets, duration_ms, batch }
}

fn stages(rule: &BatchRule, targets: u64) -> Vec<PlannedStage> {
    preview(rule, &[("aws".parse().unwrap(), targets)])
}

#[test]
fn an_estimate_is_the_median_wave_as_often_as_needed() {
    let rule = window(10, 500);
    let stages = stages(&rule, 40);
    assert_eq!(waves(&stages), 4);
    assert_eq!(estimate(&[], &stages, &rule), (0, 0));
    let history = [
        // One wave of 1 s, all at once.
        ran(100, 1_000, BatchRule::default()),
        // Five waves of 2 s with 100 ms between them.
        ran(50, 10_400, window(10, 100)),
        // An odd one.
        ran(10, 90_000, window(10, 0)),
    ];
    assert_eq!(estimate(&history, &stages, &rule), (4 * 2_000 + 3 * 500, 3));
    assert_eq!(estimate(&history[..2], &stages, &rule).0, 4 * 1_000 + 3 * 500);
}

#[test]
fn canary_stages_are_waves_of_their_own() {
    let canary = BatchSize::Canary(vec![Share::Count(1), Share::Percent(10), Share::Percent(100)]);
    let rule = BatchRule { size: canary, ..BatchRule::default() };
    assert_eq!(waves(&stages(&rule, 100)), 3);
}

#[test]
fn everything_that_a_plan_shows_is_in_its_id() {
    let request = wire::SubmitRequest {
        target: "web*".into(),
        function: "cmd.run".into(),
        args: b"{}".to_vec(),
        run_timeout_ms: 5,
        ..wire::SubmitRequest::default()
    };
    let of = |request: &wire::SubmitRequest, rule: &BatchRule, ids: &[&str]| {
        plan_id(request, rule, ids.iter().copied())
    };
    let rule = window(5, 0);
    let base = of(&request, &rule, &["a", "bc"]);
    assert_eq!(base, of(&request.clone(), &rule, &["a", "bc"]));
    let others = [
        of(&request, &rule, &["ab", "c"]),
        of(&request, &rule, &["a"]),
        of(&request, &window(6, 0), &["a", "bc"]),
        of(&wire::SubmitRequest { function: "cmd.runn".into(), ..request.clone() }, &rule, &["a", "bc"]),
        of(&wire::SubmitRequest { args: b"{ }".to_vec(), ..request.clone() }, &rule, &["a", "bc"]),
        of(&wire::SubmitRequest { run_timeout_ms: 6, ..request.clone() }, &rule, &["a", "bc"]),
        of(&wire::SubmitRequest { target: "*".into(), ..request.clone() }, &rule, &["a", "bc"]),
    ];
    let all: std::collections::BTreeSet<_> = others.into_iter().chain([base]).collect();
    assert_eq!(all.len(), 8);
}
