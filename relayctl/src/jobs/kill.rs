//! `relayctl jobs kill`: sends a signal to a job where it runs. A job of its own, on exactly those minions.

use anyhow::bail;
use clap::Args;
use nix::sys::signal::Signal;
use relay_core::{
    batch::{BatchRule, BatchSize},
    ids::{Jid, RequestId},
};
use relay_proto::{
    batch,
    operator::{Outstanding, SubmitRequest},
};
use serde_json::json;

use super::exact::exact;
use crate::{
    connect::Fabric,
    exit::{self, Exit},
    job::{self, JobResult, Patience},
    output::Output,
    run::{Showing, interrupted, terminal::Terminal, wait, words},
};

/// The function that sends it, on a minion.
const FUNCTION: &str = "saltutil.signal_job";

/// Which job, and what to send.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub struct KillArgs {
    /// The job's jid: 20 digits
    jid: Jid,
    /// The signal: TERM, KILL, INT, HUP, USR1 …, or its number
    #[arg(long, short = 's', value_name = "SIGNAL", default_value = "TERM", value_parser = signal)]
    signal: Signal,
    #[command(flatten)]
    showing: Showing,
}

fn examples() -> String {
    let examples = "\
EXAMPLES:
  relayctl jobs kill 20261121073656123456
  relayctl jobs kill 20261121073656123456 --signal 9
  relayctl jobs kill 20261121073656123456 --signal HUP

The job itself goes on where it does not run yet: \"relayctl jobs cancel JID\" stops it everywhere.";
    format!("{examples}\n\n{}", exit::HELP)
}

/// Runs it. The exit code is that of the job that sends the signal.
pub async fn run(args: KillArgs, mut fabric: Fabric, out: &Output) -> anyhow::Result<Exit> {
    args.showing.check(out)?;
    let jid = args.jid;
    let minions = job::named(jid, fabric.outstanding(jid).await)?;
    let request = request(&args, &minions, rand::random())?;
    let submitted = tokio::select! {
        submitted = job::submit(&mut fabric, &request, Patience::ABSENT, Patience::LOST) => submitted?,
        // To send a signal a second time is what a second try asks for.
        () = interrupted() => bail!("interrupted before the answer came: the signal may have been sent; see \"relayctl jobs list\""),
    };
    eprintln!(
        "{} to job {jid} on {}: jid {}",
        args.signal,
        words::minions(submitted.targets),
        Jid::from_micros(submitted.jid)
    );
    let result = JobResult::new(Jid::from_micros(submitted.jid), submitted.targets);
    wait(fabric, result, &args.showing, &mut Terminal::new(), out).await
}

fn request(args: &KillArgs, minions: &[Outstanding], random: u128) -> anyhow::Result<SubmitRequest> {
    let jid = args.jid;
    // What is on its way may have begun by the time the signal is there; to a minion where nothing runs it does nothing.
    let ids: Vec<&str> = minions
        .iter()
        .filter(|m| matches!(m.held.as_str(), "running" | "sent"))
        .map(|m| m.id.as_str())
        .collect();
    if ids.is_empty() {
        bail!(
            "job {jid} runs nowhere now, as far as the top master knows: see \"relayctl jobs outstanding {jid}\""
        );
    }
    // The operator named the job; a region's batch would only make the signal late.
    let at_once = BatchRule { size: BatchSize::All, ..BatchRule::default() };
    Ok(SubmitRequest {
        request_id: RequestId(random).0.to_be_bytes().to_vec(),
        target: exact(&ids)?.to_string(),
        function: FUNCTION.into(),
        args: json!({ "args": [jid.to_string(), args.signal as i32], "kwargs": {} }).to_string().into_bytes(),
        batch: Some(batch::encode(&at_once)),
        confirmed_targets: ids.len() as u64,
        ..SubmitRequest::default()
    })
}

fn signal(text: &str) -> Result<Signal, String> {
    let wrong = || "write a signal as TERM, KILL, INT, HUP, USR1, or its number".to_owned();
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).map_err(|_| wrong());
    }
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minion(id: &str, held: &str) -> Outstanding {
        Outstanding { id: id.into(), held: held.into(), ..Outstanding::default() }
    }

    #[test]
    fn signals() {
        for text in ["TERM", "term", "SIGTERM", "15"] {
            assert_eq!(signal(text), Ok(Signal::SIGTERM), "{text}");
        }
        assert_eq!(signal("9"), Ok(Signal::SIGKILL));
        for text in ["", "0", "99", "-1", "STOPIT", "9x"] {
            assert!(signal(text).unwrap_err().contains("write a signal"), "{text}");
        }
    }

    #[test]
    fn only_where_it_runs_or_may_have_begun() {
        let jid = "20261121073656123456".parse().unwrap();
        let args = KillArgs { jid, signal: Signal::SIGKILL, showing: Showing::default() };
        let minions =
            [minion("a", "running"), minion("b", "sent"), minion("c", "running"), minion("d", "window")];
        let found = request(&args, &minions, 1).unwrap();
        assert_eq!((found.target.as_str(), found.confirmed_targets), ("L@a,b,c", 3));
        assert_eq!(found.args, br#"{"args":["20261121073656123456",9],"kwargs":{}}"#);
        assert_eq!(batch::decode(found.batch.unwrap()).unwrap().size, BatchSize::All);
        assert_eq!(request(&args, &minions[1..2], 1).unwrap().target, "L@b");
        assert!(request(&args, &minions[3..], 1).unwrap_err().to_string().contains("runs nowhere"));
    }
}
