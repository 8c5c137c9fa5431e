//! The second floor: the same tree in bare gRPC over mutual TLS, and nothing else.
//!
//! What anybody has who takes tonic and rustls and writes the obvious: one bidirectional stream for each link, dialled from
//! below, messages of the fabric's sizes, HTTP/2 as hyper sets it up. No rules, no journal, no store, no encoding: bytes.
//! A middle sends up what came in together, as the one of the TCP tree does.

pub mod leaves;
pub mod middle;
pub mod top;
mod wire;

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use relay_core::identity::{Identity, Role, check_region};
use relay_runtime::identity::LoadedIdentity;

use crate::{credentials::Issuer, fabric::site::fabric_name};

/// What the top's certificate names.
const TOP: &str = "floor-top";
/// What every middle's certificate names.
const MIDDLE: &str = "floor-middle";
/// What every process of leaves has in its certificate.
const LEAF: &str = "floor-leaf";
/// Messages that wait for a link. There is one at a time.
const QUEUE: usize = 4;

fn identity(id: &str, role: Role) -> anyhow::Result<Identity> {
    Ok(Identity::new(id, role, check_region("floor")?, fabric_name()?)?)
}

fn certified(authority: Option<&Path>, id: &str, role: Role) -> anyhow::Result<LoadedIdentity> {
    let authority = authority.context("no authority in the plan")?;
    Issuer::open(authority, fabric_name()?)?.issue(identity(id, role)?)
}

fn client(authority: Option<&Path>, id: &str, role: Role) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    Ok(relay_runtime::tls::client(&certified(authority, id, role)?)?)
}

fn server(authority: Option<&Path>, id: &str, role: Role) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    Ok(relay_runtime::tls::server(&certified(authority, id, role)?)?)
}
