//! A top master without network and process: its loop's parts around a real store, for tests of what operators are told.

use std::sync::Arc;

use relay_core::{
    ids::{Epoch, Incarnation},
    inventory::{Inventory, Record},
    owner::{OwnerRule, Write},
    seat::HeartbeatRule,
    signing::{JobSigner, KeyId, NoKey, Signature, Span},
};
use relay_runtime::{
    config::{self, FollowConfig},
    registry::Embedded,
    store::{SqliteStore, Store},
    trust::Trusted,
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    access::{Access, Policies},
    operator::{Defaults, OperatorService, REQUEST_QUEUE, Reach},
    streams::Streams,
    topology::{self, Topologies},
};

/// Everybody may do everything.
const OPEN: &str = "{version: 1, allow: {any: {'*': ['*', '@jobs', '@runner', '@wheel']}}}";

/// What a top master is configured with beside its limits.
#[derive(Default)]
pub(crate) struct Setting {
    /// A followed repository.
    pub(crate) follow: Option<FollowConfig>,
    /// The configured topology.
    pub(crate) topology: Option<std::path::PathBuf>,
    /// Who is attached: the only minions that are up.
    pub(crate) up: Vec<&'static str>,
    /// Who may do what. Default: everybody everything.
    pub(crate) policy: Option<&'static str>,
    /// The time by which topologies are staged. Default: the real one.
    pub(crate) now: Option<topology::Now>,
}

/// Nobody verifies what it signs.
#[derive(Debug)]
struct Signer;

impl JobSigner for Signer {
    fn sign(&self, _: &[u8], _: Span) -> Result<Signature, NoKey> {
        Ok(Signature { key: KeyId([0; 8]), bytes: [0; 64] })
    }
}

/// A running top master. Nobody is attached to it: jobs stay open until they are cancelled.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) service: OperatorService,
    /// What was written into the audit log.
    pub(crate) reported: crate::audit::Reported,
    daemon: tokio::task::JoinHandle<()>,
    topologies: tokio::task::JoinHandle<()>,
}

fn record(no: u32, id: &str) -> Record {
    let region = id.split('-').next().unwrap();
    Record {
        no,
        id: id.parse().unwrap(),
        region: region.parse().unwrap(),
        syndic: format!("{region}-1").parse().unwrap(),
        incarnation: Incarnation(u64::from(no) + 1),
        incarnation_seq: 1,
        up: false,
        since: 0,
        grains: "{}".into(),
    }
}

impl Bench {
    /// A new one that knows these minions; `aws-x` is in region aws, behind syndic aws-1.
    pub(crate) async fn new(ids: &[&str], defaults: Defaults) -> Bench {
        Bench::start(tempfile::tempdir().unwrap(), ids, defaults, Setting::default()).await
    }

    /// One with more settings.
    pub(crate) async fn with(
        directory: TempDir,
        ids: &[&str],
        defaults: Defaults,
        setting: Setting,
    ) -> Bench {
        Bench::start(directory, ids, defaults, setting).await
    }

    /// The same store under a new top master, which knows these minions.
    pub(crate) async fn restart(self, ids: &[&str]) -> Bench {
        let defaults = Defaults::clone(&self.service.defaults.borrow());
        Bench::start(self.stop().await, ids, defaults, Setting::default()).await
    }

    /// The same, by this policy.
    pub(crate) async fn restart_with(self, policy: &'static str, ids: &[&str]) -> Bench {
        let defaults = Defaults::clone(&self.service.defaults.borrow());
        let setting = Setting { policy: Some(policy), ..Setting::default() };
        Bench::start(self.stop().await, ids, defaults, setting).await
    }

    /// Ends it as a kill does; what is durable is in the directory.
    pub(crate) async fn stop(self) -> TempDir {
        for task in [self.topologies, self.daemon] {
            task.abort();
            let _ = task.await;
        }
        self.service.store.close().await;
        self.directory
    }

    async fn start(directory: TempDir, ids: &[&str], defaults: Defaults, setting: Setting) -> Bench {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&directory.path().join("store")).unwrap());
        let recovered = store.begin().await.unwrap();
        let mut inventory = Inventory::new();
        let records: Vec<Record> = (0..).zip(ids).map(|(no, id)| record(no, id)).collect();
        for record in records.clone() {
            inventory.restore(record).unwrap();
        }
        let up = (0..).zip(ids).filter(|(_, id)| setting.up.contains(id)).map(|(no, _)| no).collect();
        inventory.set_up(&up, true, 0);
        let file =
            setting.topology.as_ref().map(|file| (file.as_path(), config::load_topology(file).unwrap()));
        let file = file.as_ref().map(|(path, topology)| (*path, topology));
        let boot = topology::boot::boot(&*store, file).await.unwrap();
        store.commit(0, vec![Write::Minions(records)]).await.unwrap();
        let batches = boot.effective.as_ref().map_or(defaults.batches.clone(), |e| e.batches());
        let rule = OwnerRule { batches, ..rule(recovered.epoch) };
        let owner = Owner::recover(rule, 0, wall(), inventory, recovered.jobs);
        let mut daemon = daemon(owner, store.clone());
        let directory_of_names = daemon.directory.clone();
        if boot.effective.is_some() {
            daemon.effective(boot.effective.clone());
        }
        let (asks, asked) = mpsc::channel(REQUEST_QUEUE);
        let (audit, reported) = crate::audit::Audit::double();
        let parts = topology::Parts {
            store: store.clone(),
            asks: asks.clone(),
            registry: Arc::new(Embedded::new(Arc::new(|| 0))),
            own: "top-1".parse().unwrap(),
            fabric: "test.example".parse().unwrap(),
            limits: defaults,
            follow: setting.follow,
            state_dir: directory.path().into(),
            audit: audit.clone(),
            now: setting.now.unwrap_or_else(|| {
                let clock = Clock::start();
                Arc::new(move || clock.now())
            }),
        };
        let (topology, topologies) = Topologies::new(parts, boot);
        let service = OperatorService {
            asks,
            store,
            directory: directory_of_names,
            defaults: topology.defaults(),
            schedules_changed: Arc::default(),
            reach: Reach::always(),
            topology,
            access: Access::new(Policies::of_text(setting.policy.unwrap_or(OPEN)), audit),
            streams: Streams::new(TaskTracker::new(), CancellationToken::new()),
        };
        let daemon = tokio::spawn(daemon.drive(asked));
        let topologies = tokio::spawn(topologies.run(CancellationToken::new()));
        Bench { directory, service, reported, daemon, topologies }
    }
}

/// An owner's rule, where everything is as usual.
pub(crate) fn rule(epoch: Epoch) -> OwnerRule {
    OwnerRule {
        fabric: "test.example".into(),
        epoch,
        heartbeat: HeartbeatRule { interval: 1_000, dead_after: 3_000 },
        seal: Arc::new(relay_proto::envelope::Sealer(Arc::new(Signer))),
        batches: Default::default(),
        commits: Default::default(),
    }
}

/// A top master's loop around an owner, that nobody follows.
pub(crate) fn daemon(owner: Owner, store: Arc<dyn Store>) -> Daemon {
    let (registered, _) = watch::channel(Syndics::new());
    let nobody = Trusted::of_roots("acme.example".parse().unwrap(), &[]).unwrap();
    let trust = PassedOn::new(nobody);
    let standings = Standings { registered, lead: watch::channel(Lead::default()).1, trust };
    let (fabric, id) = ("test.example".into(), "top-1".parse().unwrap());
    Daemon::new(fabric, id, owner, Commits::new(store), Directory::default(), standings)
}

impl Daemon {
    /// The loop without links, clock and process. Time stands still, so no deadline ever comes.
    async fn drive(mut self, mut asked: mpsc::Receiver<Ask>) {
        loop {
            tokio::select! {
                done = self.commits.next() => drop(self.committed(0, done)),
                ask = asked.recv() => match ask {
                    Some(ask) => self.ask(0, ask),
                    None => return,
                },
            }
            self.owner.end_turn(0, wall());
            self.perform();
        }
    }
}
