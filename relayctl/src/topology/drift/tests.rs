//! What is drift, and what is none.

use relay_proto::operator::TopologyMember;
use relay_runtime::config::parse_topology;

use super::*;
use crate::{
    output::Paint,
    topology::fake::{revision, text},
};

fn member(id: &str, role: &str, region: &str, up: bool) -> TopologyMember {
    TopologyMember {
        id: id.into(),
        role: role.into(),
        region: region.into(),
        up,
        belong: 50,
        attached: 48,
        ..TopologyMember::default()
    }
}

fn file(syndics: usize) -> TopologyFile {
    let text = text(syndics);
    TopologyFile { path: "topology.yaml".into(), topology: parse_topology(&text).unwrap(), text }
}

fn active(syndics: usize) -> Active {
    let text = text(syndics);
    Active {
        topology: Some(parse_topology(&text).unwrap()),
        revision: revision(4, "active", &text),
        staging: None,
    }
}

fn attached(syndics: &[(&str, bool)]) -> TopologyStatusReply {
    let top = member("t", "top-master", "core", true);
    let syndics = syndics.iter().map(|(id, up)| member(id, "syndic", "east", *up));
    TopologyStatusReply {
        members: std::iter::once(top).chain(syndics).collect(),
        ..TopologyStatusReply::default()
    }
}

#[test]
fn three_that_say_the_same_are_no_drift() {
    let drift = drift(Some(&file(2)), &active(2), &attached(&[("e1", true), ("e2", true)]));
    assert!(!drift.differs, "{drift:?}");
    let shown = text::text(&drift, None, &Paint::PLAIN);
    let expected = "revision 4 is active
   WHAT                 FILE          ACTIVE                      ATTACHED
   top master t (core)  yes           yes                         yes
   syndic e1 (east)     yes           yes, 50 minions of its own  yes, 48 minions
   syndic e2 (east)     yes           yes, 50 minions of its own  yes, 48 minions
   region east          100 expected  100 expected                96 minions

no drift";
    assert_eq!(shown, expected);
}

#[test]
fn each_difference_is_seen() {
    let well = || attached(&[("e1", true), ("e2", true)]);
    let differs = |file: Option<&TopologyFile>, standing: &TopologyStatusReply| {
        let drift = drift(file, &active(2), standing);
        let marked: Vec<String> = drift.parts.iter().filter(|r| r.differs).map(|r| r.id.clone()).collect();
        (drift.differs, marked.join(" "))
    };
    let said = |differs, marked: &str| (differs, marked.to_owned());
    assert_eq!(differs(None, &well()), said(false, ""));
    assert_eq!(differs(Some(&file(3)), &well()), said(true, "e3"), "in the file alone");
    assert_eq!(differs(Some(&file(1)), &well()), said(true, "e2"), "not in the file");
    assert_eq!(differs(None, &attached(&[("e1", true), ("e2", false)])), said(true, "e2"), "down");
    assert_eq!(differs(None, &attached(&[("e1", true)])), said(true, "e2"), "never seen");
    let foreign = attached(&[("e1", true), ("e2", true), ("x", true)]);
    assert_eq!(differs(None, &foreign), said(true, "x"), "nobody knows it");
    let gone = attached(&[("e1", true), ("e2", true), ("x", false)]);
    assert_eq!(differs(None, &gone), said(false, ""), "removed, and gone");
    let misplaced = TopologyStatusReply { misplaced: 3, ..well() };
    assert_eq!(differs(None, &misplaced), said(true, ""));
    let strangers = TopologyStatusReply { strangers_total: 1, strangers: vec!["alien".into()], ..well() };
    assert_eq!(differs(None, &strangers), said(true, ""));
    // Only a field differs.
    let mut other = file(2);
    other.topology.labels.insert("a".into(), "b".into());
    assert_eq!(differs(Some(&other), &well()), said(true, ""));
}

#[test]
fn what_differs_is_said_with_what_to_do() {
    let standing = TopologyStatusReply {
        misplaced: 3,
        strangers_total: 1,
        strangers: vec!["alien".into()],
        ..attached(&[("e1", false), ("x", true)])
    };
    let drift = drift(Some(&file(3)), &active(2), &standing);
    let shown = text::text(&drift, Some("my topology.yaml".as_ref()), &Paint::PLAIN);
    for line in [
        "revision 4 is active\n",
        "(1 to add, 0 to change, 0 to remove): relayctl topology plan 'my topology.yaml'\n",
        "2 of the active topology not attached: relayctl fabric status\n",
        "1 attached that the active topology does not have\n",
        "3 minions not on the syndic of their own",
        "1 minion in no region of the active topology: alien\n",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
}

#[test]
fn regions_have_numbers_in_all_three_columns() {
    let drift = drift(Some(&file(2)), &active(2), &attached(&[("e1", true), ("e2", true)]));
    let region = drift.parts.last().unwrap();
    assert_eq!((region.kind, region.region.as_str(), region.differs), ("region", "east", false));
    assert_eq!(
        (region.file_minions, region.active_minions, region.attached_minions),
        (Some(100), Some(100), Some(96))
    );
    let none = super::drift(
        Some(&file(1)),
        &Active { topology: None, revision: Default::default(), staging: None },
        &attached(&[]),
    );
    assert!(none.differs && none.active == 0 && none.changes.is_none());
}
