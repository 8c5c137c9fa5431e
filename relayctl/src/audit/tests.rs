//! A log that was signed by a key, checked from its files.

use std::{fs, path::Path};

use clap::Parser;
use relay_core::{
    audit::{Checkpoint, Entry, Event, Kind, Log, checkpoint_line},
    ids::Epoch,
};
use relay_runtime::checkpoint::CheckpointKey;

use super::*;
use crate::output::Format;

#[derive(Parser)]
struct Words {
    #[command(subcommand)]
    command: AuditCommand,
}

/// A log of ten records with a checkpoint behind the fifth and the tenth; each line with its end.
fn log(directory: &Path) -> (Vec<String>, CheckpointKey) {
    let key = CheckpointKey::open(&directory.join("key"), "test/audit/top-1").unwrap();
    let (mut lines, mut log, mut prev) = (Vec::new(), Log::default(), None);
    for seq in 0..10 {
        let event = Event::new(Kind::Job, "alice", "certificate").about(format!("job {seq}"));
        let entry = Entry { seq, prev, at: 1_795_246_616_000_000, epoch: Epoch(1), event };
        prev = Some(entry.leaf());
        log.append(entry.leaf());
        lines.push(String::from_utf8(entry.encode()).unwrap() + "\n");
        if log.size().is_multiple_of(5) {
            let checkpoint = Checkpoint { origin: "test/audit".into(), size: log.size(), root: log.root() };
            lines.push(checkpoint_line(&key.sign(&checkpoint)) + "\n");
        }
    }
    (lines, key)
}

/// Runs `verify` with these words; the exit code, or that it could not be done.
async fn verify(words: &[&str]) -> Result<u8, String> {
    let words = ["audit", "verify"].iter().chain(words);
    let AuditCommand::Verify(args) = Words::try_parse_from(words).map_err(|e| e.to_string())?.command else {
        panic!("another command");
    };
    let exit = verify::run(&args, &Output::to_stdout(Format::Json));
    exit.map(Exit::code).map_err(|e| format!("{e:#}"))
}

#[tokio::test]
async fn files_are_verified_and_damage_is_an_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let (lines, key) = log(directory.path());
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: String| {
        fs::write(path(name), text).unwrap();
        path(name)
    };
    let vkey = path("key/key.vkey");
    let text = key.verifier().to_string();
    let (whole, first, second) =
        (write("whole", lines.concat()), write("a", lines[..4].concat()), write("b", lines[4..].concat()));
    assert_eq!(verify(&[&whole, "--key", &vkey]).await, Ok(0));
    assert_eq!(verify(&[&whole, "--key", &text]).await, Ok(0));
    assert_eq!(verify(&[&first, &second, "--key", &vkey]).await, Ok(0));
    assert_eq!(verify(&[&second, "--key", &vkey]).await, Ok(1), "the beginning is missing");
    let changed = write("changed", lines.concat().replacen("job 7", "job 8", 1));
    assert_eq!(verify(&[&changed, "--key", &vkey]).await, Ok(1));
    let unsigned = write("unsigned", lines[..3].concat());
    assert_eq!(verify(&[&unsigned, "--key", &vkey]).await, Ok(1), "nothing is proven");
    let newer = write("newer", lines[..8].concat());
    assert_eq!(verify(&[&newer, "--key", &vkey]).await, Ok(0), "two are newer than the checkpoint");
    let kept: serde_json::Value = serde_json::from_str(&lines[11]).unwrap();
    let kept = kept["checkpoint"].as_str().unwrap();
    let kept = write("kept", kept.to_owned() + kept);
    assert_eq!(verify(&[&whole, "--key", &vkey, "--checkpoint", &kept]).await, Ok(0));
    assert_eq!(verify(&[&newer, "--key", &vkey, "--checkpoint", &kept]).await, Ok(1), "it was cut");
    CheckpointKey::open(&directory.path().join("other"), "test/audit/top-1").unwrap();
    assert_eq!(verify(&[&whole, "--key", &path("other/key.vkey")]).await, Ok(1), "another key");
    for wrong in [
        &[&path("nowhere"), "--key", &vkey][..],
        &[&whole, "--key", &path("nowhere")],
        &[&whole, "--key", &whole],
        &[&whole],
        &[&whole, "--key", &vkey, "--checkpoint", &path("nowhere")],
    ] {
        assert!(verify(wrong).await.is_err(), "{wrong:?}");
    }
}

#[test]
fn a_record_is_a_line_for_people() {
    let event = Event::new(Kind::Deny, "mallory\u{1b}[2J", "token").about("web*").with("function", "cmd.run");
    let entry = Entry { seq: 3, prev: None, at: 1_795_246_616_000_000, epoch: Epoch(1), event };
    let line = tail::line(&entry, &crate::output::Paint::for_stream(false));
    assert!(line.contains(" 3 deny mallory") && line.ends_with("(token) web* function=cmd.run"), "{line}");
    assert!(!line.contains('\u{1b}'));
}
