//! `cargo xtask demo`: the story that a newcomer sees. Jobs on the fabric of topology.yaml, and a syndic that dies
//! in the midst of one. With `--ha` another one, of two top masters: see `takeover`.
//!
//! Every command is shown before it runs. Whatever does not account for every minion is an error.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, ensure};
use clap::Args;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::tree;

pub mod servers;
mod takeover;
mod trial;
mod victim;
mod witness;
use trial::{Count, Trial};
use victim::Victim;

/// What the fabric is made of, and how it is ordered about.
const PROGRAMS: [&str; 4] = ["top-master", "syndic", "minion", "relayctl"];
/// How long the job runs in whose midst a syndic dies, in seconds: longer than finding out where it runs.
const SLEEP: &str = "6";

/// How large, and what stays.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How many minions, over all regions
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(16..=5_000))]
    minions: u64,
    /// Two top masters on an etcd and a PostgreSQL: kill the owner of a running job, and see the other one finish it
    #[arg(long, conflicts_with = "keep")]
    ha: bool,
    /// Leave the fabric up at the end, to be tried by hand
    #[arg(long)]
    keep: bool,
    /// Build for release first: slower to build, faster to run
    #[arg(long)]
    release: bool,
}

impl Default for DemoArgs {
    fn default() -> Self {
        DemoArgs { minions: 200, ha: false, keep: false, release: false }
    }
}

impl DemoArgs {
    /// The story of two top masters.
    pub fn ha() -> DemoArgs {
        DemoArgs { ha: true, ..DemoArgs::default() }
    }
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  cargo xtask demo
  cargo xtask demo --keep              and then try it by hand; the end says how, and how to stop it
  cargo xtask demo --minions 1000 --release
  cargo xtask demo --ha                two top masters; kill -9 of the owner in the midst of a job, and a restart in order

Needs cargo and a C compiler; --ha also etcd and PostgreSQL (apt-get install -y etcd-server postgresql), of which it starts
its own. All traffic is on the loopback address; nothing is left behind without --keep.
Exit codes: 0 every minion was accounted for in every job, 1 it was not so, or something is missing.";

/// What was shown, and its last line.
#[derive(Debug, Clone)]
struct Shown {
    what: String,
    line: String,
}

/// Builds, and tells the story.
///
/// # Errors
/// It does not compile or start, or a minion is unaccounted for. The fabric is stopped in any case.
pub fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    if let Some(missing) = servers::missing().filter(|_| args.ha) {
        // Before minutes of building.
        anyhow::bail!("{missing}");
    }
    say("Building the top master, the syndic, the minion and relayctl");
    let bin = tree::build(&PROGRAMS, args.release)?;
    tell(args, &bin)?;
    Ok(ExitCode::SUCCESS)
}

/// Tells the story with the programs in `bin`.
///
/// # Errors
/// As [`run`].
pub fn tell(args: &DemoArgs, bin: &Path) -> anyhow::Result<()> {
    if args.ha {
        return takeover::tell(args, bin);
    }
    say(&format!("Starting the fabric of topology.yaml, with {} minions", args.minions));
    let trial = Trial::up(bin, args.minions, args.keep, &[])?;
    let mut shown = jobs(&trial, args.minions)?;
    shown.extend(loss(&trial, args.minions)?);
    if args.keep {
        trial.keep();
    } else {
        say("Stopping the fabric, and removing what it wrote");
        trial.down()?;
    }
    println!("\n{}\n", again(args, &bin.join("relayctl").display().to_string()));
    summary(&shown);
    Ok(())
}

/// The end: all that was shown, a line each.
fn summary(shown: &[Shown]) {
    let width = shown.iter().map(|shown| shown.what.len()).max().unwrap_or(0);
    for Shown { what, line } in shown {
        println!("{what:<width$}  {line}");
    }
}

fn say(what: &str) {
    println!("\n# {what}");
}

/// Jobs on a fabric that is well.
fn jobs(trial: &Trial, minions: u64) -> anyhow::Result<Vec<Shown>> {
    trial.show(&["fabric", "status"])?;
    say("Everybody: are you there?");
    let ping = all_ok(trial, &["run", "*", "test.ping"], Some(minions))?;
    say("Everybody: a command of the system. Equal answers are shown once");
    let uptime = all_ok(trial, &["run", "*", "cmd.run", "uptime"], Some(minions))?;
    say("Some, by what they are: a static grain of the region, and a grain that each machine found out");
    let grain =
        all_ok(trial, &["run", "G@region:azure and G@kernel:Linux", "grains.item", "os", "osrelease"], None)?;
    say(
        "A dangerous one: what would it do, and on how many at once? Then a tenth at a time, over all regions together",
    );
    let tenth = (minions / 10).max(1).to_string();
    let careful = ["run", "*", "cmd.run", "sleep 0.3; echo patched", "--batch", &tenth];
    let plan = trial.show(&[&careful[..], &["--plan"]].concat())?;
    ensure!(plan.code == 0, "there is no plan: exit code {}", plan.code);
    let batch = all_ok(trial, &careful, Some(minions))?;
    say("And one that fails: after the third failure nothing more is started");
    let stopped = trial.show(&["run", "*", "cmd.run", "exit 1", "--batch", "2", "--max-failures", "3"])?;
    ensure!(stopped.code == 1, "a stopped batch is told by exit code 1, not {}", stopped.code);
    let stopped = accounted("* cmd.run 'exit 1' --max-failures 3".into(), &stopped.last_line, Some(minions))?;
    Ok(vec![ping, uptime, grain, batch, stopped])
}

/// A job that must be `ok` everywhere.
fn all_ok(trial: &Trial, args: &[&str], targets: Option<u64>) -> anyhow::Result<Shown> {
    let shown = trial.show(args)?;
    ensure!(shown.code == 0, "the job did not end well everywhere: exit code {}", shown.code);
    accounted(args[1..].join(" "), &shown.last_line, targets)
}

/// A job's last line must account for all, and for how many is known beforehand if `targets` is given.
fn accounted(what: String, line: &str, targets: Option<u64>) -> anyhow::Result<Shown> {
    let count = Count::of_line(line).with_context(|| format!("{line:?} counts nothing"))?;
    let expected = targets.unwrap_or(count.targets);
    let all = count.accounted == expected && count.targets == expected && expected > 0;
    ensure!(all, "{} of {expected} targets are accounted for", count.accounted);
    Ok(Shown { what, line: line.to_owned() })
}

/// A syndic is killed while a job runs below it.
fn loss(trial: &Trial, minions: u64) -> anyhow::Result<Vec<Shown>> {
    say(&format!("Now a worse day: a job that takes {SLEEP} s, and meanwhile a syndic dies. Which one?"));
    let victim = Victim::choose(trial)?;
    let Victim { id, region, pid, minions: below } = &victim;
    println!("{id}, with {} minions", below.len());
    // All at once is wider than the topology allows unless the number is typed.
    let confirmed = minions.to_string();
    let order = ["run", "*", "test.sleep", SLEEP, "--batch", "all", "--confirm", &confirmed, "--async"];
    let submitted = trial.ask(&order)?;
    let jid = submitted["jid"].as_str().context("the submission has no jid")?.to_owned();
    runs_below(trial, region, &jid)?;
    println!("$ kill -9 {pid}    # {id}");
    kill(Pid::from_raw(*pid), Signal::SIGKILL)
        .with_context(|| format!("{id} (pid {pid}) cannot be killed"))?;
    let ended = trial.show(&["jobs", "watch", &jid])?;
    // 1 and 2 are honest answers too: what counts here is that there is one for everybody.
    ensure!((0..=2).contains(&ended.code), "the job did not end: exit code {}", ended.code);
    let job =
        accounted(format!("* test.sleep {SLEEP}, {id} killed meanwhile"), &ended.last_line, Some(minions))?;

    say(&format!("Where are the minions of {id}?"));
    let places = victim.reattached(trial)?;
    trial.show(&["fabric", "status"])?;
    trial.show(&["minions", "list", "--down"])?;
    say("Everybody, without it: are you there?");
    let ping = all_ok(trial, &["run", "*", "test.ping"], Some(minions))?;
    Ok(vec![job, places, Shown { what: format!("{}, without {id}", ping.what), line: ping.line }])
}

/// A region's minions are asked whether the job runs on them: it was sent before the question, so it was started before
/// the answer.
fn runs_below(trial: &Trial, region: &str, jid: &str) -> anyhow::Result<()> {
    let target = format!("G@region:{region}");
    let found = trial.ask(&["run", &target, "saltutil.find_job", jid])?;
    let runs = |group: &&Value| group["return"].as_object().is_some_and(|job| !job.is_empty());
    let of = |group: &Value| group["minions"].as_array().map_or(0, Vec::len);
    let groups = || found["returns"].as_array().into_iter().flatten();
    let (running, asked): (usize, usize) = (groups().filter(runs).map(of).sum(), groups().map(of).sum());
    println!("job {jid} runs on {running} of the {asked} minions of region {region}");
    ensure!(running > 0, "the job runs nowhere in region {region}, so a loss would show nothing");
    Ok(())
}

/// What to type now.
fn again(args: &DemoArgs, relayctl: &str) -> String {
    if !args.keep {
        return "Once more, and then by hand: cargo xtask demo --keep".to_owned();
    }
    format!(
        "The fabric is up (context \"{name}\" is the current one). Try:\n  {relayctl} run '*' test.ping\n  \
         {relayctl} run 'aws-*' cmd.run 'df -h /'\n  {relayctl} minions list --down\n  {relayctl} jobs list\n\
         And stop it with:\n  {relayctl} dev down --name {name} --delete",
        name = trial::NAME
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_leaves_somebody_out_is_an_error() {
        let of = |line: &str, targets| accounted(String::new(), line, targets).is_ok();
        assert!(of("200 of 200 accounted: 200 ok in 0.43 s  jid 20261121073656123456", Some(200)));
        assert!(of("48 of 48 accounted: 48 ok in 0.43 s  jid 20261121073656123456", None));
        assert!(!of("199 of 200 accounted: 199 ok, still running  jid 20261121073656123456", Some(200)));
        assert!(!of("150 of 150 accounted: 150 ok in 0.43 s  jid 20261121073656123456", Some(200)));
        assert!(!of("0 of 0 accounted in 0.00 s  jid 20261121073656123456", None));
        assert!(!of("no minion is down", None));
    }
}
