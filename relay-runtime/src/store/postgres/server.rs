//! What the thread has: the connection, made again when it is lost, and transactions that are done once or not at all.
//!
//! Every transaction writes its number into our row of `marks`. If the connection is lost in a commit, that row tells
//! whether it was done; reading it waits for whatever the old connection still does.

use std::time::Instant;

use relay_core::{ids::Epoch, owner::WriteError};

use super::{
    super::{Recovered, StoreError, value::bits},
    connect::Settings,
    outage::Outage,
    recover,
    requests::Batch,
    schema,
    session::{Session, Trouble, Value},
    write,
};
use crate::telemetry;

/// Writers hold this until they end, so that no owner begins in between.
const SHARED: &str = "SELECT epoch FROM owner FOR SHARE";
/// Who begins waits for the writers before him, and keeps those after him waiting.
const ALONE: &str = "SELECT epoch FROM owner FOR UPDATE";
const MARK: &str = "UPDATE marks SET number = $2, seen = now() WHERE process = $1";

/// Of a process without a row in `marks`.
const FORGOTTEN: &str = "this process has no row: was another database put in its place?";

/// What the thread has.
pub(super) struct Server {
    settings: Settings,
    session: Option<Session>,
    outage: Option<Outage>,
    /// Our own, once we began.
    epoch: Epoch,
    /// This process, in `marks`.
    process: i64,
    /// Of our last transaction.
    number: i64,
}

/// What became of one try.
enum Try<T> {
    Done(T),
    /// The connection was lost in the commit, which would have given this.
    Unsure(T, String),
    Failed(Trouble),
}

impl Server {
    /// Connects, and makes or updates the tables.
    pub(super) async fn open(settings: Settings) -> Result<Server, StoreError> {
        let unreachable = |why| StoreError::Connect { server: settings.server(), why };
        let session = settings.connect().await.map_err(unreachable)?;
        schema::migrate(&session, &settings.server(), schema::MIGRATIONS).await?;
        let process = bits(rand::random());
        let failed = |trouble: Trouble| StoreError::Database { doing: "begin", why: trouble.to_string() };
        schema::introduce(&session, process).await.map_err(failed)?;
        Ok(Server { settings, session: Some(session), outage: None, epoch: Epoch(0), process, number: 0 })
    }

    /// Takes the store over.
    pub(super) async fn begin(&mut self) -> Result<Recovered, StoreError> {
        let recovered =
            self.transaction("begin", ALONE, &async |s, stored| recover::begin(s, stored).await).await?;
        self.epoch = recovered.epoch;
        Ok(recovered)
    }

    /// Commits, each batch with its own result. An error: none of them was done.
    pub(super) async fn commit(
        &mut self,
        batches: &[Batch],
    ) -> Result<Vec<Result<(), WriteError>>, StoreError> {
        let (begun, ours) = (Instant::now(), self.epoch);
        let work = async |s: &Session, stored| write::together(s, stored, ours, batches).await;
        let results = self.transaction("commit", SHARED, &work).await?;
        metrics::histogram!(telemetry::STORE_COMMIT_SECONDS).record(begun.elapsed());
        Ok(results)
    }

    /// Changes something that is not of a job, in a transaction of its own, unless another owner has begun.
    pub(super) async fn change<T>(
        &mut self,
        doing: &'static str,
        work: &impl AsyncFn(&Session) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let ours = self.epoch;
        let fenced = async |session: &Session, stored| match stored > ours {
            true => Err(Trouble::Store(StoreError::Fenced)),
            false => work(session).await,
        };
        self.transaction(doing, SHARED, &fenced).await
    }

    /// Reads at one moment. Ends: after each try that loses its connection there is a longer pause, and then no other.
    pub(super) async fn read<T>(
        &mut self,
        doing: &'static str,
        work: &impl AsyncFn(&Session) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        loop {
            match snapshot(self.session().await?, work).await {
                Ok(found) => {
                    self.outage = None;
                    return Ok(found);
                }
                Err(Trouble::Lost(why)) => self.lose(why),
                Err(trouble) => return Err(self.give_up(doing, trouble).await),
            }
        }
    }

    /// Ends as [`Server::read`] does: a request that itself ends connections is not tried for ever.
    async fn transaction<T>(
        &mut self,
        doing: &'static str,
        lock: &'static str,
        work: &impl AsyncFn(&Session, Epoch) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        loop {
            self.number += 1;
            let mark = (self.process, self.number);
            let done = match attempt(self.session().await?, lock, mark, work).await {
                Try::Done(done) => done,
                Try::Unsure(done, why) => {
                    self.lose(why);
                    if !self.was_done().await? {
                        continue;
                    }
                    done
                }
                Try::Failed(Trouble::Lost(why)) => {
                    self.lose(why);
                    continue;
                }
                Try::Failed(trouble) => return Err(self.give_up(doing, trouble).await),
            };
            self.outage = None;
            return Ok(done);
        }
    }

    /// Whether our last transaction was committed. Waits for the end of the connection that was to commit it.
    async fn was_done(&mut self) -> Result<bool, StoreError> {
        let sql = "SELECT number FROM marks WHERE process = $1 FOR UPDATE";
        let (process, number, server) = (self.process, self.number, self.settings.server());
        let unknown = |why| StoreError::Connect {
            why: format!(
                "the connection was lost, and it is not known whether the last commit was done: {why}"
            ),
            server: server.clone(),
        };
        loop {
            match self.session().await.map_err(|e| unknown(e.to_string()))?.row(sql, &[&process]).await {
                Ok(Some(row)) => return Ok(row.get::<_, i64>(0) >= number),
                Ok(None) => return Err(unknown(FORGOTTEN.into())),
                Err(trouble) => self.lose(trouble.to_string()),
            }
        }
    }

    /// What to say of trouble in a transaction, which is ended.
    async fn give_up(&mut self, doing: &'static str, trouble: Trouble) -> StoreError {
        if let Some(session) = &self.session
            && let Err(lost) = session.run("ROLLBACK").await
        {
            self.lose(lost.to_string());
        }
        match trouble {
            Trouble::Store(error) => error,
            other => StoreError::Database { doing, why: other.to_string() },
        }
    }

    fn lose(&mut self, why: String) {
        tracing::warn!(server = self.settings.server(), why, "lost the connection to the store's database");
        self.session = None;
        let (now, patience) = (tokio::time::Instant::now(), self.settings.patience);
        match &mut self.outage {
            Some(outage) => outage.failed(why, now),
            None => self.outage = Some(Outage::new(why, now, patience)),
        }
    }

    /// The connection, made anew if it is lost, as long as our patience lasts.
    async fn session(&mut self) -> Result<&Session, StoreError> {
        if self.session.as_ref().is_some_and(Session::is_over) {
            self.lose("the server closed it".into());
        }
        let session = match self.session.take() {
            Some(session) => session,
            None => self.reconnect().await?,
        };
        Ok(self.session.insert(session))
    }

    async fn reconnect(&mut self) -> Result<Session, StoreError> {
        let now = tokio::time::Instant::now;
        let patience = self.settings.patience;
        let mut outage = self.outage.take().unwrap_or_else(|| Outage::new(String::new(), now(), patience));
        let mut found = Err(Trouble::Lost(String::new()));
        while let (Err(Trouble::Lost(_) | Trouble::Refused(_)), Some(next)) = (&found, outage.next(now())) {
            tokio::time::sleep_until(next).await;
            found = self.recognise().await;
            if let Err(trouble) = &found {
                outage.failed(trouble.to_string(), now());
            }
        }
        let why = outage.why.clone();
        // Over only when something has been done again.
        self.outage = Some(outage);
        found.map_err(|trouble| match trouble {
            Trouble::Store(error) => error,
            _ => StoreError::Connect { server: self.settings.server(), why },
        })
    }

    /// It may be another database than before, or a newer build may have updated it meanwhile.
    async fn recognise(&self) -> Result<Session, Trouble> {
        let session = self.settings.connect().await.map_err(Trouble::Lost)?;
        schema::check(&session, &self.settings.server()).await?;
        tracing::info!(server = self.settings.server(), "connected to the store's database again");
        Ok(session)
    }
}

/// One transaction under a lock of the owner's row, with its mark.
async fn attempt<T>(
    session: &Session,
    lock: &'static str,
    (process, number): (i64, i64),
    work: &impl AsyncFn(&Session, Epoch) -> Result<T, Trouble>,
) -> Try<T> {
    let prepared = async {
        session.ready(&[lock, MARK]).await?;
        let mark: [Value<'_>; 2] = [&process, &number];
        // Sent together, in this order.
        let (_, owner, marked) = tokio::try_join!(
            biased;
            session.run("BEGIN"),
            session.row(lock, &[]),
            session.execute(MARK, &mark)
        )?;
        match (owner, marked) {
            (Some(row), 1) => Ok(Epoch(row.get::<_, i64>(0) as u64)),
            (None, _) => Err(damaged("owner", "it has no row")),
            (_, _) => Err(damaged("marks", FORGOTTEN)),
        }
    };
    let done = match prepared.await {
        Ok(stored) => work(session, stored).await,
        Err(trouble) => Err(trouble),
    };
    match done {
        Ok(done) => match session.run("COMMIT").await {
            Ok(()) => Try::Done(done),
            Err(Trouble::Lost(why)) => Try::Unsure(done, why),
            Err(trouble) => Try::Failed(trouble),
        },
        Err(trouble) => Try::Failed(trouble),
    }
}

fn damaged(row: &str, why: &str) -> Trouble {
    Trouble::Store(StoreError::Damaged { row: row.into(), why: why.into() })
}

async fn snapshot<T>(
    session: &Session,
    work: &impl AsyncFn(&Session) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let found = work(session).await?;
    session.run("COMMIT").await?;
    Ok(found)
}
