//! The indexes against a walk over minions with no index, on random fleets; and the laws of sets. How fast it is on
//! 100,000 minions is measured by `loadtests targets`.

use super::*;
use crate::target::{Expr, Glob, GrainMatch};

/// The definition of a match, minion by minion, with no index.
fn naive(expr: &Expr, minion: &Minion) -> bool {
    match expr {
        Expr::Glob(g) => g.matches(minion.id.as_str()),
        Expr::List(ids) => ids.iter().any(|id| id == minion.id.as_str()),
        Expr::Regex(r) => anchored(r.as_str(), minion.id.as_str()),
        Expr::Range(r) => r.matches(minion.id.as_str()),
        Expr::Grain(g) => naive_grain(g, &minion.grains),
        Expr::GrainRegex(g) => naive_grain_regex(g.pattern(), &minion.grains),
        Expr::Subnet(s) => {
            let (name, net) = (if s.first().is_ipv4() { "ipv4" } else { "ipv6" }, s.to_string());
            let net: ipnet::IpNet =
                net.parse().or_else(|_| net.parse().map(std::net::IpAddr::into)).expect("a net");
            let holds = |text: &str| text.parse::<std::net::IpAddr>().is_ok_and(|a| net.contains(&a));
            minion.grains.get(name).is_some_and(|grain| any_leaf(grain, &holds))
        }
        Expr::Region(g) => g.matches(minion.region.as_str()),
        Expr::Syndic(g) => g.matches(minion.syndic.as_str()),
        Expr::Pillar(_) | Expr::PillarRegex(_) | Expr::NodeGroup(_) => false,
        Expr::Not(e) => !naive(e, minion),
        Expr::And(parts) => parts.iter().all(|e| naive(e, minion)),
        Expr::Or(parts) => parts.iter().any(|e| naive(e, minion)),
    }
}

fn anchored(regex: &str, text: &str) -> bool {
    regex::Regex::new(&format!(r"\A(?:{regex})")).is_ok_and(|r| r.is_match(text))
}

/// Whether any text in a list of them passes, or the text alone.
fn any_leaf(value: &Value, passes: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any_leaf(item, passes)),
        Value::Object(_) => false,
        Value::String(s) => passes(&s.to_lowercase()),
        other => passes(&other.to_string().replace("null", "none")),
    }
}

fn naive_grain(pattern: &GrainMatch, grains: &Value) -> bool {
    subdict_match(pattern, grains, &lies_there)
}

fn naive_grain_regex(pattern: &GrainMatch, grains: &Value) -> bool {
    subdict_match(pattern, grains, &|place, rest| {
        let regex = format!("(?i:{rest})");
        any_leaf(place, &|text| anchored(&regex, text)) || any_key(place, &|key| anchored(&regex, key))
    })
}

/// Whether a map has something under a key that passes; of a list, whether any map in it has.
fn any_key(place: &Value, passes: &dyn Fn(&str) -> bool) -> bool {
    match place {
        Value::Object(map) => {
            map.iter().any(|(key, value)| passes(&key.to_lowercase()) && has_content(value))
        }
        Value::Array(items) => items.iter().any(|item| any_key(item, passes)),
        _ => false,
    }
}

/// Salt's `subdict_match`: at each delimiter, the left is keys and the right is a pattern on what lies there.
fn subdict_match(pattern: &GrainMatch, grains: &Value, fits: &dyn Fn(&Value, &str) -> bool) -> bool {
    let parts: Vec<&str> = pattern.as_str().split(pattern.delimiter()).collect();
    (1..parts.len()).any(|n| {
        let rest = parts[n..].join(&pattern.delimiter().to_string());
        let mut places = vec![grains];
        for (depth, key) in parts[..n].iter().enumerate() {
            places = places.iter().flat_map(|place| step(place, key, depth > 0)).collect();
        }
        places.iter().any(|place| fits(place, &rest))
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
        "[ab0-2.]{1,3}|[ab][0-2]?(\\|[ab.][0-2]\\$?)?|b\\[[01]-2\\]".prop_map(|t| parsed(&format!("E@{t}"))),
        "[ab]\\[0[0-1]-1[0-2](,0[3-5])?\\]|[ab]\\[[0-3]-1[0-2]\\],[ab][0-2]|[ab]1,[ab]2"
            .prop_map(|t| parsed(&t)),
        "[ab](:[ab*]){0,3}:([xXy.]{1,3}\\$?|(\\?:)?[ab]|\\(\\?:x\\|[yb]\\)|1?[0-9]|t|None|\\.\\*)"
            .prop_filter_map("compiles", |t| Target::grain_regex(&t, ':').ok().map(|t| t.expr().clone())),
        "10\\.[0-2]\\.0\\.0(/(15|16))?|fd0[01]::|fd00::/15"
            .prop_filter_map("no bits beyond", |t| { Target::subnet(&t).ok().map(|t| t.expr().clone()) }),
        "I@a:\\*|J@a:b|N@a|region:(aws|gcp|a\\*)|syndic:(aws-1|gcp-\\?|\\*1)".prop_map(|t| parsed(&t)),
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

fn parsed(text: &str) -> Expr {
    Target::parse(text).expect(text).expr().clone()
}

fn grain(text: &str) -> Expr {
    Target::grain(text, ':').expect("a grain").expr().clone()
}

fn random_fleet() -> impl Strategy<Value = Inventory> {
    let addresses = (
        proptest::collection::vec("10\\.[0-2]\\.0\\.0|lo|fd00::", 0..3),
        proptest::collection::vec("fd0[0-2]::|FD01:0::0|10\\.1\\.0\\.0", 0..2),
    );
    let grains = (grain_map(grain_value()), addresses).prop_map(|(mut grains, (ipv4, ipv6))| {
        grains["ipv4"] = ipv4.into();
        grains["ipv6"] = ipv6.into();
        grains
    });
    let row = ("[ab](0?|1)[0-5]", proptest::option::of(grains), any::<bool>(), 0..3usize);
    proptest::collection::vec(row, 0..15).prop_map(|rows| {
        let mut inventory = Inventory::new();
        for (name, grains, up, place) in rows {
            let text = grains.map(|g| g.to_string());
            let (region, syndic) = [("aws", "aws-1"), ("aws", "aws-2"), ("gcp", "gcp-1")][place];
            put(&mut inventory, &name, region, syndic, 1, text.as_deref(), up, 0);
        }
        inventory
    })
}

/// Expressions tried on each random fleet: making a fleet costs as much as several of them.
const ON_EACH: usize = 10;

proptest! {
    // With `ON_EACH`, 10,000 expressions in each of the first two (pairs in the second).
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn bitmaps_find_what_a_walk_over_minions_finds(
        inventory in random_fleet(),
        exprs in proptest::collection::vec(expr(), ON_EACH),
    ) {
        for expr in exprs {
            let walked: Members = inventory.iter().filter(|(_, m)| naive(&expr, m)).map(|(no, _)| no).collect();
            prop_assert_eq!(inventory.matching(&expr, inventory.all()), walked, "{}", expr);
        }
    }

    #[test]
    fn de_morgan(
        inventory in random_fleet(),
        pairs in proptest::collection::vec((expr(), expr()), ON_EACH / 2),
    ) {
        let not = |e: &Expr| Expr::Not(Box::new(e.clone()));
        let all = |e: &Expr| inventory.matching(e, inventory.all());
        for (a, b) in pairs {
            let (both, either) = (vec![a.clone(), b.clone()], vec![a.clone(), b.clone()]);
            let (neither, not_both) = (vec![not(&a), not(&b)], vec![not(&a), not(&b)]);
            prop_assert_eq!(all(&not(&Expr::Or(either))), all(&Expr::And(neither)));
            prop_assert_eq!(all(&not(&Expr::And(both))), all(&Expr::Or(not_both)));
            prop_assert!(all(&a).is_subset(inventory.all()));
        }
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
