//! `relayctl topology show`.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use relay_core::{
    ids::TierId,
    topology::{Syndic, Topology},
};
use serde_json::json;

use crate::{
    exit::Exit,
    output::{Output, Paint, clean, table},
};

/// Which file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    /// The topology file
    file: PathBuf,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology show topology.yaml
  relayctl topology show topology.yaml --out yaml

With --out json or yaml the topology is in its fixed form: defaults written out, everything in one order.
LEFT THEN is what a region carries when the syndic of WORST LOSS is gone, standby syndics included.";

/// Runs it.
pub fn run(args: &ShowArgs, out: &Output) -> anyhow::Result<Exit> {
    let topology = match super::load(&args.file, out)? {
        Ok(topology) => topology,
        Err(exit) => return Ok(exit),
    };
    let data = json!({
        "digest": topology.digest(),
        "topology": topology.document(),
        "capacity": super::capacity_data(&topology.capacity()),
        "warnings": super::problems(&args.file, &topology.warnings),
    });
    out.show(&data, |paint| text(&topology, paint) + &super::warnings(&args.file, &topology))?;
    Ok(Exit::Ok)
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
        [
            region.name.to_string(),
            region.provider.to_string(),
            place,
            region.minions.count.to_string(),
            region.minions.patterns.join(" "),
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
