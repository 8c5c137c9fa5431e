//! The key of somebody who wants a certificate: P-256, and nothing else of what was asked for.

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use super::AuthorityError;
use crate::trust::key::{self, KeyId};

/// What stands before the point in the SubjectPublicKeyInfo of a P-256 key (RFC 5480, uncompressed).
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Bytes of an uncompressed point.
const POINT_BYTES: usize = 65;
/// ecdsa-with-SHA256.
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
/// Largest signing request looked at, in bytes; an ordinary one has 300.
pub const MAX_CSR_BYTES: usize = 4_096;

/// A P-256 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    point: Vec<u8>,
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo (DER).
    ///
    /// # Errors
    /// It is not the key of a P-256 curve.
    pub fn from_spki(spki: &[u8]) -> Result<PublicKey, AuthorityError> {
        let refused = || AuthorityError::Request("its key is not an ECDSA key on P-256");
        let point = spki.strip_prefix(&P256_HEAD[..]).ok_or_else(refused)?;
        match point.first() {
            Some(4) if point.len() == POINT_BYTES => Ok(PublicKey { point: point.to_vec() }),
            _ => Err(refused()),
        }
    }

    /// From a signing request (PKCS#10, DER), if it is signed by that key. Names, extensions and attributes in it count for
    /// nothing, and are not looked at.
    ///
    /// # Errors
    /// It is no such request.
    pub fn from_csr(der: &[u8]) -> Result<PublicKey, AuthorityError> {
        if der.len() > MAX_CSR_BYTES {
            return Err(AuthorityError::Request("it is too large"));
        }
        let (rest, request) = X509CertificationRequest::from_der(der)
            .map_err(|_| AuthorityError::Request("it cannot be parsed"))?;
        let info = &request.certification_request_info;
        let public = PublicKey::from_spki(info.subject_pki.raw)?;
        let algorithm = request.signature_algorithm.algorithm.to_id_string();
        let signed = algorithm == ECDSA_SHA256
            && rest.is_empty()
            && key::p256_signed(&public.point, info.raw, &request.signature_value.data);
        if signed { Ok(public) } else { Err(AuthorityError::Request("it is not signed by its key")) }
    }

    /// Its SubjectPublicKeyInfo (DER).
    pub fn spki(&self) -> Vec<u8> {
        [&P256_HEAD[..], &self.point].concat()
    }

    /// SHA-256 of that: what operators compare.
    pub fn fingerprint(&self) -> KeyId {
        key::id_of_spki(&self.spki())
    }

    /// Whether it signed this; the signature is in ASN.1, as in certificates.
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        key::p256_signed(&self.point, message, signature)
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

    use super::*;

    #[test]
    fn of_a_request_only_the_key_counts_and_only_if_it_signed() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let params = CertificateParams::new(vec!["root.top-master.core.acme.example".into()]).unwrap();
        let csr = params.serialize_request(&key).unwrap();
        let public = PublicKey::from_csr(csr.der()).unwrap();
        assert_eq!(public.spki(), key.subject_public_key_info());
        assert_eq!(PublicKey::from_spki(&public.spki()).unwrap(), public);

        let mut forged = csr.der().to_vec();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let trailing = [&csr.der()[..], b"0"].concat();
        let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let other = params.serialize_request(&other).unwrap().der().to_vec();
        for bad in [forged, trailing, other, vec![0; MAX_CSR_BYTES + 1], Vec::new()] {
            assert!(matches!(PublicKey::from_csr(&bad), Err(AuthorityError::Request(_))));
        }
    }
}
