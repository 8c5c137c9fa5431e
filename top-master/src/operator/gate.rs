//! What operators may do, asked before it is done: verbs, and jobs on their frozen targets.

use std::sync::Arc;

use relay_core::{
    Members,
    access::{Caller, Decision, Verb},
    audit::{Event, Kind},
    ids::Jid,
    owner::{Accepted, Owner, Submission, SubmitError},
};
use relay_proto::Code;
use relay_runtime::store::JobView;
use tonic::Status;

use super::{Defaults, OperatorService, store_error, submit::submit_error};
use crate::access::{Active, Arguments, Asking, decide_job, event, maker};

/// A job that its caller's rules allow on these targets, perhaps with a second person.
pub(crate) struct Decided {
    pub(crate) targets: Members,
    pub(crate) decision: Decision,
    /// The rules by which.
    pub(crate) active: Arc<Active>,
}

impl OperatorService {
    /// Whether somebody may do something that is not about one thing of somebody's.
    ///
    /// # Errors
    /// He may not.
    pub(super) async fn may(&self, caller: &Caller, verb: Verb) -> Result<(), Status> {
        self.may_about(caller, verb, "").await
    }

    /// The same, with what it is about, for the audit.
    ///
    /// # Errors
    /// He may not.
    pub(super) async fn may_about(
        &self,
        caller: &Caller,
        verb: Verb,
        about: impl std::fmt::Display,
    ) -> Result<(), Status> {
        self.access.may(caller, verb, false, &about.to_string()).await
    }

    /// Whether somebody may do something with a job. Who may not learns nothing of whether there is one.
    ///
    /// # Errors
    /// He may not, or there is no such job.
    pub(super) async fn may_with_job(&self, caller: &Caller, verb: Verb, jid: Jid) -> Result<(), Status> {
        let own = match self.access.may_all(caller, verb) {
            true => false,
            false => self.made_by(jid).await?.is_some_and(|by| maker(&by) == caller.name()),
        };
        self.access.may(caller, verb, own, &jid.to_string()).await
    }

    /// The same with a schedule.
    ///
    /// # Errors
    /// He may not, or the schedules can't be read.
    pub(super) async fn may_with_schedule(
        &self,
        caller: &Caller,
        verb: Verb,
        name: &str,
    ) -> Result<(), Status> {
        let own = match self.access.may_all(caller, verb) {
            true => false,
            false => self.schedules().await?.iter().any(|s| s.name == name && s.caller == caller.name()),
        };
        self.access.may(caller, verb, own, name).await
    }

    /// What a job says of its caller, if there is one.
    async fn made_by(&self, jid: Jid) -> Result<Option<String>, Status> {
        let open =
            self.look(move |owner: &Owner| owner.head(jid).map(|head| head.spec.caller.clone())).await?;
        if open.is_some() {
            return Ok(open);
        }
        // Without changes and bodies.
        let view: Option<JobView> = self.store.job(jid, u64::MAX).await.map_err(store_error)?;
        Ok(view.map(|view| view.head.spec.caller))
    }

    /// Whether a submission is allowed on the targets that it has now. Allowed with a second person is no error here. A refusal is
    /// written down.
    ///
    /// # Errors
    /// It is refused, by rules or for what it is.
    pub(crate) async fn decided(
        &self,
        asking: &Asking,
        submission: &Submission,
        defaults: &Defaults,
    ) -> Result<Decided, Status> {
        let resolve = |owner: &Owner, job: &Submission| Ok((owner.resolve(job)?, ()));
        self.decided_by(asking, submission, defaults, resolve).await.map(|(decided, ())| decided)
    }

    /// The same, with another way of finding the targets, and what else is to be known of exactly these: it is one look.
    pub(super) async fn decided_by<T: Send + 'static>(
        &self,
        asking: &Asking,
        submission: &Submission,
        defaults: &Defaults,
        resolve: impl FnOnce(&Owner, &Submission) -> Result<(Members, T), SubmitError> + Send + 'static,
    ) -> Result<(Decided, T), Status> {
        let arguments = Arguments::read(&submission.args)?;
        let written = submission.written.as_str();
        self.access.could_run(asking, &arguments.work(&submission.function), written).await?;
        let (active, groups) = (self.access.policies().active(), defaults.groups.clone());
        let (rules, caller, job) = (active.clone(), asking.caller.clone(), submission.clone());
        let decide = move |owner: &Owner| {
            let (targets, more) = resolve(owner, &job)?;
            let work = arguments.work(&job.function);
            let decision = decide_job(&rules, &caller, &work, owner, &groups, &targets);
            Ok((arguments, targets, more, decision))
        };
        let (arguments, targets, more, decision) = self.look(decide).await?.map_err(submit_error)?;
        match decision {
            Decision::Deny(_) => {
                let work = arguments.work(&submission.function);
                Err(self.access.denied(asking, &work, written, decision, &active).await)
            }
            decision => Ok((Decided { targets, decision, active }, more)),
        }
    }

    /// Writes down that a job is let run, before it does.
    ///
    /// # Errors
    /// It is not written down: then it does not run.
    pub(crate) async fn accepts(
        &self,
        asking: &Asking,
        job: &Submission,
        decided: &Decided,
    ) -> Result<(), Status> {
        let event = event(Kind::Accept, &asking.caller, &decided.decision, &decided.active);
        let event = event
            .about(&job.function)
            .with("target", &job.written)
            .with("targets", decided.targets.len())
            .with("request", job.request_id)
            .with("as", &asking.named);
        self.access.record(event).await
    }

    /// Writes down under which jid it runs.
    pub(crate) fn runs(&self, asking: &Asking, job: &Submission, accepted: &Accepted) {
        let event = Event::new(Kind::Job, asking.caller.name(), asking.caller.how().word());
        let event = event.about(accepted.jid).with("state", "accepted").with("function", &job.function);
        self.access.audit().note(event.with("request", job.request_id).with("targets", accepted.targets));
    }
}

/// What can't wait for a second person, and needs one.
pub(super) fn nobody_to_ask(why: &str) -> Status {
    Code::Denied.status(format!(
        "a second person has to agree to it, and what runs by itself can't wait for one: {why}"
    ))
}
