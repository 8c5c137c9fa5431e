//! A syndic process: configuration in, parts built, ports bound, loop run.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use relay_core::{
    fold::FlushRule,
    identity::{Identity, Role},
    relay::{Relay, RelayRule},
    seat::HeartbeatRule,
    suspicion::Witness,
};
use relay_proto::records;
use relay_runtime::{
    config::{self, SyndicConfig},
    identity,
    link::{
        EVENT_QUEUE, LinkIds, LinkLimits, LinkService, Serving, accept::Acceptor, dial::Dialler,
        trust::PassedOn,
    },
    log_writer::{LogWriter, open_log},
    process::{Process, bind, private_dir},
    record_log::{Kind, Limits},
    shutdown,
    suspicions::Suspicions,
    tls::{self, Port, ServerTls, Tls},
    trust::{Ground, Trusted},
};
use tokio::sync::mpsc;
use tracing::info;

use crate::{
    daemon::{Daemon, Sources},
    enrol,
    spool::Spool,
};

/// A spool record holds one return batch at most: [`relay_core::fold::FlushRule::bytes`] and one more 1 MiB body.
const MAX_RECORD: u32 = 8 << 20;
/// The file may hold this many times what may be unacknowledged: between compactions the acknowledged stay in it.
const FILE_FACTOR: u64 = 4;
/// Reports of the spool's thread waiting for the loop.
const REPORT_QUEUE: usize = 4_096;

/// Runs a syndic until a signal comes.
///
/// # Errors
/// What could not be put together, before anything started; or the death of a vital task.
pub async fn serve(config: SyndicConfig) -> anyhow::Result<()> {
    let unready = "not attached to any parent";
    let process =
        Process::begin("syndic", config.id.as_str(), &config.log, Some(config.admin), unready).await?;
    let listener = bind("listen", config.listen).await?;
    private_dir(&config.state_dir)
        .with_context(|| format!("{}: cannot be used", config.state_dir.display()))?;
    let own = Arc::new(config.identity()?);
    let newcomer = enrol::join(&config, &own, &process).await?;
    if process.shutdown.token.is_cancelled() {
        return process.until_stopped().await.map_err(anyhow::Error::msg);
    }
    let loaded = identity::load(&config.tls, &config.fabric)?;
    let ground = Ground::Roots(loaded.roots.clone());
    let (trusted, keeping) = Trusted::open(&config.state_dir, &config.fabric, &ground)?;
    let tls = Tls::new(loaded, trusted)?;
    enrol::stay(newcomer, &tls, &process);

    let limits = spool_limits(config.spool_max_bytes);
    let spool = open_log(&config.state_dir.join("spool"), Kind::Spool, limits, records::spool_in)?;
    let (incarnation, remembered) = (spool.incarnation, spool.records.len());
    let rule = rule(&config);
    let relay = Relay::recover(rule, process.clock.now(), spool.records);
    let (report, reports) = mpsc::channel(REPORT_QUEUE);
    let writer = LogWriter::start("spool", vec![spool.log], report)?;

    let (suspicions, writing) = Suspicions::open(&config.state_dir, Witness::Sender)?;
    let writing = writing.run(process.shutdown.token.clone());
    process.shutdown.spawn_named("suspicions", shutdown::Role::Passing, writing);

    let (events, children) = mpsc::channel(EVENT_QUEUE);
    let ids = LinkIds::default();
    let (token, tasks) = (process.shutdown.token.clone(), process.shutdown.tasks.clone());
    process.shutdown.spawn_named("trust", shutdown::Role::Passing, keeping.run(token.clone()));
    if config.enrol.is_none() {
        let files = tls::follow_files(tls.clone(), config.tls.clone(), token.clone());
        process.shutdown.spawn_named("certificate", shutdown::Role::Passing, files);
    }
    let acceptor = Acceptor {
        tls: ServerTls::Current(tls.clone(), Port::Minions),
        fabric: config.fabric.clone(),
        token: token.clone(),
        tasks: tasks.clone(),
    };
    let links = LinkService {
        own: own.clone(),
        admit,
        ids: ids.clone(),
        events: Serving::always(events),
        tasks,
        window: LinkLimits::MINION.window,
    };
    let gate = enrol::gate(&config, &own, links, &tls, &process);
    process.shutdown.spawn_named("acceptor", shutdown::Role::Vital, acceptor.run(listener, gate));

    let (events, parents) = mpsc::channel(EVENT_QUEUE);
    let dialler = Dialler {
        parents: config.parents.clone(),
        fabric: config.fabric.clone(),
        tls: tls.clone().into(),
        incarnation,
        minion: false,
        limits: LinkLimits::SYNDIC,
        ids,
        events,
        token,
    };
    process.shutdown.spawn_named("dialler", shutdown::Role::Vital, dialler.run());
    info!(listen = %config.listen, spool = %incarnation, remembered, "serving");
    let daemon = Daemon::new(relay, Spool::new(writer), PassedOn::new(tls.trusted().clone()), suspicions);
    daemon.run(Sources { children, parents, reports }, &process).await;
    process.after_loop().await.map_err(anyhow::Error::msg)
}

fn spool_limits(max_bytes: u64) -> Limits {
    let max_file_bytes = (FILE_FACTOR * max_bytes).max(u64::from(MAX_RECORD) * 2);
    Limits { max_record_bytes: MAX_RECORD, max_file_bytes }
}

fn rule(config: &SyndicConfig) -> RelayRule {
    let millis = |d: Duration| d.as_millis() as u64;
    let config::HeartbeatConfig { interval, dead_after } = config.heartbeat;
    let heartbeat = HeartbeatRule { interval: millis(interval), dead_after: millis(dead_after) };
    RelayRule {
        // One link, to the top master that owns the fabric: the other parents are where it may be next.
        parents: 1,
        flush: FlushRule {
            count: config.flush.count.into(),
            bytes: config.flush.bytes as usize,
            age: millis(config.flush.age),
        },
        heartbeat,
        uplink: RelayRule::uplink_of(heartbeat),
        spool_max_bytes: usize::try_from(config.spool_max_bytes).unwrap_or(usize::MAX),
    }
}

/// Minions and syndics of this syndic's own region may attach; nobody else.
fn admit(own: &Identity, peer: &Identity) -> Result<LinkLimits, String> {
    if peer.region() != own.region() {
        return Err(format!("{peer} is of region {}, this syndic serves {}", peer.region(), own.region()));
    }
    match peer.role() {
        Role::Minion => Ok(LinkLimits::MINION),
        Role::Syndic if peer.id() != own.id() => Ok(LinkLimits::SYNDIC),
        _ => Err(format!("{peer}: only minions and other syndics attach to a syndic")),
    }
}
