//! Plans of random edits, and the moves of known ones.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{apply::apply, *};
use crate::{ids::MinionId, topology::render::node};

fn file() -> Value {
    json!({
        "version": 1, "fabric": "acme.example",
        "top_masters": [
            {"id": "top-1", "address": "top-1:1", "region": "core"},
            {"id": "top-2", "address": "top-2:1", "region": "core", "location": "cellar"},
        ],
        "regions": [region("east", 1500, 3), region("west", 800, 1)],
        "node_groups": {"web": "*-web-*"},
        "labels": {"owner": "ops"},
    })
}

fn region(name: &str, count: u32, syndics: usize) -> Value {
    let syndics: Vec<Value> = (1..=syndics).map(|i| syndic(&format!("{name}-{i}"))).collect();
    json!({
        "name": name, "provider": "aws", "syndics": syndics,
        "minions": {"count": count, "patterns": [format!("{name}-*")]}, "batch": {"batch": "20%"},
    })
}

fn syndic(id: &str) -> Value {
    json!({"id": id, "address": format!("{id}:1")})
}

fn checked(file: &Value) -> Option<Topology> {
    Topology::check(&node(file)).ok()
}

/// The file after a change.
fn with(change: impl FnOnce(&mut Value)) -> Topology {
    let mut file = file();
    change(&mut file);
    checked(&file).expect("a good file")
}

fn expected(from: &Topology, to: &Topology) -> Plan {
    Plan::between((from, &Fleet::expected(from)), (to, &Fleet::expected(to)))
}

fn shown(changes: &[Change]) -> Vec<String> {
    let said = |value: &Option<Value>| value.as_ref().map_or("-".into(), Value::to_string);
    let one = |change: &Change| match &change.edit {
        Edit::Added(_) => format!("+ {}", change.part),
        Edit::Removed(_) => format!("- {}", change.part),
        Edit::Field { name, before, after } => {
            format!("~ {} {name}: {} -> {}", change.part, said(before), said(after))
        }
    };
    changes.iter().map(one).collect()
}

#[test]
fn what_changes_is_told_field_by_field() {
    let to = with(|f| {
        f["regions"][0]["minions"]["count"] = json!(1600);
        f["regions"][0]["syndics"][1]["weight"] = json!(200);
        f["regions"][0]["batch"] = json!({"batch": 10, "cap": 500});
        f["regions"][1]["syndics"] = json!([syndic("west-2")]);
        f["regions"].as_array_mut().unwrap().push(region("north", 5, 1));
        f["top_masters"][1].as_object_mut().unwrap().remove("location");
        f["node_groups"] = json!({"web": "www-*", "db": "db-*"});
        f["labels"] = json!({});
        f["unbatched_limit"] = json!("50%");
    });
    assert_eq!(
        shown(&changes(&with(|_| {}), &to)),
        [
            "~ the fabric unbatched_limit: - -> \"50%\"",
            "~ top master top-2 location: \"cellar\" -> -",
            "~ region east minions.count: 1500 -> 1600",
            "~ region east batch.batch: \"20%\" -> 10",
            "~ region east batch.cap: - -> 500",
            "+ region north",
            "~ syndic east-2 of east weight: 100 -> 200",
            "+ syndic north-1 of north",
            "- syndic west-1 of west",
            "+ syndic west-2 of west",
            "+ node group \"db\"",
            "~ node group \"web\" value: \"*-web-*\" -> \"www-*\"",
            "- label \"owner\"",
        ]
    );
}

#[test]
fn what_means_the_same_is_no_change() {
    let to = with(|f| {
        f["regions"].as_array_mut().unwrap().reverse();
        f["regions"][1]["syndics"][0]["capacity"] = json!(1250);
        f["regions"][1]["syndics"][0]["parents"] = json!(["top-1", "top-2"]);
        f["node_groups"]["web"] = json!("( *-web-* )");
    });
    let plan = expected(&with(|_| {}), &to);
    assert!(plan.is_empty() && plan.from == plan.to, "{:?}", plan.changes);
    assert_eq!(plan.moves.moved(), 0);
}

#[test]
fn a_plan_is_for_the_topology_it_was_made_of() {
    let (from, to) = (with(|_| {}), with(|f| f["regions"][0]["syndics"][1]["weight"] = json!(200)));
    let plan = expected(&from, &to);
    let other = with(|f| f["regions"][0]["syndics"][1]["weight"] = json!(50));
    let error = plan.apply(&other).unwrap_err();
    assert!(error.to_string().contains("syndic east-2 of east is not as it was"), "{error}");
    assert_eq!(plan.apply(&from).unwrap().digest(), plan.to);
    // Two good changes that make no good topology together.
    let removed = changes(&from, &with(|f| drop(f["top_masters"].as_array_mut().unwrap().remove(0))));
    let only: Vec<Change> = removed.into_iter().filter(|c| matches!(c.part, Part::TopMaster(_))).collect();
    assert!(matches!(apply(&only, &from), Err(ApplyError::Broken(problems)) if !problems.is_empty()));
}

#[test]
fn a_syndic_more_moves_its_share_of_its_region() {
    let from = with(|_| {});
    let to = with(|f| f["regions"][0]["syndics"].as_array_mut().unwrap().push(syndic("east-4")));
    let moves = expected(&from, &to).moves;
    let [east, west] = &moves.regions[..] else { panic!("{moves:?}") };
    assert_eq!((east.minions, east.ideal_thousandths, east.joined, east.left), (1500, 375_000, 0, 0));
    assert!(east.moved.abs_diff(375) <= 75, "{}", east.moved);
    assert_eq!((west.moved, west.ideal_thousandths), (0, 0));
    assert!(moves.ways.iter().all(|way| way.to.as_str() == "east-4"), "{:?}", moves.ways);
    assert_eq!(moves.ways.iter().map(|way| way.minions).sum::<u64>(), east.moved);
}

#[test]
fn known_minions_are_counted_and_not_made_up() {
    let id = |text: &str| text.parse::<MinionId>().unwrap();
    let from = with(|f| f["regions"][1]["minions"]["ids"] = json!(["east-odd"]));
    let ids = || ["east-1", "east-odd", "west-9", "alien"].map(id);
    let (fleet, strangers) = Fleet::of_ids(&from, ids());
    assert_eq!(strangers, [id("alien")]);
    let of = |text: &str| fleet.region(&id(text)).unwrap().as_str();
    assert_eq!((of("east-1"), of("east-odd"), of("west-9"), fleet.len()), ("east", "west", "west", 3));

    // East takes over what was west's; the one listed has a place of its own no more.
    let to = with(|f| {
        f["regions"].as_array_mut().unwrap().remove(1);
        f["regions"][0]["minions"]["patterns"] = json!(["east-?", "west-*"]);
    });
    let after = Fleet::of_ids(&to, ids()).0;
    let [east, west] = &Plan::between((&from, &fleet), (&to, &after)).moves.regions[..] else { panic!() };
    assert_eq!((east.minions, east.moved, east.from_elsewhere, east.ideal_thousandths), (2, 1, 1, 1000));
    assert_eq!((west.minions, west.left), (0, 1));
}

#[test]
fn as_many_are_made_up_as_are_expected() {
    let t = with(|f| {
        f["regions"][0]["minions"] =
            json!({"count": 5, "ids": ["odd"], "patterns": ["a-*-x", "b*", "{c,d}*", "e-1"]});
        f["regions"][1]["minions"] = json!({"count": 2});
    });
    let fleet = Fleet::expected(&t);
    let ids: Vec<String> = fleet.iter().map(|(id, region)| format!("{id} {region}")).collect();
    assert_eq!(
        ids,
        [
            "a-00000-x east",
            "a-00003-x east",
            "b00001 east",
            "east-00002 east",
            "odd east",
            "west-00000 west",
            "west-00001 west"
        ]
    );
}

#[test]
fn range_sets_say_who_belongs_where_before_patterns_do() {
    let id = |text: &str| text.parse::<MinionId>().unwrap();
    let t = with(|f| f["regions"][1]["minions"]["ranges"] = json!(["web[01-20]", "east-[01-02]"]));
    let (fleet, strangers) = Fleet::of_ids(&t, ["web20", "web21", "east-02", "east-03"].map(id));
    assert_eq!(strangers, [id("web21")]);
    let of = |text: &str| fleet.region(&id(text)).unwrap().as_str();
    assert_eq!((of("web20"), of("east-02"), of("east-03")), ("west", "west", "east"));
}

#[test]
fn the_ids_of_range_sets_are_expected_before_any_is_made_up() {
    let ids = |count: u32| -> Vec<String> {
        let t = with(|f| {
            let ranges = ["w[01-02,02]", "b[00001,00003]"];
            let patterns = ["b*"];
            f["regions"][0]["minions"] =
                json!({"count": count, "ids": ["odd"], "ranges": ranges, "patterns": patterns});
            f["regions"][1]["minions"]["count"] = json!(0);
        });
        Fleet::expected(&t).iter().map(|(id, _)| id.to_string()).collect()
    };
    assert_eq!(ids(2), ["odd", "w01"]);
    assert_eq!(ids(5), ["b00001", "b00003", "odd", "w01", "w02"]);
    assert_eq!(ids(8), ["b00000", "b00001", "b00002", "b00003", "b00004", "odd", "w01", "w02"]);
}

/// One random edit; it may make a bad file.
fn edit(file: &mut Value, (what, which, amount): (u8, usize, u32)) {
    let fresh = format!("n-{}", amount % 40);
    let regions = file["regions"].as_array().map_or(0, Vec::len);
    let r = which % regions.max(1);
    let syndics = file["regions"][r]["syndics"].as_array().map_or(0, Vec::len);
    let s = (which / 7) % syndics.max(1);
    let one = |array: &mut Value, i: usize| {
        let Some(array) = array.as_array_mut() else { return };
        if i < array.len() {
            array.remove(i);
        }
    };
    let push = |array: &mut Value, value: Value| {
        array.as_array_mut().into_iter().for_each(|a| a.push(value.clone()))
    };
    let region_of = &mut file["regions"][r];
    match what % 23 {
        0 | 1 => push(&mut region_of["syndics"], syndic(&fresh)),
        2 => one(&mut region_of["syndics"], s),
        3 => region_of["syndics"][s]["capacity"] = json!(amount % 2000 + 1),
        4 => region_of["syndics"][s]["weight"] = json!(amount % 500 + 1),
        5 => region_of["syndics"][s]["standby"] = json!(amount % 2 == 0),
        6 => region_of["syndics"][s]["parents"] = json!(["top-1", format!("n-{}", which % 40)]),
        7 => region_of["syndics"][s]["parents"] = json!(["top-2", "top-1"]),
        8 => region_of["syndics"][s]["address"] = json!(format!("10.0.0.{}:9", amount % 250)),
        9 => region_of["minions"]["count"] = json!(amount % 3000),
        10 => region_of["minions"]["patterns"] = json!([fresh, "x-*"]),
        21 => {
            region_of["minions"]["ranges"] =
                json!([["n-[00-09,20]", "p[01-05]"], ["q[001-120]", "q[200,300]"]][which % 2])
        }
        11 => region_of["minions"]["ids"] = json!(["z", fresh]),
        12 => region_of["minions"]["grains"] = json!({"dc": [fresh, "a"], "os": "b"}),
        13 => region_of["batch"] = json!({"cap": amount % 50 + 1, "auto": {"min": "1%"}}),
        14 => region_of["network"] = json!({"notes": fresh, "allowed_cidrs": ["10.0.0.0/8", "10.9.0.0/16"]}),
        15 => region_of["provider"] = json!(["aws", "azure", "gcp", "on-prem"][amount as usize % 4]),
        16 => push(&mut file["regions"], region(&format!("r{}", amount % 20), amount % 900, which % 3 + 1)),
        17 => one(&mut file["regions"], r),
        18 => push(
            &mut file["top_masters"],
            json!({"id": fresh, "address": format!("{fresh}:2"), "region": "core"}),
        ),
        19 => one(&mut file["top_masters"], which % 3),
        20 => file["node_groups"][fresh] = json!(["web*", "( db* or N@web )", "G@os:x"][which % 3]),
        _ => file["labels"][["owner", "a.b", "c"][which % 3]] = json!(amount),
    }
}

/// Files that follow from each other by one edit; edits that make a bad one are left out.
fn files(edits: Vec<(u8, usize, u32)>) -> Vec<Topology> {
    let mut now = file();
    let mut all = vec![checked(&now).unwrap()];
    for each in edits {
        let mut next = now.clone();
        edit(&mut next, each);
        if let Some(good) = checked(&next) {
            now = next;
            all.push(good);
        }
    }
    all
}

fn some_edits(most: usize) -> impl Strategy<Value = Vec<(u8, usize, u32)>> {
    proptest::collection::vec((any::<u8>(), 0usize..100, any::<u32>()), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_plan_applied_to_a_gives_b_and_then_there_is_nothing_to_do(edits in some_edits(12)) {
        let all = files(edits);
        let (a, b) = (&all[0], &all[all.len() - 1]);
        let plan = changes(a, b);
        let applied = apply(&plan, a).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(applied.document(), b.document());
        prop_assert_eq!(changes(&applied, b), []);
        prop_assert_eq!(plan.is_empty(), a.digest() == b.digest());
        // On another than its own it is refused.
        if !plan.is_empty() {
            let moved = matches!(apply(&plan, b), Err(ApplyError::Moved { .. }));
            prop_assert!(moved, "taken");
        }
        let mut stepped = a.clone();
        for next in &all {
            stepped = apply(&changes(&stepped, next), &stepped).map_err(|e| TestCaseError::fail(e.to_string()))?;
        }
        prop_assert_eq!(stepped.digest(), b.digest());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Everybody is counted once, and a plan of nothing moves nobody.
    #[test]
    fn moves_account_for_every_minion(edits in some_edits(8)) {
        let all = files(edits);
        let (a, b) = (&all[0], &all[all.len() - 1]);
        let (before, after) = (Fleet::expected(a), Fleet::expected(b));
        let moves = Plan::between((a, &before), (b, &after)).moves;
        let sum = |part: fn(&RegionMoves) -> u64| moves.regions.iter().map(part).sum::<u64>();
        prop_assert_eq!(moves.minions() + sum(|r| r.left), before.len() as u64);
        prop_assert_eq!(moves.minions() + sum(|r| r.joined), after.len() as u64);
        prop_assert_eq!(moves.ways.iter().map(|way| way.minions).sum::<u64>(), moves.moved());
        prop_assert_eq!(Plan::between((b, &after), (b, &after)).moves.moved(), 0);
    }
}
