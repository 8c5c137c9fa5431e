//! What every daemon starts with: logs, signals, the admin address, the clock; and how it ends.

use std::{
    fs::DirBuilder,
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
    stat::{Mode, umask},
};
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    admin::{self, AdminParts, Health, Readiness},
    clock::Clock,
    config::LogConfig,
    shutdown::{Role, Shutdown},
    telemetry,
};

/// Without a beat of its main loop for this long a process counts as stuck, in milliseconds.
const STUCK_AFTER: u64 = 10_000;
/// Below this a syndic of ordinary size runs out of descriptors.
const FEW_DESCRIPTORS: u64 = 4_096;
/// Connections that may wait in the kernel to be accepted, where `net.core.somaxconn` allows it (4,096 is its default since Linux
/// 5.4). With the 128 that libraries ask for, a site whose machines all come back at once overflows it, and who is dropped there tries
/// again 200 ms later at the soonest: a fifth of an attach storm was waiting for that.
const BACKLOG: u32 = 4_096;
/// Permission bits that what is private may not have: anything for group or others.
const FOREIGN_BITS: u32 = 0o077;
/// How long a process may take to stop; what is durable needs none of it.
const STOP_TIME: Duration = Duration::from_secs(5);

/// A daemon's frame.
pub struct Process {
    /// Signals and tasks.
    pub shutdown: Shutdown,
    /// The clock everything reads.
    pub clock: Clock,
    /// Beaten by the main loop.
    pub health: Health,
    /// Told when the daemon can do its work.
    pub ready: Readiness,
}

/// Why a daemon could not begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Logs or metrics.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// A port that cannot be bound.
    #[error("{what} {address}: {error}; stop what uses it, or configure another address")]
    Bind {
        /// Whose port.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// Signals.
    #[error("signals: {0}")]
    Signals(std::io::Error),
}

/// Binds a port.
///
/// # Errors
/// In use, or not ours.
pub async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, BeginError> {
    listen(address).map_err(|error| BeginError::Bind { what, address, error })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As every server does: the connections of the process before may still be in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Makes a directory that only its owner can read, or takes one that is so.
///
/// # Errors
/// What the system says; or that others may look into what is there, with what to do.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mode = std::fs::metadata(dir)?.mode();
    if mode & FOREIGN_BITS == 0 {
        return Ok(());
    }
    let (mode, dir) = (mode & 0o7777, dir.display());
    Err(io::Error::other(format!(
        "its mode is {mode:04o}, so others than its owner can look into it: run chmod 700 {dir} (and think about who has read \
         it already)"
    )))
}

/// What a process has in its memory, keys among it, is written nowhere when it dies; and what a top master or a syndic writes
/// is for nobody else. A minion's mask stays: commands inherit it, and each of its files says its own mode.
fn keep_to_itself(role: &str) {
    if let Err(error) = prctl::set_dumpable(false) {
        tracing::warn!(%error, "a core dump of this process may be written");
    }
    if role != "minion" {
        umask(Mode::from_bits_truncate(FOREIGN_BITS));
    }
}

/// A link is a descriptor: takes as many as the system lets this process have (1,024 are what it starts with).
fn raise_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(limit) if limit < FEW_DESCRIPTORS => {
            tracing::warn!(limit, "few descriptors: raise LimitNOFILE for more links than that");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of descriptors stays as it is"),
    }
}

impl Process {
    /// Sets up logs and signals, and serves the admin address if there is one.
    ///
    /// # Errors
    /// See [`BeginError`]; nothing was started then.
    pub async fn begin(
        role: &'static str,
        id: &str,
        log: &LogConfig,
        admin: Option<SocketAddr>,
        not_ready: &'static str,
    ) -> Result<Process, BeginError> {
        telemetry::init_logging(log.level.word(), log.format, role, id)?;
        raise_descriptors();
        keep_to_itself(role);
        let clock = Clock::start();
        let health = Health::new(clock.now(), STUCK_AFTER);
        let ready = Readiness::not_yet(not_ready);
        let shutdown = Shutdown::install().map_err(BeginError::Signals)?;
        let process = Process { shutdown, clock, health, ready };
        if let Some(address) = admin {
            process.serve_admin(bind("admin", address).await?)?;
        }
        Ok(process)
    }

    fn serve_admin(&self, listener: TcpListener) -> Result<(), BeginError> {
        let metrics = telemetry::install_metrics()?;
        let (clock, token) = (self.clock, self.shutdown.token.clone());
        let parts = AdminParts {
            metrics: metrics.clone(),
            health: self.health.clone(),
            readiness: self.ready.clone(),
            clock: Arc::new(move || clock.now()),
        };
        let upkeep = telemetry::run_upkeep(metrics, token.clone());
        self.shutdown.spawn_named("metrics upkeep", Role::Passing, upkeep);
        self.shutdown.spawn_named("admin", Role::Vital, async move {
            if let Err(error) = admin::serve(listener, parts, token).await {
                tracing::error!(%error, "the admin address is not served");
            }
        });
        Ok(())
    }

    /// Ends the process after its main loop came back. If nobody asked for a stop, that was a death.
    ///
    /// # Errors
    /// What died.
    pub async fn after_loop(self) -> Result<(), String> {
        if self.shutdown.token.is_cancelled() {
            return self.until_stopped().await;
        }
        tracing::error!("the main loop ended by itself: stopping");
        self.shutdown.token.cancel();
        let _ = self.until_stopped().await;
        Err("the main loop ended by itself: a thread it needs has died (see the log)".into())
    }

    /// Waits for the end, and ends.
    ///
    /// # Errors
    /// The task whose death stopped the process.
    pub async fn until_stopped(self) -> Result<(), String> {
        self.shutdown.token.cancelled().await;
        tracing::info!("stopping");
        let finished = self.shutdown.finish(STOP_TIME).await;
        finished.died.map_or(Ok(()), |died| Err(format!("stopped by the death of a task: {died}")))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_directory_that_others_can_look_into_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/state");
        private_dir(&dir).unwrap();
        private_dir(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
        for mode in [0o755, 0o750, 0o701, 0o710] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            let refused = private_dir(&dir).unwrap_err().to_string();
            assert!(refused.contains(&format!("{mode:04o}")) && refused.contains("chmod 700"), "{refused}");
        }
    }
}
