//! The one task that writes the log: reports that wait together are one transaction, and every second there is a checkpoint.
//!
//! What the store did not take is told to whoever reported it; afterwards the log is read again before anything is appended, as a
//! commit that failed may have been done.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use relay_core::audit::{Checkpoint, Entry, tree::leaf_hash};
use relay_runtime::{
    clock::wall,
    store::{MAX_RECORD_PUT_BYTES, PutRecord, StoreError},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{
    AuditError, Parts, Progress, Report,
    denials::Denials,
    kept::{self, Signed, State, WITNESS_FILE},
    origin,
};

/// Most reports in one transaction: if each were as long as a record can be, they would still be what the store takes at once.
const MAX_GROUP: usize = 48;
const _: () = assert!(MAX_GROUP * (relay_core::audit::entry::MAX_RECORD_BYTES + 64) < MAX_RECORD_PUT_BYTES);
/// How often there is a checkpoint, if there are new records.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// How long reports are taken after the term was told to end: what ends with it is still recorded.
const LINGER: Duration = Duration::from_millis(500);
/// So often a store with a full queue is asked again, and how long after.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);
const HOUR_MICROS: u64 = 3_600 * 1_000_000;

/// What writes the log.
pub struct Writer {
    parts: Parts,
    /// Nothing after a failure: it is read again.
    state: Option<State>,
    signed: Signed,
    /// The public key is in the store.
    key_kept: bool,
    checkpointed: Instant,
    reports: mpsc::Receiver<Report>,
    denials: Arc<Mutex<Denials>>,
    progress: watch::Sender<Progress>,
}

impl Writer {
    pub(super) async fn open(
        parts: Parts,
        reports: mpsc::Receiver<Report>,
        denials: Arc<Mutex<Denials>>,
    ) -> Result<(Writer, watch::Receiver<Progress>), AuditError> {
        let witness = kept::read_witness(&parts.directory.join(WITNESS_FILE));
        let (state, signed) = kept::load(&parts.store, parts.key.verifier(), witness.as_ref()).await?;
        let (progress, watched) = watch::channel(Progress::default());
        let (key_kept, checkpointed) = (false, Instant::now());
        let writer =
            Writer { parts, state: Some(state), signed, key_kept, checkpointed, reports, denials, progress };
        writer.tell();
        Ok((writer, watched))
    }

    /// Writes until the term ends, and then signs the end.
    pub async fn run(mut self, token: CancellationToken) {
        let mut ends = None;
        loop {
            let (checkpoint, window) = (self.checkpoint_due(), self.window_ends());
            tokio::select! {
                report = self.reports.recv() => match report {
                    Some(report) => self.group(report).await,
                    None => break,
                },
                () = sleep_until(checkpoint.unwrap_or(window)), if checkpoint.is_some() => {
                    self.write(Vec::new(), true).await;
                }
                () = sleep_until(window) => self.turn().await,
                () = token.cancelled(), if ends.is_none() => ends = Some(Instant::now() + LINGER),
                () = sleep_until(ends.unwrap_or(window)), if ends.is_some() => {
                    // Those that wait already are served still.
                    self.reports.close();
                    ends = Some(Instant::now() + LINGER);
                }
            }
        }
        self.turn().await;
        if self.checkpoint_due().is_some() {
            self.write(Vec::new(), true).await;
        }
    }

    /// When the records that are signed by nothing yet are to be signed.
    fn checkpoint_due(&self) -> Option<Instant> {
        let size = self.state.as_ref()?.log.size();
        (size > self.signed.size).then_some(self.checkpointed + CHECKPOINT_EVERY)
    }

    fn window_ends(&self) -> Instant {
        Instant::from_std(self.denials.lock().unwrap_or_else(PoisonError::into_inner).ends())
    }

    /// The counts of what was not recorded one by one.
    async fn turn(&mut self) {
        let events =
            self.denials.lock().unwrap_or_else(PoisonError::into_inner).turn(std::time::Instant::now());
        let reports =
            events.into_iter().map(|event| Report { event, at: wall(), reply: oneshot::channel().0 });
        let reports: Vec<Report> = reports.collect();
        if !reports.is_empty() {
            self.write(reports, false).await;
        }
    }

    /// A report, and those that wait behind it.
    async fn group(&mut self, first: Report) {
        let mut reports = vec![first];
        while reports.len() < MAX_GROUP {
            match self.reports.try_recv() {
                Ok(report) => reports.push(report),
                Err(_) => break,
            }
        }
        self.write(reports, false).await;
    }

    async fn write(&mut self, reports: Vec<Report>, sign: bool) {
        match self.append(&reports, sign).await {
            Ok(first) => {
                for (seq, report) in (first..).zip(reports) {
                    // Whoever reported may not wait any more.
                    let _ = report.reply.send(Ok(seq));
                }
                self.tell();
            }
            Err(why) => {
                match &why {
                    AuditError::Damaged(_) => error!(%why, "nothing is recorded, so nothing is done"),
                    _ => warn!(%why, reports = reports.len(), "the audit log could not be written"),
                }
                self.state = None;
                // Not before a while: the store has trouble enough.
                self.checkpointed = Instant::now();
                reports.into_iter().for_each(|report| drop(report.reply.send(Err(why.clone()))));
            }
        }
    }

    /// Makes records durable, with a checkpoint if it is time for one. Gives the first one's number.
    async fn append(&mut self, reports: &[Report], sign: bool) -> Result<u64, AuditError> {
        let before = match self.state.take() {
            Some(state) => state,
            None => self.reload().await?,
        };
        let (mut next, mut puts) = (before.clone(), Vec::with_capacity(reports.len() + 3));
        for report in reports {
            let (seq, prev, epoch) = (next.log.size(), next.last, self.parts.epoch);
            let line = Entry { seq, prev, at: report.at, epoch, event: report.event.clone() }.encode();
            let leaf = leaf_hash(&line);
            next.log.append(leaf);
            next.last = Some(leaf);
            puts.push(kept::put_line(seq, line));
        }
        let sign = sign || self.checkpointed.elapsed() >= CHECKPOINT_EVERY;
        let signed = sign.then(|| self.sign(&mut next, &mut puts));
        puts.push(kept::put_head(&next));
        self.put(puts).await?;
        self.state = Some(next);
        if let Some(signed) = signed {
            self.witness(&signed).await;
            (self.signed, self.key_kept, self.checkpointed) = (signed, true, Instant::now());
        }
        Ok(before.log.size())
    }

    async fn reload(&mut self) -> Result<State, AuditError> {
        let (state, signed) = kept::load(&self.parts.store, self.parts.key.verifier(), None).await?;
        self.signed = signed;
        Ok(state)
    }

    fn sign(&self, next: &mut State, puts: &mut Vec<PutRecord>) -> Signed {
        // A clock that went back must not hide a newer one below an older.
        next.hour = next.hour.max(wall() / HOUR_MICROS);
        let (size, root) = (next.log.size(), next.log.root());
        let text = self.parts.key.sign(&Checkpoint { origin: origin(&self.parts.fabric), size, root });
        puts.push(kept::put_checkpoint(next, &text));
        if !self.key_kept {
            puts.push(kept::put_key(self.parts.key.verifier()));
        }
        Signed { text, size }
    }

    async fn put(&self, puts: Vec<PutRecord>) -> Result<(), AuditError> {
        let mut tries = 0;
        loop {
            match self.parts.store.put_records(puts.clone()).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(AuditError::Moved),
                Err(StoreError::Busy(_)) if tries < BUSY_TRIES => {
                    tries += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(error) => return Err(AuditError::Store(error)),
            }
        }
    }

    /// Remembers outside of the store what was signed.
    async fn witness(&self, signed: &Signed) {
        let path = self.parts.directory.join(WITNESS_FILE);
        if let Err(why) = replace(&path, &signed.text).await {
            warn!(path = %path.display(), %why, "the last checkpoint could not be kept beside the store");
        }
    }

    fn tell(&self) {
        let Some(state) = &self.state else { return };
        let checkpoint = Arc::from(self.signed.text.as_str());
        let (size, signed) = (state.log.size(), self.signed.size);
        self.progress.send_replace(Progress { size, checkpoint, signed });
    }
}

/// Writes a file in the place of another one.
async fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    tokio::fs::write(&beside, text).await?;
    tokio::fs::rename(&beside, path).await
}
