//! What is effective when an owner begins: read from the store, or taken from the configured file the first time.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use relay_core::{
    Members,
    document::Severity,
    topology::{
        Topology,
        stage::{self, DEFAULT_MAX_LOST_PERCENT, DEFAULT_SETTLE},
    },
};
use relay_runtime::{
    clock::wall,
    config::parse_topology,
    store::{NewRevision, Revision, RevisionEnd, RevisionPut, RevisionState, Store, Which},
};
use tracing::{info, warn};

use super::Effective;

/// Who applies the configured file.
const CALLER: &str = "config";

/// What an owner finds.
#[derive(Debug, Default)]
pub struct Boot {
    /// What is effective.
    pub effective: Option<Effective>,
    /// The number of the active revision; 0: none.
    pub active: u64,
    /// One that is on its way, to be carried on.
    pub staged: Option<Revision>,
}

/// Looks what is there. `file`: the configured topology, applied if there is nothing. The store must have begun.
///
/// # Errors
/// The store can't be read or written, or its active topology is not one that this build understands: rules for batches that
/// nobody knows can't be kept.
pub async fn boot(store: &dyn Store, file: Option<(&Path, &Topology)>) -> anyhow::Result<Boot> {
    let active = store.revision(Which::Active).await?;
    let staged = store.revision(Which::Staging).await?;
    match (&active, &staged, file) {
        (None, None, Some((path, topology))) => {
            let number = first(store, path, topology).await?;
            let effective = everywhere(number, Arc::new(topology.clone()));
            return Ok(Boot { effective: Some(effective), active: number, staged: None });
        }
        (Some(active), _, Some((path, topology))) if active.new.digest != topology.digest() => warn!(
            file = %path.display(), active = active.number,
            "the configured topology is not the active one, which counts: see relayctl topology plan"
        ),
        _ => {}
    }
    let topology = active.as_ref().map(understood).transpose()?;
    let newest = store.revisions(1, None).await?.first().map_or(0, |newest| newest.number);
    let number = active.as_ref().map_or(0, |active| active.number);
    let effective = match &staged {
        Some(staged) => partly(staged, topology.as_deref()),
        None => topology.map(|topology| Effective { number: newest, ..everywhere(number, topology) }),
    };
    Ok(Boot { effective, active: number, staged })
}

/// The configured file as revision 1, at once: nobody has anything else.
async fn first(store: &dyn Store, path: &Path, topology: &Topology) -> anyhow::Result<u64> {
    let text = tokio::fs::read_to_string(path).await.with_context(|| path.display().to_string())?;
    // The configuration was read a moment ago.
    if parse_topology(&text).ok().as_ref() != Some(topology) {
        bail!("{}: changed while this top master started; start it again", path.display());
    }
    let new = NewRevision {
        planned_on: 0,
        digest: topology.digest(),
        text,
        caller: CALLER.into(),
        applied: wall(),
        commit: String::new(),
        author: String::new(),
        message: format!("the configured file {}", path.display()),
        rollback_of: 0,
        max_lost_percent: DEFAULT_MAX_LOST_PERCENT,
        settle_ms: DEFAULT_SETTLE,
        watched: Members::new(),
    };
    let RevisionPut::Staged(number) = store.put_revision(new).await? else {
        bail!("another top master applies a topology to this store: start this one again");
    };
    let regions = topology.regions.iter().map(|region| region.name.clone()).collect();
    store.stage_revision(number, regions).await?;
    store.end_revision(number, RevisionEnd::Active).await?;
    info!(number, file = %path.display(), "the configured topology is the first revision");
    Ok(number)
}

/// A whole topology, as of one revision.
pub(super) fn everywhere(number: u64, topology: Arc<Topology>) -> Effective {
    let regions_done = topology.regions.iter().map(|region| region.name.clone()).collect();
    Effective { number, topology, regions_done }
}

/// What is effective while a revision is staged.
pub(super) fn partly(staged: &Revision, former: Option<&Topology>) -> Option<Effective> {
    let (number, regions) = (staged.number, &staged.regions);
    let topology = match parse_topology(&staged.new.text) {
        Ok(next) if former.is_some() || !regions.is_empty() => stage::mixed(former, &next, regions),
        // Not even understood any more: it is about to be rolled back.
        _ => former?.clone(),
    };
    Some(Effective { number, topology: Arc::new(topology), regions_done: regions.clone() })
}

/// The topology of a revision in the store.
pub(super) fn understood(revision: &Revision) -> anyhow::Result<Arc<Topology>> {
    let problems = match parse_topology(&revision.new.text) {
        Ok(topology) => return Ok(Arc::new(topology)),
        Err(problems) => problems,
    };
    let first = problems.iter().find(|problem| problem.severity == Severity::Error);
    let (number, first) = (revision.number, first.map_or("", |problem| &problem.what));
    let newer = match revision.state {
        RevisionState::Active => ": start the newer build that has applied it",
        _ => "",
    };
    bail!(
        "revision {number} of the topology in the store is not one that this build understands ({first}){newer}"
    )
}
