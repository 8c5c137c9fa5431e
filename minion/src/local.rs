//! `minion call`: one function on this machine, without a master, a link or a journal.
//!
//! Owns the little world of such a call: its grains, its temporary directory of runs, and what a signal to it does.
//! Prints nothing itself: [`call`] returns the line for stdout.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use relay_core::{
    ids::{Jid, MinionId},
    outcome::{Answer, Outcome, Reason},
};
use relay_proto::arguments::Arguments;
use relay_runtime::{clock, config};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    functions::{self, Call, Context, Jobs, Prepared, RunningJob, Signalled},
    grains::{self, GrainBook},
    runner::{CommandSpec, RunToken, Runner},
    serve,
};

/// The run limit of a local call: whoever called is there to end it. A year, so that clock arithmetic is safe.
const NO_LIMIT: Duration = Duration::from_secs(366 * 86_400);
/// Longest file of arguments, in bytes: an envelope of a job, which is what a master could send, is smaller.
const MAX_ARGUMENTS: u64 = 1 << 20;

/// What to call, from the command line.
#[derive(Debug, Default)]
pub struct LocalCall {
    /// The function's full name.
    pub function: String,
    /// Words as positional arguments: each is a text.
    pub words: Vec<String>,
    /// `{"args": [...], "kwargs": {...}}`, or the name of a file with that.
    pub json_args: Option<String>,
    /// Whose id and grains.
    pub config: Option<PathBuf>,
    /// The id; the configuration's or the host's name if absent.
    pub id: Option<String>,
}

/// What came of a call.
#[derive(Debug)]
pub struct Called {
    /// One line of JSON: id, jid, fun, outcome, reason, retcode, truncated, return.
    pub line: String,
    /// Whether the outcome is `ok`.
    pub ok: bool,
}

/// Runs the function, until it ends or SIGINT or SIGTERM comes: then it is cancelled, and its processes are killed.
///
/// # Errors
/// What to tell: the arguments, the id or the configuration cannot be used, and nothing was started.
pub async fn call(what: LocalCall) -> anyhow::Result<Called> {
    // Before anything starts: a signal that came between would end this process alone.
    let mut stop = Stop::listen()?;
    let arguments = arguments(&what)?;
    let book = Arc::new(book(what.config.as_deref(), what.id.as_deref())?);
    let jid = Jid::from_micros(clock::wall());
    let id = book.id().clone();
    let context = Context { minion: id.clone(), grains: book, jobs: Arc::new(Nothing) };
    let call = Call {
        jid,
        function: what.function.clone(),
        args: arguments.args,
        kwargs: arguments.kwargs,
        run_limit: NO_LIMIT,
    };
    let answer = match functions::prepare(call, &context) {
        Err(answer) => answer,
        Ok(Prepared::Builtin(function)) => tokio::select! {
            answer = function => answer,
            () = stop.comes() => Answer::bare(Outcome::Cancelled, Reason::WhileRunning),
        },
        Ok(Prepared::Command(spec)) => command(&spec, &mut stop).await?,
    };
    Ok(Called { ok: answer.outcome == Outcome::Ok, line: line(&id, jid, &what.function, &answer) })
}

fn line(id: &MinionId, jid: Jid, function: &str, answer: &Answer) -> String {
    // An empty body is that of an answer without a value.
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    json!({
        "id": id.as_str(),
        "jid": jid.to_string(),
        "fun": function,
        "outcome": answer.outcome.word(),
        "reason": answer.reason.word(),
        "retcode": answer.retcode,
        "truncated": answer.truncated.is_some(),
        "return": value,
    })
    .to_string()
}

fn arguments(what: &LocalCall) -> anyhow::Result<Arguments> {
    let Some(given) = &what.json_args else {
        let args = what.words.iter().map(|word| word.as_str().into()).collect();
        return Ok(Arguments { args, ..Arguments::default() });
    };
    let text = match given.trim_start().starts_with('{') {
        true => given.clone(),
        false => {
            let size =
                fs::metadata(given).with_context(|| format!("--json-args: {given} cannot be read"))?.len();
            anyhow::ensure!(
                size <= MAX_ARGUMENTS,
                "--json-args: {given} has {size} bytes, {MAX_ARGUMENTS} are allowed"
            );
            fs::read_to_string(given).with_context(|| format!("--json-args: {given} cannot be read"))?
        }
    };
    anyhow::ensure!(!text.is_empty(), "--json-args: {given} is empty");
    Arguments::read(text.as_bytes())
        .with_context(|| r#"--json-args takes {"args": [...], "kwargs": {...}}, or a file with that"#)
}

/// The grains of the configured minion, or of this machine under its own name.
fn book(config: Option<&Path>, id: Option<&str>) -> anyhow::Result<GrainBook> {
    let id =
        id.map(|text| text.parse::<MinionId>().with_context(|| format!("--id: {text:?} is no minion id")));
    let id = id.transpose()?;
    let Some(file) = config else {
        let id = id.map_or_else(host_id, Ok)?;
        let grains = grains::collect(&id, &Map::new());
        return Ok(GrainBook::fixed(id, Arc::new(grains)));
    };
    // Without a look at the certificate: nothing is dialled.
    let template = config::load_minion_template(file)?;
    let problems = |found: Vec<_>| anyhow::Error::from(config::ConfigErrors::new(file, found));
    let mut minion = template.expand(1).map_err(problems)?.pop().context("no minion is configured")?;
    minion.id = id.unwrap_or(minion.id);
    serve::grains_of(&minion)
}

fn host_id() -> anyhow::Result<MinionId> {
    let name = nix::unistd::gethostname()?.to_string_lossy().to_ascii_lowercase();
    name.parse().with_context(|| format!("the host's name {name:?} is no minion id: give one with --id"))
}

/// Runs a command under a runner, as a minion does.
async fn command(spec: &CommandSpec, stop: &mut Stop) -> anyhow::Result<Answer> {
    let place = TemporaryPlace::new()?;
    let runner = Runner::new(&place.0)?;
    let handle = runner.launch(RunToken::random(), spec).await?;
    let ended = runner.wait(&handle);
    tokio::pin!(ended);
    tokio::select! {
        answer = &mut ended => return Ok(answer),
        () = stop.comes() => {}
    }
    runner.kill(&handle)?;
    Ok(ended.await)
}

/// SIGINT or SIGTERM to this process.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> anyhow::Result<Stop> {
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn comes(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A directory of this call alone, gone with it.
struct TemporaryPlace(PathBuf);

impl TemporaryPlace {
    fn new() -> anyhow::Result<TemporaryPlace> {
        let path = std::env::temp_dir().join(format!("relay-call-{}", RunToken::random()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(TemporaryPlace(path))
    }
}

impl Drop for TemporaryPlace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("minion call: {} stays: {error}", self.0.display());
        }
    }
}

/// Nothing else runs where there is no minion.
struct Nothing;

impl Jobs for Nothing {
    fn running(&self) -> Vec<RunningJob> {
        Vec::new()
    }
    fn signal(&self, _: Jid, _: Signal) -> Signalled {
        Signalled::NoSuchJob
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(json_args: &str) -> anyhow::Result<Arguments> {
        arguments(&LocalCall { json_args: Some(json_args.into()), ..LocalCall::default() })
    }

    #[test]
    fn arguments_come_as_text_as_a_file_or_as_words() {
        let text = r#" {"args": [1, "x"], "kwargs": {"a": null}}"#;
        let wanted = with(text).unwrap();
        assert_eq!((wanted.args.len(), wanted.kwargs.len()), (2, 1));
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        assert_eq!(with(file.path().to_str().unwrap()).unwrap(), wanted);
        let words = LocalCall { words: vec!["5".into()], ..LocalCall::default() };
        assert_eq!(arguments(&words).unwrap().args, [json!("5")]);
        for bad in ["{", r#"{"arg": []}"#, "/no/such/file", r#"{"args": {}}"#] {
            assert!(format!("{:#}", with(bad).unwrap_err()).contains("--json-args"), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_function_is_called_without_a_master() {
        let what = LocalCall {
            function: "grains.get".into(),
            words: vec!["id".into()],
            id: Some("me".into()),
            ..LocalCall::default()
        };
        let called = call(what).await.unwrap();
        let told: Value = serde_json::from_str(&called.line).unwrap();
        assert!(called.ok && !called.line.contains('\n'));
        assert_eq!(
            (&told["outcome"], &told["retcode"], &told["return"]),
            (&json!("ok"), &json!(0), &json!("me"))
        );
        let wrong = LocalCall { function: "no.such".into(), id: Some("me".into()), ..LocalCall::default() };
        let called = call(wrong).await.unwrap();
        assert!(!called.ok && called.line.contains("'no.such' is not available"));
    }
}
