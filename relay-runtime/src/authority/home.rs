//! The directory where an authority lives, as `relayctl ca` uses it: roots in `roots/`, what top masters hold in `trust/`.
//!
//! Which roots count, and in which order they came, stands in the anchors; there is no other state. A root that was retired goes
//! on signing anchors as long as its key is there, so that who was away during the rotation finds the way from it to the new one.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use prost::Message;
use relay_core::identity::FabricName;
use relay_proto::trust::Signed;

use super::{
    AuthorityError, Held, Issuer, RootKey, Scope, at, files,
    held::{ANCHORS_FILE, ISSUERS_DIR, LIST_KEY_FILE},
    root::ROOT_LIFE,
};
use crate::trust::{
    Pin, Seconds,
    bundle::{Anchors, MAX_ROOTS},
    key::SecretKey,
};

/// Names in the directory.
const ROOTS_DIR: &str = "roots";
const TRUST_DIR: &str = "trust";
const LOCK_FILE: &str = "lock";
/// How long anchors are taken for new after they were signed. A root may be in a safe: once a year it is needed.
pub const ANCHORS_LIFE: Duration = Duration::from_secs(400 * 24 * 3600);

/// How a root stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// New issuers are signed by it.
    Current,
    /// It counts still, until it is retired.
    Leaving,
    /// It counts no more.
    Retired,
}

/// A root, for people.
#[derive(Debug, Clone)]
pub struct RootState {
    /// Its fingerprint.
    pub pin: Pin,
    /// How it stands.
    pub standing: Standing,
    /// Whether its key is here.
    pub key: bool,
    /// When it ends.
    pub until: Seconds,
}

/// An authority with its root.
pub struct Authority {
    dir: PathBuf,
    held: Held,
    /// Roots whose keys are here.
    keys: Vec<RootKey>,
    /// Certificates of all roots that are here.
    all: Vec<crate::trust::bundle::Root>,
    /// Two at once would sign two anchors of one version.
    _lock: File,
}

impl Authority {
    /// Makes an authority in a directory (made if absent): a root, a list key, and issuers.
    ///
    /// # Errors
    /// There is one already, or it cannot be written.
    pub fn init(
        dir: &Path,
        fabric: FabricName,
        scopes: &[Scope],
        now: Seconds,
    ) -> Result<Authority, AuthorityError> {
        let trust = dir.join(TRUST_DIR);
        if trust.join(ANCHORS_FILE).exists() {
            return Err(AuthorityError::State(format!("{}: there is an authority already", dir.display())));
        }
        make_private(dir)?;
        let _lock = lock(dir)?;
        make_private(&dir.join(ROOTS_DIR))?;
        let root = RootKey::make(now, ROOT_LIFE)?;
        root.write(&root_file(dir, root.pin(), "crt"), &root_file(dir, root.pin(), "key"))?;
        make_trust(&trust, &fabric, &[&root], now)?;
        drop(_lock);
        let mut made = Authority::open(dir)?;
        for scope in scopes {
            made.add(scope.clone(), now)?;
        }
        Ok(made)
    }

    /// Opens one.
    ///
    /// # Errors
    /// There is none, somebody else is at it, or something in it is not as it was made.
    pub fn open(dir: &Path) -> Result<Authority, AuthorityError> {
        if !dir.join(TRUST_DIR).join(ANCHORS_FILE).exists() {
            let why = format!(
                "{}: is no directory of an authority (\"relayctl ca init\" makes one)",
                dir.display()
            );
            return Err(AuthorityError::State(why));
        }
        let lock = lock(dir)?;
        let held = Held::open(&dir.join(TRUST_DIR))?;
        let roots = dir.join(ROOTS_DIR);
        let (mut keys, mut all) = (Vec::new(), held.anchors().roots.clone());
        for entry in fs::read_dir(&roots).map_err(at(&roots))?.take(4 * MAX_ROOTS) {
            let path = entry.map_err(at(&roots))?.path();
            // A root whose key is kept elsewhere only lacks its signature.
            if path.extension() == Some(OsStr::new("crt")) && path.with_extension("key").exists() {
                keys.push(RootKey::open(&path, &path.with_extension("key"))?);
            }
        }
        keys.sort_by_key(RootKey::pin);
        for key in &keys {
            if !all.iter().any(|root| root.pin == key.pin()) {
                all.push(key.root().clone());
            }
        }
        Ok(Authority { dir: dir.into(), held, keys, all, _lock: lock })
    }

    /// What top masters hold.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The fabric.
    pub fn fabric(&self) -> &FabricName {
        self.held.fabric()
    }

    /// The fingerprint of the root that is current: for the configurations of newcomers.
    pub fn pin(&self) -> Option<Pin> {
        self.held.anchors().roots.last().map(|root| root.pin)
    }

    /// All roots, those that count first.
    pub fn roots(&self) -> Vec<RootState> {
        let counting = &self.held.anchors().roots;
        let standing = |pin: Pin| match counting.iter().position(|root| root.pin == pin) {
            Some(place) if place + 1 == counting.len() => Standing::Current,
            Some(_) => Standing::Leaving,
            None => Standing::Retired,
        };
        let state = |root: &crate::trust::bundle::Root| RootState {
            pin: root.pin,
            standing: standing(root.pin),
            key: self.keys.iter().any(|key| key.pin() == root.pin),
            until: super::life_of(&root.certificate).map_or(0, |(_, until)| until),
        };
        let mut roots: Vec<RootState> = self.all.iter().map(state).collect();
        roots.sort_by_key(|root| root.standing == Standing::Retired);
        roots
    }

    /// Makes an issuer, beside the ones that are there.
    ///
    /// # Errors
    /// The current root's key is not here, or the files cannot be written.
    pub fn add(&mut self, scope: Scope, now: Seconds) -> Result<(), AuthorityError> {
        let issuer = self.current()?.issuer(scope, self.held.fabric(), now)?;
        self.put(&issuer)?;
        self.reopen()
    }

    /// Replaces the issuers of a scope. What they made counts on until it ends: only their root says what counts.
    ///
    /// # Errors
    /// As [`Authority::add`]; [`AuthorityError::NoIssuer`] if there is none of this scope.
    pub fn rotate(&mut self, scope: &Scope, now: Seconds) -> Result<(), AuthorityError> {
        let old: Vec<String> = self
            .held
            .issuers()
            .iter()
            .filter(|issuer| issuer.scope() == scope)
            .map(|issuer| issuer.stem())
            .collect();
        if old.is_empty() {
            return Err(AuthorityError::NoIssuer(scope.clone()));
        }
        let issuer = self.current()?.issuer(scope.clone(), self.held.fabric(), now)?;
        self.put(&issuer)?;
        for stem in old {
            self.remove_issuer(&self.issuers_dir().join(stem))?;
        }
        self.reopen()
    }

    /// The first step of replacing the root: another one counts beside it, and signs issuers from now on.
    ///
    /// # Errors
    /// A rotation is under way, the current root's key is not here, or the files cannot be written.
    pub fn introduce_root(&mut self, now: Seconds) -> Result<Pin, AuthorityError> {
        self.current()?;
        if self.held.anchors().roots.len() > 1 {
            let why = "a new root has been introduced already: retire the old one first";
            return Err(AuthorityError::State(why.into()));
        }
        let root = RootKey::make(now, ROOT_LIFE)?;
        let pin = root.pin();
        root.write(&root_file(&self.dir, pin, "crt"), &root_file(&self.dir, pin, "key"))?;
        let mut roots = self.held.anchors().roots.clone();
        roots.push(root.root().clone());
        self.keys.push(root);
        self.sign(roots, now)?;
        Ok(pin)
    }

    /// The second step: the old root counts no more. Certificates under it open nothing from then on.
    ///
    /// # Errors
    /// No new root has been introduced; or issuers of the old one are there still, unless `force`.
    pub fn retire_root(&mut self, force: bool, now: Seconds) -> Result<(), AuthorityError> {
        let counting = &self.held.anchors().roots;
        let Some((current, leaving)) = counting.split_last().filter(|(_, leaving)| !leaving.is_empty())
        else {
            let why = "there is one root, and no new one has been introduced";
            return Err(AuthorityError::State(why.into()));
        };
        let left: Vec<String> = self
            .held
            .issuers()
            .iter()
            .filter(|issuer| leaving.iter().any(|root| issuer.root() == Some(root.pin)))
            .map(|issuer| issuer.scope().to_string())
            .collect();
        if !left.is_empty() && !force {
            let why = format!(
                "the old root's issuers are in use: for {} (\"relayctl ca rotate-issuer --all\", then wait until every certificate \
                 has been renewed)",
                left.join(", ")
            );
            return Err(AuthorityError::State(why));
        }
        self.sign(vec![current.clone()], now)?;
        for path in self.held.retired().to_vec() {
            self.remove_issuer(&path)?;
        }
        self.reopen()
    }

    /// Signs the anchors anew, so that they are taken for new for another year.
    ///
    /// # Errors
    /// No root's key is here, or the files cannot be written.
    pub fn extend(&mut self, now: Seconds) -> Result<(), AuthorityError> {
        self.sign(self.held.anchors().roots.clone(), now)
    }

    fn sign(&mut self, roots: Vec<crate::trust::bundle::Root>, now: Seconds) -> Result<(), AuthorityError> {
        let anchors = Anchors {
            fabric: self.held.fabric().clone(),
            version: self.held.anchors().version + 1,
            expires: now + ANCHORS_LIFE.as_secs(),
            roots,
            list_keys: self.held.anchors().list_keys.clone(),
        };
        let keys: Vec<&RootKey> = self.keys.iter().collect();
        let signed = signed(&anchors, &keys)?;
        if !Anchors::signed_by_each(&signed, anchors.roots.iter()) {
            let missing =
                anchors.roots.iter().filter(|root| !self.keys.iter().any(|key| key.pin() == root.pin));
            let missing: Vec<String> = missing.map(|root| root.pin.to_string()).collect();
            let why = format!("the keys of these roots are needed in roots/: {}", missing.join(", "));
            return Err(AuthorityError::State(why));
        }
        let path = self.trust_dir().join(ANCHORS_FILE);
        files::replace_bytes(&path, &signed.encode_to_vec(), 0o600).map_err(at(&path))?;
        self.reopen()
    }

    /// The key that signs issuers.
    fn current(&self) -> Result<&RootKey, AuthorityError> {
        let pin = self.pin();
        self.keys.iter().find(|key| Some(key.pin()) == pin).ok_or_else(|| {
            let pin = pin.map(|pin| pin.to_string()).unwrap_or_default();
            AuthorityError::State(format!("the key of the current root ({pin}) is not in roots/: bring it"))
        })
    }

    fn put(&self, issuer: &Issuer) -> Result<(), AuthorityError> {
        let base = self.issuers_dir().join(issuer.stem());
        issuer.write(&base.with_extension("crt"), &base.with_extension("key"))
    }

    /// The certificate goes first: a key without one is no issuer.
    fn remove_issuer(&self, base: &Path) -> Result<(), AuthorityError> {
        for end in ["crt", "key"] {
            let path = base.with_extension(end);
            fs::remove_file(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), AuthorityError> {
        self.held = Held::open(&self.trust_dir())?;
        for root in &self.held.anchors().roots {
            if !self.all.iter().any(|known| known.pin == root.pin) {
                self.all.push(root.clone());
            }
        }
        Ok(())
    }

    /// Copies what top masters hold to another directory (made if absent), in the place of what is there. The anchors go
    /// last: whoever reads meanwhile finds something that fits together, or reads again.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn copy_trust(&self, to: &Path) -> Result<(), AuthorityError> {
        let from = self.trust_dir();
        make_private(to)?;
        make_private(&to.join(ISSUERS_DIR))?;
        let mut kept = Vec::new();
        for issuer in self.held.issuers() {
            for end in ["key", "crt"] {
                let name = Path::new(ISSUERS_DIR).join(issuer.stem()).with_extension(end);
                copy(&from.join(&name), &to.join(&name))?;
                kept.push(to.join(&name));
            }
        }
        for name in [LIST_KEY_FILE, ANCHORS_FILE] {
            copy(&from.join(name), &to.join(name))?;
        }
        let dir = to.join(ISSUERS_DIR);
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let path = entry.map_err(at(&dir))?.path();
            if !kept.contains(&path) {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    /// The directory that top masters are given.
    pub fn trust_dir(&self) -> PathBuf {
        self.dir.join(TRUST_DIR)
    }

    fn issuers_dir(&self) -> PathBuf {
        self.trust_dir().join(ISSUERS_DIR)
    }
}

/// Makes what top masters hold, without an issuer yet.
pub(super) fn make_trust(
    trust: &Path,
    fabric: &FabricName,
    roots: &[&RootKey],
    now: Seconds,
) -> Result<(), AuthorityError> {
    make_private(trust)?;
    make_private(&trust.join(ISSUERS_DIR))?;
    let list_key = SecretKey::generate().map_err(|_| AuthorityError::Root)?;
    let anchors = Anchors {
        fabric: fabric.clone(),
        version: 1,
        expires: now + ANCHORS_LIFE.as_secs(),
        roots: roots.iter().map(|root| root.root().clone()).collect(),
        list_keys: vec![list_key.public()],
    };
    let signed = signed(&anchors, roots)?;
    let (key, path) = (trust.join(LIST_KEY_FILE), trust.join(ANCHORS_FILE));
    let der = list_key.to_pkcs8().map_err(|_| AuthorityError::Root)?;
    files::replace_bytes(&key, &der, 0o600).map_err(at(&key))?;
    // Last: without it there is no authority.
    files::replace_bytes(&path, &signed.encode_to_vec(), 0o600).map_err(at(&path))
}

fn signed(anchors: &Anchors, keys: &[&RootKey]) -> Result<Signed, AuthorityError> {
    let payload = anchors.encode();
    let signatures = keys.iter().map(|key| key.sign(&payload)).collect::<Result<_, _>>()?;
    Ok(Signed { payload, signatures })
}

/// Where a root's files are. Its name is its key's fingerprint.
fn root_file(dir: &Path, pin: Pin, end: &str) -> PathBuf {
    dir.join(ROOTS_DIR).join(&crate::trust::key::hex(&pin.0)[..16]).with_extension(end)
}

fn copy(from: &Path, to: &Path) -> Result<(), AuthorityError> {
    let bytes = files::read_bytes(from).map_err(at(from))?;
    files::replace_bytes(to, &bytes, 0o600).map_err(at(to))
}

fn make_private(dir: &Path) -> Result<(), AuthorityError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at(dir))
}

/// Keeps others off, as long as it is open.
fn lock(dir: &Path) -> Result<File, AuthorityError> {
    let path = dir.join(LOCK_FILE);
    let open = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = open.map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {
            // Says to people what the file is.
            let _ = file.write_all(b"held while \"relayctl ca\" works here\n");
            Ok(file)
        }
        Err(_) => Err(AuthorityError::State(format!("{}: another \"relayctl ca\" is at it", dir.display()))),
    }
}
