//! `relayctl topology`: the topology file, before anybody uses it. Everything here works on files alone; nothing is asked
//! of a fabric, and no context is needed.

mod known;
mod plan;
mod render;
mod show;
mod validate;

use std::{io::IsTerminal as _, path::Path};

use clap::Subcommand;
use relay_core::{
    document::{Problem, Severity},
    topology::{Topology, capacity::RegionCapacity, schema::schema},
};
use relay_runtime::config::{ConfigErrors, load_topology};
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    output::{Output, Paint, clean, print, table},
};

/// What to do with topology files.
#[derive(Debug, Subcommand)]
pub enum TopologyCommand {
    /// Check a file: every problem at once, with line and column
    Validate(validate::ValidateArgs),
    /// Show what changes from one file to another, and which minions move
    Plan(plan::PlanArgs),
    /// Show a file: the tree, the regions, what they carry
    Show(show::ShowArgs),
    /// Write a file's firewall rules, or a picture of its tree
    Render(render::RenderArgs),
    /// Print the JSON schema of topology files, for editors
    #[command(after_help = SCHEMA)]
    Schema,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology validate topology.yaml
  relayctl topology plan old.yaml topology.yaml
  relayctl topology show topology.yaml
  relayctl topology render topology.yaml --graph mermaid
  relayctl topology schema > topology.schema.json

All of these read files only; no fabric is asked and nothing is changed.";
const SCHEMA: &str = "\
EXAMPLES:
  relayctl topology schema > topology.schema.json

An editor with a YAML language server takes it from the first line of topology.yaml:
  # yaml-language-server: $schema=./topology.schema.json";

/// Runs one of the commands.
pub fn run(command: TopologyCommand, out: &Output) -> anyhow::Result<Exit> {
    match command {
        TopologyCommand::Validate(args) => validate::run(&args, out),
        TopologyCommand::Plan(args) => plan::run(&args, out),
        TopologyCommand::Show(args) => show::run(&args, out),
        TopologyCommand::Render(args) => render::run(&args, out),
        TopologyCommand::Schema => {
            print(&format!("{:#}", schema()))?;
            Ok(Exit::Ok)
        }
    }
}

/// A topology from a file; of a bad one, every problem is told and the exit code comes back.
fn load(file: &Path, out: &Output) -> anyhow::Result<Result<Topology, Exit>> {
    Ok(all_of([file], out)?.map(|[topology]| topology))
}

/// Several at once: the problems of all are told together.
fn all_of<const N: usize>(files: [&Path; N], out: &Output) -> anyhow::Result<Result<[Topology; N], Exit>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for file in files {
        match load_topology(file) {
            Ok(topology) => good.push(topology),
            Err(errors) => bad.push(errors),
        }
    }
    match <[Topology; N]>::try_from(good) {
        Ok(all) => Ok(Ok(all)),
        Err(_) => told(&bad, out).map(|()| Err(Exit::NotAccepted)),
    }
}

/// People read problems on standard error, a line each; programs get them where they would get the answer.
fn told(bad: &[ConfigErrors], out: &Output) -> anyhow::Result<()> {
    if !out.is_text() {
        let all: Vec<Value> = bad.iter().flat_map(|bad| problems(&bad.file, &bad.problems)).collect();
        return out.show(&json!({ "good": false, "problems": all }), |_| String::new());
    }
    bad.iter().for_each(|bad| eprintln!("{}", clean(&bad.to_string())));
    let count = match bad.iter().map(ConfigErrors::errors).sum() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    };
    let paint = Paint::for_stream(std::io::stderr().is_terminal());
    eprintln!("{}", paint.red(format!("{count}; nothing was done")));
    Ok(())
}

/// Problems as data.
fn problems(file: &Path, problems: &[Problem]) -> Vec<Value> {
    let one = |problem: &Problem| {
        json!({
            "file": file.display().to_string(),
            "line": problem.at.map(|at| at.line),
            "column": problem.at.map(|at| at.column),
            "severity": match problem.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "what": problem.what,
            "hint": problem.hint,
        })
    };
    problems.iter().map(one).collect()
}

/// Warnings for people, a line each.
fn warnings(file: &Path, topology: &Topology) -> String {
    let file = file.display().to_string();
    topology.warnings.iter().map(|warning| clean(&format!("{}\n", warning.in_file(&file)))).collect()
}

/// What regions carry, as data.
fn capacity_data(capacity: &[RegionCapacity]) -> Vec<Value> {
    let one = |region: &RegionCapacity| {
        let losses = region.losses.iter().map(|loss| {
            let cut_off: Vec<&str> = loss.cut_off.iter().map(|id| id.as_str()).collect();
            json!({
                "lost": loss.lost.as_str(), "cut_off": cut_off, "left": loss.left,
                "short": region.expected.saturating_sub(loss.left),
            })
        });
        json!({
            "region": region.region.as_str(),
            "expected": region.expected,
            "syndics": region.active,
            "standby": region.standby,
            "capacity": region.capacity,
            "reserve": region.reserve,
            "losses": losses.collect::<Vec<_>>(),
        })
    };
    capacity.iter().map(one).collect()
}

/// What regions carry, for people: with everything up, and after the worst loss of one syndic.
fn capacity_table(capacity: &[RegionCapacity]) -> String {
    let row = |region: &RegionCapacity| {
        let reserve = if region.standby == 0 { String::new() } else { format!(" + {}", region.standby) };
        let (lost, left) = match region.worst() {
            Some(loss) => (loss.lost.to_string(), loss.left.to_string()),
            None => (String::new(), String::new()),
        };
        let short = if region.short() == 0 { "-".to_owned() } else { region.short().to_string() };
        [
            region.region.to_string(),
            region.expected.to_string(),
            format!("{}{reserve}", region.active),
            region.capacity.to_string(),
            region.reserve.to_string(),
            lost,
            left,
            short,
        ]
    };
    table(
        ["REGION", "EXPECTED", "SYNDICS", "CAPACITY", "STANDBY", "WORST LOSS", "LEFT THEN", "SHORT THEN"],
        capacity.iter().map(row),
    )
}
#[cfg(test)]
mod tests;
