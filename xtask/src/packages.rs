//! What tests use of the system if it is there, and what they skip without it.
//!
//! Only tests need it: what nothing compiles or runs without is `machine`'s.

use std::{fs, path::Path};

use crate::{machine, tally::Tally};

/// Debian's package, and where it puts the programs of each version.
const PACKAGE: &str = "postgresql";
const VERSIONS: &str = "/usr/lib/postgresql";
/// Settings that Debian's scripts take for what they do with a new PostgreSQL.
const SCRIPTS: &str = "/etc/postgresql-common/createcluster.d";
/// Our tests start servers of their own; the one that the package would set up and start is nobody's.
const NO_SERVICE: &str = "create_main_cluster = false\n";
/// What goes untested without it.
const SKIPPED: &str = "tests of the PostgreSQL store, and of a top master on it";

/// Installs PostgreSQL if it is missing and can be had; if not, says what will be skipped.
///
/// # Errors
/// None: without it the rest is tested.
pub fn check() -> anyhow::Result<Tally> {
    if is_installed(Path::new(VERSIONS)) {
        println!("PostgreSQL is here");
        return Ok(Tally::PASSED);
    }
    let installed = without_service(Path::new(SCRIPTS), || machine::install_package(PACKAGE));
    if let Err(why) = installed {
        println!("{why:#}");
    } else if is_installed(Path::new(VERSIONS)) {
        println!("PostgreSQL is here now");
        return Ok(Tally::PASSED);
    }
    println!("SKIPPED: {SKIPPED}. By hand: apt-get install -y {PACKAGE}");
    Ok(Tally::SKIPPED)
}

/// As the tests look for it.
fn is_installed(versions: &Path) -> bool {
    let mut found = fs::read_dir(versions).into_iter().flatten().flatten();
    found.any(|version| {
        let program = |name: &str| version.path().join("bin").join(name).is_file();
        program("initdb") && program("postgres")
    })
}

/// Does something while new versions of PostgreSQL get no service; leaves the system's settings as they were.
fn without_service(scripts: &Path, install: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (was_there, setting) = (scripts.exists(), scripts.join("relay-tests.conf"));
    fs::create_dir_all(scripts)?;
    fs::write(&setting, NO_SERVICE)?;
    let installed = install();
    fs::remove_file(&setting)?;
    if !was_there {
        // The package may have put something of its own there.
        let _ = fs::remove_dir(scripts);
    }
    installed
}
