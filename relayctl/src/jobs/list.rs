//! `relayctl jobs list`.

use clap::Args;
use relay_core::ids::Jid;
use relay_proto::operator::{Count, JobHead, ListJobsRequest};
use serde::Serialize;
use serde_json::{Map, Value};

use super::filter::FilterArgs;
use crate::{
    api::CallError,
    connect::Fabric,
    exit::Exit,
    output::{Output, table},
    when,
};

/// Jobs asked for in one call: the most that a top master gives.
const PAGE: u32 = relay_runtime::store::MAX_PAGE as u32;
/// Widest target and arguments shown in a table, in characters; JSON has them whole.
const MAX_SHOWN: usize = 40;

/// Which jobs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only jobs older than this one
    #[arg(long, value_name = "JID")]
    before: Option<Jid>,
    #[command(flatten)]
    filter: FilterArgs,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl jobs list
  relayctl jobs list --limit 5 --out json
  relayctl jobs list --state open
  relayctl jobs list --state failed --function 'cmd.*' --since 1d
  relayctl jobs list --user alice --target web --since 2026-11-21T07:00:00Z
  relayctl jobs list --before 20261121073656123456

A list that is longer than --limit goes on with --before and the last jid of the page.";

#[derive(Serialize)]
struct Job {
    jid: String,
    function: String,
    args: Value,
    target: String,
    caller: String,
    targets: u64,
    created: Option<String>,
    closed: Option<String>,
    open: bool,
    cancelled: bool,
    awaits_approval: bool,
    stopped: String,
    outcomes: Map<String, Value>,
}

impl Job {
    fn new(head: &JobHead) -> Job {
        Job {
            jid: Jid::from_micros(head.jid).to_string(),
            function: head.function.clone(),
            args: serde_json::from_slice(&head.args).unwrap_or_default(),
            target: head.target.clone(),
            caller: head.caller.clone(),
            targets: head.targets,
            created: when::moment(head.created),
            closed: when::moment(head.closed),
            open: head.closed == 0,
            cancelled: head.cancelled,
            awaits_approval: head.awaits_approval,
            stopped: head.stopped.clone(),
            outcomes: head.outcomes.iter().map(|c| (c.outcome.clone(), c.minions.into())).collect(),
        }
    }
}

/// Runs it.
pub async fn run(args: &ListArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let heads = heads(args, async |request| fabric.jobs(request).await).await?;
    let jobs: Vec<Job> = heads.iter().map(Job::new).collect();
    let now = when::now_micros();
    out.show(&jobs, |_| {
        match table(
            ["JID", "FUNCTION", "TARGET", "CALLER", "STARTED", "TARGETS", "OUTCOMES"],
            heads.iter().map(|h| row(h, now)),
        ) {
            none if none.is_empty() => "no jobs".into(),
            some => some + &next_page(args, &heads),
        }
    })?;
    Ok(Exit::Ok)
}

/// The jobs that are asked for, however many calls they take.
async fn heads(
    args: &ListArgs,
    mut ask: impl AsyncFnMut(ListJobsRequest) -> Result<Vec<JobHead>, CallError>,
) -> Result<Vec<JobHead>, CallError> {
    let filter = Some(args.filter.filter());
    let (mut heads, mut before) = (Vec::new(), args.before.map_or(0, Jid::micros));
    loop {
        let limit = (args.limit - heads.len() as u32).min(PAGE);
        let page = ask(ListJobsRequest { limit, before, filter: filter.clone() }).await?;
        let last = page.last().map(|head| head.jid).filter(|_| page.len() >= limit as usize);
        heads.extend(page);
        match last {
            Some(last) if heads.len() < args.limit as usize => before = last,
            _ => return Ok(heads),
        }
    }
}

/// What asks for the next page, if there may be one.
fn next_page(args: &ListArgs, heads: &[JobHead]) -> String {
    match heads.last() {
        Some(last) if heads.len() >= args.limit as usize => {
            let (filter, jid) = (args.filter.words(), Jid::from_micros(last.jid));
            format!("older ones: relayctl jobs list --limit {}{filter} --before {jid}", args.limit)
        }
        _ => String::new(),
    }
}

fn row(head: &JobHead, now: u64) -> [String; 7] {
    [
        Jid::from_micros(head.jid).to_string(),
        head.function.clone(),
        clip(&head.target),
        head.caller.clone(),
        format!("{} ago", when::ago(head.created, now)),
        head.targets.to_string(),
        outcomes(head),
    ]
}

fn outcomes(head: &JobHead) -> String {
    let mut words: Vec<String> =
        head.outcomes.iter().map(|Count { outcome, minions }| format!("{minions} {outcome}")).collect();
    if head.awaits_approval {
        words.push(format!("stage {} of {} done, awaits approval", head.stage, head.stages));
    } else if head.closed == 0 {
        words.push("running".into());
    }
    if !head.stopped.is_empty() {
        words.push(format!("stopped ({})", head.stopped));
    }
    words.join(", ")
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(closed: u64) -> JobHead {
        JobHead {
            jid: 1_795_246_616_123_456,
            function: "test.ping".into(),
            args: br#"{"args":[],"kwargs":{}}"#.to_vec(),
            target: "é".repeat(50),
            caller: "admin".into(),
            targets: 3,
            created: 1_000_000,
            closed,
            outcomes: vec![Count { outcome: "ok".into(), minions: 2 }],
            ..JobHead::default()
        }
    }

    #[test]
    fn an_open_job_says_so_and_a_long_target_is_cut() {
        let cells = row(&head(0), 61_000_000);
        let expected = ["20261121073656123456", "test.ping", "", "admin", "1m 0s ago", "3", "2 ok, running"];
        assert_eq!(cells[2], format!("{}…", "é".repeat(40)));
        for (i, cell) in expected.iter().enumerate().filter(|(i, _)| *i != 2) {
            assert_eq!(cells[i], *cell);
        }
        assert_eq!(row(&head(5), 0)[6], "2 ok");
    }

    #[test]
    fn a_full_page_says_how_to_go_on() {
        let args = ListArgs { limit: 2, before: None, filter: FilterArgs::default() };
        assert_eq!(next_page(&args, &[head(1)]), "");
        let expected = "older ones: relayctl jobs list --limit 2 --before 20261121073656123456";
        assert_eq!(next_page(&args, &[head(1), head(1)]), expected);
    }

    #[tokio::test]
    async fn a_long_list_comes_in_pages() {
        // Jobs 3,500 down to 1; before 0 is from the newest.
        let page = |request: ListJobsRequest| {
            let first = if request.before == 0 { 3_500 } else { request.before - 1 };
            let jids = (1..=first).rev().take(request.limit.min(PAGE) as usize);
            jids.map(|jid| JobHead { jid, ..head(1) }).collect::<Vec<_>>()
        };
        for (limit, before, calls, first, found) in [
            (50, 0, 1, 3_500, 50),
            (2_000, 0, 2, 3_500, 2_000),
            (10_000, 0, 4, 3_500, 3_500),
            (1_500, 1_000, 1, 999, 999),
        ] {
            let before = Some(before).filter(|before| *before > 0).map(Jid::from_micros);
            let args = ListArgs { limit, before, filter: FilterArgs::default() };
            let mut asked = 0;
            let ask = async |request| {
                asked += 1;
                Ok(page(request))
            };
            let heads = heads(&args, ask).await.unwrap();
            let jids: Vec<u64> = heads.iter().map(|head| head.jid).collect();
            assert_eq!(jids, (1..=first).rev().take(found).collect::<Vec<u64>>());
            assert_eq!(asked, calls, "{limit}");
        }
    }

    #[test]
    fn what_holds_a_job_is_told() {
        let waits = JobHead { awaits_approval: true, stage: 2, stages: 5, ..head(0) };
        assert_eq!(outcomes(&waits), "2 ok, stage 2 of 5 done, awaits approval");
        let stopped = JobHead { stopped: "10 failures".into(), ..head(5) };
        assert_eq!(outcomes(&stopped), "2 ok, stopped (10 failures)");
    }

    #[test]
    fn the_json_of_a_job() {
        let json = serde_json::to_value(Job::new(&head(2_000_000))).unwrap();
        assert_eq!(json["closed"], "1970-01-01T00:00:02Z");
        assert_eq!(json["outcomes"], serde_json::json!({"ok": 2}));
        assert_eq!(json["args"], serde_json::json!({"args": [], "kwargs": {}}));
    }
}
