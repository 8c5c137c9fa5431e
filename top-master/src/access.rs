//! The one gate: what anybody asks of this top master is decided here, and written down.
//!
//! Every handler of every service asks [`Access::may`] (or, for a job, [`Access::could_run`] and then [`decide`] on its frozen
//! targets), and so do schedules at each of their times. The rules are relay-core's; [`policies`] reads the file they stand in and follows its changes,
//! [`surface`] says for each call what is asked, [`approvals`] keeps what waits for a second person.

pub mod approvals;
mod kept;
pub mod policies;
pub mod rules;
pub mod surface;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use relay_core::{
    Members,
    access::{Caller, Decision, Denial, Facts, Request, Verb, Work, could_run, decide, decide_verb},
    audit::{Event, Kind},
    owner::Owner,
    target::NodeGroups,
};
use relay_proto::Code;
use tonic::Status;
use tracing::{info, warn};

use crate::audit::{Audit, AuditError};
pub use policies::{Active, Policies};
/// What is decided about is what runs: minions read a job's arguments in the same way.
pub use relay_proto::arguments::Arguments;
use surface::Asked;

/// The gate. Copies are the same one.
#[derive(Clone)]
pub struct Access {
    policies: Policies,
    audit: Audit,
}

/// Who asks for a job, and in whose name it runs.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Whose rights count.
    pub caller: Arc<Caller>,
    /// What the job says of its caller: the name, or more ([`maker`] reads it).
    pub named: String,
    /// Whether it can wait for a second person. What runs by itself can't: nobody would be there to be told.
    pub waits: bool,
}

impl Asking {
    /// Somebody, for himself.
    pub fn of(caller: Arc<Caller>) -> Asking {
        Asking { named: caller.name().to_owned(), caller, waits: true }
    }
}

/// Whoever made something that says of its caller `named`: also through a schedule, and with a second person's agreement.
pub fn maker(named: &str) -> &str {
    let through = named.strip_prefix("schedule:").and_then(|rest| rest.split_once(" (by "));
    let made = through.map_or(named, |(_, by)| by.trim_end_matches(')'));
    made.split(' ').next().unwrap_or(made)
}

/// The caller of a call, as whoever let it in has established it.
///
/// # Errors
/// [`Code::Unauthenticated`]: nobody has.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Arc<Caller>, Status> {
    let known = request.extensions().get::<Arc<Caller>>().cloned();
    known.ok_or_else(|| Code::Unauthenticated.status("not logged in"))
}

impl Access {
    /// By these rules; decisions are written down there.
    pub fn new(policies: Policies, audit: Audit) -> Access {
        Access { policies, audit }
    }

    /// The log.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The rules, and what becomes of their file.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Whether somebody may do something that is no job. `own`: it concerns only what he made himself. A refusal is written down, and so is
    /// that somebody was let change something, before he does; once, with the decision and its object (`about`) in one record.
    ///
    /// # Errors
    /// [`Code::Denied`], with the rule that decides; [`Code::Store`] if it can't be written down.
    pub async fn may(&self, caller: &Caller, verb: Verb, own: bool, about: &str) -> Result<(), Status> {
        let active = self.policies.active();
        let decision = decide_verb(&active.policy, caller, verb, own);
        let named = |kind| event(kind, caller, &decision, &active).about(verb).with("object", about);
        if decision.is_allowed() {
            return match deed(verb) {
                _ if !verb.changes() => Ok(()),
                Kind::Accept => self.record(named(Kind::Accept)).await,
                kind => {
                    self.record(event(kind, caller, &decision, &active).about(about).with("verb", verb)).await
                }
            };
        }
        let told = decision.told(caller, &Request::Do { verb, own }, &active.shown);
        info!(caller = %caller, %verb, about, "denied");
        self.refuse(named(Kind::Deny)).await;
        Err(Code::Denied.status(told))
    }

    /// Whether a verb is allowed to somebody on everything, not only on what is his own. Nothing is written down.
    pub fn may_all(&self, caller: &Caller, verb: Verb) -> bool {
        decide_verb(&self.policies.active().policy, caller, verb, false).is_allowed()
    }

    /// Whether a verb is allowed to somebody at least on what is his own. Nothing is written down.
    pub fn may_own(&self, caller: &Caller, verb: Verb) -> bool {
        decide_verb(&self.policies.active().policy, caller, verb, true).is_allowed()
    }

    /// Whether somebody may make a call at all, by what the table asks for it: the right, if only on what is his own. What he does it to is
    /// the handler's question, and a job is. A handler that forgot its question is behind this one.
    ///
    /// # Errors
    /// As [`Access::may`].
    pub async fn enters(&self, caller: &Caller, asked: Asked, path: &str) -> Result<(), Status> {
        match asked {
            Asked::Verb(verb) | Asked::VerbAndJob(verb) if !self.may_own(caller, verb) => {
                self.may(caller, verb, true, path).await
            }
            Asked::Verb(_) | Asked::VerbAndJob(_) | Asked::Job => Ok(()),
            // No call of the operators' port by who is known.
            Asked::Nothing | Asked::Peer(_) => {
                Err(Status::unimplemented("there is no such call on this port"))
            }
        }
    }

    /// Whether there are targets for which somebody could be allowed a job: asked before it is looked who matches, so that who may
    /// not run a function learns nothing of the fleet by it.
    ///
    /// # Errors
    /// [`Code::Denied`]; written down.
    pub async fn could_run(&self, asking: &Asking, work: &Work<'_>, target: &str) -> Result<(), Status> {
        let active = self.policies.active();
        match could_run(&active.policy, &asking.caller, work) {
            Ok(()) => Ok(()),
            Err(denial) => Err(self.denied(asking, work, target, Decision::Deny(denial), &active).await),
        }
    }

    /// A refusal of a job in words; written down.
    pub async fn denied(
        &self,
        asking: &Asking,
        work: &Work<'_>,
        target: &str,
        decision: Decision,
        active: &Active,
    ) -> Status {
        let caller = &asking.caller;
        let told = decision.told(caller, &Request::Job(work.clone()), &active.shown);
        info!(caller = %caller, function = work.function, target, "denied");
        let event = event(Kind::Deny, caller, &decision, active).about(work.function).with("target", target);
        let event = match &decision {
            Decision::Deny(Denial::NotCovered { left, targets, .. }) => {
                event.with("targets", targets).with("not_covered", left.count)
            }
            _ => event,
        };
        self.refuse(named(event, asking)).await;
        Code::Denied.status(told)
    }

    /// Writes an event down; it is durable when this returns.
    ///
    /// # Errors
    /// [`Code::Store`]: it is not written down, so what it is about must not be done.
    pub async fn record(&self, event: Event) -> Result<(), Status> {
        self.audit.record(event).await.map(drop).map_err(|error| {
            let todo = if matches!(error, AuditError::Store(_)) {
                ": free space or mend it, then try again"
            } else {
                ""
            };
            Code::Store.status(format!("{error}{todo}"))
        })
    }

    /// Writes down that somebody was refused. He is, also if that fails.
    async fn refuse(&self, event: Event) {
        if let Err(error) = self.record(event).await {
            warn!(error = error.message(), "a refusal is not in the audit log");
        }
    }
}

/// Decides about a job where the loop is, on its frozen targets.
pub fn decide_job(
    active: &Active,
    caller: &Caller,
    work: &Work,
    owner: &Owner,
    groups: &NodeGroups,
    targets: &Members,
) -> Decision {
    let facts = Facts { inventory: owner.inventory(), groups, targets };
    decide(&active.policy, caller, &Request::Job(work.clone()), &facts)
}

/// Under which kind it is found what somebody was let do: jobs, schedules and topologies have their own.
fn deed(verb: Verb) -> Kind {
    match verb.word().split_once('.').map(|(of, _)| of) {
        Some("jobs") => Kind::Job,
        Some("schedules") => Kind::Schedule,
        Some("topology") => Kind::Topology,
        _ => Kind::Accept,
    }
}

/// What is written down of a decision: who, how known, what was decided, by which rules of which policy.
pub fn event(kind: Kind, caller: &Caller, decision: &Decision, active: &Active) -> Event {
    let event = Event::new(kind, caller.name(), caller.how().word());
    let event = event.with("decision", decision.word()).with("policy", &active.digest);
    match decision.rules(&active.shown) {
        rules if rules.is_empty() => event,
        rules => event.with("rules", rules),
    }
}

fn named(event: Event, asking: &Asking) -> Event {
    if asking.named == asking.caller.name() { event } else { event.with("as", &asking.named) }
}

/// Says in the audit which rules hold: at the beginning, and whenever they change or could not.
pub async fn tell(access: Access, token: tokio_util::sync::CancellationToken) {
    let mut news = access.policies.subscribe();
    loop {
        let now = news.borrow_and_update().clone();
        let event = Event::new(Kind::Policy, "top-master", "self").about(&now.active.digest);
        let event = event.with("since", now.active.since).with("file", &now.active.shown);
        let event = match &now.problem {
            Some(problem) => event.with("refused", problem),
            None => event,
        };
        // It holds already.
        access.audit.note(event);
        tokio::select! {
            () = token.cancelled() => return,
            changed = news.changed() => if changed.is_err() { return },
        }
    }
}

/// Tests say who asks by a name; it is known by a certificate.
#[cfg(test)]
impl From<&str> for Asking {
    fn from(name: &str) -> Asking {
        Asking::of(test_caller(name))
    }
}

/// Somebody known by a certificate.
#[cfg(test)]
pub(crate) fn test_caller(name: &str) -> Arc<Caller> {
    Arc::new(Caller::new(name, [], relay_core::access::How::Certificate).unwrap())
}
