//! What follows from a bundle, and which bundle may come next.
//!
//! The rules are those of The Update Framework (sections 5.3 and 5.4 of its specification), with two files instead of four:
//! * anchors follow only anchors that know one of the roots that signed them; a root that is new signs them too,
//! * no version goes down, and one version has one content,
//! * what has expired is not taken for new, and job keys of an expired list do not count,
//! * when the key that signed the list is withdrawn, its versions count no more: who stole it may have signed the highest there is.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use relay_core::{
    identity::FabricName,
    signing::{self, Span},
};
use relay_proto::trust::Signed;
use rustls_pki_types::CertificateDer;

use super::{
    Enrolment, Seconds,
    bundle::{self, Anchors, Flaw, JobKey, Keys, Root},
    key::KeyId,
};

/// Why a bundle was not taken. What was believed before, still is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no bundle.
    #[error("no bundle of trust: {0}")]
    Flawed(#[from] Flaw),
    /// Of another fabric.
    #[error("the {0} are of the fabric {1}")]
    Fabric(&'static str, String),
    /// None who may sign them did.
    #[error("the {0} are not signed by whom this process believes")]
    Signature(&'static str),
    /// A new root did not sign the anchors that name it.
    #[error("the anchors name a new root that has not signed them")]
    NewRoot,
    /// Older than what is known: somebody replays what was.
    #[error("the {what} are of version {found}, and version {known} is known")]
    Older {
        /// Which half.
        what: &'static str,
        /// Its version.
        found: u64,
        /// The one that is known.
        known: u64,
    },
    /// The same version with another content: somebody signs two of them.
    #[error("the {what} of version {version} are not those that are known under this version")]
    Forked {
        /// Which half.
        what: &'static str,
        /// Its version.
        version: u64,
    },
    /// It has expired.
    #[error("the {what} have expired {since} s ago (is this machine's clock right?)")]
    Expired {
        /// Which half.
        what: &'static str,
        /// How long ago.
        since: Seconds,
    },
}

impl Refused {
    /// A word for the metric.
    pub fn word(&self) -> &'static str {
        match self {
            Refused::Flawed(_) => "flawed",
            Refused::Fabric(..) => "fabric",
            Refused::Signature(_) | Refused::NewRoot => "signature",
            Refused::Older { .. } => "older",
            Refused::Forked { .. } => "forked",
            Refused::Expired { .. } => "expired",
        }
    }

    /// Nobody who may have made it did. (An older one, or one that has expired, comes from an honest parent too that was cut off.)
    pub fn is_forged(&self) -> bool {
        !matches!(self, Refused::Older { .. } | Refused::Expired { .. })
    }
}

/// The keys half, as it is believed.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    payload: Vec<u8>,
    version: u64,
    expires: Seconds,
    signer: KeyId,
    job_keys: HashMap<signing::KeyId, JobKey>,
    denied: HashMap<u64, u32>,
}

/// What a process believes at one moment. Never changed: another one follows it.
#[derive(Debug, Clone)]
pub struct Belief {
    fabric: FabricName,
    roots: Arc<[Root]>,
    /// The payload of the anchors, and what it says; none before the first bundle.
    anchors: Option<Arc<(Vec<u8>, Anchors)>>,
    listed: Option<Arc<Listed>>,
    bundle: Option<Bytes>,
}

impl Belief {
    /// What the configuration says and nothing more: these roots.
    pub fn of_roots(fabric: FabricName, roots: &[CertificateDer<'static>]) -> Result<Belief, Flaw> {
        let roots = roots.iter().cloned().map(Root::read).collect::<Result<_, _>>()?;
        Ok(Belief { fabric, roots, anchors: None, listed: None, bundle: None })
    }

    /// What is believed after this bundle; `None` if it says nothing new.
    ///
    /// # Errors
    /// It is not taken: see [`Refused`].
    pub fn after(&self, bundle: &[u8], now: Seconds) -> Result<Option<Belief>, Refused> {
        self.follow(bundle, Some(now))
    }

    /// The same for one that this process took before and finds on its disk again: it may have expired meanwhile, and names
    /// the roots by which a newer one is fetched.
    ///
    /// # Errors
    /// As [`Belief::after`].
    pub fn again(&self, bundle: &[u8]) -> Result<Option<Belief>, Refused> {
        self.follow(bundle, None)
    }

    fn follow(&self, bundle: &[u8], now: Option<Seconds>) -> Result<Option<Belief>, Refused> {
        if self.bundle.as_deref() == Some(bundle) {
            return Ok(None);
        }
        let (signed_anchors, signed_keys) = bundle::decode(bundle)?;
        let anchors = self.anchors_after(&signed_anchors, now)?;
        let listed = self.listed_after(&anchors.1, &signed_keys, now)?;
        let same_anchors = self.anchors.as_ref().is_some_and(|known| Arc::ptr_eq(known, &anchors));
        if same_anchors && self.listed.as_ref().is_some_and(|known| Arc::ptr_eq(known, &listed)) {
            return Ok(None);
        }
        let roots = if same_anchors { self.roots.clone() } else { anchors.1.roots.clone().into() };
        Ok(Some(Belief {
            fabric: self.fabric.clone(),
            // The same slice if nothing changed: what is made of it is kept.
            roots: if *roots == *self.roots { self.roots.clone() } else { roots },
            anchors: Some(anchors),
            listed: Some(listed),
            bundle: Some(Bytes::copy_from_slice(bundle)),
        }))
    }

    fn anchors_after(
        &self,
        signed: &Signed,
        now: Option<Seconds>,
    ) -> Result<Arc<(Vec<u8>, Anchors)>, Refused> {
        const WHAT: &str = "anchors";
        if let Some(known) = self.anchors.as_ref().filter(|known| known.0 == signed.payload) {
            return Ok(known.clone());
        }
        // Before anything in it is looked at: none but a root makes this process read on.
        if !Anchors::signed_by_one(signed, &self.roots) {
            return Err(Refused::Signature(WHAT));
        }
        let next = Anchors::read(&signed.payload)?;
        if next.fabric != self.fabric {
            return Err(Refused::Fabric(WHAT, next.fabric.to_string()));
        }
        let new = next.roots.iter().filter(|root| !self.roots.iter().any(|known| known.pin == root.pin));
        if !Anchors::signed_by_each(signed, new) {
            return Err(Refused::NewRoot);
        }
        newer(WHAT, next.version, self.anchors.as_ref().map(|known| known.1.version))?;
        fresh(WHAT, next.expires, now)?;
        Ok(Arc::new((signed.payload.clone(), next)))
    }

    fn listed_after(
        &self,
        anchors: &Anchors,
        signed: &Signed,
        now: Option<Seconds>,
    ) -> Result<Arc<Listed>, Refused> {
        const WHAT: &str = "keys";
        let signer = Keys::signer(signed, &anchors.list_keys).ok_or(Refused::Signature(WHAT))?;
        let still = |id: &KeyId| anchors.list_keys.iter().any(|key| super::key::id_of_ed25519(key) == *id);
        let known = self.listed.as_ref().filter(|known| still(&known.signer));
        if let Some(known) = known.filter(|known| known.payload == signed.payload) {
            return Ok(known.clone());
        }
        let next = Keys::read(&signed.payload)?;
        if next.fabric != self.fabric {
            return Err(Refused::Fabric(WHAT, next.fabric.to_string()));
        }
        newer(WHAT, next.version, known.map(|known| known.version))?;
        fresh(WHAT, next.expires, now)?;
        Ok(Arc::new(Listed {
            payload: signed.payload.clone(),
            version: next.version,
            expires: next.expires,
            signer,
            job_keys: next.job_keys.into_iter().map(|key| (key.id(), key)).collect(),
            denied: next.denied.iter().map(|d| (d.uid, d.up_to_generation)).collect(),
        }))
    }

    /// The fabric.
    pub fn fabric(&self) -> &FabricName {
        &self.fabric
    }

    /// The roots that count. The same slice as long as they are the same.
    pub fn roots(&self) -> &Arc<[Root]> {
        &self.roots
    }

    /// The versions of anchors and keys; 0 before the first bundle.
    pub fn versions(&self) -> (u64, u64) {
        let anchors = self.anchors.as_ref().map_or(0, |anchors| anchors.1.version);
        (anchors, self.listed.as_ref().map_or(0, |listed| listed.version))
    }

    /// When anchors and keys expire; 0 before the first bundle.
    pub fn expire(&self) -> (Seconds, Seconds) {
        let anchors = self.anchors.as_ref().map_or(0, |anchors| anchors.1.expires);
        (anchors, self.listed.as_ref().map_or(0, |listed| listed.expires))
    }

    /// A key that signs jobs, if the list names it as good for all of the span, and has not expired.
    pub fn job_key(&self, id: signing::KeyId, span: Span, now: Seconds) -> Option<&JobKey> {
        let listed = self.listed.as_ref().filter(|listed| now < listed.expires)?;
        listed.job_keys.get(&id).filter(|key| key.covers(span))
    }

    /// How many keys sign jobs.
    pub fn job_keys(&self) -> usize {
        self.listed.as_ref().map_or(0, |listed| listed.job_keys.len())
    }

    /// Whether a certificate of this enrolment and generation counts no more.
    pub fn is_denied(&self, enrolment: Enrolment) -> bool {
        let denied = self.listed.as_ref().and_then(|listed| listed.denied.get(&enrolment.uid));
        enrolment.is_known() && denied.is_some_and(|up_to| enrolment.generation <= *up_to)
    }

    /// The newest bundle taken, as its signers encoded it.
    pub fn bundle(&self) -> Option<&Bytes> {
        self.bundle.as_ref()
    }
}

/// Whether a version comes after the one that is known: nothing goes back, and no version has two contents.
fn newer(what: &'static str, found: u64, known: Option<u64>) -> Result<(), Refused> {
    match known {
        Some(known) if found < known => Err(Refused::Older { what, found, known }),
        Some(known) if found == known => Err(Refused::Forked { what, version: known }),
        _ => Ok(()),
    }
}

fn fresh(what: &'static str, expires: Seconds, now: Option<Seconds>) -> Result<(), Refused> {
    match now {
        Some(now) if now >= expires => Err(Refused::Expired { what, since: now - expires }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
