//! A top master process: configuration in, parts built, ports bound; then standby and owner in turns until it is stopped.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use relay_core::{identity::Identity, message::Up};
use relay_proto::{Code, trust::enrol_server::EnrolServer};
use relay_runtime::{
    config::{RegistryKind, TopMasterConfig},
    enrol::gate::Gate,
    link::{
        LinkEvent, LinkIds, LinkLimits, LinkService, SOFTWARE, Server, Serving,
        accept::{self, Acceptor, CallService},
    },
    process::{Process, bind, private_dir},
    registry::{Embedded, Etcd, SharedRegistry},
    shutdown,
    tls::{self, Port, ServerTls, Tls},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    access::{
        Policies,
        surface::{self, ATTACH, Asked, Door},
    },
    enrol::EnrolService,
    front::{self, Front},
    operator::Reach,
    owning::{ENDED_QUEUE, Keeper, Lead},
    register::{Presence, Syndics},
    term::{Ended, House, open_store},
    trust,
};

/// Runs a top master until a signal comes.
///
/// # Errors
/// What could not be put together, before anything started; or the death of a vital task.
pub async fn serve(config: TopMasterConfig) -> anyhow::Result<()> {
    let process =
        Process::begin("top-master", config.id.as_str(), &config.log, Some(config.admin), "starting").await?;
    if let Some(missing) = crate::login::missing(&config.login) {
        anyhow::bail!(missing);
    }
    let listener = bind("listen", config.listen).await?;
    let operators = bind("operators", config.operators).await?;
    private_dir(&config.state_dir)
        .with_context(|| format!("{}: cannot be used", config.state_dir.display()))?;
    let policies = Policies::load(&config.policy)?;
    let (trust, keeping) = trust::open(&config)?;
    // What is wrong with the store is told now, and not when it is needed.
    open_store(&config).await?.close().await;
    let registry = registry(&config, &process).await?;

    let (lead, leading) = watch::channel(Lead::default());
    let (registered, syndics) = watch::channel(Syndics::new());
    let (ended, ends) = mpsc::channel(ENDED_QUEUE);
    let own = (config.id.clone(), presence(&config));
    let keeper = Keeper::new(registry.shared.clone(), process.clock, own, syndics, ends, lead)?;
    let token = process.shutdown.token.clone();
    let stopping = registry.token.clone();
    process.shutdown.spawn_named("registrar", shutdown::Role::Vital, async move {
        keeper.run(token).await;
        stopping.cancel();
    });

    let token = process.shutdown.token.clone();
    process.shutdown.spawn_named("trust kept", shutdown::Role::Passing, keeping.run(token.clone()));
    let files = tls::follow_files(trust.tls().clone(), config.tls.clone(), token.clone());
    process.shutdown.spawn_named("certificate", shutdown::Role::Passing, files);
    process.shutdown.spawn_named("trust", shutdown::Role::Vital, trust.clone().run(token));
    process.shutdown.spawn_named(
        "policy",
        shutdown::Role::Vital,
        policies.clone().follow(process.shutdown.token.clone()),
    );

    let reach = match config.registry {
        RegistryKind::Embedded => Reach::always(),
        RegistryKind::Etcd(_) => Reach::of(leading.clone(), process.clock),
    };
    let ((links, taking), (calls, answering)) = (watch::channel(nobody()), watch::channel(nobody()));
    let (enrol, joining) = watch::channel(nobody());
    info!(listen = %config.listen, operators = %config.operators, "serving");
    let house = House {
        clock: process.clock,
        health: process.health.clone(),
        ready: process.ready.clone(),
        lead: leading,
        reach,
        registered,
        registry: registry.shared.clone(),
        policies: policies.clone(),
        trust: trust.clone(),
        links,
        calls,
        enrol,
        config,
    };
    accept(&house.config, &process, trust.tls(), (listener, taking), joining, (operators, answering))?;
    let alone = house.config.registry == RegistryKind::Embedded;
    let ended = take_turns(&house, &process.shutdown.token, ended, alone).await;
    process.shutdown.token.cancel();
    let stopped = process.until_stopped().await.map_err(anyhow::Error::msg);
    ended.and(stopped)
}

/// Before anything is known.
fn nobody<T>() -> Serving<T> {
    Serving::Nobody(Code::NotOwner, "this top master is starting".into())
}

/// Stands by and owns in turns, until stopped. With a registry of its own (`alone`) there is nobody to give way to.
///
/// # Errors
/// A term could not begin and nobody else can begin one, or a vital task of it died.
async fn take_turns(
    house: &House,
    token: &CancellationToken,
    ended: mpsc::Sender<()>,
    alone: bool,
) -> anyhow::Result<()> {
    loop {
        if !stand_by(house, token).await {
            return Ok(());
        }
        match one_term(house, token.child_token()).await {
            Ended::Told => continue,
            Ended::Fenced if alone => {
                error!("another top master has taken the store over: this one stops");
                return Ok(());
            }
            Ended::Fenced => error!("another top master has taken the store over"),
            Ended::CutOff => error!(
                "neither the registry nor the store answers: stepping down, so that syndics look for a top master that can go on"
            ),
            Ended::Failed(error) if alone => return Err(error),
            Ended::Failed(error) => {
                error!(error = format!("{error:#}"), "cannot own the fabric; others may try")
            }
            Ended::Died(died) => anyhow::bail!("stopped by the death of a task: {died}"),
        }
        house.close();
        let _ = ended.send(()).await;
        let mut lead = house.lead.clone();
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            _ = house.beating(lead.wait_for(|lead| !lead.owns)) => {}
        }
    }
}

/// Until it is our turn. False: we are to stop.
async fn stand_by(house: &House, token: &CancellationToken) -> bool {
    let mut lead = house.lead.clone();
    let mut said = None;
    loop {
        let now = lead.borrow_and_update().clone();
        if token.is_cancelled() {
            return false;
        }
        if now.owns {
            return true;
        }
        let owner = now.owner.clone().map(|id| id.to_string()).unwrap_or_default();
        if said.as_ref() != Some(&owner) {
            info!(owner, "standing by");
            said = Some(owner);
        }
        house.close();
        tokio::select! {
            () = token.cancelled() => return false,
            changed = house.beating(lead.changed()) => if changed.is_err() { return false },
        }
    }
}

/// A term; it ends when somebody else leads, too.
async fn one_term(house: &House, token: CancellationToken) -> Ended {
    let mut lead = house.lead.clone();
    let replaced = async {
        if lead.wait_for(|lead| !lead.owns).await.is_ok() {
            token.cancel();
        }
        std::future::pending::<Ended>().await
    };
    tokio::select! {
        ended = house.term(token.clone()) => ended,
        never = replaced => never,
    }
}

/// The registry, and what ends it: it must still be there when this top master takes its leave of it.
struct Registered {
    shared: SharedRegistry,
    token: CancellationToken,
}

async fn registry(config: &TopMasterConfig, process: &Process) -> anyhow::Result<Registered> {
    let token = CancellationToken::new();
    let (clock, until) = (process.clock, token.clone());
    let shared: SharedRegistry =
        match &config.registry {
            RegistryKind::Embedded => {
                let embedded = Embedded::new(Arc::new(move || clock.now()));
                let leases = embedded.clone();
                process
                    .shutdown
                    .spawn_named("leases", shutdown::Role::Vital, async move { leases.run(until).await });
                Arc::new(embedded)
            }
            RegistryKind::Etcd(etcd) => {
                let etcd = Etcd::connect_remembering(etcd, &config.state_dir)?;
                let follower = etcd.clone();
                process
                    .shutdown
                    .spawn_named("registry", shutdown::Role::Vital, async move { follower.run(until).await });
                Arc::new(etcd)
            }
        };
    Ok(Registered { shared, token })
}

/// What others are told of us. An address that is every address of this machine is no address to others: then the topology
/// knows our name.
fn presence(config: &TopMasterConfig) -> Presence {
    let named = config.topology.as_ref().and_then(|t| t.top_masters.iter().find(|top| top.id == config.id));
    let address = |bound: SocketAddr| match named.filter(|_| bound.ip().is_unspecified()) {
        Some(top) => format!("{}:{}", top.address.host(), bound.port()),
        None => bound.to_string(),
    };
    Presence {
        listen: address(config.listen),
        operators: address(config.operators),
        version: SOFTWARE.into(),
        leaving: false,
    }
}

/// Opens the doors. Who answers there is the house's affair.
fn accept(
    config: &TopMasterConfig,
    process: &Process,
    own: &Tls,
    (listener, links): (TcpListener, Server<mpsc::Sender<LinkEvent<Up>>>),
    enrol: Server<EnrolServer<EnrolService>>,
    (operators, calls): (TcpListener, Server<Front>),
) -> anyhow::Result<()> {
    let tasks = process.shutdown.tasks.clone();
    let acceptor = Acceptor {
        tls: ServerTls::Current(own.clone(), Port::Open),
        fabric: config.fabric.clone(),
        token: process.shutdown.token.clone(),
        tasks: tasks.clone(),
    };
    let service = LinkService {
        own: Arc::new(config.identity()?),
        admit,
        ids: LinkIds::default(),
        events: links,
        tasks,
        window: LinkLimits::SYNDIC.window,
    };
    // Newcomers have no certificate yet, and may ask for one.
    let gate = Gate::new(service, enrol);
    process.shutdown.spawn_named("acceptor", shutdown::Role::Vital, acceptor.clone().run(listener, gate));
    let calls = CallService { inner: calls, admit: front::admit, strangers: accept::guests() };
    // Who shows no certificate may have a token.
    process.shutdown.spawn_named("operators", shutdown::Role::Vital, acceptor.run(operators, calls));
    Ok(())
}

/// Syndics attach to a top master, and nobody else.
fn admit(_: &Identity, peer: &Identity) -> Result<LinkLimits, String> {
    match surface::at(Door::Links, ATTACH) {
        Some(Asked::Peer(roles)) if roles.contains(&peer.role()) => Ok(LinkLimits::SYNDIC),
        _ => Err(format!("{peer}: only syndics attach to a top master")),
    }
}
