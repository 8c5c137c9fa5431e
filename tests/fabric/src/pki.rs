//! Certificates for a fabric of tests: its own authority, and those who should not be let in.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use relay_core::{
    identity::{FabricName, Identity, Role, check_region},
    ids::RegionName,
};
use relay_runtime::{
    authority::{Authority, DevAuthority, Held, Scope, member, pem},
    config::TlsConfig,
    identity::{self, LoadedIdentity},
    trust::{self, Enrolment, enrolment::BY_HAND},
};

/// Every fabric of the tests has this name; an alien authority too, so that only its key tells it apart.
pub const FABRIC: &str = "test.example";
/// The region of top masters and operators.
const CORE: &str = "core";
/// How long certificates of an issuer count: no test takes longer.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// An authority and where it writes.
pub struct Pki {
    /// A throw-away root that makes everybody's certificates itself; without one, the issuers in [`Pki::trust_dir`] do.
    throw_away: Option<DevAuthority>,
    root: PathBuf,
    dir: PathBuf,
}

impl Pki {
    /// A new throw-away root below a directory, without issuers.
    ///
    /// # Panics
    /// The directory is not writable, or holds one already.
    pub fn create(dir: &Path) -> Pki {
        let authority = DevAuthority::create(&dir.join("ca"), fabric()).expect("a new authority");
        let root = authority.root_file().to_owned();
        Pki { throw_away: Some(authority), root, dir: dir.to_owned() }
    }

    /// The same with issuers for these regions, and for top masters and operators.
    ///
    /// # Panics
    /// As [`Pki::create`].
    pub fn create_for(dir: &Path, regions: &BTreeSet<&str>) -> Pki {
        let pki = Pki::create(dir);
        if let Some(authority) = &pki.throw_away {
            authority.add_issuers(&scopes(regions)).expect("issuers");
        }
        pki
    }

    /// An authority as `relayctl ca` makes it, whose issuers make the certificates.
    ///
    /// # Panics
    /// As [`Pki::create`].
    pub fn with_authority(dir: &Path, regions: &BTreeSet<&str>) -> Pki {
        let home = dir.join("ca");
        Authority::init(&home, fabric(), &scopes(regions), trust::now()).expect("a new authority");
        Pki { throw_away: None, root: dir.join("root.pem"), dir: dir.to_owned() }
    }

    /// The directory of the authority.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca")
    }

    /// The directory for top masters' `trust.dir`.
    pub fn trust_dir(&self) -> PathBuf {
        self.authority().join("trust")
    }

    /// Files of a certificate for somebody, in the place of older ones.
    ///
    /// # Panics
    /// No such identity can be, or the directory is not writable.
    pub fn issue(&self, id: &str, role: Role, region: &str) -> TlsConfig {
        let (who, dir) = (who(id, role, region), self.dir.join(role.word()));
        match &self.throw_away {
            Some(authority) => authority.issue(&who, &dir).expect("a certificate"),
            None => self.made(&who, &dir),
        }
    }

    fn made(&self, who: &Identity, dir: &Path) -> TlsConfig {
        let held = Held::open(&self.trust_dir()).expect("what top masters hold");
        let enrolment = Enrolment { uid: rand::random::<u64>() | BY_HAND, generation: 0 };
        let made =
            member(|public| held.issue(who, public, enrolment, LIFE, trust::now())).expect("a certificate");
        fs::create_dir_all(dir).expect("a directory");
        let file = |end: &str| dir.join(format!("{}.{end}", who.id()));
        let tls = TlsConfig { ca: self.root.clone(), cert: file("pem"), key: file("key") };
        place(&tls.key, made.key_pem(), 0o600);
        place(&tls.cert, &made.chain_pem(), 0o644);
        let roots: Vec<_> = held.anchors().roots.iter().map(|root| root.certificate.clone()).collect();
        place(&tls.ca, &pem(&roots), 0o644);
        tls
    }

    /// The same, loaded.
    ///
    /// # Panics
    /// As [`Pki::issue`].
    pub fn load(&self, id: &str, role: Role, region: &str) -> LoadedIdentity {
        identity::load(&self.issue(id, role, region), &fabric()).expect("what was just written")
    }

    /// The root's file.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn scopes(regions: &BTreeSet<&str>) -> Vec<Scope> {
    let region = |name: &str| -> RegionName { check_region(name).expect("a region") };
    let core = [Scope::TopMasters(region(CORE)), Scope::Operators(region(CORE))];
    regions.iter().map(|name| Scope::Region(region(name))).chain(core).collect()
}

/// Puts a file in its place as a whole.
fn place(path: &Path, text: &str, mode: u32) {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).expect("a file");
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).expect("a mode");
    fs::rename(draft, path).expect("a file in its place");
}

/// The fabric's name, parsed.
pub fn fabric() -> FabricName {
    FABRIC.parse().expect("a fabric's name")
}

/// Somebody of the fabric.
///
/// # Panics
/// The parts make no identity.
pub fn who(id: &str, role: Role, region: &str) -> Identity {
    let region = check_region(region).expect("a region");
    Identity::new(id, role, region, fabric()).expect("an identity")
}
