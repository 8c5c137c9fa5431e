//! Target expressions. Included by `relay-core/tests/fuzz.rs`.

use std::collections::BTreeMap;

use relay_core::{
    compact,
    ids::Incarnation,
    inventory::Inventory,
    target::{NodeGroups, Target, TargetError, words_of},
};

/// A target expression in the first line, and node groups after it, `name=expression` in each line.
///
/// Nothing panics; what parses is printed as text that parses to the same; an error points into its text; node groups
/// are refused or expand wholly; what an expression matches is among the minions that there are.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let expression = lines.next().unwrap_or_default();
    let (groups, inventory) = (node_groups(lines), inventory());
    let _ = compact::expand(expression);
    for read in [
        Target::parse,
        Target::glob,
        Target::regex,
        Target::subnet,
        Target::node_group,
        |text: &str| Target::list([text]),
        |text: &str| Target::grain(text, '|'),
        |text: &str| Target::grain_regex(text, ':'),
        |text: &str| Target::pillar_regex(text, '/'),
        |text: &str| Target::parse(&words_of(text.split(' '))?),
    ] {
        match read(expression) {
            Ok(target) => sound(&target, &groups, &inventory),
            Err(error) => told(&error),
        }
    }
}

fn sound(target: &Target, groups: &NodeGroups, inventory: &Inventory) {
    assert_eq!(Target::parse(target.as_str()).as_ref(), Ok(target), "printed and read again");
    assert_eq!(target.expr().to_string(), target.as_str(), "printed twice");
    match groups.expand(target) {
        Ok(expanded) => {
            assert!(!expanded.has_node_groups(), "{target} is not expanded wholly");
            matched(&expanded, inventory);
        }
        Err(error) => told(&error),
    }
    matched(target, inventory);
}

fn matched(target: &Target, inventory: &Inventory) {
    let found = inventory.evaluate(target);
    assert!(found.is_subset(inventory.all()), "{target} finds who is not there");
    let _ = inventory.unknown_ids(target);
}

fn told(error: &TargetError) {
    assert!((1..=error.text.chars().count() + 1).contains(&error.column), "{error:?} points beside its text");
    assert!(!error.found.is_empty() && !error.expected.is_empty(), "{error:?} says nothing");
    assert!(!error.to_string().is_empty());
}

fn node_groups<'a>(lines: impl Iterator<Item = &'a str>) -> NodeGroups {
    let texts: BTreeMap<String, String> =
        lines.filter_map(|line| line.split_once('=')).map(|(n, t)| (n.to_owned(), t.to_owned())).collect();
    match NodeGroups::new(&texts) {
        Ok(groups) => {
            assert_eq!(groups.iter().count(), texts.len(), "a group is lost");
            groups
        }
        Err(errors) => {
            assert!(errors.iter().all(|e| texts.contains_key(&e.group) && !e.to_string().is_empty()));
            NodeGroups::default()
        }
    }
}

fn inventory() -> Inventory {
    let mut inventory = Inventory::new();
    let grains = r#"{"os":"Ubuntu","a":{"b":["x",{"c":1}]},"ipv4":["10.0.0.1"],"ipv6":["fd00::1"]}"#;
    for id in ["web01", "web02", "db1"] {
        let (Ok(id), Ok(region), Ok(syndic)) = (id.parse(), "aws".parse(), "aws-1".parse()) else { continue };
        inventory.upsert(&id, &region, &syndic, Incarnation(1), Some(grains), true, 0);
    }
    inventory
}
