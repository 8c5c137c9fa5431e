//! An etcd and a PostgreSQL of the demo's own: from the system's programs, in a directory that goes with them, and never a
//! service of the system.
//!
//! They end with this program, whatever ends it.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::Pid,
};

use crate::{process, stop};

mod etcd;
mod postgres;

/// How long each may take to be up; a busy machine needs some seconds.
const START_TIME: Duration = Duration::from_secs(60);
/// How long they may take to stop when they are asked; then they are killed. Nothing in them is needed any more.
const STOP_TIME: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Both, running.
pub struct Servers {
    etcd: Server,
    /// Where etcd answers.
    pub url: String,
    postgres: Server,
    /// What `relayctl dev up --postgres` takes.
    pub database: String,
    dir: PathBuf,
}

/// What is not installed, with the line that installs it; nothing if both are there.
pub fn missing() -> Option<String> {
    let etcd = (!process::is_there("etcd")).then_some(("etcd", "etcd-server"));
    let postgres = postgres::programs().is_none().then_some(("PostgreSQL", "postgresql"));
    let missing: Vec<(&str, &str)> = etcd.into_iter().chain(postgres).collect();
    let list = |of: fn(&(&'static str, &'static str)) -> &'static str, between: &str| {
        missing.iter().map(of).collect::<Vec<_>>().join(between)
    };
    let told = || {
        let (names, packages) = (list(|m| m.0, " and "), list(|m| m.1, " "));
        format!("{names} not there: apt-get install -y {packages}")
    };
    (!missing.is_empty()).then(told)
}

impl Servers {
    /// Starts both.
    ///
    /// # Errors
    /// One is not installed or does not start; nothing is left.
    pub fn start() -> anyhow::Result<Servers> {
        if let Some(missing) = missing() {
            bail!("{missing}");
        }
        let dir = std::env::temp_dir().join(format!("relay-demo-{}-servers", std::process::id()));
        match Servers::within(&dir) {
            Ok((url, etcd, postgres)) => {
                let database = postgres::url(&dir.join("postgres"));
                Ok(Servers { etcd, url, postgres, database, dir })
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&dir);
                Err(error)
            }
        }
    }

    fn within(dir: &Path) -> anyhow::Result<(String, Server, Server)> {
        directory(dir)?;
        let (url, etcd) = etcd::start(dir)?;
        println!("etcd answers at {url}");
        let postgres = postgres::start(&dir.join("postgres"))?;
        println!("PostgreSQL answers at the socket in {}", dir.join("postgres").display());
        Ok((url, etcd, postgres))
    }

    /// A directory that goes with them.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.etcd.stop();
        self.postgres.stop();
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("{}: {error}", self.dir.display());
        }
    }
}

/// A directory that other users can go through, whatever our mask: PostgreSQL runs as one if we are root.
fn directory(dir: &Path) -> anyhow::Result<()> {
    let made = fs::create_dir(dir).and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)));
    made.with_context(|| dir.display().to_string())
}

/// A process that ends with us.
struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(name: &'static str, command: &mut Command, log: PathBuf) -> anyhow::Result<Server> {
        let file = fs::File::create(&log).with_context(|| log.display().to_string())?;
        let errors = file.try_clone()?;
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        // A group of its own: Ctrl-C is for us, and what it serves is stopped before it.
        command.process_group(0);
        // SAFETY: prctl is async-signal-safe, and nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
        }
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Server { name, child, log })
    }

    /// Waits until it answers.
    fn until(&mut self, mut answers: impl FnMut() -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !answers() {
            ensure!(!stop::asked(), "stopped by a signal");
            let ended = self.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > START_TIME {
                let how = ended.map_or("does not answer".to_owned(), |status| format!("ended with {status}"));
                self.stop();
                let words = fs::read_to_string(&self.log).unwrap_or_default();
                let last: Vec<&str> = words.lines().rev().take(5).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                bail!("{} {how}; its last words:\n{}", self.name, last.join("\n"));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn stop(&mut self) {
        let Ok(pid) = i32::try_from(self.child.id()) else { return };
        let begun = Instant::now();
        // PostgreSQL takes SIGINT for "now, in order", SIGTERM for "when everybody has left".
        for signal in [Signal::SIGINT, Signal::SIGKILL] {
            while matches!(self.child.try_wait(), Ok(None)) {
                let _ = kill(Pid::from_raw(pid), signal);
                if signal == Signal::SIGINT && begun.elapsed() > STOP_TIME {
                    break;
                }
                thread::sleep(LOOK);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
