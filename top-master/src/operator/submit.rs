//! From a request to a submission: every field checked, names expanded, plans looked up.

use std::fmt::Display;

use prost::Message as _;
use relay_core::{
    Members,
    access::Decision,
    batch::BatchRule,
    ids::RequestId,
    owner::{Accepted, MAX_WAIT, Submission, SubmitError, Subset},
    target::Target,
    time::Millis,
};
use relay_proto::{Code, envelope::MAX_ENVELOPE_BYTES, operator as wire};
use sha2::{Digest, Sha256};
use tonic::Status;

use super::{Ask, Defaults, OperatorService, gate::nobody_to_ask, invalid, store_error};
use crate::access::Asking;

/// Longest run limit: a week. What takes longer is a service, not a job.
const MAX_RUN_LIMIT: Millis = 7 * 24 * 60 * 60 * 1_000;
/// Longest delivery window: an hour. Who wants to wait longer for minions queues the job.
const MAX_DELIVERY_LIMIT: Millis = 60 * 60 * 1_000;
/// Longest wait between two minions of a window: an hour.
const MAX_BATCH_WAIT: Millis = 60 * 60 * 1_000;
/// Largest arguments: they and the rest must fit an envelope.
const MAX_ARGS_BYTES: usize = MAX_ENVELOPE_BYTES - (4 << 10);
/// How often the targets of a job may change between what was decided and what is frozen, a moment later, until it is given up.
const MAX_MOVES: usize = 3;
/// Longest function name, in bytes.
const MAX_FUNCTION_BYTES: usize = 128;

impl OperatorService {
    /// Submits a job in somebody's name, a plan's if it names one. What was accepted before stays accepted, also where it
    /// would be refused by now: whoever tries again because the answer was lost must not hear that nothing was done.
    ///
    /// # Errors
    /// A field is wrong, or the loop does not accept it.
    pub async fn submit_as(
        &self,
        asking: Asking,
        request: wire::SubmitRequest,
    ) -> Result<wire::Submitted, Status> {
        let digest = request_digest(&asking.named, &request);
        let id = request_id(&request.request_id)?;
        match self.submit_anew(asking, id, digest, request).await {
            Err(refused) => self.accepted_before(id, digest).await?.ok_or(refused),
            submitted => submitted,
        }
    }

    async fn submit_anew(
        &self,
        asking: Asking,
        id: RequestId,
        digest: [u8; 32],
        request: wire::SubmitRequest,
    ) -> Result<wire::Submitted, Status> {
        self.reach.check()?;
        let defaults = self.defaults();
        let named = asking.named.clone();
        let submission = self.whole_submission(named, id, digest, request.clone(), &defaults).await?;
        for _ in 0..MAX_MOVES {
            let decided = self.decided(&asking, &submission, &defaults).await?;
            if let Decision::NeedsApproval(_, why) = &decided.decision {
                let why = why.text(&decided.active.shown);
                return Err(match asking.waits {
                    true => self.wait_for_approval(&asking, &submission, request, &decided, why).await?,
                    false => nobody_to_ask(&why),
                });
            }
            self.accepts(&asking, &submission, &decided).await?;
            match self.run_on(&submission, decided.targets).await? {
                Err(SubmitError::PlanMoved { .. }) if submission.planned.is_none() => continue,
                Err(refused) => return Err(submit_error(refused)),
                Ok(accepted) => {
                    self.runs(&asking, &submission, &accepted);
                    return Ok(submitted(accepted));
                }
            }
        }
        Err(Code::Busy.status("the fleet changes faster than it can be decided who may do what: try again"))
    }

    /// What a request asks for, or the plan that it names.
    pub(crate) async fn whole_submission(
        &self,
        named: String,
        id: RequestId,
        digest: [u8; 32],
        request: wire::SubmitRequest,
        defaults: &Defaults,
    ) -> Result<Submission, Status> {
        let submission = match request.plan_id.is_empty() {
            true => submission(named, id, request, defaults)?,
            false => self.planned_submission(named, id, request, defaults).await?,
        };
        Ok(Submission { request_digest: digest, ..submission })
    }

    /// Submits a job on exactly these targets, which were decided about.
    pub(crate) async fn run_on(
        &self,
        submission: &Submission,
        targets: Members,
    ) -> Result<Result<Accepted, SubmitError>, Status> {
        let submission = Box::new(Submission { planned: Some(targets), ..submission.clone() });
        self.ask(|tx| Ask::Submit(submission, tx)).await
    }

    pub(crate) async fn accepted_before(
        &self,
        id: RequestId,
        digest: [u8; 32],
    ) -> Result<Option<wire::Submitted>, Status> {
        let known = self.store.request(id).await.map_err(store_error)?;
        let same = known.filter(|known| known.digest == digest);
        Ok(same.map(|known| wire::Submitted { jid: known.jid.micros(), targets: known.targets, known: true }))
    }

    async fn planned_submission(
        &self,
        caller: String,
        id: RequestId,
        request: wire::SubmitRequest,
        defaults: &Defaults,
    ) -> Result<Submission, Status> {
        let own = wire::SubmitRequest {
            request_id: request.request_id.clone(),
            plan_id: request.plan_id.clone(),
            confirmed_targets: request.confirmed_targets,
            ..wire::SubmitRequest::default()
        };
        if request != own {
            let why = "a plan brings its own target, function, arguments, limits and batch: leave them out, or plan again";
            return Err(invalid(why));
        }
        let (planned, targets): (wire::SubmitRequest, Members) =
            self.recall_plan(&request.plan_id, defaults).await?;
        let confirmed_targets = request.confirmed_targets.max(planned.confirmed_targets);
        let planned = wire::SubmitRequest { confirmed_targets, ..planned };
        Ok(Submission { planned: Some(targets), ..submission(caller, id, planned, defaults)? })
    }
}

/// What a request says, checked. The digest is left to the caller, a plan too.
pub(super) fn submission(
    caller: String,
    request_id: RequestId,
    request: wire::SubmitRequest,
    defaults: &Defaults,
) -> Result<Submission, Status> {
    if request.args.len() > MAX_ARGS_BYTES {
        return Err(invalid(format_args!("args: {} bytes, at most {MAX_ARGS_BYTES}", request.args.len())));
    }
    if !(1..=MAX_FUNCTION_BYTES).contains(&request.function.len()) {
        return Err(invalid(format_args!("{:?} is no function name", request.function)));
    }
    let delivery = limit("delivery timeout", request.delivery_timeout_ms, MAX_DELIVERY_LIMIT)?;
    let run = limit("timeout", request.run_timeout_ms, MAX_RUN_LIMIT)?;
    Ok(Submission {
        request_id,
        request_digest: [0; 32],
        target: target(&request.target, defaults)?,
        written: request.target,
        delivery_limit: if delivery == 0 { defaults.delivery } else { delivery },
        run_limit: if run == 0 { defaults.run } else { run },
        function: request.function,
        args: request.args.into(),
        caller,
        batch: batch(request.batch)?,
        subset: subset(request.subset)?,
        planned: None,
        confirmed: (request.confirmed_targets > 0).then_some(request.confirmed_targets),
    })
}

/// A target expression with its node groups in place.
pub(super) fn target(text: &str, defaults: &Defaults) -> Result<Target, Status> {
    let target = Target::parse(text).map_err(invalid)?;
    defaults.groups.expand(&target).map_err(invalid)
}

/// What its client is told of an accepted job.
pub(crate) fn submitted(accepted: Accepted) -> wire::Submitted {
    let Accepted { jid, targets, known } = accepted;
    wire::Submitted { jid: jid.micros(), targets, known }
}

/// A client's id for its request.
pub(crate) fn request_id(bytes: &[u8]) -> Result<RequestId, Status> {
    let id = <[u8; 16]>::try_from(bytes);
    let id = id.map_err(|_| invalid(format_args!("request_id: {} bytes, not 16", bytes.len())))?;
    Ok(RequestId(u128::from_be_bytes(id)))
}

fn limit(name: &str, asked: Millis, max: Millis) -> Result<Millis, Status> {
    match asked <= max {
        true => Ok(asked),
        false => Err(invalid(format_args!("{name}: {asked} ms is over the limit of {max} ms"))),
    }
}

/// What a job may wait for is bounded by how long it is signed for.
fn signed_for(name: &str, asked: Millis) -> Result<Millis, Status> {
    limit(name, asked, MAX_WAIT).map_err(|status| {
        let hours = MAX_WAIT / (60 * 60 * 1_000);
        invalid(format_args!(
            "{}: a job is signed for {hours} h, nothing of it starts later",
            status.message()
        ))
    })
}

fn batch(batch: Option<wire::Batch>) -> Result<BatchRule, Status> {
    let Some(batch) = batch else { return Ok(BatchRule::default()) };
    if !batch.region_rules.is_empty() {
        return Err(invalid("batch: what a region has is in the topology, not in a request"));
    }
    limit("batch wait", batch.wait_ms, MAX_BATCH_WAIT)?;
    signed_for("queue", batch.queue_ms)?;
    signed_for("deadline", batch.deadline_ms)?;
    relay_proto::batch::decode(batch).map_err(invalid)
}

fn subset(subset: Option<wire::Subset>) -> Result<Option<Subset>, Status> {
    match subset {
        Some(wire::Subset { count: 0, .. }) => Err(invalid("subset: 0 is no number of minions: at least 1")),
        subset => Ok(subset.map(|wire::Subset { count, seed }| Subset { count, seed })),
    }
}

/// Over everything of a request but its id, and who asks: the same id with another body is an error.
pub(crate) fn request_digest(caller: &str, request: &wire::SubmitRequest) -> [u8; 32] {
    let body = wire::SubmitRequest { request_id: Vec::new(), ..request.clone() }.encode_to_vec();
    digest([caller.as_bytes(), &body])
}

/// SHA-256 over parts, each with its length before it.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

pub(crate) fn submit_error(error: SubmitError) -> Status {
    let code = match error {
        SubmitError::NoMatch { .. } => Code::NoMatch,
        SubmitError::UnknownIds { .. } => Code::Invalid,
        SubmitError::PlanMoved { .. } => Code::PlanMoved,
        SubmitError::TooWide { .. } => Code::TooWide,
        SubmitError::RequestReused(_) => Code::RequestReused,
        SubmitError::TooManyJobs => Code::Busy,
        SubmitError::NotOwner => Code::NotOwner,
        SubmitError::Unsigned(_) => Code::Busy,
        SubmitError::Store(_) => Code::Store,
    };
    code.status((&error as &dyn Display).to_string())
}
