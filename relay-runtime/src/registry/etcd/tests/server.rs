//! An etcd of the tests' own: from the system's program, in a directory that goes with this process, on free ports of loopback,
//! and never a service of the system.
//!
//! A small shell does the starting and, when our end of its input is gone (however we ended), the removing.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock},
};

use relay_core::topology::HostPort;

use super::super::EtcdConfig;

/// Debian's place for it.
const PROGRAM: &str = "/usr/bin/etcd";
/// Starts, freezes, kills and at last removes one member. It syncs nothing: a killed process loses nothing that the system has.
const SCRIPT: &str = r#"
    program=$1; dir=$2; shift 2; cd "$dir" || exit 1
    pid=
    while read -r word; do
        case $word in
        start) "$program" --data-dir "$dir/data" --unsafe-no-fsync "$@" >>log 2>&1 & pid=$! ;;
        kill) kill -9 $pid; wait $pid 2>/dev/null ;;
        stop) kill -STOP $pid ;;
        cont) kill -CONT $pid ;;
        esac
        echo "$word"
    done
    [ -n "$pid" ] && kill -9 $pid 2>/dev/null && wait $pid 2>/dev/null
    cd / && rm -rf "$dir"
"#;

/// One member.
pub(in crate::registry) struct Server {
    directory: PathBuf,
    place: HostPort,
    shell: Mutex<Shell>,
}

struct Shell {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _child: Child,
}

/// Whether tests can have one. If not, says so, once and loudly.
pub(in crate::registry) fn is_here() -> bool {
    static SAID: OnceLock<bool> = OnceLock::new();
    *SAID.get_or_init(|| {
        let here = Path::new(PROGRAM).is_file();
        if !here {
            // Past the test harness, which shows nothing of tests that pass.
            let line = "SKIPPED: tests of the registry in etcd: apt-get install -y etcd-server\n";
            let _ = io::stderr().write_all(line.as_bytes());
        }
        here
    })
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// A cluster of one, with plain bytes.
    pub(in crate::registry) fn start() -> Server {
        Server::cluster(1).pop().unwrap()
    }

    /// Members of one cluster.
    pub(in crate::registry) fn cluster(members: usize) -> Vec<Server> {
        let peers: Vec<String> = (0..members).map(|_| format!("http://127.0.0.1:{}", free_port())).collect();
        let named = |(n, peer): (usize, &String)| format!("m{n}={peer}");
        let all = peers.iter().enumerate().map(named).collect::<Vec<_>>().join(",");
        let start = |(n, peer): (usize, &String)| Server::member("http", &format!("m{n}"), peer, &all, &[]);
        peers.iter().enumerate().map(start).collect()
    }

    /// A cluster of one that speaks TLS, with these settings for it.
    pub(in crate::registry) fn secured(settings: &[String]) -> Server {
        let peer = format!("http://127.0.0.1:{}", free_port());
        Server::member("https", "m0", &peer, &format!("m0={peer}"), settings)
    }

    fn member(scheme: &str, name: &str, peer: &str, all: &str, settings: &[String]) -> Server {
        let directory = tempfile::Builder::new().prefix("relay-etcd-").tempdir().unwrap().keep();
        let place: HostPort = format!("127.0.0.1:{}", free_port()).parse().unwrap();
        let url = format!("{scheme}://{place}");
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg("sh").arg(PROGRAM).arg(&directory).args(settings);
        command.args(["--name", name, "--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
        command.args(["--initial-cluster", all, "--initial-cluster-state", "new"]);
        // Or an interrupt of the tests would end it before it has cleaned up.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let shell = Mutex::new(Shell { orders, answers: BufReader::new(answers), _child: child });
        let server = Server { directory, place, shell };
        server.restart();
        server
    }

    fn order(&self, word: &str) {
        let mut shell = self.shell.lock().unwrap();
        writeln!(shell.orders, "{word}").unwrap();
        let mut line = String::new();
        shell.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), word, "the test's etcd");
    }

    /// Ends it, in the middle of whatever it does.
    pub(in crate::registry) fn kill(&self) {
        self.order("kill");
    }

    /// After [`Server::kill`].
    pub(in crate::registry) fn restart(&self) {
        self.order("start");
    }

    /// It stands still, and its connections stay.
    pub(in crate::registry) fn stop(&self) {
        self.order("stop");
    }

    /// After [`Server::stop`].
    pub(in crate::registry) fn go_on(&self) {
        self.order("cont");
    }

    /// Keeps a copy of its data, while it is killed.
    pub(in crate::registry) fn back_up(&self, name: &str) {
        copy(&self.directory.join("data"), &self.directory.join(name));
    }

    /// Puts a copy of its data in place, while it is killed.
    pub(in crate::registry) fn restore(&self, name: &str) {
        fs::remove_dir_all(self.directory.join("data")).unwrap();
        copy(&self.directory.join(name), &self.directory.join("data"));
    }

    pub(in crate::registry) fn place(&self) -> &HostPort {
        &self.place
    }

    pub(in crate::registry) fn config(&self, prefix: &str) -> EtcdConfig {
        config([self], prefix)
    }

    /// As somebody else sees it.
    pub(in crate::registry) async fn client(&self) -> etcd_client::Client {
        etcd_client::Client::connect([format!("http://{}", self.place)], None).await.unwrap()
    }
}

pub(in crate::registry) fn config<'a>(
    servers: impl IntoIterator<Item = &'a Server>,
    prefix: &str,
) -> EtcdConfig {
    let endpoints = servers.into_iter().map(|server| server.place.clone()).collect();
    EtcdConfig { endpoints, prefix: prefix.into(), tls: None, login: None }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&source, &target),
            false => drop(fs::copy(source, target).unwrap()),
        }
    }
}
