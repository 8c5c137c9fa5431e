//! Ctrl-C: remembered, not died of, so that whatever was started is stopped before this program goes.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Set by the handler. A signal handler gets no argument of ours and may do next to nothing: a flag it is.
static ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn remember(_signal: nix::libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

/// Catches SIGINT, SIGTERM and SIGHUP. Children get the default back when they start their own program.
pub fn install() -> anyhow::Result<()> {
    let action = SigAction::new(SigHandler::Handler(remember), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler stores to an atomic and does nothing else, which is safe in a signal handler.
        unsafe { sigaction(signal, &action) }.with_context(|| format!("{signal} cannot be caught"))?;
    }
    Ok(())
}

/// Whether somebody asked this program to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
