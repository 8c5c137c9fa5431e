//! What tests use of the system if it is there, and what they skip without it.
//!
//! Only tests need it: what nothing compiles or runs without is `machine`'s.

use std::{env, fs, io, os::unix::fs::PermissionsExt, path::Path};

use crate::{machine, tally::Tally};

/// One of Debian's packages.
struct Package {
    /// What it is called.
    what: &'static str,
    name: &'static str,
    /// Whether it is there, as the tests look for it.
    is_installed: fn() -> bool,
    /// What goes untested without it.
    skipped: &'static str,
}

const PACKAGES: [Package; 4] = [
    Package {
        what: "PostgreSQL",
        name: "postgresql",
        is_installed: || has_postgres(Path::new("/usr/lib/postgresql")),
        skipped: "tests of the PostgreSQL store, and of a top master on it",
    },
    Package {
        what: "etcd",
        name: "etcd-server",
        is_installed: || Path::new("/usr/bin/etcd").is_file(),
        skipped: "tests of the registry in etcd, and of several top masters",
    },
    Package {
        what: "ip",
        name: "iproute2",
        is_installed: || is_program("ip"),
        skipped: "tests of networks that are cut",
    },
    Package {
        what: "nftables",
        name: "nftables",
        is_installed: || is_program("nft"),
        skipped: "tests of networks that are cut",
    },
];

/// Settings that Debian's scripts take for what they do with a new PostgreSQL.
const SCRIPTS: &str = "/etc/postgresql-common/createcluster.d";
/// Our tests start servers of their own; the one that the package would set up and start is nobody's.
const NO_CLUSTER: &str = "create_main_cluster = false\n";
/// What Debian's scripts ask before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// "Forbidden", whatever it is.
const NO_SERVICE: &str = "#!/bin/sh\nexit 101\n";

/// Installs what is missing and can be had; if it can't, says what will be skipped.
///
/// # Errors
/// None: without it the rest is tested.
pub fn check() -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    PACKAGES.iter().for_each(|package| tally += package.check());
    Ok(tally)
}

impl Package {
    fn check(&self) -> Tally {
        let Package { what, name, is_installed, skipped } = self;
        if is_installed() {
            println!("{what} is here");
            return Tally::PASSED;
        }
        let quietly = || without_service(Path::new(POLICY), || machine::install_package(name));
        if let Err(why) = without_cluster(Path::new(SCRIPTS), quietly) {
            println!("{why:#}");
        } else if is_installed() {
            println!("{what} is here now");
            return Tally::PASSED;
        }
        println!("SKIPPED: {skipped}. By hand: apt-get install -y {name}");
        Tally::SKIPPED
    }
}

/// Whether it is found as the tests find it: along the path.
fn is_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn has_postgres(versions: &Path) -> bool {
    let mut found = fs::read_dir(versions).into_iter().flatten().flatten();
    found.any(|version| {
        let program = |name: &str| version.path().join("bin").join(name).is_file();
        program("initdb") && program("postgres")
    })
}

/// Does something while new versions of PostgreSQL get no cluster; leaves the system's settings as they were.
fn without_cluster(scripts: &Path, install: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (was_there, setting) = (scripts.exists(), scripts.join("relay-tests.conf"));
    fs::create_dir_all(scripts)?;
    fs::write(&setting, NO_CLUSTER)?;
    let installed = install();
    fs::remove_file(&setting)?;
    if !was_there {
        // The package may have put something of its own there.
        let _ = fs::remove_dir(scripts);
    }
    installed
}

/// Does something while no service is started. A policy that is there already stays: it is somebody's decision.
fn without_service(policy: &Path, install: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    if policy.exists() {
        return install();
    }
    write_program(policy, NO_SERVICE)?;
    let installed = install();
    fs::remove_file(policy)?;
    installed
}

fn write_program(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_there_while_it_is_installed_and_gone_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let (scripts, policy) = (dir.path().join("scripts"), dir.path().join("policy"));
        let looked = || {
            assert_eq!(fs::read_to_string(scripts.join("relay-tests.conf")).unwrap(), NO_CLUSTER);
            let mode = fs::metadata(&policy).unwrap().permissions().mode();
            assert_eq!(mode & 0o111, 0o111, "{mode:o}");
            anyhow::bail!("no such package")
        };
        let failed = without_cluster(&scripts, || without_service(&policy, looked));
        assert_eq!(failed.unwrap_err().to_string(), "no such package");
        assert!(!scripts.exists() && !policy.exists());
    }

    #[test]
    fn a_policy_of_somebody_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("policy");
        fs::write(&policy, "theirs").unwrap();
        without_service(&policy, || Ok(())).unwrap();
        assert_eq!(fs::read_to_string(&policy).unwrap(), "theirs");
    }
}
