//! What this machine gives and what processes take: descriptors, memory, ports, `/proc`.

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors of a process that are no links: its log, store, listeners, runtime. Generous.
const OWN_DESCRIPTORS: u64 = 128;
/// Memory of one simulated minion, all processes and the kernel's sockets of both trees together, in KiB. Measured 74 at
/// the minion and 54 at the syndic for the TLS link; the rest is sessions, the floor's two sockets, and room.
const MEMORY_PER_MINION_KIB: u64 = 220;
/// Memory of one process besides, in KiB.
const MEMORY_PER_PROCESS_KIB: u64 = 24 << 10;
/// Largest number of links a syndic accepts.
const MAX_LINKS: u64 = relay_runtime::link::accept::MAX_LINKS as u64;
/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ`, 100 on every architecture we build for.
const TICKS_PER_SECOND: u64 = 100;

/// A size that does not fit this machine.
#[derive(Debug, thiserror::Error)]
#[error(
    "{asked} minions below {syndics} syndics do not fit this machine: the largest number that does is {largest} ({bound}); ask for fewer minions{more}"
)]
pub struct TooLarge {
    asked: u64,
    syndics: u64,
    largest: u64,
    bound: &'static str,
    more: &'static str,
}

/// What bounds the size of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Descriptors of one process.
    pub descriptors: u64,
    /// Memory that can be had, in KiB.
    pub memory_kib: u64,
    /// Local ports: connections from here to one address.
    pub ports: u64,
}

impl Limits {
    /// What this machine gives now. Raises the soft limit of descriptors to the hard one, for this process and all that
    /// it starts.
    ///
    /// # Errors
    /// `/proc` or the limits cannot be read.
    pub fn take() -> anyhow::Result<Limits> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("limit of descriptors")?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("limit of descriptors")?;
        let memory_kib = field("/proc/meminfo", "MemAvailable:")?;
        Ok(Limits { descriptors: hard, memory_kib, ports: local_ports()? })
    }

    /// Checks a size before anything is started. The swarms need no check: they are cut to fit.
    ///
    /// # Errors
    /// [`TooLarge`], with the largest size that fits.
    pub fn check(&self, minions: u32, syndics: u32) -> Result<(), TooLarge> {
        let (asked, syndics) = (u64::from(minions), u64::from(syndics));
        let per_syndic = [
            (self.descriptors.saturating_sub(OWN_DESCRIPTORS), "descriptors of a syndic"),
            (MAX_LINKS, "links that a syndic accepts"),
            (self.ports, "local ports to one syndic"),
        ];
        let memory = self.memory_kib.saturating_sub(2 * (syndics + 4) * MEMORY_PER_PROCESS_KIB);
        let bounds = per_syndic
            .map(|(links, what)| (links * syndics, what, ", or more syndics"))
            .into_iter()
            .chain([(memory / MEMORY_PER_MINION_KIB, "memory", "")]);
        let tightest = bounds.min_by_key(|(largest, ..)| *largest);
        match tightest {
            Some((largest, bound, more)) if largest < asked => {
                Err(TooLarge { asked, syndics, largest, bound, more })
            }
            _ => Ok(()),
        }
    }

    /// How many connections one process of a swarm may hold.
    pub fn links_per_process(&self) -> u32 {
        u32::try_from(self.descriptors.saturating_sub(OWN_DESCRIPTORS)).unwrap_or(u32::MAX).max(1)
    }
}

fn local_ports() -> anyhow::Result<u64> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    let text = std::fs::read_to_string(path).context(path)?;
    let mut ends = text.split_whitespace().map(str::parse::<u64>);
    match (ends.next(), ends.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Ok(high.saturating_sub(low) + 1),
        _ => anyhow::bail!("{path}: {text:?} is no range of ports"),
    }
}

/// Resident memory of a process (`VmRSS`), in KiB.
///
/// # Errors
/// It is gone.
pub fn rss_kib(pid: u32) -> anyhow::Result<u64> {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Processor time of a process so far, user and system, in milliseconds; steps of 10.
///
/// # Errors
/// It is gone.
pub fn cpu_ms(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    ticks(&text).map(|ticks| ticks * 1000 / TICKS_PER_SECOND).with_context(|| format!("{path}: {text:?}"))
}

/// Fields 14 and 15. The name in field 2 may hold spaces and parentheses; nothing after it does.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
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

    const MACHINE: Limits = Limits { descriptors: 20_000, memory_kib: 23 << 20, ports: 28_232 };

    #[test]
    fn the_tightest_bound_says_the_largest_size() {
        assert!(MACHINE.check(5_000, 8).is_ok());
        assert!(MACHINE.check(16_000, 1).is_ok());
        let told = MACHINE.check(16_001, 1).unwrap_err().to_string();
        assert!(told.contains("is 16000 (links that a syndic accepts)"), "{told}");
        let told = Limits { descriptors: 1_024, ..MACHINE }.check(5_000, 2).unwrap_err().to_string();
        assert!(told.contains("is 1792 (descriptors of a syndic)"), "{told}");
        let told = Limits { memory_kib: 1 << 20, ..MACHINE }.check(5_000, 8).unwrap_err().to_string();
        assert!(told.contains("(memory)"), "{told}");
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194560 10 0 0 0 123 45 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(168));
        assert_eq!(ticks("77 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_a_clock() {
        let pid = std::process::id();
        assert!(rss_kib(pid).unwrap() > 100);
        cpu_ms(pid).unwrap();
    }
}
