//! A top master's own certificate. The configuration names the first one; the next ones it makes itself, since it holds the
//! issuer for it, and keeps them in its state directory.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use relay_core::identity::Identity;
use relay_runtime::{
    authority::{self, Held, LEAF_LIFE, Scope, life_of},
    config::{TlsConfig, TopMasterConfig},
    identity::{self, LoadedIdentity},
    tls::{Tls, still},
    trust::{self, Enrolment, Seconds, Trusted, enrolment::BY_HAND},
};
use rustls_pki_types::CertificateDer;
use tracing::{info, warn};

/// The file in the state directory: key, certificate, and those between that and the root.
const FILE: &str = "own.pem";
/// What is left of a certificate's life when it is renewed, in hundredths of the whole: so many at least, and how many more at most.
const LEFT: (Seconds, Seconds) = (10, 20);
/// After a renewal that failed, the next is tried so much later, in seconds.
const AGAIN_AFTER: Seconds = 60;

/// Keeps a certificate young.
pub(super) struct Renewal {
    file: PathBuf,
    not_before: AtomicU64,
}

impl Renewal {
    pub(super) fn new(config: &TopMasterConfig) -> Renewal {
        Renewal { file: config.state_dir.join(FILE), not_before: AtomicU64::new(0) }
    }

    /// Of the certificate that is configured and the one that was made here, the one that counts longest; but one that the roots of
    /// now are above, if only one of them is.
    pub(super) fn load(&self, config: &TopMasterConfig, trusted: &Trusted) -> anyhow::Result<LoadedIdentity> {
        let configured = identity::load(&config.tls, &config.fabric);
        if !self.file.exists() {
            return Ok(configured?);
        }
        let kept = TlsConfig { ca: config.tls.ca.clone(), cert: self.file.clone(), key: self.file.clone() };
        let kept = identity::load(&kept, &config.fabric)?;
        let Ok(configured) = configured else { return Ok(kept) };
        let worth = |loaded: &LoadedIdentity| {
            let until = loaded.certs.first().and_then(life_of).map_or(0, |(_, until)| until);
            (still(trusted, &loaded.certs, trust::now()).is_ok(), until)
        };
        let other = configured.identity != kept.identity;
        Ok(if other || worth(&configured) >= worth(&kept) { configured } else { kept })
    }

    /// Renews, if it is due and there is an issuer for it. Without one, whoever issued it has to.
    pub(super) fn look(&self, own: &Identity, held: &Held, tls: &Tls) {
        let (now, shown) = (trust::now(), tls.own());
        let Some((from, until)) = shown.certs.first().and_then(life_of) else { return };
        // Which part it is differs from certificate to certificate.
        let part = until.saturating_sub(from) / 100 * (LEFT.0 + from % (LEFT.1 + 1));
        let due = until.saturating_sub(now) <= part || replaced(own, held, &shown, now);
        if !due || now < self.not_before.load(Relaxed) {
            return;
        }
        self.not_before.store(now + AGAIN_AFTER, Relaxed);
        match self.renew(own, held, tls, &shown, now) {
            Ok(()) => info!(identity = %own, "renewed the own certificate"),
            Err(error) => {
                let error = format!("{error:#}");
                warn!(error, until, "the own certificate is near its end, and can't be renewed here");
            }
        }
    }

    fn renew(
        &self,
        own: &Identity,
        held: &Held,
        tls: &Tls,
        shown: &LoadedIdentity,
        now: Seconds,
    ) -> anyhow::Result<()> {
        let before = shown.certs.first().map_or(Enrolment::NONE, Enrolment::of_certificate);
        let uid = if before.is_known() { before.uid } else { rand::random::<u64>() | BY_HAND };
        let enrolment = Enrolment { uid, generation: before.generation.saturating_add(1) };
        let made = authority::member(|public| held.issue(own, public, enrolment, LEAF_LIFE, now))?;
        made.keep(&self.file)?;
        let roots = shown.roots.clone();
        let (certs, key) = (made.chain, made.key);
        Ok(tls.renew(LoadedIdentity { certs, key, roots, identity: own.clone() })?)
    }
}

/// Whether the issuer that made a certificate has been replaced: perhaps because its root is leaving.
fn replaced(own: &Identity, held: &Held, shown: &LoadedIdentity, now: Seconds) -> bool {
    let root = |der: &CertificateDer<'_>| held.anchors().roots.iter().any(|root| root.certificate == *der);
    // What a throw-away root made itself, no issuer did.
    let made_by = shown.certs.get(1).filter(|above| !root(above));
    let issuer = held.issuer(&Scope::of(own), now).ok();
    made_by.zip(issuer).is_some_and(|(made_by, issuer)| made_by != issuer.certificate())
}
