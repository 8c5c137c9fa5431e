//! Output without end: bounded memory on the way, a truncated answer with the hash of all of it.

use std::fs;

use fabric_tests::{Fabric, process, until};
use relay_core::outcome::{MAX_BODY_BYTES, Outcome};

/// The most a minion or a runner may have held at any time, in KiB. A debug build of the minion has some 20 MiB; the
/// output below is many times this.
const BOUND_KIB: u64 = 64 * 1024;

#[tokio::test]
async fn a_large_output_is_cut_with_a_flag_and_the_hash_of_the_whole() {
    let fabric = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "loud").start().await;
    let mut job = fabric.run("*", "cmd.run", &["head -c 200000000 /dev/zero | tr '\\0' x"]).await;
    let answer = job.answer("loud").unwrap();
    assert_eq!((answer.outcome, answer.body.len()), (Outcome::Ok, MAX_BODY_BYTES));
    // sha256 of 200,000,000 times "x", by coreutils.
    let (status, whole) = hash_of("head -c 200000000 /dev/zero | tr '\\0' x");
    assert!(status, "{whole}");
    let shown: String =
        answer.truncated.expect("a truncated answer").iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(shown, whole);
    let pid = fabric.daemons().find(|d| d.name() == "loud").and_then(process::Daemon::pid).unwrap();
    assert!(peak_kib(pid.as_raw()) < BOUND_KIB, "the minion held {} KiB", peak_kib(pid.as_raw()));
    fabric.check(&mut [&mut job]).await;
}

#[tokio::test]
async fn an_endless_output_is_ended_by_the_run_limit_in_bounded_memory() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minion("aws-1", "loud").minion("aws-1", "calm");
    let fabric = builder.start().await;
    let args =
        ["echo $PPID > FILE; exec yes".replace("FILE", &fabric.dir().join("pid").display().to_string())];
    let mut job = fabric.job("loud", "cmd.run").args(args).run_ms(3_000).submit().await.unwrap();
    let runner = until("the runner to be there", async || {
        fs::read_to_string(fabric.dir().join("pid")).ok()?.trim().parse::<i32>().ok()
    })
    .await;
    // Nobody else is slower for it: this is answered while the other one still runs.
    let mut other = fabric.run("calm", "test.ping", &[]).await;
    assert_eq!(other.counts(), [("ok", 1)].into());
    job.until(&fabric, "be seen running or ended", |job| job.running() == 1 || job.answer("loud").is_some())
        .await;
    let held = peak_kib(runner);
    job.closed(&fabric).await;
    let answer = job.answer("loud").unwrap();
    assert_eq!((answer.outcome, answer.truncated.is_some()), (Outcome::TimedOut, true));
    assert!(answer.body.len() <= MAX_BODY_BYTES && held < BOUND_KIB, "the runner held {held} KiB");
    fabric.check(&mut [&mut job, &mut other]).await;
}

/// The most memory a process has held; 0 if it is gone.
fn peak_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn hash_of(command: &str) -> (bool, String) {
    let shell =
        std::process::Command::new("sh").args(["-c", &format!("{command} | sha256sum")]).output().unwrap();
    let text = String::from_utf8_lossy(&shell.stdout).split(' ').next().unwrap_or_default().to_owned();
    (shell.status.success(), text)
}
