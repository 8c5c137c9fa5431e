use std::process::{Child, Command};

use super::*;
use crate::{
    contexts::Context,
    dev::{
        process::{self, ProcessId},
        ready::Attached,
    },
};

/// A child that is killed at the end of its test, whatever happened.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn context() -> Context {
    Context {
        name: "dev".into(),
        fabric: "acme.example".into(),
        addresses: Vec::new(),
        ca: "ca".into(),
        cert: Some("cert".into()),
        key: Some("key".into()),
        root: None,
    }
}

fn started(dir: &Path, name: &str, script: &str) -> (Guard, Process) {
    let log = dir.join(format!("{name}.log"));
    let child = process::start(Path::new("sh"), &["-c".into(), script.into()], &log).unwrap();
    let id = ProcessId::of(child.id()).unwrap();
    let process = Process {
        name: name.into(),
        role: "minion".into(),
        count: None,
        id,
        admin: "127.0.0.1:1".into(),
        config: "config.yaml".into(),
        log: log.clone(),
    };
    // The script is past its first line.
    while fs::read_to_string(&log).unwrap_or_default().is_empty() {
        std::thread::sleep(PAUSE);
    }
    (Guard(child), process)
}

#[test]
fn all_are_stopped_and_a_second_time_is_nothing_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (_a, first) = started(dir.path(), "a", "echo up; exec sleep 600");
    let (_b, second) = started(dir.path(), "b", "echo up; exec sleep 600");
    let mut record = Record::new(context(), None, Attached::default());
    record.processes = vec![first, second];
    record.write(dir.path()).unwrap();
    let read = Record::read(dir.path()).unwrap().unwrap();
    assert_eq!(read, record);
    assert_eq!(stop(dir.path(), &read).unwrap(), Stopped { running: 2, ..Stopped::default() });
    assert_eq!(record.living().count(), 0);
    assert_eq!(stop(dir.path(), &read).unwrap(), Stopped::default());
}

#[test]
fn a_command_that_outlived_its_minion_is_killed_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let run = format!("{:032x}", rand::random::<u128>());
    fs::create_dir_all(dir.path().join("minions-s/state/web-1/runs").join(&run)).unwrap();
    let sleeper = |run: &str| Guard(Command::new("sleep").arg("600").env("RELAY_RUN", run).spawn().unwrap());
    let (mut own, mut other) = (sleeper(&run), sleeper("0123456789abcdef0123456789abcdef"));
    assert_eq!(stop(dir.path(), &Record::new(context(), None, Attached::default())).unwrap().commands, 1);
    assert!(!own.0.wait().unwrap().success());
    assert!(other.0.try_wait().unwrap().is_none());
}
