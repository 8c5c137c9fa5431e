//! Abuse test a25: certificates that must open nothing, in handshakes with the configurations that daemons use, followed by
//! the check that every port makes of the name. Each is signed by an issuer of the fabric, as if its key had been stolen, or by
//! somebody who is none.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Usage, IsCa,
    KeyPair, PKCS_ECDSA_P256_SHA256, SanType,
};
use relay_core::identity::{FabricName, Identity, Role, check_region};
use rustls::{ClientConnection, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

use super::*;
use crate::{
    authority::{Authority, Issuer, LEAF_LIFE, PublicKey, Scope},
    identity::peer_identity,
    trust::{self, Enrolment, Trusted, bundle, testing},
};

fn fabric() -> FabricName {
    "acme.example".parse().unwrap()
}

fn who(id: &str, role: Role, region: &str) -> Identity {
    Identity::new(id, role, check_region(region).unwrap(), fabric()).unwrap()
}

/// An authority with issuers for the region aws, azure's and the top masters of core.
struct Site {
    authority: Authority,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let region = |name: &str| check_region(name).unwrap();
        let scopes = [
            Scope::Region(region("aws")),
            Scope::Region(region("azure")),
            Scope::TopMasters(region("core")),
            Scope::Operators(region("core")),
        ];
        Site {
            authority: Authority::init(&dir.path().join("ca"), fabric(), &scopes, trust::now()).unwrap(),
            _dir: dir,
        }
    }

    fn issuer(&self, scope: &Scope) -> &Issuer {
        self.authority.held().issuer(scope, trust::now()).unwrap()
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.authority.held().anchors().roots.iter().map(|root| root.certificate.clone()).collect()
    }

    /// As an issuer makes it.
    fn member(&self, identity: &Identity, enrolment: Enrolment) -> LoadedIdentity {
        let key = key();
        let public = PublicKey::from_spki(&rcgen::PublicKeyData::subject_public_key_info(&key)).unwrap();
        let held = self.authority.held();
        let chain = held.issue(identity, &public, enrolment, LEAF_LIFE, trust::now()).unwrap();
        self.shown(chain, key, identity)
    }

    /// Whatever is asked for, signed by this issuer.
    fn forged(&self, scope: &Scope, params: &CertificateParams) -> LoadedIdentity {
        let key = key();
        let chain = self.issuer(scope).sign_anything(params, &key);
        self.shown(chain, key, &who("whoever", Role::Minion, "aws"))
    }

    fn shown(
        &self,
        certs: Vec<CertificateDer<'static>>,
        key: KeyPair,
        identity: &Identity,
    ) -> LoadedIdentity {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        LoadedIdentity { certs, key, roots: self.roots(), identity: identity.clone() }
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// What an issuer would sign for this name, to be spoilt.
fn asked(names: &[&str], usages: &[Usage]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
    params.not_after = (SystemTime::now() + Duration::from_secs(3_600)).into();
    params.extended_key_usages = usages.to_vec();
    params
}

const CLIENT: &[Usage] = &[Usage::ClientAuth];
const BOTH: &[Usage] = &[Usage::ClientAuth, Usage::ServerAuth];

/// A handshake in memory, and then the names: who the server takes the client for, and who the client takes the server for.
fn met(client: &LoadedIdentity, server: &LoadedIdentity, name: &str) -> Result<(Identity, Identity), String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(super::client(client).unwrap(), name).unwrap();
    let mut server = ServerConnection::new(super::server(server).unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|e| format!("the server: {e}"))?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|e| format!("the client: {e}"))?;
    }
    let seen = |chain: Option<&[CertificateDer<'_>]>| {
        peer_identity(&chain.unwrap()[0], &fabric()).map_err(|e| format!("the name: {e}"))
    };
    Ok((seen(server.peer_certificates())?, seen(client.peer_certificates())?))
}

const SYNDIC: &str = "s.syndic.aws.acme.example";

fn region(name: &str) -> Scope {
    Scope::Region(check_region(name).unwrap())
}

#[test]
fn members_meet() {
    let site = Site::new();
    let enrolment = Enrolment { uid: 7, generation: 3 };
    let minion = site.member(&who("web", Role::Minion, "aws"), enrolment);
    let syndic = site.member(&who("s", Role::Syndic, "aws"), Enrolment { uid: 8, generation: 0 });
    assert_eq!(Enrolment::of_certificate(&minion.certs[0]), enrolment);
    assert_eq!((minion.certs.len(), syndic.certs.len()), (2, 3), "who serves shows the root, too");
    let (seen, parent) = met(&minion, &syndic, SYNDIC).unwrap();
    assert_eq!((seen, parent), (who("web", Role::Minion, "aws"), who("s", Role::Syndic, "aws")));
    let top = site.member(&who("t", Role::TopMaster, "core"), Enrolment { uid: 9, generation: 0 });
    assert!(met(&syndic, &top, "t.top-master.core.acme.example").is_ok());
    let operator = site.member(&who("ann", Role::Operator, "core"), Enrolment { uid: 10, generation: 0 });
    assert!(met(&operator, &top, "t.top-master.core.acme.example").is_ok());
}

/// Everything here is shown to a syndic as if by a minion.
#[test]
fn a_client_with_a_wrong_certificate_is_nobody() {
    let (site, elsewhere) = (Site::new(), Site::new());
    let syndic = site.member(&who("s", Role::Syndic, "aws"), Enrolment::NONE);
    let (aws, ops) = (region("aws"), Scope::Operators(check_region("core").unwrap()));
    let web = "web.minion.aws.acme.example";
    let mut expired = asked(&[web], CLIENT);
    expired.not_after = (SystemTime::now() - Duration::from_secs(1)).into();
    let mut early = asked(&[web], CLIENT);
    early.not_before = (SystemTime::now() + Duration::from_secs(900)).into();
    let mut address = asked(&[web], CLIENT);
    address.subject_alt_names.push(SanType::IpAddress("192.0.2.1".parse().unwrap()));
    let mut uri = asked(&[web], CLIENT);
    uri.subject_alt_names.push(SanType::URI("spiffe://acme.example/web".try_into().unwrap()));
    let mut mail = asked(&[web], CLIENT);
    mail.subject_alt_names.push(SanType::Rfc822Name("web@acme.example".try_into().unwrap()));
    let mut common = asked(&[], CLIENT);
    common.distinguished_name.push(DnType::CommonName, web);
    let mut authority = asked(&[web], CLIENT);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cases = [
        ("another region's name", &aws, asked(&["web.minion.azure.acme.example"], CLIENT), "the server"),
        ("a top master's name", &aws, asked(&["t.top-master.aws.acme.example"], BOTH), "the server"),
        ("an operator's name", &aws, asked(&["ann.operator.aws.acme.example"], CLIENT), "the server"),
        ("a minion's name from the operators' issuer", &ops, asked(&[web], CLIENT), "the server"),
        ("another fabric's name", &aws, asked(&["web.minion.aws.other.example"], CLIENT), "the server"),
        ("a name beside the subtree", &aws, asked(&["xminion.aws.acme.example"], CLIENT), "the server"),
        ("the subtree itself", &aws, asked(&["minion.aws.acme.example"], CLIENT), "the name"),
        ("two names", &aws, asked(&[web, "db.minion.aws.acme.example"], CLIENT), "the name"),
        (
            "a second name of another region",
            &aws,
            asked(&[web, "x.minion.azure.acme.example"], CLIENT),
            "the server",
        ),
        ("a wildcard", &aws, asked(&["*.minion.aws.acme.example"], CLIENT), ""),
        ("an address beside the name", &aws, address, "the name"),
        ("a URI beside the name", &aws, uri, "the name"),
        ("a mail address beside the name", &aws, mail, "the name"),
        ("a common name only", &aws, common, "the name"),
        ("no name", &aws, asked(&[], CLIENT), "the name"),
        ("expired", &aws, expired, "the server"),
        ("not valid yet", &aws, early, "the server"),
        ("for servers only", &aws, asked(&[web], &[Usage::ServerAuth]), "the server"),
        ("for signing code only", &aws, asked(&[web], &[Usage::CodeSigning]), "the server"),
        ("an authority's certificate", &aws, authority, "the server"),
    ];
    for (what, scope, params, refused_by) in cases {
        let refused = met(&site.forged(scope, &params), &syndic, SYNDIC).err();
        let refused = refused.unwrap_or_else(|| panic!("{what}: taken"));
        assert!(refused.starts_with(refused_by), "{what}: {refused}");
    }
    let mut alien = elsewhere.member(&who("web", Role::Minion, "aws"), Enrolment::NONE);
    alien.roots = site.roots();
    assert!(met(&alien, &syndic, SYNDIC).unwrap_err().starts_with("the server"), "of another authority");
    // A minion that signs for another one: it is no authority.
    let minion = site.member(&who("web", Role::Minion, "aws"), Enrolment::NONE);
    let own = KeyPair::try_from(minion.key.secret_der()).unwrap();
    let child = key();
    let named = rcgen::Issuer::new(asked(&[web], CLIENT), own);
    let leaf = asked(&["db.minion.aws.acme.example"], CLIENT).signed_by(&child, &named).unwrap();
    let mut chain = vec![leaf.der().clone()];
    chain.extend(minion.certs.clone());
    let child = site.shown(chain, child, &who("db", Role::Minion, "aws"));
    assert!(met(&child, &syndic, SYNDIC).unwrap_err().starts_with("the server"));
}

#[test]
fn a_server_with_a_wrong_certificate_is_not_dialled() {
    let (site, elsewhere) = (Site::new(), Site::new());
    let minion = site.member(&who("web", Role::Minion, "aws"), Enrolment::NONE);
    let aws = region("aws");
    let cases = [
        ("a minion's certificate", site.member(&who("s", Role::Minion, "aws"), Enrolment::NONE)),
        ("another syndic's", site.member(&who("other", Role::Syndic, "aws"), Enrolment::NONE)),
        ("the same id in another region", site.member(&who("s", Role::Syndic, "azure"), Enrolment::NONE)),
        ("for clients only", site.forged(&aws, &asked(&[SYNDIC], CLIENT))),
        ("a wildcard", site.forged(&aws, &asked(&["*.syndic.aws.acme.example"], BOTH))),
        ("two names", site.forged(&aws, &asked(&[SYNDIC, "x.syndic.aws.acme.example"], BOTH))),
        ("of another issuer", site.forged(&region("azure"), &asked(&[SYNDIC], BOTH))),
        ("of another authority", {
            let mut alien = elsewhere.member(&who("s", Role::Syndic, "aws"), Enrolment::NONE);
            alien.roots = site.roots();
            alien
        }),
    ];
    for (what, server) in cases {
        assert!(met(&minion, &server, SYNDIC).is_err(), "{what}: taken");
    }
}

/// An issuer is asked by its own process: it refuses before any peer has to.
#[test]
fn an_issuer_makes_nobody_beyond_its_scope() {
    let site = Site::new();
    let public = PublicKey::from_spki(&rcgen::PublicKeyData::subject_public_key_info(&key())).unwrap();
    let aws = site.issuer(&region("aws"));
    for (role, region) in [(Role::Minion, "azure"), (Role::TopMaster, "aws"), (Role::Operator, "aws")] {
        let refused = aws.issue(&who("x", role, region), &public, Enrolment::NONE, LEAF_LIFE, trust::now());
        assert!(refused.is_err(), "{role} {region}");
    }
    let end = aws.life().1;
    let member = who("x", Role::Minion, "aws");
    assert!(aws.issue(&member, &public, Enrolment::NONE, LEAF_LIFE, end).is_err(), "expired");
    let last = aws.issue(&member, &public, Enrolment::NONE, LEAF_LIFE, end - 60).unwrap();
    assert_eq!(crate::authority::life_of(&last[0]).unwrap().1, end, "not longer than itself");
}

/// A process that runs: another root counts, a certificate is renewed, one is revoked.
#[test]
fn each_handshake_goes_by_what_counts_then() {
    let mut site = Site::new();
    let old_roots = site.roots();
    let believing = |site: &Site, trusted: &Trusted| {
        let held = site.authority.held();
        let version = held.anchors().version;
        let keys = bundle::Keys { fabric: fabric(), expires: trust::now() + 900, ..testing::keys(version) };
        trusted.offer(&bundle::encode(held.signed(), &keys.sign(held.list_key())), trust::now()).unwrap();
    };
    let trusted = Trusted::of_roots(fabric(), &old_roots).unwrap();
    let (minion, syndic) = (who("web", Role::Minion, "aws"), who("s", Role::Syndic, "aws"));
    let old = site.member(&minion, Enrolment { uid: 1, generation: 0 });
    let tls = Tls::new(site.member(&syndic, Enrolment { uid: 2, generation: 0 }), trusted.clone()).unwrap();
    let first = tls.server(Port::Closed).unwrap();
    assert!(Arc::ptr_eq(&first, &tls.server(Port::Closed).unwrap()), "made once");

    site.authority.introduce_root(trust::now()).unwrap();
    believing(&site, &trusted);
    assert!(!Arc::ptr_eq(&first, &tls.server(Port::Closed).unwrap()));
    site.authority.rotate(&region("aws"), trust::now()).unwrap();
    let new = site.member(&minion, Enrolment { uid: 1, generation: 1 });
    let now = trust::now();
    assert_eq!(
        (tls.still(&old.certs, now), tls.still(&new.certs, now)),
        (Ok(()), Ok(())),
        "both roots count"
    );
    tls.renew(site.member(&syndic, Enrolment { uid: 2, generation: 1 })).unwrap();
    assert_eq!(Enrolment::of_certificate(&tls.own().certs[0]).generation, 1);

    site.authority.retire_root(true, trust::now()).unwrap();
    believing(&site, &trusted);
    assert_eq!((tls.still(&old.certs, now), tls.still(&new.certs, now)), (Err(Ended::Root), Ok(())));
    assert_eq!(tls.still(&new.certs, now + 2 * LEAF_LIFE.as_secs()), Err(Ended::Expired));
    assert_eq!(tls.check(Enrolment { uid: 1, generation: 0 }), Ok(()));
}
