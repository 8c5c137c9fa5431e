//! How the minions of a process join the fabric, and stay in it. The asking itself is `relay_runtime::enrol`'s.

use relay_runtime::{
    config::MinionConfig,
    enrol::newcomer::{JoinError, Newcomer},
    process::{Process, private_dir},
    shutdown::Role,
    tls::Tls,
};
use tokio::task::JoinSet;
use tracing::info;

/// Lets every minion join that is to do so by itself and has not yet. False: it was told to stop before all had.
///
/// # Errors
/// A file of one of them cannot be used.
pub async fn join(configs: &[MinionConfig], process: &Process) -> anyhow::Result<bool> {
    let mut asking = JoinSet::new();
    for config in configs.iter().filter(|config| config.enrol.is_some()).cloned() {
        let (token, ready) = (process.shutdown.token.clone(), process.ready.clone());
        asking.spawn(async move {
            private_dir(&config.state_dir)?;
            let Some(newcomer) = newcomer(&config)? else { return Ok(true) };
            let waits =
                || ready.not_ready("waits to be let into the fabric: see the log for its fingerprint");
            match newcomer.join(&token, waits).await {
                Ok(()) => Ok(true),
                Err(JoinError::Stopped) => Ok(false),
                Err(error) => Err(anyhow::Error::new(error)),
            }
        });
    }
    while let Some(joined) = asking.join_next().await {
        if !joined?? {
            return Ok(false);
        }
    }
    process.ready.not_ready("not attached to any parent");
    Ok(true)
}

/// One minion that joins by itself.
///
/// # Errors
/// Its file of roots cannot be used.
fn newcomer(config: &MinionConfig) -> anyhow::Result<Option<Newcomer>> {
    let Some(enrol) = &config.enrol else { return Ok(None) };
    let (own, parents) = (config.identity()?, config.parents.clone());
    Ok(Some(Newcomer::new(own, enrol, parents, &config.state_dir)?))
}

/// Renews a minion's certificate from now on, if that is left to it.
///
/// # Errors
/// As [`join`].
pub fn stay(config: &MinionConfig, tls: &Tls, process: &Process) -> anyhow::Result<()> {
    if let Some(newcomer) = newcomer(config)? {
        let renewing = newcomer.stay(tls.clone(), process.shutdown.token.clone());
        process.shutdown.spawn_named(format!("certificate {}", config.id), Role::Passing, renewing);
        info!(minion = %config.id, "renews its certificate by itself");
    }
    Ok(())
}
