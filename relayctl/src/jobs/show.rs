//! `relayctl jobs show`: a job as it stands now.

use relay_proto::operator::JobHead;

use super::OneJob;
use crate::{
    connect::Fabric,
    exit::{self, Exit},
    job::{JobResult, named, so_far},
    output::{Output, clean},
    run, when,
};

/// Most late outcomes that are told one by one; JSON has all of them.
const MAX_LATE: usize = 20;

/// The end of its help.
pub fn examples() -> String {
    let examples = "\
EXAMPLES:
  relayctl jobs show 20261121073656123456
  relayctl jobs show 20261121073656123456 --no-fold
  relayctl jobs show 20261121073656123456 --out json";
    format!("{examples}\n\n{}", exit::HELP)
}

/// Runs it. The exit code is the job's: 4 while it runs.
pub async fn run(job: &OneJob, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let mut result = JobResult::new(job.jid, 0);
    named(job.jid, so_far(fabric, &mut result).await)?;
    let (before, after) = (result.head.as_ref().map_or(Vec::new(), what), late(&result));
    before.iter().try_for_each(|line| out.say(line))?;
    run::show(&result, job.layout.view(), out)?;
    after.iter().try_for_each(|line| out.say(line))?;
    Ok(Exit::of_job(result.outcomes(), result.is_closed()))
}

/// What was ordered, and what holds it.
fn what(head: &JobHead) -> Vec<String> {
    let call = run::words::call(&head.function, &head.args);
    let mut lines = vec![format!("{call} on {}, by {}", head.target, head.caller)];
    if head.cancelled {
        lines.push("cancelled".into());
    }
    if !head.stopped.is_empty() {
        lines.push(format!("nothing more is started: {}", head.stopped));
    }
    if head.awaits_approval {
        lines.push(format!(
            "stage {} of {} is done; it waits: relayctl jobs approve JID, or relayctl jobs cancel JID",
            head.stage, head.stages
        ));
    }
    lines.iter().map(|line| clean(line)).collect()
}

/// Both times of outcomes that came after they had been given up as unknown.
fn late(result: &JobResult) -> Vec<String> {
    let moment = |micros| when::moment(micros).unwrap_or_else(|| "a moment nobody told".into());
    let line = |(id, late, said): (&str, crate::job::Late, &crate::job::Said)| {
        clean(&format!(
            "{id}: unknown at {}, {} at {}",
            moment(late.unknown),
            said.words(),
            moment(late.resolved)
        ))
    };
    let mut lines: Vec<String> = result.late().take(MAX_LATE).map(line).collect();
    let more = result.late().count().saturating_sub(MAX_LATE);
    if more > 0 {
        lines.push(format!("and {more} more that came late (--out json names all)"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use relay_proto::operator::{Returns, WatchEvent, watch_event::Event};

    use super::*;

    #[test]
    fn both_times_of_a_late_outcome() {
        let mut result = JobResult::new("20261121073656123456".parse().unwrap(), 1);
        for (outcome, at) in [("unknown", 1_795_246_616_000_000), ("ok", 1_795_246_620_000_000)] {
            let minions = vec!["web03".to_owned()];
            let returns = Returns { outcome: outcome.into(), minions, at, ..Returns::default() };
            result.apply(WatchEvent { event: Some(Event::Returns(returns)), cursor: 0 }).unwrap();
        }
        assert_eq!(late(&result), ["web03: unknown at 2026-11-21T07:36:56Z, ok at 2026-11-21T07:37:00Z"]);
    }

    #[test]
    fn what_holds_a_job() {
        let head = JobHead {
            function: "test.ping".into(),
            args: br#"{"args":["df -h"],"kwargs":{"timeout":5}}"#.to_vec(),
            target: "*\x1b".into(),
            caller: "admin".into(),
            stopped: "10 failures".into(),
            awaits_approval: true,
            stage: 2,
            stages: 5,
            ..JobHead::default()
        };
        let lines = what(&head);
        assert_eq!(lines[0], "test.ping 'df -h' timeout=5 on *\\x1b, by admin");
        assert_eq!(lines[1], "nothing more is started: 10 failures");
        assert!(lines[2].starts_with("stage 2 of 5 is done"), "{lines:?}");
    }
}
