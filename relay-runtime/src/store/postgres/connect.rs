//! One connection to the database: dialled with limits, let in, and set to what durability needs.

use std::{path::Path, time::Duration};

use tokio_postgres::{
    Config,
    config::{SslMode, TargetSessionAttrs},
};

use super::{
    super::StoreError,
    config::{PostgresConfig, Transport},
    outage::PATIENCE,
    session::{Session, Trouble},
    tls::{self, Tls},
};
use crate::secret::Secret;

/// By this name the server and whoever maintains the store know a top master's connection.
pub(super) const APPLICATION: &str = "relay-top-master";
/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent connection is asked after so long whether it still stands.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// What was sent and not acknowledged for so long is lost, and the connection with it.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(20);

/// A transaction of ours has nothing to wait for but us. One that waits longer has lost us, and would keep the next owner out
/// by its locks.
const ABANDONED: Duration = Duration::from_secs(5);
/// What a connection of ours has beside that. A server that loses what it acknowledged is told not to.
const SETTINGS: &str = "
    SET search_path = relay;
    SET statement_timeout = '30s';
    SET lock_timeout = '15s';
    SET default_transaction_isolation = 'read committed';
    SET bytea_output = 'hex';
    DO $$ BEGIN
        IF current_setting('synchronous_commit') = 'off' THEN SET synchronous_commit = on; END IF;
    END $$;";

/// How to connect, checked.
pub(super) struct Settings {
    config: PostgresConfig,
    tls: Option<Tls>,
    /// How long requests wait for a database that is gone.
    pub(super) patience: Duration,
    /// How long the server waits for us in a transaction.
    pub(super) abandoned: Duration,
}

impl Settings {
    /// Checks a configuration and reads its certificates.
    pub(super) fn new(config: &PostgresConfig) -> Result<Settings, StoreError> {
        let refused = |why: String| StoreError::Setting { server: config.to_string(), why };
        let tls = match &config.transport {
            Transport::Local if !config.is_local() => {
                return Err(refused("is not on this machine: set TLS for it".into()));
            }
            Transport::Tls { .. } if config.is_socket() => {
                return Err(refused("is a socket, which has no TLS: name its host, or take TLS out".into()));
            }
            Transport::Local | Transport::PlainAnywhere => None,
            Transport::Tls { ca, identity } => {
                Some(Tls(tls::client_config(ca, identity.as_ref()).map_err(refused)?))
            }
        };
        Ok(Settings { config: config.clone(), tls, patience: PATIENCE, abandoned: ABANDONED })
    }

    /// The database, for messages.
    pub(super) fn server(&self) -> String {
        self.config.to_string()
    }

    /// Connects.
    pub(super) async fn connect(&self) -> Result<Session, String> {
        let config = self.config()?;
        let dialled = tokio::time::timeout(CONNECT_TIMEOUT, async {
            match &self.tls {
                Some(tls) => Session::start(config.connect(tls.clone()).await?),
                None => Session::start(config.connect(tokio_postgres::NoTls).await?),
            }
        });
        let late = |_| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs());
        let session = dialled.await.map_err(late)?.map_err(|e| Trouble::from(e).to_string())?;
        let abandoned = self.abandoned.as_millis();
        let all = format!("SET idle_in_transaction_session_timeout = {abandoned};{SETTINGS}");
        session.run(&all).await.map_err(|e| e.to_string())?;
        Ok(session)
    }

    fn config(&self) -> Result<Config, String> {
        let PostgresConfig { host, port, database, user, password_file, .. } = &self.config;
        let mut config = Config::new();
        config.host(host).port(*port).dbname(database).user(user).application_name(APPLICATION);
        config.connect_timeout(CONNECT_TIMEOUT).keepalives_idle(KEEPALIVE_IDLE);
        config.tcp_user_timeout(UNACKNOWLEDGED_LIMIT);
        // A standby would take reads and refuse everything else.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.ssl_mode(if self.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        if let Some(path) = password_file {
            config.password(password(path)?.expose());
        }
        Ok(config)
    }
}

/// The first line of the file.
pub(crate) fn password(path: &Path) -> Result<Secret, String> {
    Secret::read("the password", path)
}
