//! The machine that measures: what it is, what it gives ([`limits`]), and what processes take of it (`/proc`).

use std::{path::Path, process::Command, time::Duration};

use anyhow::Context as _;
use nix::{sys::statvfs::statvfs, time::ClockId, unistd::Pid};
use serde::Serialize;

pub mod limits;

pub use limits::{Limits, TooLarge};

/// What the machine is, as far as figures depend on it. Not whose it is: no name, no address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory in all, in MiB.
    pub memory_mib: u64,
    /// Name and version of the kernel.
    pub kernel: String,
    /// Model of the processor.
    pub cpu: String,
    /// The file system of stores, spools and journals: an fsync on `tmpfs` costs nothing and says nothing.
    pub disk: String,
}

impl Machine {
    /// This one. What cannot be read is empty or 0.
    pub fn this() -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Machine {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: field("/proc/meminfo", "MemTotal:").unwrap_or(0) / 1024,
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            cpu: model.map_or(String::new(), |(_, name)| name.trim().to_owned()),
            disk: filesystem(&read("/proc/self/mounts"), &std::env::temp_dir()).to_owned(),
        }
    }
}

/// Resident memory of a process (`VmRSS`), in KiB.
///
/// # Errors
/// It is gone.
pub fn rss_kib(pid: u32) -> anyhow::Result<u64> {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Processor time of a process so far, user and system, threads that have ended included, in milliseconds.
///
/// # Errors
/// It is gone.
pub fn cpu_ms(pid: u32) -> anyhow::Result<f64> {
    let gone = || format!("process {pid} has no clock");
    let pid = Pid::from_raw(i32::try_from(pid).with_context(gone)?);
    let used = ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now).with_context(gone)?;
    Ok(used.tv_sec() as f64 * 1e3 + used.tv_nsec() as f64 / 1e6)
}

/// Lets a process have only the processor time that nobody else wants (`SCHED_IDLE`), with all threads that it has and will have.
///
/// # Errors
/// It is gone, or there is no `chrt` (Debian's util-linux).
pub fn give_way(pid: u32) -> anyhow::Result<()> {
    let mut chrt = Command::new("chrt");
    chrt.args(["--all-tasks", "--idle", "--pid", "0", &pid.to_string()]);
    let done = chrt.output().context("chrt (util-linux) does not start")?;
    let why = String::from_utf8_lossy(&done.stderr);
    anyhow::ensure!(done.status.success(), "process {pid} keeps its place before others: {}", why.trim());
    Ok(())
}

/// Whether there is what [`give_way`] needs, before anything is started.
///
/// # Errors
/// There is no `chrt`.
pub fn can_give_way() -> anyhow::Result<()> {
    let missing = "chrt does not start: it is in Debian's util-linux, and gives processes idle priority";
    Command::new("chrt").arg("--version").output().context(missing).map(drop)
}

/// Where so many MiB of files can be in memory on this machine, if they can be anywhere: a container's `/dev/shm` has 64.
pub fn in_memory(mib: u64) -> Option<&'static Path> {
    let place = Path::new("/dev/shm");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let free = statvfs(place).map_or(0, |fs| (fs.blocks_available() * fs.fragment_size()) >> 20);
    (filesystem(&mounts, place) == "tmpfs" && free >= mib).then_some(place)
}

/// Writes to the disk what is still on its way there: files of whatever ran before, its removed directories, what was set up. A file
/// system takes some of it along in the fsyncs of others, and seconds later (0.2 s of waiting for a commit of a few bytes was seen).
pub async fn settle() {
    // It has no result; should its thread die, only the figures would tell.
    let _ = tokio::task::spawn_blocking(nix::unistd::sync).await;
}

/// How long one look at the processors takes in [`calm`], and how many there are at most: what a crowd of processes leaves behind
/// is done within half a minute, and a machine that is always busy is measured all the same.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 60;
/// The part of all processors' time that has to be idle for a machine to be calm: 80 salt-minions that do nothing leave more.
const CALM: f64 = 0.7;

/// Waits until the machine has little to do, so that who was measured before costs nothing to who is next. Says whether it had.
///
/// # Errors
/// There is no `/proc/stat`.
pub async fn calm() -> anyhow::Result<bool> {
    let mut before = processors()?;
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK).await;
        let now = processors()?;
        if (now.0 - before.0) >= CALM * (now.1 - before.1) {
            return Ok(true);
        }
        before = now;
    }
    Ok(false)
}

/// The idle time of all processors so far, and all of their time, in the kernel's ticks.
fn processors() -> anyhow::Result<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    ticks(&text).context("/proc/stat: no figures of all processors")
}

/// `cpu USER NICE SYSTEM IDLE IOWAIT …`: the first five and what follows but the guests' time, which is the users' already.
fn ticks(stat: &str) -> Option<(f64, f64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line.split_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((idle, ticks.iter().sum()))
}

/// Highest resident memory that a process ever had (`VmHWM`), in KiB.
///
/// # Errors
/// It is gone.
pub fn peak_kib(pid: u32) -> anyhow::Result<u64> {
    field(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// Resident memory of a process, in KiB: what is its own (`RssAnon`), and what is mapped from files (`RssFile`), which
/// processes of the same binary share.
///
/// # Errors
/// It is gone.
pub fn rss_parts_kib(pid: u32) -> anyhow::Result<(u64, u64)> {
    let path = format!("/proc/{pid}/status");
    Ok((field(&path, "RssAnon:")?, field(&path, "RssFile:")?))
}

/// The type of the file system that a path is on: that of the deepest mount above it, the last one of those at one place.
fn filesystem<'a>(mounts: &'a str, path: &Path) -> &'a str {
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounted.filter(|(at, _)| path.starts_with(at));
    above.max_by_key(|(at, _)| at.len()).map_or("", |(_, kind)| kind)
}

fn field(path: &str, name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse().ok());
    value.with_context(|| format!("{path}: no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_disk_is_idle_time_and_a_guest_s_counts_once() {
        let stat = "cpu  10 1 5 80 4 0 1 2 9 0\ncpu0 10 1 5 80 4 0 1 2 9 0\n";
        assert_eq!(ticks(stat), Some((84.0, 103.0)));
        assert_eq!((ticks("cpu  1 2 3\n"), ticks("intr 5\n")), (None, None));
    }

    #[test]
    fn the_deepest_and_latest_mount_has_the_path() {
        let mounts = "/dev/vda / ext4 rw 0 0\nnone /tmp tmpfs rw 0 0\nnone /tmpfiles xfs rw 0 0\nnone /tmp zfs rw 0 0\n";
        let of = |path: &str| filesystem(mounts, Path::new(path));
        assert_eq!((of("/tmp/a/b"), of("/var/tmp"), of("/tmpfiles"), of("a")), ("zfs", "ext4", "xfs", ""));
    }

    #[test]
    fn this_process_has_memory_and_a_clock_and_a_machine() {
        let pid = std::process::id();
        assert!(rss_kib(pid).unwrap() > 100);
        assert!(cpu_ms(pid).unwrap() > 0.0);
        let machine = Machine::this();
        assert!(machine.cores > 0 && machine.memory_mib > 0, "{machine:?}");
    }
}
