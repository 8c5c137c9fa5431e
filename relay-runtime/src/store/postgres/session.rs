//! One open connection: statements prepared once, each answer waited for only so long, and what went wrong told apart.

use std::{cell::RefCell, collections::HashMap, error::Error as _, fmt, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::AbortHandle,
};
use tokio_postgres::{
    Client, Connection, Error, Row, Statement,
    error::{Severity, SqlState},
    types::ToSql,
};

use super::super::StoreError;

/// A server that has not answered after its own limit for a statement (`connect::SETTINGS`) does not answer any more.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);

/// Why something could not be done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection is lost. Nobody knows what became of the statement.
    Lost(String),
    /// The database refused a statement, and goes on.
    Refused(String),
    /// What was found is not right, or we may not.
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        let text = words(&error);
        match error.as_db_error() {
            Some(db) if ends_session(db) => Trouble::Lost(text),
            Some(_) => Trouble::Refused(text),
            None if error.is_closed() => Trouble::Lost(text),
            None if error.source().is_some_and(|source| source.is::<io::Error>()) => Trouble::Lost(text),
            // Values that do not fit their columns: a fault of ours, and the connection stands.
            None => Trouble::Refused(text),
        }
    }
}

/// A server that goes away, or has become a standby.
fn ends_session(error: &tokio_postgres::error::DbError) -> bool {
    let severity = error.parsed_severity();
    matches!(severity, Some(Severity::Fatal | Severity::Panic))
        || *error.code() == SqlState::READ_ONLY_SQL_TRANSACTION
}

/// What the database says, without what it was told.
fn words(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => match db.detail() {
            Some(detail) => format!("{} ({detail})", db.message()),
            None => db.message().to_owned(),
        },
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Lost(why) | Trouble::Refused(why) => f.write_str(why),
            Trouble::Store(error) => error.fmt(f),
        }
    }
}

/// A connection, and the statements it knows.
pub(super) struct Session {
    client: Client,
    statements: RefCell<HashMap<&'static str, Statement>>,
    connection: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A statement's value.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);
/// All of them.
pub(super) type Values<'a> = &'a [Value<'a>];

impl Session {
    /// Lets the connection run.
    pub(super) fn start<S, T>((client, connection): (Client, Connection<S, T>)) -> Result<Session, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = words(&error), "the store's connection ended");
            }
        });
        Ok(Session { client, statements: RefCell::default(), connection: connection.abort_handle() })
    }

    /// Whether it is known to have ended.
    pub(super) fn is_over(&self) -> bool {
        self.client.is_closed()
    }

    /// Statements without values or answers.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Trouble> {
        answered(self.client.batch_execute(sql)).await
    }

    /// Prepares statements, so that those asked for together go out in their order.
    pub(super) async fn ready(&self, statements: &[&'static str]) -> Result<(), Trouble> {
        for sql in statements {
            self.statement(sql).await?;
        }
        Ok(())
    }

    /// The rows of a query.
    pub(super) async fn rows(&self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, Trouble> {
        let statement = self.statement(sql).await?;
        answered(self.client.query(&statement, values)).await
    }

    /// The only row of a query, if there is one.
    pub(super) async fn row(&self, sql: &'static str, values: Values<'_>) -> Result<Option<Row>, Trouble> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// The rows of a statement that is not asked again: nothing of it is kept.
    pub(super) async fn once(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Trouble> {
        let statement = answered(self.client.prepare(sql)).await?;
        answered(self.client.query(&statement, values)).await
    }

    /// How many rows a statement changed.
    pub(super) async fn execute(&self, sql: &'static str, values: Values<'_>) -> Result<u64, Trouble> {
        let statement = self.statement(sql).await?;
        answered(self.client.execute(&statement, values)).await
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, Trouble> {
        let known = self.statements.borrow().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = answered(self.client.prepare(sql)).await?;
        self.statements.borrow_mut().insert(sql, statement.clone());
        Ok(statement)
    }
}

async fn answered<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
    match tokio::time::timeout(ANSWER_LIMIT, answer).await {
        Ok(answer) => answer.map_err(Trouble::from),
        Err(_) => Err(Trouble::Lost(format!("no answer within {} s", ANSWER_LIMIT.as_secs()))),
    }
}
