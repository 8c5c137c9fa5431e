//! What is of the file alone, and what the tests of all stores need of this one.

use std::path::PathBuf;

use relay_core::{
    Members,
    batch::BatchRule,
    ids::{Epoch, Incarnation},
    outcome::{Answer, Outcome, Reason},
    owner::{GroupRow, JobHead},
};

use super::{
    super::{
        ChangeView,
        steps::Step,
        tests::{Bench, Kind, Opened, Place, THEN, answer, head, mark, row, set},
        value::set_to_blob,
    },
    *,
};

mod files;
mod maintenance;
mod migration;

impl SqliteStore {
    /// Runs on the store's thread, between requests.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> T + Send + 'static,
    ) -> T {
        self.ask(move |server| Ok(work(&server.connection))).await.unwrap()
    }

    pub(in crate::store) async fn execute(&self, sql: String) {
        self.on_thread(move |c| c.execute_batch(&sql).unwrap()).await
    }

    pub(in crate::store) async fn number(&self, sql: &'static str) -> i64 {
        self.on_thread(move |c| c.query_row(sql, [], |row| row.get(0)).unwrap()).await
    }

    pub(in crate::store) async fn prune_step(&self, cutoffs: Cutoffs) -> Step {
        self.ask(move |server| prune::step(server, cutoffs)).await.unwrap()
    }

    pub(in crate::store) async fn hold(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel::<()>();
        let (began, holding) = oneshot::channel();
        let wait = move |_: &mut Server| {
            assert!(began.send(()).is_ok(), "the test waits");
            let _ = held.blocking_recv();
            Ok(())
        };
        assert!(self.queue.try_send(work(wait).0).is_ok());
        holding.await.unwrap();
        release
    }
}

impl Bench {
    fn path(&self) -> PathBuf {
        self.place.path()
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> T + Send + 'static,
    ) -> T {
        match &self.opened {
            Opened::Sqlite(store) => store.on_thread(work).await,
            Opened::Postgres(_) => panic!("of the file alone"),
        }
    }
}
