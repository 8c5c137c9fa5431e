//! The topology service as operators call it.

use relay_core::{
    ids::{Jid, RegionName},
    time::WallMicros,
};
use relay_proto::{Code, operator as proto};
use relay_runtime::store::{Revision, RevisionState, Which};
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::{Topologies, staging::Standing};
use crate::operator::store_error;

/// Revisions in an answer if nobody says how many.
const USUAL_HISTORY: usize = 100;

/// This top master stops, or another one has become the owner.
pub(super) fn stopping() -> Status {
    Code::Store
        .status("this top master is stopping: ask again, or another one; what is being applied goes on there")
}

/// A moment for people.
pub(super) fn moment(at: WallMicros) -> String {
    // A jid is a moment, written as a date without marks.
    let jid = Jid::from_micros(at).to_string();
    match (jid.get(..4), jid.get(4..6), jid.get(6..8), jid.get(8..10), jid.get(10..12), jid.get(12..14)) {
        (Some(y), Some(mo), Some(d), Some(h), Some(m), Some(s)) => format!("{y}-{mo}-{d} {h}:{m}:{s} UTC"),
        _ => jid,
    }
}

/// A revision for operators.
pub(super) fn revision(revision: &Revision, with_text: bool) -> proto::TopologyRevision {
    let Revision { number, new, regions, state, why } = revision;
    proto::TopologyRevision {
        number: *number,
        digest: new.digest.clone(),
        text: if with_text { new.text.clone() } else { String::new() },
        caller: new.caller.clone(),
        applied: new.applied,
        commit: new.commit.clone(),
        author: new.author.clone(),
        message: new.message.clone(),
        rollback_of: new.rollback_of,
        regions: regions.iter().map(RegionName::to_string).collect(),
        state: state.word().into(),
        why: why.clone(),
    }
}

impl Topologies {
    /// A revision with its text; one with the number 0 if nothing was ever applied.
    pub(crate) async fn get(&self, number: u64) -> Result<proto::TopologyRevision, Status> {
        let which = if number == 0 { Which::Active } else { Which::Number(number) };
        match self.parts().store.revision(which).await.map_err(store_error)? {
            Some(found) => Ok(revision(&found, true)),
            None if number == 0 => Ok(proto::TopologyRevision::default()),
            None => Err(Code::NotFound.status(format!(
                "there is no revision {number} of the topology (any more): relayctl topology history shows them"
            ))),
        }
    }

    /// The revisions, newest first.
    pub(crate) async fn history(
        &self,
        request: proto::TopologyHistoryRequest,
    ) -> Result<proto::TopologyHistoryReply, Status> {
        let proto::TopologyHistoryRequest { limit, before } = request;
        let limit = if limit == 0 { USUAL_HISTORY } else { limit as usize };
        let found = self.parts().store.revisions(limit, (before > 0).then_some(before)).await;
        let found = found.map_err(store_error)?;
        Ok(proto::TopologyHistoryReply {
            revisions: found.iter().map(|found| revision(found, false)).collect(),
        })
    }
}

/// Tells one client how an apply goes on, until it is over or the client has gone.
pub(crate) async fn progress(
    mut standing: watch::Receiver<Standing>,
    tx: mpsc::Sender<Result<proto::TopologyProgress, Status>>,
) {
    use proto::topology_progress::Event;
    let event = |event| Ok(proto::TopologyProgress { event: Some(event) });
    let first = proto::TopologyRevision {
        regions: Vec::new(),
        state: RevisionState::Staging.word().into(),
        why: String::new(),
        ..standing.borrow().revision.clone()
    };
    let mut told: Vec<proto::TopologyRegion> = Vec::new();
    if tx.send(event(Event::Accepted(first))).await.is_err() {
        return;
    }
    loop {
        let now = standing.borrow_and_update().clone();
        for (no, region) in now.regions.iter().enumerate() {
            if told.get(no) != Some(region) && tx.send(event(Event::Region(region.clone()))).await.is_err() {
                return;
            }
        }
        if now.is_over() {
            let _ = tx.send(event(Event::Done(now.revision))).await;
            return;
        }
        told = now.regions;
        tokio::select! {
            changed = standing.changed() => if changed.is_err() {
                let _ = tx.send(Err(stopping())).await;
                return;
            },
            () = tx.closed() => return,
        }
    }
}
