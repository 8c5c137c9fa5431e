//! The log's records as they come from a top master, from another one when that is lost.

use relay_proto::audit::{TailPage, TailRequest, audit_client::AuditClient};
use tonic::Streaming;

use crate::{
    api::CallError,
    connect::{Again, Client, Fabric},
};

/// Largest message taken, in bytes: pages have 1 MiB of records.
const MAX_MESSAGE: usize = 4 << 20;
/// So often a stream that brings nothing is opened anew before it is given up.
const TRIES: u32 = 5;

/// Pages of records, in order and without a gap.
pub(super) struct Records<'f> {
    fabric: &'f mut Fabric,
    request: TailRequest,
    stream: Option<Streaming<TailPage>>,
    tries: u32,
}

impl<'f> Records<'f> {
    pub(super) fn new(fabric: &'f mut Fabric, request: TailRequest) -> Records<'f> {
        Records { fabric, request, stream: None, tries: 0 }
    }

    /// The next page; nothing at the end.
    ///
    /// # Errors
    /// It may not be read, is damaged, or nobody brings more of it.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<TailPage>> {
        loop {
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => self.open().await?,
            };
            match stream.message().await {
                Ok(None) if !self.request.follow => return Ok(None),
                Ok(Some(page)) => {
                    self.stream = Some(stream);
                    if let Some(page) = self.fits(page)? {
                        return Ok(Some(page));
                    }
                }
                Ok(None) => self.lost(CallError::Lost("the top master has ended the stream".into())).await?,
                Err(status) => self.lost(CallError::of(&status)).await?,
            }
        }
    }

    async fn open(&mut self) -> Result<Streaming<TailPage>, CallError> {
        let request = self.request;
        let call = async |client: &mut Client| {
            AuditClient::new(client.channel()).max_decoding_message_size(MAX_MESSAGE).tail(request).await
        };
        self.fabric.call(Again::Harmless, call).await
    }

    /// Remembers where the next stream goes on.
    fn fits(&mut self, page: TailPage) -> anyhow::Result<Option<TailPage>> {
        let (Some(first), Some(last)) = (page.entries.first(), page.entries.last()) else { return Ok(None) };
        let expected = if self.request.last > 0 { first.seq } else { self.request.from };
        let gapless = (expected..).zip(&page.entries).all(|(seq, entry)| entry.seq == seq);
        anyhow::ensure!(
            gapless,
            "the top master left records out behind record {expected}: its store is damaged"
        );
        let count = page.entries.len() as u64;
        (self.request.from, self.request.last, self.tries) = (last.seq + 1, 0, 0);
        if self.request.limit > 0 {
            // A stream that is opened anew is asked for the rest.
            self.request.limit = self.request.limit.saturating_sub(count);
        }
        Ok(Some(page))
    }

    async fn lost(&mut self, error: CallError) -> anyhow::Result<()> {
        self.tries += 1;
        match error {
            CallError::Lost(_) | CallError::Unreachable(_) | CallError::Standby(_) if self.tries < TRIES => {
                Ok(())
            }
            other => Err(other.into()),
        }
    }
}
