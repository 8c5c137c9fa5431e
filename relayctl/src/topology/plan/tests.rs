//! What people and programs see of a plan.

use relay_runtime::config::parse_topology;
use serde_json::json;

use super::*;
use crate::output::Paint;

/// A region with so many syndics.
fn topology(syndics: usize, more: &str) -> Topology {
    let syndics: String =
        (1..=syndics).map(|i| format!("      - {{id: e{i}, address: \"e{i}:4510\"}}\n")).collect();
    let text = format!(
        "version: 1\nfabric: acme.example\ntop_masters: [{{id: t, address: \"t:1\", region: core}}]\nregions:\n  \
         - name: east\n    provider: aws\n    syndics:\n{syndics}    minions: {{count: 1000}}\n{more}"
    );
    parse_topology(&text).unwrap()
}

fn planned<'a>(old: &Topology, new: &'a Topology, list: Option<&'a Path>) -> Planned<'a> {
    offline(old, (Path::new("new.yaml"), new), list).unwrap()
}

#[test]
fn people_see_changes_moves_and_capacity() {
    let (old, new) = (topology(3, ""), topology(4, "labels: {a: b}\n"));
    let plan = planned(&old, &new, None);
    let text = plan.text(&Paint::PLAIN);
    assert!(text.starts_with("+ syndic e4 of east\n    address: e4:4510\n    parents: [t]\n"), "{text}");
    assert!(text.contains("+ label \"a\"\n    value: b\n"), "{text}");
    assert!(text.contains("\nminions (as many as the files expect, under made-up ids"), "{text}");
    let last = text.lines().last().unwrap();
    let moved = plan.plan.moves.moved();
    assert_eq!(
        last,
        format!(
            "2 to add, 0 to change, 0 to remove; {moved} of 1000 minions move ({:.1} %, ideal 25.0 %)",
            moved as f64 / 10.0
        )
    );
    assert_eq!(planned(&old, &old, None).text(&Paint::PLAIN), "nothing changes");
}

#[test]
fn programs_see_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("minions");
    std::fs::write(&list, "m-1 east\nm-2 east\nm-3 mars\nalien\n").unwrap();
    let (old, new) = (topology(1, "labels: {a: b}\n"), topology(2, "labels: {a: c}\n"));
    let data = data::plan(&planned(&old, &new, Some(&list)));
    assert_eq!(data["summary"], json!({"add": 1, "change": 1, "remove": 0}));
    assert_eq!(
        (&data["changes"][0]["action"], &data["changes"][0]["region"]),
        (&json!("add"), &json!("east"))
    );
    assert_eq!(
        data["changes"][1],
        json!({
            "kind": "label", "region": null, "name": "a",
            "action": "change", "field": "value", "before": "b", "after": "c", "fields": null,
        })
    );
    let minions = &data["minions"];
    assert_eq!(
        (&minions["known"], &minions["staying"], &minions["without_region"]),
        (&json!(true), &json!(2), &json!(2))
    );
    assert_eq!(minions["regions"][0]["ideal_share"], 0.5);
    assert_eq!((&data["from"], &data["changes_found"]), (&json!(old.digest()), &json!(true)));
}
