//! The lines that scripts speak, with scripts of the tests' own; and the two things that ours must not do: not be Python, and
//! leave something behind.

use std::{io::BufRead, time::Instant};

use super::*;

/// A script of the test's own, in the place of one of ours.
async fn scripted(text: &str) -> anyhow::Result<Asked<Script>> {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", text]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Started::spawn("scripted", command, &dir.path().join("log")).unwrap();
    let (stdin, stdout) = (process.child().stdin.take().unwrap(), process.child().stdout.take().unwrap());
    let lines = BufReader::new(ChildStdout::from_std(stdout).unwrap()).lines();
    let stdin = ChildStdin::from_std(stdin).unwrap();
    Script { process, stdin, lines, notes: Vec::new() }.until_ready().await
}

#[tokio::test]
async fn a_peer_that_is_absent_says_why_and_one_that_failed_is_an_error() {
    let absent = scripted("echo absent no network here").await.unwrap();
    assert!(matches!(absent, Asked::Absent(why) if why == "no network here"));
    for text in ["echo failed it broke", "echo nonsense it broke", "echo it broke >&2; exit 1"] {
        let error = format!("{:#}", scripted(text).await.unwrap_err());
        assert!(error.contains("it broke"), "{text}: {error}");
    }
}

#[tokio::test]
async fn words_are_carried_out_in_turn_until_the_end() {
    let text = "echo note slow; echo ready; while read -r word; do echo took 1.5 ${#word}; done";
    let Asked::Here(mut script) = scripted(text).await.unwrap() else { panic!("absent") };
    assert_eq!(script.notes, ["slow"]);
    assert_eq!(script.word("ping").await.unwrap(), Took { ms: 1.5, answers: 4 });
    assert_eq!(script.word("pings").await.unwrap(), Took { ms: 1.5, answers: 5 });
    script.end().await.unwrap();
}

#[test]
fn only_two_numbers_are_an_answer() {
    assert_eq!(took("took 12.250 80"), Some(Took { ms: 12.25, answers: 80 }));
    for line in ["took", "took 1", "took x 1", "took 1 x", "took 1 2 cli", "is 1 2"] {
        assert_eq!(took(line), None, "{line}");
    }
}

/// Runs some Python beside our scripts. Nothing where there is none: there the peers are absent, too.
fn python(text: &str, dir: &Path) -> Option<std::process::Child> {
    let mut command = Command::new("python3");
    command.args(["-B", "-c", text]).current_dir(write(dir).unwrap()).env("TMPDIR", dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().inspect_err(|error| eprintln!("skipped: python3: {error}")).ok()
}

#[test]
fn our_scripts_are_python() {
    let dir = tempfile::tempdir().unwrap();
    let text = "import pathlib\nfor f in pathlib.Path('.').glob('*.py'): print(compile(f.read_text(), f.name, 'exec'))";
    let Some(python) = python(text, dir.path()) else { return };
    let ran = python.wait_with_output().unwrap();
    assert!(ran.status.success());
    let files = FILES.iter().filter(|(name, _)| name.ends_with(".py")).count();
    assert_eq!(String::from_utf8_lossy(&ran.stdout).lines().count(), files);
}

/// A peer whose process has started another, as daemons do.
const KEPT: &str = "import peer, time
keeper = peer.Keeper('kept-')
keeper.start('two', ['sh', '-c', 'sleep 1000 & echo $!; sleep 1000'], stdout=None)
time.sleep(1000)";

#[test]
fn a_script_that_is_killed_leaves_no_process_and_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut script) = python(KEPT, dir.path()) else { return };
    let mut sleeper = String::new();
    std::io::BufReader::new(script.stdout.take().unwrap()).read_line(&mut sleeper).unwrap();
    assert!(lives(sleeper.trim()), "{sleeper:?}");
    script.kill().unwrap();
    script.wait().unwrap();
    let names = || std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
    let begun = Instant::now();
    while lives(sleeper.trim()) || names().any(|name| name.to_string_lossy().starts_with("kept-")) {
        assert!(begun.elapsed() < END_TIME, "process {sleeper:?} or the directory is left");
        std::thread::yield_now();
    }
}

/// Whether a process is there and no zombie: whoever adopts it may be slow.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
