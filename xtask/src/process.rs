//! Starting other programs: what they print passes through line by line, they have a time limit, and they are ended
//! when this program is asked to stop.
//!
//! Which programs, and what their words mean, is each caller's.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::stop;

/// Lines read and not printed yet: a child that prints faster than a terminal shows waits in its pipe.
const LINES: usize = 1_024;
/// How often the stop flag and the time are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// After a child's end its output must end too; what holds it open longer was left running.
const LEFTOVER: Duration = Duration::from_secs(5);
/// From asking a program to stop to killing it: `relayctl dev up` needs up to 20 s to stop what it started.
const STOP_TIME: Duration = Duration::from_secs(25);

/// Who gets the terminal's Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// A process group of its own: this program ends all of it, grandchildren too, when the time is up.
    Own,
    /// With this program: it talks to the person at the terminal and sees Ctrl-C itself.
    Shared,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    name: String,
    /// Its status.
    pub status: ExitStatus,
    /// Its exit code; 255 if a signal ended it.
    pub code: i32,
}

impl Ended {
    /// Makes anything but exit code 0 an error.
    pub fn ok(&self) -> anyhow::Result<()> {
        if self.status.success() { Ok(()) } else { bail!("{}: ended with {}", self.name, self.status) }
    }
}

/// The command line as one would type it.
pub fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs a program to its end. Every line of its standard output goes to `line`; standard error stays as it is.
///
/// # Errors
/// It cannot be started, takes longer than `limit`, leaves something running, or we are asked to stop.
pub fn run(
    command: &mut Command,
    group: Group,
    limit: Duration,
    mut line: impl FnMut(&str),
) -> anyhow::Result<Ended> {
    let name = typed(command);
    if group == Group::Own {
        command.process_group(0);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{name}: cannot be started"))?;
    let lines = read(child.stdout.take());
    let watched = watch(&mut child, &lines, limit, &mut line);
    if watched.is_err() {
        end(&mut child, group);
    }
    let status = watched.with_context(|| name.clone())?;
    Ok(Ended { name, status, code: status.code().unwrap_or(255) })
}

/// Reads in a thread of its own, so that silence can be timed.
fn read(stdout: Option<ChildStdout>) -> Receiver<String> {
    let (lines, received) = sync_channel(LINES);
    if let Some(stdout) = stdout {
        thread::spawn(move || {
            for bytes in BufReader::new(stdout).split(b'\n') {
                let Ok(bytes) = bytes else { return };
                if lines.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
                    return;
                }
            }
        });
    }
    received
}

fn watch(
    child: &mut Child,
    lines: &Receiver<String>,
    limit: Duration,
    line: &mut impl FnMut(&str),
) -> anyhow::Result<ExitStatus> {
    let begun = Instant::now();
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(text) => line(&text),
            Err(RecvTimeoutError::Timeout) => {}
            // The output is over: all that is left is the end itself.
            Err(RecvTimeoutError::Disconnected) => match child.try_wait()? {
                Some(status) => return Ok(status),
                None => thread::sleep(LOOK),
            },
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        match ended {
            Some((_, at)) if at.elapsed() > LEFTOVER => {
                bail!(
                    "it ended, but something that it started still holds its output: a process was left running"
                )
            }
            _ if stop::asked() => bail!("stopped by a signal"),
            None if begun.elapsed() > limit => bail!("not done after {} s: ended", limit.as_secs()),
            _ => {}
        }
    }
}

/// Ends a child, and in its own group all that it started.
fn end(child: &mut Child, group: Group) {
    // One that shares the terminal has had its SIGINT already; another does no harm, where SIGTERM would end its tidying.
    let ask = if group == Group::Own { Signal::SIGTERM } else { Signal::SIGINT };
    signal(child, group, ask);
    let asked = Instant::now();
    while asked.elapsed() < STOP_TIME && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(LOOK);
    }
    // A group may outlive the child that leads it.
    if group == Group::Own || matches!(child.try_wait(), Ok(None)) {
        signal(child, group, Signal::SIGKILL);
    }
    let _ = child.wait();
}

/// Gone already is as good as signalled.
fn signal(child: &Child, group: Group, signal: Signal) {
    let Ok(pid) = i32::try_from(child.id()) else { return };
    let _ = match group {
        Group::Own => killpg(Pid::from_raw(pid), signal),
        Group::Shared => kill(Pid::from_raw(pid), signal),
    };
}

/// Whether a program of this name is on the path.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| is_program(&dir.join(program)))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_and_exit_code_come_through() {
        let mut lines = Vec::new();
        let ended =
            run(&mut shell("echo one; printf two; exit 3"), Group::Own, LONG, |l| lines.push(l.to_owned()));
        assert_eq!(ended.unwrap().code, 3);
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn a_program_without_end_is_ended_with_all_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // The grandchild holds the FIFO's writing end: reading it ends when the grandchild is dead, and not before.
        let (ended, seen) = sync_channel(1);
        let read = fifo.clone();
        thread::spawn(move || ended.send(std::fs::read(read).is_ok()));
        let script = format!("sleep 600 > {} & wait", fifo.display());
        let error = run(&mut shell(&script), Group::Own, Duration::from_millis(300), |_| {}).unwrap_err();
        assert!(format!("{error:#}").contains("not done after"), "{error:#}");
        assert_eq!(seen.recv_timeout(LONG), Ok(true), "the grandchild lives on");
    }

    #[test]
    fn a_command_is_shown_as_one_types_it() {
        let mut command = Command::new("relayctl");
        command.args(["run", "*", "cmd.run", "echo it's"]);
        assert_eq!(typed(&command), r"relayctl run '*' cmd.run 'echo it'\''s'");
    }
}
