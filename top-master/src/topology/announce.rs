//! Tells the registry which revision is active, so that standbys and syndics' tools can see it. The store comes first: the
//! registry follows it, also after it was away.

use std::time::Duration;

use relay_runtime::{
    registry::{
        Registry,
        topology::{self, ActiveTopology},
    },
    store::{Store, Which},
};
use tracing::{debug, warn};

use super::Topologies;

/// Pause after the registry or the store did not answer.
const RETRY: Duration = Duration::from_secs(2);

/// Brings the registry up to date at first, and whenever a revision becomes active.
pub(super) async fn run(service: &Topologies) {
    let mut active = service.0.active.subscribe();
    loop {
        let number = *active.borrow_and_update();
        let (store, registry) = (&*service.parts().store, &*service.parts().registry);
        // There is no revision 0, and nothing is announced for it.
        while let Err(why) = announce(store, registry, number).await {
            warn!(number, why, "the registry does not know the active topology yet; trying on");
            tokio::time::sleep(RETRY).await;
        }
        // Its sender is the service itself.
        if active.changed().await.is_err() {
            return;
        }
    }
}

async fn announce(store: &dyn Store, registry: &dyn Registry, number: u64) -> Result<(), String> {
    let revision = store.revision(Which::Number(number)).await.map_err(|e| e.to_string())?;
    let Some(revision) = revision else { return Ok(()) };
    let next = ActiveTopology { number, digest: revision.new.digest };
    let there = topology::active(registry).await.map_err(|e| e.to_string())?;
    if let Some((there, _)) = &there
        && (there.number > number || *there == next)
    {
        // A higher number is of an owner that has taken over from this one.
        return Ok(());
    }
    let done = topology::activate(registry, there.map(|(_, at)| at), &next).await;
    match done.map_err(|e| e.to_string())? {
        true => debug!(number, "the registry knows the active topology"),
        false => return Err("it was changed in the same moment".into()),
    }
    Ok(())
}
