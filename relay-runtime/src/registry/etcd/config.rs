//! Where etcd is, and who we are to it. No secret is in here: the password stays in its file.

use std::{fmt, path::PathBuf};

use relay_core::topology::HostPort;

/// An etcd and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdConfig {
    /// Where its members listen to clients. At least one; the first that works is used, the others when it fails.
    pub endpoints: Vec<HostPort>,
    /// What the name of every key of this fabric begins with: begins with `/` and does not end with it. Two fabrics that
    /// share an etcd differ here.
    pub prefix: String,
    /// TLS to every endpoint; without it, bytes go as they are.
    pub tls: Option<EtcdTls>,
    /// As whom we log in, where etcd asks for it.
    pub login: Option<EtcdLogin>,
}

/// TLS to etcd. A member shows a certificate for its host's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdTls {
    /// PEM file with the certificates that may sign the members'.
    pub ca: PathBuf,
    /// PEM files with our certificate and its key, if the members ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Who we are to etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdLogin {
    /// The user. Needs a role that reads and writes all below the prefix, and nothing else.
    pub user: String,
    /// A file with the password, for nobody but us; read anew for each connection, so that it can be changed.
    pub password_file: PathBuf,
}

impl EtcdConfig {
    /// An endpoint as etcd's own tools take it.
    pub(super) fn url(&self, endpoint: &HostPort) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{endpoint}")
    }
}

/// As people write it: the endpoints, then the prefix.
impl fmt::Display for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<String> = self.endpoints.iter().map(|endpoint| self.url(endpoint)).collect();
        write!(f, "{} {}", urls.join(","), self.prefix)
    }
}
