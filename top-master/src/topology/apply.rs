//! Taking a new topology: its text checked, the active one compared, then durable and on its way.
//!
//! Owns the order of applies: one after the other, whoever asked for it and whether or not he still listens.

use relay_core::{
    Members,
    document::Severity,
    topology::{
        Topology,
        stage::{DEFAULT_MAX_LOST_PERCENT, DEFAULT_SETTLE, MAX_SETTLE},
    },
};
use relay_proto::{Code, operator as proto};
use relay_runtime::{
    clock::wall,
    config::{MAX_CONFIG_BYTES, parse_topology},
    store::{NewRevision, Revision, RevisionPut, RevisionState, StoreFuture, Which},
};
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Status;
use tracing::info;

use super::{
    Topologies,
    staging::{self, Standing},
    wire,
};
use crate::operator::store_error;

/// Longest note, author or commit, in bytes. They are in every list.
const MAX_NOTE_BYTES: usize = 4 << 10;

/// What is to be applied, and who hears of it.
pub struct Order {
    new: NewRevision,
    reply: oneshot::Sender<Result<watch::Receiver<Standing>, Status>>,
}

/// A revision that is durable, who is told of it, and whether another owner has begun with it.
type Begun = (Revision, watch::Sender<Standing>, bool);

/// Carries out orders for ever; at first what the former owner left.
pub(super) async fn serve(service: &Topologies, mut orders: mpsc::Receiver<Order>, left: Option<Revision>) {
    let mut next: Option<Begun> = left.map(|revision| {
        info!(number = revision.number, "a topology is half applied: going on with it");
        let told = watch::Sender::new(Standing::of(&revision));
        (revision, told, true)
    });
    loop {
        let (revision, told, resumed) = match next.take() {
            Some(begun) => begun,
            None => match orders.recv().await {
                Some(order) => {
                    next = begin(service, order).await;
                    continue;
                }
                None => return,
            },
        };
        let staging = staging::run(service, revision, told, resumed);
        tokio::pin!(staging);
        loop {
            tokio::select! {
                () = &mut staging => break,
                // It is refused, unless the one under way has just become durable; then it is the next one.
                Some(order) = orders.recv(), if next.is_none() => next = begin(service, order).await,
            }
        }
    }
}

/// Makes an order durable, and tells who asked. Nothing if it is refused.
async fn begin(service: &Topologies, order: Order) -> Option<Begun> {
    let Order { new, reply } = order;
    match put(service, new).await {
        Ok(revision) => {
            info!(number = revision.number, caller = revision.new.caller, "a topology is applied");
            let told = watch::Sender::new(Standing::of(&revision));
            let _ = reply.send(Ok(told.subscribe()));
            Some((revision, told, false))
        }
        Err(refused) => {
            let _ = reply.send(Err(refused));
            None
        }
    }
}

async fn put(service: &Topologies, new: NewRevision) -> Result<Revision, Status> {
    let store = &service.parts().store;
    let planned_on = new.planned_on;
    let number = match store.put_revision(new.clone()).await.map_err(store_error)? {
        RevisionPut::Staged(number) => number,
        RevisionPut::Moved(active) => return Err(moved(service, planned_on, active).await),
        RevisionPut::Busy(staging) => {
            let what = format!(
                "revision {staging} of the topology is being applied: wait for its end (relayctl topology history)"
            );
            return Err(Code::Busy.status(what));
        }
    };
    Ok(Revision { number, new, regions: Vec::new(), state: RevisionState::Staging, why: String::new() })
}

/// Another revision is active than the one planned on.
async fn moved(service: &Topologies, planned_on: u64, active: u64) -> Status {
    let found: StoreFuture<_> = service.parts().store.revision(Which::Number(active));
    let planned = match planned_on {
        0 => "planned on no active revision".to_owned(),
        number => format!("planned on revision {number}"),
    };
    let is = match found.await {
        Ok(Some(revision)) => {
            let NewRevision { caller, applied, .. } = revision.new;
            let when = wire::moment(applied);
            format!("revision {active} is active by now, applied by {caller} at {when}")
        }
        _ if active == 0 => "no revision is active".into(),
        _ => format!("revision {active} is active by now"),
    };
    Code::TopologyMoved.status(format!("{planned}, but {is}: plan again (relayctl topology plan)"))
}

impl Topologies {
    /// Applies a text in somebody's name. When this returns it is durable, and it goes on whatever becomes of the caller.
    ///
    /// # Errors
    /// The text or a field is wrong, another revision is active than the one planned on, or one is being applied.
    pub(crate) async fn apply_as(
        &self,
        caller: String,
        request: proto::ApplyTopologyRequest,
    ) -> Result<watch::Receiver<Standing>, Status> {
        let topology = self.checked(&request.text)?;
        let new = self.revision(caller, &topology, request).await?;
        let (reply, answer) = oneshot::channel();
        self.0.orders.send(Order { new, reply }).await.map_err(|_| wire::stopping())?;
        answer.await.map_err(|_| wire::stopping())?
    }

    /// A text as a topology of this fabric. All problems at once, a line each.
    pub(super) fn checked(&self, text: &str) -> Result<Topology, Status> {
        if text.len() as u64 > MAX_CONFIG_BYTES {
            let what = format!("the topology has {} bytes, at most {MAX_CONFIG_BYTES} are read", text.len());
            return Err(Code::Invalid.status(what));
        }
        let own = &self.parts().fabric;
        match parse_topology(text) {
            Ok(topology) if topology.fabric != *own => {
                let what = format!("this is the topology of the fabric {}, not of {own}", topology.fabric);
                Err(Code::Invalid.status(what))
            }
            Ok(topology) => Ok(topology),
            Err(problems) => {
                let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
                let lines: Vec<String> =
                    errors.map(|problem| problem.in_file("topology").to_string()).collect();
                Err(Code::Invalid.status(lines.join("\n")))
            }
        }
    }

    async fn revision(
        &self,
        caller: String,
        topology: &Topology,
        request: proto::ApplyTopologyRequest,
    ) -> Result<NewRevision, Status> {
        let proto::ApplyTopologyRequest { text, planned_on, commit, author, message, rollback_of, .. } =
            request;
        for (what, note) in [("commit", &commit), ("author", &author), ("message", &message)] {
            if note.len() > MAX_NOTE_BYTES {
                let what = format!("{what}: {} bytes, at most {MAX_NOTE_BYTES}", note.len());
                return Err(Code::Invalid.status(what));
            }
        }
        let or = |given, usual| if given == 0 { usual } else { given };
        let max_lost_percent = or(request.max_lost_percent.into(), DEFAULT_MAX_LOST_PERCENT.into()) as u32;
        let settle_ms = or(request.settle_ms, DEFAULT_SETTLE);
        if max_lost_percent > 100 || settle_ms > MAX_SETTLE {
            let what =
                format!("at most 100 percent may be lost, and a region be looked at for {MAX_SETTLE} ms");
            return Err(Code::Invalid.status(what));
        }
        let watched = self.look(|owner| owner.inventory().up().clone()).await;
        let watched: Members = watched.ok_or_else(wire::stopping)?;
        Ok(NewRevision {
            planned_on,
            digest: topology.digest(),
            text,
            caller,
            applied: wall(),
            commit,
            author,
            message,
            rollback_of,
            max_lost_percent,
            settle_ms,
            watched,
        })
    }
}
