//! `relayctl jobs rerun`: the same function and arguments again, on those minions of a job that had certain outcomes.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use relay_core::{
    compact::compact,
    ids::{Jid, RequestId},
    outcome::{Outcome, Reason},
};
use relay_proto::operator::{Batch, SubmitRequest};

use super::exact::exact;
use crate::{
    connect::Fabric,
    exit::{self, Exit},
    job::{self, JobResult, Said, named, so_far},
    output::{Output, clean},
    run::{
        Showing, accepted, interrupted,
        span::{millis, span},
        submit_or_ask,
        terminal::Terminal,
        wait,
        words::minions,
    },
};

/// Most minions that are named; "relayctl jobs show" has all of them.
const MAX_NAMED: usize = 20;

/// Which job, and which of its minions.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub struct RerunArgs {
    /// The job's jid: 20 digits
    jid: Jid,
    /// Which outcomes. Default: those after which nothing was started. Others may have done something already, so they
    /// must be named: failed, timed_out, interrupted, cancelled, unknown; or of one reason only, as unknown:no_report
    #[arg(
        long,
        value_name = "OUTCOME[:REASON],…",
        value_delimiter = ',',
        value_parser = kind,
        default_value = "not_started,refused,cancelled:before_start"
    )]
    only: Vec<Kind>,
    /// How long a minion may run it. Default: the top master's
    #[arg(long, short = 't', value_name = "TIME", value_parser = span)]
    timeout: Option<Duration>,
    /// How long a minion has to receive it. Default: the top master's
    #[arg(long, value_name = "TIME", value_parser = span)]
    delivery_timeout: Option<Duration>,
    /// Do not wait: print the jid and how to watch it
    #[arg(long = "async")]
    detached: bool,
    /// The request id of an earlier try whose answer was lost: if that one was accepted, it is this job
    #[arg(long, value_name = "HEX")]
    request_id: Option<RequestId>,
    #[command(flatten)]
    showing: Showing,
}

fn examples() -> String {
    let examples = "\
EXAMPLES:
  relayctl jobs rerun 20261121073656123456
  relayctl jobs rerun 20261121073656123456 --only failed
  relayctl jobs rerun 20261121073656123456 --only failed,unknown,not_started --timeout 5m
  relayctl jobs rerun 20261121073656123456 --only cancelled:before_start

It is a new job with a jid of its own, and the batch of the old one. Nothing was started where the outcome is not_started,
refused, or cancelled with the reason before_start; a minion that is unknown, timed_out or interrupted may have done all or a part of it.";
    format!("{examples}\n\n{}", exit::HELP)
}

/// Runs it.
pub async fn run(args: RerunArgs, mut fabric: Fabric, out: &Output) -> anyhow::Result<Exit> {
    args.showing.check(out)?;
    let mut before = JobResult::new(args.jid, 0);
    named(args.jid, so_far(&mut fabric, &mut before).await)?;
    let mut request = request(&args, &before, rand::random())?;
    eprintln!("{}", told(&args, &before));
    let mut terminal = Terminal::new();
    let asked = request.clone();
    let submitted = tokio::select! {
        submitted = submit_or_ask(&mut fabric, &mut request, &mut terminal) => submitted?,
        () = interrupted() => bail!("interrupted before the answer came; {}", job::uncertain(&asked)),
    };
    let jid = Jid::from_micros(submitted.jid);
    if args.detached {
        return accepted(jid, &submitted, out);
    }
    wait(fabric, JobResult::new(jid, submitted.targets), &args.showing, &mut terminal, out).await
}

fn request(args: &RerunArgs, before: &JobResult, random: u128) -> anyhow::Result<SubmitRequest> {
    let jid = args.jid;
    let Some(head) = &before.head else {
        bail!("jid {jid}: the top master did not say what it was; try again")
    };
    let ids = ids(before, &args.only);
    if ids.is_empty() {
        bail!("no minion of job {jid} ended as {}: there is nothing to run again", words(&args.only, " or "));
    }
    Ok(SubmitRequest {
        request_id: args.request_id.unwrap_or(RequestId(random)).0.to_be_bytes().to_vec(),
        target: exact(&ids)?.to_string(),
        function: head.function.clone(),
        args: head.args.clone(),
        delivery_timeout_ms: millis(args.delivery_timeout),
        run_timeout_ms: millis(args.timeout),
        // What the regions have is for the top master to say, as it is now.
        batch: head.batch.clone().map(|batch| Batch { region_rules: Vec::new(), ..batch }),
        ..SubmitRequest::default()
    })
}

/// What is about to happen.
fn told(args: &RerunArgs, before: &JobResult) -> String {
    let ids = ids(before, &args.only);
    let function = before.head.as_ref().map_or("", |head| &head.function);
    let named = compact(ids.iter().take(MAX_NAMED).copied());
    let more = ids.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mut lines = vec![format!(
        "running {function} again on {}, {} in job {}: {named}{more}",
        minions(ids.len() as u64),
        words(&args.only, " or "),
        args.jid
    )];
    let twice =
        before.ids_where(|said| args.only.iter().any(|kind| kind.is(said)) && !is_unstarted(said)).len();
    if twice > 0 {
        lines.push(format!("{twice} of them may have done all or a part of it before"));
    }
    if before.outstanding() > 0 {
        lines.push(format!("{} of its targets have no outcome yet and are left out", before.outstanding()));
    }
    clean(&lines.join("\n"))
}

/// Which answers: an outcome, of one reason only if there is one (`cancelled:before_start`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    outcome: Outcome,
    reason: Option<Reason>,
}

impl Kind {
    fn is(self, said: &Said) -> bool {
        said.outcome == self.outcome && self.reason.is_none_or(|reason| reason == said.reason)
    }

    fn word(self) -> String {
        match self.reason {
            Some(reason) => format!("{}:{}", self.outcome.word(), reason.word()),
            None => self.outcome.word().to_owned(),
        }
    }
}

fn ids<'a>(before: &'a JobResult, kinds: &[Kind]) -> Vec<&'a str> {
    before.ids_where(|said| kinds.iter().any(|kind| kind.is(said)))
}

/// Proven that nothing was started: running it again is running it once.
fn is_unstarted(said: &Said) -> bool {
    let cancelled = (said.outcome, said.reason) == (Outcome::Cancelled, Reason::BeforeStart);
    cancelled || matches!(said.outcome, Outcome::NotStarted | Outcome::Refused)
}

fn words(kinds: &[Kind], between: &str) -> String {
    kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(between)
}

fn kind(text: &str) -> Result<Kind, String> {
    let again = || Outcome::ALL.into_iter().filter(|o| *o != Outcome::Ok).map(Outcome::word);
    let (outcome, reason) = text.split_once(':').map_or((text, None), |(o, r)| (o, Some(r)));
    let read = |word: &str| Reason::from_word(word).filter(|reason| *reason != Reason::None);
    let reason = match reason.map(|word| (word, read(word))) {
        Some((word, None)) => {
            return Err(format!(
                "{word:?} is no reason: write OUTCOME:REASON as a result shows them, as cancelled:before_start"
            ));
        }
        reason => reason.and_then(|(_, reason)| reason),
    };
    match Outcome::from_word(outcome) {
        Some(Outcome::Ok) => {
            Err("what is ok needs no second run: order a new job with \"relayctl run\"".into())
        }
        Some(outcome) => Ok(Kind { outcome, reason }),
        None => {
            Err(format!("write outcomes, with commas between: {}", again().collect::<Vec<_>>().join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_core::batch::{BatchRule, BatchSize};
    use relay_core::topology::Share;
    use relay_proto::{
        batch,
        operator::{JobHead, Returns, WatchEvent, watch_event::Event},
    };

    use super::*;

    fn before() -> JobResult {
        let mut result = JobResult::new("20261121073656123456".parse().unwrap(), 0);
        let event = |event| WatchEvent { event: Some(event), cursor: 0 };
        let rule = BatchRule { size: BatchSize::Window(Share::Count(5)), ..BatchRule::default() };
        let head = JobHead {
            targets: 7,
            function: "cmd.run".into(),
            args: br#"{"args":["x"],"kwargs":{}}"#.to_vec(),
            batch: Some(batch::encode(&rule)),
            ..JobHead::default()
        };
        result.apply(event(Event::Head(head))).unwrap();
        for (outcome, minion) in
            [("ok", "a"), ("failed", "b"), ("not_started", "c"), ("refused", "d"), ("unknown", "e")]
        {
            let returns =
                Returns { outcome: outcome.into(), minions: vec![minion.into()], ..Returns::default() };
            result.apply(event(Event::Returns(returns))).unwrap();
        }
        result
    }

    fn args(only: &[Outcome]) -> RerunArgs {
        of(only.iter().map(|outcome| Kind { outcome: *outcome, reason: None }).collect())
    }

    fn of(only: Vec<Kind>) -> RerunArgs {
        RerunArgs {
            jid: before().jid,
            only,
            timeout: Some(Duration::from_secs(5)),
            delivery_timeout: None,
            detached: false,
            request_id: None,
            showing: Showing::default(),
        }
    }

    #[test]
    fn the_same_again_on_some() {
        let found = request(&args(&[Outcome::NotStarted, Outcome::Refused]), &before(), 1).unwrap();
        assert_eq!((found.target.as_str(), found.function.as_str()), ("L@c,d", "cmd.run"));
        assert_eq!(
            (found.args.as_slice(), found.run_timeout_ms),
            (&br#"{"args":["x"],"kwargs":{}}"#[..], 5_000)
        );
        assert_eq!(batch::decode(found.batch.unwrap()).unwrap().size, BatchSize::Window(Share::Count(5)));
        let none = request(&args(&[Outcome::TimedOut]), &before(), 1).unwrap_err().to_string();
        assert!(none.contains("nothing to run again"), "{none}");
    }

    #[test]
    fn what_may_run_twice_is_said() {
        let safe = told(&args(&[Outcome::NotStarted]), &before());
        assert!(safe.contains("again on 1 minion, not_started in job") && !safe.contains("before"), "{safe}");
        let twice = told(&args(&[Outcome::Unknown, Outcome::NotStarted]), &before());
        assert!(twice.contains("\n1 of them may have done all or a part"), "{twice}");
        assert!(twice.contains("2 of its targets have no outcome yet"), "{twice}");
    }

    /// One whose job was cancelled before its start there, and one while it ran.
    fn cancelled() -> JobResult {
        let mut result = before();
        for (reason, minion) in [("before_start", "f"), ("while_running", "g")] {
            let returns = Returns {
                outcome: "cancelled".into(),
                reason: reason.into(),
                minions: vec![minion.into()],
                ..Returns::default()
            };
            result.apply(WatchEvent { event: Some(Event::Returns(returns)), cursor: 0 }).unwrap();
        }
        result
    }

    #[test]
    fn what_was_cancelled_before_its_start_is_safe() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: RerunArgs,
        }
        let line = <Line as clap::Parser>::parse_from(["rerun", "20261121073656123456"]);
        let found = request(&line.args, &cancelled(), 1).unwrap();
        assert_eq!(found.target, "L@c,d,f");
        let said = told(&line.args, &cancelled());
        assert!(!said.contains("may have done"), "{said}");
        let of = |text| request(&of(vec![kind(text).unwrap()]), &cancelled(), 1).unwrap().target;
        assert_eq!((of("cancelled"), of("cancelled:before_start")), ("L@f,g".into(), "L@f".into()));
    }

    #[test]
    fn outcomes_are_checked() {
        assert_eq!(kind("failed"), Ok(Kind { outcome: Outcome::Failed, reason: None }));
        let no_report = Kind { outcome: Outcome::Unknown, reason: Some(Reason::NoReport) };
        assert_eq!(kind("unknown:no_report"), Ok(no_report));
        assert!(kind("ok").unwrap_err().contains("relayctl run"));
        assert!(kind("broken").unwrap_err().contains("not_started"));
        assert!(kind("cancelled:broken").unwrap_err().contains("cancelled:before_start"));
        assert!(kind("cancelled:").is_err());
    }
}
