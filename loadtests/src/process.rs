//! Processes that a scenario starts, and that never outlive it.
//!
//! Dropping kills and reaps: at the end, on an error, on a panic, on a signal. If this process is killed outright, the
//! kernel kills its children (`PR_SET_PDEATHSIG`), so they are started from the main thread only.

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use nix::{
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{getpid, getppid},
};

/// Last lines of a log that an error shows.
const SHOWN_LINES: usize = 15;

/// A process that runs until this is dropped.
#[derive(Debug)]
pub struct Started {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Started {
    /// Starts a command with its standard error in a log file. Standard input and output are the caller's to set.
    ///
    /// # Errors
    /// It cannot be started, or its log not be made.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Started> {
        let file = File::create(log).with_context(|| format!("{}: cannot be made", log.display()))?;
        command.stderr(file);
        tie(&mut command);
        let child =
            command.spawn().with_context(|| format!("{name}: {:?} did not start", command.get_program()))?;
        Ok(Started { name: name.into(), child, log: log.into() })
    }

    /// Starts a daemon: nothing on standard input, nothing wanted from standard output.
    ///
    /// # Errors
    /// As [`Started::spawn`].
    pub fn daemon(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Started> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Started::spawn(name, command, log)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Says whether it still runs.
    ///
    /// # Errors
    /// It has ended: how, and the last lines of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                anyhow::bail!("{} ended in the middle of the run: {status}\n{}", self.name, self.last_lines())
            }
            Err(error) => anyhow::bail!("{}: {error}", self.name),
        }
    }

    /// The end of its log.
    pub fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tie(command: &mut Command) {
    let parent = getpid();
    let before_exec = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH)); // it died before the tie was made
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe functions may run. The closure makes two system calls (prctl
    // and getppid) on a value that was looked up before; it neither allocates nor frees nor takes a lock.
    unsafe { command.pre_exec(before_exec) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_is_gone_and_an_ended_one_is_told_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut sleep = Command::new("sleep");
        sleep.arg("1000");
        let mut started = Started::daemon("sleeper", sleep, &log).unwrap();
        started.check().unwrap();
        let proc = format!("/proc/{}", started.pid());
        drop(started);
        assert!(!Path::new(&proc).exists());

        let mut shell = Command::new("sh");
        shell.args(["-c", "echo no disk >&2; exit 4"]);
        let mut started = Started::daemon("failing", shell, &log).unwrap();
        started.child().wait().unwrap();
        let told = started.check().unwrap_err().to_string();
        assert!(told.contains("failing") && told.contains("no disk") && told.contains('4'), "{told}");
    }
}
