//! The topology of a trial fabric: the file that was given, with what is different on this machine.
//!
//! Different are addresses, since minions and syndics are told where to go by the topology; and the top masters that are not
//! started.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::plan::Plan;

/// The text of the file that the top masters read, made of the text of the one that was given.
///
/// # Errors
/// It is no topology.
pub fn of_plan(text: &str, plan: &Plan) -> anyhow::Result<String> {
    let mut topology: Value = serde_saphyr::from_str(text).context("the topology")?;
    let tops = plan.tops.iter().map(|top| (top.id.as_str(), top.listen));
    let syndics = plan.syndics.iter().map(|syndic| (syndic.id.as_str(), syndic.listen));
    let addresses: BTreeMap<&str, _> = tops.chain(syndics).collect();
    let place = |entry: &mut Value| {
        if let Some(address) = entry["id"].as_str().and_then(|id| addresses.get(id)) {
            entry["address"] = json!(address);
        }
    };
    if let Some(tops) = list(&mut topology, "top_masters") {
        tops.retain(|top| !is_left_out(&top["id"], plan));
        tops.iter_mut().for_each(place);
    }
    for region in list(&mut topology, "regions").into_iter().flatten() {
        for syndic in list(region, "syndics").into_iter().flatten() {
            place(syndic);
            stand_in(syndic, plan);
        }
    }
    serde_saphyr::to_string(&topology).context("the topology")
}

fn list<'a>(within: &'a mut Value, key: &str) -> Option<&'a mut Vec<Value>> {
    within.get_mut(key).and_then(Value::as_array_mut)
}

fn is_left_out(id: &Value, plan: &Plan) -> bool {
    id.as_str().is_some_and(|id| plan.left_out.iter().any(|out| out.as_str() == id))
}

/// Puts the first top master where a parent is one that it stands in for.
fn stand_in(syndic: &mut Value, plan: &Plan) {
    let (Some(parents), Some(first)) = (list(syndic, "parents"), plan.tops.first()) else { return };
    let mut seen: Vec<Value> = Vec::new();
    for parent in parents.drain(..) {
        let parent = if is_left_out(&parent, plan) { json!(first.id.as_str()) } else { parent };
        if !seen.contains(&parent) {
            seen.push(parent);
        }
    }
    *parents = seen;
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use relay_core::topology::{HostPort, Topology};
    use relay_runtime::config::parse_topology;

    use super::{
        super::plan::{Size, Tops},
        *,
    };

    const REFERENCE: &str = include_str!("../../../topology.yaml");

    fn shaped(text: &str, tops: Tops) -> (Topology, Topology, Plan) {
        let given = parse_topology(text).unwrap();
        let mut port = 20_000;
        let address = || {
            port += 1;
            Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let plan = Plan::new(&given, Size { tops, minions: 10, per_process: 100 }, address).unwrap();
        (given, parse_topology(&of_plan(text, &plan).unwrap()).unwrap(), plan)
    }

    /// The shape with the addresses of the file, to be compared with it.
    fn with_addresses_of(mut shape: Topology, given: &Topology) -> Topology {
        for top in &mut shape.top_masters {
            top.address = given.top_master(&top.id).unwrap().address.clone();
        }
        for syndic in shape.regions.iter_mut().flat_map(|region| &mut region.syndics) {
            syndic.address = given.syndic(&syndic.id).unwrap().1.address.clone();
        }
        shape
    }

    #[test]
    fn everybody_is_where_the_plan_says_and_nothing_else_changes() {
        let (given, shape, plan) = shaped(REFERENCE, Tops::All);
        for top in &plan.tops {
            assert_eq!(shape.top_master(&top.id).unwrap().address, HostPort::from(top.listen));
        }
        for syndic in &plan.syndics {
            assert_eq!(shape.syndic(&syndic.id).unwrap().1.address, HostPort::from(syndic.listen));
        }
        assert_eq!(with_addresses_of(shape, &given), given);
    }

    #[test]
    fn without_a_registry_one_stands_in_for_the_others() {
        // Also where somebody has no other parent.
        let text = REFERENCE.replacen("capacity: 1000}", "capacity: 1000, parents: [top-2]}", 1);
        let (given, shape, plan) = shaped(&text, Tops::First);
        assert_eq!((given.top_masters.len(), shape.top_masters.len()), (2, 1));
        assert!(shape.syndics().all(|(_, syndic)| syndic.parents == [plan.tops[0].id.clone()]));
        assert_eq!(shape.syndics().count(), given.syndics().count());
    }
}
