//! From a certificate to who it names. In use only what rustls has verified gets there; this must hold for anything.

use relay_core::identity::FabricName;
use relay_runtime::identity::peer_identity;
use rustls_pki_types::CertificateDer;

/// Bytes as a certificate.
///
/// Nothing panics; whoever is read stands in the bytes by the whole name, and once only.
pub fn certificate(data: &[u8]) {
    let Ok(fabric) = "test.example".parse::<FabricName>() else { return };
    let der = CertificateDer::from(data);
    match peer_identity(&der, &fabric) {
        Ok(identity) => {
            let name = identity.to_dns();
            assert!(data.windows(name.len()).any(|window| window == name.as_bytes()), "{name} is not in it");
            assert_eq!(identity.fabric(), &fabric);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
