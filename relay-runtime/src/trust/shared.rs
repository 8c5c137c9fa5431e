//! What all parts of a process share of trust: one belief, replaced as a whole.

use std::sync::Arc;

use bytes::Bytes;
use relay_core::{
    identity::FabricName,
    signing::{JobKeys, KeyId, PublicKey, Span},
};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    Belief, Enrolment, Refused, Seconds,
    bundle::{self, Anchors, Flaw},
    key::Pin,
};
use crate::telemetry;

/// The belief of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Trusted(Arc<watch::Sender<Arc<Belief>>>);

impl Trusted {
    /// Begins with a belief.
    pub fn new(belief: Belief) -> Trusted {
        Trusted(Arc::new(watch::channel(Arc::new(belief)).0))
    }

    /// Begins with roots and nothing more.
    ///
    /// # Errors
    /// One of them is no root.
    pub fn of_roots(fabric: FabricName, roots: &[CertificateDer<'static>]) -> Result<Trusted, Flaw> {
        Belief::of_roots(fabric, roots).map(Trusted::new)
    }

    /// Begins with a bundle, from whomever, and the fingerprint of a root that signed it.
    ///
    /// # Errors
    /// That root did not, or the bundle is not good.
    pub fn of_pin(fabric: FabricName, pin: Pin, bundle: &[u8], now: Seconds) -> Result<Trusted, Refused> {
        let belief = pinned(fabric, pin, bundle)?;
        let believed = belief.after(bundle, now)?;
        Ok(Trusted::new(believed.unwrap_or(belief)))
    }

    /// What is believed now.
    pub fn now(&self) -> Arc<Belief> {
        self.0.borrow().clone()
    }

    /// Follows what is believed.
    pub fn follow(&self) -> watch::Receiver<Arc<Belief>> {
        self.0.subscribe()
    }

    /// Takes a bundle, if it is good and newer. True: something is new, and whoever follows has been told. What is refused is
    /// logged and counted here.
    ///
    /// # Errors
    /// It was not taken.
    pub fn offer(&self, bundle: &[u8], now: Seconds) -> Result<bool, Refused> {
        let mut result = Ok(false);
        self.0.send_if_modified(|belief| {
            result = belief.after(bundle, now).map(|next| {
                if let Some(next) = next {
                    *belief = Arc::new(next);
                    return true;
                }
                false
            });
            matches!(result, Ok(true))
        });
        match &result {
            Ok(true) => {
                let (anchors, keys) = self.now().versions();
                info!(anchors, keys, "a new bundle of trust");
            }
            Ok(false) => {}
            Err(why) => {
                warn!(%why, "a bundle of trust is refused");
                metrics::counter!(telemetry::BUNDLES_REFUSED_TOTAL, "why" => why.word()).increment(1);
            }
        }
        result
    }

    /// The newest bundle, to be passed on.
    pub fn bundle(&self) -> Option<Bytes> {
        self.0.borrow().bundle().cloned()
    }

    /// Whether a certificate of this enrolment and generation counts no more.
    pub fn is_denied(&self, enrolment: Enrolment) -> bool {
        self.0.borrow().is_denied(enrolment)
    }
}

impl JobKeys for Trusted {
    fn key(&self, id: KeyId, span: Span) -> Option<PublicKey> {
        self.0.borrow().job_key(id, span, super::now()).map(|key| key.public)
    }
}

/// The belief in the root of this fingerprint, whose certificate the bundle holds.
pub(super) fn pinned(fabric: FabricName, pin: Pin, bundle: &[u8]) -> Result<Belief, Refused> {
    let (anchors, _) = bundle::decode(bundle)?;
    let named = Anchors::read(&anchors.payload)?;
    let root = named.roots.into_iter().find(|root| root.pin == pin).ok_or(Refused::Signature("anchors"))?;
    Ok(Belief::of_roots(fabric, &[root.certificate])?)
}
