//! What a top master holds of trust: issuers and the key that signs lists, its own keys that sign jobs, its own certificate.
//!
//! [`Trust`] stays as long as the process: it reads the directory `trust.dir` again when it changes, and renews the top master's own
//! certificate, for which it has the issuer. [`book`] is the owner's part: the bundle as it stands in the store, and on its way
//! to everybody.

pub mod book;
mod own;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use relay_core::identity::Identity;
use relay_runtime::{
    authority::Held,
    config::TopMasterConfig,
    tls::Tls,
    trust::{self, Ground, Keeping, SigningKeys, Trusted},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use book::Book;

/// The directory is looked at this often: `relayctl ca` on another machine, and a copy of what it changed, takes longer.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Where a top master's own keys that sign jobs are, in its state directory.
const SIGNING_DIR: &str = "signing";

/// What stays over all terms. Clones share it.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    own: Identity,
    held: watch::Sender<Arc<Held>>,
    signing: SigningKeys,
    tls: Tls,
    renewal: own::Renewal,
}

impl Trust {
    /// Reads everything. The second part is to be run.
    ///
    /// # Errors
    /// Something is missing, exposed, or does not belong to the rest.
    pub fn open(config: &TopMasterConfig) -> anyhow::Result<(Trust, Keeping)> {
        let held = Held::open(&config.trust)?;
        ensure!(
            *held.fabric() == config.fabric,
            "{}: is of the fabric {}, and this top master is of {}",
            config.trust.display(),
            held.fabric(),
            config.fabric
        );
        let renewal = own::Renewal::new(config);
        let roots = held.anchors().roots.iter().map(|root| root.certificate.clone()).collect();
        let (trusted, keeping) = Trusted::open(&config.state_dir, &config.fabric, &Ground::Roots(roots))?;
        let loaded = renewal.load(config, &trusted)?;
        let own = loaded.identity.clone();
        let tls = Tls::new(loaded, trusted)?;
        ensure!(
            tls.still(&tls.own().certs, trust::now()).is_ok(),
            "{}: is not signed by a root of {}: one of them is of another authority, or has expired",
            config.tls.cert.display(),
            config.trust.display()
        );
        let signing =
            SigningKeys::open(&config.state_dir.join(SIGNING_DIR), config.id.as_str(), trust::now())?;
        let inner = Inner { own, held: watch::channel(Arc::new(held)).0, signing, tls, renewal };
        Ok((Trust(Arc::new(inner)), keeping))
    }

    /// The TLS of this process.
    pub fn tls(&self) -> &Tls {
        &self.0.tls
    }

    /// What is believed.
    pub fn trusted(&self) -> &Trusted {
        self.0.tls.trusted()
    }

    /// Signs jobs.
    pub fn signing(&self) -> &SigningKeys {
        &self.0.signing
    }

    /// Issuers and the key that signs lists, as they are now.
    pub fn held(&self) -> Arc<Held> {
        self.0.held.borrow().clone()
    }

    /// Reads the directory when it changes, and renews the own certificate when it is due; until stopped.
    pub async fn run(self, token: CancellationToken) {
        let dir = self.held().dir().to_owned();
        let mut seen = mark(&dir).await;
        loop {
            self.0.renewal.look(&self.0.own, &self.held(), &self.0.tls);
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = mark(&dir).await;
            if now != seen && self.reread(&dir).await {
                seen = now;
            }
        }
    }

    /// What is there only in part is read again: somebody is at it.
    async fn reread(&self, dir: &Path) -> bool {
        let path = dir.to_owned();
        let read = tokio::task::spawn_blocking(move || Held::open(&path)).await;
        match read.map_err(anyhow::Error::new).and_then(|read| Ok(read?)) {
            Ok(held) if held.fabric() != self.held().fabric() => {
                warn!(dir = %dir.display(), "is of another fabric now: not used");
            }
            Ok(held) => {
                info!(dir = %dir.display(), anchors = held.anchors().version, issuers = held.issuers().len(), "read again");
                self.0.held.send_replace(Arc::new(held));
            }
            Err(error) => {
                warn!(dir = %dir.display(), error = format!("{error:#}"), "has changed and cannot be used: what it was is used on");
                return false;
            }
        }
        true
    }
}

async fn mark(dir: &Path) -> u64 {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || Held::mark(&dir)).await.unwrap_or_default()
}

/// Why there is no trust to begin with, for people.
///
/// # Errors
/// As [`Trust::open`], with what to do.
pub fn open(config: &TopMasterConfig) -> anyhow::Result<(Trust, Keeping)> {
    Trust::open(config).with_context(|| {
        format!(
            "trust.dir {}: cannot be used (\"relayctl ca init\" makes one, \"relayctl ca status\" shows it)",
            config.trust.display()
        )
    })
}
