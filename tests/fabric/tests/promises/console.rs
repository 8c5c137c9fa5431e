//! An operator at the command line: `relayctl` as a process of its own, against a fabric of a test.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use fabric_tests::{
    Fabric, TOP,
    pki::{FABRIC, who},
    process::{MARK, binary},
    until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use relay_core::identity::Role;
use serde_json::Value;

/// Somebody with a context for the fabric.
pub struct Console {
    dir: PathBuf,
    contexts: PathBuf,
    started: AtomicUsize,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub out: String,
    pub err: String,
    /// -1: a signal ended it.
    pub code: i32,
}

impl Ran {
    /// Its output as one document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// It was refused: exit 3, nothing on standard output, one sentence that has all of these words.
    pub fn refused(&self, words: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (3, ""), "{self:?}");
        words.iter().for_each(|word| assert!(self.err.contains(word), "nothing about {word:?}: {self:?}"));
        assert_eq!(self.err.trim_end().lines().count(), 1, "one sentence: {self:?}");
    }
}

/// A command that runs.
pub struct Going {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Console {
    /// An operator of this fabric.
    pub fn of(fabric: &Fabric) -> Console {
        let tls = fabric.pki().issue("tester", Role::Operator, "core");
        Console::with(fabric, "console", &format!("  cert: {:?}\n  key: {:?}\n", tls.cert, tls.key))
    }

    /// Somebody who has no certificate, and has to log in.
    pub fn without_certificate(fabric: &Fabric) -> Console {
        Console::with(fabric, "stranger", "")
    }

    fn with(fabric: &Fabric, name: &str, own: &str) -> Console {
        let dir = fabric.dir().join(name);
        fs::create_dir(&dir).unwrap();
        let context = format!(
            "version: 1\ncurrent: test\ncontexts:\n- name: test\n  fabric: {FABRIC}\n  addresses:\n  - address: {:?}\n    \
             server_name: {:?}\n  ca: {:?}\n{own}",
            fabric.operator().address(),
            who(TOP, Role::TopMaster, "core").to_dns(),
            fabric.pki().root(),
        );
        let contexts = dir.join("contexts.yaml");
        fs::write(&contexts, context).unwrap();
        Console { dir, contexts, started: AtomicUsize::new(0) }
    }

    /// Starts a command.
    pub fn start(&self, words: &[&str]) -> Going {
        let mut command = Command::new(binary("relayctl"));
        command.args(words).stdin(Stdio::null());
        self.spawn(command)
    }

    /// Runs a command to its end that reads a text.
    pub async fn run_reading(&self, words: &[&str], text: &str) -> Ran {
        self.run_program("relayctl", words, text, &[]).await
    }

    /// Runs a program to its end that reads a text and has these variables.
    pub async fn run_program(
        &self,
        name: &str,
        words: &[&str],
        text: &str,
        variables: &[(&str, &Path)],
    ) -> Ran {
        let input = self.dir.join("input");
        fs::write(&input, text).unwrap();
        let mut command = Command::new(binary(name));
        command.args(words).stdin(File::open(input).unwrap()).envs(variables.iter().copied());
        self.spawn(command).ended().await
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts a command on a terminal of its own: what is written to its standard input is typed, and what the terminal
    /// shows is its output.
    pub fn start_on_terminal(&self, words: &[&str]) -> Going {
        let quoted = |word: &&str| format!("'{}'", word.replace('\'', r"'\''"));
        let line: Vec<String> =
            [&*binary("relayctl").display().to_string()].iter().chain(words).map(quoted).collect();
        let mut command = Command::new("script");
        let line = format!("stty rows 24 cols 120; exec {}", line.join(" "));
        command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        command.env("TERM", "xterm").stdin(Stdio::piped());
        self.spawn(command)
    }

    /// Starts a command whose output nobody reads.
    pub fn start_into_nothing(&self, words: &[&str]) -> Going {
        let mut command = Command::new(binary("relayctl"));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.args(words).stdin(Stdio::null()).stdout(writer);
        self.spawn_writing(command)
    }

    fn spawn(&self, mut command: Command) -> Going {
        let no = self.started.load(Ordering::Relaxed);
        command.stdout(File::create(self.dir.join(format!("{no}.out"))).unwrap());
        self.spawn_writing(command)
    }

    fn spawn_writing(&self, mut command: Command) -> Going {
        let no = self.started.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (self.dir.join(format!("{no}.out")), self.dir.join(format!("{no}.err")));
        for variable in ["RELAY_CONTEXT", "RELAY_LOG", "NO_COLOR"] {
            command.env_remove(variable);
        }
        // The mark: what is left of it ends with the fabric.
        command.env("RELAY_CONFIG", &self.contexts).env(MARK, self.dir.parent().unwrap());
        command.stderr(File::create(&err).unwrap());
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
        Going { child, out, err }
    }

    /// Runs a command to its end.
    pub async fn run(&self, words: &[&str]) -> Ran {
        self.start(words).ended().await
    }

    /// Runs a command that has to end with 0, and reads what it prints as one document.
    pub async fn json(&self, words: &[&str]) -> Value {
        let ran = self.run(&[&["--out", "json"], words].concat()).await;
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        ran.json()
    }

    /// Orders a job and does not wait for it; its jid.
    pub async fn order(&self, words: &[&str]) -> String {
        let ran = self.run(&[&["run", "--async", "--out", "json"], words].concat()).await;
        assert_eq!(ran.code, 4, "{words:?}: {ran:?}");
        ran.json()["jid"].as_str().unwrap().to_owned()
    }

    /// Waits until a job is closed, and gives its exit code and its document.
    pub async fn closed(&self, jid: &str) -> (i32, Value) {
        let ran = self.run(&["jobs", "watch", jid, "--out", "json"]).await;
        (ran.code, ran.json())
    }
}

impl Going {
    /// What it has written so far.
    pub fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// What it has said beside that.
    pub fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    /// Waits until its output has something in it.
    pub async fn shows<T>(&mut self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        until(what, async || {
            let found = look(&self.out());
            let over = self.child.try_wait().unwrap().filter(|_| found.is_none());
            assert!(over.is_none(), "it ended ({over:?}) without {what}: {}{}", self.out(), self.err());
            found
        })
        .await
    }

    /// kill -9, and its death.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Types on its terminal.
    pub fn types(&mut self, text: &str) {
        use std::io::Write;
        self.child.stdin.as_mut().expect("a terminal").write_all(text.as_bytes()).unwrap();
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Ran {
        let status = until("a command to end", async || self.child.try_wait().unwrap()).await;
        assert_eq!(status.signal(), None, "{}", self.err());
        Ran { out: self.out(), err: self.err(), code: status.code().unwrap_or(-1) }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
