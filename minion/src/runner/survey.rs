//! What lives on this machine, read from /proc: the proof behind `timed_out` and `interrupted`.

use std::{
    fs::{self, File},
    io::{self, Read},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::spec::{Claim, RunToken};

/// The environment variable by which every process of a run is known.
pub(super) const MARKER: &str = "RELAY_RUN";
/// Most that is read of a process's environment, in bytes: Linux gives arguments and environment 6 MiB together.
const MAX_ENVIRON_BYTES: u64 = 6 << 20;
/// How long left-over processes are killed and waited for before they count as still running. SIGKILL needs
/// milliseconds; a process stuck in the kernel may need any time, and is asked for again later.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks at what was killed.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// One living process, as its `stat` file says.
struct Process {
    pid: i32,
    group: i32,
    session: i32,
    start: u64,
}

/// Every process but the dead ones that nobody has collected yet.
fn processes() -> io::Result<impl Iterator<Item = Process>> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(process))
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets too: the fields count from the last one.
    let after_name = stat.iter().rposition(|b| *b == b')')? + 1;
    let fields: Vec<&str> = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    let number = |i: usize| fields.get(i)?.parse().ok();
    Some(Process { pid, group: number(2)?, session: number(3)?, start: fields.get(19)?.parse().ok()? })
}

/// When a living process started, in clock ticks since boot.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    process(pid.try_into().ok()?).map(|p| p.start)
}

/// Whether anything in a process group lives. Says so too when /proc cannot be read: no proof is no proof.
pub(super) fn group_lives(group: Pid) -> bool {
    processes().map_or(true, |mut all| all.any(|p| p.group == group.as_raw()))
}

/// Kills what is left of a run whose runner is dead, and says whether all of it was seen dead.
pub(super) fn sweep(token: RunToken, claim: Option<&Claim>) -> bool {
    let began = Instant::now();
    loop {
        match left_over(token, claim) {
            Ok(left) if left.is_empty() => return true,
            Ok(left) => left.into_iter().filter(|l| l.marked).for_each(|l| {
                // Its environment was read a moment ago, so the id is still its own. A refusal shows in the next look.
                let _ = kill(Pid::from_raw(l.pid), Signal::SIGKILL);
            }),
            Err(e) => {
                tracing::error!(run = %token, error = %e, "cannot read /proc, so nothing is known to be dead")
            }
        }
        if began.elapsed() > SWEEP_LIMIT {
            return false;
        }
        thread::sleep(SWEEP_PAUSE);
    }
}

struct LeftOver {
    pid: i32,
    /// Has the run's mark: it is ours for sure.
    marked: bool,
}

/// What lives of a run: whatever has its mark; and what is in the runner's session and does not show its
/// environment (it changed user, or overwrote it). The latter is never killed: it is ours most probably, not surely.
fn left_over(token: RunToken, claim: Option<&Claim>) -> io::Result<Vec<LeftOver>> {
    let mark = format!("{MARKER}={token}");
    let session = claim.and_then(session_of);
    let own = std::process::id() as i32;
    let left = processes()?.filter(|p| p.pid != own).filter_map(|p| {
        let marked = has_mark(p.pid, mark.as_bytes());
        let counts = marked || session.is_some_and(|(id, start)| p.session == id && p.start >= start);
        counts.then_some(LeftOver { pid: p.pid, marked })
    });
    Ok(left.collect())
}

/// The session of a claim's runner, if its id is not in use by a later process: then the kernel has given the id away,
/// which it does only when nothing of the session is left.
fn session_of(claim: &Claim) -> Option<(i32, u64)> {
    let pid = claim.runner?;
    let reused = start_of(pid).is_some_and(|start| start != claim.started);
    (!reused).then_some((pid.try_into().ok()?, claim.started))
}

fn has_mark(pid: i32, mark: &[u8]) -> bool {
    let mut environ = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ"))
        .and_then(|file| file.take(MAX_ENVIRON_BYTES).read_to_end(&mut environ));
    read.is_ok() && environ.split(|b| *b == 0).any(|entry| entry == mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn what_is_marked_is_killed_and_nothing_else() {
        let (ours, other) = (RunToken::random(), RunToken::random());
        let sleeper = |token: RunToken| {
            Command::new("sleep")
                .arg("600")
                .env(MARKER, token.to_string())
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        };
        let (mut victim, mut bystander) = (sleeper(ours), sleeper(other));
        assert!(sweep(ours, None));
        assert!(!victim.wait().unwrap().success());
        assert!(bystander.try_wait().unwrap().is_none(), "the bystander was killed too");
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    #[test]
    fn this_process_lives_and_has_a_start() {
        let own = std::process::id();
        assert!(start_of(own).is_some_and(|start| start > 0));
        assert!(group_lives(nix::unistd::getpgrp()));
    }
}
