//! One job as an operator sees it: submitted, watched, and every outcome written down in the order it came.

use std::collections::{BTreeMap, BTreeSet};

use relay_core::{
    batch::BatchRule,
    ids::{Jid, MinionId},
    invariants::Verdict,
    outcome::{Answer, Outcome, Reason},
};
use relay_proto::operator::{Returns, SubmitRequest, WatchEvent, watch_event::Event};
use serde_json::{Value, json};
use tonic::{Status, Streaming};

use crate::{
    Fabric,
    wait::{LOOK_EVERY, PATIENCE},
};

/// A job before it is submitted.
#[must_use]
pub struct Request<'f> {
    fabric: &'f Fabric,
    /// What will be sent.
    pub request: SubmitRequest,
}

impl<'f> Request<'f> {
    pub(crate) fn new(fabric: &'f Fabric, request: SubmitRequest) -> Request<'f> {
        Request { fabric, request }
    }

    /// Arguments by position.
    pub fn args<V: Into<Value>>(mut self, args: impl IntoIterator<Item = V>) -> Self {
        let args: Vec<Value> = args.into_iter().map(Into::into).collect();
        self.request.args = json!({"args": args, "kwargs": {}}).to_string().into_bytes();
        self
    }

    /// The run limit, in milliseconds.
    pub fn run_ms(mut self, limit: u64) -> Self {
        self.request.run_timeout_ms = limit;
        self
    }

    /// How many at once, and when it stops.
    pub fn batch(mut self, rule: &BatchRule) -> Self {
        self.request.batch = Some(relay_proto::batch::encode(rule));
        self
    }

    /// The delivery limit, in milliseconds.
    pub fn delivery_ms(mut self, limit: u64) -> Self {
        self.request.delivery_timeout_ms = limit;
        self
    }

    /// Submits it. What it targets is asked before, from the inventory.
    ///
    /// # Errors
    /// Not accepted.
    ///
    /// # Panics
    /// The answer names another number of targets than the inventory.
    pub async fn submit(self) -> Result<Job, Status> {
        let operator = self.fabric.operator();
        let expected = operator.minions(&self.request.target).await?;
        let submitted = operator.submit(self.request).await?;
        let targets: BTreeSet<MinionId> = expected.into_iter().filter_map(|m| m.id.parse().ok()).collect();
        assert_eq!(submitted.targets, targets.len() as u64, "targets named when the job was accepted");
        Ok(Job::new(submitted.jid, targets))
    }
}

/// A job that was accepted, and what was seen of it.
pub struct Job {
    jid: Jid,
    targets: BTreeSet<MinionId>,
    slots: BTreeMap<MinionId, Vec<Answer>>,
    order: Vec<MinionId>,
    stream: Option<Streaming<WatchEvent>>,
    /// The cursor of the last change that was taken in whole, and what came of the next one.
    after: u64,
    unfinished: Vec<Returns>,
    running: u64,
    closed: bool,
}

impl Job {
    fn new(jid: u64, targets: BTreeSet<MinionId>) -> Job {
        Job {
            jid: Jid::from_micros(jid),
            targets,
            slots: BTreeMap::new(),
            order: Vec::new(),
            stream: None,
            after: 0,
            unfinished: Vec::new(),
            running: 0,
            closed: false,
        }
    }

    /// Its name.
    pub fn jid(&self) -> Jid {
        self.jid
    }

    /// Its frozen targets.
    pub fn targets(&self) -> &BTreeSet<MinionId> {
        &self.targets
    }

    /// Every outcome that was seen of each minion, in order.
    pub fn slots(&self) -> &BTreeMap<MinionId, Vec<Answer>> {
        &self.slots
    }

    /// The minions in the order in which their outcomes were first seen.
    pub fn order(&self) -> &[MinionId] {
        &self.order
    }

    /// How many run now, by the last progress.
    pub fn running(&self) -> u64 {
        self.running
    }

    /// The newest answer of a minion.
    pub fn answer(&self, minion: &str) -> Option<&Answer> {
        self.slots.iter().find(|(id, _)| id.as_str() == minion).and_then(|(_, history)| history.last())
    }

    /// Outcome and reason of a minion.
    ///
    /// # Panics
    /// It has none.
    pub fn outcome(&self, minion: &str) -> (Outcome, Reason) {
        let answer =
            self.answer(minion).unwrap_or_else(|| panic!("job {}: {minion} has no outcome", self.jid));
        (answer.outcome, answer.reason)
    }

    /// How many have each outcome now.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for answer in self.slots.values().filter_map(|history| history.last()) {
            *counts.entry(answer.outcome.word()).or_insert(0) += 1;
        }
        counts
    }

    /// A minion's return value.
    ///
    /// # Panics
    /// It has none.
    pub fn value(&self, minion: &str) -> Value {
        let answer =
            self.answer(minion).unwrap_or_else(|| panic!("job {}: {minion} has no outcome", self.jid));
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    /// Waits until the job is closed: every target has an outcome.
    pub async fn closed(&mut self, fabric: &Fabric) {
        self.until(fabric, "be closed", |job| job.closed).await;
    }

    /// Forgets the stream; the next one goes on where this one was.
    pub fn look_anew(&mut self) {
        (self.stream, self.closed) = (None, false);
    }

    /// Watches it from the beginning, and holds that against what was seen in pieces (I10).
    ///
    /// # Panics
    /// The whole stream does not begin with what was seen of it.
    pub async fn check_replay(&self, fabric: &Fabric) {
        let mut again = Job::new(self.jid.micros(), self.targets.clone());
        again.closed(fabric).await;
        for (id, seen) in &self.slots {
            let replayed = again.slots.get(id).map(|history| history.get(..seen.len()));
            assert_eq!(
                replayed,
                Some(Some(&seen[..])),
                "job {}: {id} in a stream from the beginning",
                self.jid
            );
        }
    }

    /// Watches until the condition holds; watches again when the stream breaks.
    ///
    /// # Panics
    /// It does not hold within [`PATIENCE`].
    pub async fn until(&mut self, fabric: &Fabric, what: &str, mut holds: impl FnMut(&Job) -> bool) {
        let watching = async {
            while !holds(self) {
                if self.closed {
                    // A late return changes a closed job: what the store has now is what counts.
                    tokio::time::sleep(4 * LOOK_EVERY).await;
                    self.look_anew();
                }
                self.step(fabric).await;
            }
        };
        let watched = tokio::time::timeout(PATIENCE, watching).await.is_ok();
        assert!(watched, "job {} did not {what} within {PATIENCE:?}: {:?}", self.jid, self.slots);
    }

    async fn step(&mut self, fabric: &Fabric) {
        if self.stream.is_none() {
            self.unfinished.clear();
            self.stream = fabric.operator().watch_after(self.jid.micros(), self.after).await.ok();
        }
        let Some(stream) = &mut self.stream else { return tokio::time::sleep(LOOK_EVERY).await };
        match stream.message().await {
            Ok(Some(WatchEvent { event: Some(event), cursor })) => self.take(event, cursor),
            _ => self.stream = None,
        }
    }

    fn take(&mut self, event: Event, cursor: u64) {
        match event {
            Event::Head(head) => {
                assert_eq!(head.targets, self.targets.len() as u64, "targets of {}", self.jid)
            }
            Event::Returns(returns) => {
                self.unfinished.push(returns);
                if cursor > 0 {
                    assert!(cursor > self.after, "job {}: change {cursor} after {}", self.jid, self.after);
                    self.after = cursor;
                    std::mem::take(&mut self.unfinished).iter().for_each(|returns| self.returned(returns));
                }
            }
            Event::Progress(progress) => self.running = progress.regions.iter().map(|r| r.running).sum(),
            Event::Closed(_) => self.closed = true,
        }
    }

    fn returned(&mut self, returns: &Returns) {
        let answer = Answer {
            outcome: Outcome::from_word(&returns.outcome).expect("an outcome"),
            reason: Reason::from_word(&returns.reason).expect("a reason"),
            retcode: returns.retcode,
            body: returns.body.clone(),
            truncated: <[u8; 32]>::try_from(returns.truncated.as_slice()).ok(),
            by_tier: false,
        };
        for id in &returns.minions {
            let id: MinionId = id.parse().expect("a minion's id");
            let history = self.slots.entry(id.clone()).or_default();
            if history.is_empty() {
                self.order.push(id);
            }
            // A repeat is a breach (I2, I10).
            history.push(answer.clone());
        }
    }

    /// The history of a slot, for the invariants.
    pub fn verdicts(&self) -> impl Iterator<Item = (&MinionId, Vec<Verdict>)> {
        self.slots.iter().map(|(id, history)| (id, history.iter().map(Verdict::of).collect()))
    }
}
