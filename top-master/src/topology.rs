//! The fabric's topology at the owning top master: which one is effective, how another one takes its place, its history.
//!
//! Owns [`Effective`], which the others read, and the handle through which operators come. In reading order: [`boot`] finds
//! what is effective at the start, [`apply`] takes a new text, [`staging`] carries it from region to region, [`announce`]
//! tells the registry, [`status`] compares with what is really attached, [`follow`] watches a git repository, [`wire`] is
//! how all of it looks to operators. When a region is good is `relay_core::topology::stage`'s, keeping revisions the store's.

mod announce;
pub mod apply;
pub mod boot;
pub mod follow;
mod staging;
mod status;
#[cfg(test)]
mod tests;
mod wire;

use std::{path::PathBuf, sync::Arc};

use relay_core::{
    identity::FabricName,
    ids::{RegionName, TierId},
    owner::{Batches, Owner},
    time::Millis,
    topology::Topology,
};
use relay_proto::operator as proto;
use relay_runtime::{
    config::FollowConfig,
    registry::SharedRegistry,
    store::{Revision, Store},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::Audit,
    operator::{Ask, Defaults},
};
pub(crate) use wire::progress;

use apply::Order;
use boot::Boot;

/// Applies that wait for their turn. Only one is carried out at a time and the others are refused, so the queue is only for
/// the moment in which that is found out.
const ORDER_QUEUE: usize = 16;

/// The topology that holds now.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The highest revision that ever came so far as to be staged. Never goes back, also when that one is rolled back: whoever
    /// is told of a lower one than before has heard something old.
    pub number: u64,
    /// What holds: of one that is staged, its regions that have it, and for all else the former one.
    pub topology: Arc<Topology>,
    /// The regions that have the revision `number`.
    pub regions_done: Vec<RegionName>,
}

impl Effective {
    /// What regions have for batches.
    pub fn batches(&self) -> Batches {
        Batches {
            regions: self.topology.region_batches(),
            unbatched_limit: self.topology.unbatched_limit,
            hops: self.topology.hops(),
        }
    }
}

/// Tells the time since whenever.
pub type Now = Arc<dyn Fn() -> Millis + Send + Sync>;

/// What the service is made of.
pub struct Parts {
    /// Keeps the revisions. It has begun.
    pub store: Arc<dyn Store>,
    /// The loop.
    pub asks: mpsc::Sender<Ask>,
    /// Told which revision is active, asked who is there.
    pub registry: SharedRegistry,
    /// This top master.
    pub own: TierId,
    /// Its fabric: no other's topology is applied.
    pub fabric: FabricName,
    /// Limits of the configuration; what is of the topology is put in.
    pub limits: Defaults,
    /// The git repository that is followed.
    pub follow: Option<FollowConfig>,
    /// Where its clone may lie.
    pub state_dir: PathBuf,
    /// Is told how an apply ends.
    pub audit: Audit,
    /// The time.
    pub now: Now,
}

/// The topology service. Copies are the same one.
#[derive(Clone)]
pub struct Topologies(Arc<Inner>);

struct Inner {
    parts: Parts,
    effective: watch::Sender<Option<Effective>>,
    defaults: watch::Sender<Arc<Defaults>>,
    /// The number of the active revision; 0: none.
    active: watch::Sender<u64>,
    orders: mpsc::Sender<Order>,
    looks: mpsc::Sender<follow::Look>,
    /// What is followed, as of the last look.
    following: watch::Sender<Option<proto::Following>>,
}

/// The service's own loops, to be run once.
pub struct Running {
    service: Topologies,
    orders: mpsc::Receiver<Order>,
    looks: mpsc::Receiver<follow::Look>,
    staged: Option<Revision>,
}

impl Topologies {
    /// The service, with what is effective at the start, and its loops.
    pub fn new(parts: Parts, boot: Boot) -> (Topologies, Running) {
        let (orders_tx, orders) = mpsc::channel(ORDER_QUEUE);
        let (looks_tx, looks) = mpsc::channel(ORDER_QUEUE);
        let service = Topologies(Arc::new(Inner {
            defaults: watch::Sender::new(Arc::new(with_topology(&parts.limits, boot.effective.as_ref()))),
            effective: watch::Sender::new(boot.effective),
            active: watch::Sender::new(boot.active),
            following: watch::Sender::new(parts.follow.as_ref().map(follow::unseen)),
            parts,
            orders: orders_tx,
            looks: looks_tx,
        }));
        let running = Running { service: service.clone(), orders, looks, staged: boot.staged };
        (service, running)
    }

    /// What is effective, now and whenever it changes. Nothing: no topology was ever applied.
    pub fn effective(&self) -> watch::Receiver<Option<Effective>> {
        self.0.effective.subscribe()
    }

    /// What requests leave open, now and whenever it changes.
    pub fn defaults(&self) -> watch::Receiver<Arc<Defaults>> {
        self.0.defaults.subscribe()
    }

    fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// Looks something up where the loop is. Nothing: it has ended.
    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Owner) -> T + Send + 'static) -> Option<T> {
        let (tx, rx) = oneshot::channel();
        let look = Box::new(move |owner: &Owner| drop(tx.send(look(owner))));
        self.parts().asks.send(Ask::Look(look)).await.ok()?;
        rx.await.ok()
    }

    /// Makes this the effective one everywhere. When it returns, the loop has it, too.
    async fn install(&self, effective: Option<Effective>) {
        let defaults = with_topology(&self.parts().limits, effective.as_ref());
        self.0.effective.send_replace(effective.clone());
        let (done, taken) = oneshot::channel();
        // The loop has ended: then nobody needs it any more.
        if self.parts().asks.send(Ask::Effective(effective, done)).await.is_ok() {
            let _ = taken.await;
        }
        self.0.defaults.send_replace(Arc::new(defaults));
    }
}

impl Running {
    /// Carries out what is asked for until stopped. What is under way then goes on with the next owner.
    pub async fn run(self, token: CancellationToken) {
        let Running { service, orders, looks, staged } = self;
        let all = async {
            tokio::join!(
                apply::serve(&service, orders, staged),
                announce::run(&service),
                follow::run(&service, looks)
            )
        };
        tokio::select! {
            () = token.cancelled() => {}
            _ = all => {}
        }
    }
}

fn with_topology(limits: &Defaults, effective: Option<&Effective>) -> Defaults {
    let Some(effective) = effective else { return limits.clone() };
    Defaults {
        groups: effective.topology.node_groups.clone(),
        batches: effective.batches(),
        ..limits.clone()
    }
}
