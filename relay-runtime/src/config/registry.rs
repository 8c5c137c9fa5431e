//! Where a top master's registry is: in its own process, or in an etcd.
//!
//! Owns the key `registry` and looks at the files it names. Leaves to [`crate::registry::etcd`] what is done with it; etcd itself
//! is not asked here.

use std::path::{Path, PathBuf};

use relay_core::{
    document::{Fields, Kind, Node, Position, Sink, read},
    identity::FabricName,
    topology::HostPort,
};

use super::credentials;
use crate::{
    registry::etcd::{EtcdConfig, EtcdLogin, EtcdTls},
    store::postgres::PostgresConfig,
};

/// Most endpoints: an etcd has three or five members, seven at most.
const MAX_ENDPOINTS: usize = 16;
/// Longest prefix, in bytes: it is in every key.
const MAX_PREFIX_BYTES: usize = 200;
/// Longest name of a user, in bytes.
const MAX_USER_BYTES: usize = 200;
/// What to write for bytes that go through a network as they are: in so many words, so that nobody does it by omission.
const PLAIN: &[(&str, ())] = &[("anywhere", ())];

/// Where leases and the active topology are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RegistryKind {
    /// In this process: for a fabric with one top master.
    #[default]
    Embedded,
    /// In an etcd, where several top masters find each other.
    Etcd(EtcdConfig),
}

/// Reads the key: the word `embedded`, or a map with the one key `etcd`. Without a prefix of its own, an etcd's keys are
/// below `/relay/FABRIC`.
pub(super) fn kind<'a>(
    base: &'a Path,
    fabric: Option<&'a FabricName>,
) -> impl Fn(&Node, &Sink) -> Option<RegistryKind> + 'a {
    move |node, sink| match &node.kind {
        Kind::Map(_) => {
            let mut f = Fields::open(node, "registry", sink)?;
            let etcd = f.need("etcd", |node, sink| etcd(base, fabric, node, sink));
            f.close();
            etcd.map(RegistryKind::Etcd)
        }
        Kind::Scalar { text, .. } if text == "embedded" => Some(RegistryKind::Embedded),
        _ => {
            let what = format!("a kind of registry is expected here, found {}", node.describe());
            sink.refuse(
                node.at,
                what,
                "write embedded, or etcd: {endpoints: [https://HOST:2379], tls: {ca: FILE}}",
            )
        }
    }
}

fn etcd(base: &Path, fabric: Option<&FabricName>, node: &Node, sink: &Sink) -> Option<EtcdConfig> {
    let mut f = Fields::open(node, "etcd", sink)?;
    let endpoints = f.need("endpoints", endpoints);
    let prefix = f.may("prefix", |node, sink| read::with(node, sink, checked_prefix));
    let tls = f.may("tls", |node, sink| {
        credentials::tls(base, node, sink).map(|(ca, identity)| EtcdTls { ca, identity })
    });
    let plain = f.may("plain", read::word(PLAIN));
    let user = f.may("user", |node, sink| read::with(node, sink, checked_user));
    let password_file = f.may("password_file", credentials::password_file(base));
    let [tls_at, user_at] = ["tls", "user"].map(|key| f.at_key(key));
    f.close();
    let login = login(user, password_file, user_at, sink);
    let (endpoints, tls) = (endpoints?, tls?);
    reachable(&endpoints, tls.is_some(), plain?.is_some(), tls_at, sink)?;
    let usual = || fabric.map(|fabric| format!("/relay/{fabric}"));
    Some(EtcdConfig {
        endpoints: endpoints.into_iter().map(|endpoint| endpoint.place).collect(),
        prefix: prefix?.or_else(usual)?,
        tls,
        login: login?,
    })
}

struct Endpoint {
    at: Position,
    secure: bool,
    place: HostPort,
}

fn endpoints(node: &Node, sink: &Sink) -> Option<Vec<Endpoint>> {
    let found = read::list(|n, s| {
        read::with(n, s, checked_url).map(|(secure, place)| Endpoint { at: n.at, secure, place })
    })(node, sink)?;
    if found.is_empty() || found.len() > MAX_ENDPOINTS {
        let what = format!("{} endpoints are here", found.len());
        return sink.refuse(node.at, what, format!("name 1 to {MAX_ENDPOINTS}: every member of the etcd"));
    }
    let mut whole = true;
    for (i, endpoint) in found.iter().enumerate() {
        if found.iter().take(i).any(|earlier| earlier.place == endpoint.place) {
            let what = format!("{} stands here a second time", endpoint.place);
            sink.refuse::<()>(endpoint.at, what, "remove one of the two");
            whole = false;
        }
    }
    whole.then_some(found)
}

fn checked_url(text: &str) -> Result<(bool, HostPort), String> {
    let (secure, place) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(place), _) => (true, place),
        (_, Some(place)) => (false, place),
        _ => {
            return Err(format!(
                "{:?} is no endpoint of an etcd (write https://HOST:2379)",
                read::clip(text)
            ));
        }
    };
    let place = place.strip_suffix('/').unwrap_or(place);
    place.parse().map(|place| (secure, place)).map_err(|e: relay_core::topology::AddressError| e.to_string())
}

/// Whether bytes may go there in this way. Every problem is told.
fn reachable(endpoints: &[Endpoint], tls: bool, plain: bool, tls_at: Position, sink: &Sink) -> Option<()> {
    let mut fine = true;
    for Endpoint { at, secure, place } in endpoints {
        let local = PostgresConfig::host_is_local(place.host());
        let (what, hint) = match (secure, tls) {
            (true, false) => {
                ("is https, and nothing says who may sign its certificate", "add tls: {ca: FILE}")
            }
            (false, true) => ("is http, and tls stands here", "write https://, or remove tls"),
            (false, false) if !local && !plain => (
                "is not on this machine, and http shows and takes everything on the way",
                "write https:// and add tls: {ca: FILE}, or plain: anywhere if you trust everybody on the way",
            ),
            _ => continue,
        };
        sink.refuse::<()>(*at, format!("{place} {what}"), hint);
        fine = false;
    }
    if tls && plain {
        return sink.refuse(tls_at, "tls and plain stand here together", "remove one of the two");
    }
    fine.then_some(())
}

fn login(
    user: Option<Option<String>>,
    password_file: Option<Option<PathBuf>>,
    at: Position,
    sink: &Sink,
) -> Option<Option<EtcdLogin>> {
    match (user?, password_file?) {
        (Some(user), Some(password_file)) => Some(Some(EtcdLogin { user, password_file })),
        (None, None) => Some(None),
        _ => sink.refuse(at, "a user and a password_file go together", "give both, or neither"),
    }
}

fn checked_prefix(text: &str) -> Result<String, String> {
    let segment = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_graphic());
    let fine = text.len() <= MAX_PREFIX_BYTES
        && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
    match fine {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{:?} is no prefix of keys (write /NAME or /NAME/NAME, at most {MAX_PREFIX_BYTES} bytes, without blanks)",
            read::clip(text)
        )),
    }
}

fn checked_user(text: &str) -> Result<String, String> {
    match text.len() <= MAX_USER_BYTES {
        true => Ok(text.to_owned()),
        false => Err(format!("{:?} is longer than {MAX_USER_BYTES} bytes", read::clip(text))),
    }
}
