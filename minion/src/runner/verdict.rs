//! What became of a run: read from its directory, and proven from /proc where the directory does not say.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::fcntl::OFlag;
use relay_core::outcome::{Answer, Reason};

use super::{
    RunHandle, RunToken,
    spec::{Claim, EndFile, LIFE, SpecFile},
    survey,
};

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It ended, and this is how.
    Ended(Answer),
    /// Something of it lives, or may: wait for it.
    Running(RunHandle),
    /// It left no end, and it is proven that nothing of it lives or will ever start: `ProcessDied` or `Rebooted`.
    Gone(Reason),
}

/// The boot that this is; empty if the kernel does not say, which then proves nothing.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_string()).unwrap_or_default()
}

/// Finds out. Blocks: it reads files, and may have to wait for what it kills.
pub(super) fn probe(dir: &Path, token: RunToken) -> Probe {
    if let Some(answer) = end(dir, token) {
        return Probe::Ended(answer);
    }
    if was_rebooted(dir, token) {
        return Probe::Gone(Reason::Rebooted);
    }
    // First the claim, then the look at the runner's life: a runner is alive before it claims the start. So when the
    // claim is taken and no runner lives, it has died; and when the claim falls to us, none will ever start anything.
    let claimed = rule_out(dir);
    let claim = Claim::read(dir).ok();
    let running =
        Probe::Running(RunHandle { token, pid: claim.as_ref().and_then(|c| c.runner).unwrap_or(0) });
    if let Err(e) = claimed {
        tracing::error!(run = %token, error = %e, "cannot rule out the start of a run; will be tried again");
        return running;
    }
    if lives(dir) {
        return running;
    }
    // It may have ended between the two looks.
    if let Some(answer) = end(dir, token) {
        return Probe::Ended(answer);
    }
    match survey::sweep(token, claim.as_ref()) {
        true => Probe::Gone(Reason::ProcessDied),
        false => running,
    }
}

fn end(dir: &Path, token: RunToken) -> Option<Answer> {
    match EndFile::read(dir, token) {
        Ok(answer) => Some(answer),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => {
            tracing::warn!(run = %token, error = %e, "the end of a run cannot be used; going on as if it were not there");
            None
        }
    }
}

fn was_rebooted(dir: &Path, token: RunToken) -> bool {
    let now = boot_id();
    match SpecFile::read(dir) {
        Ok(spec) => spec.token == token && !now.is_empty() && !spec.boot_id.is_empty() && spec.boot_id != now,
        Err(e) => {
            tracing::warn!(run = %token, error = %e, "the spec of a run cannot be read, so its boot is unknown");
            false
        }
    }
}

/// Makes sure that the claim is made, by whomever. Without a directory there is nobody who could make it.
fn rule_out(dir: &Path) -> io::Result<()> {
    match Claim::new(None, 0).make(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && !dir.exists() => Ok(()),
        other => other.map(drop),
    }
}

/// Whether a runner holds the FIFO.
pub(super) fn lives(dir: &Path) -> bool {
    open_life(dir).is_some()
}

/// The FIFO of a living runner, read up to where it would block; none if nobody holds it: reading then ends at once.
pub(super) fn open_life(dir: &Path) -> Option<File> {
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let mut fifo = OpenOptions::new().read(true).custom_flags(nonblocking).open(dir.join(LIFE)).ok()?;
    let mut bytes = [0; 16];
    loop {
        match fifo.read(&mut bytes) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(e) => return (e.kind() == io::ErrorKind::WouldBlock).then_some(fifo),
        }
    }
}
