//! The runner itself: a process that starts one command, watches it, and writes how it ended.
//!
//! One thread and one `poll`: no runtime, and no memory beyond what is kept of the output.

use std::{
    fs::{self, DirEntry, File, OpenOptions},
    io::{self, Write},
    os::fd::RawFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::unistd::{close, setsid};
use relay_core::outcome::{Outcome, Reason};

use super::{
    capture::{Capture, Returned, returned},
    child,
    spec::{CONTROL, Claim, CommandSpec, End, EndFile, LIFE, Shape, SpecFile},
    survey,
    watch::{Ending, Watch},
};
use crate::functions::body::GENERIC_FAILURE;

/// Between two tries to write an END. A full disk is freed by people; until then the end is kept here.
const END_RETRY: Duration = Duration::from_secs(2);

/// What `minion runner --dir DIR` does: runs the command that the directory's spec describes. Returns the process's
/// exit code. Must be called first thing in `main`, before
/// anything starts a thread (the command is tied to the life of the calling one) or opens a file (it is closed).
pub fn runner_main(dir: &Path) -> i32 {
    match run(dir) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("minion runner: {}: {e}", dir.display());
            1
        }
    }
}

fn run(dir: &Path) -> io::Result<()> {
    close_inherited();
    // Fails only for the leader of a group, which is then out of the minion's group already.
    let _ = setsid();
    let spec = SpecFile::read(dir)?;
    let mut life = open_fifo(&dir.join(LIFE))?;
    let control = open_fifo(&dir.join(CONTROL))?;
    let own = std::process::id();
    if !Claim::new(Some(own), survey::start_of(own).unwrap_or(0)).make(dir)? {
        return Err(io::Error::other("the start was ruled out by the minion"));
    }
    let watch = Watch::new(control)?;
    life.write_all(b"S")?;
    let end = execute(watch, &spec)?;
    write_end(dir, &spec, end)
}

/// Closes what whoever started the minion left open over exec: a runner may outlive them all, and nobody may wait in
/// vain for the other end of a pipe that only a runner, or a command's background, still holds.
fn close_inherited() {
    let open = |entry: io::Result<DirEntry>| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok();
    let inherited: Vec<RawFd> =
        fs::read_dir("/proc/self/fd").into_iter().flatten().filter_map(open).collect();
    for fd in inherited.into_iter().filter(|fd| *fd > 2) {
        // One of them was the directory just read, which is closed already.
        let _ = close(fd);
    }
}

/// Opens a FIFO for both directions, as Linux allows: never waits for the other side, nor loses it.
fn open_fifo(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(path)
}

fn execute(mut watch: Watch, spec: &SpecFile) -> io::Result<End> {
    let command = &spec.command;
    let began = Instant::now();
    let child = match child::spawn(spec.token, command) {
        Ok(child) => child,
        Err(why) => return Ok(not_run(&why)),
    };
    let pid = child.pid.as_raw() as u32;
    watch.attach(child)?;
    let ending = watch.until_ending(began, command.timeout, command.run_limit)?;
    match ending {
        Ending::Exited => watch.drain()?,
        _ => watch.stop()?,
    }
    Ok(end(command, ending, pid, watch))
}

fn end(command: &CommandSpec, ending: Ending, pid: u32, watch: Watch) -> End {
    let status = match watch.status().unwrap_or(GENERIC_FAILURE) {
        status if command.success_retcodes.contains(&status) => 0,
        status => status,
    };
    let (outcome, reason, retcode) = match ending {
        Ending::Exited if status == 0 || command.ignore_retcode => (Outcome::Ok, Reason::None, 0),
        Ending::Exited => (Outcome::Failed, Reason::None, status),
        Ending::Timeout => (Outcome::Failed, Reason::None, GENERIC_FAILURE),
        Ending::RunLimit => (Outcome::TimedOut, Reason::None, status),
        Ending::Cancelled => (Outcome::Cancelled, Reason::WhileRunning, status),
        Ending::Terminated => (Outcome::Interrupted, Reason::ProcessDied, status),
    };
    let headline = (ending == Ending::Timeout).then(|| timed_out(command));
    let mut captures = watch.into_captures();
    if command.hide_output {
        captures.iter_mut().for_each(|capture| *capture = Capture::default());
    }
    let shown = if ending == Ending::Exited { status } else { retcode };
    let Returned { body, output, truncated } =
        returned(command.shape, &captures, pid, shown, headline.as_deref());
    End { outcome, reason, retcode, output, truncated, body }
}

/// Salt's words.
fn timed_out(command: &CommandSpec) -> String {
    let seconds = command.timeout.unwrap_or_default().as_secs_f64();
    format!("{} : Timed out after {seconds} seconds", command.shown)
}

/// The end of a command that could not be started: the same in both shapes, since there is no process to tell of.
fn not_run(why: &str) -> End {
    let mut capture = Capture::default();
    capture.take(why.as_bytes());
    let Returned { body, output, truncated } = returned(Shape::Text, &[capture], 0, GENERIC_FAILURE, None);
    End { outcome: Outcome::Failed, reason: Reason::None, retcode: GENERIC_FAILURE, output, truncated, body }
}

/// Writes the END, as often as it takes: an end is never dropped. Only if the directory itself is gone does nobody
/// wait for it any more.
fn write_end(dir: &Path, spec: &SpecFile, end: End) -> io::Result<()> {
    let file = EndFile::new(spec.token, spec.command.jid, &end);
    drop(end);
    loop {
        match file.write_durably(dir) {
            Ok(()) => return Ok(()),
            Err(e) if !dir.is_dir() => return Err(e),
            Err(e) => eprintln!("minion runner: {}: cannot write the end, trying again: {e}", dir.display()),
        }
        thread::sleep(END_RETRY);
    }
}
