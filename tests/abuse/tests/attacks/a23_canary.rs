//! a23: secrets that are put in wherever a secret can be, and then looked for wherever one could leak: logs (at level debug),
//! metrics, command lines, other processes' files (CVE-2015-6918, CVE-2021-25284, Salt #69071).

use std::{fs, path::Path};

use abuse_tests::{
    console::Console,
    proc,
    region::{SYNDIC, files, serves_on},
};
use fabric_tests::{Fabric, TOP, until};
use nix::unistd::Pid;

/// A secret that no other text contains by chance.
fn canary(what: &str) -> String {
    format!("CANARY-{what}-{:032x}", rand::random::<u128>())
}

/// Every process that carries this fabric's mark or descends from one that does.
fn processes(fabric: &Fabric) -> Vec<Pid> {
    let mark = format!("{}={}", fabric_tests::process::MARK, fabric.dir().display());
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    })
    .map(Pid::from_raw)
    .collect()
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// Whether a file is one in which arguments and answers of jobs are kept, by design, for who may read it: its owner.
fn is_kept(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ["/state/store.sqlite", "/state/spool", "/journal", "/runs/"].iter().any(|part| text.contains(part))
}

#[tokio::test]
async fn no_secret_of_a_job_is_in_a_log_a_metric_or_a_command_line() {
    let builder = Fabric::builder().syndic(SYNDIC, "aws").minion(SYNDIC, "solo").minion(SYNDIC, "other");
    let mut fabric = builder.start().await;
    let console = Console::of(&fabric, "console");
    let secrets: Vec<(&str, String)> =
        ["env", "stdin", "keyword", "output", "failing", "unknown", "schedule", "item", "value", "refused"]
            .map(|what| (what, canary(what)))
            .into();
    let of = |what: &str| {
        secrets.iter().find(|(name, _)| *name == what).map(|(_, secret)| secret.clone()).unwrap()
    };

    // A command that has them in its environment and on its standard input, and goes on while the machine is looked at.
    let gate = fabric.dir().join("gate");
    let started = fabric.dir().join("started");
    let body = format!("touch {}; while [ ! -e {} ]; do sleep 0.05; done", started.display(), gate.display());
    let request = serde_json::json!({
        "args": [body],
        "kwargs": {"env": {"DATABASE_PASSWORD": of("env")}, "stdin": of("stdin")},
    });
    let mut asked = fabric.job("solo", "cmd.run");
    asked.request.args = request.to_string().into_bytes();
    let mut job = asked.submit().await.unwrap();
    until("the body to start", async || started.exists().then_some(())).await;
    let running = processes(&fabric);
    assert!(running.len() >= 5, "top master, syndic, two minions, a runner: {running:?}");
    for pid in &running {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        for (what, secret) in &secrets {
            assert!(!holds(&arguments, secret), "{what} is on the command line of {pid}");
        }
    }
    let _ = proc::arguments;
    fs::write(&gate, "").unwrap();
    job.closed(&fabric).await;
    // Arguments, answers, failures and refusals with a secret in them.
    for (target, function, args) in [
        ("solo", "test.echo", vec![of("keyword")]),
        ("solo", "cmd.run", vec![format!("echo {}", of("output"))]),
        ("solo", "cmd.run", vec![format!("echo {} >&2; exit 7", of("failing"))]),
        ("solo", "no.such_function", vec![of("unknown")]),
        ("solo", "test.sleep", vec![of("refused")]),
    ] {
        let mut job = fabric.job(target, function).args(args).submit().await.unwrap();
        job.closed(&fabric).await;
    }
    let ran = console.run(&[
        "schedule",
        "add",
        "abuse",
        "--cron",
        "0 0 1 1 *",
        "--",
        "*",
        "test.echo",
        &of("schedule"),
    ]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let ran = console.run(&["schedule", "remove", "abuse"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    // Also what is said when things go wrong: the arguments are no JSON, the minion is gone.
    let mut wrong = fabric.job("solo", "test.ping");
    wrong.request.args = format!("{{\"args\": [\"{}\"", of("value")).into_bytes();
    if let Ok(mut job) = wrong.submit().await {
        job.closed(&fabric).await;
    }
    fabric.kill9("solo");
    fabric.minion_is("solo", false).await;
    let mut lost = fabric.job("solo", "test.echo").args([of("item")]).submit().await.unwrap();
    lost.closed(&fabric).await;
    fabric.restart("solo").await;
    fabric.all_up().await;

    for (what, secret) in &secrets {
        for daemon in fabric.daemons() {
            assert!(!daemon.log().contains(secret), "{what} is in the log of {}", daemon.name());
            let (_, metrics) = daemon.get("/metrics").unwrap();
            assert!(!metrics.contains(secret), "{what} is among the metrics of {}", daemon.name());
        }
        for path in files(fabric.dir()).filter(|path| !is_kept(path)) {
            let bytes = fs::read(&path).unwrap_or_default();
            assert!(!holds(&bytes, secret), "{what} is in {}", path.display());
        }
        // A minion that was not asked has nothing of it, in whatever it keeps.
        for path in files(&fabric.dir().join("other")) {
            assert!(!holds(&fs::read(&path).unwrap_or_default(), secret), "{what} is in {}", path.display());
        }
    }
    let _ = TOP;
    serves_on(&mut fabric).await;
}
