use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const TOPOLOGY: &str = include_str!("../../../topology.yaml");

fn addresses() -> impl FnMut() -> anyhow::Result<SocketAddr> {
    let mut port = 20_000;
    move || {
        port += 1;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

fn sized(text: &str, tops: Tops, minions: u64, per_process: u64) -> anyhow::Result<Plan> {
    let topology = relay_runtime::config::parse_topology(text).unwrap();
    Plan::new(&topology, Size { tops, minions, per_process }, addresses())
}

fn plan(minions: u64, per_process: u64) -> Plan {
    sized(TOPOLOGY, Tops::First, minions, per_process).unwrap()
}

fn names(links: &[Link]) -> Vec<&str> {
    links.iter().map(|l| l.id.as_str()).collect()
}

#[test]
fn the_reference_fabric_with_two_hundred() {
    let plan = plan(200, 1_000);
    let [top] = &plan.tops[..] else { panic!("{:?}", plan.tops) };
    assert_eq!((top.id.as_str(), top.name.as_str()), ("top-1", TOP_MASTER));
    assert_eq!((plan.left_out.len(), plan.syndics.len()), (1, 8));
    assert!(
        plan.syndics.iter().all(|s| names(&s.parents) == ["top-1"] && s.parents[0].address == top.listen)
    );
    let minions: Vec<(&str, u64, u64)> =
        plan.minions.iter().map(|m| (m.name.as_str(), m.first, m.count)).collect();
    assert_eq!(
        minions,
        [
            ("minions-syndic-aws-1", 1, 20),
            ("minions-syndic-aws-2", 21, 20),
            ("minions-syndic-aws-3", 41, 20),
            ("minions-syndic-azure-1", 1, 24),
            ("minions-syndic-azure-2", 25, 24),
            ("minions-syndic-gcp-1", 1, 32),
            ("minions-syndic-onprem-1", 1, 30),
            ("minions-syndic-onprem-2", 31, 30),
        ]
    );
    assert_eq!(names(&plan.minions[1].parents), ["syndic-aws-2", "syndic-aws-3", "syndic-aws-1"]);
    assert_eq!(plan.minions[0].ids().next().unwrap(), "aws-001");
    // The region is called "on-prem", its ids begin as its pattern says.
    assert_eq!(plan.minions[7].ids().last().unwrap(), "onprem-060");
    assert_eq!(plan.minions[0].grains["cloud_region"], "us-east-1");
}

#[test]
fn all_top_masters_are_everybodys_parents_and_have_addresses_of_their_own() {
    let plan = sized(TOPOLOGY, Tops::All, 200, 1_000).unwrap();
    let tops: Vec<(&str, &str)> = plan.tops.iter().map(|t| (t.name.as_str(), t.id.as_str())).collect();
    assert_eq!(tops, [("top-1", "top-1"), ("top-2", "top-2")]);
    assert_eq!((plan.tops[1].region.as_str(), plan.left_out.len()), ("on-prem", 0));
    let addresses: BTreeSet<_> = plan.tops.iter().flat_map(|t| [t.listen, t.operators, t.admin]).collect();
    assert_eq!(addresses.len(), 6);
    for syndic in &plan.syndics {
        assert_eq!(names(&syndic.parents), ["top-1", "top-2"]);
        assert_eq!(syndic.parents[1].address, plan.tops[1].listen);
    }
}

const DEEP: &str = "version: 1
fabric: acme.example
top_masters:
  - {id: t1, address: \"t1.example:1\", region: hq}
  - {id: t2, address: \"t2.example:1\", region: hq}
regions:
  - name: a
    provider: other
    syndics:
      - {id: low, address: \"low.example:1\", parents: [high, t2]}
      - {id: high, address: \"high.example:1\"}
      - {id: spare, address: \"spare.example:1\", standby: true}
    minions: {count: 10, patterns: [\"*\"]}
";

#[test]
fn a_deeper_tree_keeps_its_shape() {
    let plan = sized(DEEP, Tops::First, 3, 1).unwrap();
    let low = |plan: &Plan| plan.syndics.iter().find(|s| s.id.as_str() == "low").unwrap().parents.clone();
    assert_eq!(names(&low(&plan)), ["high", "t1"]);
    assert_eq!(low(&plan)[0].role, Role::Syndic);
    assert_eq!(names(&low(&sized(DEEP, Tops::All, 3, 1).unwrap())), ["high", "t2"]);
    let order: Vec<&str> = plan.syndics.iter().map(|s| s.id.as_str()).collect();
    assert!(order.iter().position(|s| *s == "high") < order.iter().position(|s| *s == "low"), "{order:?}");
    // One process each, none at the spare, and a pattern that says nothing gives the region's name.
    let ids: Vec<String> = plan.minions.iter().flat_map(MinionPlan::ids).collect();
    assert_eq!(ids, ["a-001", "a-002", "a-003"]);
    assert!(plan.minions.iter().all(|m| m.parents[0].id.as_str() != "spare" && m.parents.len() == 3));
}

#[test]
fn names_that_clash_are_refused() {
    let told = |from, to, tops| sized(&TOPOLOGY.replace(from, to), tops, 1, 1).unwrap_err().to_string();
    assert!(told("syndic-gcp-1,", "pki,", Tops::First).contains("\"pki\""));
    assert!(told("id: top-2", "id: operator", Tops::All).contains("\"operator\""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn every_minion_once(minions in 0u64..3_000, per_process in 1u64..500) {
        let plan = plan(minions, per_process);
        let ids: BTreeSet<String> = plan.minions.iter().flat_map(MinionPlan::ids).collect();
        prop_assert_eq!(ids.len() as u64, minions);
        prop_assert_eq!(plan.minion_count(), minions);
        prop_assert!(plan.minions.iter().all(|m| m.count <= per_process && m.count > 0));
        let names: BTreeSet<&String> = plan.minions.iter().map(|m| &m.name).collect();
        prop_assert_eq!(names.len(), plan.minions.len());
    }
}
