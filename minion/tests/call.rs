//! `minion call`, as the process that it is.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

/// How long a test waits for what must come; only a broken minion pays it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, with a temporary directory of its own, which it must leave empty.
fn minion(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minion"));
    command.arg("call").args(args).env("TMPDIR", dir).stdin(Stdio::null());
    command
}

fn told(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text:?} {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text).unwrap()
}

fn called(args: &[&str]) -> (Option<i32>, Value) {
    let dir = tempfile::tempdir().unwrap();
    let output = minion(dir.path(), args).output().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something is left of {args:?}");
    (output.status.code(), told(&output))
}

#[test]
fn functions_and_commands_run_without_a_master() {
    let quoted = r#"{"args": ["echo $A; exit 4"], "kwargs": {"env": {"A": "a b"}}}"#;
    for (args, code, outcome, retcode, returned) in [
        (&["test.ping"][..], 0, "ok", 0, json!(true)),
        (&["test.echo", "5"], 0, "ok", 0, json!("5")),
        (&["test.echo", "--json-args", r#"{"args": [5]}"#, "--out", "json"], 0, "ok", 0, json!(5)),
        (&["cmd.run", "echo hello"], 0, "ok", 0, json!("hello")),
        (&["cmd.run", "--json-args", quoted], 1, "failed", 4, json!("a b")),
        (&["grains.item", "id", "--id", "here"], 0, "ok", 0, json!({"id": "here"})),
        (&["saltutil.running"], 0, "ok", 0, json!([])),
        (&["state.sls", "x"], 1, "failed", 1, json!(["No matching sls found for 'x' in env 'base'"])),
    ] {
        let (exit, line) = called(args);
        assert_eq!(
            (exit, &line["outcome"], &line["retcode"]),
            (Some(code), &json!(outcome), &json!(retcode))
        );
        assert_eq!(line["return"], returned, "{args:?}");
    }
}

#[test]
fn what_cannot_be_used_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for (args, says) in [
        (&["test.ping", "--json-args", "{"][..], "--json-args"),
        (&["test.ping", "x", "--json-args", "{}"], "cannot be used with"),
        (&["test.ping", "--id", "a b"], "--id"),
        (&["test.ping", "--config", "/no/such/file"], "/no/such/file"),
        (&["test.ping", "--out", "yaml"], "--out"),
        (&[], "<FUNCTION>"),
    ] {
        let output = minion(dir.path(), args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{args:?} {text}");
        assert!(text.contains(says), "{text:?} does not say {says:?}");
    }
}

#[test]
fn a_configured_minion_has_its_own_id_and_grains_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("minion.yaml");
    let text = "id: web01\nregion: aws\nfabric: test\nparents:\n  - {address: \"127.0.0.1:1\", id: aws-1, region: aws}\n\
                state_dir: state\ntls: {ca: ca.pem, cert: cert.pem, key: key.pem}\ngrains: {site: north}\n";
    std::fs::File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
    std::fs::create_dir(dir.path().join("state")).unwrap();
    let config = config.to_str().unwrap();
    let (_, set) = called(&["grains.setval", "role", "web", "--config", config]);
    assert_eq!(set["return"], json!({"role": "web"}));
    let (_, items) = called(&["grains.item", "id", "site", "role", "--config", config]);
    assert_eq!(items["return"], json!({"id": "web01", "site": "north", "role": "web"}));
}

fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it never came");
        thread::sleep(Duration::from_millis(5));
    }
}

fn interrupted(dir: &Path, args: &[&str], ready: impl FnOnce(&Child), signal: Signal) -> Output {
    let child = minion(dir, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    ready(&child);
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_interrupt_kills_the_command_and_leaves_nothing() {
    let (dir, notes) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = notes.path().join("pids");
    let script = format!("sleep 600 & echo $! $$ > {0}.new; mv {0}.new {0}; wait", file.display());
    let ready = |_: &Child| until(|| file.exists().then_some(()));
    let output = interrupted(dir.path(), &["cmd.run", &script], ready, Signal::SIGINT);
    assert_eq!((output.status.code(), &told(&output)["outcome"]), (Some(1), &json!("cancelled")));
    for pid in std::fs::read_to_string(&file).unwrap().split_whitespace() {
        let pid = Pid::from_raw(pid.parse().unwrap());
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(kill(pid, None) == Err(Errno::ESRCH) || stat.contains(") Z "), "{pid} lives");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
