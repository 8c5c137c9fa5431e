//! Who makes certificates: the issuers in the directory `trust`, and the book of trust for what counts no more.

use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use relay_core::{enrol::Denial, identity::Identity};
use relay_runtime::{
    authority::PublicKey,
    trust::{self, Denied, Enrolment},
};
use rustls_pki_types::CertificateDer;

use super::Authority;
use crate::trust::{Book, Trust};

/// The issuers of a top master, and the owner's book.
pub struct Issuers {
    /// Holds issuers.
    pub trust: Trust,
    /// Keeps the list of what counts no more.
    pub book: Book,
    /// How long a certificate counts.
    pub life: Duration,
}

impl Authority for Issuers {
    fn issue(
        &self,
        who: &Identity,
        spki: &[u8],
        enrolment: Enrolment,
    ) -> Result<Vec<CertificateDer<'static>>, String> {
        let public = PublicKey::from_spki(spki).map_err(|error| error.to_string())?;
        let issued = self.trust.held().issue(who, &public, enrolment, self.life, trust::now());
        issued.map_err(|error| error.to_string())
    }

    fn life(&self) -> Duration {
        self.life
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.trust.trusted().now().roots().iter().map(|root| root.certificate.clone()).collect()
    }

    fn bundle(&self) -> Option<Bytes> {
        self.trust.trusted().bundle()
    }

    fn deny(&self, denial: Denial) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let Denial { uid, up_to, until } = denial;
            // Backdating and slow clocks: it ends everywhere somewhat after it ends here.
            let until = until / 1_000_000 + 3_600;
            let denied = Denied { uid, up_to_generation: up_to, until };
            self.book.deny(denied, trust::now()).await.map_err(|error| error.to_string())
        })
    }
}
