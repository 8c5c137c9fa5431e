//! `relayctl topology validate`.

use std::path::PathBuf;

use clap::Args;
use relay_core::topology::Topology;
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
    });
    out.show(&data, |paint| {
        let line = match good {
            true => paint.green(format!("{} is good: {}", args.file.display(), holds(&topology))),
            false => paint.red(format!("{} has warnings, and --strict was asked for", args.file.display())),
        };
        super::warnings(&args.file, &topology) + &line
    })?;
    Ok(if good { Exit::Ok } else { Exit::NotAccepted })
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
