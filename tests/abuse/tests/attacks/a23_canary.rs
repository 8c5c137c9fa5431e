//! a23: secrets that are put in wherever a secret can be, and then looked for wherever one could leak: logs (at level debug),
//! metrics, command lines, other processes' files (CVE-2015-6918, CVE-2021-25284, Salt #69071).

mod credentials;

use std::{fs, path::Path};

use abuse_tests::{
    canary::Canaries,
    console::Console,
    region::{SYNDIC, files, serves_on},
    trail::Trail,
};
use fabric_tests::{Fabric, until};

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
    let mut secrets = Canaries::default();
    let all =
        ["env", "stdin", "keyword", "output", "failing", "unknown", "schedule", "item", "value", "refused"];
    let made: Vec<(&str, String)> = all.map(|what| (what, secrets.make(what))).into();
    let of =
        |what: &str| made.iter().find(|(name, _)| *name == what).map(|(_, secret)| secret.clone()).unwrap();

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
    // Top master, syndic, two minions, a runner, its command.
    secrets.absent_in_processes(&fabric, 6, &["DATABASE_PASSWORD"]);
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

    secrets.absent_in_fabric(&fabric, |_, path| is_kept(path));
    secrets.absent_in("the audit log", Trail::of(&fabric).is_whole().as_bytes());
    // A minion that was not asked has nothing of it, in whatever it keeps.
    for path in files(&fabric.dir().join("other")) {
        secrets.absent_in(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
    }
    serves_on(&mut fabric).await;
}
