//! How a configuration names what opens servers that are not the fabric's own (etcd, PostgreSQL, LDAP): a file with a password,
//! and PEM files. Looks at the files as well, so that a slip is told at start with its place.

use std::path::{Path, PathBuf};

use relay_core::document::{Fields, Node, Position, Sink};

use super::parts;
use crate::{secret::Secret, store::postgres::wrong_tls_files};

/// A certificate and its key.
type Pair = (PathBuf, PathBuf);

/// A file with a password, which nobody else can read.
pub(super) fn password_file<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<PathBuf> + 'a {
    move |node, sink| {
        let path = parts::path(base)(node, sink)?;
        match Secret::read("the password", &path) {
            Ok(_) => Some(path),
            Err(what) => sink.refuse(node.at, what, "put the password alone into a file of mode 0600"),
        }
    }
}

/// The roots that a server's certificate is signed by, and what is shown to it, if it asks.
pub(super) fn tls(base: &Path, node: &Node, sink: &Sink) -> Option<(PathBuf, Option<Pair>)> {
    let mut f = Fields::open(node, "tls", sink)?;
    let ca = f.need("ca", parts::path(base));
    let (cert, key) = (f.may("cert", parts::path(base)), f.may("key", parts::path(base)));
    let at = f.at_key("ca");
    f.close();
    let identity = match (cert?, key?) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return sink.refuse(node.at, "a certificate and its key go together", "give both, or neither"),
    };
    let ca = ca?;
    usable(&ca, identity.as_ref(), at, sink)?;
    Some((ca, identity))
}

/// Whether these files can be used; what is wrong with them is told at a place.
pub(super) fn usable(ca: &Path, identity: Option<&Pair>, at: Position, sink: &Sink) -> Option<()> {
    let wrong = wrong_tls_files(ca, identity);
    let refused = !wrong.is_empty();
    for what in wrong {
        sink.refuse::<()>(at, what, "put the right PEM file there");
    }
    (!refused).then_some(())
}
