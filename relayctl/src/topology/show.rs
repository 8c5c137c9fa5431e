//! `relayctl topology show`: the active topology, a revision of the history, or a file.

use std::{
    fmt::Write as _,
    io::IsTerminal as _,
    path::{Path, PathBuf},
};

use anyhow::bail;
use clap::Args;
use relay_core::{
    ids::TierId,
    topology::{Syndic, Topology},
};
use relay_proto::operator::TopologyRevision;
use serde_json::{Value, json};

use super::{active::meaning, api::Topologies, history::row};
use crate::{
    exit::Exit,
    output::{Output, Paint, clean, table},
    when,
};

/// Which one.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    /// The number of a revision, or a topology file. Default: the active revision
    #[arg(value_name = "NUMBER|FILE")]
    what: Option<String>,
    /// The tree and what its regions carry, and not the text as it was applied
    #[arg(long)]
    tree: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology show
  relayctl topology show > topology.yaml
  relayctl topology show 3
  relayctl topology show --tree
  relayctl topology show topology.yaml
  relayctl topology show topology.yaml --out yaml

A revision is printed as it was applied, byte for byte, a file as its tree. With --out json or yaml the topology is in its fixed
form: defaults written out, everything in one order. A file whose name is a number is written ./3.
LEFT THEN is what a region carries when the syndic of WORST LOSS is gone, standby syndics included.";

impl ShowArgs {
    /// The file, if it is one that is to be shown.
    pub fn file(&self) -> Option<PathBuf> {
        self.what.as_ref().filter(|what| what.parse::<u64>().is_err()).map(PathBuf::from)
    }
}

/// Shows a file.
pub fn of_file(file: &Path, out: &Output) -> anyhow::Result<Exit> {
    let topology = match super::load(file, out)? {
        Ok(topology) => topology,
        Err(exit) => return Ok(exit),
    };
    out.show(&data(&topology, file), |paint| text(&topology, paint) + &super::warnings(file, &topology))?;
    Ok(Exit::Ok)
}

/// Shows a revision.
pub async fn run(args: &ShowArgs, fabric: &mut impl Topologies, out: &Output) -> anyhow::Result<Exit> {
    let number = args.what.as_ref().and_then(|what| what.parse().ok()).unwrap_or(0);
    let revision = fabric.revision(number).await?;
    match (revision.number, number) {
        (0, 0) => bail!("no topology is active yet: \"relayctl topology apply FILE\" makes one"),
        (found, _) if number > 0 && found != number => {
            bail!("there is no revision {number}: see \"relayctl topology history\"")
        }
        _ => {}
    }
    if out.is_text() && !args.tree {
        // For the eyes only: what is written to a file is the file.
        if std::io::stdout().is_terminal() {
            eprintln!("{}", out.paint.cyan(about(&revision)));
        }
        out.show(&(), |_| revision.text.clone())?;
        return Ok(Exit::Ok);
    }
    let topology = meaning(&revision)?;
    let mut data = data(&topology, Path::new(&format!("revision {}", revision.number)));
    if let Value::Object(fields) = &mut data {
        fields.insert("revision".into(), row(&revision));
        fields.insert("text".into(), revision.text.clone().into());
    }
    out.show(&data, |paint| format!("{}\n{}", paint.cyan(about(&revision)), text(&topology, paint)))?;
    Ok(Exit::Ok)
}

/// A revision in a line.
fn about(revision: &TopologyRevision) -> String {
    let TopologyRevision { number, state, caller, commit, .. } = revision;
    let when = when::moment(revision.applied).map_or(String::new(), |at| format!(", applied at {at}"));
    let from = if commit.is_empty() { String::new() } else { format!(" from commit {commit}") };
    clean(&format!("revision {number}, {state}{when} by {caller}{from}"))
}

fn data(topology: &Topology, file: &Path) -> Value {
    json!({
        "digest": topology.digest(),
        "topology": topology.document(),
        "capacity": super::capacity_data(&topology.capacity()),
        "warnings": super::problems(file, &topology.warnings),
    })
}

/// The tree, then the regions, then what they carry.
pub fn text(topology: &Topology, paint: &Paint) -> String {
    let mut out = format!("{}\n", paint.cyan(super::validate::holds(topology)));
    for top in &topology.top_masters {
        let location = top.location.as_ref().map_or(String::new(), |l| format!(", {l}"));
        let line = format!("{} {} ({}{location})", top.id, top.address, top.region);
        let _ = writeln!(out, "{}", clean(&line));
        below(topology, &top.id, 1, &mut out);
    }
    let regions = topology.regions.iter().map(|region| {
        let place = region.cloud_region.clone().unwrap_or_default();
        let batch = region.batch.default_window.map_or("all".into(), |share| share.to_string());
        let cap = region.batch.cap.map_or("-".into(), |share| share.to_string());
        let ranges = region.ranges.iter().map(|set| set.as_str().to_owned());
        let names: Vec<String> = region.minions.patterns.iter().cloned().chain(ranges).collect();
        [
            region.name.to_string(),
            region.provider.to_string(),
            place,
            region.minions.count.to_string(),
            names.join(" "),
            batch,
            cap,
        ]
    });
    out.push('\n');
    out.push_str(&table(["REGION", "PROVIDER", "PLACE", "MINIONS", "PATTERNS", "BATCH", "CAP"], regions));
    out.push('\n');
    out + &super::capacity_table(&topology.capacity())
}

/// The syndics below somebody. One with several parents stands below the first; below the others is only its name.
fn below(topology: &Topology, parent: &TierId, depth: usize, out: &mut String) {
    for (region, syndic) in topology.syndics().filter(|(_, s)| s.parents.contains(parent)) {
        let indent = depth * 2;
        if syndic.parents.first() != Some(parent) {
            let _ = writeln!(out, "{:indent$}{} (also)", "", syndic.id);
            continue;
        }
        let _ = writeln!(
            out,
            "{:indent$}{} {} ({}{})",
            "",
            syndic.id,
            syndic.address,
            region.name,
            carries(syndic)
        );
        below(topology, &syndic.id, depth + 1, out);
    }
}

fn carries(syndic: &Syndic) -> String {
    let standby = if syndic.standby { ", standby" } else { "" };
    format!(", carries {}, weight {}{standby}", syndic.capacity, syndic.weight)
}
