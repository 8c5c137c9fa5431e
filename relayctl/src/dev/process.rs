//! Starting a detached process, and knowing it again later: by its id, the moment it started and the boot it belongs
//! to, so that a signal never reaches a stranger who got the id later.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// A process, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    start: u64,
    /// The boot during which it runs.
    boot: String,
}

impl ProcessId {
    /// The process that has an id now.
    ///
    /// # Errors
    /// There is none, or /proc cannot be read.
    pub fn of(pid: u32) -> anyhow::Result<ProcessId> {
        let start = start_of(pid).with_context(|| format!("process {pid} is not in /proc"))?;
        let boot = boot().context("cannot read /proc/sys/kernel/random/boot_id")?;
        Ok(ProcessId { pid, start, boot })
    }

    /// Whether it lives. One that has ended and that nobody has collected yet does not.
    pub fn lives(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot) && start_of(self.pid) == Some(self.start)
    }

    /// Sends it a signal, if it lives.
    ///
    /// # Errors
    /// The system refuses (it runs as another user).
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        if !self.lives() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid as i32), signal) {
            Err(Errno::ESRCH) => Ok(()),
            other => other,
        }
    }
}

/// Starts a process that goes on when this one ends or its terminal is interrupted. Its output goes to a log file.
///
/// # Errors
/// The log cannot be opened or the program not be started.
pub fn start(program: &Path, arguments: &[String], log: &Path) -> anyhow::Result<Child> {
    let open = || OpenOptions::new().create(true).append(true).open(log);
    let file = open().with_context(|| log.display().to_string())?;
    let errors = file.try_clone().with_context(|| log.display().to_string())?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(file).stderr(errors);
    // A group of its own: Ctrl-C and the end of the terminal are not meant for it.
    command.process_group(0);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

fn boot() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

/// When a living process started, in clock ticks since boot.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets too: the fields count from the last one.
    let after_name = stat.iter().rposition(|b| *b == b')')? + 1;
    let fields: Vec<&str> = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace().collect();
    match *fields.first()? {
        "Z" | "X" => None,
        _ => fields.get(19)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(dir: &Path) -> Child {
        start(Path::new("sleep"), &["600".into()], &dir.join("log")).unwrap()
    }

    #[test]
    fn a_process_is_known_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = sleeper(dir.path());
        let id = ProcessId::of(child.id()).unwrap();
        assert!(id.lives());
        id.signal(Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(!id.lives());
        // Nobody has the id now, or a stranger has; neither is signalled.
        id.signal(Signal::SIGKILL).unwrap();
    }

    #[test]
    fn a_dead_one_that_nobody_collected_does_not_live() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = start(Path::new("true"), &[], &dir.path().join("log")).unwrap();
        let pid = child.id();
        // Waits for the end without collecting it.
        nix::sys::wait::waitid(
            nix::sys::wait::Id::Pid(Pid::from_raw(pid as i32)),
            nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT,
        )
        .unwrap();
        assert!(ProcessId::of(pid).is_err());
        child.wait().unwrap();
    }

    #[test]
    fn a_stranger_with_the_same_id_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = sleeper(dir.path());
        let real = ProcessId::of(child.id()).unwrap();
        for stale in [
            ProcessId { start: real.start + 1, ..real.clone() },
            ProcessId { boot: "x".into(), ..real.clone() },
        ] {
            stale.signal(Signal::SIGKILL).unwrap();
            assert!(!stale.lives());
        }
        assert!(real.lives());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_missing_program_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let told = start(Path::new("/nowhere/minion"), &[], &dir.path().join("log")).unwrap_err();
        assert!(format!("{told:#}").contains("/nowhere/minion"));
    }
}
