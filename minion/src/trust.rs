//! What the minions of a process believe. Those that begin with the same roots share one belief: a bundle is verified once, and kept
//! with the first of them.

use std::collections::BTreeSet;

use relay_core::identity::FabricName;
use relay_runtime::{
    config::MinionConfig,
    identity::LoadedIdentity,
    shutdown::{Role, Shutdown},
    trust::{Ground, Pin, Trusted},
};

/// The beliefs of a process: one, unless its minions' files name different roots.
#[derive(Default)]
pub struct Beliefs(Vec<(FabricName, BTreeSet<Pin>, Trusted)>);

impl Beliefs {
    /// What a minion believes.
    ///
    /// # Errors
    /// What it kept is of a newer version, or its roots are none.
    pub fn of(
        &mut self,
        config: &MinionConfig,
        identity: &LoadedIdentity,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Trusted> {
        let pins: BTreeSet<Pin> = identity.roots.iter().filter_map(Pin::of_certificate).collect();
        let known = self.0.iter().find(|(fabric, known, _)| *fabric == config.fabric && *known == pins);
        if let Some((_, _, trusted)) = known {
            return Ok(trusted.clone());
        }
        let ground = Ground::Roots(identity.roots.clone());
        let (trusted, keeping) = Trusted::open(&config.state_dir, &config.fabric, &ground)?;
        shutdown.spawn_named(
            format!("trust {}", config.id),
            Role::Passing,
            keeping.run(shutdown.token.clone()),
        );
        self.0.push((config.fabric.clone(), pins, trusted.clone()));
        Ok(trusted)
    }
}
