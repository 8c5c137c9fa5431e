//! One change as events: the same ones whether it comes from the store or has just been committed.

use relay_core::{Members, outcome::Answer, time::WallMicros};
use relay_proto::operator::{self as wire, watch_event::Event};
use tonic::Status;

use super::{Events, send};
use crate::directory::Directory;

/// Ids in one message: a few hundred KiB, well under gRPC's 4 MiB beside a 1 MiB body.
pub(super) const IDS_PER_MESSAGE: usize = 10_000;

/// A change that is being told, answer by answer. One event is held back, for the last one carries the number.
pub(super) struct Telling<'a> {
    events: &'a Events,
    directory: &'a Directory,
    seq: u64,
    at: WallMicros,
    held: Option<wire::Returns>,
}

impl<'a> Telling<'a> {
    /// Begins with the change of this number and time.
    pub(super) fn new(events: &'a Events, directory: &'a Directory, seq: u64, at: WallMicros) -> Telling<'a> {
        Telling { events, directory, seq, at, held: None }
    }

    /// Tells of those who gave one answer. In the order of the answers' numbers.
    pub(super) async fn answer(&mut self, answer: &Answer, members: &Members) -> Result<(), Status> {
        let mut ids = self.directory.ids(members);
        while !ids.is_empty() {
            let rest = ids.split_off(ids.len().min(IDS_PER_MESSAGE));
            let returns = wire::Returns {
                outcome: answer.outcome.word().into(),
                reason: answer.reason.word().into(),
                retcode: answer.retcode,
                body: answer.body.clone(),
                truncated: answer.truncated.map(Vec::from).unwrap_or_default(),
                minions: std::mem::replace(&mut ids, rest),
                at: self.at,
            };
            if let Some(before) = self.held.replace(returns) {
                send(self.events, Event::Returns(before), 0).await?;
            }
        }
        Ok(())
    }

    /// The change is whole.
    pub(super) async fn end(self) -> Result<(), Status> {
        match self.held {
            Some(last) => send(self.events, Event::Returns(last), self.seq).await,
            None => Ok(()),
        }
    }
}
