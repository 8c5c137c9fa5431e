//! What operators ask of an owner, and what they are answered.

use bytes::Bytes;

use crate::{
    Members,
    batch::BatchRule,
    ids::{Jid, MinionId, RequestId},
    job::MAX_OPEN_JOBS,
    signing::NoKey,
    target::Target,
    time::Millis,
    topology::Share,
};

/// A job that an operator asks for.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The client's id for it.
    pub request_id: RequestId,
    /// SHA-256 over its body.
    pub request_digest: [u8; 32],
    /// Whom it is for, node groups expanded.
    pub target: Target,
    /// The same as the operator wrote it.
    pub written: String,
    /// The function.
    pub function: String,
    /// Arguments as JSON.
    pub args: Bytes,
    /// Who asks, from the certificate.
    pub caller: String,
    /// How long it may take to reach a minion.
    pub delivery_limit: Millis,
    /// How long one minion may take.
    pub run_limit: Millis,
    /// How many at once, and when it stops; the regions' part is filled in by the owner.
    pub batch: BatchRule,
    /// Only some of the targets.
    pub subset: Option<Subset>,
    /// The targets must be these (a plan's), or the submission is refused.
    pub planned: Option<Members>,
    /// The number of targets, as the operator typed it to allow a wide job without a batch.
    pub confirmed: Option<u64>,
}

/// Some of a job's targets, chosen by chance but the same for the same seed, whatever else is in the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    /// How many.
    pub count: u32,
    /// Chooses them.
    pub seed: u64,
}

/// The answer to a submission: durable when it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The job's name.
    pub jid: Jid,
    /// How many targets it has.
    pub targets: u64,
    /// It is a retry of a request accepted before.
    pub known: bool,
}

/// A cancel under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelling {
    /// Members that had no outcome yet.
    pub outstanding: u64,
    /// The commit that makes it last: before it, a crash forgets the cancel.
    pub ticket: u64,
}

/// Why a submission was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Nobody matches.
    #[error("no minion matches {target:?}{}", suggest(nearest))]
    NoMatch {
        /// The expression.
        target: String,
        /// Ids that look alike; or terms, if it failed on something else than an id.
        nearest: Vec<String>,
    },
    /// A list names ids that are not known.
    #[error("unknown minion{}: {}{}", if ids.len() == 1 { "" } else { "s" }, ids.join(", "), suggest(nearest))]
    UnknownIds {
        /// The ids.
        ids: Vec<String>,
        /// Ids that look like the first.
        nearest: Vec<String>,
    },
    /// The request id was used for another body.
    #[error("request id was used before for another request (job {0}): use a new id for a new request")]
    RequestReused(Jid),
    /// The targets are not those of the plan any more.
    #[error("the plan has moved: {}; plan again", moved(came, gone))]
    PlanMoved {
        /// Targets that the plan did not have.
        came: Vec<MinionId>,
        /// Targets that the plan had and that are none now.
        gone: Vec<MinionId>,
    },
    /// The job is wider than the fabric allows without a batch.
    #[error(
        "{targets} of {fleet} minions at once, without a batch: more than the {guard} that this fabric allows; use --batch 10% \
         or --batch canary:1,10%,100%, or confirm the number of targets (--confirm {targets})"
    )]
    TooWide {
        /// Its targets.
        targets: u64,
        /// All minions.
        fleet: u64,
        /// What is allowed.
        guard: Share,
    },
    /// Too many jobs are open.
    #[error(
        "{MAX_OPEN_JOBS} jobs are open already: wait for some to end, or cancel some (relayctl jobs list)"
    )]
    TooManyJobs,
    /// There is no key to sign it with.
    #[error("{0}; see `relayctl ca status`, then try again")]
    Unsigned(#[from] NoKey),
    /// Another owner has taken over.
    #[error("another top master owns the fabric now: ask that one, with the same request id")]
    NotOwner,
    /// The store can't be written, so nothing can be promised.
    #[error("the top master can't write its store ({0}): free space or mend it, then try again")]
    Store(String),
}

/// Ids named in a message about a plan.
const MOVED_SHOWN: usize = 5;

fn moved(came: &[MinionId], gone: &[MinionId]) -> String {
    let part = |what: &str, ids: &[MinionId]| {
        let names: Vec<&str> = ids.iter().take(MOVED_SHOWN).map(MinionId::as_str).collect();
        let more = if ids.len() > MOVED_SHOWN { ", …" } else { "" };
        (!ids.is_empty()).then(|| format!("{} {what} ({}{more})", ids.len(), names.join(", ")))
    };
    let parts = [part("new", came), part("gone", gone)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn suggest(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) }
}
