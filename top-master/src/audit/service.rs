//! The audit log for those who may read it: records in order, with the checkpoint that they lead up to.

use std::{sync::Arc, time::Duration};

use relay_core::access::Verb;
use relay_proto::{
    Code,
    audit::{Entry, TailPage, TailRequest, audit_server::Audit as Service},
};
use relay_runtime::store::Store;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use tonic::{Request, Response, Status};

use super::{Audit, AuditError, Progress, read_page};
use crate::{
    access::{Access, caller},
    streams::{Outlet, Streamed, Streams},
};

/// Records that are read at once.
const PAGE: usize = 200;
/// Bytes of records in one message: far below what clients take.
const MAX_PAGE_BYTES: usize = 1 << 20;
/// Readers at once. Each reads the store; auditors are few.
const MAX_READERS: usize = 16;
/// How long a stream that does not follow waits for a checkpoint of the newest records: they are made every second.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(3);

/// The service.
#[derive(Clone)]
pub struct AuditService {
    audit: Audit,
    store: Arc<dyn Store>,
    access: Access,
    streams: Streams,
    readers: Arc<Semaphore>,
}

impl AuditService {
    /// Over a term's log.
    pub fn new(audit: Audit, store: Arc<dyn Store>, access: Access, streams: Streams) -> AuditService {
        AuditService { audit, store, access, streams, readers: Arc::new(Semaphore::new(MAX_READERS)) }
    }
}

/// What an error of the log is for a client.
pub fn status(error: &AuditError) -> Status {
    Code::Store.status(error.to_string())
}

#[tonic::async_trait]
impl Service for AuditService {
    type TailStream = Streamed<TailPage>;

    async fn tail(&self, request: Request<TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        let caller = caller(&request)?;
        self.access.may(&caller, Verb::AuditRead, false, "").await?;
        let (store, progress) = (self.store.clone(), self.audit.progress());
        let tail = move |pages| Tail { store, progress, pages }.run(request.into_inner());
        self.streams.open(&self.readers, "copies of the audit log", tail)
    }
}

/// A stream.
struct Tail {
    store: Arc<dyn Store>,
    progress: watch::Receiver<Progress>,
    pages: Outlet<TailPage>,
}

impl Tail {
    async fn run(mut self, TailRequest { from, limit, follow, last }: TailRequest) {
        let from = match last {
            0 => from,
            last => self.progress.borrow().size.saturating_sub(last),
        };
        let most = if limit == 0 { u64::MAX } else { limit };
        let end = from.saturating_add(most);
        let mut next = from;
        if !follow {
            self.covered().await;
        }
        loop {
            let now = self.progress.borrow_and_update().clone();
            // Up to what is signed, so that a copy ends where it can be proven.
            let there = if follow || now.signed == 0 { now.size } else { now.signed };
            let until = there.min(end);
            if !self.pages_until(&mut next, until, &now.checkpoint).await {
                return;
            }
            if !follow || next >= end {
                return;
            }
            tokio::select! {
                () = self.pages.closed() => return,
                changed = self.progress.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Waits until all that is there now is signed; not for ever.
    async fn covered(&mut self) {
        let size = self.progress.borrow().size;
        let _ = timeout(CHECKPOINT_WAIT, self.progress.wait_for(|now| now.signed >= size)).await;
    }

    /// False: nobody wants more.
    async fn pages_until(&self, next: &mut u64, until: u64, checkpoint: &Arc<str>) -> bool {
        while *next < until {
            let most = usize::try_from(until - *next).unwrap_or(PAGE).min(PAGE);
            let lines = match read_page(&*self.store, *next, most).await {
                Ok(lines) => lines,
                Err(error) => {
                    let _ = self.pages.send(Err(status(&error))).await;
                    return false;
                }
            };
            let mut bytes = 0;
            let fits = lines.into_iter().take_while(|(_, line)| {
                let first = bytes == 0;
                bytes += line.len();
                first || bytes <= MAX_PAGE_BYTES
            });
            let entries: Vec<Entry> = fits.map(|(seq, line)| Entry { seq, record: line.to_vec() }).collect();
            let Some(last) = entries.last() else {
                let missing = AuditError::Damaged(format!("record {next} is missing"));
                let _ = self.pages.send(Err(status(&missing))).await;
                return false;
            };
            *next = last.seq + 1;
            if self.pages.send(Ok(TailPage { entries, checkpoint: checkpoint.to_string() })).await.is_err() {
                return false;
            }
        }
        true
    }
}
