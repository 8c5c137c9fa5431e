//! What every trial needs: a work directory that cleans up, commands, and proof that processes are dead.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use minion::runner::{CommandSpec, RunHandle, RunToken, Runner, Shape};
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use relay_core::{ids::Jid, outcome::Answer};
use serde_json::Value;
use tokio::runtime::Runtime;

/// How long a trial waits for what must come. Reaching it is a failure, so only a broken runner pays it.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Scene {
    pub dir: tempfile::TempDir,
    pub runner: Runner,
    pub runtime: Runtime,
}

pub fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let runner = Runner::new(&dir.path().join("runs")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Scene { dir, runner, runtime }
}

/// A command by the shell, with a run limit that no trial reaches by itself.
pub fn shell(script: &str) -> CommandSpec {
    CommandSpec {
        jid: Jid::from_micros(1_795_246_616_123_456),
        function: "cmd.run".into(),
        argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
        shown: script.into(),
        shape: Shape::Text,
        cwd: None,
        runas: None,
        env: Default::default(),
        clean_env: false,
        stdin: None,
        umask: None,
        success_retcodes: Vec::new(),
        ignore_retcode: false,
        hide_output: false,
        timeout: None,
        run_limit: Duration::from_secs(600),
    }
}

pub fn map(spec: CommandSpec) -> CommandSpec {
    CommandSpec { shape: Shape::Map, ..spec }
}

impl Scene {
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn run_dir(&self, token: RunToken) -> PathBuf {
        self.path("runs").join(token.to_string())
    }

    pub fn launch(&self, spec: &CommandSpec) -> RunHandle {
        self.runtime.block_on(self.runner.launch(RunToken::random(), spec)).unwrap()
    }

    pub fn wait(&self, handle: &RunHandle) -> Answer {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.runner.wait(handle)).await })
            .expect("no end")
    }

    pub fn run(&self, spec: &CommandSpec) -> Answer {
        self.wait(&self.launch(spec))
    }

    /// The pids that a script has written to a file, once it has written that many.
    pub fn pids(&self, name: &str, count: usize) -> Vec<i32> {
        let read = || -> Option<Vec<i32>> {
            let text = std::fs::read_to_string(self.path(name)).ok()?;
            let pids: Vec<i32> = text.strip_suffix('\n')?.lines().map(|l| l.parse().unwrap()).collect();
            (pids.len() == count).then_some(pids)
        };
        until(read)
    }
}

/// A trial that fails leaves nothing running either.
impl Drop for Scene {
    fn drop(&mut self) {
        for token in self.runner.tokens().unwrap_or_default() {
            let _ = self.runner.kill(&RunHandle { token, pid: 0 });
            self.runtime.block_on(self.runner.probe(token));
        }
    }
}

/// Waits until something is there.
pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it never came");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Dead, or dead and not collected yet.
pub fn is_dead(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) || state == Some('Z')
}

pub fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

pub fn exists(path: &Path) -> Option<()> {
    path.exists().then_some(())
}
