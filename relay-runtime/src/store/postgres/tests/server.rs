//! A PostgreSQL of the tests' own: started from the system's programs in a directory that goes with this process, reached
//! by a socket in it, and never a service of the system.
//!
//! A small shell does the starting and, when our end of its input is gone (however we ended), the removing.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock},
};

use super::super::{PostgresConfig, Transport};

/// Only a socket's name.
const USUAL_PORT: u16 = 5432;
/// Debian's place for the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Starts, kills and at last removes the server. It syncs nothing: a killed process loses nothing that the system has.
const SCRIPT: &str = r#"
    bin=$1; dir=$2; shift 2; cd "$dir" || exit 1
    "$bin/initdb" -D data -U relay -A trust -E UTF8 --no-locale --no-sync >log 2>&1 && echo ready || cat log
    pid=
    begin() {
        "$bin/postgres" -D data -k "$dir" -c listen_addresses= -c fsync=off -c full_page_writes=off "$@" >>log 2>&1 &
        pid=$!
        until "$bin/pg_isready" -q -h "$dir" -d postgres; do
            kill -0 $pid 2>/dev/null || return 1
            sleep 0.02
        done
    }
    while read -r word; do
        case $word in
        start) tries=0; until begin "$@" || [ $tries -ge 100 ]; do tries=$((tries + 1)); sleep 0.05; done; echo started ;;
        kill) kill -9 $pid $(cat /proc/$pid/task/$pid/children) 2>/dev/null; wait $pid 2>/dev/null; echo killed ;;
        esac
    done
    [ -n "$pid" ] && kill -QUIT $pid && wait $pid
    cd / && rm -rf "$dir"
"#;

/// One server.
pub(in crate::store) struct Server {
    directory: PathBuf,
    port: u16,
    shell: Mutex<Shell>,
}

struct Shell {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _child: Child,
}

impl Shell {
    fn order(&mut self, word: &str, expected: &str) {
        writeln!(self.orders, "{word}").unwrap();
        self.expect(expected);
    }

    fn expect(&mut self, expected: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected, "the test's PostgreSQL");
    }
}

/// The directory of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.filter_map(|entry| entry.ok());
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| number(path))?.join("bin");
    newest.join("initdb").exists().then_some(newest)
}

/// Whether tests can have a server. If not, says so, once and loudly.
pub(in crate::store) fn is_here() -> bool {
    static SAID: OnceLock<bool> = OnceLock::new();
    *SAID.get_or_init(|| {
        let here = programs().is_some();
        if !here {
            // Past the test harness, which shows nothing of tests that pass.
            let line = "SKIPPED: tests of the PostgreSQL store: apt-get install -y postgresql\n";
            let _ = io::stderr().write_all(line.as_bytes());
        }
        here
    })
}

impl Server {
    /// Starts a server with settings of its own (`-c name=value`).
    pub(in crate::store) fn start(settings: &[&str]) -> Server {
        Server::start_at(USUAL_PORT, settings)
    }

    /// On a port that matters: the socket's name has it, too.
    pub(in crate::store) fn start_at(port: u16, settings: &[&str]) -> Server {
        let programs = programs().expect("PostgreSQL is installed");
        let directory = tempfile::Builder::new().prefix("relay-pg-").tempdir().unwrap().keep();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg("sh").arg(programs).arg(&directory).args(settings);
        // Or an interrupt of the tests would end it before it has cleaned up.
        command.env("PGPORT", port.to_string());
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        if nix::unistd::geteuid().is_root() {
            // It refuses to run as root.
            let user = nix::unistd::User::from_name("postgres").unwrap().expect("the package's user");
            let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
            std::os::unix::fs::chown(&directory, Some(uid), Some(gid)).unwrap();
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shell = Shell { orders, answers: BufReader::new(answers), _child: child };
        shell.expect("ready");
        shell.order("start", "started");
        Server { directory, port, shell: Mutex::new(shell) }
    }

    /// Ends every process of it, in the middle of whatever it does.
    pub(in crate::store) fn kill(&self) {
        self.shell.lock().unwrap().order("kill", "killed");
    }

    /// After [`Server::kill`].
    pub(in crate::store) fn restart(&self) {
        self.shell.lock().unwrap().order("start", "started");
    }

    pub(in crate::store) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(in crate::store) fn config(&self, database: &str) -> PostgresConfig {
        PostgresConfig {
            host: self.directory.to_str().unwrap().into(),
            port: self.port,
            database: database.into(),
            user: "relay".into(),
            password_file: None,
            transport: Transport::Local,
        }
    }

    /// Runs SQL as a person would.
    pub(in crate::store) fn psql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(programs().unwrap().join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "relay", "-h"]);
        psql.env("PGPORT", self.port.to_string());
        let done = psql.arg(&self.directory).args(["-d", database, "-c", sql]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }
}

/// The server that most tests share, and those of its databases that nobody uses.
fn shared() -> &'static (Server, Mutex<Vec<String>>, Mutex<u32>) {
    static SHARED: OnceLock<(Server, Mutex<Vec<String>>, Mutex<u32>)> = OnceLock::new();
    SHARED.get_or_init(|| (Server::start(&[]), Mutex::default(), Mutex::default()))
}

/// An empty database, for one test at a time.
pub(in crate::store) struct Database(String);

impl Database {
    pub(in crate::store) fn new() -> Database {
        let (server, free, made) = shared();
        let used = free.lock().unwrap().pop();
        if let Some(name) = used {
            let others = format!(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
            );
            server.psql("postgres", &others);
            server.psql(&name, "DROP SCHEMA IF EXISTS relay CASCADE");
            return Database(name);
        }
        let mut made = made.lock().unwrap();
        *made += 1;
        let name = format!("test_{made}");
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        Database(name)
    }

    pub(in crate::store) fn config(&self) -> PostgresConfig {
        shared().0.config(&self.0)
    }

    /// Runs SQL as a person would.
    pub(in crate::store) fn psql(&self, sql: &str) -> String {
        shared().0.psql(&self.0, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        shared()
            .1
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(std::mem::take(&mut self.0));
    }
}
