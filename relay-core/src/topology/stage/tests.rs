//! What a stage asks for, in which order, and what stops it.

use serde_json::{Value, json};

use super::*;
use crate::topology::render::node;

const RULE: StageRule = StageRule { max_lost_percent: 5, settle: 1_000 };

fn region(name: &str, syndics: &[&str], batch: u32) -> Value {
    let syndics: Vec<Value> =
        syndics.iter().map(|id| json!({"id": id, "address": format!("{id}:1")})).collect();
    json!({
        "name": name, "provider": "other", "syndics": syndics,
        "minions": {"count": 10, "patterns": [format!("{name}-*")]}, "batch": {"batch": batch},
    })
}

fn topology(regions: &[Value], groups: Value) -> Topology {
    let file = json!({
        "version": 1, "fabric": "acme.example",
        "top_masters": [{"id": "top-1", "address": "top-1:1", "region": "core"}],
        "regions": regions, "node_groups": groups,
    });
    Topology::check(&node(&file)).expect("a good file")
}

fn name(name: &str) -> RegionName {
    name.parse().unwrap()
}

fn step(region: &str, watch: bool) -> Step {
    Step { region: name(region), watch }
}

/// Three regions of which the last two are looked at.
fn three() -> Vec<Step> {
    vec![step("a", false), step("b", true), step("c", true)]
}

fn seen(before: u64, up: u64, moving: u64) -> Seen {
    Seen { before, up, moving }
}

#[test]
fn unchanged_regions_are_first_and_only_who_moves_is_looked_at() {
    let from = topology(
        &[
            region("batch", &["b1"], 5),
            region("gone", &["g1"], 5),
            region("grown", &["w1"], 5),
            region("same", &["s1"], 5),
        ],
        json!({}),
    );
    let to = topology(
        &[
            region("new", &["n1"], 5),
            region("grown", &["w1", "w2"], 5),
            region("same", &["s1"], 5),
            region("batch", &["b1"], 6),
        ],
        json!({}),
    );
    let expected = [
        step("same", false),
        step("new", true),
        step("grown", true),
        step("batch", false),
        step("gone", true),
    ];
    assert_eq!(steps(Some(&from), &to), expected);
    assert!(steps(Some(&to), &to).iter().all(|step| !step.watch));
    assert!(steps(None, &to).iter().all(|step| step.watch), "the first one is new everywhere");
}

#[test]
fn what_is_of_no_region_comes_with_the_last_one() {
    let from = topology(&[region("a", &["a1"], 1), region("gone", &["g1"], 1)], json!({"web": "x*"}));
    let to = topology(&[region("new", &["n1"], 2), region("a", &["a1"], 2)], json!({"web": "y*"}));
    let table: [(&[&str], &[&str]); 4] = [
        (&[], &["a=1", "gone=1"]),
        (&["new"], &["a=1", "gone=1", "new=2"]),
        (&["new", "a"], &["gone=1", "new=2", "a=2"]),
        (&["new", "a", "gone"], &["new=2", "a=2"]),
    ];
    for (given, expected) in table {
        let given: Vec<RegionName> = given.iter().map(|n| name(n)).collect();
        let mixed = mixed(Some(&from), &to, &given);
        let shown = |r: &Region| match r.batch.default_window {
            Some(crate::topology::Share::Count(n)) => format!("{}={n}", r.name),
            other => panic!("{other:?}"),
        };
        assert_eq!(mixed.regions.iter().map(shown).collect::<Vec<_>>(), expected);
        assert_eq!(mixed.node_groups, from.node_groups);
    }
    let first = mixed(None, &to, &[name("a")]);
    assert_eq!(first.regions, to.regions[1..]);
    assert!(first.node_groups.is_empty());
}

#[test]
fn each_region_is_settled_before_the_next_one_follows() {
    let mut stage = Stage::new(three(), RULE);
    assert_eq!(stage.next(), Next::Give(step("a", false)));
    stage.given(0);
    assert_eq!(stage.next(), Next::Give(step("b", true)), "nobody moves in a");
    stage.given(0);
    assert_eq!(stage.next(), Next::Look(name("b")));
    assert!(!stage.seen(10, seen(10, 8, 3)));
    assert_eq!(stage.next(), Next::Look(name("b")), "losses count only when its time is over");
    assert!(!stage.seen(20, seen(10, 10, 1)));
    assert!(stage.seen(30, seen(10, 10, 0)));
    assert_eq!(stage.next(), Next::Give(step("c", true)));
    stage.given(40);
    // Those that stay where they are do not keep it for ever.
    assert!(!stage.seen(1_039, seen(10, 10, 4)));
    assert!(stage.seen(1_040, seen(10, 10, 4)));
    assert_eq!(stage.next(), Next::Done);
    assert!(!stage.seen(1_050, seen(10, 0, 0)), "nobody is looked at any more");
    assert_eq!(stage.next(), Next::Done);
}

#[test]
fn more_losses_than_allowed_stop_it_and_as_many_do_not() {
    // Minions before, up now, most percent that may be lost: stopped?
    let table = [
        (100, 95, 5, false),
        (100, 94, 5, true),
        (10, 9, 5, true),
        (10, 9, 10, false),
        (0, 0, 5, false),
        (3, 0, 100, false),
        (3, 2, 0, true),
        (3, 4, 0, false),
        (u64::MAX, 0, 99, true),
    ];
    for (before, up, max_lost_percent, stopped) in table {
        let mut stage = Stage::new(vec![step("b", true)], StageRule { max_lost_percent, ..RULE });
        stage.given(0);
        assert!(stage.seen(RULE.settle, seen(before, up, 1)));
        match stage.next() {
            Next::Stop(lost) => {
                assert!(stopped, "{lost}");
                let text = lost.to_string();
                assert!(text.contains("region b") && text.contains(&before.to_string()), "{text}");
            }
            next => assert!(!stopped && next == Next::Done, "{before} {up} {max_lost_percent}: {next:?}"),
        }
    }
}

#[test]
fn after_a_restart_the_last_region_is_looked_at_anew() {
    // Regions that have it: what is asked for next.
    let table: [(&[&str], Next); 4] = [
        (&[], Next::Give(step("a", false))),
        (&["a"], Next::Give(step("b", true))),
        (&["a", "b"], Next::Look(name("b"))),
        (&["a", "b", "c"], Next::Look(name("c"))),
    ];
    for (given, next) in table {
        let given: Vec<RegionName> = given.iter().map(|n| name(n)).collect();
        assert_eq!(Stage::resume(three(), RULE, &given, 50).next(), next, "{given:?}");
    }
    let long = StageRule { settle: MIN_SETTLE_RESUMED + 7, ..RULE };
    let mut stage = Stage::resume(three(), long, &[name("a"), name("b")], 50);
    assert!(!stage.seen(49 + long.settle, seen(10, 0, 0)), "they are on their way back");
    assert!(stage.seen(50 + long.settle, seen(10, 10, 2)));
    assert_eq!(stage.next(), Next::Give(step("c", true)));
}

#[test]
fn however_short_the_look_everybody_has_half_a_minute_to_be_back_after_a_restart() {
    assert_eq!(MIN_SETTLE_RESUMED, 30_000);
    let short = StageRule { settle: 1, ..RULE };
    let mut stage = Stage::resume(three(), short, &[name("a"), name("b")], 50);
    assert!(!stage.seen(29_999 + 50, seen(10, 0, 0)), "nobody has dialled again yet");
    assert!(stage.seen(30_000 + 50, seen(10, 10, 2)));
    // The regions after it, too: their minions may dial still.
    stage.given(40_000);
    assert!(!stage.seen(69_999, seen(10, 0, 0)));
    assert!(stage.seen(70_000, seen(10, 0, 0)));
    assert!(matches!(stage.next(), Next::Stop(_)));
    // Nobody was down before one that begins here.
    let mut stage = Stage::new(vec![step("b", true)], short);
    stage.given(0);
    assert!(stage.seen(1, seen(10, 0, 0)));
}
