//! A minion process: one or many minions (`--count`), one thread for all their journals.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use rand::seq::SliceRandom as _;
use relay_core::{
    seat::{HeartbeatRule, JournalRecord},
    suspicion::Witness,
};
use relay_runtime::{
    admin::{Health, Readiness},
    clock::Clock,
    config::{self, MinionConfig, Parent, ParentsOrder},
    identity,
    link::{LinkIds, LinkLimits, dial::Dialler},
    log_writer::{Found, LogWriter, Report},
    process::{Process, private_dir},
    record_log::RecordLog,
    shutdown::Role,
    suspicions::Suspicions,
    telemetry,
    tls::{self, Tls},
    trust,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{
    enrol,
    footprint::{self, Settling},
    grains::GrainBook,
    journal::{self, Journal},
    parents::Parents,
    policy::{self, LocalPolicy},
    runner::Runner,
    session::{LINK_QUEUE, Parts, Session},
    trust::Beliefs,
    verify::{Verified, Verifier},
};

/// Reports of the journal thread waiting, for all minions of the process.
const REPORT_QUEUE: usize = 1_024;
/// The same for one minion.
const OWN_REPORT_QUEUE: usize = 64;

/// Loads and checks a configuration, for `count` minions.
///
/// # Errors
/// Every problem found, with its place.
pub fn check(path: &Path, count: usize) -> Result<Vec<MinionConfig>, config::ConfigErrors> {
    let configs = config::load_minions(path, count)?;
    let policies: BTreeSet<&PathBuf> = configs.iter().filter_map(|config| config.policy.as_ref()).collect();
    policies.into_iter().try_for_each(|file| policy::load(file).map(drop))?;
    let ports: Vec<_> = configs.iter().filter_map(|c| c.admin).collect();
    match config::check_ports_free(&ports) {
        busy if busy.is_empty() => Ok(configs),
        busy => Err(config::ConfigErrors::new(path, busy)),
    }
}

/// Runs the minions until a signal comes.
///
/// # Errors
/// What could not be put together, before anything started.
pub async fn serve(configs: Vec<MinionConfig>) -> anyhow::Result<()> {
    let first = configs.first().context("no minion is configured")?;
    let unready = "not attached to any parent";
    let process = Process::begin("minion", first.id.as_str(), &first.log, first.admin, unready).await?;
    if enrol::join(&configs, &process).await? {
        start(configs, &process)?;
    }
    process.until_stopped().await.map_err(anyhow::Error::msg)
}

/// Every minion has a loop of its own; that they share a thread which turns is what `/healthz` says. `work` counts what any of them wrote
/// to its journal: no job goes by without.
async fn beat(
    health: Health,
    ready: Readiness,
    clock: Clock,
    work: Arc<AtomicU64>,
    token: CancellationToken,
) {
    let (mut settling, mut known) = (Settling::default(), true);
    loop {
        health.beat(clock.now());
        if settling.beat(ready.why_not().is_none(), work.load(Relaxed)) && known {
            known = give_back();
        }
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// False: it cannot be done here, now or later.
fn give_back() -> bool {
    match footprint::give_back() {
        Ok(0) => {
            info!(
                "what it needs no more of the program stays mapped: its layout in memory is not a known one"
            );
            return false;
        }
        Ok(bytes) => debug!(bytes, "gave back what it needs no more of the program"),
        Err(error) => debug!(%error, "what it needs no more of the program stays mapped"),
    }
    true
}

struct Made {
    config: MinionConfig,
    journal: Found<JournalRecord>,
    runner: Runner,
    identity: identity::LoadedIdentity,
}

fn make(config: MinionConfig) -> anyhow::Result<Made> {
    private_dir(&config.state_dir)
        .with_context(|| format!("{}: cannot be used", config.state_dir.display()))?;
    let journal = journal::open(&config.state_dir)?;
    let runner = Runner::new(&config.state_dir.join("runs"))?;
    let identity = identity::load(&config.tls, &config.fabric)?;
    Ok(Made { config, journal, runner, identity })
}

fn start(configs: Vec<MinionConfig>, process: &Process) -> anyhow::Result<()> {
    let Process { shutdown, clock, ready, health } = process;
    let made = configs.into_iter().map(make).collect::<anyhow::Result<Vec<_>>>()?;
    let count = made.len();
    let (report, mut reports) = mpsc::channel::<Report>(REPORT_QUEUE);
    let (logs, made): (Vec<RecordLog>, Vec<_>) = made
        .into_iter()
        .map(|m| (m.journal.log, (m.config, m.journal.incarnation, m.journal.records, m.runner, m.identity)))
        .unzip();
    let writer = LogWriter::start("journal", logs, report)?;
    let mut inboxes = Vec::with_capacity(count);
    let attached = Arc::new(AtomicUsize::new(0));
    let (verified, mut beliefs) = (Verified::default(), Beliefs::default());
    for (log, (config, incarnation, records, runner, identity)) in made.into_iter().enumerate() {
        let (events, links) = mpsc::channel(LINK_QUEUE);
        let (inbox, own_reports) = mpsc::channel(OWN_REPORT_QUEUE);
        inboxes.push(inbox);
        let grains = Arc::new(grains_of(&config)?);
        let policy = config.policy.as_deref().map(LocalPolicy::open).transpose()?;
        let policy = policy.unwrap_or_else(LocalPolicy::none);
        let trusted = beliefs.of(&config, &identity, shutdown)?;
        let tls = Tls::new(identity, trusted.clone())?;
        if config.enrol.is_none() {
            let files = tls::follow_files(tls.clone(), config.tls.clone(), shutdown.token.clone());
            shutdown.spawn_named(format!("certificate {}", config.id), Role::Passing, files);
        }
        enrol::stay(&config, &tls, process)?;
        let dialler = Dialler {
            parents: in_order(&config),
            fabric: config.fabric.clone(),
            tls: tls.clone().into(),
            incarnation,
            minion: true,
            limits: LinkLimits::MINION,
            ids: LinkIds::default(),
            events,
            token: shutdown.token.clone(),
        };
        let witness = Witness::Minions([0].into_iter().collect());
        let (suspicions, writing) = Suspicions::open(&config.state_dir, witness)?;
        let writing = writing.run(shutdown.token.clone());
        shutdown.spawn_named(format!("suspicions {}", config.id), Role::Passing, writing);
        let parts = Parts {
            id: config.id.clone(),
            fabric: config.fabric.clone(),
            grains: grains.value(),
            heartbeat: heartbeat(&config),
            journal: Journal::disk(writer.clone(), log),
            incarnation,
            records,
            runner: Some(runner),
            verifier: Verifier::new(Arc::new(trusted.clone()), verified.clone()),
            policy,
            trust: Arc::new(move |bundle| {
                trusted.offer(&bundle, trust::now()).is_err_and(|refused| refused.is_forged())
            }),
            suspicions,
            clock: *clock,
            links,
            reports: own_reports,
            attached: counting(attached.clone(), ready.clone()),
            token: shutdown.token.clone(),
        };
        let (dialling, minion) = (format!("dialler {}", config.id), format!("minion {}", config.id));
        if config.parents_order == ParentsOrder::Placed {
            let (fabric, parents) = (config.fabric.clone(), config.parents.clone());
            let opened = Parents::open(&config.state_dir, fabric, tls.into(), parents)?;
            shutdown.spawn_named(format!("list {}", config.id), Role::Passing, opened.writer.run());
            shutdown.spawn_named(dialling, Role::Passing, dialler.run_with(opened.order));
            let session = Session::run_with(parts, grains, Some(opened.following));
            shutdown.spawn_named(minion, Role::Vital, session);
        } else {
            shutdown.spawn_named(dialling, Role::Passing, dialler.run());
            shutdown.spawn_named(minion, Role::Vital, Session::run_with(parts, grains, None));
        }
    }
    let work = Arc::new(AtomicU64::new(0));
    let counted = work.clone();
    shutdown.spawn_named("reports", Role::Vital, async move {
        while let Some(report) = reports.recv().await {
            counted.fetch_add(1, Relaxed);
            let Some(inbox) = inboxes.get(report.log()) else { continue };
            let _ = inbox.send(report).await;
        }
    });
    let beating = beat(health.clone(), ready.clone(), *clock, work, shutdown.token.clone());
    shutdown.spawn_named("beat", Role::Passing, beating);
    info!(minions = count, "serving");
    Ok(())
}

/// Its parents as it dials them while nobody has told it better.
fn in_order(config: &MinionConfig) -> Vec<Parent> {
    let mut parents = config.parents.clone();
    if config.parents_order == ParentsOrder::Shuffle {
        parents.shuffle(&mut rand::rng());
    }
    parents
}

/// The name of the file of custom grains in the state directory, where the configuration names no other.
const OWN_GRAINS: &str = "grains.yaml";

/// A minion's grains, with its file of custom ones.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn grains_of(config: &MinionConfig) -> anyhow::Result<GrainBook> {
    let file = config.grains_file.clone().unwrap_or_else(|| config.state_dir.join(OWN_GRAINS));
    Ok(GrainBook::open(config.id.clone(), config.grains.clone(), file)?)
}

fn heartbeat(config: &MinionConfig) -> HeartbeatRule {
    let millis = |d: Duration| d.as_millis() as u64;
    HeartbeatRule {
        interval: millis(config.heartbeat.interval),
        dead_after: millis(config.heartbeat.dead_after),
    }
}

/// Keeps the count of attached minions, for `/readyz` and the metric: ready when at least one is attached.
fn counting(attached: Arc<AtomicUsize>, ready: Readiness) -> Arc<dyn Fn(bool) + Send + Sync> {
    Arc::new(move |up| {
        let now = if up { attached.fetch_add(1, Relaxed) + 1 } else { attached.fetch_sub(1, Relaxed) - 1 };
        metrics::gauge!(telemetry::LINKS_UP).set(now as f64);
        if now == 0 { ready.not_ready("not attached to any parent") } else { ready.ready() }
    })
}
