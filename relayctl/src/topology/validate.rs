//! `relayctl topology validate`.

use std::path::PathBuf;

use clap::Args;
use relay_core::topology::{Topology, capacity::RegionCapacity};
use serde_json::json;

use crate::{exit::Exit, output::Output};

/// Which file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ValidateArgs {
    /// The topology file
    file: PathBuf,
    /// Warnings (a region short of capacity) count as errors
    #[arg(long)]
    strict: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology validate topology.yaml
  relayctl topology validate topology.yaml --strict
  relayctl topology validate topology.yaml --out json

EXIT CODES:
  0  good; warnings are told
  3  bad, or cannot be read; every problem is told as file:line:column";

/// Runs it.
pub fn run(args: &ValidateArgs, out: &Output) -> anyhow::Result<Exit> {
    let topology = match super::load(&args.file, out)? {
        Ok(topology) => topology,
        Err(exit) => return Ok(exit),
    };
    let good = topology.warnings.is_empty() || !args.strict;
    let data = json!({
        "good": good,
        "digest": topology.digest(),
        "problems": super::problems(&args.file, &topology.warnings),
        "capacity": super::capacity::data(&topology.capacity()),
    });
    out.show(&data, |paint| {
        let line = match good {
            true => paint.green(format!("{} is good: {}", args.file.display(), holds(&topology))),
            false => paint.red(format!("{} has warnings, and --strict was asked for", args.file.display())),
        };
        super::warnings(&args.file, &topology) + &short_of_one(&topology) + &line
    })?;
    Ok(if good { Exit::Ok } else { Exit::NotAccepted })
}

/// Regions that a single loss leaves without enough syndics, a line each, where the check of the file has not said so: a region
/// that has one syndic by intent would be warned about for ever, and fail `--strict`.
fn short_of_one(topology: &Topology) -> String {
    let told =
        |region: &str| topology.warnings.iter().any(|w| w.what.starts_with(&format!("the region {region} ")));
    let short = topology.capacity().into_iter().filter(|c| c.short() > 0 && !told(c.region.as_str()));
    let line = |c: RegionCapacity| {
        let loss = c.worst()?;
        let (region, expected, lost, left) = (&c.region, c.expected, &loss.lost, loss.left);
        Some(format!(
            "note: when {lost} is lost, the region {region} has room for {left} of its {expected} minions\n"
        ))
    };
    short.filter_map(line).collect()
}

/// What is in it, in a line.
pub fn holds(topology: &Topology) -> String {
    format!(
        "{}, {} top masters, {} regions, {} syndics, {} minions expected",
        topology.fabric,
        topology.top_masters.len(),
        topology.regions.len(),
        topology.syndics().count(),
        topology.expected_minions()
    )
}

#[cfg(test)]
mod tests {
    use relay_runtime::config::load_topology;

    #[test]
    fn a_region_with_one_syndic_is_noted_with_the_numbers() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../topology.yaml");
        let topology = load_topology(file.as_ref()).unwrap();
        let said = "note: when syndic-gcp-1 is lost, the region gcp has room for 0 of its 800 minions\n";
        assert_eq!(super::short_of_one(&topology), said);
    }
}
