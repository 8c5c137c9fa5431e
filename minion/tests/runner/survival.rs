//! What happens to a run when a minion, a runner or the machine dies, and when somebody wants its end.

use std::{
    fs,
    process::{Command, ExitCode},
};

use minion::runner::{Probe, Request, RunHandle, RunToken, Runner};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use relay_core::outcome::{Outcome, Reason};
use serde_json::json;

use crate::{
    Trial,
    scene::{Scene, body, exists, is_dead, scene, shell, until},
};

pub const TRIALS: &[Trial] = &[
    ("a_run_outlives_its_minion", a_run_outlives_its_minion),
    ("a_dead_runner_takes_everything_along", a_dead_runner_takes_everything_along),
    ("a_cancel_kills_and_says_so", a_cancel_kills_and_says_so),
    ("a_signal_ends_a_command_as_its_own_end", a_signal_ends_a_command_as_its_own_end),
    ("a_terminated_runner_is_no_cancel", a_terminated_runner_is_no_cancel),
    ("another_boot_is_another_world", another_boot_is_another_world),
    ("a_torn_end_is_none", a_torn_end_is_none),
    ("a_ruled_out_start_never_happens", a_ruled_out_start_never_happens),
    ("a_living_run_is_not_removed", a_living_run_is_not_removed),
    ("a_launch_that_fails_leaves_nothing", a_launch_that_fails_leaves_nothing),
];

fn probe(scene: &Scene, token: RunToken) -> Probe {
    scene.runtime.block_on(scene.runner.probe(token))
}

/// A minion that starts a run and is killed: this process ends here, by SIGKILL.
pub fn doomed_minion(work_dir: &str, token: &str, script: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let runner = Runner::new(work_dir.as_ref()).unwrap();
    runtime.block_on(runner.launch(token.parse().unwrap(), &shell(script))).unwrap();
    kill(Pid::this(), Signal::SIGKILL).unwrap();
    ExitCode::FAILURE
}

fn a_run_outlives_its_minion() {
    let scene = scene();
    let (token, witness, go) = (RunToken::random(), scene.path("witness"), scene.path("go"));
    let script = format!(
        "echo start >> {}; until [ -e {} ]; do sleep 0.02; done; echo end",
        witness.display(),
        go.display()
    );
    let minion = Command::new("/proc/self/exe")
        .args(["doomed-minion".into(), scene.path("runs").into_os_string()])
        .args([token.to_string(), script])
        .status()
        .unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&minion), Some(9));

    let Probe::Running(handle) = probe(&scene, token) else { panic!("the run died with its minion") };
    assert!(handle.pid > 0 && !is_dead(handle.pid as i32));
    fs::write(go, "").unwrap();
    let answer = scene.wait(&handle);
    assert_eq!((answer.outcome, body(&answer)), (Outcome::Ok, json!("end")));
    assert_eq!(probe(&scene, token), Probe::Ended(answer));
    assert_eq!(fs::read_to_string(witness).unwrap(), "start\n");
    assert_eq!(scene.runner.tokens().unwrap(), [token]);
}

/// A run whose processes have noted their ids: the command's, one in its group, and one in a session of its own.
fn three_processes(scene: &Scene) -> (RunHandle, Vec<i32>) {
    let pids = scene.path("pids").display().to_string();
    let script = format!(
        "echo $$ >> {pids}; sleep 600 & echo $! >> {pids}; setsid sh -c 'echo $$ >> {pids}; exec sleep 600' & wait"
    );
    let handle = scene.launch(&shell(&script));
    (handle, scene.pids("pids", 3))
}

fn a_dead_runner_takes_everything_along() {
    let scene = scene();
    let (handle, pids) = three_processes(&scene);
    kill(Pid::from_raw(handle.pid as i32), Signal::SIGKILL).unwrap();
    let answer = scene.wait(&handle);
    assert_eq!((answer.outcome, answer.reason), (Outcome::Interrupted, Reason::ProcessDied));
    assert!(pids.into_iter().all(is_dead));
    assert_eq!(probe(&scene, handle.token), Probe::Gone(Reason::ProcessDied));
}

fn a_cancel_kills_and_says_so() {
    let scene = scene();
    let pids = scene.path("pids").display().to_string();
    let handle =
        scene.launch(&shell(&format!("echo partly; sleep 600 & echo $! >> {pids}; echo $$ >> {pids}; wait")));
    let pids = scene.pids("pids", 2);
    assert!(scene.runner.kill(&handle).unwrap());
    let answer = scene.wait(&handle);
    assert_eq!((answer.outcome, answer.reason), (Outcome::Cancelled, Reason::WhileRunning));
    assert_eq!(body(&answer), json!("partly"));
    assert!(pids.into_iter().all(is_dead));
    assert!(!scene.runner.kill(&handle).unwrap(), "nobody is there any more");
}

fn a_signal_ends_a_command_as_its_own_end() {
    let scene = scene();
    let pids = scene.path("pids").display().to_string();
    let handle =
        scene.launch(&shell(&format!("sleep 600 & echo $$ >> {pids}; echo $! >> {pids}; echo so far; wait")));
    let pids = scene.pids("pids", 2);
    assert!(scene.runner.ask(handle.token, Request::Signal(Signal::SIGCONT)).unwrap());
    assert!(scene.runner.ask(handle.token, Request::Signal(Signal::SIGKILL)).unwrap());
    let answer = scene.wait(&handle);
    assert_eq!((answer.outcome, answer.reason, answer.retcode), (Outcome::Failed, Reason::None, -9));
    assert_eq!(body(&answer), json!("so far"));
    assert!(pids.into_iter().all(is_dead), "the whole group has the signal");
    assert!(!scene.runner.ask(handle.token, Request::Signal(Signal::SIGKILL)).unwrap(), "nobody is there");
    // One that the command takes for itself is no end.
    let ready = scene.path("ready");
    let script =
        format!("trap 'echo caught; exit 5' USR1; touch {}; while :; do sleep 0.02; done", ready.display());
    let handle = scene.launch(&shell(&script));
    until(|| exists(&ready));
    assert!(scene.runner.ask(handle.token, Request::Signal(Signal::SIGUSR1)).unwrap());
    let answer = scene.wait(&handle);
    assert_eq!(answer.retcode, 5);
    assert!(body(&answer).as_str().unwrap().ends_with("caught"));
}

fn a_terminated_runner_is_no_cancel() {
    let scene = scene();
    let pids = scene.path("pids").display().to_string();
    let handle = scene.launch(&shell(&format!("echo $$ >> {pids}; exec sleep 600")));
    let pids = scene.pids("pids", 1);
    kill(Pid::from_raw(handle.pid as i32), Signal::SIGTERM).unwrap();
    let answer = scene.wait(&handle);
    assert_eq!((answer.outcome, answer.reason), (Outcome::Interrupted, Reason::ProcessDied));
    assert!(pids.into_iter().all(is_dead));
}

/// A run that has ended, without its END.
fn endless(scene: &Scene) -> RunToken {
    let handle = scene.launch(&shell(&format!("echo start >> {}", scene.path("witness").display())));
    assert_eq!(scene.wait(&handle).outcome, Outcome::Ok);
    fs::remove_file(scene.run_dir(handle.token).join("end.json")).unwrap();
    handle.token
}

fn another_boot_is_another_world() {
    let scene = scene();
    let token = endless(&scene);
    let spec = scene.run_dir(token).join("spec.json");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let earlier =
        fs::read_to_string(&spec).unwrap().replace(boot.trim(), "00000000-0000-0000-0000-000000000000");
    fs::write(&spec, earlier).unwrap();
    assert_eq!(probe(&scene, token), Probe::Gone(Reason::Rebooted));
}

fn a_torn_end_is_none() {
    let scene = scene();
    for text in ["", "{\"format\":1,", "\0\0\0\0", "[]"] {
        let token = endless(&scene);
        fs::write(scene.run_dir(token).join("end.json"), text).unwrap();
        assert_eq!(probe(&scene, token), Probe::Gone(Reason::ProcessDied), "{text:?}");
    }
}

fn a_ruled_out_start_never_happens() {
    let scene = scene();
    let token = endless(&scene);
    let dir = scene.run_dir(token);
    let late_runner = || Command::new("/proc/self/exe").args(["runner", "--dir"]).arg(&dir).status().unwrap();
    fs::remove_file(dir.join("claim.json")).unwrap();
    assert_eq!(probe(&scene, token), Probe::Gone(Reason::ProcessDied));
    assert_eq!(late_runner().code(), Some(1));
    assert_eq!(fs::read_to_string(scene.path("witness")).unwrap(), "start\n");
    // The same, without the ruling: the trial would notice a start.
    fs::remove_file(dir.join("claim.json")).unwrap();
    assert_eq!(late_runner().code(), Some(0));
    assert_eq!(fs::read_to_string(scene.path("witness")).unwrap(), "start\nstart\n");
}

fn a_living_run_is_not_removed() {
    let scene = scene();
    let started = scene.path("started");
    let handle = scene.launch(&shell(&format!("touch {}; exec sleep 600", started.display())));
    until(|| exists(&started));
    assert!(scene.runtime.block_on(scene.runner.remove(handle.token)).is_err());
    scene.runner.kill(&handle).unwrap();
    assert_eq!(scene.wait(&handle).outcome, Outcome::Cancelled);
    for _ in 0..2 {
        scene.runtime.block_on(scene.runner.remove(handle.token)).unwrap();
        assert!(scene.runner.tokens().unwrap().is_empty());
    }
}

fn a_launch_that_fails_leaves_nothing() {
    let scene = scene();
    let launch = |runner: Runner| scene.runtime.block_on(runner.launch(RunToken::random(), &shell("true")));
    for program in ["/no/such/program", "/bin/false"] {
        assert!(launch(scene.runner.clone().with_program(vec![program.into()])).is_err());
        assert!(scene.runner.tokens().unwrap().is_empty());
    }
    fs::remove_dir(scene.path("runs")).unwrap();
    let says = launch(scene.runner.clone()).unwrap_err().to_string();
    assert!(says.contains("cannot make") && says.contains("runs"), "{says}");
}
