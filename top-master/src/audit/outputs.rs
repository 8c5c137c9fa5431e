//! The outputs of the audit log: a file and a syslog server. They are behind the log, and read it from the store, so nothing is
//! lost when one of them can't take a record: it is tried until it can, also by a later term.
//!
//! Each remembers how far it is in the state directory. A record may reach an output twice when a process dies in between; a
//! file's own last line is looked at, so there it does not.

mod file;
mod syslog;

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use relay_runtime::{config::AuditConfig, store::Store, telemetry};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Audit, Progress, read_page};
use file::FileOutput;
use syslog::SyslogOutput;

/// Records that are read and written at once.
const PAGE: usize = 256;
/// How long after a failure it is tried again: a server that restarts is back by then, and it does no harm to ask.
const RETRY: Duration = Duration::from_secs(2);
/// How long one write may take. A disk or a socket that takes longer is as good as gone.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// A place that takes records.
trait Output: Send {
    /// Its name, for metrics and for its place in the state directory.
    const NAME: &'static str;

    /// The number after the last record that it surely has, if it knows that itself.
    fn has(&mut self) -> io::Result<Option<u64>>;

    /// Takes some records, all of them or (as far as is known) none.
    async fn write(&mut self, lines: &[(u64, Bytes)]) -> io::Result<()>;

    /// Takes a checkpoint of all records so far.
    async fn checkpoint(&mut self, text: &str) -> io::Result<()>;
}

/// What an output needs.
#[derive(Clone)]
pub struct Source {
    /// Where the log is.
    pub store: Arc<dyn Store>,
    /// How far it is.
    pub audit: Audit,
    /// Where it is remembered how far the outputs are.
    pub directory: PathBuf,
    /// Who writes, for syslog.
    pub host: String,
}

/// Runs the outputs until the log is over. Returns when all of them have what there is, or could not take it at the end.
pub async fn run(config: AuditConfig, source: Source, token: CancellationToken) {
    if config.file.is_none() && config.syslog.is_none() {
        // Ending before that would be a death.
        return token.cancelled().await;
    }
    let file = config.file.map(|file| Feed::new(FileOutput::new(file), source.clone(), token.clone()));
    let syslog = config.syslog.map(|to| Feed::new(SyslogOutput::new(to, &source.host), source, token));
    let file = async {
        if let Some(feed) = file {
            feed.run().await;
        }
    };
    let syslog = async {
        if let Some(feed) = syslog {
            feed.run().await;
        }
    };
    tokio::join!(file, syslog);
}

/// One output and its place in the log.
struct Feed<O> {
    output: O,
    store: Arc<dyn Store>,
    progress: watch::Receiver<Progress>,
    /// Where `next` is remembered.
    place: PathBuf,
    next: u64,
    /// The newest checkpoint that it has got in this term.
    signed: u64,
    token: CancellationToken,
    failing: bool,
}

impl<O: Output> Feed<O> {
    fn new(output: O, source: Source, token: CancellationToken) -> Feed<O> {
        let (store, progress) = (source.store, source.audit.progress());
        let place = source.directory.join(format!("{}.next", O::NAME));
        // The source's handle goes: when the last one is gone, the log is over.
        Feed { output, store, progress, place, next: 0, signed: 0, token, failing: false }
    }

    async fn run(mut self) {
        while let Err(why) = self.begin() {
            if !self.pause(&why).await {
                return;
            }
        }
        loop {
            let now = self.progress.borrow_and_update().clone();
            let mut done = self.catch_up(&now).await;
            while let Err(why) = done {
                if !self.pause(&why).await {
                    return;
                }
                // What was taken of it is looked at anew.
                done = match self.begin() {
                    Ok(()) => self.catch_up(&now).await,
                    Err(why) => Err(why),
                };
            }
            if self.progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// Where it goes on: what the output has itself counts, before what is remembered of it.
    fn begin(&mut self) -> Result<(), String> {
        let has = self.output.has().map_err(|e| e.to_string())?;
        let remembered = std::fs::read_to_string(&self.place).ok().and_then(|text| text.trim().parse().ok());
        let size = self.progress.borrow().size;
        let next = has.or(remembered).unwrap_or(0);
        if next > size {
            warn!(
                output = O::NAME,
                next, size, "the audit log is shorter than what its output has: was the store restored?"
            );
        }
        self.next = next.min(size);
        Ok(())
    }

    /// Brings the output up to what is durable, with the checkpoint where it belongs.
    async fn catch_up(&mut self, now: &Progress) -> Result<(), String> {
        if now.signed >= self.next && now.signed > self.signed {
            self.records(now.signed, now).await?;
            within(self.output.checkpoint(&now.checkpoint)).await?;
            self.signed = now.signed;
        }
        self.records(now.size, now).await?;
        if std::mem::take(&mut self.failing) {
            info!(output = O::NAME, next = self.next, "the audit log's output takes records again");
        }
        Ok(())
    }

    /// The records before `until`.
    async fn records(&mut self, until: u64, now: &Progress) -> Result<(), String> {
        loop {
            let behind = now.size.saturating_sub(self.next);
            metrics::gauge!(telemetry::AUDIT_OUTPUT_BEHIND, "output" => O::NAME).set(behind as f64);
            if self.next >= until {
                return Ok(());
            }
            self.page(until).await?;
        }
    }

    async fn page(&mut self, until: u64) -> Result<(), String> {
        let most = usize::try_from(until - self.next).unwrap_or(PAGE).min(PAGE);
        let lines = read_page(&*self.store, self.next, most).await.map_err(|e| e.to_string())?;
        let Some((last, _)) = lines.last() else { return Err(format!("record {} is missing", self.next)) };
        let next = last + 1;
        within(self.output.write(&lines)).await?;
        self.next = next;
        remember(&self.place, next).map_err(|e| format!("{}: {e}", self.place.display()))
    }

    /// After a failure. False: the term is over, and a later one goes on.
    async fn pause(&mut self, why: &str) -> bool {
        metrics::counter!(telemetry::AUDIT_OUTPUT_REFUSED_TOTAL, "output" => O::NAME).increment(1);
        if !std::mem::replace(&mut self.failing, true) {
            warn!(
                output = O::NAME,
                why,
                next = self.next,
                "the audit log's output takes nothing; it is tried again until it does"
            );
        }
        tokio::select! {
            () = self.token.cancelled() => false,
            () = tokio::time::sleep(RETRY) => true,
        }
    }
}

async fn within(write: impl Future<Output = io::Result<()>>) -> Result<(), String> {
    let told = |e: &dyn Display| e.to_string();
    match timeout(WRITE_TIME, write).await {
        Ok(done) => done.map_err(|e| told(&e)),
        Err(_) => Err(format!("it took nothing within {} s", WRITE_TIME.as_secs())),
    }
}

fn remember(place: &Path, next: u64) -> io::Result<()> {
    let beside = place.with_extension("next.new");
    std::fs::write(&beside, format!("{next}\n"))?;
    std::fs::rename(&beside, place)
}
