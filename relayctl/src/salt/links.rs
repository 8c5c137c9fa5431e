//! `salt --install-links DIR`: the other three names, as links to this program.

use std::{fs, io, os::unix::fs::symlink, path::Path};

use anyhow::{Context as _, bail};

use super::{NAMES, code::Code, printer::Printer};

/// The option, which has nothing beside it.
pub const OPTION: &str = "--install-links";

/// Makes the links that are not there yet, and their directory. What has one of the names and is no link to this program stays as it is: it may
/// be the real Salt.
pub fn install(dir: &Path) -> anyhow::Result<Code> {
    let own = std::env::current_exe().and_then(|file| file.canonicalize());
    let own = own.context("cannot find this program's own file")?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    let mut printer = Printer::stdout();
    for name in NAMES {
        let link = dir.join(name);
        match symlink(&own, &link) {
            Ok(()) => printer.print(&format!("{} -> {}\n", link.display(), own.display()))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if link.canonicalize().ok().as_ref() != Some(&own) {
                    bail!(
                        "{} is there already and is another program: remove it, or name another directory",
                        link.display()
                    );
                }
                printer.print(&format!("{} is already there\n", link.display()))?;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", link.display())),
        }
    }
    Ok(Code::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_made_once_and_replace_nothing() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("opt/bin");
        assert_eq!(install(&dir).unwrap(), Code::OK);
        assert_eq!(install(&dir).unwrap(), Code::OK);
        let own = std::env::current_exe().unwrap().canonicalize().unwrap();
        for name in NAMES {
            assert_eq!(dir.join(name).canonicalize().unwrap(), own);
        }
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("salt-key"), "the real one").unwrap();
        let told = install(other.path()).unwrap_err().to_string();
        assert!(told.contains("salt-key is there already"), "{told}");
        assert_eq!(std::fs::read_to_string(other.path().join("salt-key")).unwrap(), "the real one");
    }
}
