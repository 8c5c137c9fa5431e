//! A small good fabric, broken in one way per test. Documents are made from JSON; the line of a value is its number in
//! the order of the document (real positions are tested with the YAML parser, in relay-runtime).

use serde_json::{Value, json};

use super::*;
use crate::document::{At, Kind, Position, Severity};

fn node(value: &Value, line: &mut u32) -> Node {
    *line += 1;
    let at = Position { line: *line, column: 1 };
    let scalar = |text: String, quoted| Kind::Scalar { text, quoted };
    let kind = match value {
        Value::Null => scalar(String::new(), false),
        Value::String(s) => scalar(s.clone(), true),
        Value::Array(a) => Kind::List(a.iter().map(|v| node(v, line)).collect()),
        Value::Object(o) => {
            Kind::Map(o.iter().map(|(k, v)| (At { value: k.clone(), at }, node(v, line))).collect())
        }
        other => scalar(other.to_string(), false),
    };
    Node { at, kind }
}

fn check(value: &Value) -> Result<Topology, Vec<Problem>> {
    Topology::check(&node(value, &mut 0))
}

/// Two top masters; region `east` with two syndics, `west` with one below `e1`.
fn good() -> Value {
    json!({
        "version": 1,
        "fabric": "acme.example",
        "top_masters": [
            {"id": "top-1", "address": "top1:4510", "region": "east"},
            {"id": "top-2", "address": "top2:4510", "region": "core", "location": "cellar"},
        ],
        "regions": [
            {
                "name": "east", "provider": "aws", "cloud_region": "us-east-1",
                "network": {"allowed_cidrs": ["10.0.0.0/8", "fd00::/8"]},
                "syndics": [{"id": "e1", "address": "e1:1"}, {"id": "e2", "address": "e2:1", "capacity": 700}],
                "minions": {"count": 700, "patterns": ["east-*"], "ids": ["odd"], "grains": {"dc": ["a", "b"]}},
                "batch": {"batch": "10%", "max_failures": 3},
            },
            {
                "name": "west", "provider": "on-prem",
                "syndics": [{"id": "w1", "address": "w1:1", "parents": ["e1"], "weight": 7}],
                "minions": {"count": 300},
            },
        ],
        "node_groups": {"web": "east-web-*"},
        "labels": {"owner": "ops"},
    })
}

/// The good fabric after a change.
fn with(change: impl FnOnce(&mut Value)) -> Result<Topology, Vec<Problem>> {
    let mut value = good();
    change(&mut value);
    check(&value)
}

/// The one problem that a change makes, and its severity.
fn problem(change: impl FnOnce(&mut Value)) -> String {
    let problems = with(change).expect_err("a broken topology was accepted");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].what.clone()
}

#[test]
fn a_good_one_is_read_whole() {
    let t = check(&good()).unwrap();
    assert_eq!(t.warnings, []);
    assert_eq!((t.fabric.as_str(), t.expected_minions(), t.syndics().count()), ("acme.example", 1000, 3));
    let e1 = t.syndic(&"e1".parse().unwrap()).unwrap().1;
    let names: Vec<&str> = e1.parents.iter().map(|p| p.as_str()).collect();
    assert_eq!(names, ["top-1", "top-2"], "parents are all top masters if the file does not say");
    assert_eq!((e1.capacity, e1.weight, e1.standby), (DEFAULT_CAPACITY, DEFAULT_WEIGHT, false));
    let east = &t.regions[0];
    assert_eq!(
        (east.batch.default_window, east.batch.max_failures),
        (Some(Share::Percent(10)), Some(Share::Count(3)))
    );
    assert_eq!(
        (east.minions.grains["dc"].as_slice(), east.network.allowed_cidrs.len()),
        (&["a".into(), "b".into()][..], 2)
    );
    assert_eq!(t.top_master(&"top-2".parse().unwrap()).unwrap().location.as_deref(), Some("cellar"));
    assert_eq!(
        (t.node_groups.get("web").unwrap().as_str(), t.labels["owner"].as_str()),
        ("east-web-*", "ops")
    );
}

#[test]
fn parents_come_before_children() {
    let t = with(|v| {
        v["regions"][0]["syndics"][0]["parents"] = json!(["e2"]);
    })
    .unwrap();
    let order: Vec<&str> = t.top_down().iter().map(|(_, s)| s.id.as_str()).collect();
    assert_eq!(order, ["e2", "e1", "w1"]);
    assert_eq!(t.depths()[&"w1".parse::<TierId>().unwrap()], 2);
    assert_eq!(t.hops(), 4, "to a minion below w1");
}

#[test]
fn minions_spread_by_count_and_weight_and_not_to_standby() {
    let t = with(|v| {
        v["regions"][0]["syndics"][0]["weight"] = json!(300);
        v["regions"][1]["syndics"]
            .as_array_mut()
            .unwrap()
            .push(json!({"id": "w2", "address": "w2:1", "standby": true}));
    })
    .unwrap();
    let spread: Vec<(&str, u64)> = t.spread(40).iter().map(|(_, s, n)| (s.id.as_str(), *n)).collect();
    assert_eq!(spread, [("e1", 21), ("e2", 7), ("w1", 12), ("w2", 0)]);
}

#[test]
fn ids_and_addresses_and_regions_are_unique() {
    assert!(
        problem(|v| v["regions"][0]["syndics"][1]["id"] = json!("E1")).contains("E1 is used a second time")
    );
    assert!(
        problem(|v| v["regions"][0]["syndics"][1]["id"] = json!("top-1"))
            .contains("top-1 is used a second time")
    );
    assert!(problem(|v| v["top_masters"][1]["id"] = json!("top-1")).contains("used a second time"));
    assert!(
        problem(|v| v["regions"][0]["syndics"][1]["address"] = json!("top1:4510")).contains("that of top-1")
    );
    assert!(problem(|v| v["regions"][1]["name"] = json!("east")).contains("east stands here a second time"));
}

#[test]
fn parents_exist_and_do_not_loop() {
    let w1 = |parents: Value| move |v: &mut Value| v["regions"][1]["syndics"][0]["parents"] = parents;
    let e1 = |v: &mut Value, parents: Value| v["regions"][0]["syndics"][0]["parents"] = parents;
    assert!(problem(w1(json!(["tpo-1"]))).contains("w1 has the parent tpo-1, which is nowhere"));
    assert!(problem(w1(json!(["e1", "e1"]))).contains("e1 twice"));
    assert!(problem(w1(json!([]))).contains("empty list of parents"));
    assert_eq!(problem(w1(json!(["w1"]))), "the parents form a loop: w1 -> w1");
    assert_eq!(problem(|v| e1(v, json!(["top-1", "w1"]))), "the parents form a loop: e1 -> w1 -> e1");
}

#[test]
fn each_loop_is_reported_once_and_what_hangs_below_it_is_not() {
    let problems = with(|v| {
        let s =
            |id: &str, parents: &[&str]| json!({"id": id, "address": format!("{id}:1"), "parents": parents});
        v["regions"][0]["syndics"] = json!([
            s("a", &["b"]),
            s("b", &["c"]),
            s("c", &["a"]),
            s("below", &["a"]),
            s("x", &["y"]),
            s("y", &["x"])
        ]);
        v["regions"][1]["syndics"][0]["parents"] = json!(["below"]);
    })
    .unwrap_err();
    let what: Vec<&str> = problems.iter().map(|p| p.what.as_str()).collect();
    assert_eq!(what, ["the parents form a loop: a -> b -> c -> a", "the parents form a loop: x -> y -> x"]);
}

#[test]
fn every_region_is_served() {
    let syndics = |v: Value| move |t: &mut Value| t["regions"][1]["syndics"] = v;
    assert!(problem(syndics(json!([]))).contains("there is no syndic here"));
    assert!(problem(syndics(json!(null))).contains("\"syndics\" has no value"));
    assert!(
        problem(|t| drop(t["regions"][1].as_object_mut().unwrap().remove("syndics")))
            .contains("no \"syndics\"")
    );
    assert!(problem(|t| t["regions"][1]["syndics"][0]["standby"] = json!(true)).contains("only standby"));
    assert!(problem(|t| t["regions"] = json!([])).contains("no region"));
    assert!(problem(|t| t["top_masters"] = json!([])).contains("no top master"));
}

#[test]
fn too_little_capacity_is_a_warning() {
    for (count, capacity, said) in [
        (700, 700, None),
        (701, 700, Some("when e1 is lost the others carry 700")),
        (3000, 700, Some("expects 3000 minions and its syndics carry 1950")),
    ] {
        let t = with(|v| {
            v["regions"][0]["minions"]["count"] = json!(count);
            v["regions"][0]["syndics"][1]["capacity"] = json!(capacity);
        })
        .unwrap();
        let found: Vec<(&str, Severity)> = t.warnings.iter().map(|w| (w.what.as_str(), w.severity)).collect();
        match (said, found.as_slice()) {
            (None, []) => {}
            (Some(said), [(what, Severity::Warning)]) if what.contains(said) => {}
            _ => panic!("{count}: expected {said:?}, found {found:?}"),
        }
    }
}

#[test]
fn values_are_checked_one_by_one() {
    type Change = fn(&mut Value);
    let table: [(Change, &str); 35] = [
        (|v| v["version"] = json!(2), "2 is out of range"),
        (|v| v["version"] = json!("1"), "a number is expected"),
        (|v| v["fabric"] = json!("a b"), "fabric:"),
        (|v| v["fabrik"] = json!("x"), "no key \"fabrik\""),
        (|v| v["top_masters"][0]["id"] = json!("a/b"), "'/' may not be in an id"),
        (|v| v["top_masters"][0]["address"] = json!("top1"), "has no port"),
        (|v| v["regions"][0]["name"] = json!("us.east"), "without dots"),
        (|v| v["regions"][0]["provider"] = json!("AWS"), "\"AWS\" is not known"),
        (|v| v["regions"][0]["network"]["allowed_cidrs"] = json!(["10.1.2.3/8"]), "bits set after"),
        (|v| v["regions"][0]["network"]["allowed_cidrs"] = json!(["ten"]), "no network"),
        (|v| v["regions"][0]["syndics"][0]["standby"] = json!("yes"), "true or false"),
        (|v| v["regions"][0]["syndics"][0]["weight"] = json!(0), "0 is out of range"),
        (|v| v["regions"][0]["minions"]["patterns"] = json!(["[a"]), "[a"),
        (|v| v["regions"][0]["minions"]["patterns"] = json!("east-*"), "a list is expected"),
        (|v| v["regions"][0]["minions"]["ranges"] = json!("web[01-02]"), "a list is expected"),
        (
            |v| v["regions"][0]["minions"]["ranges"] = json!(["web[01-02]", "web*"]),
            "\"web*\" is no range set",
        ),
        (|v| v["regions"][0]["minions"]["ranges"] = json!(["web[20-01]"]), "20-01 runs backwards"),
        (|v| v["regions"][0]["minions"]["ranges"] = json!(["a b[01-02]"]), "a b[01-02]"),
        (|v| v["regions"][0]["batch"]["batch"] = json!("101%"), "no number of minions"),
        (|v| v["regions"][0]["batch"]["max_failures"] = json!(0), "no number of minions"),
        (
            |v| v["regions"][0]["batch"] = json!({"batch": 20, "cap": 10}),
            "\"batch\" is above \"cap\": 20 and 10",
        ),
        (|v| v["regions"][0]["batch"] = json!({"cap": "0%"}), "no number of minions"),
        (|v| v["regions"][0]["batch"] = json!({"caps": 1}), "no key \"caps\""),
        (
            |v| v["regions"][0]["batch"] = json!({"auto": {"min": "9%", "max": "8%"}}),
            "above its \"max\": 9% and 8%",
        ),
        (
            |v| v["regions"][0]["batch"] = json!({"cap": 5, "auto": {"max": 6}}),
            "\"max\" of \"auto\" is above \"cap\"",
        ),
        (
            |v| v["regions"][0]["batch"] = json!({"cap": 5, "auto": {"min": 6}}),
            "\"min\" of \"auto\" is above \"cap\"",
        ),
        (|v| v["regions"][0]["batch"] = json!({"auto": 5}), "auto is a map"),
        (|v| v["unbatched_limit"] = json!("0%"), "no number of minions"),
        (
            |v| v["node_groups"]["web"] = json!("web and"),
            "node group \"web\": the text ends at column 8 of \"web and\"",
        ),
        (|v| v["node_groups"]["web"] = json!("N@wbe"), "there is no node group wbe at column 1"),
        (|v| v["node_groups"]["web"] = json!("N@web"), "it stands for itself: web -> web"),
        (|v| v["node_groups"]["web server"] = json!("x"), "' ' in the name of a node group"),
        (|v| v["node_groups"]["web"] = json!(["web[0-9]", "db1"]), "a list of ids with \"web[0-9]\""),
        (|v| v["node_groups"]["web"] = json!([]), "a list without a word"),
        (|v| v["labels"] = json!([]), "labels is a map, found a list"),
    ];
    for (change, said) in table {
        let what = problem(change);
        assert!(what.contains(said), "{said:?} not in {what:?}");
    }
    let problems = check(&json!("nonsense")).unwrap_err();
    assert!(problems[0].what.contains("the topology is a map"), "{problems:?}");
}

#[test]
fn node_groups_are_texts_or_lists_of_words_and_are_expanded() {
    let t = with(|v| {
        v["node_groups"] = json!({
            "web": "east-web-*",
            "ids": ["web01", "db3"],
            "busy": ["N@web", "and", "not", "G@os_full:Red Hat", "or", "N@ids"],
        });
    })
    .unwrap();
    let target = t.node_groups.expand(&crate::target::Target::parse("N@busy").unwrap()).unwrap();
    let expected = r#"( east-web-* and not G@"os_full:Red Hat" ) or L@web01,db3"#;
    assert_eq!(target.expr(), crate::target::Target::parse(expected).unwrap().expr());
}

#[test]
fn a_bad_node_group_is_reported_at_its_own_line() {
    let problems = with(|v| v["node_groups"] = json!({"a": "web*", "b": "N@c", "c": "N@b"})).unwrap_err();
    let first = with(|v| v["node_groups"] = json!({"a": "web* and"})).unwrap_err();
    assert_eq!((problems.len(), first.len()), (1, 1), "{problems:?}");
    assert_eq!(problems[0].at.unwrap().line, first[0].at.unwrap().line + 1, "{problems:?}");
}

#[test]
fn what_a_region_has_for_batches_is_read_whole() {
    let t = with(|v| {
        v["unbatched_limit"] = json!("50%");
        v["regions"][0]["batch"] =
            json!({"batch": "20%", "max_failures": "5%", "cap": 500, "auto": {"min": "1%", "max": "50%"}});
    })
    .unwrap();
    let batches = t.region_batches();
    let east = RegionBatch {
        default_window: Some(Share::Percent(20)),
        max_failures: Some(Share::Percent(5)),
        cap: Some(Share::Count(500)),
        auto_min: Some(Share::Percent(1)),
        auto_max: Some(Share::Percent(50)),
    };
    assert_eq!(batches[&"east".parse().unwrap()], east);
    assert_eq!((batches[&"west".parse().unwrap()], batches.len()), (RegionBatch::default(), 2));
    assert_eq!(t.unbatched_limit, Some(Share::Percent(50)));
    assert_eq!(check(&good()).unwrap().unbatched_limit, None);
}

#[test]
fn all_problems_come_at_once_in_order_and_none_twice() {
    let problems = with(|v| {
        v["top_masters"][0]["addres"] = json!("x:1");
        v["top_masters"][1]["id"] = json!("..");
        v["regions"][0]["syndics"][0]["capacity"] = json!("lots");
        v["regions"][1]["syndics"][0]["parents"] = json!(["e1"]);
        v["regions"][1]["minions"]["count"] = json!(-1);
    })
    .unwrap_err();
    // w1's parent e1 exists in a part that could not be read: no fifth problem about it.
    let what: Vec<&str> = problems.iter().map(|p| p.what.as_str()).collect();
    assert_eq!(problems.len(), 4, "{what:#?}");
    assert!(problems.is_sorted_by_key(|p| p.at));
    assert_eq!(problems[0].hint, "did you mean \"address\"?");
}

/// What a file is warned about.
fn warnings(change: impl FnOnce(&mut Value)) -> Vec<String> {
    with(change).unwrap().warnings.into_iter().map(|w| w.what).collect()
}

#[test]
fn a_fallback_that_leads_through_the_parent_before_it_is_a_warning() {
    let parents = |own: Value, upper: Value| {
        warnings(move |v| {
            v["regions"][1]["syndics"][0]["parents"] = own;
            v["regions"][0]["syndics"][0]["parents"] = upper;
        })
    };
    let said = parents(json!(["top-1", "e1"]), json!(["top-1"]));
    assert_eq!(said, ["w1 falls back to e1, and every way up from e1 leads through top-1, named before it"]);
    // The upper one first: when it is lost, the top master itself is a way.
    assert!(parents(json!(["e1", "top-1"]), json!(["top-1"])).is_empty());
    assert!(parents(json!(["top-1", "e1"]), json!(["top-1", "top-2"])).is_empty(), "e1 has another way");
    assert!(parents(json!(["e1", "e2"]), json!(["top-1"])).is_empty(), "two halves of the tree");
    assert_eq!(parents(json!(["e2", "e1"]), json!(["e2"])).len(), 1);
}

#[test]
fn an_id_listed_in_two_regions_is_an_error_with_both_places() {
    let told = problem(|v| v["regions"][1]["minions"]["ids"] = json!(["other", "ODD"]));
    assert!(told.starts_with("the minion ODD is listed in the region west, and at "), "{told}");
    assert!(told.ends_with(":1 in the region east"), "{told}");
    let twice = problem(|v| v["regions"][0]["minions"]["ids"] = json!(["a", "a"]));
    assert!(twice.contains("the minion a is listed in the region east, and at "), "{twice}");
}

#[test]
fn patterns_of_two_regions_that_can_match_the_same_id_are_a_warning() {
    let west = |patterns: Value| warnings(move |v| v["regions"][1]["minions"]["patterns"] = patterns);
    assert_eq!(west(json!(["west-*", "east"])), Vec::<String>::new());
    let said = west(json!(["west-*", "*-db", "*-web"]));
    assert_eq!(said.len(), 1, "once for two regions: {said:?}");
    assert!(
        said[0].starts_with("the pattern \"*-db\" of the region west and \"east-*\" of the region east (at ")
    );
    assert!(said[0].ends_with("it counts to east, which comes first"), "{said:?}");
    let listed = warnings(|v| v["regions"][1]["minions"]["ids"] = json!(["west-1", "east-7"]));
    assert!(listed[0].contains("the minion east-7 is listed in the region west, and the pattern \"east-*\""));
}

/// The good fabric with range sets in both regions, and ids in the second.
fn ranged(east: &[&str], west: &[&str], ids: &[&str]) -> Result<Topology, Vec<Problem>> {
    with(|v| {
        v["regions"][0]["minions"]["ranges"] = json!(east);
        v["regions"][1]["minions"]["ids"] = json!(ids);
        v["regions"][1]["minions"]["ranges"] = json!(west);
    })
}

#[test]
fn an_id_in_a_range_and_named_elsewhere_is_an_error_once_for_two_places() {
    let told = |east: &[&str], west: &[&str], ids: &[&str]| -> Vec<String> {
        ranged(east, west, ids).expect_err("named twice").into_iter().map(|p| p.what).collect()
    };
    let two = told(&["web[001-120,200]"], &["db[01-02]", "web[119-300]"], &[]);
    assert_eq!(two.len(), 1, "{two:?}");
    assert!(
        two[0].starts_with("the minion web119 is in the range \"web[119-300]\" of the region west, and at ")
    );
    assert!(two[0].ends_with(":1 in the region east"), "{two:?}");
    // Neither begins as the other does.
    let across = told(&["r[10-20]5"], &["r1[01-95]"], &[]);
    assert!(across[0].starts_with("the minion r105 is in the range \"r1[01-95]\""), "{across:?}");
    let with_id = told(&["web[001-120]"], &[], &["x", "WEB007"]);
    assert!(with_id[0].starts_with("the minion WEB007 is listed in the region west, and at "), "{with_id:?}");
    let own = told(&[], &["x[01-03]"], &["x02"]);
    assert!(own[0].starts_with("the minion x02 is in the range \"x[01-03]\" of the region west"), "{own:?}");
    let same = told(&["x[01-03]", "x[03-05]"], &[], &[]);
    assert!(
        same[0].starts_with("the minion x03 is in the range \"x[03-05]\" of the region east"),
        "{same:?}"
    );
    let apart = ranged(&["web[001-120,200]"], &["web[121-199]", "web[01-20]"], &["web201", "web1"]).unwrap();
    assert_eq!(apart.warnings, []);
    assert_eq!(ranged(&["x[01-03,02]"], &[], &[]).unwrap().warnings, [], "twice in itself harms nobody");
}

#[test]
fn a_range_that_a_pattern_of_another_region_covers_is_a_warning() {
    let told = |east: &[&str], west: &[&str]| -> Vec<String> {
        ranged(east, west, &[]).unwrap().warnings.into_iter().map(|w| w.what).collect()
    };
    let said = told(&[], &["west-[01-02]", "east-[01-20]", "east-[31-40]"]);
    assert_eq!(said.len(), 1, "once for two regions: {said:?}");
    let begin =
        "the minion east-01 is in the range \"east-[01-20]\" of the region west, and the pattern \"east-*\"";
    assert!(said[0].starts_with(begin), "{said:?}");
    assert!(said[0].ends_with("covers it: the range counts"), "{said:?}");
    assert!(told(&["east-[01-20]"], &["west-[01-20]"]).is_empty(), "one's own pattern may cover it");
}

#[test]
fn what_all_ranges_name_together_is_bounded() {
    let half = |c: char| format!("{c}[000001-100000]");
    let (a, b) = (half('a'), half('b'));
    assert!(ranged(&[&a], &[&b], &[]).is_ok());
    let many = ranged(&[&a], &[&b, "c[01-01]", "d[01-02]"], &["odd"]).unwrap_err();
    let what: Vec<&str> = many.iter().map(|p| p.what.as_str()).collect();
    assert_eq!(what.len(), 2, "told once, and the ids are compared all the same: {what:?}");
    assert!(what.contains(&"with \"c[01-01]\" the ranges of the file name more than 200000 ids"), "{what:?}");
}
