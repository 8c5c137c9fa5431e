//! Looks at the certificate, key and roots that a configuration names: are they there, readable, safe, and ours?

use relay_core::{
    document::{Position, Problem, Sink},
    identity::{Identity, IdentityError},
};

use super::TlsConfig;
use crate::identity;

/// Of a process with thousands of minions, so many minions' problems are shown: the rest are like them.
const MAX_SHOWN: usize = 20;

/// Reports what is wrong with one identity's files.
pub(super) fn check(tls: &TlsConfig, identity: Result<Identity, IdentityError>, at: Position, sink: &Sink) {
    check_many([(tls, identity)].into_iter(), at, sink);
}

/// Reports what is wrong with the files of several identities.
pub(super) fn check_many<'a>(
    all: impl Iterator<Item = (&'a TlsConfig, Result<Identity, IdentityError>)>,
    at: Position,
    sink: &Sink,
) {
    let problems: Vec<(String, String)> = all.flat_map(|(tls, identity)| wrong(tls, identity)).collect();
    let more = problems.len().saturating_sub(MAX_SHOWN);
    for (what, hint) in problems.into_iter().take(MAX_SHOWN) {
        sink.note(Problem::error(at, what, hint));
    }
    if more > 0 {
        sink.note(Problem::error(at, format!("{more} more problems like these"), "correct the first ones"));
    }
}

fn wrong(tls: &TlsConfig, identity: Result<Identity, IdentityError>) -> Vec<(String, String)> {
    match identity {
        Err(error) => vec![(error.to_string(), "correct \"id\", \"region\" or \"fabric\"".into())],
        Ok(expected) => identity::examine(tls, &expected).err().unwrap_or_default(),
    }
}
