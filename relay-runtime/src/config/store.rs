//! Where a top master's store is: in its own directory, or in a PostgreSQL database.
//!
//! Owns the key `store` and looks at the files it names. Leaves to [`crate::store::postgres`] what is done with it; the database
//! itself is not asked here.

use std::{net::IpAddr, path::Path};

use relay_core::document::{Fields, Kind, Node, Position, Sink, read};

use super::credentials;
use crate::store::postgres::{PostgresConfig, Transport};

/// PostgreSQL's own default.
const USUAL_PORT: u64 = 5432;
/// Longest name of a database or user, in bytes: PostgreSQL cuts longer ones, and would take another's.
const MAX_NAME_BYTES: usize = 63;
/// What to write for bytes that go through a network as they are: in so many words, so that nobody does it by omission.
const PLAIN: &[(&str, Transport)] = &[("anywhere", Transport::PlainAnywhere)];

/// Where jobs and returns are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// In a SQLite file below the state directory: for a fabric with one top master.
    #[default]
    Sqlite,
    /// In a PostgreSQL database, which outlives the top master's machine.
    Postgres(PostgresConfig),
}

/// Reads the key: the word `sqlite`, or a map with the one key `postgres`.
pub(super) fn kind<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<StoreKind> + 'a {
    move |node, sink| match &node.kind {
        Kind::Map(_) => {
            let mut f = Fields::open(node, "store", sink)?;
            let postgres = f.need("postgres", |node, sink| postgres(base, node, sink));
            f.close();
            postgres.map(StoreKind::Postgres)
        }
        Kind::Scalar { text, .. } if text == "sqlite" => Some(StoreKind::Sqlite),
        _ => {
            let what = format!("a kind of store is expected here, found {}", node.describe());
            sink.refuse(node.at, what, "write sqlite, or postgres: {host: ..., database: ..., user: ...}")
        }
    }
}

fn postgres(base: &Path, node: &Node, sink: &Sink) -> Option<PostgresConfig> {
    let mut f = Fields::open(node, "postgres", sink)?;
    let host = f.need("host", |node, sink| read::with(node, sink, checked_host));
    let port = f.or("port", USUAL_PORT, read::number(1, u16::MAX.into()));
    let database = f.need("database", |node, sink| read::with(node, sink, checked_name));
    let user = f.need("user", |node, sink| read::with(node, sink, checked_name));
    let password_file = f.may("password_file", credentials::password_file(base));
    let tls = f.may("tls", |node, sink| {
        credentials::tls(base, node, sink).map(|(ca, identity)| Transport::Tls { ca, identity })
    });
    let plain = f.may("plain", read::word(PLAIN));
    let [host_at, tls_at, plain_at] = ["host", "tls", "plain"].map(|key| f.at_key(key));
    f.close();
    if let (Some(Some(_)), Some(Some(_))) = (&tls, &plain) {
        return sink.refuse(plain_at, "tls and plain stand here together", "remove one of the two");
    }
    let transport = match (tls, plain) {
        (Some(tls), Some(plain)) => Some(tls.or(plain).unwrap_or(Transport::Local)),
        _ => None,
    };
    if let (Some(host), Some(transport)) = (&host, &transport) {
        reachable(host, transport, host_at, tls_at, sink)?;
    }
    Some(PostgresConfig {
        host: host?,
        port: u16::try_from(port?).ok()?,
        database: database?,
        user: user?,
        password_file: password_file?,
        transport: transport?,
    })
}

/// Whether bytes may go there in this way.
fn reachable(
    host: &str,
    transport: &Transport,
    host_at: Position,
    tls_at: Position,
    sink: &Sink,
) -> Option<()> {
    let socket = host.starts_with('/');
    match transport {
        Transport::Tls { .. } if socket => sink.refuse(
            tls_at,
            format!("{host} is a socket, which has no TLS"),
            "name its host, or remove tls",
        ),
        Transport::Local if !PostgresConfig::host_is_local(host) => {
            let what = format!("{host} is not on this machine, and nothing says how bytes get there");
            sink.refuse(
                host_at,
                what,
                "add tls: {ca: FILE}, or plain: anywhere if you trust everybody on the way",
            )
        }
        _ => Some(()),
    }
}

/// A name, an address, or the directory of a socket. Not `host:port`: the port has a key of its own.
fn checked_host(text: &str) -> Result<String, String> {
    let label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match text.starts_with('/') || text.parse::<IpAddr>().is_ok() || text.chars().all(label) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{:?} is neither a host's name or address nor the directory of a socket (a port is written as port: N)",
            read::clip(text)
        )),
    }
}

fn checked_name(text: &str) -> Result<String, String> {
    match text.len() <= MAX_NAME_BYTES && !text.contains('\0') {
        true => Ok(text.to_owned()),
        false => Err(format!("{:?} is longer than {MAX_NAME_BYTES} bytes", read::clip(text))),
    }
}
