//! The inventory against tables, against a naive evaluator on random fleets, and against what it must forget.

use proptest::prelude::*;

use super::*;
use crate::target::{Expr, Glob, GrainMatch, Target};

fn id(text: &str) -> MinionId {
    text.parse().expect("an id")
}

fn add(inventory: &mut Inventory, name: &str, grains: &str) -> Upsert {
    put(inventory, name, "aws", "aws-1", 1, Some(grains), true, 0)
}

fn put(
    inventory: &mut Inventory,
    name: &str,
    region: &str,
    syndic: &str,
    incarnation: u64,
    grains: Option<&str>,
    up: bool,
    wall: WallMicros,
) -> Upsert {
    let (region, syndic) = (region.parse().expect("a region"), syndic.parse().expect("a syndic"));
    inventory.upsert(&id(name), &region, &syndic, Incarnation(incarnation), grains, up, wall)
}

fn ids(inventory: &Inventory, members: &Members) -> Vec<String> {
    members.iter().filter_map(|no| inventory.get(no)).map(|m| m.id.to_string()).collect()
}

fn find(inventory: &Inventory, target: &str) -> String {
    ids(inventory, &inventory.evaluate(&Target::parse(target).expect(target))).join(" ")
}

fn fleet() -> Inventory {
    let mut inventory = Inventory::new();
    add(
        &mut inventory,
        "web01",
        r#"{"os":"Ubuntu","roles":["web","cache"],"num_cpus":4,"virtual":true,"a":{"b":{"c":"Deep"}}}"#,
    );
    add(
        &mut inventory,
        "web02",
        r#"{"os":"Debian","roles":["web"],"num_cpus":16,"virtual":false,"hw":{"eth0":"aa:bb:cc"}}"#,
    );
    add(
        &mut inventory,
        "db1",
        r#"{"os":"Ubuntu","roles":[],"load":1.5,"none":null,"disks":[{"name":"sda"},{"name":"sdb"}]}"#,
    );
    add(&mut inventory, "bare.x", "{}");
    inventory
}

#[test]
fn finds_what_salt_finds() {
    let inventory = fleet();
    for (target, expected) in [
        ("*", "web01 web02 db1 bare.x"),
        ("web*", "web01 web02"),
        ("web01", "web01"),
        ("Web01", ""),
        ("*1", "web01 db1"),
        ("bare.*", "bare.x"),
        ("w[!x]b0?", "web01 web02"),
        ("L@db1,nobody,web02", "web02 db1"),
        ("L@web*", ""),
        ("G@os:Ubuntu", "web01 db1"),
        ("G@os:ubuntu", "web01 db1"),
        ("G@os:*", "web01 web02 db1"),
        ("G@OS:*", ""),
        ("G@roles:web", "web01 web02"),
        ("G@roles:c*", "web01"),
        ("G@roles:*", "web01 web02"),
        ("G@num_cpus:4", "web01"),
        ("G@num_cpus:?", "web01"),
        ("G@load:1.5", "db1"),
        ("G@virtual:True", "web01"),
        ("G@virtual:true", "web01"),
        ("G@virtual:False", "web02"),
        ("G@none:None", "db1"),
        ("G@a:b:c:d*", "web01"),
        ("G@a:b:c", "web01"),
        ("G@a:b", "web01"),
        ("G@a:*", "web01"),
        ("G@a:*:c:deep", "web01"),
        ("G@a:b:deep", ""),
        ("G@hw:eth0:aa:bb:*", "web02"),
        ("G|@hw|eth0|aa:bb:cc", "web02"),
        ("G@disks:name:sdb", "db1"),
        ("G@nothing:*", ""),
        ("not G@os:Ubuntu", "web02 bare.x"),
        ("G@os:Ubuntu and not web*", "db1"),
        ("not web* or web01", "web01 db1 bare.x"),
        ("not ( web* or db* )", "bare.x"),
        ("nobody and *", ""),
    ] {
        assert_eq!(find(&inventory, target), expected, "{target}");
    }
}

#[test]
fn new_grains_replace_the_old_ones() {
    let mut inventory = fleet();
    let upsert = add(&mut inventory, "web01", r#"{"os":"Fedora"}"#);
    assert!(upsert.grains_changed && !upsert.created && !upsert.incarnation_changed);
    assert_eq!(find(&inventory, "G@os:Ubuntu"), "db1");
    assert_eq!(find(&inventory, "G@os:Fedora"), "web01");
    assert_eq!(find(&inventory, "G@a:*"), "");
    for name in ["web01", "web02", "db1"] {
        add(&mut inventory, name, "{}");
    }
    assert!(inventory.grains.is_empty());
}

#[test]
fn no_news_of_the_grains_leaves_them() {
    let mut inventory = fleet();
    let upsert = put(&mut inventory, "web01", "aws", "aws-1", 1, None, true, 0);
    assert!(!upsert.grains_changed);
    assert_eq!(find(&inventory, "G@os:Ubuntu"), "web01 db1");
}

#[test]
fn equal_grains_are_kept_once() {
    let mut inventory = Inventory::new();
    let text = r#"{"os":"Ubuntu"}"#;
    let (a, b) = (add(&mut inventory, "a", text).no, add(&mut inventory, "b", text).no);
    let grains = |no| &inventory.get(no).expect("known").grains;
    assert!(Arc::ptr_eq(grains(a), grains(b)));
}

#[test]
fn grains_out_of_bounds_are_refused_and_the_minion_is_not() {
    let deep = |n: usize| format!(r#"{{"k":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
    let many = |n: usize| format!(r#"{{"k":{:?}}}"#, vec![1; n]);
    let long = |n: usize| format!(r#"{{"k":"{}"}}"#, "x".repeat(n));
    assert!(add(&mut Inventory::new(), "a", &deep(MAX_GRAIN_DEPTH - 1)).grains_refused.is_none());
    assert!(add(&mut Inventory::new(), "a", &many(MAX_GRAIN_LEAVES - 1)).grains_refused.is_none());
    let mut inventory = fleet();
    for bad in [
        deep(MAX_GRAIN_DEPTH),
        many(MAX_GRAIN_LEAVES),
        long(MAX_GRAINS_BYTES),
        "[1]".into(),
        "{".into(),
        deep(5000),
    ] {
        let upsert = add(&mut inventory, "web01", &bad);
        assert!(upsert.grains_refused.is_some() && !upsert.grains_changed, "{:.40}", bad);
        assert_eq!(find(&inventory, "G@roles:cache"), "web01");
        let upsert = add(&mut Inventory::new(), "new", &bad);
        assert!(upsert.created && upsert.grains_refused.is_some(), "{:.40}", bad);
    }
}

#[test]
fn a_long_value_is_found_by_its_presence_only() {
    let mut inventory = Inventory::new();
    for (name, n) in [("short", MAX_GRAIN_VALUE_BYTES), ("long", MAX_GRAIN_VALUE_BYTES + 1)] {
        add(&mut inventory, name, &format!(r#"{{"path":"{}"}}"#, "x".repeat(n)));
    }
    assert_eq!(find(&inventory, "G@path:*"), "short long");
    assert_eq!(find(&inventory, "G@path:x*"), "short");
}

#[test]
fn the_version_rises_with_each_change_and_with_nothing_else() {
    let mut inventory = Inventory::new();
    let first = put(&mut inventory, "a", "aws", "aws-1", 7, Some("{}"), true, 10);
    assert!(first.created && first.incarnation_changed && !first.grains_changed);
    let mut version = inventory.version();
    assert_eq!(inventory.get(first.no).map(|m| m.incarnation_seq), Some(version));
    put(&mut inventory, "a", "aws", "aws-1", 7, Some("{}"), true, 99);
    assert_eq!(inventory.version(), version);
    for (region, syndic, incarnation, grains, up) in [
        ("gcp", "aws-1", 7, "{}", true),
        ("gcp", "gcp-1", 7, "{}", true),
        ("gcp", "gcp-1", 8, "{}", true),
        ("gcp", "gcp-1", 8, "{\"a\":1}", true),
        ("gcp", "gcp-1", 8, "{\"a\":1}", false),
    ] {
        let upsert = put(&mut inventory, "a", region, syndic, incarnation, Some(grains), up, 20);
        assert!(inventory.version() > version && !upsert.created && upsert.no == first.no);
        version = inventory.version();
        if upsert.incarnation_changed {
            assert_eq!(inventory.get(first.no).map(|m| m.incarnation_seq), Some(version));
        }
    }
    let minion = inventory.get(first.no).expect("known");
    assert_eq!((minion.up, minion.since, minion.incarnation_seq), (false, 20, version - 2));
}

#[test]
fn up_and_down_are_noted_with_their_time() {
    let mut inventory = fleet();
    let (all, version) = (inventory.all().clone(), inventory.version());
    let web: Members = inventory.evaluate(&Target::parse("web*").expect("parses"));
    assert_eq!(inventory.set_up(&web, false, 50), web);
    assert_eq!(inventory.version(), version + 1);
    assert_eq!(inventory.set_up(&all, false, 60), &all - &web);
    assert_eq!(inventory.set_up(&all, false, 70), Members::new());
    assert_eq!(inventory.version(), version + 2);
    assert_eq!(
        inventory.iter().map(|(_, m)| (m.up, m.since)).collect::<Vec<_>>(),
        [(false, 50), (false, 50), (false, 60), (false, 60)]
    );
    let stranger = Members::from_iter([4711]);
    assert!(inventory.set_up(&stranger, true, 80).is_empty() && inventory.up().is_empty());
}

#[test]
fn a_minion_is_filed_under_one_region_and_one_syndic() {
    let mut inventory = fleet();
    put(&mut inventory, "web01", "gcp", "gcp-1", 1, None, true, 0);
    let regions: Vec<_> =
        inventory.by_region().map(|(r, m)| format!("{r} {}", ids(&inventory, m).join(" "))).collect();
    assert_eq!(regions, ["aws web02 db1 bare.x", "gcp web01"]);
    for name in ["web02", "db1", "bare.x"] {
        put(&mut inventory, name, "gcp", "gcp-2", 1, None, true, 0);
    }
    let syndics: Vec<_> = inventory.by_syndic().map(|(s, m)| format!("{s} {}", m.len())).collect();
    assert_eq!(syndics, ["gcp-1 1", "gcp-2 3"]);
    assert_eq!(inventory.by_region().count(), 1);
}

#[test]
fn records_restore_the_same_inventory_and_numbers_go_on_from_there() {
    let mut inventory = fleet();
    put(&mut inventory, "web02", "gcp", "gcp-1", 9, None, false, 77);
    let mut restored = Inventory::new();
    for no in inventory.all().iter().filter(|no| *no != 1) {
        let record = inventory.record(no).expect("known");
        assert_eq!(restored.restore(record.clone()), Ok(None));
        assert_eq!(restored.record(no), Some(record));
    }
    assert_eq!(restored.restore(inventory.record(1).expect("known")), Ok(None));
    assert!(restored.version() >= inventory.version());
    assert_eq!(restored.up(), inventory.up());
    for target in ["*", "G@os:Ubuntu", "G@hw:*", "web*"] {
        assert_eq!(find(&restored, target), find(&inventory, target));
    }
    assert_eq!(add(&mut restored, "late", "{}").no, 4);
}

#[test]
fn the_first_number_after_a_gap_is_above_it() {
    let mut record = fleet().record(0).expect("known");
    record.no = 41;
    let mut inventory = Inventory::new();
    assert_eq!(inventory.restore(record), Ok(None));
    assert_eq!(add(&mut inventory, "next", "{}").no, 42);
}

#[test]
fn damaged_records_are_refused() {
    let mut inventory = fleet();
    let record = inventory.record(0).expect("known");
    let other = Record { id: id("other"), ..record.clone() };
    assert!(matches!(inventory.restore(other.clone()), Err(RestoreError::NumberTaken { .. })));
    assert!(matches!(inventory.restore(Record { no: 9, ..record }), Err(RestoreError::IdTwice { .. })));
    let high = Record { no: MAX_RESTORED_NO + 1, ..other.clone() };
    assert!(matches!(inventory.restore(high), Err(RestoreError::NumberTooHigh { .. })));
    let broken = Record { no: 9, grains: "{".into(), ..other };
    assert!(matches!(inventory.restore(broken), Ok(Some(GrainsError::Json(_)))));
    assert_eq!(find(&inventory, "other"), "other");
}

#[test]
fn a_raised_version_outlives_a_restart() {
    let mut inventory = Inventory::new();
    inventory.raise_version(100);
    inventory.raise_version(50);
    let no = add(&mut inventory, "a", "{}").no;
    assert_eq!(inventory.get(no).map(|m| m.incarnation_seq), Some(101));
}

#[test]
fn names_the_ids_that_nobody_has() {
    let inventory = fleet();
    let target = Target::parse("( web* or L@db1,db2 ) and not L@zzz,db2").expect("parses");
    assert_eq!(inventory.unknown_ids(&target), ["db2", "zzz"]);
}

#[test]
fn suggests_the_closest_ids() {
    let inventory = fleet();
    let nearest = |text| inventory.nearest(text, 2).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(nearest("wbe01"), ["web01", "web02"]);
    assert_eq!(nearest("dx*"), ["db1", "bare.x"]);
    assert_eq!(inventory.nearest("", 99).len(), 4);
    assert!(Inventory::new().nearest("a", 3).is_empty());
}

#[test]
fn dead_grain_texts_do_not_pile_up() {
    let mut inventory = Inventory::new();
    for n in 0..1000 {
        add(&mut inventory, "a", &format!(r#"{{"n":{n}}}"#));
    }
    assert!(inventory.interner.len() <= 128, "{} texts for one minion", inventory.interner.len());
}

/// The definition of a match, minion by minion, with no index.
fn naive(expr: &Expr, minion: &Minion) -> bool {
    match expr {
        Expr::Glob(g) => g.matches(minion.id.as_str()),
        Expr::List(ids) => ids.iter().any(|id| id == minion.id.as_str()),
        Expr::Grain(g) => naive_grain(g, &minion.grains),
        Expr::Not(e) => !naive(e, minion),
        Expr::And(parts) => parts.iter().all(|e| naive(e, minion)),
        Expr::Or(parts) => parts.iter().any(|e| naive(e, minion)),
    }
}

/// Salt's `subdict_match`: at each delimiter, the left is keys and the right is a glob on what lies there.
fn naive_grain(pattern: &GrainMatch, grains: &Value) -> bool {
    let parts: Vec<&str> = pattern.as_str().split(pattern.delimiter()).collect();
    (1..parts.len()).any(|n| {
        let glob = parts[n..].join(&pattern.delimiter().to_string());
        let mut places = vec![grains];
        for (depth, key) in parts[..n].iter().enumerate() {
            places = places.iter().flat_map(|place| step(place, key, depth > 0)).collect();
        }
        places.iter().any(|place| lies_there(place, &glob))
    })
}

fn step<'a>(place: &'a Value, key: &str, may_be_wild: bool) -> Vec<&'a Value> {
    match place {
        Value::Object(map) if may_be_wild && key == "*" => map.values().collect(),
        Value::Object(map) => map.get(key).into_iter().collect(),
        Value::Array(items) => items.iter().flat_map(|item| step(item, key, may_be_wild)).collect(),
        _ => Vec::new(),
    }
}

fn lies_there(place: &Value, glob: &str) -> bool {
    match place {
        Value::Object(map) => {
            (Glob::new(glob).is_everything() && !map.is_empty()) || map.get(glob).is_some_and(has_content)
        }
        Value::Array(items) => items.iter().any(|item| lies_there(item, glob)),
        Value::String(s) => Glob::new(&glob.to_lowercase()).matches(&s.to_lowercase()),
        other => Glob::new(&glob.to_lowercase()).matches(&other.to_string().replace("null", "none")),
    }
}

fn has_content(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => items.iter().any(has_content),
        _ => true,
    }
}

fn grain_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..20).prop_map(Value::from),
        "[xXy:ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from), grain_map(inner),]
    })
}

fn grain_map(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    proptest::collection::vec(("[ab]|a:b", value), 0..3)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
}

fn expr() -> impl Strategy<Value = Expr> {
    let term = prop_oneof![
        "[ab0-2*?]{1,4}".prop_map(|t| Expr::Glob(Glob::new(&t))),
        proptest::collection::vec("[ab][0-2]", 1..3).prop_map(Expr::List),
        "[ab](:[ab*]){0,3}:([xX*y?]{0,3}|[ab]|1?[0-9]|true|None|\\*)".prop_map(|t| grain(&t)),
    ];
    term.prop_recursive(3, 12, 3, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|e| Expr::Not(Box::new(e))),
            parts.clone().prop_map(Expr::And),
            parts.prop_map(Expr::Or),
        ]
    })
}

fn grain(text: &str) -> Expr {
    Target::grain(text, ':').expect("a grain").expr().clone()
}

fn target(expr: &Expr) -> Target {
    Target::parse(&expr.to_string()).expect("what is printed parses")
}

fn random_fleet() -> impl Strategy<Value = Inventory> {
    let row = ("[ab][0-2]", proptest::option::of(grain_map(grain_value())), any::<bool>());
    proptest::collection::vec(row, 0..15).prop_map(|rows| {
        let mut inventory = Inventory::new();
        for (name, grains, up) in rows {
            let text = grains.map(|g| g.to_string());
            put(&mut inventory, &name, "aws", "aws-1", 1, text.as_deref(), up, 0);
        }
        inventory
    })
}

proptest! {
    #[test]
    fn bitmaps_find_what_a_walk_over_minions_finds(inventory in random_fleet(), expr in expr()) {
        let walked: Members = inventory.iter().filter(|(_, m)| naive(&expr, m)).map(|(no, _)| no).collect();
        prop_assert_eq!(inventory.evaluate(&target(&expr)), walked, "{}", expr);
    }

    #[test]
    fn de_morgan(inventory in random_fleet(), a in expr(), b in expr()) {
        let not = |e: &Expr| Expr::Not(Box::new(e.clone()));
        let all = |e: &Expr| inventory.evaluate(&target(e));
        let (both, either) = (vec![a.clone(), b.clone()], vec![a.clone(), b.clone()]);
        let (neither, not_both) = (vec![not(&a), not(&b)], vec![not(&a), not(&b)]);
        prop_assert_eq!(all(&not(&Expr::Or(either))), all(&Expr::And(neither)));
        prop_assert_eq!(all(&not(&Expr::And(both))), all(&Expr::Or(not_both)));
        prop_assert!(all(&a).is_subset(inventory.all()));
    }

    #[test]
    fn nothing_stays_indexed_of_grains_that_are_gone(inventory in random_fleet()) {
        let mut inventory = inventory;
        for name in inventory.iter().map(|(_, m)| m.id.to_string()).collect::<Vec<_>>() {
            add(&mut inventory, &name, "{}");
        }
        prop_assert!(inventory.grains.is_empty());
    }
}
