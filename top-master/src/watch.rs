//! Watching a job: what is stored, then every change as it is committed, with no gap and no repeat.
//!
//! A watcher is subscribed before the store is read; the read says which commits it contains, and changes of those are
//! skipped. A watcher that does not keep up is cut off and watches again.

use std::{collections::HashMap, sync::Arc};

use relay_core::{
    Members,
    ids::{Jid, RegionName},
    outcome::{Answer, Outcome},
    owner::Change,
};
use relay_proto::operator::{self as wire, watch_event::Event};
use relay_runtime::{
    clock::wall,
    store::{JobView, Store},
};
use tokio::sync::mpsc;
use tonic::Status;

use crate::{directory::Directory, operator::store_error};

/// Changes waiting for one watcher; each is a commit of answers, or a second's progress.
pub const WATCH_QUEUE: usize = 256;
/// Watchers at once. Each costs a task and a queue.
pub const MAX_WATCHERS: usize = 1_000;
/// Ids in one message: a few hundred KiB, well under gRPC's 4 MiB beside a 1 MiB body.
const IDS_PER_MESSAGE: usize = 10_000;

/// What a watcher hears from the loop.
#[derive(Debug, Clone)]
pub enum Update {
    /// A commit changed the job.
    Changed {
        /// The commit.
        ticket: u64,
        /// What changed.
        change: Arc<Change>,
        /// Who is seen running.
        running: Members,
    },
    /// Nothing was committed lately; these run.
    Running(Members),
}

/// Who watches what. Owned by the loop.
#[derive(Debug, Default)]
pub struct Watchers(HashMap<Jid, Vec<mpsc::Sender<Update>>>);

impl Watchers {
    /// A new watcher; `None` if there are too many.
    pub fn subscribe(&mut self, jid: Jid) -> Option<mpsc::Receiver<Update>> {
        self.0.retain(|_, watchers| {
            watchers.retain(|w| !w.is_closed());
            !watchers.is_empty()
        });
        if self.0.values().map(Vec::len).sum::<usize>() >= MAX_WATCHERS {
            return None;
        }
        let (tx, rx) = mpsc::channel(WATCH_QUEUE);
        self.0.entry(jid).or_default().push(tx);
        Some(rx)
    }

    /// Tells the watchers of a job. Those whose queue is full lose their stream.
    pub fn tell(&mut self, jid: Jid, update: impl Fn() -> Update) {
        if let Some(watchers) = self.0.get_mut(&jid) {
            watchers.retain(|w| w.try_send(update()).is_ok());
            if watchers.is_empty() {
                self.0.remove(&jid);
            }
        }
    }

    /// The jobs that are watched.
    pub fn jids(&self) -> Vec<Jid> {
        self.0.keys().copied().collect()
    }

    /// Whether a job is watched.
    pub fn has(&self, jid: Jid) -> bool {
        self.0.contains_key(&jid)
    }
}

type Events = mpsc::Sender<Result<wire::WatchEvent, Status>>;

/// One watcher's picture of a job.
struct Picture {
    directory: Directory,
    regions: Vec<(RegionName, Members)>,
    outcomes: HashMap<u32, Outcome>,
    ok: Members,
    done: Members,
    running: Members,
    created: u64,
}

/// Streams a job to one watcher until it is closed.
pub async fn stream(
    store: Arc<dyn Store>,
    directory: Directory,
    jid: Jid,
    mut updates: mpsc::Receiver<Update>,
    events: Events,
) {
    if let Err(status) = follow(&*store, directory, jid, &mut updates, &events).await {
        let _ = events.send(Err(status)).await;
    }
}

async fn follow(
    store: &dyn Store,
    directory: Directory,
    jid: Jid,
    updates: &mut mpsc::Receiver<Update>,
    events: &Events,
) -> Result<(), Status> {
    let view = store.job(jid).await.map_err(store_error)?;
    let view = view.ok_or_else(|| crate::operator::no_such_job(jid))?;
    let mut picture = Picture::new(directory, &view);
    send(events, Event::Head(head(&view))).await?;
    for group in view.groups.iter().filter(|g| !g.members.is_empty()) {
        let mut answer = group.answer.clone();
        if group.body_left_out {
            let page = store.answers(jid, group.no).await.map_err(store_error)?;
            answer = page.into_iter().next().map_or(answer, |(_, answer)| answer);
        }
        picture.take(&answer, &group.members, events).await?;
    }
    if let Some(closed) = view.closed {
        return picture.close(closed, events).await;
    }
    picture.progress(events).await?;
    while let Some(update) = updates.recv().await {
        match update {
            Update::Changed { ticket, .. } if view.as_of.is_some_and(|seen| ticket <= seen) => continue,
            Update::Changed { change, running, .. } => {
                picture.running = running;
                for (_, answer, members) in &change.answers {
                    picture.take(answer, members, events).await?;
                }
                picture.progress(events).await?;
                if change.closed {
                    return picture.close(wall(), events).await;
                }
            }
            Update::Running(running) => {
                picture.running = running;
                picture.progress(events).await?;
            }
        }
    }
    Err(relay_proto::Code::Busy.status("this watcher did not keep up: watch again"))
}

async fn send(events: &Events, event: Event) -> Result<(), Status> {
    let sent = events.send(Ok(wire::WatchEvent { event: Some(event), cursor: 0 })).await;
    sent.map_err(|_| Status::cancelled("the watcher is gone"))
}

/// A job's head for operators.
pub fn head(view: &JobView) -> wire::JobHead {
    wire::JobHead {
        jid: view.head.job.jid.micros(),
        function: view.head.spec.function.clone(),
        args: view.head.spec.args.to_vec(),
        target: view.head.target.clone(),
        caller: view.head.spec.caller.clone(),
        targets: view.head.targets.len(),
        created: view.head.created,
        closed: view.closed.unwrap_or(0),
        outcomes: counts(view.counts.iter().map(|(outcome, n)| (*outcome, *n))),
        cancelled: view.cancelled,
        ..wire::JobHead::default()
    }
}

/// Outcomes and their counts for operators.
pub fn counts(counts: impl Iterator<Item = (Outcome, u64)>) -> Vec<wire::Count> {
    let count = |(outcome, minions): (Outcome, u64)| wire::Count { outcome: outcome.word().into(), minions };
    counts.filter(|(_, n)| *n > 0).map(count).collect()
}

impl Picture {
    fn new(directory: Directory, view: &JobView) -> Picture {
        Picture {
            regions: directory.by_region(&view.head.targets),
            directory,
            outcomes: HashMap::new(),
            ok: Members::new(),
            done: Members::new(),
            running: Members::new(),
            created: view.head.created,
        }
    }

    async fn take(&mut self, answer: &Answer, members: &Members, events: &Events) -> Result<(), Status> {
        self.done |= members;
        match answer.outcome {
            Outcome::Ok => self.ok |= members,
            _ => self.ok -= members,
        }
        for no in members {
            self.outcomes.insert(no, answer.outcome);
        }
        let ids = self.directory.ids(members);
        for ids in ids.chunks(IDS_PER_MESSAGE) {
            let returns = wire::Returns {
                outcome: answer.outcome.word().into(),
                reason: answer.reason.word().into(),
                retcode: answer.retcode,
                body: answer.body.clone(),
                truncated: answer.truncated.map(Vec::from).unwrap_or_default(),
                minions: ids.to_vec(),
                at: 0,
            };
            send(events, Event::Returns(returns)).await?;
        }
        Ok(())
    }

    async fn progress(&self, events: &Events) -> Result<(), Status> {
        let region = |(name, targets): &(RegionName, Members)| {
            let done = self.done.intersection_len(targets);
            let ok = self.ok.intersection_len(targets);
            wire::RegionProgress {
                region: name.to_string(),
                targets: targets.len(),
                ok,
                failed: done - ok,
                running: (&self.running - &self.done).intersection_len(targets),
                outstanding: targets.len() - done,
            }
        };
        let regions = self.regions.iter().map(region).collect();
        send(events, Event::Progress(wire::Progress { regions, ..wire::Progress::default() })).await
    }

    async fn close(&self, at: u64, events: &Events) -> Result<(), Status> {
        let mut by_outcome = std::collections::BTreeMap::new();
        for outcome in self.outcomes.values() {
            *by_outcome.entry(*outcome).or_insert(0) += 1;
        }
        self.progress(events).await?;
        let elapsed_ms = at.saturating_sub(self.created) / 1_000;
        let outcomes = counts(by_outcome.into_iter());
        send(events, Event::Closed(wire::Closed { elapsed_ms, outcomes })).await
    }
}
