//! Certificates for a fabric of tests: its own throw-away authority, and those who should not be let in.

use std::path::{Path, PathBuf};

use relay_core::identity::{FabricName, Identity, Role, check_region};
use relay_runtime::{
    authority::DevAuthority,
    config::TlsConfig,
    identity::{self, LoadedIdentity},
};

/// Every fabric of the tests has this name; an alien authority too, so that only its key tells it apart.
pub const FABRIC: &str = "test.example";

/// An authority and where it writes.
pub struct Pki {
    authority: DevAuthority,
    dir: PathBuf,
}

impl Pki {
    /// A new root below a directory.
    ///
    /// # Panics
    /// The directory is not writable, or holds one already.
    pub fn create(dir: &Path) -> Pki {
        let authority = DevAuthority::create(&dir.join("ca"), fabric()).expect("a new authority");
        Pki { authority, dir: dir.to_owned() }
    }

    /// Files of a certificate for somebody; made once.
    ///
    /// # Panics
    /// No such identity can be, or the directory is not writable.
    pub fn issue(&self, id: &str, role: Role, region: &str) -> TlsConfig {
        let who = who(id, role, region);
        self.authority.issue(&who, &self.dir.join(role.word())).expect("a certificate")
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
        self.authority.root_file()
    }
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
