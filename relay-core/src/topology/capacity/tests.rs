//! Small trees, each with one loss that matters.

use serde_json::json;

use super::*;
use crate::topology::render::node;

fn syndic(id: &str, parents: &[&str], capacity: u32, standby: bool) -> serde_json::Value {
    json!({"id": id, "address": format!("{id}:1"), "parents": parents, "capacity": capacity, "standby": standby})
}

fn topology(regions: &[(&str, u32, Vec<serde_json::Value>)]) -> Topology {
    let region = |(name, count, syndics): &(&str, u32, Vec<serde_json::Value>)| json!({"name": name, "provider": "other", "syndics": syndics, "minions": {"count": count}});
    let file = json!({
        "version": 1, "fabric": "f.example",
        "top_masters": [{"id": "t", "address": "t:1", "region": "core"}],
        "regions": regions.iter().map(region).collect::<Vec<_>>(),
    });
    Topology::check(&node(&file)).unwrap()
}

fn losses(capacity: &RegionCapacity) -> Vec<(&str, u64)> {
    capacity.losses.iter().map(|loss| (loss.lost.as_str(), loss.left)).collect()
}

#[test]
fn the_worst_loss_comes_first_and_standby_syndics_count_for_it() {
    let east = vec![
        syndic("e1", &["t"], 500, false),
        syndic("e2", &["t"], 700, false),
        syndic("e3", &["t"], 100, true),
    ];
    let t = topology(&[("east", 900, east)]);
    let [east] = &t.capacity()[..] else { panic!() };
    assert_eq!(
        (east.expected, east.active, east.standby, east.capacity, east.reserve),
        (900, 2, 1, 1200, 100)
    );
    assert_eq!(losses(east), [("e2", 600), ("e1", 800), ("e3", 1200)]);
    assert_eq!((east.short(), east.worst().unwrap().cut_off.len()), (300, 1));
}

#[test]
fn what_hangs_below_a_lost_syndic_alone_is_lost_with_it() {
    let t = topology(&[
        ("east", 10, vec![syndic("e1", &["t"], 50, false), syndic("e2", &["t"], 50, false)]),
        ("west", 10, vec![syndic("w1", &["e1"], 50, false), syndic("w2", &["e1", "e2"], 50, false)]),
        ("deep", 10, vec![syndic("d1", &["w1"], 50, false)]),
    ]);
    let [east, west, deep] = &t.capacity()[..] else { panic!() };
    assert_eq!(losses(east), [("e1", 50), ("e2", 50)]);
    assert_eq!(losses(west), [("e1", 50), ("w1", 50), ("w2", 50)], "w2 has another way up");
    assert_eq!(losses(deep), [("e1", 0), ("w1", 0), ("d1", 0)]);
    assert_eq!((west.short(), deep.short()), (0, 10));
}
