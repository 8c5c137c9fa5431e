//! What is of the database alone, and what the tests of all stores need of this one.

use super::{super::steps::Step, *};

mod faults;
mod maintenance;
mod opening;
pub(in crate::store) mod server;
mod wire;

impl PostgresStore {
    pub(in crate::store) async fn execute(&self, sql: String) {
        self.change("execute", async move |s| s.run(&sql).await).await.unwrap()
    }

    pub(in crate::store) async fn number(&self, sql: &'static str) -> i64 {
        self.read("count", async move |s| Ok(s.row(sql, &[]).await?.unwrap().get(0))).await.unwrap()
    }

    pub(in crate::store) async fn prune_step(&self, cutoffs: Cutoffs) -> Step {
        self.ask(async move |server| prune::step(server, cutoffs).await).await.unwrap()
    }

    pub(in crate::store) async fn hold(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel::<()>();
        let (began, holding) = oneshot::channel();
        let wait = async move |_: &mut Server| {
            assert!(began.send(()).is_ok(), "the test waits");
            let _ = held.await;
            Ok(())
        };
        assert!(self.queue.try_send(work(wait).0).is_ok());
        holding.await.unwrap();
        release
    }
}
