//! Operators: they submit jobs, try again with the same request id when no answer comes, and cancel.

use bytes::Bytes;
use relay_core::{
    ids::{Jid, RequestId},
    invariants::Observation,
    owner::{Accepted, Submission, SubmitError},
    target::Target,
    time::Millis,
};

use crate::{
    event::{Event, Happening, Place},
    world::World,
};

/// How long an operator waits before the next try.
const PATIENCE: Millis = 3_000;

/// What an operator wants.
#[derive(Debug, Clone)]
pub struct Request {
    /// The id, the same at each try.
    pub id: u128,
    /// Names the body.
    pub body: u8,
    /// Whom it is for.
    pub target: String,
    /// How long it may take to reach a minion.
    pub delivery_limit: Millis,
    /// How long one minion may take.
    pub run_limit: Millis,
    /// How long after the answer it is cancelled.
    pub cancel_after: Option<Millis>,
    /// It is given this request's id, with another body: it must be refused.
    pub misuses: Option<usize>,
    /// What it became.
    pub jid: Option<Jid>,
    /// Nothing more is expected.
    pub over: bool,
}

impl World {
    /// An operator looks whether an answer came.
    pub fn client(&mut self, no: usize) {
        if self.requests[no].over {
            return;
        }
        let first = self.requests[no].misuses.map(|first| self.requests[first].jid);
        if first != Some(None) {
            let wait = self.delay();
            self.later(Place::Top, wait, Happening::Request(no));
        }
        self.agenda.at(self.now + PATIENCE, Event::Client(no));
    }

    /// A request reaches the top master.
    pub fn submit(&mut self, no: usize) {
        let request = &self.requests[no];
        let Ok(target) = Target::parse(&request.target) else {
            return self.breach("setup", format!("no target: {}", request.target));
        };
        let submission = Submission {
            request_id: RequestId(request.id),
            request_digest: [request.body; 32],
            target,
            function: "test.sleep".into(),
            args: Bytes::new(),
            caller: "operator".into(),
            delivery_limit: request.delivery_limit,
            run_limit: request.run_limit,
            batch: relay_core::batch::BatchRule::default(),
            subset: None,
            planned: None,
            confirmed: None,
        };
        let wall = self.wall();
        self.say(|| format!("request {no} reaches the top master"));
        self.top.owner.submit(self.now, wall, no as u64, submission);
    }

    /// A cancel reaches the top master.
    pub fn cancel(&mut self, no: usize) {
        if let Some(jid) = self.requests[no].jid {
            let outstanding = self.top.owner.cancel(jid);
            self.say(|| format!("cancel of job {jid}: {outstanding:?}"));
        }
    }

    /// The top master answers, and the answer may be lost on its way.
    pub fn replied(&mut self, no: usize, result: Result<Accepted, SubmitError>) {
        self.say(|| format!("request {no} is answered: {result:?}"));
        if self.faults.active && self.random.once_in(8) {
            return;
        }
        match result {
            Ok(accepted) => self.shown(no, accepted),
            Err(SubmitError::RequestReused(_)) if self.requests[no].misuses.is_some() => {
                self.requests[no].over = true;
            }
            Err(SubmitError::RequestReused(jid)) => {
                self.breach("request", format!("request {no} is said to have been another body's job {jid}"));
            }
            Err(_) => {}
        }
    }

    fn shown(&mut self, no: usize, accepted: Accepted) {
        let request = &mut self.requests[no];
        let before = request.jid.replace(accepted.jid);
        request.over = true;
        let cancel = request.cancel_after.filter(|_| before.is_none());
        if request.misuses.is_some() {
            self.breach("request", format!("request {no} misused an id and became job {}", accepted.jid));
        }
        if before.is_some_and(|jid| jid != accepted.jid) {
            self.breach("request", format!("request {no} became two jobs: {before:?} and {}", accepted.jid));
        }
        self.note(Observation::Shown { jid: accepted.jid, targets: accepted.targets });
        if let Some(wait) = cancel {
            self.later(Place::Top, wait, Happening::Cancel(no));
        }
    }
}
