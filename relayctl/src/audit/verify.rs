//! `relayctl audit verify`: files alone, no fabric is asked.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use relay_core::audit::{
    Line, SignedCheckpoint, VerifierKey,
    line::MAX_LINE_BYTES,
    verify::{Findings, Judge, Verifier},
};
use relay_runtime::checkpoint::signed_by;
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    output::{Output, Paint, clean},
};

/// Largest file of keys or checkpoints, in bytes: thousands of them.
const MAX_SMALL_FILE: u64 = 1 << 20;

/// What to check, and with what.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// The log: an export, or the files of the top master's output, oldest first; - for standard input
    #[arg(required = true, value_name = "FILE|-")]
    files: Vec<PathBuf>,
    /// A key that may sign: NAME+HASH+KEY, or a file with such lines (a top master's audit/key.vkey)
    #[arg(long = "key", required = true, value_name = "KEY|FILE")]
    keys: Vec<String>,
    /// Checkpoints that were kept elsewhere: the log must still have what they say
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl audit verify audit.jsonl --key top-1.vkey
  relayctl audit verify audit.jsonl.1 audit.jsonl --key top-1.vkey --key top-2.vkey
  relayctl audit verify audit.jsonl --key top-1.vkey --checkpoint 2026-11-21.checkpoint
  zstd -dc audit.jsonl.zst | relayctl audit verify - --key top-1.vkey

Every record must be as it was written, behind the one before it, from the first one on; every checkpoint must be signed by one of
the keys, and be of exactly these records. What was changed, left out or cut off is told by its record.

EXIT CODES:
  0  all of it is proven, but for records that are newer than the last checkpoint, which are counted
  1  problems; each is told with its record
  3  not verified: a file or a key cannot be read";

/// Runs it.
pub fn run(args: &VerifyArgs, out: &Output) -> anyhow::Result<Exit> {
    let keys = args.keys.iter().map(|key| keys_of(key)).collect::<anyhow::Result<Vec<_>>>()?.concat();
    let judge = |signed: &SignedCheckpoint| signed_by(&keys, signed).map(drop);
    let mut verifier = Verifier::new(judge);
    for file in &args.checkpoints {
        for (text, place) in checkpoints_of(file)? {
            verifier.checkpoint(&text, &place);
        }
    }
    for file in &args.files {
        let name = file.display().to_string();
        match file.as_os_str() == "-" {
            true => lines(&mut io::stdin().lock(), "standard input", &mut verifier)?,
            false => {
                let opened = File::open(file).with_context(|| name.clone())?;
                lines(&mut BufReader::new(opened), &name, &mut verifier)?;
            }
        }
    }
    let found = verifier.finish();
    out.show(&data(&found), |paint| text(&found, paint))?;
    Ok(verdict(&found))
}

/// A key, or a file of keys.
fn keys_of(key: &str) -> anyhow::Result<Vec<VerifierKey>> {
    if !Path::new(key).exists() && key.contains('+') {
        return Ok(vec![key.parse()?]);
    }
    let text = small(Path::new(key))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Result<Vec<VerifierKey>, _> = lines.map(str::parse).collect();
    let keys = keys.with_context(|| key.to_owned())?;
    anyhow::ensure!(!keys.is_empty(), "{key}: there is no key in it");
    Ok(keys)
}

/// The checkpoints in a file, one behind the other as `relayctl audit checkpoint` prints them.
fn checkpoints_of(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = small(path)?;
    let mut found = Vec::new();
    let mut one = String::new();
    let mut signed = false;
    let mut take = |one: &mut String| {
        if !one.trim().is_empty() {
            found.push((std::mem::take(one), path.display().to_string()));
        }
        one.clear();
    };
    for line in text.lines() {
        let signature = line.starts_with("— ");
        // Behind its signatures the next one begins.
        if signed && !signature {
            take(&mut one);
        }
        signed = signature;
        one.push_str(line);
        one.push('\n');
    }
    take(&mut one);
    anyhow::ensure!(!found.is_empty(), "{}: there is no checkpoint in it", path.display());
    Ok(found)
}

fn small(path: &Path) -> anyhow::Result<String> {
    let read = || -> io::Result<String> {
        if fs::metadata(path)?.len() > MAX_SMALL_FILE {
            return Err(io::Error::other(format!("it has more than {MAX_SMALL_FILE} bytes")));
        }
        fs::read_to_string(path)
    };
    read().with_context(|| path.display().to_string())
}

fn lines(input: &mut dyn BufRead, name: &str, verifier: &mut Verifier<impl Judge>) -> anyhow::Result<()> {
    let mut number = 0u64;
    let mut line = Vec::new();
    loop {
        line.clear();
        number += 1;
        let read = Read::take(&mut *input, MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line);
        if read.with_context(|| name.to_owned())? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() > MAX_LINE_BYTES {
            anyhow::bail!("{name}: line {number} is longer than any record: this is no audit log");
        }
        match Line::of(&line) {
            Line::Record(line) => verifier.record(line),
            Line::Checkpoint(text) => verifier.checkpoint(&text, &format!("{name}: line {number}")),
        }
    }
}

/// The exit code.
fn verdict(found: &Findings) -> Exit {
    match found.problems.is_empty() && (found.proven > 0 || found.records == 0) {
        true => Exit::Ok,
        false => Exit::Failed,
    }
}

fn data(found: &Findings) -> Value {
    let problems: Vec<Value> =
        found.problems.iter().map(|problem| json!({ "record": problem.seq, "what": problem.what })).collect();
    json!({
        "clean": verdict(found) == Exit::Ok,
        "records": found.records,
        "proven": found.proven,
        "checkpoints": found.checkpoints,
        "problems": problems,
        "more_problems": found.more,
    })
}

fn text(found: &Findings, paint: &Paint) -> String {
    let mut text: String = found.problems.iter().map(|problem| clean(&problem.to_string()) + "\n").collect();
    let count = found.problems.len() as u64 + found.more;
    let unsigned = found.records.saturating_sub(found.proven);
    text += &match (count, found.proven) {
        (0, 0) if found.records > 0 => {
            paint.red(format!("nothing is proven: there is no checkpoint of these {} records", found.records))
        }
        (0, _) => paint.green(format!(
            "the log is whole: {} records, {} checkpoints with good signatures",
            found.records, found.checkpoints
        )),
        (1, _) => paint.red("the log has a problem"),
        (n, _) => paint.red(format!("the log has {n} problems")),
    };
    if count == 0 && unsigned > 0 && found.proven > 0 {
        text +=
            &format!("\nthe last {unsigned} are newer than the last checkpoint, and proven by nothing yet");
    }
    text
}
