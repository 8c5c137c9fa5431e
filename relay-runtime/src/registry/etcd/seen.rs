//! How far etcd has come: an answer that is older than an earlier one means that it lost what it had promised to keep.
//!
//! An etcd that was restored from a backup knows leases, leaders and the active topology of another time; and a revision that
//! was given once is given again. Neither can be put right from here, so it is refused, until an operator decides.
//!
//! Only answers that the quorum has confirmed are compared, each with what was known when it was asked for: answers overtake
//! each other. What is known is also kept in a file, for the time after a restart.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use etcd_client::ResponseHeader;

use super::{
    super::{RegistryError, Revision},
    names::revision,
};

/// The file's name in the state directory.
const FILE: &str = "registry-seen.json";
/// Largest file read: what we write has 60 bytes.
const MAX_FILE_BYTES: u64 = 4_096;

/// The furthest answer.
#[derive(Debug)]
pub(super) struct Seen {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Known>,
    /// What the file holds.
    saved: Option<Known>,
}

/// A cluster, and its highest revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    cluster: u64,
    revision: u64,
}

impl Seen {
    /// Nothing yet, and nothing is kept.
    pub(super) fn new() -> Seen {
        Seen { file: None, state: Mutex::default() }
    }

    /// As the file says, if there is one.
    pub(super) fn remembered(dir: &Path) -> Result<Seen, RegistryError> {
        let file = dir.join(FILE);
        let known = read(&file).map_err(|why| {
            let what = format!("{}: {why}; if it can't be put right, remove it", file.display());
            RegistryError::Refused(what)
        })?;
        Ok(Seen { file: Some(file), state: Mutex::new(State { known, saved: known }) })
    }

    /// The highest revision so far.
    pub(super) fn revision(&self) -> Revision {
        Revision(self.state().known.map_or(0, |known| known.revision))
    }

    /// Compares an answer with what was known `before` it was asked for, and learns from it.
    pub(super) fn check(
        &self,
        before: Revision,
        header: Option<&ResponseHeader>,
    ) -> Result<Revision, RegistryError> {
        let unsigned = || RegistryError::Unreachable("an answer without a header".into());
        let (cluster, found) =
            header.map(|h| (h.cluster_id(), revision(h.revision()))).ok_or_else(unsigned)?;
        self.compare(before, cluster, found)
    }

    fn compare(&self, before: Revision, cluster: u64, found: Revision) -> Result<Revision, RegistryError> {
        let mut state = self.state();
        match state.known {
            Some(known) if known.cluster != cluster => {
                let remedy = self.remedy();
                return Err(RegistryError::OtherCluster { seen: known.cluster, found: cluster, remedy });
            }
            _ if found < before => {
                return Err(RegistryError::Older { seen: before, found, remedy: self.remedy() });
            }
            known => {
                let revision = known.map_or(0, |known| known.revision).max(found.0);
                state.known = Some(Known { cluster, revision });
            }
        }
        Ok(found)
    }

    /// Learns from a change that a watch brought.
    pub(super) fn learn(&self, found: Revision) {
        if let Some(known) = &mut self.state().known {
            known.revision = known.revision.max(found.0);
        }
    }

    fn remedy(&self) -> String {
        let forget = match &self.file {
            Some(file) => format!(", remove {} at each", file.display()),
            None => String::new(),
        };
        format!("stop all top masters{forget}, and start them again")
    }

    /// Writes down what is known, if it is news. Returns after it is on the disk.
    pub(super) fn save(&self) -> Result<(), String> {
        let (known, saved) = {
            let state = self.state();
            (state.known, state.saved)
        };
        if let (Some(file), Some(news)) = (&self.file, known.filter(|_| known != saved)) {
            write(file, news).map_err(|e| format!("{}: {e}", file.display()))?;
            self.state().saved = Some(news);
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(file: &Path) -> Result<Option<Known>, String> {
    match fs::metadata(file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
        Ok(found) if !found.is_file() || found.len() > MAX_FILE_BYTES => {
            return Err("is not what was written".into());
        }
        Ok(_) => {}
    }
    let text = fs::read(file).map_err(|e| e.to_string())?;
    serde_json::from_slice(&text).map(Some).map_err(|e| e.to_string())
}

/// All of it or nothing, whatever happens meanwhile.
fn write(file: &Path, known: Known) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut writing = File::create(&new)?;
    serde_json::to_writer(&mut writing, &known)?;
    writing.write_all(b"\n")?;
    writing.sync_all()?;
    fs::rename(&new, file)?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_overtaken_is_fine_and_an_older_one_is_not() {
        let seen = Seen::new();
        assert_eq!(seen.compare(Revision(0), 7, Revision(5)), Ok(Revision(5)));
        assert_eq!(
            seen.compare(Revision(0), 7, Revision(4)),
            Ok(Revision(4)),
            "asked for before 5 was known"
        );
        assert_eq!(seen.revision(), Revision(5));
        let older = seen.compare(seen.revision(), 7, Revision(4));
        assert!(matches!(older, Err(RegistryError::Older { seen: Revision(5), found: Revision(4), .. })));
        let other = seen.compare(seen.revision(), 8, Revision(50));
        assert!(matches!(other, Err(RegistryError::OtherCluster { seen: 7, found: 8, .. })));
        assert_eq!(seen.compare(seen.revision(), 7, Revision(5)), Ok(Revision(5)), "and back again");
    }

    #[test]
    fn a_restart_remembers_and_says_what_to_remove() {
        let dir = tempfile::tempdir().unwrap();
        let seen = Seen::remembered(dir.path()).unwrap();
        seen.save().unwrap();
        assert!(!dir.path().join(FILE).exists(), "nothing is known yet");
        seen.compare(Revision(0), u64::MAX, Revision(5)).unwrap();
        seen.save().unwrap();
        let again = Seen::remembered(dir.path()).unwrap();
        let older = again.compare(again.revision(), u64::MAX, Revision(4)).unwrap_err().to_string();
        let file = dir.path().join(FILE).display().to_string();
        assert!(older.contains(&file) && older.contains("revision 4 and was at 5"), "{older}");
        let files: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
    }

    #[test]
    fn a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{}", "{\"cluster\":1,\"revision\":2,\"more\":3}", &"x".repeat(5_000)] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = Seen::remembered(dir.path()).unwrap_err().to_string();
            assert!(error.contains(FILE) && error.contains("remove it"), "{error}");
        }
    }
}
