//! Stopping a trial fabric: asked first, then killed, and nothing is left, running commands included.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::bail;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::record::{Process, Record};

/// How long processes may take to end after SIGTERM: their own bound on shutting down is shorter.
const ASKED: Duration = Duration::from_secs(10);
/// How long they may take after SIGKILL. It needs milliseconds, unless the kernel holds a process in a device.
const KILLED: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// The environment variable that each process of a running command has, with the run's random name
/// (`minion/src/runner/survey.rs`).
const RUN_MARK: &[u8] = b"RELAY_RUN=";
/// Digits of a run's name.
const RUN_DIGITS: usize = 32;
/// How deep below a minion process's directory the directories of runs are looked for.
const RUN_DEPTH: usize = 5;

/// What it took.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// How many processes were running.
    pub running: usize,
    /// The names of those that did not end by themselves.
    pub killed: Vec<String>,
    /// How many processes of jobs were still running and were killed.
    pub commands: usize,
}

/// Stops every process of a record that lives.
///
/// # Errors
/// A process cannot be signalled, or does not die.
pub fn stop(dir: &Path, record: &Record) -> anyhow::Result<Stopped> {
    let running: Vec<&Process> = record.living().collect();
    // Minions first: a syndic that goes before its minions makes them look for another one.
    signal(running.iter().rev(), Signal::SIGTERM)?;
    let stubborn = left_after(running.clone(), ASKED);
    signal(stubborn.iter(), Signal::SIGKILL)?;
    let immortal = left_after(stubborn.clone(), KILLED);
    if !immortal.is_empty() {
        let names: Vec<String> = immortal.iter().map(|p| format!("{} (pid {})", p.name, p.id.pid)).collect();
        bail!("{} did not die within {KILLED:?} after SIGKILL: see what holds them", names.join(", "));
    }
    let commands = kill_runs(dir)?;
    let killed = stubborn.iter().map(|p| p.name.clone()).collect();
    Ok(Stopped { running: running.len(), killed, commands })
}

fn signal<'a>(processes: impl Iterator<Item = &'a &'a Process>, signal: Signal) -> anyhow::Result<()> {
    for process in processes {
        if let Err(error) = process.id.signal(signal) {
            bail!("cannot stop {} (pid {}): {error}; is it another user's?", process.name, process.id.pid);
        }
    }
    Ok(())
}

fn left_after(mut processes: Vec<&Process>, bound: Duration) -> Vec<&Process> {
    let began = Instant::now();
    loop {
        processes.retain(|p| p.id.lives());
        if processes.is_empty() || began.elapsed() >= bound {
            return processes;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Kills the commands that minions had started: by design they outlive a minion, and they are known by the names of
/// their runs, which lie in the minions' directories.
fn kill_runs(dir: &Path) -> anyhow::Result<usize> {
    let mut runs = BTreeSet::new();
    find_runs(dir, RUN_DEPTH, &mut runs);
    let mut seen: BTreeSet<i32> = BTreeSet::new();
    let began = Instant::now();
    while !runs.is_empty() {
        let living = processes_of(&runs);
        if living.is_empty() {
            break;
        }
        if began.elapsed() >= KILLED {
            bail!("{} processes of jobs did not die within {KILLED:?} after SIGKILL", living.len());
        }
        for pid in living {
            // Its environment was read a moment ago, so the id is still its own. A refusal shows in the next look.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            seen.insert(pid);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(seen.len())
}

/// Collects the names of directories that are named as runs are.
fn find_runs(dir: &Path, depth: usize, found: &mut BTreeSet<Vec<u8>>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let directories = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    for entry in directories {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.len() == RUN_DIGITS && name.iter().all(u8::is_ascii_hexdigit) {
            found.insert(name.to_vec());
        } else if depth > 0 {
            find_runs(&entry.path(), depth - 1, found);
        }
    }
}

/// The living processes that carry one of the names. Those of other users show nothing, and could not be killed.
fn processes_of(runs: &BTreeSet<Vec<u8>>) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let marked = |pid: &i32| {
        // A process that has ended and is not collected yet has an empty one.
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut entries = environ.split(|b| *b == 0).filter_map(|entry| entry.strip_prefix(RUN_MARK));
        entries.any(|run| runs.contains(run))
    };
    pids.filter(marked).collect()
}

#[cfg(test)]
#[path = "stop_tests.rs"]
mod tests;
