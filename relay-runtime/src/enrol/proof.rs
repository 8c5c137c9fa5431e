//! What is signed in enrolment, and by whom: the request for a certificate by its own key, the renewal by the key that is held,
//! the request to join by the key made from a token.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey as _};
use relay_core::{
    enrol::{Fingerprint, token::JoinToken},
    identity::Identity,
};
use relay_proto::trust::{EnrolRequest, JoinProof};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    authority::PublicKey,
    trust::{Enrolment, key},
};

/// What stands before what is signed by the key made from a token.
const JOIN: &[u8] = b"relay join v1\0";
/// What stands before what is signed to renew.
const RENEW: &[u8] = b"relay renew v1\0";
/// What a token is hashed with to become a key.
const TOKEN: &[u8] = b"relay join token v1\0";
/// Longest chain that is shown for a renewal: a leaf, its issuer, and a root that signed another root.
const MAX_CHAIN: usize = 4;

/// What is wrong with a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// Not PKCS#10, or of another kind of key, or not signed by its own key.
    #[error("the signing request is no PKCS#10 with a P-256 key, signed by that key")]
    Request,
    /// What is shown is no certificate chain.
    #[error("the certificate that is shown cannot be read")]
    Certificate,
    /// The request is not signed by the key of the certificate that is shown.
    #[error("the request is not signed by the key of the certificate that is shown")]
    Held,
    /// The request is not signed by the key of the token.
    #[error("the request is not signed with the join token")]
    Token,
    /// There is no randomness, or no room.
    #[error("a key cannot be made or used")]
    Key,
}

/// The key of a signing request whose holder has signed it. Nothing else in a request is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
}

impl Asked {
    /// Reads a PKCS#10.
    ///
    /// # Errors
    /// It is none, or of another key than P-256, or not signed by its own key.
    pub fn read(csr: &[u8]) -> Result<Asked, BadProof> {
        let public = PublicKey::from_csr(csr).map_err(|_| BadProof::Request)?;
        Ok(Asked { spki: public.spki(), fingerprint: Fingerprint(public.fingerprint()) })
    }
}

/// A key to ask or renew with.
pub struct OwnKey(KeyPair);

impl OwnKey {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<OwnKey, BadProof> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(OwnKey).map_err(|_| BadProof::Key)
    }

    /// From PEM.
    ///
    /// # Errors
    /// It is no P-256 key.
    pub fn from_pem(pem: &str) -> Result<OwnKey, BadProof> {
        let pair = KeyPair::from_pem(pem).map_err(|_| BadProof::Key)?;
        let own = OwnKey(pair);
        PublicKey::from_spki(&own.spki()).map(|_| own).map_err(|_| BadProof::Key)
    }

    /// As PEM, for a file that nobody else reads.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// The public half: SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> Vec<u8> {
        rcgen::PublicKeyData::subject_public_key_info(&self.0)
    }

    /// The fingerprint of the public half.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(key::id_of_spki(&self.spki()))
    }

    /// A signing request with this key and nothing more.
    ///
    /// # Errors
    /// The key can't sign.
    pub fn csr(&self) -> Result<Vec<u8>, BadProof> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&self.0).map_err(|_| BadProof::Key)?;
        Ok(csr.der().to_vec())
    }

    /// Signs the request for the next certificate.
    ///
    /// # Errors
    /// The key can't sign.
    pub fn sign_renewal(&self, csr: &[u8]) -> Result<Vec<u8>, BadProof> {
        self.0.sign(&[RENEW, csr].concat()).map_err(|_| BadProof::Key)
    }
}

/// A certificate that somebody holds, as shown for a renewal.
#[derive(Debug, Clone)]
pub struct Held {
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// Which one of whom.
    pub enrolment: Enrolment,
    /// The fingerprint of its key.
    pub fingerprint: Fingerprint,
    /// From when on it counts, and when it ends: seconds since 1970 UTC.
    pub span: (u64, u64),
}

impl Held {
    /// Reads a chain. That it is of this fabric is not known yet.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(chain: Vec<CertificateDer<'static>>) -> Result<Held, BadProof> {
        let leaf = chain.first().filter(|_| chain.len() <= MAX_CHAIN).ok_or(BadProof::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| BadProof::Certificate)?;
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
        let validity = parsed.validity();
        Ok(Held {
            enrolment: Enrolment::of_certificate(leaf),
            fingerprint: Fingerprint(key::id_of_spki(parsed.public_key().raw)),
            span: (seconds(validity.not_before), seconds(validity.not_after)),
            chain: chain.clone(),
        })
    }

    /// Whether its key signed this request for the next certificate.
    ///
    /// # Errors
    /// It did not.
    pub fn signed(&self, csr: &[u8], signature: &[u8]) -> Result<(), BadProof> {
        let leaf = self.chain.first().ok_or(BadProof::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| BadProof::Certificate)?;
        let public = PublicKey::from_spki(parsed.public_key().raw).map_err(|_| BadProof::Held)?;
        match public.signed(&[RENEW, csr].concat(), signature) {
            true => Ok(()),
            false => Err(BadProof::Held),
        }
    }

    /// The last moment at which it counts. What has ended is of the fabric all the same.
    pub fn last_moment(&self) -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.span.1.saturating_sub(1)))
    }
}

/// The key made from a join token. The token itself leaves neither who made it nor who joins.
pub struct TokenKey(Ed25519KeyPair);

impl TokenKey {
    /// The key of a token.
    ///
    /// # Errors
    /// Never for a token; the library could refuse.
    pub fn of(token: &JoinToken) -> Result<TokenKey, BadProof> {
        let seed = Sha256::new().chain_update(TOKEN).chain_update(token.bits()).finalize();
        Ed25519KeyPair::from_seed_unchecked(&seed).map(TokenKey).map_err(|_| BadProof::Key)
    }

    /// Its public half.
    pub fn public(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    /// The proof that a request is made by who holds the token.
    pub fn prove(&self, who: &Identity, csr: &[u8]) -> JoinProof {
        let signature = self.0.sign(&join_message(who, csr));
        JoinProof { public: self.public(), signature: signature.as_ref().to_vec() }
    }
}

/// What names a token: the hash of its public key.
pub fn token_hash(public: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(public).into())
}

/// Checks the proof in a request, if there is one: the hash that names its token.
///
/// # Errors
/// It is not signed by the key in it.
pub fn joins(request: &EnrolRequest, who: &Identity) -> Result<Option<Fingerprint>, BadProof> {
    let Some(proof) = &request.join else { return Ok(None) };
    let public: &[u8; key::PUBLIC_BYTES] = proof.public.as_slice().try_into().map_err(|_| BadProof::Token)?;
    match key::ed25519_signed(public, &join_message(who, &request.csr), &proof.signature) {
        true => Ok(Some(token_hash(public))),
        false => Err(BadProof::Token),
    }
}

fn join_message(who: &Identity, csr: &[u8]) -> Vec<u8> {
    let mut message = JOIN.to_vec();
    for part in [who.id(), who.role().word(), who.region().as_str()] {
        message.extend_from_slice(part.as_bytes());
        message.push(0);
    }
    message.extend_from_slice(csr);
    message
}

#[cfg(test)]
mod tests {
    use relay_core::identity::{Role, check_region};

    use super::*;

    fn who(id: &str) -> Identity {
        Identity::new(id, Role::Minion, check_region("aws").unwrap(), "acme.example".parse().unwrap())
            .unwrap()
    }

    #[test]
    fn a_signing_request_names_its_key_and_proves_it() {
        let key = OwnKey::generate().unwrap();
        let csr = key.csr().unwrap();
        let asked = Asked::read(&csr).unwrap();
        assert_eq!((asked.fingerprint, asked.spki), (key.fingerprint(), key.spki()));
        let again = OwnKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(again.fingerprint(), key.fingerprint());
        // Whatever is altered of it, it never names another key.
        let mut refused = 0;
        for at in 0..csr.len() {
            let mut altered = csr.clone();
            altered[at] ^= 1;
            match Asked::read(&altered) {
                Err(_) => refused += 1,
                Ok(named) => assert_eq!(named.fingerprint, key.fingerprint(), "byte {at}"),
            }
        }
        assert!(refused > csr.len() - 8, "{refused} of {} bytes count", csr.len());
        for bad in [&[][..], &csr[..csr.len() - 1], &[csr.as_slice(), &[0]].concat()] {
            assert_eq!(Asked::read(bad), Err(BadProof::Request));
        }
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for kind in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let key = OwnKey(KeyPair::generate_for(kind).unwrap());
            assert_eq!(Asked::read(&key.csr().unwrap()), Err(BadProof::Request));
            assert!(OwnKey::from_pem(&key.to_pem()).is_err());
        }
    }

    #[test]
    fn a_token_is_proven_for_one_request_of_one_name() {
        let token = TokenKey::of(&JoinToken::of([7; 16])).unwrap();
        let request = |id: &str, csr: &[u8], join| EnrolRequest {
            id: id.into(),
            csr: csr.to_vec(),
            join,
            ..EnrolRequest::default()
        };
        let proof = token.prove(&who("web01"), b"csr");
        let good = request("web01", b"csr", Some(proof.clone()));
        assert_eq!(joins(&good, &who("web01")), Ok(Some(token_hash(&token.public()))));
        assert_eq!(joins(&request("web01", b"csr", None), &who("web01")), Ok(None));
        assert_eq!(joins(&good, &who("web02")), Err(BadProof::Token));
        let other = request("web01", b"another", Some(proof.clone()));
        assert_eq!(joins(&other, &who("web01")), Err(BadProof::Token));
        let alien = TokenKey::of(&JoinToken::of([8; 16])).unwrap();
        let mixed = JoinProof { public: alien.public(), ..proof };
        assert_eq!(joins(&request("web01", b"csr", Some(mixed)), &who("web01")), Err(BadProof::Token));
        let short = JoinProof { public: vec![1; 31], signature: vec![] };
        assert_eq!(joins(&request("web01", b"csr", Some(short)), &who("web01")), Err(BadProof::Token));
    }

    #[test]
    fn a_renewal_is_signed_by_the_key_that_is_held() {
        let (held, other) = (OwnKey::generate().unwrap(), OwnKey::generate().unwrap());
        let mut params = CertificateParams::new(vec!["web01.minion.aws.acme.example".into()]).unwrap();
        params.serial_number = Some(Enrolment { uid: 5, generation: 3 }.serial().to_vec().into());
        let leaf = params.self_signed(&held.0).unwrap().der().clone();
        let shown = Held::read(vec![leaf]).unwrap();
        assert_eq!((shown.enrolment.uid, shown.enrolment.generation), (5, 3));
        assert_eq!(shown.fingerprint, held.fingerprint());
        let csr = other.csr().unwrap();
        assert_eq!(shown.signed(&csr, &held.sign_renewal(&csr).unwrap()), Ok(()));
        assert_eq!(shown.signed(&csr, &other.sign_renewal(&csr).unwrap()), Err(BadProof::Held));
        assert_eq!(shown.signed(b"another", &held.sign_renewal(&csr).unwrap()), Err(BadProof::Held));
        assert!(Held::read(vec![]).is_err() && Held::read(vec![b"x".to_vec().into()]).is_err());
    }
}
