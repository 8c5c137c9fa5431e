//! a28: somebody who has an account on a machine of the fabric, and is not its owner: he plants configuration and programs where our
//! processes may stand, rewrites what he can reach, and has processes and files with names that are not what they seem
//! (CVE-2020-28243, CVE-2021-22004, CVE-2021-31607).

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use abuse_tests::{
    console::Console,
    hostile::{ESCAPED, FORGED},
    proc,
    region::{REGION, SYNDIC, serves_on},
};
use fabric_tests::{
    Fabric, TOP,
    process::{self, MARK, binary},
};
use nix::{
    sys::{prctl, signal::Signal},
    unistd::{Pid, geteuid},
};
use relay_core::outcome::{Outcome, Reason};

/// `nobody`, who is everywhere.
const NOBODY: u32 = 65_534;
/// Programs that ours or their commands might start.
const PROGRAMS: [&str; 10] =
    ["sh", "id", "echo", "git", "ssh", "salt", "minion", "relayctl", "top-master", "script"];
/// Files that ours read elsewhere.
const FILES: [&str; 10] = [
    "config.yaml",
    "minion.yaml",
    "policy.yaml",
    "contexts.yaml",
    "topology.yaml",
    "grains",
    "users",
    "token",
    ".relay/contexts.yaml",
    ".config/relay/contexts.yaml",
];

/// A command that dies with this test.
fn ours(fabric: &Fabric, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env(MARK, fabric.dir()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: prctl is async-signal-safe, and nothing is allocated between fork and exec.
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from));
    }
    command
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory that anybody may write to, full of what somebody has put there: programs that leave a trace, files with words of ours.
fn planted(fabric: &Fabric) -> PathBuf {
    let dir = fabric.dir().join("planted");
    fs::create_dir(&dir).unwrap();
    let trace = fabric.dir().join(ESCAPED);
    for name in PROGRAMS {
        let program = dir.join(name);
        fs::write(&program, format!("#!/bin/sh\n/bin/touch {}\n", trace.display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    }
    for name in FILES {
        let file = dir.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(
            file,
            "version: 1\ncurrent: evil\ncontexts: []\nfunctions: ['*']\nallow: {any: {'*': ['*']}}\n",
        )
        .unwrap();
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

#[tokio::test]
async fn what_is_planted_where_our_processes_stand_is_neither_read_nor_run() {
    let builder = Fabric::builder().syndic(SYNDIC, REGION);
    let mut fabric =
        builder.minion_with_policy(SYNDIC, "solo", "functions: ['test.*', cmd.run]\n").start().await;
    let dir = planted(&fabric);
    // An operator who has no context of his own is not given one, and one who has is not given another.
    let console = Console::of(&fabric, "console");
    let mut bare = console.command(&["run", "*", "test.ping"]);
    let home = fabric.dir().join("home");
    fs::create_dir(&home).unwrap();
    let ran = bare.current_dir(&dir).env_remove("RELAY_CONFIG").env("HOME", &home).output().unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.code() != Some(0) && said.contains("context"), "{said}");
    let ran = console.command(&["run", "*", "test.ping"]).current_dir(&dir).status().unwrap();
    assert_eq!(ran.code(), Some(0));
    // A minion that is started there; what it runs is what is on its path, also in a job that is to run there.
    fabric.kill9("solo");
    let config = fabric.dir().join("solo/config.yaml");
    let log = File::options().append(true).open(fabric.dir().join("solo/log")).unwrap();
    let mut minion = ours(&fabric, binary("minion"));
    let minion = minion.args(["serve", "--config"]).arg(config).current_dir(&dir).stderr(log);
    let minion = Running(minion.spawn().unwrap());
    fabric.minion_is("solo", true).await;
    for kwargs in
        [serde_json::json!({}), serde_json::json!({"cwd": dir}), serde_json::json!({"runas": "root"})]
    {
        let mut asked = fabric.job("solo", "cmd.run");
        asked.request.args =
            serde_json::json!({"args": ["id -u; echo done"], "kwargs": kwargs}).to_string().into();
        let mut job = asked.submit().await.unwrap();
        job.closed(&fabric).await;
        let ran = job.value("solo").to_string();
        assert!(ran.contains("done") || !geteuid().is_root() && ran.contains("runas"), "{kwargs}: {ran}");
    }
    // Its own policy is the one that its configuration names.
    let refused = fabric.run("solo", "grains.items", &[]).await;
    assert_eq!(refused.outcome("solo"), (Outcome::Refused, Reason::NotAllowed));
    assert!(!fabric.dir().join(ESCAPED).exists(), "a planted program ran");
    drop(minion);
    fabric.restart("solo").await;
    fabric.all_up().await;
    serves_on(&mut fabric).await;
}

#[tokio::test]
async fn rules_that_others_can_write_are_not_read() {
    let builder = Fabric::builder().syndic(SYNDIC, REGION);
    let mut fabric = builder.minion_with_policy(SYNDIC, "solo", "functions: ['test.*']\n").start().await;
    // The machine's own policy, while its minion runs: what somebody else could have written does not count.
    fabric.set_local_policy("solo", "functions: ['test.*', 'grains.*']\n");
    let counts = fabric.run("solo", "grains.items", &[]).await;
    assert_eq!(counts.counts(), [("ok", 1)].into(), "a change of its owner's");
    let local = fabric.dir().join("solo/policy.yaml");
    for mode in [0o646, 0o664, 0o666] {
        fs::set_permissions(&local, fs::Permissions::from_mode(mode)).unwrap();
        fs::write(&local, format!("functions: ['*'] # {mode:o}\n")).unwrap();
        let refused = fabric.run("solo", "cmd.run", &["echo x"]).await;
        assert_eq!(refused.outcome("solo"), (Outcome::Refused, Reason::NotAllowed), "{mode:04o}");
    }
    // At a start all of these are refused, with what to do.
    let config = fabric.dir().join("solo/config.yaml").display().to_string();
    let (code, said) = process::run("minion", &["check-config", "--config", &config]);
    assert!(code != Some(0) && said.contains("0666") && said.contains("chmod"), "{said}");
    fabric.set_local_policy("solo", "{}\n");
    let policy = fabric.dir().join(TOP).join("policy.yaml");
    let config = fabric.dir().join(TOP).join("config.yaml").display().to_string();
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o646)).unwrap();
    fabric.kill9(TOP);
    let (code, said) = process::run("top-master", &["serve", "--config", &config]);
    assert!(code != Some(0) && said.contains("0646") && said.contains("chmod"), "{said}");
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o600)).unwrap();
    fabric.restart(TOP).await;
    fabric.all_up().await;
    serves_on(&mut fabric).await;
}

/// Names of processes and files: 15 bytes at most, so that the kernel keeps all of them as the process's name.
const NAMES: [&[u8]; 8] = [
    b") Z 1 1 1 (",
    b"x) R 1 1 1 1 1",
    b"((((",
    b"a\n2030-01-01T",
    b"\x1b[2J\x1b[31m",
    b"\xff\xfe) S 1",
    b"$(touch x)",
    b"-rf",
];

/// Processes of somebody else with these names, in a directory of his with files of the same names.
fn bystanders(fabric: &Fabric) -> Vec<Running> {
    let dir = fabric.dir().join("his");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(fabric.dir(), fs::Permissions::from_mode(0o711)).unwrap();
    let sleep = ["/usr/bin/sleep", "/bin/sleep"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    let start = |name: &[u8]| {
        let program = dir.join(OsStr::from_bytes(name));
        fs::copy(sleep, &program).unwrap();
        let mut command = ours(fabric, &program);
        // Names of runs that there are not, and that no run has.
        for (variable, value) in [("RELAY_RUN", "0".repeat(32)), ("RELAY_JID", format!("1\n{FORGED}"))] {
            command.env(variable, value);
        }
        command.arg0(OsStr::from_bytes(name)).arg("600").current_dir(&dir).process_group(0);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        Running(command.spawn().unwrap())
    };
    let running = NAMES.iter().map(|name| start(name)).collect();
    if geteuid().is_root() {
        chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    running
}

#[tokio::test]
async fn names_of_others_processes_and_files_are_only_names() {
    let mut fabric = Fabric::builder().syndic(SYNDIC, REGION).minion(SYNDIC, "solo").start().await;
    let mut his = bystanders(&fabric);
    for other in &his {
        let pid = Pid::from_raw(other.0.id() as i32);
        assert!(!proc::arguments(pid).is_empty(), "it runs");
    }
    // A job whose minion dies goes on, and one whose runner dies, too, is found dead: with all those in between.
    let mut survives = fabric.witnessed("solo").await;
    fabric.started(&survives, 1).await;
    fabric.kill9("solo");
    fabric.witness().open_all();
    fabric.restart("solo").await;
    survives.closed(&fabric).await;
    assert!(survives.value("solo").to_string().contains("done by solo"), "{:?}", survives.slots());
    fabric.witness().close_all();
    let mut dies = fabric.witnessed("solo").await;
    fabric.started(&dies, 1).await;
    let body = fabric.witness().pid(dies.jid(), "solo");
    let runner = process::parent(body).unwrap();
    fabric.kill9("solo");
    process::kill9(runner);
    fabric.restart("solo").await;
    dies.closed(&fabric).await;
    assert_eq!(dies.outcome("solo").0, Outcome::Interrupted, "{:?}", dies.slots());
    assert!(!process::lives(body), "its command was left");
    for (other, name) in his.iter_mut().zip(NAMES) {
        let ended = other.0.try_wait().unwrap();
        assert_eq!(ended, None, "{:?} was killed", String::from_utf8_lossy(name));
    }
    // A job that lists them brings text.
    fabric.witness().open_all();
    let listed = format!("ls -la {}/his; cat /proc/[0-9]*/comm; true", fabric.dir().display());
    let mut lists = fabric.run("solo", "cmd.run", &[&listed]).await;
    assert_eq!(lists.counts(), [("ok", 1)].into());
    fabric.check(&mut [&mut survives, &mut dies, &mut lists]).await;
    drop(his);
    serves_on(&mut fabric).await;
}
