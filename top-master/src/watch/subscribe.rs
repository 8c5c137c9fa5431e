//! Who watches what: the loop tells, watchers listen.

use std::{collections::HashMap, sync::Arc};

use relay_core::{Members, ids::Jid, owner::Change, window::BatchState};
use tokio::sync::mpsc;

/// Changes waiting for one watcher; each is a commit of answers, or a second's progress.
pub const WATCH_QUEUE: usize = 256;
/// Watchers at once. Each costs a task and a queue.
pub const MAX_WATCHERS: usize = 1_000;

/// How a job stands beside its answers.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Who is seen running.
    pub running: Members,
    /// How its batch stands; nothing if it is not open.
    pub batch: Option<BatchState>,
    /// How many targets have an outcome by that, durable or not yet: watchers hear of the answers only when they are.
    pub answered: u64,
}

/// What a watcher hears from the loop.
#[derive(Debug, Clone)]
pub enum Update {
    /// A commit changed the job.
    Changed {
        /// What changed.
        change: Arc<Change>,
        /// How it stands by that.
        standing: Standing,
    },
    /// Nothing was committed lately; so it stands.
    Standing(Standing),
}

/// A watcher's end.
#[derive(Debug)]
pub struct Subscription {
    /// How the job stood when the watcher came.
    pub standing: Standing,
    /// What happens from then on.
    pub updates: mpsc::Receiver<Update>,
}

/// Who watches what. Owned by the loop.
#[derive(Debug, Default)]
pub struct Watchers(HashMap<Jid, Vec<mpsc::Sender<Update>>>);

impl Watchers {
    /// A new watcher; `None` if there are too many.
    pub fn subscribe(&mut self, jid: Jid, standing: Standing) -> Option<Subscription> {
        self.0.retain(|_, watchers| {
            watchers.retain(|w| !w.is_closed());
            !watchers.is_empty()
        });
        if self.0.values().map(Vec::len).sum::<usize>() >= MAX_WATCHERS {
            return None;
        }
        let (tx, updates) = mpsc::channel(WATCH_QUEUE);
        self.0.entry(jid).or_default().push(tx);
        Some(Subscription { standing, updates })
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
