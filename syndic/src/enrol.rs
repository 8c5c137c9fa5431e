//! Enrolment at a syndic: how it joins itself, and what it does for those below it.

use std::sync::Arc;

use relay_core::identity::Identity;
use relay_proto::trust::enrol_server::EnrolServer;
use relay_runtime::{
    config::SyndicConfig,
    enrol::{
        MAX_REQUEST,
        gate::{Gate, Pace},
        newcomer::{JoinError, Newcomer},
        parents::Parents,
        passing::Passing,
    },
    link::{LinkService, Serving},
    process::Process,
    shutdown::Role,
    tls::Tls,
};

/// Joins the fabric, if the configuration leaves that to this process and it has not joined yet. Nothing: others issue its
/// certificate.
///
/// # Errors
/// A file cannot be used, or it was told to stop.
pub async fn join(
    config: &SyndicConfig,
    own: &Identity,
    process: &Process,
) -> anyhow::Result<Option<Newcomer>> {
    let Some(enrol) = &config.enrol else { return Ok(None) };
    let newcomer = Newcomer::new(own.clone(), enrol, config.parents.clone(), &config.state_dir)?;
    let waits =
        || process.ready.not_ready("waits to be let into the fabric: see the log for its fingerprint");
    match newcomer.join(&process.shutdown.token, waits).await {
        Ok(()) => {
            process.ready.not_ready("not attached to any parent");
            Ok(Some(newcomer))
        }
        Err(JoinError::Stopped) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Renews its certificate from now on.
pub fn stay(newcomer: Option<Newcomer>, tls: &Tls, process: &Process) {
    if let Some(newcomer) = newcomer {
        let renewing = newcomer.stay(tls.clone(), process.shutdown.token.clone());
        process.shutdown.spawn_named("certificate", Role::Passing, renewing);
    }
}

/// The port where children attach, with enrolment beside the links: requests go on to this syndic's parents.
pub fn gate(
    config: &SyndicConfig,
    own: &Arc<Identity>,
    links: LinkService,
    tls: &Tls,
    process: &Process,
) -> Gate<LinkService, EnrolServer<Passing>> {
    let parents = Parents::new(config.parents.clone(), config.fabric.clone());
    let passing = Passing::new(own.clone(), parents, tls.clone().into(), Pace::new(process.clock));
    let service = EnrolServer::new(passing).max_decoding_message_size(MAX_REQUEST);
    Gate::new(links, Serving::always(service))
}
