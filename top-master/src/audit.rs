//! The audit log of an owner: whoever decides something reports it here, and it is durable when the report returns.
//!
//! Owns the handle ([`Audit`]) and its bounds. [`writer`] is the one task of a term that writes, many reports in one
//! transaction; [`kept`] is how the log stands in the store; [`denials`] keeps a stranger from filling the disk; [`outputs`]
//! carries records to a file and to syslog; [`service`] answers those who read. What a record is, is `relay_core::audit`'s.
//!
//! To report: `audit.record(Event::new(Kind::Login, caller.name(), caller.how().word()).about(…).with("from", address)).await?`.
//! Whoever was refused is reported with [`Kind::Deny`], whatever it was; such reports are counted when there are too many.

mod denials;
mod kept;
pub mod outputs;
pub mod service;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use relay_core::{
    audit::{Event, Kind},
    identity::FabricName,
    ids::{Epoch, TierId},
    time::WallMicros,
};
use relay_runtime::{
    checkpoint::CheckpointKey,
    clock::wall,
    store::{Store, StoreError},
    telemetry,
};
use tokio::sync::{mpsc, oneshot, watch};

use denials::Denials;
pub(crate) use denials::REPORT;
pub use kept::read_page;
pub use writer::Writer;

/// Reports that wait for the writer. Beyond it whoever reports waits, which his caller's deadline bounds: a decision that can't
/// be written down is not carried out.
const QUEUE: usize = 1_024;
/// The directory below the state directory that has the key and the outputs' places.
pub const DIRECTORY: &str = "audit";

/// Why something was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The store did not take it.
    #[error("the audit log can't be written, so this is not done: {0}")]
    Store(StoreError),
    /// What is in the store is not what was written.
    #[error(
        "the audit log in the store is damaged: {0}. Export what there is (relayctl store export), find out who changed it, and restore the store from a backup"
    )]
    Damaged(String),
    /// A record is there already where the next one belongs.
    #[error("the audit log was written meanwhile, perhaps by this top master itself just before: try again")]
    Moved,
    /// The term is over.
    #[error("the audit log takes no more: this top master is stopping")]
    Closed,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is durable, as the record of this number.
    As(u64),
    /// It is one refusal of many, and only counted; the count is recorded within a minute.
    Counted,
}

/// How far the log is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records that are durable.
    pub size: u64,
    /// The newest signed checkpoint; empty if there is none yet.
    pub checkpoint: Arc<str>,
    /// How many records that one is about.
    pub signed: u64,
}

/// A report on its way to the writer.
struct Report {
    event: Event,
    at: WallMicros,
    reply: oneshot::Sender<Result<u64, AuditError>>,
}

/// The handle. Clones are the same one.
#[derive(Clone)]
pub struct Audit {
    to: To,
    denials: Arc<Mutex<Denials>>,
    progress: watch::Receiver<Progress>,
}

#[derive(Clone)]
enum To {
    Writer(mpsc::Sender<Report>),
    /// A test's.
    Memory(Arc<Mutex<Vec<Event>>>),
}

/// What a test sees of what was reported.
#[derive(Debug, Clone, Default)]
pub struct Reported(Arc<Mutex<Vec<Event>>>);

impl Reported {
    /// All of it, in order.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The kind and the subject of all of it, in order.
    pub fn seen(&self) -> Vec<(Kind, String)> {
        self.events().into_iter().map(|event| (event.kind, event.subject)).collect()
    }
}

/// What a log is begun or continued with.
pub struct Parts {
    /// Where it is kept.
    pub store: Arc<dyn Store>,
    /// Signs its checkpoints.
    pub key: Arc<CheckpointKey>,
    /// Where this top master keeps the last checkpoint that it signed.
    pub directory: PathBuf,
    /// Whose log.
    pub fabric: FabricName,
    /// Of the owner that writes.
    pub epoch: Epoch,
}

/// A log's name in its checkpoints.
pub fn origin(fabric: &FabricName) -> String {
    format!("{fabric}/audit")
}

/// The name of a top master's key in checkpoints.
pub fn key_name(fabric: &FabricName, own: &TierId) -> String {
    format!("{fabric}/audit/{own}")
}

impl Audit {
    /// Goes on with the log in the store, or begins one; what is there is checked first. Run the writer until the term's end.
    ///
    /// # Errors
    /// The store can't be read, or the log in it is not whole.
    pub async fn open(parts: Parts) -> Result<(Audit, Writer), AuditError> {
        let (queue, reports) = mpsc::channel(QUEUE);
        let denials = Arc::new(Mutex::new(Denials::default()));
        let (writer, progress) = Writer::open(parts, reports, denials.clone()).await?;
        Ok((Audit { to: To::Writer(queue), denials, progress }, writer))
    }

    /// One that keeps what is reported in memory, for tests of whoever reports.
    pub fn double() -> (Audit, Reported) {
        let reported = Reported::default();
        let denials = Arc::new(Mutex::new(Denials::default()));
        let progress = watch::channel(Progress::default()).1;
        (Audit { to: To::Memory(reported.0.clone()), denials, progress }, reported)
    }

    /// Records an event. It is durable when this returns, and what it is about may be done.
    ///
    /// # Errors
    /// It is not recorded, as far as is known: what it is about must not be done.
    pub async fn record(&self, event: Event) -> Result<Recorded, AuditError> {
        if !self.is_due(&event) {
            return Ok(Recorded::Counted);
        }
        match &self.to {
            To::Writer(queue) => {
                let (report, answer) = report(event);
                queue.send(report).await.map_err(|_| AuditError::Closed)?;
                answer.await.unwrap_or(Err(AuditError::Closed)).map(Recorded::As)
            }
            To::Memory(events) => Ok(Recorded::As(remember(events, event))),
        }
    }

    /// Records an event that nobody waits for: what has happened already, or was refused anyway. If the writer does not keep up, it
    /// is counted instead.
    pub fn note(&self, event: Event) {
        self.notes(event);
    }

    /// The same, and says whether it is one that is recorded by itself: what is only counted need not be in another log, either.
    pub fn notes(&self, event: Event) -> bool {
        if !self.is_due(&event) {
            return false;
        }
        match &self.to {
            To::Writer(queue) => {
                if let Err(mpsc::error::TrySendError::Full(report)) = queue.try_send(report(event).0) {
                    self.lock().count(&report.event);
                }
            }
            To::Memory(events) => drop(remember(events, event)),
        }
        true
    }

    /// How far the log is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    fn is_due(&self, event: &Event) -> bool {
        let due = self.lock().is_due(event);
        if !due {
            metrics::counter!(telemetry::AUDIT_SUPPRESSED_TOTAL).increment(1);
        }
        due
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Denials> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn report(event: Event) -> (Report, oneshot::Receiver<Result<u64, AuditError>>) {
    let (reply, answer) = oneshot::channel();
    (Report { event: event.within_bounds(), at: wall(), reply }, answer)
}

fn remember(events: &Mutex<Vec<Event>>, event: Event) -> u64 {
    let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
    events.push(event);
    events.len() as u64 - 1
}
