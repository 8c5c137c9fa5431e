//! `relayctl run`: orders a job, waits for it, prints what each minion said.

pub mod batch;
mod document;
pub mod matcher;
pub mod order;
mod show;
pub mod signals;
pub mod span;
pub mod stream;
pub mod terminal;
mod watch;
mod wide;
pub mod words;

pub use document::Document;
pub use show::{Showing, show, wait};
pub use signals::interrupted;

use anyhow::bail;
use clap::Args;
use relay_core::ids::{Jid, RequestId};
use relay_proto::operator::{SubmitRequest, Submitted};
use serde_json::json;

use crate::{
    connect::Fabric,
    exit::{self, Exit},
    job::{self, JobResult},
    output::Output,
    plan::{self, PlanId},
};
use order::OrderArgs;
use terminal::Terminal;

/// What to run, where, and how to wait for it.
#[derive(Debug, Args)]
#[command(after_help = examples(), override_usage = USAGE)]
pub struct RunArgs {
    #[command(flatten)]
    pub order: OrderArgs,
    /// Do not run it: show what it would do, and an id that runs exactly that
    #[arg(long, conflicts_with_all = ["plan_id", "detached"])]
    pub plan: bool,
    /// Run a plan: exactly its targets, function, arguments and limits. Refused if the targets are others by now
    #[arg(long, value_name = "HEX")]
    pub plan_id: Option<PlanId>,
    /// How many targets it has: allows a job without a batch that is wider than the fabric's guard
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub confirm: Option<u64>,
    /// Do not wait: print the jid and how to watch it
    #[arg(long = "async")]
    pub detached: bool,
    /// The request id of an earlier try whose answer was lost: if that one was accepted, it is this job
    #[arg(long, value_name = "HEX")]
    pub request_id: Option<RequestId>,
    #[command(flatten)]
    pub showing: Showing,
}

const USAGE: &str = "relayctl run [OPTIONS] <TARGET> <FUNCTION> [ARG]...
       relayctl run [OPTIONS] --plan-id <HEX>";

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl run '*' test.ping
  relayctl run 'web*' cmd.run 'df -h /' --timeout 5
  relayctl run 'G@os:Ubuntu and not db*' cmd.run_all uptime cwd=/tmp
  relayctl run -L web01,web02 grains.item os osrelease
  relayctl run -G 'region:aws' test.arg 1 '[2, three]' '{four: 5}' six=seven
  relayctl run '*' test.ping --out json
  relayctl run '*' cmd.run 'cat /etc/resolv.conf' --diff
  relayctl run '*' cmd.run uptime --fold similar
  relayctl run '*' cmd.run uptime --out tsv --no-header
  relayctl run 'db*' cmd.run /opt/backup --timeout 1h --async
  relayctl run -E 'web[0-9]+' cmd.run uptime --batch 10% --max-failures 5
  relayctl run 'region:aws' cmd.run /opt/update --batch canary:1,10%,50%,100% --approve
  relayctl run '*' cmd.run uptime --subset 20 --seed 7
  relayctl run '*' cmd.run uptime --until 99% --deadline 30s
  relayctl run 'laptop*' cmd.run /opt/sync --queue 8h --serial-per-minion --async
  relayctl run 'web*' cmd.run /opt/update --batch 50 --plan
  relayctl run '*' test.ping --out jsonl --progress
  relayctl run '*' cmd.run uptime --request-id 00112233445566778899aabbccddeeff

Ctrl-C lets go of the job, which goes on, and says how to watch it; a second within 3 s cancels it, after asking.
";

fn examples() -> String {
    format!("{EXAMPLES}\n{}", exit::HELP)
}

/// Runs it.
pub async fn run(args: RunArgs, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    args.showing.check(out)?;
    order::warn_swallowed::<RunArgs>(&args.order.args);
    let mut request = request(&args, rand::random())?;
    let mut fabric = Fabric::wanted(wanted)?;
    if let (Some(subset), None) = (&request.subset, args.order.batch.seed) {
        eprintln!("seed {0}: --seed {0} chooses the same {1}", subset.seed, subset.count);
    }
    if args.plan {
        return plan::show(&mut fabric, request, wanted, out).await;
    }
    let mut terminal = Terminal::new();
    // What may have been accepted if it is interrupted: the second request, after a question, has another id.
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

/// What is sent.
fn request(args: &RunArgs, random: u128) -> anyhow::Result<SubmitRequest> {
    let id = args.request_id.unwrap_or(RequestId(random));
    let request = match &args.plan_id {
        None => args.order.request(id)?,
        Some(plan) if args.order.is_empty() => plan.request(id),
        Some(_) => bail!(
            "--plan-id runs what was planned: leave target, function, arguments, timeouts and batch options out"
        ),
    };
    Ok(SubmitRequest { confirmed_targets: args.confirm.unwrap_or(0), ..request })
}

/// Submits; asks where the job is too wide to be run without a word.
///
/// # Errors
/// The job was not accepted; or nobody knows, and then the error says how to find out.
pub async fn submit_or_ask(
    fabric: &mut Fabric,
    request: &mut SubmitRequest,
    terminal: &mut Terminal,
) -> anyhow::Result<Submitted> {
    wide::submit(fabric, request, terminal, RequestId(rand::random())).await
}

/// Prints that a job was accepted, for those who do not wait for it.
///
/// # Errors
/// Standard output cannot be written.
pub fn accepted(jid: Jid, submitted: &Submitted, out: &Output) -> anyhow::Result<Exit> {
    let data = json!({ "jid": jid.to_string(), "targets": submitted.targets, "known": submitted.known });
    out.show(&data, |_| {
        let before = if submitted.known { " (accepted before)" } else { "" };
        format!("jid {jid}{before}: {}\nrelayctl jobs watch {jid}", words::targets(submitted.targets))
    })?;
    Ok(Exit::Running)
}

#[cfg(test)]
mod waiting_tests;

#[cfg(test)]
mod tests {
    use clap::Parser;
    use relay_core::{batch::BatchSize, topology::Share};
    use relay_proto::operator::Subset;

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
        assert_eq!(target(&["-E", "web[0-9]+", "f"]), "E@web[0-9]+");
        assert_eq!(target(&["--pcre", "web[0-9]+", "f"]), "E@web[0-9]+");
        assert_eq!(target(&["-P", "os:(Ubuntu|Debian)", "f"]), "P@os:(Ubuntu|Debian)");
        assert_eq!(target(&["-G", "a|b|c", "--delimiter", "|", "f"]), "G|@a|b|c");
        assert_eq!(target(&["-S", "10.0.0.0/8", "f"]), "S@10.0.0.0/8");
        assert_eq!(target(&["-N", "web", "f"]), "N@web");
        assert_eq!(target(&["-I", "role:db", "f"]), "I@role:db");
        assert_eq!(target(&["-J", "role:d.", "f"]), "J@role:d.");
        assert_eq!(target(&["-C", "a* and not b*", "f"]), "a* and not b*");
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
            &["*", "f", "--batch", "0"],
            &["*", "f", "--until", "101%"],
            &["*", "f", "--max-failures", "3", "--failhard"],
            &["*", "f", "--subset", "0"],
            &["*", "f", "--confirm", "0"],
            &["--plan-id", "12"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn what_does_not_go_together_says_what_to_write() {
        let plan = "ab".repeat(32);
        for (words, told) in [
            (&["*", "f", "--seed", "1"][..], "--subset N"),
            (&["*", "f", "--approve"], "--batch canary:"),
            (&["*", "f", "--plan-id", &plan], "leave target"),
            (&["--plan-id", &plan, "-b", "5"], "leave target"),
            (&[], "relayctl run '*' test.ping"),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.contains(told), "{words:?}: {error}");
        }
    }

    #[test]
    fn a_plan_is_run_by_its_id_alone() {
        let found = read(&["--plan-id", &"ab".repeat(32), "--confirm", "9"]).unwrap();
        assert_eq!((found.plan_id, found.confirmed_targets), (vec![0xab; 32], 9));
        assert!(found.target.is_empty() && found.args.is_empty() && found.batch.is_none());
    }

    #[test]
    fn a_batch_goes_along() {
        let found = read(&[
            "*",
            "f",
            "-b",
            "10%",
            "--max-failures",
            "5",
            "--subset",
            "3",
            "--seed",
            "9",
            "--queue",
            "1h",
        ])
        .unwrap();
        let rule = relay_proto::batch::decode(found.batch.unwrap()).unwrap();
        assert_eq!((rule.size, rule.queue), (BatchSize::Window(Share::Percent(10)), Some(3_600_000)));
        assert_eq!(rule.max_failures, Some(Share::Count(5)));
        assert_eq!(found.subset, Some(Subset { count: 3, seed: 9 }));
        // The same request id draws the same minions: a repeated command is the same request.
        let drawn = |id: &str| read(&["*", "f", "--subset", "3", "--request-id", id]).unwrap().subset;
        assert_eq!(drawn("5"), drawn("5"));
        assert_ne!(drawn("5"), drawn("6"));
    }
}
