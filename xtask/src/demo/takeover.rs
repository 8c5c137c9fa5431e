//! `cargo xtask demo --ha`: two top masters on one etcd and one PostgreSQL. The owner of a running job is killed together with
//! a syndic, and another one finishes the job; then an owner leaves in order.
//!
//! What ran is seen by a witness outside the fabric, so that "none twice" is not the fabric's own word.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{
    DemoArgs, Shown, accounted, all_ok, say,
    servers::Servers,
    summary,
    trial::{Output, Trial},
    victim::Victim,
    witness::{self, Witness},
};
use crate::stop;

/// How long a body takes, in seconds: longer than finding out that all started. The region of a single syndic is capped in
/// topology.yaml, so that it takes several rounds there.
const SECONDS: u32 = 3;
/// By then half of the targets have started.
const STARTED: Duration = Duration::from_secs(30);
/// By then another top master owns the fabric: a lease of 5 s, and some more.
const TAKEOVER: Duration = Duration::from_secs(60);
/// By then all is well again after a start.
const WHOLE: Duration = Duration::from_secs(60);
/// A watcher is connected by then: what happens next, it has to get over.
const WATCHING: Duration = Duration::from_millis(500);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Tells the story with the programs in `bin`.
///
/// # Errors
/// Etcd or PostgreSQL is missing; something does not start; a target has not exactly one outcome, or ran twice. What was
/// started is stopped in any case.
pub fn tell(args: &DemoArgs, bin: &Path) -> anyhow::Result<()> {
    say("Starting an etcd (who is there, who owns the fabric) and a PostgreSQL (jobs and returns)");
    // Before the fabric, so that it goes after it.
    let servers = Servers::start()?;
    let witness = Witness::new(servers.dir(), SECONDS)?;
    say(&format!(
        "Starting the fabric of topology.yaml with both its top masters, and {} minions",
        args.minions
    ));
    let shared = ["--etcd", &servers.url, "--postgres", &servers.database];
    let trial = Trial::up(bin, args.minions, false, &shared)?;
    let scene = Scene { trial: &trial, witness: &witness, minions: args.minions };
    trial.show(&["fabric", "status"])?;
    say("Everybody: are you there?");
    let mut shown = vec![all_ok(&trial, &["run", "*", "test.ping"], Some(args.minions))?];
    shown.extend(scene.death()?);
    shown.extend(scene.leave()?);
    say("Stopping the fabric, and removing what it wrote");
    trial.down()?;
    drop(servers);
    println!();
    summary(&shown);
    Ok(())
}

struct Scene<'a> {
    trial: &'a Trial,
    witness: &'a Witness,
    minions: u64,
}

impl Scene<'_> {
    /// kill -9 of the owner and of a syndic, in the midst of a job.
    fn death(&self) -> anyhow::Result<Vec<Shown>> {
        say(&format!(
            "A job that takes {SECONDS} s, and meanwhile its owner dies, and a syndic too. Which ones?"
        ));
        let victim = Victim::choose(self.trial)?;
        let owner = owner(self.trial)?;
        let pid = self.trial.pid(&owner)?;
        println!("{owner} owns the fabric; {} has {} minions", victim.id, victim.minions.len());
        let job = self.submit()?;
        let strike = || {
            println!("$ kill -9 {pid} {}    # {owner} and {}", victim.pid, victim.id);
            signal(pid, Signal::SIGKILL, &owner)?;
            let began = Instant::now();
            signal(victim.pid, Signal::SIGKILL, &victim.id)?;
            self.successor(&owner, "killed", began)
        };
        let (taken, watched) = self.watched_while(&job, strike)?;
        let what = format!("the job of {owner}, killed, and {}, killed", victim.id);
        let ended = self.end(&job, what, &watched)?;
        say(&format!("Where are the minions of {}?", victim.id));
        let places = victim.reattached(self.trial)?;
        self.restart(&[&owner, &victim.id])?;
        Ok([vec![taken], ended, vec![places]].concat())
    }

    /// SIGTERM of the owner, in the midst of a job.
    fn leave(&self) -> anyhow::Result<Vec<Shown>> {
        say("A restart in order, as for a new version: the owner hands over while a job runs");
        let owner = owner(self.trial)?;
        let pid = self.trial.pid(&owner)?;
        let job = self.submit()?;
        let strike = || {
            println!("$ kill {pid}    # {owner}, SIGTERM");
            let began = Instant::now();
            signal(pid, Signal::SIGTERM, &owner)?;
            self.successor(&owner, "stopped", began)
        };
        let (taken, watched) = self.watched_while(&job, strike)?;
        let ended = self.end(&job, format!("the job of {owner}, stopped in order"), &watched)?;
        self.restart(&[&owner])?;
        Ok([vec![taken], ended].concat())
    }

    /// Starts a job on all, and waits until it runs on half of them at least.
    fn submit(&self) -> anyhow::Result<String> {
        // All at once is wider than the topology allows unless the number is typed.
        let (command, all) = (self.witness.command(), self.minions.to_string());
        let order = ["run", "*", "cmd.run", &command, "--batch", "all", "--confirm", &all, "--async"];
        let submitted = self.trial.ask(&order)?;
        let jid = submitted["jid"].as_str().context("the submission has no jid")?.to_owned();
        let enough = (self.minions / 2).max(1) as usize;
        let mut started = 0;
        until("half of the targets start", STARTED, || {
            started = self.witness.starts(&jid)?.len();
            Ok((started >= enough).then_some(()))
        })?;
        println!("job {jid} was started on {started} minions until now");
        Ok(jid)
    }

    /// Asks `relayctl fabric status` until another owner answers, and says how long it took.
    fn successor(&self, before: &str, what: &str, began: Instant) -> anyhow::Result<Shown> {
        let new = until("another top master own the fabric", TAKEOVER, || {
            // An error: nobody does so yet, and relayctl has lost its patience.
            Ok(owner(self.trial).ok().filter(|owner| owner != before))
        })?;
        let took = began.elapsed().as_secs_f64();
        let line = format!("{new} answers as the owner {took:.1} s after {before} was {what}");
        println!("{line}");
        Ok(Shown { what: format!("{before} {what}: {new} takes over"), line: format!("{took:.1} s") })
    }

    /// Does something while a person watches a job, and waits for both to end.
    fn watched_while<T>(
        &self,
        jid: &str,
        act: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Output)> {
        let done = thread::scope(|scope| {
            let watcher = scope.spawn(|| self.trial.show(&["jobs", "watch", jid]));
            thread::sleep(WATCHING);
            (act(), watcher.join())
        });
        let (acted, watched) = done;
        Ok((acted?, watched.map_err(|_| anyhow::anyhow!("watching {jid} ended by a panic"))??))
    }

    /// Holds the end of a job, as its watcher saw it, against what was seen from outside.
    fn end(&self, jid: &str, what: String, ended: &Output) -> anyhow::Result<Vec<Shown>> {
        // 1 and 2 are honest answers too: what counts here is that there is one for everybody.
        ensure!((0..=2).contains(&ended.code), "the job did not end: exit code {}", ended.code);
        let job = accounted(what, &ended.last_line, Some(self.minions))?;
        let told = self.trial.look(&["jobs", "show", jid, "--out", "json"])?;
        let line = witness::compare(&told, &self.witness.starts(jid)?, self.minions)?;
        println!("seen from outside: {line}");
        Ok(vec![job, Shown { what: "  seen from outside".into(), line }])
    }

    /// Starts what is dead, and waits until all is as it was.
    fn restart(&self, dead: &[&str]) -> anyhow::Result<()> {
        say(&format!("Starting {} again", dead.join(" and ")));
        let started = self.trial.dev(&["start"])?;
        ensure!(started.code == 0, "it was not started: exit code {}", started.code);
        until("everybody be there again", WHOLE, || {
            let status = self.trial.look_dev(&["status"])?;
            Ok(is_whole(&status).then_some(()))
        })?;
        self.trial.show(&["fabric", "status"])?;
        Ok(())
    }
}

/// What `relayctl dev status` says when nothing is missing.
fn is_whole(status: &Value) -> bool {
    let alive = |process: &Value| process["alive"] == true;
    let all = |now: &str, all: &str| status[now].is_u64() && status[now].as_u64() >= status[all].as_u64();
    status["processes"].as_array().is_some_and(|p| !p.is_empty() && p.iter().all(alive))
        && all("top_masters_up", "top_masters")
        && all("syndics_up", "syndics")
        && all("minions_up", "minions")
}

/// The top master that owns the fabric.
fn owner(trial: &Trial) -> anyhow::Result<String> {
    let status = trial.look(&["fabric", "status", "--out", "json"])?;
    status["top_master"].as_str().map(str::to_owned).context("the fabric has no owner")
}

fn signal(pid: i32, signal: Signal, name: &str) -> anyhow::Result<()> {
    kill(Pid::from_raw(pid), signal).with_context(|| format!("{name} (pid {pid}) cannot be signalled"))
}

/// Looks again and again.
fn until<T>(
    what: &str,
    bound: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        ensure!(!stop::asked(), "stopped by a signal");
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begun.elapsed() > bound {
            bail!("waited {} s in vain to see {what}", bound.as_secs());
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_is_only_what_lacks_nothing() {
        let whole = json!({
            "processes": [{"alive": true}], "top_masters": 2, "top_masters_up": 2, "syndics": 8, "syndics_up": 8,
            "minions": 200, "minions_up": 200,
        });
        assert!(is_whole(&whole));
        for (key, value) in [
            ("processes", json!([{"alive": true}, {"alive": false}])),
            ("processes", json!([])),
            ("top_masters_up", json!(1)),
            ("syndics_up", json!(7)),
            ("minions_up", json!(null)),
        ] {
            let mut part = whole.clone();
            part[key] = value;
            assert!(!is_whole(&part), "{part}");
        }
    }
}
