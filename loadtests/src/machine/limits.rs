//! What bounds the size of a run on this machine, said before anything is started.

use std::path::Path;

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::field;

/// Descriptors of a process that are no links: its log, store, listeners, runtime. Generous.
const OWN_DESCRIPTORS: u64 = 128;
/// Memory of one simulated minion, its processes and the kernel's sockets at both ends together, in KiB. Measured 74 at
/// the minion and 54 at the syndic for the TLS link; the rest is sessions, and room.
pub const FABRIC_KIB: u64 = 200;
/// Memory of one leaf of the bare TCP floor, in KiB.
pub const FLOOR_KIB: u64 = 20;
/// Memory of one leaf of the floor of gRPC and TLS, in KiB.
pub const GRPC_KIB: u64 = 160;
/// Memory of one process besides, in KiB.
const MEMORY_PER_PROCESS_KIB: u64 = 24 << 10;
/// Processes besides the syndics, about: a top master, swarms, a floor's top and leaves.
const OTHER_PROCESSES: u64 = 4;
/// Largest number of links a syndic accepts.
const MAX_LINKS: u64 = relay_runtime::link::accept::MAX_LINKS as u64;

/// A size that does not fit this machine, or that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error(
    "{asked} {what} do not fit this machine: the largest number that does is {largest} ({bound}){advice}"
)]
pub struct TooLarge {
    /// How many were asked for.
    pub asked: u64,
    /// Of what.
    pub what: String,
    /// How many fit.
    pub largest: u64,
    /// What it is that bounds them.
    pub bound: &'static str,
    /// What else can be done; begins with `; `.
    pub advice: &'static str,
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
        let memory_kib = field("/proc/meminfo", "MemAvailable:")?.min(group_kib());
        Ok(Limits { descriptors: hard, memory_kib, ports: local_ports()? })
    }

    /// Checks so many simulated minions below so many syndics, each of which takes so much memory with all that stands
    /// for it ([`FABRIC_KIB`] and others). The processes of a swarm need no check: they are cut to fit.
    ///
    /// # Errors
    /// [`TooLarge`], with the largest size that fits.
    pub fn swarm(&self, minions: u32, syndics: u32, each_kib: u64) -> Result<(), TooLarge> {
        let syndics = u64::from(syndics.max(1));
        let memory = self.memory_kib.saturating_sub(2 * (syndics + OTHER_PROCESSES) * MEMORY_PER_PROCESS_KIB);
        let bounds = [
            (self.links() * syndics, "descriptors of a syndic", MORE_SYNDICS),
            (MAX_LINKS * syndics, "links that a syndic accepts", MORE_SYNDICS),
            (self.ports * syndics, "local ports to one syndic", MORE_SYNDICS),
            (memory / each_kib.max(1), "memory", FEWER),
        ];
        tightest(minions, &format!("minions below {syndics} syndics"), &bounds)
    }

    /// Checks so many things in memory, so many KiB each, besides nothing else.
    ///
    /// # Errors
    /// [`TooLarge`], with the largest number that fits.
    pub fn memory(&self, asked: u32, what: &str, each_kib: u64) -> Result<(), TooLarge> {
        tightest(asked, what, &[(self.memory_kib / each_kib.max(1), "memory", FEWER)])
    }

    /// Checks so many connections to one server that is none of ours, and so has no limit of its own.
    ///
    /// # Errors
    /// [`TooLarge`], with the largest number that fits.
    pub fn one_server(&self, asked: u32, what: &str) -> Result<(), TooLarge> {
        let bounds = [
            (self.links(), "descriptors of a server", FEWER),
            (self.ports, "local ports to one server", FEWER),
        ];
        tightest(asked, what, &bounds)
    }

    /// Checks so many processes of so many KiB each, and so many descriptors of the one that starts them.
    ///
    /// # Errors
    /// [`TooLarge`], with the largest number that fits.
    pub fn processes(&self, asked: u32, what: &str, each_kib: u64) -> Result<(), TooLarge> {
        let bounds = [
            (self.memory_kib / each_kib.max(1), "memory", FEWER),
            (self.links() / DESCRIPTORS_PER_CHILD, "descriptors", FEWER),
        ];
        tightest(asked, what, &bounds)
    }

    /// How many connections one process may hold.
    pub fn links_per_process(&self) -> u32 {
        u32::try_from(self.links()).unwrap_or(u32::MAX).max(1)
    }

    fn links(&self) -> u64 {
        self.descriptors.saturating_sub(OWN_DESCRIPTORS)
    }
}

/// Descriptors that the starter of a process holds for it: pipes and a log.
const DESCRIPTORS_PER_CHILD: u64 = 4;
const MORE_SYNDICS: &str = "; ask for fewer minions, or more syndics";
const FEWER: &str = "; ask for fewer";

fn tightest(asked: u32, what: &str, bounds: &[(u64, &'static str, &'static str)]) -> Result<(), TooLarge> {
    let asked = u64::from(asked);
    match bounds.iter().min_by_key(|(largest, ..)| *largest) {
        Some((largest, bound, advice)) if *largest < asked => {
            Err(TooLarge { asked, what: what.into(), largest: *largest, bound, advice })
        }
        _ => Ok(()),
    }
}

/// What the control groups of this process leave of their memory (cgroup v2): a container has less than its machine. No limit where
/// there are none.
fn group_kib() -> u64 {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return u64::MAX };
    let root = Path::new("/sys/fs/cgroup");
    let left = root.join(own).ancestors().filter(|dir| dir.starts_with(root)).filter_map(left_kib).min();
    left.unwrap_or(u64::MAX)
}

/// Of one control group; none if it has no limit.
fn left_kib(group: &Path) -> Option<u64> {
    let bytes = |file| std::fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    Some(bytes("memory.max")?.saturating_sub(bytes("memory.current")?) / 1024)
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

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Limits = Limits { descriptors: 20_000, memory_kib: 23 << 20, ports: 28_232 };

    #[test]
    fn the_tightest_bound_says_the_largest_size() {
        assert!(MACHINE.swarm(5_000, 8, FABRIC_KIB).is_ok());
        assert!(MACHINE.swarm(16_000, 1, FABRIC_KIB).is_ok());
        let told = MACHINE.swarm(16_001, 1, FABRIC_KIB).unwrap_err().to_string();
        assert!(told.contains("is 16000 (links that a syndic accepts)"), "{told}");
        let few = Limits { descriptors: 1_024, ..MACHINE };
        let told = few.swarm(5_000, 2, FABRIC_KIB).unwrap_err().to_string();
        assert!(told.contains("is 1792 (descriptors of a syndic)"), "{told}");
        let small = Limits { memory_kib: 1 << 20, ..MACHINE };
        let told = small.swarm(5_000, 8, FABRIC_KIB).unwrap_err().to_string();
        assert!(told.contains("(memory)"), "{told}");
    }

    #[test]
    fn a_control_group_leaves_what_it_has_not_used() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(left_kib(dir.path()), None);
        std::fs::write(dir.path().join("memory.current"), "1048576\n").unwrap();
        std::fs::write(dir.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(left_kib(dir.path()), None, "no limit");
        std::fs::write(dir.path().join("memory.max"), "3145728\n").unwrap();
        assert_eq!(left_kib(dir.path()), Some(2_048));
        std::fs::write(dir.path().join("memory.max"), "1\n").unwrap();
        assert_eq!(left_kib(dir.path()), Some(0), "over it");
    }

    #[test]
    fn one_server_has_the_ports_to_one_address() {
        assert!(MACHINE.one_server(19_000, "responders").is_ok());
        let many = Limits { descriptors: 100_000, ..MACHINE };
        assert_eq!(many.one_server(40_000, "responders").unwrap_err().largest, 28_232);
    }

    #[test]
    fn processes_and_things_in_memory_are_bounded_too() {
        assert!(MACHINE.memory(1_000_000, "targets", 1).is_ok());
        assert_eq!(MACHINE.memory(100_000_000, "targets", 1).unwrap_err().largest, 23 << 20);
        let few = Limits { descriptors: 528, ..MACHINE };
        assert_eq!(few.processes(101, "minion processes", 12 << 10).unwrap_err().largest, 100);
    }
}
