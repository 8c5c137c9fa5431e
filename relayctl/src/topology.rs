//! `relayctl topology`: the topology as code. A file is checked, shown and rendered without any fabric; it is planned
//! against the active revision, applied, and compared with what is really attached.
//!
//! `file` reads files, `active` the revision that a fabric has, `api` says what is asked of it. What a plan is, is in
//! `relay_core::topology::plan`; staging it region by region is the top master's.

mod active;
mod api;
mod apply;
mod capacity;
mod drift;
mod file;
mod follow;
mod git;
mod history;
mod known;
mod plan;
mod render;
mod rollback;
mod show;
mod validate;

use clap::Subcommand;
use relay_core::topology::schema::schema;

use capacity::{data as capacity_data, text as capacity_table};
use file::{all_of, load, problems, warnings};

use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, print},
    run::{terminal::Terminal, words::quoted},
};

/// What to do with topologies.
#[derive(Debug, Subcommand)]
pub enum TopologyCommand {
    /// Check a file: every problem at once, with line and column
    Validate(validate::ValidateArgs),
    /// Show what a file would change: in the fabric, or against another file
    Plan(plan::PlanArgs),
    /// Make a file the active topology, region by region
    Apply(apply::ApplyArgs),
    /// Show the active topology, one of the history, or a file
    Show(show::ShowArgs),
    /// List the revisions: who applied what, when, from which commit
    History(history::HistoryArgs),
    /// Apply a former revision again
    Rollback(rollback::RollbackArgs),
    /// Compare file, active revision and what is really attached
    Drift(drift::DriftArgs),
    /// Show the git repository that the top master follows
    Follow(follow::FollowArgs),
    /// Write the firewall rules, or a picture of the tree, of the active topology or a file
    Render(render::RenderArgs),
    /// Print the JSON schema of topology files, for editors
    #[command(after_help = SCHEMA)]
    Schema,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology validate topology.yaml
  relayctl topology plan topology.yaml             what it would change
  relayctl topology apply topology.yaml            plan, ask, apply
  relayctl topology history
  relayctl topology rollback                       to the revision before
  relayctl topology drift topology.yaml
  relayctl topology schema > topology.schema.json

validate, schema, and plan, show and render of files ask no fabric.";
const SCHEMA: &str = "\
EXAMPLES:
  relayctl topology schema > topology.schema.json

An editor with a YAML language server takes it from the first line of topology.yaml:
  # yaml-language-server: $schema=./topology.schema.json";

/// Runs one of the commands.
pub async fn run(command: TopologyCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let fabric = || Fabric::wanted(wanted);
    match command {
        TopologyCommand::Validate(args) => validate::run(&args, out),
        TopologyCommand::Plan(args) => match &args.new {
            Some(new) => plan::between(&args, new, out),
            None => plan::run(&args, &mut fabric()?, wanted, out).await,
        },
        TopologyCommand::Apply(args) => {
            apply::run(&args, &mut fabric()?, &mut Terminal::new(), wanted, out).await
        }
        TopologyCommand::Show(args) => match args.file() {
            Some(file) => show::of_file(&file, out),
            None => show::run(&args, &mut fabric()?, out).await,
        },
        TopologyCommand::History(args) => history::run(&args, &mut fabric()?, wanted, out).await,
        TopologyCommand::Rollback(args) => {
            rollback::run(&args, &mut fabric()?, &mut Terminal::new(), wanted, out).await
        }
        TopologyCommand::Drift(args) => drift::run(&args, &mut fabric()?, out).await,
        TopologyCommand::Follow(args) => follow::run(&args, &mut fabric()?, out).await,
        TopologyCommand::Render(args) => match args.file() {
            Some(file) => render::of_file(&args, file, out),
            None => render::run(&args, &mut fabric()?).await,
        },
        TopologyCommand::Schema => {
            print(&format!("{:#}", schema()))?;
            Ok(Exit::Ok)
        }
    }
}

/// `--context NAME` as it was given, for commands that are shown.
fn with_context(command: String, wanted: Option<&str>) -> String {
    wanted.map_or(command.clone(), |name| format!("{command} --context {}", quoted(name)))
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
