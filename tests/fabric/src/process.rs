//! One daemon as a real process: started, stopped, killed and looked at.
//!
//! Nothing outlives a test: the process dies with the thread that started it, and [`sweep`] ends whatever carries the
//! fabric's mark in its environment, which is how runners (made to outlive their minion) and their commands are found.

use std::{
    fs::{self, File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::Pid,
};

use crate::{http, netns::Host, wait::until};

/// The mark in the environment of everything that belongs to one fabric. Its value is the fabric's directory.
pub const MARK: &str = "RELAY_TEST_FABRIC";
/// What a top master says of itself that is ready to take over from the owner it knows.
const STANDBY: &str = "is a standby: ";

/// What daemons log: their own words in detail, and not each frame of HTTP/2.
const LOG_FILTER: &str = "debug,h2=info,hyper=info,hyper_util=info,rustls=info";

/// The file of a binary of this workspace.
///
/// # Panics
/// It has not been built.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its file");
    // A test lies in target/PROFILE/deps, a benchmark in target/PROFILE.
    let places = own.ancestors().skip(1).take(2).map(|dir| dir.join(name));
    let found = places.clone().find(|file| file.is_file());
    found.unwrap_or_else(|| {
        let places: Vec<_> = places.map(|p| p.display().to_string()).collect();
        panic!(
            "the binary {name} is missing (looked for {}): run \"cargo build --workspace --bins\" first",
            places.join(" and ")
        )
    })
}

/// A daemon.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    binary: &'static str,
    dir: PathBuf,
    mark: PathBuf,
    arguments: Vec<String>,
    admin: SocketAddr,
    host: Option<Host>,
    child: Option<Child>,
    stopped: bool,
}

impl Daemon {
    /// A daemon that `serve`s `DIR/config.yaml` and logs to `DIR/log`; not started yet.
    pub fn new(name: &str, binary: &'static str, dir: PathBuf, mark: &Path, admin: SocketAddr) -> Daemon {
        let config = dir.join("config.yaml").display().to_string();
        let arguments = ["serve".into(), "--config".into(), config].into();
        let (name, mark) = (name.to_owned(), mark.to_owned());
        Daemon { name, binary, dir, mark, arguments, admin, host: None, child: None, stopped: false }
    }

    /// With more words on its command line.
    pub fn with_arguments<const N: usize>(mut self, more: [String; N]) -> Daemon {
        self.arguments.extend(more);
        self
    }

    /// On a host of its own; on none, it runs where the test does.
    pub fn on(mut self, host: Option<Host>) -> Daemon {
        self.host = host;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// It runs already, or cannot be started.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log file");
        let mut command = command(self.binary, &self.mark, log);
        command.args(&self.arguments);
        let child = match &self.host {
            Some(host) => host.within(|| command.spawn()),
            None => command.spawn(),
        };
        self.child = Some(child.unwrap_or_else(|e| panic!("{} cannot be started: {e}", self.name)));
    }

    /// Waits until it says that it can do its work, or that it is ready to when another one does not any more.
    pub async fn ready(&mut self) {
        let what = format!("{} to be ready", self.name);
        until(&what, async || {
            if let Some(status) = self.exited() {
                panic!("{} ended ({status}) instead of serving:\n{}", self.name, self.log());
            }
            let settled = |(status, text): (u16, String)| status == 200 || text.contains(STANDBY);
            self.get("/readyz").is_ok_and(settled).then_some(())
        })
        .await;
    }

    /// How it ended, if it did by itself.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// kill -9, and waits for its death.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.stopped = false;
    }

    /// Asks it to end (SIGTERM), and waits. The way it ended; nothing if a signal ended it.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        let what = format!("{} to end after SIGTERM", self.name);
        let status = until(&what, async || self.exited()).await;
        self.child = None;
        assert!(status.signal().is_none(), "{} was ended by a signal: {status}", self.name);
        status.code()
    }

    /// SIGSTOP.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGSTOP);
        self.stopped = true;
    }

    /// SIGCONT.
    pub fn cont(&mut self) {
        self.signal(Signal::SIGCONT);
        self.stopped = false;
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid().unwrap_or_else(|| panic!("{} does not run", self.name));
        kill(pid, signal).unwrap_or_else(|e| panic!("{}: {signal}: {e}", self.name));
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<Pid> {
        self.child.as_ref().map(|child| Pid::from_raw(child.id() as i32))
    }

    /// What it has logged so far, over all its lives.
    pub fn log(&self) -> String {
        if !self.log_file().is_file() {
            return "(a device)".into();
        }
        fs::read(self.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Its configuration, state and log lie here.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The status and the body of a path at its admin address.
    ///
    /// # Errors
    /// Nobody there, or nothing said in time.
    pub fn get(&self, path: &str) -> io::Result<(u16, String)> {
        match &self.host {
            Some(host) => host.within(|| http::get(self.admin, path)),
            None => http::get(self.admin, path),
        }
    }

    /// Where `/metrics` is, on its host.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it runs, as far as this test has to do with it.
    pub fn is_running(&self) -> bool {
        self.child.is_some() && !self.stopped
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A command of this workspace that dies with the calling thread and carries a fabric's mark.
fn command(name: &str, mark: &Path, log: File) -> Command {
    let mut command = Command::new(binary(name));
    command.env(MARK, mark).env("RELAY_LOG", LOG_FILTER).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // SAFETY: prctl is async-signal-safe, and nothing is allocated between fork and exec.
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
    }
    command
}

/// Runs a command of this workspace to its end: its exit code, and what it wrote.
///
/// # Panics
/// It cannot be started.
pub fn run(name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    output(Command::new(binary(name)).args(arguments))
}

/// The same with another home directory: what it keeps for its user goes there.
///
/// # Panics
/// As [`run`].
pub fn run_at_home(name: &str, arguments: &[&str], home: &str) -> (Option<i32>, String) {
    let mut command = Command::new(binary(name));
    for variable in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "RELAY_CONTEXT"] {
        command.env_remove(variable);
    }
    output(command.args(arguments).env("HOME", home))
}

fn output(command: &mut Command) -> (Option<i32>, String) {
    let output = command.env_remove("RELAY_LOG").stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Whether a process lives: one that is dead and only not collected yet does not.
pub fn lives(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !stat.starts_with(['Z', 'X']))
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

/// State, parent and so on: what follows the name, which stands in parentheses and may hold anything.
fn stat(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}

/// kill -9 of a process that a fabric of this test started.
///
/// # Panics
/// There is no such process.
pub fn kill9(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_else(|e| panic!("process {pid}: {e}"));
}

/// Ends every process that carries the mark of this fabric.
pub fn sweep(mark: &Path) {
    let wanted = format!("{MARK}={}", mark.display());
    // A second look finds what was forked during the first.
    for _ in 0..2 {
        for pid in processes().filter(|pid| has_mark(*pid, wanted.as_bytes())) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn processes() -> impl Iterator<Item = i32> {
    let own = std::process::id() as i32;
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).filter(move |pid| *pid != own)
}

fn has_mark(pid: i32, wanted: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
}
