//! A top master without network and process: its loop's parts around a real store, for tests of what operators are told.

use std::sync::Arc;

use relay_core::{
    ids::Incarnation,
    inventory::{Inventory, Record},
    owner::{OwnerRule, Write},
    seat::HeartbeatRule,
};
use relay_runtime::store::{SqliteStore, Store};
use tempfile::TempDir;

use super::*;
use crate::operator::{Defaults, OperatorService, REQUEST_QUEUE};

/// A running top master. Nobody is attached to it: jobs stay open until they are cancelled.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) service: OperatorService,
    daemon: tokio::task::JoinHandle<()>,
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
        Bench::start(tempfile::tempdir().unwrap(), ids, defaults).await
    }

    /// The same store under a new top master, which knows these minions.
    pub(crate) async fn restart(self, ids: &[&str]) -> Bench {
        self.daemon.abort();
        let _ = self.daemon.await;
        self.service.store.close().await;
        let defaults = Defaults::clone(&self.service.defaults);
        Bench::start(self.directory, ids, defaults).await
    }

    async fn start(directory: TempDir, ids: &[&str], defaults: Defaults) -> Bench {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&directory.path().join("store")).unwrap());
        let recovered = store.begin().await.unwrap();
        let mut inventory = Inventory::new();
        let records: Vec<Record> = (0..).zip(ids).map(|(no, id)| record(no, id)).collect();
        for record in records.clone() {
            inventory.restore(record).unwrap();
        }
        store.commit(0, vec![Write::Minions(records)]).await.unwrap();
        let rule = OwnerRule {
            fabric: "test.example".into(),
            epoch: recovered.epoch,
            heartbeat: HeartbeatRule { interval: 1_000, dead_after: 3_000 },
            seal: relay_proto::envelope::seal,
            batches: defaults.batches.clone(),
        };
        let owner = Owner::recover(rule, 0, wall(), inventory, recovered.jobs);
        let (registered, _) = watch::channel(Syndics::new());
        let directory_of_names = Directory::default();
        let daemon = Daemon::new(
            "test.example".into(),
            "top-1".parse().unwrap(),
            owner,
            Commits::new(store.clone()),
            directory_of_names.clone(),
            registered,
            Expected::default(),
        );
        let (asks, asked) = mpsc::channel(REQUEST_QUEUE);
        let service = OperatorService {
            asks,
            store,
            directory: directory_of_names,
            defaults: Arc::new(defaults),
            schedules_changed: Arc::default(),
        };
        Bench { directory, service, daemon: tokio::spawn(daemon.drive(asked)) }
    }
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
