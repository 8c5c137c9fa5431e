//! Operators: they submit jobs, try again with the same request id when no answer comes, and cancel.

use std::collections::BTreeSet;

use bytes::Bytes;
use relay_core::{
    batch::BatchRule,
    ids::{Jid, RequestId},
    invariants::Observation,
    owner::{Accepted, Submission, SubmitError},
    target::Target,
    time::Millis,
};

use crate::{
    batches::{GIVES_UP_AFTER, LOOKS_EVERY, Mood},
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
    /// How many at once, and when it stops.
    pub batch: BatchRule,
    /// How its executions go.
    pub mood: Mood,
    /// Its operator approves the stages of its canary; otherwise gives it up when it asks for too long.
    pub approves: bool,
    /// What it became.
    pub jid: Option<Jid>,
    /// When its jid was shown.
    pub looks_since: Millis,
    /// Nothing more is expected.
    pub over: bool,
    /// The top master that it asks next.
    pub asks: usize,
    /// Those that it has asked.
    pub asked: BTreeSet<usize>,
    /// Somebody watches its job.
    pub watched: bool,
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
            let top = self.requests[no].asks;
            // No answer from here: it asks the other next time.
            self.requests[no].asks = 1 - top;
            self.requests[no].asked.insert(top);
            self.later(Place::Top(top), wait, Happening::Request(no));
        }
        self.agenda.at(self.now + PATIENCE, Event::Client(no));
    }

    /// A top master that does not own the fabric, or can't be sure of it, says so: the operator asks the other one soon.
    pub fn not_owner(&mut self, no: usize) {
        self.say(|| format!("request {no} is told to ask another"));
        if !self.requests[no].over {
            let wait = self.random.between(100, 1_000);
            let top = self.requests[no].asks;
            self.requests[no].asks = 1 - top;
            self.later(Place::Top(top), wait, Happening::Request(no));
        }
    }

    /// To every top master: only the owner listens.
    fn tell_tops(&mut self, wait: Millis, what: Happening) {
        (0..self.tops.len()).for_each(|top| self.later(Place::Top(top), wait, what.clone()));
    }

    /// A request reaches the owner.
    pub fn submit(&mut self, top: usize, no: usize) {
        let request = &self.requests[no];
        let Ok(target) = Target::parse(&request.target) else {
            return self.breach("setup", format!("no target: {}", request.target));
        };
        let submission = Submission {
            request_id: RequestId(request.id),
            request_digest: [request.body; 32],
            written: target.to_string(),
            target,
            function: "test.sleep".into(),
            args: Bytes::new(),
            caller: "operator".into(),
            delivery_limit: request.delivery_limit,
            run_limit: request.run_limit,
            batch: self.sabotage.batch(&request.batch),
            subset: None,
            planned: None,
            confirmed: None,
        };
        let (now, wall) = (self.now, self.wall(top));
        self.say(|| format!("request {no} reaches top{top}"));
        if let Some(reign) = &mut self.tops[top].reign {
            reign.owner.submit(now, wall, no as u64, submission);
        }
    }

    /// A cancel reaches the top master.
    pub fn cancel(&mut self, top: usize, no: usize) {
        let jid = self.requests[no].jid;
        if let Some((jid, reign)) = jid.zip(self.tops[top].reign.as_mut()) {
            let outstanding = reign.owner.cancel(jid);
            self.say(|| format!("cancel of job {jid}: {outstanding:?}"));
        }
    }

    /// The request that a job came from.
    pub fn wanted(&self, jid: Jid) -> Option<&Request> {
        let head = self.store.head(jid)?;
        let same = |r: &&Request| r.id == head.request_id.0 && r.body == head.request_digest[0];
        self.requests.iter().find(same)
    }

    /// The operator of a canary looks whether it waits for an approval, for as long as it is open.
    pub fn look(&mut self, no: usize) {
        let Some(jid) = self.requests[no].jid else { return };
        if !self.store.open().any(|head| head.job.jid == jid) {
            return;
        }
        let wait = self.delay();
        let patient = self.now < self.requests[no].looks_since + GIVES_UP_AFTER;
        if self.requests[no].approves {
            self.tell_tops(wait, Happening::Approve(no));
        } else if !patient {
            self.tell_tops(wait, Happening::Cancel(no));
        }
        let next = self.random.between(LOOKS_EVERY / 3, LOOKS_EVERY);
        self.agenda.at(self.now + next, Event::Look(no));
    }

    /// An approval reaches the top master.
    pub fn approve(&mut self, top: usize, no: usize) {
        let Some((jid, reign)) = self.requests[no].jid.zip(self.tops[top].reign.as_mut()) else { return };
        if let Ok(approving) = reign.owner.approve(jid) {
            self.coverage.add("canary stage approved", 1);
            self.say(|| format!("approval of job {jid}: {approving:?}"));
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
        let elsewhere = accepted.known && self.requests[no].asked.len() > 1;
        self.coverage.add("retry at another top master got the same jid", u64::from(elsewhere));
        if self.requests[no].watched && self.requests[no].jid.is_none() {
            self.watch_job(accepted.jid);
        }
        let request = &mut self.requests[no];
        let before = request.jid.replace(accepted.jid);
        request.over = true;
        let cancel = request.cancel_after.filter(|_| before.is_none());
        request.looks_since = self.now;
        let looks = request.batch.approve && before.is_none();
        if request.misuses.is_some() {
            self.breach("request", format!("request {no} misused an id and became job {}", accepted.jid));
        }
        if before.is_some_and(|jid| jid != accepted.jid) {
            self.breach("request", format!("request {no} became two jobs: {before:?} and {}", accepted.jid));
        }
        self.note(Observation::Shown { jid: accepted.jid, targets: accepted.targets });
        if looks {
            self.agenda.at(self.now + 1, Event::Look(no));
        }
        if let Some(wait) = cancel {
            self.tell_tops(wait, Happening::Cancel(no));
        }
    }
}
