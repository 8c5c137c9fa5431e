//! One term of ownership: from taking the store over to stepping down.
//!
//! Everything that only the owner does lives and ends in here: the loop, the scheduler, pruning. Nothing of a term is left in
//! memory after it; what counts is in the store, where the next owner finds it. When a term begins and must end is
//! [`crate::owning`]'s.

use std::{sync::Arc, time::Duration};

use relay_core::{
    audit::{Event, Kind},
    ids::Epoch,
    inventory::Inventory,
    message::Up,
    owner::{CommitRule, Owner, OwnerRule},
    seat::HeartbeatRule,
};
use relay_proto::{
    Code,
    access::{access_server::AccessServer, approvals_server::ApprovalsServer, rules_server::RulesServer},
    audit::audit_server::AuditServer,
    envelope,
    operator::operator_server::OperatorServer,
    trust::{enrol_server::EnrolServer, members_server::MembersServer},
};
use relay_runtime::{
    admin::{Health, Readiness},
    checkpoint::CheckpointKey,
    clock::{Clock, wall},
    config::{self, StoreKind, TopMasterConfig},
    enrol::MAX_REQUEST,
    link::{EVENT_QUEUE, LinkEvent, SOFTWARE, Serving, trust::PassedOn},
    registry::SharedRegistry,
    shutdown::{Role, Shutdown},
    store::{PostgresStore, Recovered, SqliteStore, Store, StoreError, maintenance::SQLITE_FILE},
    telemetry,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    access::{self, Access, Policies, approvals::ApprovalsService, rules::RulesService},
    audit::{self, Audit, outputs, service::AuditService},
    commits::Commits,
    daemon::{Daemon, End, Sources, Standings},
    directory::Directory,
    enrol::{self, Desk, EnrolService, Issuers, MembersService},
    front::{Front, Services},
    login::{self, AccessService, Logins},
    operator::{Ask, Defaults, OperatorService, REQUEST_QUEUE, Reach},
    owning::Lead,
    register::Syndics,
    schedule,
    streams::Streams,
    topology::{
        self, Effective, Topologies,
        boot::{Boot, boot},
    },
    trust::{Book, Trust},
};

/// Old jobs are looked for this often.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);
/// How often an owner that has lost the registry asks the store whether it still is the owner: nobody else would tell it.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// An owner that has heard neither from the registry nor from the store for so long steps down. It can't make anything durable,
/// and can't know whether another one owns the fabric by now: its links would hold the syndics off from that one. Longer than
/// a restart of both takes on one machine.
const CUT_OFF: Duration = Duration::from_secs(10);
/// The process is shown to be alive this often where its loop does not run.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long the end of a term may take. What is durable needs none of it.
const END_TIME: Duration = Duration::from_secs(5);

/// What stays over all terms of a process.
pub struct House {
    /// What it was told.
    pub config: TopMasterConfig,
    /// The process's clock.
    pub clock: Clock,
    /// Beaten by whoever is the main loop.
    pub health: Health,
    /// Ready is who owns the fabric.
    pub ready: Readiness,
    /// How this top master stands.
    pub lead: watch::Receiver<Lead>,
    /// Whether new jobs are taken.
    pub reach: Reach,
    /// Tells the registry who is attached.
    pub registered: watch::Sender<Syndics>,
    /// Who is there, and which topology is active.
    pub registry: SharedRegistry,
    /// Issuers, keys, and what is believed.
    pub trust: Trust,
    /// Who may do what.
    pub policies: Policies,
    /// Who takes links.
    pub links: watch::Sender<Serving<mpsc::Sender<LinkEvent<Up>>>>,
    /// Who answers operators.
    pub calls: watch::Sender<Serving<Front>>,
    /// Who answers newcomers, and members that renew.
    pub enrol: watch::Sender<Serving<EnrolServer<EnrolService>>>,
}

/// What a term begins with.
struct Begun {
    store: Arc<dyn Store>,
    recovered: Recovered,
    boot: Boot,
    books: Books,
}

/// What is kept in the store beside jobs, opened for this term.
struct Books {
    logins: Logins,
    audit: Audit,
    writer: audit::Writer,
    book: Book,
    desk: Desk,
}

/// How a term ended.
#[derive(Debug)]
pub enum Ended {
    /// It was told to end.
    Told,
    /// Another top master has taken the store over.
    Fenced,
    /// Neither the registry nor the store answers: another one may own the fabric by now.
    CutOff,
    /// It could not begin.
    Failed(anyhow::Error),
    /// A task that it needs has died.
    Died(String),
}

impl House {
    /// Runs one term, until its token is cancelled or it ends by itself.
    pub async fn term(&self, token: CancellationToken) -> Ended {
        let begun = self.beating(self.begin());
        let Begun { store, recovered, boot, books } = tokio::select! {
            () = token.cancelled() => return Ended::Told,
            begun = begun => match begun {
                Ok(begun) => begun,
                Err(error) => return Ended::Failed(error),
            },
        };
        let epoch = recovered.epoch;
        let ended = match self.owner(recovered, &boot) {
            Ok(owner) => self.serve(owner, store.clone(), boot, books, token).await,
            Err(error) => Ended::Failed(error),
        };
        metrics::gauge!(telemetry::OWNER).set(0.0);
        self.registered.send_replace(Syndics::new());
        if self.beating(timeout(END_TIME, store.close())).await.is_err() {
            warn!("the store could not be closed in time; what is durable needs no closing");
        }
        info!(epoch = epoch.0, ?ended, "stepped down");
        ended
    }

    /// Shows that the process is alive while something takes its time.
    pub async fn beating<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            self.health.beat(self.clock.now());
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(BEAT_EVERY) => {}
            }
        }
    }

    /// Turns links and calls away from now on.
    pub fn close(&self) {
        let why = self.lead.borrow().refusal(&self.config.id);
        self.ready.not_ready(why.clone());
        self.links.send_replace(Serving::Nobody(Code::NotOwner, why.as_str().into()));
        self.enrol.send_replace(Serving::Nobody(Code::NotOwner, why.as_str().into()));
        self.calls.send_replace(Serving::Nobody(Code::NotOwner, why.into()));
    }

    async fn begin(&self) -> anyhow::Result<Begun> {
        // Opened anew for each term: a newer top master may have brought it up to date meanwhile.
        let store = open_store(&self.config).await?;
        let recovered = store.begin().await?;
        let file = self.config.topology_file.as_deref().zip(self.config.topology.as_ref());
        let boot = boot(&*store, file).await?;
        let (audit, writer) = Audit::open(self.audit_parts(store.clone(), recovered.epoch)?).await?;
        let logins = Logins::restore(&self.config.login, store.clone(), self.clock, audit.clone()).await?;
        // Before a job can be signed, and before a syndic attaches.
        let book = Book::begin(self.trust.clone(), store.clone(), audit.clone()).await?;
        let desk = Desk::open(self.enrolment(store.clone(), audit.clone(), book.clone())).await?;
        Ok(Begun { store, recovered, boot, books: Books { logins, audit, writer, book, desk } })
    }

    fn enrolment(&self, store: Arc<dyn Store>, audit: Audit, book: Book) -> enrol::Parts {
        let life = self.config.certificate_life;
        let authority: Arc<dyn enrol::Authority> =
            Arc::new(Issuers { trust: self.trust.clone(), book, life });
        enrol::Parts { fabric: self.config.fabric.clone(), store, authority, audit, clock: self.clock }
    }

    fn audit_parts(&self, store: Arc<dyn Store>, epoch: Epoch) -> anyhow::Result<audit::Parts> {
        let (fabric, own) = (self.config.fabric.clone(), self.config.id.clone());
        let directory = self.config.state_dir.join(audit::DIRECTORY);
        let key = CheckpointKey::open(&directory, &audit::key_name(&fabric, &own))?;
        Ok(audit::Parts { store, key: Arc::new(key), directory, fabric, epoch })
    }

    fn owner(&self, recovered: Recovered, boot: &Boot) -> anyhow::Result<Owner> {
        let mut inventory = Inventory::new();
        for record in recovered.minions {
            if let Some(refused) = inventory.restore(record)? {
                warn!(why = %refused, "stored grains refused");
            }
        }
        // Nobody is attached yet.
        let everybody = inventory.all().clone();
        inventory.set_up(&everybody, false, wall());
        let now = self.clock.now();
        info!(
            minions = everybody.len(),
            open_jobs = recovered.jobs.len(),
            epoch = recovered.epoch.0,
            after_ms = now.saturating_sub(self.lead.borrow().vacant_since),
            "took over"
        );
        let config::HeartbeatConfig { interval, dead_after } = self.config.heartbeat;
        let millis = |d: Duration| d.as_millis() as u64;
        let rule = OwnerRule {
            fabric: self.config.fabric.to_string(),
            epoch: recovered.epoch,
            heartbeat: HeartbeatRule { interval: millis(interval), dead_after: millis(dead_after) },
            seal: Arc::new(envelope::Sealer(Arc::new(self.trust.signing().clone()))),
            batches: boot.effective.as_ref().map(Effective::batches).unwrap_or_default(),
            commits: CommitRule::default(),
        };
        Ok(Owner::recover(rule, now, wall(), inventory, recovered.jobs))
    }

    async fn serve(
        &self,
        owner: Owner,
        store: Arc<dyn Store>,
        boot: Boot,
        Books { logins, audit, writer, book, desk }: Books,
        token: CancellationToken,
    ) -> Ended {
        // Its tasks are the term's: they end with it, and the death of one ends it.
        let tasks = Shutdown::with_token(token.clone());
        tasks.spawn_named("trust", Role::Vital, book.clone().run(token.clone()));
        tasks.spawn_named("audit", Role::Vital, writer.run(token.clone()));
        let outputs = self.audit_outputs(store.clone(), &audit);
        let outputs = outputs::run(self.config.audit.clone(), outputs, token.clone());
        tasks.spawn_named("audit outputs", Role::Vital, outputs);
        let takeover = Event::new(Kind::Takeover, self.config.id.as_str(), "self").about(owner.epoch().0);
        audit.note(takeover.with("software", SOFTWARE));
        let directory = Directory::default();
        let (events, links) = mpsc::channel(EVENT_QUEUE);
        let (asks_tx, asks) = mpsc::channel(REQUEST_QUEUE);
        let effective = boot.effective.clone();
        let (topology, topologies) = self.topologies(store.clone(), asks_tx.clone(), audit.clone(), boot);
        let streams = Streams::new(tasks.tasks.clone(), token.clone());
        let service = OperatorService {
            asks: asks_tx,
            store: store.clone(),
            directory: directory.clone(),
            defaults: topology.defaults(),
            schedules_changed: Arc::default(),
            reach: self.reach.clone(),
            topology,
            access: Access::new(self.policies.clone(), audit.clone()),
            streams: streams.clone(),
        };
        let schedules = schedule::run(service.clone(), token.clone());
        tasks.spawn_named("schedules", Role::Vital, schedules);
        tasks.spawn_named("topologies", Role::Vital, topologies.run(token.clone()));
        let pruning = prune(store.clone(), self.config.keep_jobs_hours, token.clone());
        tasks.spawn_named("prune", Role::Vital, pruning);
        tasks.spawn_named("policy", Role::Vital, access::tell(service.access.clone(), token.clone()));
        tasks.spawn_named("logins", Role::Vital, logins.clone().run(token.clone()));
        tasks.spawn_named("enrolment", Role::Vital, desk.clone().run(token.clone()));
        let standings = Standings {
            registered: self.registered.clone(),
            lead: self.lead.clone(),
            trust: PassedOn::new(self.trust.trusted().clone()),
        };
        let (config, commits) = (&self.config, Commits::new(store.clone()).reporting(audit.clone()));
        let (fabric, id) = (config.fabric.to_string(), config.id.clone());
        let mut daemon = Daemon::new(fabric, id, owner, commits, directory, standings);
        daemon.effective(effective);
        daemon.audited(audit.clone());
        let sources = Sources { links, asks, token: token.clone() };
        self.links.send_replace(Serving::By(events, token.clone()));
        let opening = AccessServer::new(AccessService::new(logins.clone()));
        let access = service.access.clone();
        let services = Services::default()
            .with(ApprovalsServer::new(ApprovalsService { operator: service.clone() }))
            .with(AuditServer::new(AuditService::new(
                audit.clone(),
                store.clone(),
                service.access.clone(),
                streams.clone(),
            )))
            .with(RulesServer::new(RulesService { access: service.access.clone() }))
            .with(MembersServer::new(MembersService::new(desk.clone(), service.access.clone(), streams)))
            .with(OperatorServer::new(service))
            .with(opening.max_decoding_message_size(login::MAX_MESSAGE));
        let enrol = EnrolServer::new(EnrolService::new(desk)).max_decoding_message_size(MAX_REQUEST);
        self.enrol.send_replace(Serving::By(enrol, token.clone()));
        self.calls.send_replace(Serving::By(Front::new(logins, services, access), token.clone()));
        self.ready.ready();
        metrics::gauge!(telemetry::OWNER).set(1.0);
        let end = tokio::select! {
            end = daemon.run(sources, self.clock, &self.health) => end,
            end = self.doubted(&*store) => end,
        };
        // Before links are cut: who comes back at once is told where to go.
        self.close();
        let finished = self.beating(tasks.finish(END_TIME)).await;
        match (end, finished.died) {
            (_, Some(died)) => Ended::Died(died),
            (End::Fenced, None) => Ended::Fenced,
            (End::CutOff, None) => Ended::CutOff,
            (End::Stopped, None) => Ended::Told,
        }
    }

    fn audit_outputs(&self, store: Arc<dyn Store>, audit: &Audit) -> outputs::Source {
        let directory = self.config.state_dir.join(audit::DIRECTORY);
        outputs::Source { store, audit: audit.clone(), directory, host: self.config.id.to_string() }
    }

    fn topologies(
        &self,
        store: Arc<dyn Store>,
        asks: mpsc::Sender<Ask>,
        audit: Audit,
        boot: Boot,
    ) -> (Topologies, topology::Running) {
        let (config, clock) = (&self.config, self.clock);
        let parts = topology::Parts {
            store,
            asks,
            registry: self.registry.clone(),
            own: config.id.clone(),
            fabric: config.fabric.clone(),
            limits: limits(config),
            follow: config.follow.clone(),
            state_dir: config.state_dir.clone(),
            audit,
            now: Arc::new(move || clock.now()),
        };
        Topologies::new(parts, boot)
    }

    /// Ends when the store says that another owner has begun, or when it says nothing for too long; it is asked only while the
    /// registry says nothing.
    async fn doubted(&self, store: &dyn Store) -> End {
        let mut answered = Instant::now();
        loop {
            tokio::time::sleep(PROBE_EVERY).await;
            if self.lead.borrow().certain_until > self.clock.now() {
                answered = Instant::now();
                continue;
            }
            // A write that changes nothing: no schedule has an empty name.
            match timeout_at(answered + CUT_OFF, store.remove_schedule("")).await {
                Ok(Ok(_)) => answered = Instant::now(),
                Ok(Err(StoreError::Fenced)) => return End::Fenced,
                Ok(Err(_)) if answered.elapsed() < CUT_OFF => {}
                Ok(Err(_)) | Err(_) => return End::CutOff,
            }
        }
    }
}

/// Opens the store.
///
/// # Errors
/// It is not there, not ours, or of a newer version.
pub async fn open_store(config: &TopMasterConfig) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match &config.store {
        StoreKind::Sqlite => Arc::new(SqliteStore::open(&config.state_dir.join(SQLITE_FILE))?),
        StoreKind::Postgres(database) => Arc::new(PostgresStore::open(database).await?),
    })
}

/// What requests leave open. Names and batches are the topology's.
fn limits(config: &TopMasterConfig) -> Defaults {
    let millis = |d: Duration| d.as_millis() as u64;
    Defaults {
        delivery: millis(config.delivery_timeout),
        run: millis(config.run_timeout),
        ..Defaults::default()
    }
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
