//! The fixed form and back; rules and pictures of a small fabric.

use serde_json::{Value, json};

use super::*;
use crate::topology::Topology;

fn file() -> Value {
    json!({
        "version": 1, "fabric": "acme.example",
        "top_masters": [{"id": "t1", "address": "t1.acme:4510", "region": "core"}],
        "regions": [{
            "name": "east", "provider": "aws", "network": {"allowed_cidrs": ["10.0.0.0/8"]},
            "syndics": [{"id": "e1", "address": "10.0.0.1:4520"}],
            "minions": {"count": 7, "patterns": ["b", "a"], "grains": {"dc": "x"}},
            "batch": {"auto": {"max": 5}},
        }, {
            "name": "west", "provider": "other",
            "syndics": [
                {"id": "w1", "address": "w1:4510", "parents": ["e1"]},
                {"id": "w2", "address": "w2:4510", "parents": ["t1"], "standby": true},
            ],
            "minions": {"count": 3},
        }],
        "node_groups": {"web": ["N@all", "and", "a*"], "all": "*"},
    })
}

fn checked(file: &Value) -> Topology {
    Topology::check(&document::node(file)).unwrap()
}

#[test]
fn the_fixed_form_says_what_the_file_leaves_out() {
    let form = checked(&file()).document();
    let syndic = &form["regions"][0]["syndics"][0];
    assert_eq!(
        *syndic,
        json!({
            "id": "e1", "address": "10.0.0.1:4520", "parents": ["t1"], "capacity": 1250, "weight": 100, "standby": false,
        })
    );
    assert_eq!(form["regions"][0]["minions"]["patterns"], json!(["a", "b"]));
    assert_eq!(form["regions"][0]["batch"], json!({"auto": {"max": 5}}));
    assert_eq!(form["node_groups"]["web"], "N@all and a*");
}

#[test]
fn the_fixed_form_reads_back_as_the_same_topology() {
    let first = checked(&file());
    let again = checked(&first.document());
    assert_eq!(again.document(), first.document());
    // Of a file that is in the fixed form's order, everything comes back.
    assert_eq!(checked(&again.document()), again);
}

#[test]
fn the_digest_is_of_what_is_meant() {
    let mut same = file();
    same["regions"].as_array_mut().unwrap().reverse();
    same["regions"][1]["minions"]["patterns"] = json!(["a", "b"]);
    same["regions"][1]["syndics"][0]["weight"] = json!(100);
    assert_eq!(checked(&same).digest(), checked(&file()).digest());
    let other = |change: fn(&mut Value)| {
        let mut other = file();
        change(&mut other);
        checked(&other).digest()
    };
    let weight = other(|f| f["regions"][0]["syndics"][0]["weight"] = json!(101));
    let ranges = other(|f| f["regions"][1]["minions"]["ranges"] = json!(["x[01-02]", "w[01-03]"]));
    let turned = other(|f| f["regions"][1]["minions"]["ranges"] = json!(["w[01-03]", "x[01-02]"]));
    let own = checked(&file()).digest();
    assert!(weight != own && ranges != own && ranges == turned);
    assert_eq!(
        other(|f| f["regions"][1]["minions"]["ranges"] = json!([])),
        own,
        "as if the key were not there"
    );
    assert_eq!(checked(&file()).digest().len(), 64);
}

#[test]
fn everybody_who_dials_may_and_nobody_else() {
    let shown = |rule: &Rule| {
        let on = rule.on.as_ref().map_or("minions", |id| id.as_str()).to_owned();
        format!("{}: {on} {} {} {}", rule.region, rule.direction.as_str(), rule.port, rule.peer)
    };
    let rules = checked(&file()).firewall();
    let all: Vec<String> = rules.iter().flat_map(|(_, rules)| rules).map(shown).collect();
    assert_eq!(
        all,
        [
            "east: e1 in 4520 minions (10.0.0.0/8)",
            "east: e1 in 4520 w1 (w1)",
            "east: e1 out 4510 t1 (t1.acme)",
            "east: minions out 4520 e1 (10.0.0.1)",
            "west: w1 in 4510 minions (anywhere)",
            "west: w1 out 4520 e1 (10.0.0.1)",
            "west: w2 in 4510 minions (anywhere)",
            "west: w2 out 4510 t1 (t1.acme)",
            "west: minions out 4510 w1 (w1)",
            "west: minions out 4510 w2 (w2)",
            "core: t1 in 4510 e1 (10.0.0.1)",
            "core: t1 in 4510 w2 (w2)",
        ]
    );
}

#[test]
fn pictures() {
    let t = checked(&file());
    assert_eq!(
        t.picture(Picture::Mermaid),
        "\
flowchart BT
  t0[\"t1<br/>top master, core\"]
  subgraph r0[\"east (aws)\"]
  s0[\"e1<br/>carries 1250\"]
  m0[\"7 minions\"]
  end
  subgraph r1[\"west (other)\"]
  s1[\"w1<br/>carries 1250\"]
  s2[\"w2<br/>standby, carries 1250\"]
  m1[\"3 minions\"]
  end
  m0 --> s0
  s0 --> t0
  m1 --> s1
  s1 --> s0
  m1 -.-> s2
  s2 --> t0
"
    );
    let dot = t.picture(Picture::Dot);
    assert!(dot.starts_with("digraph topology {\n") && dot.ends_with("}\n"), "{dot}");
    assert!(dot.contains("  subgraph cluster_r1 {\n  label=\"west (other)\";\n"), "{dot}");
    assert!(dot.contains("  m1 -> s2 [style=dashed];\n  s2 -> t0;\n"), "{dot}");
    assert_eq!(dot.matches('{').count(), dot.matches('}').count());
}
