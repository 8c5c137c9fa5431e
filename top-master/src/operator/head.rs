//! How a job looks from outside: its head, from a list or with all its answers, and how its batch stands.

use relay_core::{
    batch::BatchRule,
    outcome::{Outcome, Reason},
    window::BatchState,
};
use relay_proto::operator as wire;
use relay_runtime::store::{JobSummary, JobView};

/// The head of a job in a list.
pub fn of_summary(job: JobSummary, state: Option<BatchState>) -> wire::JobHead {
    let head = wire::JobHead {
        jid: job.jid.micros(),
        function: job.function,
        args: job.args.unwrap_or_default().to_vec(),
        target: job.target,
        caller: job.caller,
        targets: job.targets,
        created: job.created,
        closed: job.closed.unwrap_or(0),
        outcomes: counts(job.counts),
        cancelled: job.cancelled,
        batch: batch(&job.batch),
        ..wire::JobHead::default()
    };
    with_state(head, state)
}

/// The head of one job.
pub fn of_view(view: &JobView, state: Option<BatchState>) -> wire::JobHead {
    let head = wire::JobHead {
        jid: view.head.job.jid.micros(),
        function: view.head.spec.function.clone(),
        args: view.head.spec.args.to_vec(),
        target: view.head.target.clone(),
        caller: view.head.spec.caller.clone(),
        targets: view.head.targets.len(),
        created: view.head.created,
        closed: view.closed.unwrap_or(0),
        outcomes: counts(view.counts.clone()),
        cancelled: view.cancelled,
        batch: batch(&view.head.batch),
        stopped: view.closed.map(|_| why_stopped(view)).unwrap_or_default().into(),
        ..wire::JobHead::default()
    };
    with_state(head, state)
}

fn with_state(head: wire::JobHead, state: Option<BatchState>) -> wire::JobHead {
    match state {
        Some(state) => wire::JobHead {
            stopped: stopped(&state),
            stage: state.stage,
            stages: state.stages,
            awaits_approval: state.awaits_approval,
            ..head
        },
        None => head,
    }
}

/// Why nothing more is started, in words; empty if it is.
pub fn stopped(state: &BatchState) -> String {
    state.stopped.map(|stop| stop.to_string()).unwrap_or_default()
}

/// Why a batch that is over was stopped: its members say so.
fn why_stopped(view: &JobView) -> &'static str {
    let said = |reason| view.groups.iter().any(|g| g.answer.reason == reason && !g.members.is_empty());
    let words = [
        (Reason::BatchStopped, "too many failures"),
        (Reason::Enough, "as many as were asked for had answered"),
        (Reason::Deadline, "the deadline had passed"),
        (Reason::NotApproved, "the next stage was not approved in time"),
    ];
    words.into_iter().find(|(reason, _)| said(*reason)).map_or("", |(_, words)| words)
}

/// A rule without what its regions had; nothing if it says nothing.
fn batch(rule: &BatchRule) -> Option<wire::Batch> {
    let rule = BatchRule { regions: Default::default(), ..rule.clone() };
    (rule != BatchRule::default()).then(|| relay_proto::batch::encode(&rule))
}

/// Outcomes and their counts for operators.
pub fn counts(counts: impl IntoIterator<Item = (Outcome, u64)>) -> Vec<wire::Count> {
    let count = |(outcome, minions): (Outcome, u64)| wire::Count { outcome: outcome.word().into(), minions };
    counts.into_iter().filter(|(_, n)| *n > 0).map(count).collect()
}
