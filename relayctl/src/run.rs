//! `relayctl run`: orders a job, waits for it, prints what each minion said.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use relay_core::{
    ids::{Jid, RequestId},
    target::Target,
};
use relay_proto::operator::{SubmitRequest, Submitted};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    arguments::Arguments,
    connect::Fabric,
    contexts::ContextFile,
    exit::{self, Exit},
    job::{self, End, JobResult, Patience},
    output::{Live, Output, Report, report_text},
};

/// Longest timeout that may be asked for: 30 days. More is a typing error.
const MAX_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What to run, where, and how to wait for it.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub struct RunArgs {
    /// Which minions: a glob on their ids (or web[001-120]), or terms with "and", "or", "not", L@ (list), E@ (regex),
    /// G@ P@ (grain), S@ (subnet), region:, syndic:
    pub target: String,
    /// The function, as test.ping or cmd.run
    pub function: String,
    /// Its arguments: YAML values; key=value is a named one. Write "--" before one that begins with a dash
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub args: Vec<String>,
    /// How many seconds a minion may run it. Default: the top master's (60 unless configured)
    #[arg(long, short = 't', value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// How many seconds a minion has to receive it; later it is not_started. Default: the top master's (10)
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub delivery_timeout: Option<Duration>,
    /// Do not wait: print the jid and how to watch it
    #[arg(long = "async")]
    pub detached: bool,
    /// The request id of an earlier try whose answer was lost: if that one was accepted, it is this job
    #[arg(long, value_name = "HEX")]
    pub request_id: Option<RequestId>,
    /// One answer per minion, instead of equal answers together
    #[arg(long)]
    pub no_fold: bool,
    /// TARGET is a list of ids: web01,web02
    #[arg(long, short = 'L', conflicts_with = "grain")]
    pub list: bool,
    /// TARGET is a grain and a glob on its value: os:Ubuntu
    #[arg(long, short = 'G')]
    pub grain: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl run '*' test.ping
  relayctl run 'web*' cmd.run 'df -h /' --timeout 5
  relayctl run 'G@os:Ubuntu and not db*' cmd.run_all uptime cwd=/tmp
  relayctl run -L web01,web02 grains.item os osrelease
  relayctl run -G 'region:aws' test.arg 1 '[2, three]' '{four: 5}' six=seven
  relayctl run '*' test.ping --out json
  relayctl run 'db*' cmd.run /opt/backup --timeout 3600 --async
  relayctl run '*' cmd.run uptime --request-id 00112233445566778899aabbccddeeff
";

fn examples() -> String {
    format!("{EXAMPLES}\n{}", exit::HELP)
}

/// A positive number of seconds; fractions count.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("write a number of seconds from 0.001 to {}", MAX_TIMEOUT.as_secs());
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    let span = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    let fits = span >= Duration::from_millis(1) && span <= MAX_TIMEOUT;
    fits.then_some(span).ok_or_else(wrong)
}

/// Runs it.
pub async fn run(args: RunArgs, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let request = request(&args, rand::random())?;
    let contexts = ContextFile::of_user()?.read()?;
    let mut fabric = Fabric::of(contexts.choose(wanted)?)?;
    let submitted = tokio::select! {
        submitted = job::submit(&mut fabric, &request, Patience::ABSENT, Patience::LOST) => submitted?,
        () = interrupted() => bail!("interrupted before the answer came; {}", job::uncertain(&request)),
    };
    let jid = Jid::from_micros(submitted.jid);
    if args.detached {
        return accepted(jid, &submitted, out);
    }
    watch(&mut fabric, JobResult::new(jid, submitted.targets), !args.no_fold, out).await
}

/// What is sent.
fn request(args: &RunArgs, random: u128) -> anyhow::Result<SubmitRequest> {
    let target = target(args).with_context(|| format!("the target {:?}", args.target))?;
    let millis = |span: Option<Duration>| span.map_or(0, |s| s.as_millis() as u64);
    Ok(SubmitRequest {
        request_id: args.request_id.unwrap_or(RequestId(random)).0.to_be_bytes().to_vec(),
        target: target.to_string(),
        function: args.function.clone(),
        args: Arguments::read(&args.args).to_json(),
        delivery_timeout_ms: millis(args.delivery_timeout),
        run_timeout_ms: millis(args.timeout),
        ..SubmitRequest::default()
    })
}

fn target(args: &RunArgs) -> anyhow::Result<Target> {
    Ok(match (args.list, args.grain) {
        (true, _) => Target::list([args.target.as_str()])?,
        (_, true) => Target::grain(&args.target, ':')?,
        _ => Target::parse(&args.target)?,
    })
}

fn accepted(jid: Jid, submitted: &Submitted, out: &Output) -> anyhow::Result<Exit> {
    let data = json!({ "jid": jid.to_string(), "targets": submitted.targets, "known": submitted.known });
    out.show(&data, |_| {
        let before = if submitted.known { " (accepted before)" } else { "" };
        format!("jid {jid}{before}: {} targets\nrelayctl jobs watch {jid}", submitted.targets)
    })?;
    Ok(Exit::Running)
}

/// Waits for a job and prints it. Ctrl-C, or a connection that stays away, end the waiting and not the job.
pub async fn watch(
    fabric: &mut Fabric,
    mut result: JobResult,
    fold: bool,
    out: &Output,
) -> anyhow::Result<Exit> {
    let mut live = Live::new();
    let ended = tokio::select! {
        ended = job::follow(fabric, &mut result, Patience::LOST, |now| live.update(&now.regions)) => ended,
        () = interrupted() => Ok(End::GivenUp("interrupted".into())),
    };
    live.clear();
    let ended = ended.with_context(|| format!("jid {}", result.jid))?;
    if let Err(error) = show(&result, fold, out) {
        // The job was accepted: to say anything else would invite to run it again.
        eprintln!("relayctl: {error:#}; the job itself: relayctl jobs show {}", result.jid);
        return Ok(Exit::Running);
    }
    if let End::GivenUp(why) = ended {
        eprintln!("{why}; the job goes on: relayctl jobs watch {}", result.jid);
    }
    Ok(Exit::of_job(result.outcomes(), result.is_closed()))
}

/// Waits for Ctrl-C, or for a SIGTERM, which is the same from a script.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Prints a job as far as it is known.
pub fn show(result: &JobResult, fold: bool, out: &Output) -> anyhow::Result<()> {
    out.show(&Report::new(result, fold), |paint| report_text(result, fold, paint))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn read(words: &[&str]) -> Result<SubmitRequest, String> {
        let line = Line::try_parse_from([&["run"], words].concat()).map_err(|e| e.to_string())?;
        request(&line.run, 7).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn a_command_line_becomes_a_request() {
        let found = read(&[
            "web*",
            "cmd.run",
            "uptime",
            "-5",
            "cwd=/tmp",
            "--timeout",
            "1.5",
            "--delivery-timeout",
            "2",
        ]);
        let expected = SubmitRequest {
            request_id: 7_u128.to_be_bytes().to_vec(),
            target: "web*".into(),
            function: "cmd.run".into(),
            args: br#"{"args":["uptime",-5],"kwargs":{"cwd":"/tmp"}}"#.to_vec(),
            delivery_timeout_ms: 2000,
            run_timeout_ms: 1500,
            ..SubmitRequest::default()
        };
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn a_request_id_is_taken_over() {
        let found = read(&["*", "test.ping", "--request-id", "00112233445566778899aabbccddeeff"]).unwrap();
        assert_eq!(found.request_id, 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes());
        assert_eq!(found.run_timeout_ms, 0);
    }

    #[test]
    fn kinds_of_targets() {
        let target = |words: &[&str]| read(words).unwrap().target;
        assert_eq!(target(&["-L", "a,b", "test.ping"]), "L@a,b");
        assert_eq!(target(&["-G", "os:Ubuntu", "test.ping"]), "G@os:Ubuntu");
        assert_eq!(target(&["a*", "test.ping"]), "a*");
    }

    #[test]
    fn wrong_lines_are_refused() {
        for words in [
            &["*"][..],
            &["*", "f", "--timeout", "0"],
            &["*", "f", "--timeout", "-1"],
            &["*", "f", "--timeout", "inf"],
            &["*", "f", "--timeout", "1e99"],
            &["*", "f", "--request-id", "xyz"],
            &["-L", "-G", "x", "f"],
            &["a and (b", "f"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }
}
