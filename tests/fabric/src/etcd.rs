//! An etcd of a test's own for the top masters' registry: from the system's program, in a directory that goes with it, on free
//! ports of loopback, and never a service of the system.

use std::{
    fs,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use relay_core::topology::HostPort;
use relay_runtime::registry::{Area, Etcd as Registry, EtcdConfig, Registry as _};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{netns::Host, wait::until};

/// Debian's place for it.
const PROGRAM: &str = "/usr/bin/etcd";
/// Its ports where it has a host of its own.
const CLIENTS: u16 = 2379;
const PEERS: u16 = 2380;
/// Where it is looked whether it answers: below nothing of a fabric's.
const PREFIX: &str = "/fabric-tests";

/// One cluster. It ends with the thread that started it.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    /// Where it runs; nowhere: on loopback.
    host: Option<Host>,
    dir: TempDir,
}

#[derive(Debug)]
struct Member {
    name: String,
    clients: HostPort,
    peers: HostPort,
    process: Option<Child>,
}

impl Etcd {
    /// Starts a cluster of so many, and waits until each answers. Nothing, and a line on stderr, where etcd is not installed.
    ///
    /// # Panics
    /// It is installed and does not start.
    pub async fn start(members: usize) -> Option<Etcd> {
        Etcd::launched((0..members).map(Member::new).collect(), None).await
    }

    /// The same with a single member, on a host.
    ///
    /// # Panics
    /// As [`Etcd::start`].
    pub async fn start_on(host: &Host) -> Option<Etcd> {
        Etcd::launched(vec![Member::on(host)], Some(host.clone())).await
    }

    async fn launched(members: Vec<Member>, host: Option<Host>) -> Option<Etcd> {
        if !Path::new(PROGRAM).is_file() {
            // Straight to stderr: the test harness would swallow what is printed.
            let _ = io::stderr().write_all(
                b"SKIPPED: no etcd here, so nothing of several top masters is tested: apt-get install -y etcd-server\n",
            );
            return None;
        }
        let dir = tempfile::Builder::new().prefix("relay-etcd-").tempdir().expect("a temporary directory");
        let mut etcd = Etcd { members, host, dir };
        for member in 0..etcd.members.len() {
            etcd.launch(member);
        }
        for member in 0..etcd.members.len() {
            etcd.answers(member).await;
        }
        Some(etcd)
    }

    /// What a top master's configuration says of it: the value of `registry`.
    pub fn setting(&self) -> String {
        let urls = self.members.iter().map(|member| format!("\"http://{}\"", member.clients));
        // The network is the test's own, and nobody else is in it.
        let plain = if self.host.is_some() { ", plain: anywhere" } else { "" };
        format!("{{etcd: {{endpoints: [{}]{plain}}}}}", urls.collect::<Vec<_>>().join(", "))
    }

    /// kill -9 of a member.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill9(&mut self, member: usize) {
        let mut process = self.members[member].process.take().expect("the member runs");
        process.kill().expect("a process of ours");
        process.wait().expect("its end");
    }

    /// Starts a member after [`Etcd::kill9`], and waits until it listens. It answers when there is a quorum.
    ///
    /// # Panics
    /// It does not, in time.
    pub async fn restart(&mut self, member: usize) {
        let address = self.members[member].clients.to_string();
        until("etcd to listen", async || {
            let process = &mut self.members[member].process;
            if process.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(Some(_)))) {
                // Also when it ended at once: somebody else's connection may have had its port for a moment.
                self.launch(member);
            }
            TcpStream::connect(&address).await.ok().map(drop)
        })
        .await;
    }

    /// SIGSTOP to a member: it stands still, and its connections stay.
    ///
    /// # Panics
    /// It does not run.
    pub fn stop(&self, member: usize) {
        self.signal(member, Signal::SIGSTOP);
    }

    /// SIGCONT to a member.
    ///
    /// # Panics
    /// It does not run.
    pub fn cont(&self, member: usize) {
        self.signal(member, Signal::SIGCONT);
    }

    /// Waits until this member answers, which needs a quorum.
    ///
    /// # Panics
    /// It does not, in time.
    pub async fn answers(&self, member: usize) {
        let registry = self.registry(member, PREFIX);
        until("etcd to answer", async || registry.list(Area::All).await.ok().map(drop)).await;
    }

    /// What a fabric keeps below a prefix (`/relay/FABRIC`), asked of a member.
    ///
    /// # Panics
    /// Never: it needs no files.
    pub fn registry(&self, member: usize, prefix: &str) -> Registry {
        let endpoints = vec![self.members[member].clients.clone()];
        let config = EtcdConfig { endpoints, prefix: prefix.into(), tls: None, login: None };
        Registry::connect(&config).expect("no files are named")
    }

    fn signal(&self, member: usize, signal: Signal) {
        let process = self.members[member].process.as_ref().expect("the member runs");
        kill(Pid::from_raw(process.id() as i32), signal).expect("a process of ours");
    }

    fn launch(&mut self, member: usize) {
        let all: Vec<String> =
            self.members.iter().map(|member| format!("{}=http://{}", member.name, member.peers)).collect();
        let dir = self.dir.path().to_owned();
        self.members[member].launch(&dir, &all.join(","), self.host.as_ref());
    }
}

impl Member {
    fn new(number: usize) -> Member {
        Member { name: format!("m{number}"), clients: free(), peers: free(), process: None }
    }

    fn on(host: &Host) -> Member {
        let at = |port| SocketAddr::new(host.ip(), port).into();
        Member { name: "m0".into(), clients: at(CLIENTS), peers: at(PEERS), process: None }
    }

    fn launch(&mut self, dir: &Path, all: &str, host: Option<&Host>) {
        let (clients, peers) = (format!("http://{}", self.clients), format!("http://{}", self.peers));
        let log: PathBuf = dir.join(format!("{}.log", self.name));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let mut etcd = Command::new(PROGRAM);
        // A killed process loses nothing that the system has, so nothing is synced.
        etcd.arg("--unsafe-no-fsync")
            .arg("--data-dir")
            .arg(dir.join(&self.name))
            .args(["--name", &self.name]);
        etcd.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        etcd.args(["--initial-cluster", all]);
        etcd.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // SAFETY: prctl is async-signal-safe, and nothing is allocated between fork and exec.
        unsafe {
            etcd.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
        }
        let process = match host {
            Some(host) => host.within(|| etcd.spawn()),
            None => etcd.spawn(),
        };
        self.process = Some(process.expect("etcd"));
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for process in self.members.iter_mut().filter_map(|member| member.process.as_mut()) {
            // Also one that stands still.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// An address nobody has.
fn free() -> HostPort {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cluster_loses_a_member_and_gets_it_back() {
        let Some(mut etcd) = Etcd::start(3).await else { return };
        assert_eq!(etcd.setting().matches("http://127.0.0.1:").count(), 3);
        etcd.kill9(0);
        etcd.answers(1).await;
        etcd.restart(0).await;
        etcd.stop(1);
        etcd.answers(0).await;
        etcd.cont(1);
        etcd.answers(1).await;
    }
}
