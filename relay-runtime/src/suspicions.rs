//! The book of what a process has refused as forged ([`relay_core::suspicion::Book`]), and its file: a restart must not be what
//! saves the forger.
//!
//! The file is one JSON object, replaced as a whole, once a second at most. A damaged one is set aside: what it held is lost, and
//! who forges goes on to.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use relay_core::{
    ids::{Jid, TierId},
    message::Up,
    suspicion::{Book, Forgery, Kept, MAX_KEPT, Witness},
    time::{Millis, WallMicros},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{authority::files, telemetry};

/// The file in a state directory.
const NAME: &str = "suspicions.json";
/// The version of its form that this build writes and reads.
const VERSION: u64 = 1;
/// It is written once in so long, however fast somebody forges.
const PACE: Duration = Duration::from_secs(1);

/// Why a process cannot begin with the file that it has.
#[derive(Debug, thiserror::Error)]
pub enum SuspicionsError {
    /// It can be neither read nor set aside.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Written by a newer build.
    #[error(
        "{path}: has version {found}, and this build reads version {VERSION}: upgrade it, or remove the file (who was found out is told \
         to nobody then)"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Body {
    version: u64,
    /// How many were not taken in.
    dropped: u64,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jid: Option<String>,
    parent: String,
    at: u64,
    count: u64,
    told: bool,
}

/// What one minion or syndic has refused as forged. It is told to its parents with [`Suspicions::tell`].
#[derive(Debug)]
pub struct Suspicions {
    book: Book,
    witness: Witness,
    file: Option<watch::Sender<Body>>,
}

/// Writes the file. To be run.
#[derive(Debug)]
pub struct Writing {
    path: PathBuf,
    follow: watch::Receiver<Body>,
}

impl Suspicions {
    /// A minion's or a syndic's, as it stands in its state directory.
    ///
    /// # Errors
    /// The file there is of a newer build, or can't be read.
    pub fn open(state_dir: &Path, witness: Witness) -> Result<(Suspicions, Writing), SuspicionsError> {
        let path = state_dir.join(NAME);
        let book = load(&path)?;
        let (file, follow) = watch::channel(written(&book));
        Ok((Suspicions { book, witness, file: Some(file) }, Writing { path, follow }))
    }

    /// A minion's that nothing remembers: for simulated ones.
    pub fn in_memory() -> Suspicions {
        let witness = Witness::Minions([0].into_iter().collect());
        Suspicions { book: Book::default(), witness, file: None }
    }

    /// There is a link to this parent, which understands what it is told, or does not.
    pub fn attached(&mut self, parent: TierId, listens: bool) {
        self.book.attached(parent, listens);
    }

    /// The link is gone.
    pub fn detached(&mut self) {
        self.book.detached();
    }

    /// This was refused, from the present parent.
    pub fn note(&mut self, kind: Forgery, jid: Option<Jid>, wall: WallMicros) {
        metrics::counter!(telemetry::SUSPICIONS_TOTAL, "kind" => kind.word()).increment(1);
        let dropped = self.book.dropped();
        self.book.note(kind, jid, wall);
        if dropped == 0 && self.book.dropped() > 0 {
            warn!("{MAX_KEPT} different forgeries are kept to be reported: further ones are only counted");
        }
        self.keep();
    }

    /// The parent has answered a heartbeat.
    pub fn answered(&mut self) {
        self.book.answered();
        self.keep();
    }

    /// What the parent is to be told now.
    pub fn tell(&mut self, now: Millis) -> Option<Up> {
        let list = self.book.tell(now, &self.witness);
        if list.is_empty() {
            return None;
        }
        info!(entries = list.len(), "telling the parent what was refused as forged");
        Some(Up::Suspicions(list))
    }

    fn keep(&mut self) {
        if self.book.take_changed() {
            self.file.iter().for_each(|file| drop(file.send_replace(written(&self.book))));
        }
    }
}

impl Writing {
    /// Writes each change, and what is left of them when it is stopped.
    pub async fn run(mut self, token: CancellationToken) {
        loop {
            let stopped = tokio::select! {
                () = token.cancelled() => true,
                changed = self.follow.changed() => changed.is_err(),
            };
            if !stopped || self.follow.has_changed().unwrap_or(false) {
                self.write().await;
            }
            if stopped {
                return;
            }
            tokio::select! {
                () = token.cancelled() => {}
                () = tokio::time::sleep(PACE) => {}
            }
        }
    }

    async fn write(&mut self) {
        let (body, path) = (self.follow.borrow_and_update().clone(), self.path.clone());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || save(&path, &body)).await {
            error!(path = %self.path.display(), %error, "who was found out can't be written down: free space on its disk");
        }
    }
}

fn written(book: &Book) -> Body {
    let entry = |kept: &Kept| Entry {
        kind: kept.kind.word().to_owned(),
        jid: kept.jid.map(|jid| jid.to_string()),
        parent: kept.parent.to_string(),
        at: kept.at,
        count: kept.count,
        told: kept.told,
    };
    Body { version: VERSION, dropped: book.dropped(), entries: book.entries().iter().map(entry).collect() }
}

fn save(path: &Path, body: &Body) -> io::Result<()> {
    files::replace_bytes(path, &serde_json::to_vec(body)?, 0o600)
}

/// What was kept. A damaged file is set aside.
fn load(path: &Path) -> Result<Book, SuspicionsError> {
    let failed = |source| SuspicionsError::File { path: path.into(), source };
    let bytes = match files::read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
        Err(error) => return Err(failed(error)),
    };
    if let Ok(Head { version }) = serde_json::from_slice(&bytes)
        && version > VERSION
    {
        return Err(SuspicionsError::Newer { path: path.into(), found: version });
    }
    match read(&bytes) {
        Ok(book) => Ok(book),
        Err(why) => {
            let aside = path.with_extension("json.damaged");
            warn!(path = %path.display(), why, aside = %aside.display(), "the list of who was found out is damaged: set aside");
            std::fs::rename(path, aside).map_err(failed)?;
            Ok(Book::default())
        }
    }
}

fn read(bytes: &[u8]) -> Result<Book, String> {
    let body: Body = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if body.version != VERSION {
        return Err(format!("version {}", body.version));
    }
    let entries = body.entries.into_iter().map(kept).collect::<Result<_, _>>()?;
    Ok(Book::restore(entries, body.dropped))
}

fn kept(entry: Entry) -> Result<Kept, String> {
    let Entry { kind, jid, parent, at, count, told } = entry;
    let kind = Forgery::from_word(&kind).ok_or("a kind that is none")?;
    let jid = jid.map(|jid| jid.parse::<Jid>()).transpose().map_err(|e| e.to_string())?;
    let parent = parent.parse::<TierId>().map_err(|e| e.to_string())?;
    Ok(Kept { kind, jid, parent, at, count, told })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;

    const MINION: fn() -> Witness = || Witness::Minions([0].into_iter().collect());

    fn open(dir: &Path) -> (Suspicions, Writing) {
        Suspicions::open(dir, MINION()).unwrap()
    }

    fn told(suspicions: &mut Suspicions) -> Vec<(Forgery, u64)> {
        match suspicions.tell(0) {
            Some(Up::Suspicions(list)) => list.iter().map(|s| (s.kind, s.count)).collect(),
            _ => Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_restart_forgets_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut before, mut writing) = open(dir.path());
        before.attached("evil".parse().unwrap(), true);
        for _ in 0..3 {
            before.note(Forgery::BadSignature, Some(Jid::from_micros(7)), 9);
        }
        before.note(Forgery::Trust, None, 9);
        writing.write().await;
        let path = dir.path().join(NAME);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (mut after, _) = open(dir.path());
        assert_eq!(after.book.entries(), before.book.entries());
        after.attached("good".parse().unwrap(), true);
        assert_eq!(told(&mut after), [(Forgery::BadSignature, 3), (Forgery::Trust, 1)]);
    }

    #[tokio::test]
    async fn what_came_last_is_written_when_it_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let (mut suspicions, writing) = open(dir.path());
        suspicions.attached("evil".parse().unwrap(), true);
        suspicions.note(Forgery::Cancel, None, 9);
        let token = CancellationToken::new();
        token.cancel();
        writing.run(token).await;
        assert_eq!(open(dir.path()).0.book.entries().len(), 1);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_a_newer_one_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let entry = r#"{"kind":"trust","parent":"aws-1","at":1,"count":1,"told":false}"#;
        let whole = format!(r#"{{"version":1,"dropped":0,"entries":[{entry}]}}"#);
        fs::write(&path, &whole).unwrap();
        assert_eq!(load(&path).unwrap().entries().len(), 1);
        for bad in ["", "{}", &whole[1..], &whole.replace("trust", "else"), &whole.replace("aws-1", "../x")] {
            fs::write(&path, bad).unwrap();
            assert!(load(&path).unwrap().entries().is_empty(), "{bad}");
            assert_eq!(fs::read_to_string(path.with_extension("json.damaged")).unwrap(), bad);
        }
        fs::write(&path, r#"{"version": 2}"#).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("version 2"));
        assert!(path.exists());
    }
}
