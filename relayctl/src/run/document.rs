//! A job as one document: its report, what was ordered, and how far it is.

use relay_core::outcome::Outcome;
use serde::Serialize;
use serde_json::Value;

use crate::{
    job::JobResult,
    output::{Report, View},
    when,
};

/// The document. While a job is open, its report's `elapsed_ms` is the time so far.
#[derive(Serialize)]
pub struct Document {
    #[serde(flatten)]
    report: Report,
    open: bool,
    outstanding: u64,
    #[serde(flatten)]
    head: Option<Head>,
    late: Vec<Late>,
}

#[derive(Serialize)]
struct Head {
    function: String,
    args: Value,
    target: String,
    caller: String,
    created: Option<String>,
    cancelled: bool,
    /// Why nothing more is started; empty if it goes on.
    stopped: String,
    stage: u32,
    stages: u32,
    awaits_approval: bool,
}

/// An outcome that came after its minion had been given up as unknown.
#[derive(Serialize)]
struct Late {
    minion: String,
    unknown_at: Option<String>,
    at: Option<String>,
    outcome: &'static str,
}

impl Document {
    /// Of a job as far as it is known.
    pub fn new(result: &JobResult, view: View) -> Document {
        let late = result.late().map(|(id, late, said)| Late {
            minion: id.to_owned(),
            unknown_at: when::moment(late.unknown),
            at: when::moment(late.resolved),
            outcome: Outcome::word(said.outcome),
        });
        Document {
            report: Report::new(result, view),
            open: !result.is_closed(),
            outstanding: result.outstanding(),
            head: result.head.is_some().then(|| Head::new(result)),
            late: late.collect(),
        }
    }
}

impl Head {
    fn new(result: &JobResult) -> Head {
        let (head, now) = (result.head.clone().unwrap_or_default(), &result.standing);
        // The head is from when the watch began; what was told since is newer.
        let told = now.stages > 0 || !now.stopped.is_empty();
        let (stopped, stage, stages, awaits_approval) = match told {
            true => (now.stopped.clone(), now.stage, now.stages, now.awaits_approval),
            false => (head.stopped, head.stage, head.stages, head.awaits_approval),
        };
        Head {
            function: head.function,
            args: serde_json::from_slice(&head.args).unwrap_or_default(),
            target: head.target,
            caller: head.caller,
            created: when::moment(head.created),
            cancelled: head.cancelled,
            stopped,
            stage,
            stages,
            awaits_approval: awaits_approval && !result.is_closed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_proto::operator::{Closed, JobHead, Returns, WatchEvent, watch_event::Event};

    use super::*;

    #[test]
    fn an_open_job_says_how_far_it_is() {
        let mut result = JobResult::new("20261121073656123456".parse().unwrap(), 3);
        let mut tell = |event| result.apply(WatchEvent { event: Some(event), cursor: 0 }).unwrap();
        tell(Event::Head(JobHead {
            targets: 3,
            created: 1_000_000,
            target: "*".into(),
            ..JobHead::default()
        }));
        tell(Event::Returns(Returns {
            outcome: "ok".into(),
            minions: vec!["a".into()],
            ..Returns::default()
        }));
        result.seen_at(3_500_000);
        let json = serde_json::to_value(Document::new(&result, View::default())).unwrap();
        assert_eq!((&json["open"], &json["outstanding"]), (&true.into(), &2.into()));
        assert_eq!((&json["elapsed_ms"], &json["target"]), (&2_500.into(), &"*".into()));
        result
            .apply(WatchEvent {
                event: Some(Event::Closed(Closed { elapsed_ms: 9, ..Closed::default() })),
                cursor: 0,
            })
            .unwrap();
        let json = serde_json::to_value(Document::new(&result, View::default())).unwrap();
        assert_eq!((&json["open"], &json["elapsed_ms"]), (&false.into(), &9.into()));
        assert_eq!(json["late"], serde_json::json!([]));
    }
}
