//! A process full of simulated minions.
//!
//! Each uses the minion's own session, dialler and verification over its own TLS link, under its own certificate. A signature is
//! verified once in a process, as the program itself does with many minions (`minion --count`), unless its [`Shape`] says that each
//! does so alone, as on as many machines. What is left out: the journal is in memory (no fsync) unless its [`Shape`] says otherwise, there is no runner, and the grains
//! are a few fixed ones.

mod journals;
mod shape;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use minion::{
    journal::Journal,
    policy::LocalPolicy,
    session::{LINK_QUEUE, Parts, Session},
    verify::{Verified, Verifier},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use relay_core::{
    identity::{FabricName, Identity, Role, check_region},
    ids::{Incarnation, MinionId},
    seat::HeartbeatRule,
};
use relay_runtime::{
    clock::Clock,
    config::{HeartbeatConfig, Parent},
    link::{LinkIds, LinkLimits, dial::Dialler},
    log_writer::Report,
    suspicions::Suspicions,
    tls,
    trust::{self, Trusted},
};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use self::journals::{Kept, Opened};
pub use self::shape::Shape;
use crate::{credentials::Issuer, part};

/// Minions of one process that dial at once, unless all are to. It shows what attaching costs, not how it fails.
const DIALLING: usize = 64;
/// How often the count of attached minions is told, if it has changed.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What one process of the swarm is to host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The fabric's name.
    pub fabric: String,
    /// The directory of the throw-away authority: each minion's certificate is issued here, in memory.
    pub authority: PathBuf,
    /// Seeds the incarnations.
    pub seed: u64,
    /// Number of the first minion.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// All syndics. Minion `n` dials the one at `n` modulo their number.
    pub syndics: Vec<Place>,
    /// What they are like.
    pub shape: Shape,
    /// The directory of their journals, if [`Shape::journals`] are on disk.
    pub journals: PathBuf,
}

/// Where a syndic is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    /// Its id.
    pub id: String,
    /// Its region.
    pub region: String,
    /// `host:port`.
    pub address: String,
}

/// One simulated minion before it dials.
struct Made {
    id: MinionId,
    fabric: FabricName,
    incarnation: Incarnation,
    parent: Parent,
    tls: Arc<rustls::ClientConfig>,
    root: CertificateDer<'static>,
    grains: Arc<serde_json::Value>,
    journal: Option<Opened>,
}

/// The process: makes its minions, says `ready`, waits for `go`, then dials and says `attached N`.
///
/// # Errors
/// The plan cannot be carried out.
pub fn main() -> anyhow::Result<()> {
    let plan: Plan = part::plan()?;
    let made = make(&plan)?;
    let dialling = if plan.shape.at_once { Semaphore::MAX_PERMITS } else { DIALLING };
    part::tell("ready");
    if part::heard()?.is_none() {
        return Ok(());
    }
    part::end_with_the_scenario();
    // One thread: two swarms and the daemons share the cores as separate machines' minions would not.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(host(made, dialling, plan.shape.each_alone))
}

fn make(plan: &Plan) -> anyhow::Result<Vec<Made>> {
    let fabric: FabricName = plan.fabric.parse()?;
    let issuer = Issuer::open(&plan.authority, fabric.clone())?;
    let mut random = StdRng::seed_from_u64(plan.seed ^ u64::from(plan.first));
    // 0 is nobody's.
    let mut incarnation = || Incarnation(random.random_range(1..=u64::MAX));
    let numbers = plan.first..plan.first + plan.count;
    numbers.map(|n| one(plan, &issuer, &fabric, n, incarnation())).collect()
}

fn one(
    plan: &Plan,
    issuer: &Issuer,
    fabric: &FabricName,
    n: u32,
    incarnation: Incarnation,
) -> anyhow::Result<Made> {
    let place = plan.syndics.get(n as usize % plan.syndics.len().max(1)).context("no syndics in the plan")?;
    let (id, region) = (plan.shape.name(n), check_region(&place.region)?);
    let loaded = issuer.issue(Identity::new(&id, Role::Minion, region.clone(), fabric.clone())?)?;
    let address = place.address.parse()?;
    let parent = Parent { id: place.id.parse()?, region, role: Role::Syndic, address };
    let journal =
        plan.shape.journals.then(|| Opened::at(&plan.journals.join(&id))).transpose().context("journal")?;
    Ok(Made {
        id: id.parse()?,
        fabric: fabric.clone(),
        incarnation: journal.as_ref().map_or(incarnation, |journal| journal.incarnation),
        parent,
        tls: tls::client(&loaded)?,
        root: issuer.root().clone(),
        grains: plan.shape.grains(n),
        journal,
    })
}

async fn host(mut made: Vec<Made>, dialling: usize, each_alone: bool) -> anyhow::Result<()> {
    let mut kept = Kept::start(made.iter_mut().filter_map(|minion| minion.journal.take()).collect())?;
    let attached = Arc::new(AtomicUsize::new(0));
    tokio::spawn(count_aloud(attached.clone()));
    let dialling = Arc::new(Semaphore::new(dialling));
    let token = CancellationToken::new();
    let clock = Clock::start();
    let Some(first) = made.first() else { anyhow::bail!("no minions in the plan") };
    let shared = believes(first)?;
    for minion in made {
        let turn = dialling.clone().acquire_owned().await?;
        let turn = Mutex::new(Some(turn));
        let attached = attached.clone();
        let count = move |up: bool| {
            match up {
                true => attached.fetch_add(1, Relaxed),
                false => attached.fetch_sub(1, Relaxed),
            };
            turn.lock().unwrap_or_else(PoisonError::into_inner).take();
        };
        let believes = if each_alone { believes(&minion)? } else { shared.clone() };
        start(minion, kept.next(), believes, clock, Arc::new(count), token.clone());
    }
    // Until the scenario ends this process.
    std::future::pending().await
}

/// What one minion believes, or all of a process.
fn believes(minion: &Made) -> anyhow::Result<(Verifier, Told)> {
    let trusted = Trusted::of_roots(minion.fabric.clone(), std::slice::from_ref(&minion.root))?;
    let verifier = Verifier::new(Arc::new(trusted.clone()), Verified::default());
    let told = move |bundle: Bytes| trusted.offer(&bundle, trust::now()).is_err_and(|why| why.is_forged());
    Ok((verifier, Arc::new(told)))
}

/// What a session does with a bundle of trust.
type Told = Arc<dyn Fn(Bytes) -> bool + Send + Sync>;

fn start(
    minion: Made,
    (journal, reports): (Journal, mpsc::Receiver<Report>),
    (verifier, trust): (Verifier, Told),
    clock: Clock,
    attached: Arc<dyn Fn(bool) + Send + Sync>,
    token: CancellationToken,
) {
    let (events, links) = mpsc::channel(LINK_QUEUE);
    let dialler = Dialler {
        parents: vec![minion.parent],
        fabric: minion.fabric.clone(),
        tls: minion.tls.into(),
        incarnation: minion.incarnation,
        minion: true,
        limits: LinkLimits::MINION,
        ids: LinkIds::default(),
        events,
        token: token.clone(),
    };
    let parts = Parts {
        id: minion.id,
        fabric: minion.fabric,
        grains: minion.grains,
        heartbeat: heartbeat(),
        journal,
        incarnation: minion.incarnation,
        records: Vec::new(),
        runner: None,
        verifier,
        policy: LocalPolicy::none(),
        trust,
        suspicions: Suspicions::in_memory(),
        clock,
        links,
        reports,
        attached,
        token,
    };
    tokio::spawn(dialler.run());
    tokio::spawn(Session::run(parts));
}

/// What a minion has that is told nothing else.
fn heartbeat() -> HeartbeatRule {
    let HeartbeatConfig { interval, dead_after } = HeartbeatConfig::default();
    HeartbeatRule { interval: interval.as_millis() as u64, dead_after: dead_after.as_millis() as u64 }
}

async fn count_aloud(attached: Arc<AtomicUsize>) {
    let mut told = 0;
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let now = attached.load(Relaxed);
        if now != told {
            part::tell(&format!("attached {now}"));
            told = now;
        }
    }
}

/// Cuts a swarm into processes: numbers of the first and how many, those that are [apart](Shape::apart) first.
pub fn shards_of(shape: Shape, minions: u32, limit: u32) -> Vec<(u32, u32)> {
    let apart = shape.apart.min(minions);
    let others = shards(minions - apart, limit).into_iter().map(|(first, count)| (first + apart, count));
    (apart > 0).then_some((0, apart)).into_iter().chain(others).collect()
}

/// Cuts a swarm into processes: numbers of the first and how many, at least two processes (one per core of a small
/// machine) and none over `limit`.
pub fn shards(minions: u32, limit: u32) -> Vec<(u32, u32)> {
    let processes = minions.div_ceil(MINIONS_PER_PROCESS.min(limit).max(1)).max(minions.min(2));
    let first =
        |k: u32| u32::try_from(u64::from(minions) * u64::from(k) / u64::from(processes.max(1))).unwrap_or(0);
    (0..processes).map(|k| (first(k), first(k + 1) - first(k))).collect()
}

/// Simulated minions in one process, at most: far below the limit of descriptors, and enough that few processes do.
const MINIONS_PER_PROCESS: u32 = 2_500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_apart_has_a_process_and_the_others_follow() {
        let apart = |apart| Shape { apart, ..Shape::default() };
        assert_eq!(shards_of(apart(8), 5_000, 19_872), [(0, 8), (8, 2_496), (2_504, 2_496)]);
        assert_eq!(shards_of(apart(0), 40, 100), shards(40, 100));
        assert_eq!(shards_of(apart(9), 4, 100), [(0, 4)]);
    }

    #[test]
    fn shards_cover_everybody_once_within_the_limit() {
        for (minions, limit, processes) in
            [(1, 100, 1), (40, 19_872, 2), (5_000, 19_872, 2), (20_000, 1_000, 20)]
        {
            let shards = shards(minions, limit);
            assert_eq!(shards.len(), processes, "{minions}");
            let mut next = 0;
            for (first, count) in shards {
                assert_eq!(first, next);
                assert!(count <= limit && count > 0);
                next += count;
            }
            assert_eq!(next, minions);
        }
    }
}
