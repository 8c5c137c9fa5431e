//! Jobs that wait for a second person: kept when the first one asks, run when the second one agrees.
//!
//! What is approved is one request of one caller on one set of targets, named by a digest over all of it. When it runs, its targets are
//! found anew: some may be gone, and none may have come; and both persons must be allowed the job by the rules of that
//! moment. It runs under the first one's request id, so said twice it is the same job.

use std::sync::Arc;

use prost::Message as _;
use relay_core::{
    Members,
    access::{Caller, Verb},
    audit::{Event, Kind},
    members,
    owner::{Submission, SubmitError},
    time::WallMicros,
};
use relay_proto::{
    Code,
    access::{self as proto, approvals_server::Approvals},
    operator as wire,
};
use relay_runtime::clock::wall;
use tonic::{Request, Response, Status};

use super::{
    Asking, caller,
    kept::{self, Kept, State},
};
use crate::operator::{Defaults, OperatorService, gate::Decided, submit};

/// How many digits of a digest are shown where its whole is too long.
const SHOWN: usize = 12;

impl OperatorService {
    /// Keeps a job for a second person, and says so. What was kept before is not kept again.
    ///
    /// # Errors
    /// It can't be kept, or was rejected.
    pub(crate) async fn wait_for_approval(
        &self,
        asking: &Asking,
        job: &Submission,
        request: wire::SubmitRequest,
        decided: &Decided,
        why: String,
    ) -> Result<Status, Status> {
        let now = wall();
        let new = self.to_keep(asking, job, &request, decided, &why);
        let known = kept::one(&*self.store, new.digest).await?;
        let known = match known {
            Some(known) => known,
            None => {
                let event = Event::new(Kind::Approve, asking.caller.name(), asking.caller.how().word());
                let event =
                    event.about(hex(&new.digest)).with("state", "pending").with("function", &job.function);
                let event = event.with("target", &job.written).with("targets", decided.targets.len());
                self.access.record(event.with("reason", &why)).await?;
                kept::add(&*self.store, &new, now).await?;
                new
            }
        };
        let short: String = hex(&known.digest).chars().take(SHOWN).collect();
        Ok(match known.state(now) {
            State::Pending => Code::NeedsApproval.status(format!(
                "{why}: a second person has to agree. It waits as {short} until {}: relayctl approvals approve {short}",
                moment(known.what.expires)
            )),
            State::Approved => Code::NeedsApproval.status(format!("{short} is approved and about to run: try again")),
            state => Code::Denied.status(format!("{short} was {}: {}", state.word(), known.what.why)),
        })
    }

    fn to_keep(
        &self,
        asking: &Asking,
        job: &Submission,
        request: &wire::SubmitRequest,
        decided: &Decided,
        why: &str,
    ) -> Kept {
        let (caller, now) = (&asking.caller, wall());
        let (request, targets) = (request.encode_to_vec(), members::encode(&decided.targets));
        let parts: [&[u8]; 5] = [
            b"relay approval v1",
            caller.name().as_bytes(),
            caller.how().word().as_bytes(),
            &request,
            &targets,
        ];
        let digest = submit::digest(parts);
        let what = proto::KeptApproval {
            caller: caller.name().to_owned(),
            groups: caller.groups().map(str::to_owned).collect(),
            how: caller.how().word().to_owned(),
            targets,
            asked: now,
            expires: now.saturating_add(decided.active.policy.approval().life.saturating_mul(1_000)),
            reason: why.to_owned(),
            state: State::Pending.word().to_owned(),
            function: job.function.clone(),
            args: job.args.to_vec(),
            target: job.written.clone(),
            request_digest: job.request_digest.to_vec(),
            ..proto::KeptApproval::default()
        };
        Kept { digest, revision: 0, what: proto::KeptApproval { request, ..what } }
    }
}

/// The service.
#[derive(Clone)]
pub struct ApprovalsService {
    /// What the jobs run by.
    pub operator: OperatorService,
}

type Reply<T> = Result<Response<T>, Status>;

impl ApprovalsService {
    /// The one that a digest, or its beginning, names.
    async fn find(&self, digest: &str) -> Result<Kept, Status> {
        let all = kept::all(&*self.operator.store).await?;
        let mut named =
            all.into_iter().filter(|kept| !digest.is_empty() && hex(&kept.digest).starts_with(digest));
        match (named.next(), named.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => {
                Err(Code::Invalid
                    .status(format!("several approvals begin with {digest:?}: write more of it")))
            }
            _ => Err(Code::NotFound
                .status(format!("there is no approval {digest:?}: relayctl approvals list shows them"))),
        }
    }

    /// The one that a whole digest names: what is decided about is named by all of it.
    async fn exactly(&self, digest: &str) -> Result<Kept, Status> {
        let kept = self.find(digest).await?;
        match hex(&kept.digest) == digest {
            true => Ok(kept),
            false => Err(Code::Invalid.status("name the whole digest: it is what is decided about")),
        }
    }

    async fn approve_as(&self, second: Arc<Caller>, kept: Kept) -> Result<Kept, Status> {
        let first = Arc::new(kept.caller()?);
        let again = kept.state(wall()) == State::Approved && kept.what.decided_by == second.name();
        if kept.what.jid != 0 {
            return Ok(kept);
        }
        if kept.state(wall()) != State::Pending && !again {
            return Err(Code::Invalid.status(format!("it is {} already", kept.state(wall()).word())));
        }
        if first.name() == second.name() {
            let told = format!("{} asked for it: it takes somebody else to approve it", first.name());
            return Err(Code::Denied.status(told));
        }
        let defaults = self.operator.defaults();
        let job = self.job(&kept, &first, &second, &defaults).await?;
        let targets = self.allowed_to_both(&kept, &first, &second, &job, &defaults).await?;
        let approved = match again {
            true => kept,
            false => self.decide(&kept, State::Approved, &second, "").await?,
        };
        let asking = Asking { named: job.caller.clone(), ..Asking::of(first) };
        let jid = match self.operator.run_on(&job, targets).await? {
            Ok(accepted) => {
                self.operator.runs(&asking, &job, &accepted);
                accepted.jid
            }
            Err(SubmitError::PlanMoved { .. }) => {
                return Err(Code::Busy.status("its targets have changed a moment ago: approve it again"));
            }
            Err(error) => return Err(submit::submit_error(error)),
        };
        let noted = kept::change(&*self.operator.store, &approved, |what| what.jid = jid.micros()).await?;
        Ok(noted.unwrap_or(approved))
    }

    /// What is to run, as it was asked for.
    async fn job(
        &self,
        kept: &Kept,
        first: &Caller,
        second: &Caller,
        defaults: &Defaults,
    ) -> Result<Submission, Status> {
        let damaged = |e| Code::Store.status(format!("a stored approval can't be read: {e}"));
        let request = wire::SubmitRequest::decode(kept.what.request.as_slice()).map_err(damaged)?;
        let id = submit::request_id(&request.request_id)?;
        // As it was digested when it was asked for: so who asked finds his job by trying again.
        let digest = submit::request_digest(first.name(), &request);
        let named = format!("{} (approved by {})", first.name(), second.name());
        self.operator.whole_submission(named, id, digest, request, defaults).await
    }

    /// The job's targets of now, if all of them were there when it was asked for, and both may.
    async fn allowed_to_both(
        &self,
        kept: &Kept,
        first: &Arc<Caller>,
        second: &Arc<Caller>,
        job: &Submission,
        defaults: &Defaults,
    ) -> Result<Members, Status> {
        let asking = |caller: &Arc<Caller>| Asking { waits: false, ..Asking::of(caller.clone()) };
        let decided = self.operator.decided(&asking(first), job, defaults).await?;
        let new = &decided.targets - kept.targets()?;
        if !new.is_empty() {
            let mut ids = self.operator.directory.ids(&new);
            ids.sort();
            let ids = relay_core::compact::compact(ids.iter().map(String::as_str));
            let clipped: String = ids.chars().take(200).collect();
            let told = format!(
                "it has {} targets that it did not have when it was asked for ({clipped}): ask for it anew",
                new.len()
            );
            return Err(Code::PlanMoved.status(told));
        }
        let also = self.operator.decided(&asking(second), job, defaults).await?;
        match also.targets == decided.targets {
            true => Ok(decided.targets),
            false => Err(Code::Busy.status("its targets have changed a moment ago: approve it again")),
        }
    }

    /// Writes a decision down, in the store and in the audit.
    async fn decide(&self, kept: &Kept, state: State, by: &Caller, why: &str) -> Result<Kept, Status> {
        let event = Event::new(Kind::Approve, by.name(), by.how().word()).about(hex(&kept.digest));
        let event = event
            .with("state", state.word())
            .with("caller", &kept.what.caller)
            .with("function", &kept.what.function);
        let event = event.with("target", &kept.what.target);
        self.operator.access.record(if why.is_empty() { event } else { event.with("why", why) }).await?;
        let changed = kept::change(&*self.operator.store, kept, |what| {
            what.state = state.word().to_owned();
            what.decided_by = by.name().to_owned();
            what.decided = wall();
            what.why = why.to_owned();
        });
        changed.await?.ok_or_else(|| Code::Busy.status("somebody else has just decided about it"))
    }

    fn shown(&self, kept: &Kept, with_minions: bool) -> Result<proto::Approval, Status> {
        let (what, targets) = (&kept.what, kept.targets()?);
        let mut minions = if with_minions { self.operator.directory.ids(&targets) } else { Vec::new() };
        minions.sort();
        Ok(proto::Approval {
            digest: hex(&kept.digest),
            state: kept.state(wall()).word().to_owned(),
            caller: what.caller.clone(),
            how: what.how.clone(),
            asked: what.asked,
            expires: what.expires,
            reason: what.reason.clone(),
            function: what.function.clone(),
            args: what.args.clone(),
            target: what.target.clone(),
            targets: targets.len(),
            minions,
            decided_by: what.decided_by.clone(),
            decided: what.decided,
            why: what.why.clone(),
            jid: what.jid,
        })
    }
}

#[tonic::async_trait]
impl Approvals for ApprovalsService {
    async fn list(&self, request: Request<proto::ListApprovalsRequest>) -> Reply<proto::ListApprovalsReply> {
        let caller = caller(&request)?;
        let access = &self.operator.access;
        let all = access.may_all(&caller, Verb::ApprovalsList);
        access.may(&caller, Verb::ApprovalsList, !all, "").await?;
        let (pending, now) = (request.get_ref().pending, wall());
        let kept = kept::all(&*self.operator.store).await?;
        let fits = |kept: &&Kept| {
            (all || kept.what.caller == caller.name()) && (!pending || kept.state(now) == State::Pending)
        };
        let approvals =
            kept.iter().filter(fits).map(|kept| self.shown(kept, false)).collect::<Result<_, _>>()?;
        Ok(Response::new(proto::ListApprovalsReply { approvals }))
    }

    async fn show(&self, request: Request<proto::ApprovalName>) -> Reply<proto::Approval> {
        let caller = caller(&request)?;
        let access = &self.operator.access;
        let all = access.may_all(&caller, Verb::ApprovalsList);
        access.may(&caller, Verb::ApprovalsList, !all, &request.get_ref().digest).await?;
        let kept = self.find(&request.get_ref().digest).await?;
        access
            .may(&caller, Verb::ApprovalsList, kept.what.caller == caller.name(), &request.get_ref().digest)
            .await?;
        self.shown(&kept, true).map(Response::new)
    }

    async fn approve(&self, request: Request<proto::ApprovalName>) -> Reply<proto::Approval> {
        let caller = caller(&request)?;
        let digest = &request.get_ref().digest;
        self.operator.access.may(&caller, Verb::ApprovalsDecide, false, digest).await?;
        self.operator.reach.check()?;
        let kept = self.exactly(digest).await?;
        let approved = self.approve_as(caller, kept).await?;
        self.shown(&approved, false).map(Response::new)
    }

    async fn reject(&self, request: Request<proto::RejectRequest>) -> Reply<proto::Approval> {
        let caller = caller(&request)?;
        let proto::RejectRequest { digest, why } = request.into_inner();
        let access = &self.operator.access;
        if !access.may_own(&caller, Verb::ApprovalsDecide) {
            // Who may reject nothing learns nothing of what there is.
            access.may(&caller, Verb::ApprovalsDecide, true, &digest).await?;
        }
        let kept = self.exactly(&digest).await?;
        access.may(&caller, Verb::ApprovalsDecide, kept.what.caller == caller.name(), &digest).await?;
        if kept.state(wall()) != State::Pending {
            return Err(Code::Invalid.status(format!("it is {} already", kept.state(wall()).word())));
        }
        if why.len() > MAX_WHY_BYTES {
            return Err(Code::Invalid.status(format!("why: {} bytes, at most {MAX_WHY_BYTES}", why.len())));
        }
        let rejected = self.decide(&kept, State::Rejected, &caller, &why).await?;
        self.shown(&rejected, false).map(Response::new)
    }
}

/// Longest reason of a rejection, in bytes.
const MAX_WHY_BYTES: usize = 1_000;

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A moment for people, to the second.
fn moment(at: WallMicros) -> String {
    let at = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
    at.unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
