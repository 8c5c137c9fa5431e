//! Where the daemons' binaries are.

use std::path::{Path, PathBuf};

/// Names the directory of the binaries, if they do not lie beside this one.
pub const DIR_VARIABLE: &str = "RELAY_BIN_DIR";

/// The daemons' binaries.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `top-master`.
    pub top_master: PathBuf,
    /// `syndic`.
    pub syndic: PathBuf,
    /// `minion`.
    pub minion: PathBuf,
}

/// A binary that is not where it should be.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is not there: build it (cargo build --release -p top-master -p syndic -p minion), or set {DIR_VARIABLE}"
)]
pub struct MissingBinary(PathBuf);

impl Binaries {
    /// Those of [`DIR_VARIABLE`], or beside this program.
    ///
    /// # Errors
    /// [`MissingBinary`]; or this program does not know where it lies.
    pub fn find() -> anyhow::Result<Binaries> {
        let dir = match std::env::var_os(DIR_VARIABLE) {
            Some(dir) => PathBuf::from(dir),
            None => std::env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default(),
        };
        let at = |name: &str| {
            let path = dir.join(name);
            if path.is_file() { Ok(path) } else { Err(MissingBinary(path)) }
        };
        Ok(Binaries { top_master: at("top-master")?, syndic: at("syndic")?, minion: at("minion")? })
    }
}
