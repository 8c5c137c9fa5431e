//! Carries one revision from region to region: what the stage asks for, done, durable and told.
//!
//! Every step is durable before it is effective, so whoever goes on after a restart knows how far it came.

use std::{sync::Arc, time::Duration};

use relay_core::{
    Members,
    audit::{Event, Kind},
    ids::{MinionId, RegionName, TierId},
    owner::Owner,
    placed::Above,
    placement::Placement,
    time::Millis,
    topology::{
        Topology,
        stage::{self, Next, Seen, Stage, StageRule},
    },
};
use relay_proto::operator as proto;
use relay_runtime::store::{
    NewRevision, Revision, RevisionEnd, RevisionState, StoreError, StoreFuture, Which,
};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    Effective, Topologies,
    boot::{everywhere, partly, understood},
    wire,
};

/// A region is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Pause after the store could not be written. It is tried for ever: half applied is no state to stay in.
const RETRY: Duration = Duration::from_secs(1);

/// How far a revision came, for those who follow it.
#[derive(Debug, Clone)]
pub struct Standing {
    /// It, without its text.
    pub revision: proto::TopologyRevision,
    /// The regions that had their turn, in this order.
    pub regions: Vec<proto::TopologyRegion>,
}

impl Standing {
    /// At the beginning.
    pub fn of(revision: &Revision) -> Standing {
        Standing { revision: wire::revision(revision, false), regions: Vec::new() }
    }
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.revision.state != RevisionState::Staging.word()
    }
}

struct Staging<'s> {
    service: &'s Topologies,
    revision: Revision,
    former: Option<Arc<Topology>>,
    next: Arc<Topology>,
    stage: Stage,
    told: watch::Sender<Standing>,
    /// When it began here.
    begun: Millis,
}

/// Carries a revision to its end, from wherever it is. `resumed`: another owner began with it, or this one before it was
/// restarted. Ends early if another owner has begun: then it is that one's.
pub(super) async fn run(
    service: &Topologies,
    revision: Revision,
    told: watch::Sender<Standing>,
    resumed: bool,
) {
    let done = match prepared(service, revision.clone(), told.clone(), resumed).await {
        Ok(Ok(mut staging)) => staging.carry().await,
        Ok(Err(why)) => {
            warn!(number = revision.number, why, "a topology can't be applied");
            let former = service.effective().borrow().clone();
            end(service, revision, told, RevisionEnd::RolledBack(why), former).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        warn!(%error, "the topology that is being applied is left as it is");
    }
}

/// Both topologies and the stage; in words why not, if one can't be read.
async fn prepared(
    service: &Topologies,
    revision: Revision,
    told: watch::Sender<Standing>,
    resumed: bool,
) -> Result<Result<Staging<'_>, String>, StoreError> {
    let active = lasting(|| service.parts().store.revision(Which::Active)).await?;
    let both = understood(&revision)
        .and_then(|next| active.as_ref().map(understood).transpose().map(|former| (former, next)));
    let (former, next) = match both {
        Ok(both) => both,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let NewRevision { max_lost_percent, settle_ms: settle, .. } = revision.new;
    let rule = StageRule { max_lost_percent, settle };
    let steps = stage::steps(former.as_deref(), &next);
    let stage = match resumed {
        false => Stage::new(steps, rule),
        true => Stage::resume(steps, rule, &revision.regions, 0),
    };
    let begun = (service.parts().now)();
    Ok(Ok(Staging { service, revision, former, next, stage, told, begun }))
}

impl Staging<'_> {
    async fn carry(&mut self) -> Result<(), StoreError> {
        loop {
            match self.stage.next() {
                Next::Give(step) => self.give(step.region, step.watch).await?,
                Next::Look(region) => {
                    if !self.look(region).await {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                }
                Next::Done => {
                    let effective = everywhere(self.revision.number, self.next.clone());
                    return self.end(RevisionEnd::Active, Some(effective)).await;
                }
                Next::Stop(lost) => {
                    let why = lost.to_string();
                    warn!(number = self.revision.number, why, "the topology is rolled back");
                    let former = self.former.clone().map(|former| Effective {
                        number: self.revision.number,
                        topology: former,
                        regions_done: Vec::new(),
                    });
                    return self.end(RevisionEnd::RolledBack(why), former).await;
                }
            }
        }
    }

    fn now(&self) -> Millis {
        (self.service.parts().now)().saturating_sub(self.begun)
    }

    async fn give(&mut self, region: RegionName, watch: bool) -> Result<(), StoreError> {
        self.revision.regions.push(region.clone());
        let (number, regions) = (self.revision.number, self.revision.regions.clone());
        let store = &self.service.parts().store;
        if !lasting(|| store.stage_revision(number, regions.clone())).await? {
            return Err(StoreError::Fenced);
        }
        self.service.install(partly(&self.revision, self.former.as_deref())).await;
        self.stage.given(self.now());
        info!(number, %region, "a region has the new topology");
        if !watch {
            let seen = self.seen(&region).await.unwrap_or_default();
            self.tell(&region, seen, true);
        }
        Ok(())
    }

    /// True: the region is done with.
    async fn look(&mut self, region: RegionName) -> bool {
        // The loop has ended; so will this.
        let Some(seen) = self.seen(&region).await else { return false };
        let settled = self.stage.seen(self.now(), seen);
        self.tell(&region, seen, settled);
        settled
    }

    async fn seen(&self, region: &RegionName) -> Option<Seen> {
        let (name, watched) = (region.clone(), self.revision.new.watched.clone());
        let sight = self.service.look(move |owner| Sight::of(owner, &name, &watched)).await?;
        Some(sight.seen(&self.next, region))
    }

    fn tell(&self, region: &RegionName, seen: Seen, settled: bool) {
        let now = proto::TopologyRegion {
            name: region.to_string(),
            before: seen.before,
            up: seen.up,
            moving: seen.moving,
            settled,
        };
        self.told.send_if_modified(|standing| {
            standing.revision.regions = self.revision.regions.iter().map(RegionName::to_string).collect();
            match standing.regions.iter_mut().find(|told| told.name == now.name) {
                Some(told) if *told == now => return false,
                Some(told) => *told = now,
                None => standing.regions.push(now),
            }
            true
        });
    }

    async fn end(&self, how: RevisionEnd, effective: Option<Effective>) -> Result<(), StoreError> {
        end(self.service, self.revision.clone(), self.told.clone(), how, effective).await
    }
}

async fn end(
    service: &Topologies,
    mut revision: Revision,
    told: watch::Sender<Standing>,
    how: RevisionEnd,
    effective: Option<Effective>,
) -> Result<(), StoreError> {
    let (store, number) = (&service.parts().store, revision.number);
    if !lasting(|| store.end_revision(number, how.clone())).await? {
        return Err(StoreError::Fenced);
    }
    service.install(effective).await;
    match how {
        RevisionEnd::Active => {
            revision.state = RevisionState::Active;
            service.0.active.send_replace(number);
        }
        RevisionEnd::RolledBack(why) => (revision.state, revision.why) = (RevisionState::RolledBack, why),
    }
    let ended = Event::new(Kind::Topology, &*revision.new.caller, "self").about(number);
    service.parts().audit.note(ended.with("state", revision.state.word()).with("why", &revision.why));
    info!(number, state = revision.state.word(), "the topology is applied");
    told.send_modify(|standing| standing.revision = wire::revision(&revision, false));
    Ok(())
}

/// What the store does sooner or later. An error: another owner has begun, or the store is closed.
async fn lasting<T>(ask: impl Fn() -> StoreFuture<T>) -> Result<T, StoreError> {
    loop {
        match ask().await {
            Err(error @ (StoreError::Fenced | StoreError::Closed | StoreError::Damaged { .. })) => {
                return Err(error);
            }
            Err(error) => warn!(%error, "a topology waits for the store; trying on"),
            Ok(done) => return Ok(done),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// A region's minions, as the loop knows them.
struct Sight {
    before: u64,
    up: u64,
    all: Vec<(MinionId, TierId, bool)>,
}

impl Sight {
    fn of(owner: &Owner, region: &RegionName, watched: &Members) -> Sight {
        let inventory = owner.inventory();
        let members = inventory.by_region().find(|(name, _)| *name == region);
        let members = members.map(|(_, members)| members.clone()).unwrap_or_default();
        let before = &members & watched;
        let each = |no| inventory.get(no).map(|m| (m.id.clone(), m.syndic.clone(), m.up));
        Sight {
            before: before.len(),
            up: before.intersection_len(inventory.up()),
            all: members.iter().filter_map(each).collect(),
        }
    }

    /// `topology`: the new one. Nobody moves in a region that is none any more.
    fn seen(self, topology: &Topology, region: &RegionName) -> Seen {
        let Sight { before, up, all } = self;
        let above = Above::of(topology);
        let moving = topology.region(region).map_or(0, |region| {
            let placement = Placement::new(&region.syndics, all.iter().map(|(id, ..)| id));
            let stands = |id, at| placement.primary(id).is_some_and(|home| above.stands(home, at));
            all.iter().filter(|(id, at, up)| *up && !stands(id, at)).count() as u64
        });
        Seen { before, up, moving }
    }
}
