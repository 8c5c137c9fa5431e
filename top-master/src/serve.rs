//! A top master process: configuration in, parts built, ports bound, loop run.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use relay_core::{
    identity::{Identity, Role},
    inventory::Inventory,
    owner::{Batches, Owner, OwnerRule},
    seat::HeartbeatRule,
};
use relay_proto::{envelope, operator::operator_server::OperatorServer};
use relay_runtime::{
    clock::wall,
    config::{self, StoreKind, TopMasterConfig},
    identity,
    link::{
        EVENT_QUEUE, LinkIds, LinkLimits,
        accept::{Acceptor, CallService, LinkService},
    },
    process::{Process, bind, private_dir},
    registry::Embedded,
    shutdown,
    store::{PostgresStore, SqliteStore, Store},
    tls,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    commits::Commits,
    daemon::{Daemon, Expected, Sources},
    directory::Directory,
    operator::{Defaults, OperatorService, REQUEST_QUEUE},
    register, schedule,
};

/// Old jobs are looked for this often.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

/// Runs a top master until a signal comes.
///
/// # Errors
/// What could not be put together, before anything started; or the death of a vital task.
pub async fn serve(config: TopMasterConfig) -> anyhow::Result<()> {
    let process =
        Process::begin("top-master", config.id.as_str(), &config.log, Some(config.admin), "starting").await?;
    let listener = bind("listen", config.listen).await?;
    let operators = bind("operators", config.operators).await?;
    private_dir(&config.state_dir)
        .with_context(|| format!("{}: cannot be made", config.state_dir.display()))?;
    let loaded = identity::load(&config.tls, &config.fabric)?;
    let store = open_store(&config).await?;
    let defaults = Arc::new(defaults(&config));
    let owner = recover(&config, defaults.batches.clone(), &*store, process.clock.now()).await?;

    let token = process.shutdown.token.clone();
    let registry = Embedded::new({
        let clock = process.clock;
        Arc::new(move || clock.now())
    });
    let (registered, syndics) = watch::channel(register::Syndics::new());
    let registrar = register::run(
        Arc::new(registry.clone()),
        config.id.clone(),
        config.listen.to_string(),
        syndics,
        token.clone(),
    );
    process.shutdown.spawn_named("registrar", shutdown::Role::Vital, registrar);
    let leases = token.clone();
    process.shutdown.spawn_named("leases", shutdown::Role::Vital, async move { registry.run(leases).await });

    let directory = Directory::default();
    let (events, links) = mpsc::channel(EVENT_QUEUE);
    let (asks_tx, asks) = mpsc::channel(REQUEST_QUEUE);
    let tasks = process.shutdown.tasks.clone();
    let acceptor = Acceptor {
        tls: tls::server(&loaded)?,
        fabric: config.fabric.clone(),
        token: token.clone(),
        tasks: tasks.clone(),
    };
    let own = Arc::new(config.identity()?);
    let service =
        LinkService { own, admit, ids: LinkIds::default(), events, tasks, window: LinkLimits::SYNDIC.window };
    process.shutdown.spawn_named("acceptor", shutdown::Role::Vital, acceptor.clone().run(listener, service));
    let service = OperatorService {
        asks: asks_tx,
        store: store.clone(),
        directory: directory.clone(),
        defaults,
        schedules_changed: Arc::default(),
    };
    let schedules = schedule::run(service.clone(), token.clone());
    process.shutdown.spawn_named("schedules", shutdown::Role::Vital, schedules);
    let calls = CallService { inner: OperatorServer::new(service), admit: admit_operator };
    process.shutdown.spawn_named("operators", shutdown::Role::Vital, acceptor.run(operators, calls));
    let prune = prune(store.clone(), config.keep_jobs_hours, token);
    process.shutdown.spawn_named("prune", shutdown::Role::Vital, prune);

    info!(listen = %config.listen, operators = %config.operators, "serving");
    let fabric = config.fabric.to_string();
    let commits = Commits::new(store.clone());
    let expected = config.topology.as_ref().map(|t| Expected::of(t, &config.id)).unwrap_or_default();
    let daemon = Daemon::new(fabric, config.id.clone(), owner, commits, directory, registered, expected);
    daemon.run(Sources { links, asks }, &process).await;
    store.close().await;
    process.after_loop().await.map_err(anyhow::Error::msg)
}

async fn open_store(config: &TopMasterConfig) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match &config.store {
        StoreKind::Sqlite => Arc::new(SqliteStore::open(&config.state_dir.join("store.sqlite"))?),
        StoreKind::Postgres(database) => {
            info!(%database, "the store is a database");
            Arc::new(PostgresStore::open(database).await?)
        }
    })
}

/// What requests leave open: limits from the configuration, names and batches from the topology.
fn defaults(config: &TopMasterConfig) -> Defaults {
    let shape = config.topology.as_ref();
    let millis = |d: Duration| d.as_millis() as u64;
    Defaults {
        delivery: millis(config.delivery_timeout),
        run: millis(config.run_timeout),
        groups: shape.map(|t| t.node_groups.clone()).unwrap_or_default(),
        batches: Batches {
            regions: shape.map(|t| t.region_batches()).unwrap_or_default(),
            unbatched_limit: shape.and_then(|t| t.unbatched_limit),
        },
    }
}

async fn recover(
    config: &TopMasterConfig,
    batches: Batches,
    store: &dyn Store,
    now: u64,
) -> anyhow::Result<Owner> {
    let recovered = store.begin().await?;
    let mut inventory = Inventory::new();
    for record in recovered.minions {
        if let Some(refused) = inventory.restore(record)? {
            warn!(why = %refused, "stored grains refused");
        }
    }
    // Nobody is attached yet.
    let everybody = inventory.all().clone();
    inventory.set_up(&everybody, false, wall());
    info!(
        minions = everybody.len(),
        open_jobs = recovered.jobs.len(),
        epoch = recovered.epoch.0,
        "recovered"
    );
    let config::HeartbeatConfig { interval, dead_after } = config.heartbeat;
    let millis = |d: Duration| d.as_millis() as u64;
    let rule = OwnerRule {
        fabric: config.fabric.to_string(),
        epoch: recovered.epoch,
        heartbeat: HeartbeatRule { interval: millis(interval), dead_after: millis(dead_after) },
        seal: envelope::seal,
        batches,
    };
    Ok(Owner::recover(rule, now, wall(), inventory, recovered.jobs))
}

async fn prune(store: Arc<dyn Store>, keep_hours: u64, token: CancellationToken) {
    loop {
        match store.prune(keep_hours, wall()).await {
            Ok(pruned) if pruned.jobs > 0 => info!(jobs = pruned.jobs, requests = pruned.requests, "pruned"),
            Ok(_) => {}
            Err(error) => warn!(%error, "pruning stopped; it goes on later"),
        }
        tokio::select! {
            () = token.cancelled() => return,
            () = tokio::time::sleep(PRUNE_EVERY) => {}
        }
    }
}

/// Syndics attach to a top master, and nobody else.
fn admit(_: &Identity, peer: &Identity) -> Result<LinkLimits, String> {
    match peer.role() {
        Role::Syndic => Ok(LinkLimits::SYNDIC),
        _ => Err(format!("{peer}: only syndics attach to a top master")),
    }
}

/// Operators call, and nobody else: a minion's certificate opens no operator call.
fn admit_operator(peer: &Identity) -> Result<(), String> {
    match peer.role() {
        Role::Operator => Ok(()),
        _ => Err(format!("{peer}: only operators may call")),
    }
}
