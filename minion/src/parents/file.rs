//! The list of syndics that a minion was told, on disk: so that it dials the right one after a restart, too.
//!
//! Losing it costs a dial at most, for it is told again by whoever it attaches to. So a damaged file is set aside, and a
//! write need not be waited for; but a file is never half new.
//!
//! Nobody signs such a list. What a parent in foreign hands made up stays here, whatever revision it claims, until the minion was
//! attached for an hour to one that says another (`relay_core::seat::PATIENCE`): nobody needs to remove the file.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use relay_core::{
    message::{MAX_PLACED_SYNDICS, PlacedSyndic},
    seat::Home,
};
use serde::{Deserialize, Serialize};
use tracing::warn;

/// The file in the state directory.
pub(super) const NAME: &str = "parents.json";
/// The version of its form that this build reads and writes.
const VERSION: u64 = 1;
/// Largest file that is read, in bytes: sixteen syndics with the longest names are far below it.
const MAX_BYTES: u64 = 64 << 10;

/// Why a minion cannot start with the file it has.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Written by a newer minion.
    #[error(
        "{path}: has version {found}, and this minion reads version {VERSION}: upgrade the minion, or remove the file \
         (it is told its parents again)"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The system says no.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The damaged file is in the way.
    #[error("{path}: is damaged and cannot be set aside: {source}")]
    Aside {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Body {
    version: u64,
    revision: u64,
    syndics: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    id: String,
    region: String,
    address: String,
}

/// The list that was kept, if there is one. A damaged file is renamed to `parents.json.damaged`.
pub(super) fn load(path: &Path) -> Result<Option<Home>, ListError> {
    let own = || path.to_owned();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ListError::Read { path: own(), source }),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ListError::Read { path: own(), source })?;
    match serde_json::from_slice::<Head>(&bytes) {
        Ok(Head { version }) if version > VERSION => {
            return Err(ListError::Newer { path: own(), found: version });
        }
        _ => {}
    }
    match read(&bytes) {
        Ok(home) => Ok(Some(home)),
        Err(why) => {
            let aside = path.with_extension("json.damaged");
            fs::rename(path, &aside).map_err(|source| ListError::Aside { path: own(), source })?;
            warn!(file = %path.display(), why, aside = %aside.display(), "the list of parents is damaged: set aside");
            Ok(None)
        }
    }
}

fn read(bytes: &[u8]) -> Result<Home, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has over {MAX_BYTES} bytes"));
    }
    let body: Body = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if body.version != VERSION || !(1..=MAX_PLACED_SYNDICS).contains(&body.syndics.len()) {
        return Err(format!("version {} with {} syndics", body.version, body.syndics.len()));
    }
    let syndics = body.syndics.into_iter().map(syndic).collect::<Result<_, _>>()?;
    Ok(Home { revision: body.revision, syndics })
}

fn syndic(entry: Entry) -> Result<PlacedSyndic, String> {
    let Entry { id, region, address } = entry;
    let region = relay_core::identity::check_region(&region).map_err(|e| e.to_string())?;
    let (id, address) =
        (id.parse().map_err(|e| format!("{e}"))?, address.parse().map_err(|e| format!("{e}"))?);
    Ok(PlacedSyndic { id, region, address })
}

/// Writes the list into a file beside it, and puts that in its place.
pub(super) fn save(path: &Path, home: &Home) -> io::Result<()> {
    let entry = |s: &PlacedSyndic| Entry {
        id: s.id.to_string(),
        region: s.region.to_string(),
        address: s.address.to_string(),
    };
    let syndics = home.syndics.iter().map(entry).collect();
    let body = Body { version: VERSION, revision: home.revision, syndics };
    let draft = path.with_extension("json.new");
    let mut file = File::create(&draft)?;
    file.write_all(&serde_json::to_vec(&body)?)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        let syndic = |id: &str| PlacedSyndic {
            id: id.parse().unwrap(),
            region: "aws".parse().unwrap(),
            address: format!("{id}.example:4510").parse().unwrap(),
        };
        Home { revision: 7, syndics: [syndic("aws-1"), syndic("aws-2")].into_iter().collect() }
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        assert_eq!(load(&path).unwrap(), None);
        save(&path, &home()).unwrap();
        assert_eq!(load(&path).unwrap(), Some(home()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        save(&path, &home()).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let long = whole.clone() + &" ".repeat(MAX_BYTES as usize);
        let cut: Vec<String> = (0..whole.len()).step_by(7).map(|n| whole[..n].to_owned()).collect();
        let others = [
            whole.replace("aws-1", "aws 1"),
            whole.replace("4510", "no"),
            whole.replace("version\":1", "version\":0"),
        ];
        for text in
            cut.into_iter().chain(others).chain([long, r#"{"version":1,"revision":1,"syndics":[]}"#.into()])
        {
            fs::write(&path, &text).unwrap();
            assert_eq!(load(&path).unwrap(), None, "{text}");
            assert_eq!(fs::read_to_string(dir.path().join("parents.json.damaged")).unwrap(), text);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let text = r#"{"version": 2, "elsewhere": []}"#;
        fs::write(&path, text).unwrap();
        let said = load(&path).unwrap_err().to_string();
        assert!(said.contains("version 2") && said.contains("upgrade"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
