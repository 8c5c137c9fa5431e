//! A bundle on a disk: what a process believed last, so that it believes no less after a restart.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message;
use relay_core::identity::FabricName;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{
    Belief, Refused, Trusted,
    bundle::{self, Anchors, Flaw, MAX_BUNDLE_BYTES},
    key::Pin,
    shared,
};
use crate::authority::files;

/// The version of the file that this build writes and reads.
const FORMAT: u32 = 1;
/// The name of the file in a state directory.
const FILE: &str = "trust.bin";
/// Most bytes of the file: a bundle, and the fingerprints of a few roots.
const MAX_FILE_BYTES: u64 = MAX_BUNDLE_BYTES as u64 + 4_096;

/// The file.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(uint32, tag = "1")]
    format: u32,
    /// The fingerprints of the roots that the configuration named when the bundle was taken.
    #[prost(bytes = "vec", repeated, tag = "2")]
    ground: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "3")]
    bundle: Vec<u8>,
}

/// Why a process does not know what to believe.
#[derive(Debug, thiserror::Error)]
pub enum TrustFileError {
    /// The file can be neither read nor set aside.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Made by a newer build.
    #[error("{path}: is of format {found}, this build reads {FORMAT}: upgrade it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// What the configuration names as a root is none.
    #[error("the configured root: {0}")]
    Root(#[from] Flaw),
    /// A fingerprint alone, and no bundle yet that holds its root.
    #[error("{path}: there is no bundle of trust yet: this process has to join the fabric first")]
    Nothing {
        /// Where it would be.
        path: PathBuf,
    },
}

/// What the configuration says of whom to believe.
#[derive(Debug, Clone)]
pub enum Ground {
    /// These root certificates.
    Roots(Vec<CertificateDer<'static>>),
    /// The root of this fingerprint.
    Pin(Pin),
}

impl Ground {
    /// The fingerprints, in order.
    fn pins(&self) -> Vec<Vec<u8>> {
        let mut pins: Vec<Vec<u8>> = match self {
            Ground::Roots(roots) => {
                roots.iter().filter_map(Pin::of_certificate).map(|pin| pin.0.to_vec()).collect()
            }
            Ground::Pin(pin) => vec![pin.0.to_vec()],
        };
        pins.sort_unstable();
        pins
    }
}

/// Writes what is believed to the disk, whenever it changes.
pub struct Keeping {
    path: PathBuf,
    ground: Vec<Vec<u8>>,
    follow: watch::Receiver<Arc<Belief>>,
}

impl Trusted {
    /// What this process believes: what it kept in its state directory, if that follows from what the configuration says, or
    /// else the latter alone. The second part is to be run.
    ///
    /// # Errors
    /// Neither says enough to begin with.
    pub fn open(
        state_dir: &Path,
        fabric: &FabricName,
        ground: &Ground,
    ) -> Result<(Trusted, Keeping), TrustFileError> {
        let path = state_dir.join(FILE);
        let kept = read(&path)?;
        let believed = kept.and_then(|kept| match believe(fabric, ground, &kept) {
            Ok(belief) => Some(belief),
            Err(why) => {
                warn!(path = %path.display(), %why, "the bundle of trust there does not go with the configuration: not used");
                None
            }
        });
        let belief = match (believed, ground) {
            (Some(belief), _) => belief,
            (None, Ground::Roots(roots)) => Belief::of_roots(fabric.clone(), roots)?,
            (None, Ground::Pin(_)) => return Err(TrustFileError::Nothing { path }),
        };
        let trusted = Trusted::new(belief);
        let keeping = Keeping { path, ground: ground.pins(), follow: trusted.follow() };
        Ok((trusted, keeping))
    }

    /// Keeps what is believed now, and says with what to go on keeping it: for who has just joined.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, state_dir: &Path, ground: &Ground) -> io::Result<Keeping> {
        let keeping = Keeping { path: state_dir.join(FILE), ground: ground.pins(), follow: self.follow() };
        keeping.write(&self.now())?;
        Ok(keeping)
    }
}

impl Keeping {
    /// Writes each change, until stopped. A disk that is full only costs what a restart would have known.
    pub async fn run(mut self, token: CancellationToken) {
        loop {
            let changed = tokio::select! {
                () = token.cancelled() => return,
                changed = self.follow.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            let belief = self.follow.borrow_and_update().clone();
            let (path, ground) = (self.path.clone(), self.ground.clone());
            let written = tokio::task::spawn_blocking(move || write(&path, ground, &belief)).await;
            if let Ok(Err(error)) = written {
                error!(path = %self.path.display(), %error, "what to believe can't be written: free space on its disk");
            }
        }
    }

    fn write(&self, belief: &Belief) -> io::Result<()> {
        write(&self.path, self.ground.clone(), belief)
    }
}

fn write(path: &Path, ground: Vec<Vec<u8>>, belief: &Belief) -> io::Result<()> {
    let Some(bundle) = belief.bundle() else { return Ok(()) };
    let kept = Kept { format: FORMAT, ground, bundle: bundle.to_vec() };
    files::replace_bytes(path, &kept.encode_to_vec(), 0o600)
}

/// What is there. Damaged, it is set aside.
fn read(path: &Path) -> Result<Option<Kept>, TrustFileError> {
    let failed = |source| TrustFileError::File { path: path.into(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    match Kept::decode(&*bytes) {
        Ok(kept) if kept.format > FORMAT => {
            Err(TrustFileError::Newer { path: path.into(), found: kept.format })
        }
        Ok(kept) if kept.format == FORMAT => Ok(Some(kept)),
        _ => {
            let aside = path.with_extension("damaged");
            warn!(path = %path.display(), aside = %aside.display(), "the kept bundle of trust is damaged: set aside");
            std::fs::rename(path, aside).map_err(failed)?;
            Ok(None)
        }
    }
}

/// What was kept, if it goes with the configuration: taken under the same roots (then the roots it knows now follow from
/// them), or signed by a root that is configured now.
fn believe(fabric: &FabricName, ground: &Ground, kept: &Kept) -> Result<Belief, Refused> {
    let (anchors, _) = bundle::decode(&kept.bundle)?;
    let base = match ground {
        _ if kept.ground == ground.pins() => {
            let roots = Anchors::read(&anchors.payload)?.roots;
            let roots: Vec<_> = roots.into_iter().map(|root| root.certificate).collect();
            Belief::of_roots(fabric.clone(), &roots)?
        }
        Ground::Roots(roots) => Belief::of_roots(fabric.clone(), roots)?,
        Ground::Pin(pin) => shared::pinned(fabric.clone(), *pin, &kept.bundle)?,
    };
    Ok(base.again(&kept.bundle)?.unwrap_or(base))
}

#[cfg(test)]
mod tests;
