//! Where the database is, and who we are to it. No secret is in here: the password stays in its file.

use std::{fmt, net::IpAddr, path::PathBuf};

/// A database and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Its host's name or address, or the directory of its socket (begins with `/`).
    pub host: String,
    /// Its port; part of the socket's name, too.
    pub port: u16,
    /// The database's name. The store's tables are in its schema `relay`.
    pub database: String,
    /// The database user.
    pub user: String,
    /// A file with the password, for nobody but us; read anew for each connection, so that it can be changed. None: the
    /// server lets us in by the socket or by our certificate.
    pub password_file: Option<PathBuf>,
    /// How bytes get there.
    pub transport: Transport,
}

/// How bytes get to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// As they are, but only within this machine: by a socket or a loopback address.
    Local,
    /// As they are, wherever it is. Whoever is on the way reads and changes everything.
    PlainAnywhere,
    /// By TLS. The server shows a certificate for its host's name.
    Tls {
        /// PEM file with the certificates that may sign the server's.
        ca: PathBuf,
        /// PEM files with our certificate and its key, if the server asks for one.
        identity: Option<(PathBuf, PathBuf)>,
    },
}

impl PostgresConfig {
    /// Whether it is a socket in the file system.
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether bytes to it stay in this machine.
    pub(super) fn is_local(&self) -> bool {
        PostgresConfig::host_is_local(&self.host)
    }

    /// Whether bytes to a host stay in this machine: by a socket in the file system, or by loopback.
    pub(crate) fn host_is_local(host: &str) -> bool {
        let loopback = |address: IpAddr| address.is_loopback();
        host.starts_with('/') || host == "localhost" || host.parse().is_ok_and(loopback)
    }
}

/// As people write it: `postgresql://user@host:port/database`.
impl fmt::Display for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let PostgresConfig { host, port, database, user, .. } = self;
        write!(f, "postgresql://{user}@{open}{host}{close}:{port}/{database}")
    }
}
