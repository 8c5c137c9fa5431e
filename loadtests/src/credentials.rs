//! Certificates of a run, issued in memory by its throw-away authority.

use std::path::Path;

use relay_core::identity::{FabricName, Identity};
use relay_runtime::{authority::DevAuthority, identity::LoadedIdentity};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// The authority, as each process of a swarm or a floor opens it.
pub struct Issuer {
    authority: DevAuthority,
    root: CertificateDer<'static>,
}

impl Issuer {
    /// Opens the authority's directory.
    ///
    /// # Errors
    /// It is none of this fabric.
    pub fn open(dir: &Path, fabric: FabricName) -> anyhow::Result<Issuer> {
        let authority = DevAuthority::open(dir, fabric)?;
        let root = CertificateDer::from_pem_slice(authority.root_pem().as_bytes())?;
        Ok(Issuer { authority, root })
    }

    /// The root certificate.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// A new certificate with its key.
    ///
    /// # Errors
    /// The name is of another fabric.
    pub fn issue(&self, identity: Identity) -> anyhow::Result<LoadedIdentity> {
        let (certificate, key) = self.authority.issue_pem(&identity)?;
        Ok(LoadedIdentity {
            certs: vec![CertificateDer::from_pem_slice(certificate.as_bytes())?],
            key: PrivateKeyDer::from_pem_slice(key.as_bytes())?,
            roots: vec![self.root.clone()],
            identity,
        })
    }
}
