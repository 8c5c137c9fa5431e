//! Watching a job from any terminal: streams that fit together without a gap or a repeat, whoever is killed in between;
//! and Ctrl-C, which lets go of a job and never loses it.

use fabric_tests::{Fabric, TOP, until};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::console::{Console, Going};

async fn region() -> Fabric {
    Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 6).delivery_ms(30_000).start().await
}

/// Orders a job whose bodies wait at their gates, as a stream of lines that is being written.
async fn streaming(fabric: &Fabric, console: &Console, more: &[&str]) -> (Going, String) {
    let body = fabric.witness().command();
    let words = [&["run", "--out", "jsonl"], more, &["*", "cmd.run", &body]].concat();
    let mut run = console.start(&words);
    let jid =
        run.shows("the head of its stream", |out| lines(out).first()?["jid"].as_str().map(String::from));
    let jid = jid.await;
    (run, jid)
}

fn watch(console: &Console, jid: &str) -> Going {
    console.start(&["jobs", "watch", jid, "--out", "jsonl"])
}

/// The whole lines.
fn lines(out: &str) -> Vec<Value> {
    let whole = out.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"))).collect()
}

/// What a stream that was cut off is worth: up to its last line with a cursor, and that cursor.
fn cut(out: &str) -> (Vec<Value>, u64) {
    let mut lines = lines(out);
    let last = lines.iter().rposition(|line| line["cursor"].is_u64()).expect("a line with a cursor");
    lines.truncate(last + 1);
    let cursor = lines[last]["cursor"].as_u64().unwrap();
    (lines, cursor)
}

/// The outcomes in a stream, each with its minion, in order.
fn told(lines: &[Value]) -> Vec<(String, String)> {
    let returns = lines.iter().filter(|line| line["event"] == "returns");
    let each = returns.flat_map(|line| {
        let outcome = line["outcome"].as_str().unwrap().to_owned();
        let minions = line["minions"].as_array().unwrap().iter();
        minions.map(move |id| (outcome.clone(), id.as_str().unwrap().to_owned())).collect::<Vec<_>>()
    });
    each.collect()
}

/// Lets a body end, and waits until a stream has told so.
async fn ends(fabric: &Fabric, stream: &mut Going, minion: &str) {
    fabric.witness().open(minion);
    let has = |out: &str| told(&lines(out)).iter().any(|(_, id)| id == minion).then_some(());
    stream.shows(&format!("the answer of {minion}"), has).await;
}

/// The stream that was cut off and the one that goes on, held against the one of somebody who watched all the time and
/// the one of somebody who comes when all is over.
async fn fit(console: &Console, jid: &str, run: &str, rest: Going, undisturbed: Going) -> Vec<Value> {
    let (mut together, _) = cut(run);
    let (rest, undisturbed) = (rest.ended().await, undisturbed.ended().await);
    together.extend(lines(&rest.out));
    assert_eq!(together, lines(&undisturbed.out));
    let again = watch(console, jid).ended().await;
    assert_eq!(together, lines(&again.out), "as the store has it");
    assert_eq!((rest.code, undisturbed.code), (again.code, again.code));
    assert_eq!(together.last().unwrap()["event"], "closed");
    together
}

#[tokio::test]
async fn a_run_killed_in_mid_job_and_a_watch_from_another_terminal_are_the_undisturbed_stream() {
    let fabric = region().await;
    let console = Console::of(&fabric);
    let (mut run, jid) = streaming(&fabric, &console, &[]).await;
    let mut undisturbed = watch(&console, &jid);
    ends(&fabric, &mut run, "aws-1-m-00").await;
    ends(&fabric, &mut run, "aws-1-m-01").await;
    run.kill9();
    // Told to nobody who goes on, but for the one who watches all the time.
    ends(&fabric, &mut undisturbed, "aws-1-m-02").await;
    let (_, cursor) = cut(&run.out());
    let mut rest = console.start(&["jobs", "watch", &jid, "--out", "jsonl", "--after", &cursor.to_string()]);
    ends(&fabric, &mut rest, "aws-1-m-03").await;
    // The last ones answer together: changes of several lines.
    fabric.witness().open_all();
    let all = fit(&console, &jid, &run.out(), rest, undisturbed).await;
    assert_eq!(told(&all).len(), 6, "{all:?}");
    let beyond = console.run(&["jobs", "watch", &jid, "--out", "jsonl", "--after", "999999"]).await;
    beyond.refused(&["999999", &jid, "from the beginning"]);
}

#[tokio::test]
async fn they_are_it_also_when_the_top_master_is_killed_in_between() {
    let mut fabric = region().await;
    let console = Console::of(&fabric);
    let (mut run, jid) = streaming(&fabric, &console, &[]).await;
    let mut undisturbed = watch(&console, &jid);
    ends(&fabric, &mut run, "aws-1-m-00").await;
    fabric.restart(TOP).await;
    // It goes on by itself where it was.
    ends(&fabric, &mut run, "aws-1-m-01").await;
    run.kill9();
    fabric.kill9(TOP);
    fabric.witness().open("aws-1-m-02");
    fabric.restart(TOP).await;
    ends(&fabric, &mut undisturbed, "aws-1-m-03").await;
    let (_, cursor) = cut(&run.out());
    let mut rest = console.start(&["jobs", "watch", &jid, "--out", "jsonl", "--after", &cursor.to_string()]);
    ends(&fabric, &mut rest, "aws-1-m-04").await;
    fabric.restart(TOP).await;
    fabric.witness().open_all();
    let all = fit(&console, &jid, &run.out(), rest, undisturbed).await;
    assert_eq!(told(&all).len(), 6, "{all:?}");
    assert_eq!(fabric.witness().starts().len(), 6, "each once");
}

#[tokio::test]
async fn they_are_it_also_when_what_was_unknown_is_known_later() {
    let builder = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 2).minion("aws-1", "solo");
    let mut fabric = builder.start().await;
    let console = Console::of(&fabric);
    fabric.stop("solo");
    let (mut run, jid) = streaming(&fabric, &console, &["--delivery-timeout", "1s"]).await;
    let mut undisturbed = watch(&console, &jid);
    run.shows("solo to be unknown", |out| {
        told(&lines(out)).contains(&("unknown".into(), "solo".into())).then_some(())
    })
    .await;
    run.kill9();
    fabric.cont("solo");
    undisturbed
        .shows("solo to be settled", |out| {
            (told(&lines(out)).iter().filter(|(_, id)| id == "solo").count() == 2).then_some(())
        })
        .await;
    let (_, cursor) = cut(&run.out());
    let mut rest = console.start(&["jobs", "watch", &jid, "--out", "jsonl", "--after", &cursor.to_string()]);
    ends(&fabric, &mut rest, "aws-1-m-00").await;
    fabric.restart(TOP).await;
    fabric.witness().open_all();
    let all = fit(&console, &jid, &run.out(), rest, undisturbed).await;
    assert_eq!(told(&all).len(), 4, "{all:?}");
}

#[tokio::test]
async fn what_is_known_after_the_close_comes_after_the_last_cursor_before_it() {
    let mut fabric = region().await;
    let console = Console::of(&fabric);
    let (mut run, jid) = streaming(&fabric, &console, &["--until", "2"]).await;
    fabric.started_in_all(6).await;
    ends(&fabric, &mut run, "aws-1-m-00").await;
    fabric.witness().open("aws-1-m-01");
    let ran = run.ended().await;
    let (mut together, cursor) = cut(&ran.out);
    assert_eq!((ran.code, told(&together).len()), (2, 6), "{ran:?}");
    fabric.restart(TOP).await;
    fabric.witness().open_all();
    let after = cursor.to_string();
    let rest = until("what was unknown to be known", async || {
        let rest = console.run(&["jobs", "watch", &jid, "--out", "jsonl", "--after", &after]).await;
        (told(&lines(&rest.out)).len() == 4).then_some(rest)
    })
    .await;
    assert_eq!(rest.code, 0, "{rest:?}");
    together.extend(lines(&rest.out));
    assert_eq!(together, lines(&watch(&console, &jid).ended().await.out));
}

#[tokio::test]
async fn a_stream_goes_on_after_each_of_its_cursors() {
    let builder = Fabric::builder().syndic("aws-1", "aws").syndic("azure-1", "azure");
    let fabric = builder.minions("aws-1", 8).minions("azure-1", 8).start().await;
    let console = Console::of(&fabric);
    // Half of them give one answer, half of them each another.
    let line = "id=$(tr '\\0' '\\n' </proc/$PPID/cmdline | sed -n 's|.*/\\([^/]*\\)/runs/.*|\\1|p'); \
                case $id in *[02468]) echo even;; *) echo $id; exit 3;; esac";
    let words = ["run", "--out", "jsonl", "--batch", "3", "--batch-wait", "20ms", "*", "cmd.run", line];
    let ran = console.run(&words).await;
    let whole = lines(&ran.out);
    assert_eq!((ran.code, told(&whole).len()), (1, 16), "{ran:?}");
    let jid = whole[0]["jid"].as_str().unwrap();
    let cursors: Vec<(usize, u64)> =
        whole.iter().enumerate().filter_map(|(no, line)| Some((no, line["cursor"].as_u64()?))).collect();
    assert!(cursors.len() > 3, "{whole:?}");
    for (no, cursor) in cursors {
        let rest =
            console.run(&["jobs", "watch", jid, "--out", "jsonl", "--after", &cursor.to_string()]).await;
        assert_eq!(lines(&rest.out), whole[no + 1..], "after {cursor}");
    }
}

#[tokio::test]
async fn killed_at_any_moment_together_with_the_top_master_it_is_the_whole() {
    let mut fabric = Fabric::builder().syndic("aws-1", "aws").minions("aws-1", 12).start().await;
    let console = Console::of(&fabric);
    for round in 0..6 {
        let words =
            ["run", "--out", "jsonl", "--batch", "1", "--batch-wait", "50ms", "*", "cmd.run", "echo $$"];
        let mut run = console.start(&words);
        // One after the other, so that there are more changes than rounds here.
        let far = |out: &str| {
            (lines(out).iter().filter(|line| line["cursor"].is_u64()).count() > round).then_some(())
        };
        run.shows("some changes", far).await;
        let jid = lines(&run.out())[0]["jid"].as_str().unwrap().to_owned();
        let undisturbed = watch(&console, &jid);
        fabric.kill9(TOP);
        run.kill9();
        fabric.daemon(TOP).start();
        let (_, cursor) = cut(&run.out());
        let rest = console.start(&["jobs", "watch", &jid, "--out", "jsonl", "--after", &cursor.to_string()]);
        let all = fit(&console, &jid, &run.out(), rest, undisturbed).await;
        assert_eq!(told(&all).len(), 12, "{all:?}");
    }
}

#[tokio::test]
async fn interrupted_before_the_answer_it_says_how_to_find_out_and_the_job_runs_once() {
    let mut fabric = region().await;
    let console = Console::of(&fabric);
    fabric.witness().open_all();
    let body = fabric.witness().command();
    fabric.stop(TOP);
    let order = ["run", "*", "cmd.run", &body];
    let run = console.start(&order);
    // Whether it has come as far as to ask is all the same; only its handler must be there.
    handles_interrupts(run.pid()).await;
    run.signal(Signal::SIGINT);
    let ran = run.ended().await;
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
    let id = ran.err.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(ran.err.contains(&format!("repeat the same command with --request-id {id}")), "{ran:?}");
    fabric.cont(TOP);
    fabric.syndic_is("aws-1", true).await;
    fabric.all_up().await;
    for _ in 0..2 {
        let ran = console.run(&[&order[..], &["--request-id", &id]].concat()).await;
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!((fabric.operator().jobs().await.unwrap().len(), fabric.witness().starts().len()), (1, 6));
}

/// Waits until a process has a handler for SIGINT.
async fn handles_interrupts(pid: i32) {
    until("a handler for SIGINT", async || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught >> (Signal::SIGINT as u32 - 1) & 1 == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn nobody_takes_the_stream_in_and_the_job_goes_on() {
    let fabric = region().await;
    let console = Console::of(&fabric);
    let body = fabric.witness().command();
    let going = console.start_into_nothing(&["run", "--out", "jsonl", "*", "cmd.run", &body]);
    let ran = going.ended().await;
    assert_eq!(ran.code, 4, "{ran:?}");
    fabric.started_in_all(6).await;
    let jid = fabric.witness().starts()[0].jid.to_string();
    assert!(ran.err.contains(&format!("the job goes on: relayctl jobs watch {jid}")), "{ran:?}");
    fabric.witness().open_all();
    assert_eq!(console.closed(&jid).await.0, 0);
}

#[tokio::test]
async fn on_a_terminal_a_canary_asks_between_its_stages() {
    let mut fabric = region().await;
    let console = Console::of(&fabric);
    fabric.witness().open_all();
    let body = fabric.witness().command();
    let batch = ["run", "--batch", "canary:1,50%,100%", "--approve", "*", "cmd.run", &body];
    let mut run = console.start_on_terminal(&batch);
    let asked = async |run: &mut Going, stage: usize, ok: usize| {
        let question = format!("stage {stage} of 3 is done: {ok} ok, 0 failed. Go on? [y/N]");
        run.shows(&question, |out| out.contains(&question).then_some(())).await;
    };
    asked(&mut run, 1, 1).await;
    run.types("y\r");
    asked(&mut run, 2, 3).await;
    let jid = fabric.witness().starts()[0].jid.to_string();
    fabric.restart(TOP).await;
    fabric.all_up().await;
    run.types("n\r");
    let waits = format!("not approved: the job waits; relayctl jobs approve {jid}");
    run.shows(&waits, |out| out.contains(&waits).then_some(())).await;
    // From another terminal.
    assert_eq!(console.run(&["jobs", "approve", &jid]).await.code, 0);
    assert_eq!(run.ended().await.code, 0);
    assert_eq!(fabric.witness().starts().len(), 6);
}

#[tokio::test]
async fn ctrl_c_off_a_terminal_lets_go_and_says_how_to_watch() {
    let fabric = region().await;
    let console = Console::of(&fabric);
    for (form, signal) in [("jsonl", Signal::SIGINT), ("jsonl", Signal::SIGTERM), ("json", Signal::SIGINT)] {
        let before = fabric.witness().starts().len();
        let body = fabric.witness().command();
        let run = console.start(&["run", "--out", form, "*", "cmd.run", &body]);
        fabric.started_in_all(before + 6).await;
        let jid = fabric.witness().starts().last().unwrap().jid.to_string();
        // A signal right after the acceptance may come before it is known; here it is.
        let mut looked = watch(&console, &jid);
        looked.shows("the job", |out| lines(out).first().map(|_| ())).await;
        run.signal(signal);
        let ran = run.ended().await;
        assert_eq!(ran.code, 4, "{ran:?}");
        let typed = ran.err.trim().rsplit("the job goes on: relayctl ").next().unwrap().to_owned();
        assert!(typed.starts_with(&format!("jobs watch {jid}")), "{ran:?}");
        let again = console.start(&typed.split(' ').collect::<Vec<_>>());
        fabric.witness().open_all();
        let again = again.ended().await;
        assert_eq!(again.code, 0, "{typed}: {again:?}");
        let whole = looked.ended().await;
        assert_eq!((whole.code, told(&lines(&whole.out)).len()), (0, 6), "the job went on: {whole:?}");
        fabric.witness().close_all();
    }
}

#[tokio::test]
async fn ctrl_c_on_a_terminal_says_so_then_asks_and_cancels_on_a_yes() {
    let fabric = region().await;
    let console = Console::of(&fabric);
    let body = fabric.witness().command();
    for (answer, code) in [("n\n", 4), ("y\n", 1)] {
        let before = fabric.witness().starts().len();
        let mut run = console.start_on_terminal(&["run", "*", "cmd.run", &body]);
        fabric.started_in_all(before + 6).await;
        let jid = fabric.witness().starts().last().unwrap().jid.to_string();
        run.shows("where the job stands", |out| out.contains("0/6").then_some(())).await;
        run.types("\x03");
        let told = format!("detached; the job goes on: relayctl jobs watch {jid}; press Ctrl-C again");
        run.shows("the first words", |out| out.contains(&told).then_some(())).await;
        run.types("\x03");
        let question = format!("cancel job {jid} on 6 minions? [y/N]");
        run.shows("the question", |out| out.contains(&question).then_some(())).await;
        run.types(answer);
        let ran = run.ended().await;
        assert_eq!(ran.code, code, "{ran:?}");
        let heads = fabric.operator().jobs().await.unwrap();
        let head =
            heads.iter().find(|head| head.jid == jid.parse::<relay_core::ids::Jid>().unwrap().micros());
        assert_eq!(head.map(|head| head.cancelled), Some(answer == "y\n"), "{answer:?}");
    }
    until("the bodies of the cancelled job to be dead", async || {
        let starts = fabric.witness().starts();
        let alive = |s: &fabric_tests::witness::Start| fabric_tests::process::lives(s.pid);
        (!starts[6..].iter().any(alive)).then_some(())
    })
    .await;
    // The one that was let go of goes on to its end.
    fabric.witness().open_all();
    let jid = fabric.witness().starts()[0].jid.to_string();
    assert_eq!(console.closed(&jid).await.0, 0);
}
