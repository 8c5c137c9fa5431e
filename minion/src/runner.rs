//! External commands: a small process per command, the runner, that outlives a killed minion.
//!
//! The minion makes a directory with the spec ([`Runner::launch`]) and starts its own binary again as
//! `minion runner --dir DIR`. That process ([`runner_main`]) owns the command, and writes how it ended to the
//! directory before it goes. A minion that was restarted finds the run again by its token ([`Runner::probe`]).
//!
//! How each side knows of the other, without process ids (which are reused) and without polling: the runner holds the
//! write end of the FIFO `life` as long as it lives, so the kernel itself tells every waiting minion of its death, as
//! an end of file. That takes one descriptor per run and no thread, and it works whoever the runner's parent is. The
//! runner reads the FIFO `control`, where a byte asks it to kill the command, or to send it a signal. The file `claim.json` can be made only
//! once: by the runner before it starts anything, or by a minion, which then knows that nothing will ever be started.
//!
//! What is journaled, and when a run's directory may go, is the session's business.

mod capture;
mod child;
mod launch;
mod process;
mod spec;
mod survey;
mod verdict;
mod watch;

pub use launch::Runner;
pub use process::runner_main;
pub use spec::{CommandSpec, Request, RunToken, Shape};
pub use verdict::Probe;

/// A run that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunHandle {
    /// Its name.
    pub token: RunToken,
    /// The runner's process id, for people; 0 if it could not be read. Nothing is ever signalled by it.
    pub pid: u32,
}
