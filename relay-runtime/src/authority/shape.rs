//! The shapes of certificates: root, issuer, leaf; and the little that is read back from them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints, SerialNumber,
};
use relay_core::identity::{FabricName, Identity, Role};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{AuthorityError, Scope};
use crate::trust::{Enrolment, Seconds};

/// How far back a certificate's life begins, for clocks that are slow.
pub(super) const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// From when until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    from: SystemTime,
    until: SystemTime,
}

impl Life {
    /// From a little before now; not beyond `end`, if there is one.
    pub(super) fn of(now: Seconds, lasts: Duration, end: Option<Seconds>) -> Life {
        let now = UNIX_EPOCH + Duration::from_secs(now);
        let (from, until) = (now - BACKDATED, now + lasts);
        let end = end.map_or(until, |end| UNIX_EPOCH + Duration::from_secs(end));
        Life { from, until: until.min(end) }
    }

    fn put(self, params: &mut CertificateParams) {
        params.not_before = self.from.into();
        params.not_after = self.until.into();
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params
}

/// A root: it signs issuers (path length 1), and anchors.
pub(super) fn root(name: &str, life: Life) -> CertificateParams {
    let mut params = named(name);
    life.put(&mut params);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// An issuer: it signs leaves of its scope and nothing else.
pub(super) fn issuer(name: &str, scope: &Scope, fabric: &FabricName, life: Life) -> CertificateParams {
    let mut params = named(name);
    life.put(&mut params);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    let permitted = scope.permitted(fabric).into_iter().map(GeneralSubtree::DnsName).collect();
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
    params
}

/// Somebody's certificate. Without an enrolment its serial number is of another form.
pub(super) fn leaf(
    identity: &Identity,
    enrolment: Option<Enrolment>,
    life: Life,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::new(vec![identity.to_dns()])?;
    params.distinguished_name = DistinguishedName::new();
    life.put(&mut params);
    params.serial_number = enrolment.map(|enrolment| SerialNumber::from_slice(&enrolment.serial()));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages(identity.role());
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Who nobody dials may not answer as a server: a minion's certificate makes no syndic.
fn usages(role: Role) -> Vec<ExtendedKeyUsagePurpose> {
    match role {
        Role::Minion | Role::Operator => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Role::Syndic | Role::TopMaster => {
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth]
        }
    }
}

/// The common name of a certificate that was made here.
pub(super) fn name_of(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    names.next()?.as_str().ok().map(str::to_owned)
}

/// The scope that stands in an issuer's certificate.
pub(super) fn scope_of(certificate: &X509Certificate<'_>, fabric: &FabricName) -> Option<Scope> {
    let constraints = certificate.name_constraints().ok()??;
    let permitted = constraints.value.permitted_subtrees.as_ref()?;
    let names: Option<Vec<&str>> = permitted
        .iter()
        .map(|subtree| match subtree.base {
            GeneralName::DNSName(name) => Some(name),
            _ => None,
        })
        .collect();
    Scope::of_permitted(&names?, fabric)
}

/// When a certificate begins and ends to count; none, if it is none.
pub fn life_of(der: &CertificateDer<'_>) -> Option<(Seconds, Seconds)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let life = certificate.validity();
    let seconds = |at: i64| u64::try_from(at).ok();
    Some((seconds(life.not_before.timestamp())?, seconds(life.not_after.timestamp())?))
}
