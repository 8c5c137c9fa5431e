//! The daemons' programs: beside relayctl's own, where a build and an installation both put them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use relay_core::identity::Role;

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Beside this process's own program.
    ///
    /// # Errors
    /// Not all are there: which, and what to build.
    pub fn find() -> anyhow::Result<Binaries> {
        let own = std::env::current_exe().and_then(|path| path.canonicalize());
        let own = own.context("cannot find relayctl's own program, and the daemons' are beside it")?;
        Binaries::in_dir(own.parent().unwrap_or(Path::new(".")))
    }

    pub(super) fn in_dir(dir: &Path) -> anyhow::Result<Binaries> {
        let binaries = Binaries { dir: dir.to_owned() };
        let roles = [Role::TopMaster, Role::Syndic, Role::Minion];
        let missing: Vec<&str> =
            roles.iter().filter(|r| !binaries.of(**r).is_file()).map(|r| r.word()).collect();
        if !missing.is_empty() {
            let packages = missing.iter().map(|name| format!(" -p {name}")).collect::<String>();
            let names = missing.join(", ");
            bail!("{}: {names} missing beside relayctl; build with: cargo build{packages}", dir.display());
        }
        Ok(binaries)
    }

    /// A role's program.
    pub fn of(&self, role: Role) -> PathBuf {
        self.dir.join(role.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_build() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("syndic"), "").unwrap();
        let told = Binaries::in_dir(dir.path()).unwrap_err().to_string();
        assert!(told.ends_with("cargo build -p top-master -p minion"), "{told}");
    }
}
