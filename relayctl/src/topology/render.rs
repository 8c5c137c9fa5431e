//! `relayctl topology render`: firewall rules and pictures, of a file or of the active revision.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{ArgGroup, Args, ValueEnum};
use relay_core::{
    ids::RegionName,
    topology::{
        Topology,
        render::{Peer, Picture, Rule},
    },
};
use serde_json::{Map, Value, json};

use super::{active::meaning, api::Topologies};
use crate::{
    exit::Exit,
    output::{Output, print, table},
};

/// Which topology, and what of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("form").args(["firewall", "graph"]).required(true)))]
pub struct RenderArgs {
    /// The topology file. Default: the active revision, which is asked of the fabric
    file: Option<PathBuf>,
    /// Who has to reach whom, region by region
    #[arg(long, value_enum, value_name = "FORM")]
    firewall: Option<Rules>,
    /// A picture of the tree
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    graph: Option<Graph>,
    /// With --firewall: only this region
    #[arg(long, requires = "firewall", value_name = "NAME")]
    region: Option<String>,
}

/// Forms of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rules {
    /// For programs that make security groups
    Json,
    /// For people
    Text,
}

/// Languages of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Graph {
    /// For Markdown
    Mermaid,
    /// For Graphviz
    Dot,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology render topology.yaml --firewall text
  relayctl topology render topology.yaml --firewall json --region aws
  relayctl topology render topology.yaml --graph mermaid
  relayctl topology render topology.yaml --graph dot | dot -Tsvg > topology.svg
  relayctl topology render --graph mermaid         the active revision

The rules have the ports that the topology names. Those of operators and of metrics stand in the configuration of each
top master and syndic. All rules are TCP.";

impl RenderArgs {
    /// The file, if it is one that is to be rendered.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// Renders a file; asks no fabric.
pub fn of_file(args: &RenderArgs, file: &Path, out: &Output) -> anyhow::Result<Exit> {
    let topology = match super::load(file, out)? {
        Ok(topology) => topology,
        Err(exit) => return Ok(exit),
    };
    print(&rendered(args, &topology)?)?;
    Ok(Exit::Ok)
}

/// Renders the active revision.
pub async fn run(args: &RenderArgs, fabric: &mut impl Topologies) -> anyhow::Result<Exit> {
    print(&active(args, fabric).await?)?;
    Ok(Exit::Ok)
}

/// What the active revision looks like.
pub async fn active(args: &RenderArgs, fabric: &mut impl Topologies) -> anyhow::Result<String> {
    let revision = fabric.revision(0).await?;
    if revision.number == 0 {
        bail!("no topology is active yet: \"relayctl topology render FILE\" renders a file");
    }
    rendered(args, &meaning(&revision)?)
}

fn rendered(args: &RenderArgs, topology: &Topology) -> anyhow::Result<String> {
    let language = match args.graph {
        Some(Graph::Mermaid) => Picture::Mermaid,
        Some(Graph::Dot) => Picture::Dot,
        None => return rules(args, topology),
    };
    Ok(topology.picture(language))
}

fn rules(args: &RenderArgs, topology: &Topology) -> anyhow::Result<String> {
    let mut regions = topology.firewall();
    if let Some(wanted) = &args.region {
        let names: Vec<String> = regions.iter().map(|(name, _)| name.to_string()).collect();
        regions.retain(|(name, _)| name.as_str() == wanted);
        if regions.is_empty() {
            bail!("no top master and no syndic is in a region {wanted:?}; there are: {}", names.join(", "));
        }
    }
    Ok(match args.firewall {
        Some(Rules::Text) => regions.iter().map(text).collect::<Vec<_>>().join("\n"),
        _ => format!("{:#}", data(&regions)),
    })
}

/// Region to its rules.
fn data(regions: &[(RegionName, Vec<Rule>)]) -> Value {
    let rule = |rule: &Rule| {
        let peer = match &rule.peer {
            Peer::Tier { id, host } => json!({"id": id.as_str(), "host": host}),
            Peer::Minions(nets) => {
                let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
                // A list of networks that is empty means "from anywhere" here and "from nowhere" to some firewalls.
                let cidrs = if nets.is_empty() { vec!["0.0.0.0/0".into(), "::/0".into()] } else { nets };
                json!({"minions": rule.region.as_str(), "cidrs": cidrs})
            }
        };
        json!({
            "on": rule.on.as_ref().map_or("minions", |id| id.as_str()),
            "direction": rule.direction.as_str(), "protocol": "tcp", "port": rule.port, "peer": peer,
        })
    };
    let each = regions.iter().map(|(name, rules)| (name.to_string(), rules.iter().map(rule).collect()));
    Value::Object(each.collect::<Map<String, Value>>())
}

fn text((name, rules): &(RegionName, Vec<Rule>)) -> String {
    let rows = rules.iter().map(|rule| {
        let on = rule.on.as_ref().map_or("minions".into(), ToString::to_string);
        [on, rule.direction.as_str().into(), rule.port.to_string(), rule.peer.to_string()]
    });
    format!("region {name}\n{}", table(["ON", "DIRECTION", "TCP PORT", "PEER"], rows))
}
