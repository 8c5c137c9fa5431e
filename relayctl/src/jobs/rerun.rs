//! `relayctl jobs rerun`: the same function and arguments again, on those minions of a job that had certain outcomes.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use relay_core::{
    compact::compact,
    ids::{Jid, RequestId},
    outcome::Outcome,
};
use relay_proto::operator::{Batch, SubmitRequest};

use super::exact::exact;
use crate::{
    connect::Fabric,
    exit::{self, Exit},
    job::{self, JobResult, so_far},
    output::{Output, clean},
    run::{
        Showing, accepted, interrupted,
        span::{millis, span},
        submit_or_ask,
        terminal::Terminal,
        wait,
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
    /// must be named: failed, timed_out, interrupted, cancelled, unknown
    #[arg(long, value_name = "OUTCOME,…", value_delimiter = ',', value_parser = outcome, default_value = "not_started,refused")]
    only: Vec<Outcome>,
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

It is a new job with a jid of its own, and the batch of the old one. Nothing was started where the outcome is not_started or
refused; a minion that is unknown, timed_out or interrupted may have done all or a part of it.";
    format!("{examples}\n\n{}", exit::HELP)
}

/// Runs it.
pub async fn run(args: RerunArgs, mut fabric: Fabric, out: &Output) -> anyhow::Result<Exit> {
    args.showing.check(out)?;
    let mut before = JobResult::new(args.jid, 0);
    so_far(&mut fabric, &mut before).await.with_context(|| format!("jid {}", args.jid))?;
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
    let ids = before.with_outcomes(&args.only);
    if ids.is_empty() {
        bail!("no minion of job {jid} is {}: there is nothing to run again", words(&args.only, " or "));
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
    let ids = before.with_outcomes(&args.only);
    let function = before.head.as_ref().map_or("", |head| &head.function);
    let named = compact(ids.iter().take(MAX_NAMED).copied());
    let more = ids.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mut lines = vec![format!(
        "running {function} again on the {} minions that are {} in job {}: {named}{more}",
        ids.len(),
        words(&args.only, " or "),
        args.jid
    )];
    let twice: Vec<Outcome> = args.only.iter().copied().filter(|o| !is_unstarted(*o)).collect();
    if !before.with_outcomes(&twice).is_empty() {
        lines.push(format!(
            "those that are {} may have done all or a part of it before",
            words(&twice, " or ")
        ));
    }
    if before.outstanding() > 0 {
        lines.push(format!("{} of its targets have no outcome yet and are left out", before.outstanding()));
    }
    clean(&lines.join("\n"))
}

/// Proven that nothing was started: running it again is running it once.
fn is_unstarted(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::NotStarted | Outcome::Refused)
}

fn words(outcomes: &[Outcome], between: &str) -> String {
    outcomes.iter().map(|o| o.word()).collect::<Vec<_>>().join(between)
}

fn outcome(text: &str) -> Result<Outcome, String> {
    let again = || Outcome::ALL.into_iter().filter(|o| *o != Outcome::Ok).map(Outcome::word);
    match Outcome::from_word(text) {
        Some(Outcome::Ok) => {
            Err("what is ok needs no second run: order a new job with \"relayctl run\"".into())
        }
        Some(outcome) => Ok(outcome),
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
        RerunArgs {
            jid: before().jid,
            only: only.to_vec(),
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
        assert!(safe.contains("on the 1 minions that are not_started") && !safe.contains("before"), "{safe}");
        let twice = told(&args(&[Outcome::Unknown, Outcome::NotStarted]), &before());
        assert!(twice.contains("that are unknown may have done all or a part"), "{twice}");
        assert!(twice.contains("2 of its targets have no outcome yet"), "{twice}");
    }

    #[test]
    fn outcomes_are_checked() {
        assert_eq!(outcome("failed"), Ok(Outcome::Failed));
        assert!(outcome("ok").unwrap_err().contains("relayctl run"));
        assert!(outcome("broken").unwrap_err().contains("not_started"));
    }
}
