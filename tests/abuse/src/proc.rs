//! What the system says of a process: its memory, its descriptors, whose it is.

use std::{fs, process::Command};

use nix::unistd::Pid;

/// Bytes of memory that a process has resident.
///
/// # Panics
/// There is no such process.
pub fn resident(pid: Pid) -> u64 {
    1024 * status(pid, "VmRSS")
        .split(' ')
        .next()
        .and_then(|kib| kib.parse::<u64>().ok())
        .expect("VmRSS in KiB")
}

/// A line of `/proc/PID/status`, without its name.
///
/// # Panics
/// There is no such process or no such line.
pub fn status(pid: Pid, line: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that lives");
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {line} of process {pid}")).trim().to_owned()
}

/// How many descriptors it has open.
///
/// # Panics
/// There is no such process, or it is somebody else's.
pub fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours").count()
}

/// Its command line.
///
/// # Panics
/// There is no such process.
pub fn arguments(pid: Pid) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).expect("a process that lives")
}

/// Limits its descriptors from now on (`prlimit` of util-linux, which every Linux has).
///
/// # Panics
/// It cannot be done.
pub fn limit_descriptors(pid: Pid, soft: usize) {
    let limit = format!("--nofile={soft}:");
    let done = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().expect("prlimit");
    assert!(done.success(), "prlimit {limit} of {pid}: {done}");
}
