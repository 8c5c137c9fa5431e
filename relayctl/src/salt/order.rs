//! What a `salt` command line orders.
//!
//! Owns how its options become a request and a style of telling. Sending it is `ask`'s.

use std::{io::Read, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use relay_core::{ids::RequestId, target::Target};
use relay_proto::operator::{Batch, Share, SubmitRequest, Subset, batch::Size, share::Kind as ShareKind};
use serde_json::Value;

use super::{
    code::Code,
    control, flags,
    misread::misread,
    options::{OptionError, Parsed},
    printer::Form,
    target::target,
    teller::Style,
};
use crate::{arguments::Arguments, output::salt::Kind};

/// How it is written.
pub const USAGE: &str = "salt [options] '<target>' <function> [arguments]";

/// How long a minion may run a job unless `--run-timeout` or `$RELAY_SALT_RUN_TIMEOUT` say otherwise. Salt has no such
/// limit; the fabric wants one, and its own default of a minute would kill what ran well under Salt.
const RUN_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Longest limit that may be asked for: 7 days, the top master's bound.
const MAX_SECONDS: f64 = 7.0 * 24.0 * 3_600.0;
/// `--batch-safe-size` unless it is said; Salt's.
const SAFE_SIZE: u32 = 8;
/// The exit code for missing answers, set for all commands.
const MISSING_EXIT: &str = "RELAY_SALT_MISSING_EXIT";
/// Most that is read from standard input for `--args-stdin`: what fits a job's arguments.
const MAX_STDIN: u64 = 1 << 20;

/// Not waiting, and how that was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detach {
    /// `--async`.
    Option,
    /// `async=True` among the arguments, as operators' documents have it. They look for `jid: ` in what is printed.
    Argument,
}

/// What is ordered.
#[derive(Debug)]
pub struct Order {
    /// What is sent.
    pub request: SubmitRequest,
    /// The target in it, parsed.
    pub target: Target,
    /// Nobody waits.
    pub detach: Option<Detach>,
    /// With at least so many targets it becomes a batch of so many.
    pub safe: Option<(u64, u32)>,
    /// Whoever matches gets it at once, and their number is confirmed.
    pub at_once: bool,
    /// Only say who matches.
    pub preview: bool,
    /// Show how far it is.
    pub progress: bool,
    /// How it is told.
    pub style: Style,
}

impl Order {
    /// Reads a command line. `random` chooses the request id and the subset.
    ///
    /// # Errors
    /// Why it is no order: one sentence.
    pub fn read(read: &Parsed, line: &[String], random: u128) -> anyhow::Result<Order> {
        if let Some(why) = flags::refused(read, &[]).or_else(|| misread(read, line)) {
            bail!(why);
        }
        let (target_word, function, mut words) = parts(read)?;
        if read.has("args-stdin") {
            words.extend(from_stdin()?);
        }
        let target = target(&target_word, read).with_context(|| format!("the target {target_word:?}"))?;
        let mut arguments = arguments(&words, read.value("no-parse"));
        let by_argument = matches!(arguments.kwargs.get("async"), Some(Value::Bool(_)))
            .then(|| arguments.kwargs.shift_remove("async") == Some(Value::Bool(true)));
        let detach = match by_argument {
            Some(true) => Some(Detach::Argument),
            _ => read.has("async").then_some(Detach::Option),
        };
        let batch = batch(read)?;
        let at_once = control::is_control(&function) && !read.has("batch");
        let safe = safe(read)?.filter(|_| batch.is_none() && !at_once);
        Ok(Order {
            safe,
            at_once,
            style: style(read, batch.is_some(), &function)?,
            request: SubmitRequest {
                request_id: request_id(read, random)?.0.to_be_bytes().to_vec(),
                target: target.to_string(),
                function,
                args: arguments.to_json(),
                delivery_timeout_ms: seconds(read, "timeout")?.map_or(0, millis),
                run_timeout_ms: run_timeout(read)?,
                subset: subset(read, random as u64)?,
                batch: if at_once { Some(control::at_once(batch)) } else { batch },
                ..SubmitRequest::default()
            },
            target,
            detach,
            preview: read.has("preview-target"),
            progress: read.has("progress"),
        })
    }
}

/// Target, function and the function's words.
fn parts(read: &Parsed) -> anyhow::Result<(String, String, Vec<String>)> {
    let mut words = read.words.clone();
    if read.has("doc") {
        if words.is_empty() {
            words.push("*".into());
        }
        if words.get(1).is_none_or(|w| w != "sys.doc") {
            words.insert(1, "sys.doc".into());
        }
    }
    if read.has("preview-target") && words.len() == 1 {
        words.push("test.ping".into());
    }
    let mut words = words.into_iter();
    match (words.next(), words.next()) {
        (Some(target), Some(function)) => Ok((target, function, words.collect())),
        _ => bail!("target and function are needed: {USAGE}"),
    }
}

/// The function's words as values. What `--no-parse` names stays the text it is.
pub fn arguments(words: &[String], no_parse: Option<&str>) -> Arguments {
    let mut arguments = Arguments::read(words);
    let names = no_parse.unwrap_or_default().split(',').map(str::trim);
    for name in names.filter(|name| !name.is_empty()) {
        let text = words.iter().rev().find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
        if let (Some(value), Some(text)) = (arguments.kwargs.get_mut(name), text) {
            *value = text.into();
        }
    }
    arguments
}

fn from_stdin() -> anyhow::Result<Vec<String>> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_STDIN)
        .read_to_string(&mut text)
        .context("cannot read arguments from standard input")?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn style(read: &Parsed, batch: bool, function: &str) -> anyhow::Result<Style> {
    let form = Form::of(read, Kind::Nested)?;
    let default = std::env::var(MISSING_EXIT).ok().filter(|text| !text.is_empty());
    let code = read.value("missing-exit").map(str::to_owned).or(default);
    let wrong = |text: &str| {
        anyhow!("--missing-exit (or ${MISSING_EXIT}): write a number from 0 to 255, not {text:?}")
    };
    let missing_exit = match code {
        Some(text) => Code(text.parse().map_err(|_| wrong(&text))?),
        None => Code::MISSING,
    };
    Ok(Style {
        form,
        together: read.has("static"),
        batch: batch && !read.has("static"),
        verbose: read.has("verbose"),
        show_jid: read.has("show-jid"),
        hide_missing: read.has("hide-timeout"),
        show_missing: read.has("show-timeout") || read.has("verbose"),
        summary: read.has("summary"),
        docs: function == "sys.doc" && !read.has("out"),
        highest: batch || read.has("retcode-passthrough"),
        missing_exit,
    })
}

fn batch(read: &Parsed) -> anyhow::Result<Option<Batch>> {
    let size = read.value("batch").map(share).transpose()?;
    let wait_ms = seconds(read, "batch-wait")?.map_or(0, millis);
    let failhard = read.has("failhard");
    if size.is_none() && wait_ms > 0 {
        bail!("--batch-wait is for batches: add -b N");
    }
    Ok((size.is_some() || failhard).then(|| Batch {
        size: Some(size.map_or(Size::Regions(true), Size::Window)),
        wait_ms,
        max_failures: failhard.then_some(Share { kind: Some(ShareKind::Count(1)) }),
        ..Batch::default()
    }))
}

/// `N` or `N%`.
fn share(text: &str) -> Result<Share, OptionError> {
    let wrong = || OptionError::Kind {
        option: "--batch".into(),
        wanted: "write how many minions at once, as 5 or 10% (at least 1, at most 100%)",
        found: text.into(),
    };
    let kind = match text.trim().strip_suffix('%') {
        Some(percent) => {
            percent.trim().parse().ok().filter(|p| (1..=100).contains(p)).map(ShareKind::Percent)
        }
        None => text.trim().parse().ok().filter(|n| *n > 0).map(ShareKind::Count),
    };
    Ok(Share { kind: Some(kind.ok_or_else(wrong)?) })
}

fn safe(read: &Parsed) -> Result<Option<(u64, u32)>, OptionError> {
    let limit = read.number("batch-safe-limit", 1, "write how many minions")?;
    let size = read.number("batch-safe-size", 1, "write how many minions at once")?;
    Ok(limit.map(|limit| (limit, size.unwrap_or(SAFE_SIZE))))
}

fn subset(read: &Parsed, seed: u64) -> Result<Option<Subset>, OptionError> {
    let count = read.number("subset", 1, "write how many minions")?;
    Ok(count.map(|count| Subset { count, seed }))
}

fn request_id(read: &Parsed, random: u128) -> anyhow::Result<RequestId> {
    match read.value("request-id") {
        Some(text) => text.parse().map_err(|e| anyhow!("--request-id {text}: {e}")),
        None => Ok(RequestId(random)),
    }
}

fn run_timeout(read: &Parsed) -> anyhow::Result<u64> {
    if let Some(given) = seconds(read, "run-timeout")? {
        return Ok(millis(given));
    }
    match std::env::var("RELAY_SALT_RUN_TIMEOUT").ok().filter(|text| !text.is_empty()) {
        Some(text) => {
            Ok(millis(span(&text).ok_or_else(|| anyhow!("RELAY_SALT_RUN_TIMEOUT={text}: {SECONDS}"))?))
        }
        None => Ok(millis(RUN_TIMEOUT)),
    }
}

const SECONDS: &str = "write a number of seconds, at most 7 days";

fn seconds(read: &Parsed, key: &'static str) -> Result<Option<Duration>, OptionError> {
    let Some(text) = read.value(key) else { return Ok(None) };
    let wrong = || OptionError::Kind { option: format!("--{key}"), wanted: SECONDS, found: text.to_owned() };
    span(text).map(Some).ok_or_else(wrong)
}

fn span(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    (0.001..=MAX_SECONDS).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

fn millis(span: Duration) -> u64 {
    span.as_millis() as u64
}

#[cfg(test)]
mod tests;
