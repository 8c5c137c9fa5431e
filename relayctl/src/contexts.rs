//! The file of contexts: which fabrics this user talks to, where, and as whom. Read, changed and written here alone.
//!
//! `$RELAY_CONFIG`, else `$XDG_CONFIG_HOME/relay/contexts.yaml`, else `~/.config/relay/contexts.yaml`. It holds no
//! secret, but it names the file of a key, so it is its owner's alone (0600). It is replaced as a whole, and two
//! processes that change it wait for each other.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};

/// The version of the format that this build reads and writes.
const VERSION: u32 = 1;
/// Largest file read, in bytes: thousands of contexts.
const MAX_BYTES: u64 = 1 << 20;
/// How long another process may keep the file. Changing it takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Between two tries to lock it.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// One fabric, and who the user is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The name it is chosen by.
    pub name: String,
    /// The fabric's name.
    pub fabric: String,
    /// The top masters' operator addresses, tried in this order.
    pub addresses: Vec<Address>,
    /// The fabric's root certificates. Like the two below: absolute, or relative to this file's directory.
    pub ca: PathBuf,
    /// The operator's certificate. Nothing, nor a key: who uses the context logs in (`relayctl login`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The fingerprint that one of the roots has to have, `sha256:` and 64 digits: so that a file of roots from anywhere will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

#[cfg(test)]
impl Context {
    /// One that leads nowhere, where a test needs any.
    pub fn of_nobody() -> Context {
        Context {
            name: "dev".into(),
            fabric: "acme.example".into(),
            addresses: Vec::new(),
            ca: "ca".into(),
            cert: Some("cert".into()),
            key: Some("key".into()),
            root: None,
        }
    }
}

/// Where a top master serves operators, and the name its certificate has to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// `host:port`.
    pub address: String,
    /// `<id>.top-master.<region>.<fabric>`.
    pub server_name: String,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    version: u32,
    /// The context that is used when none is named.
    #[serde(default)]
    pub current: Option<String>,
    /// All of them, by name.
    #[serde(default)]
    pub contexts: Vec<Context>,
}

impl Default for Contexts {
    fn default() -> Self {
        Contexts { version: VERSION, current: None, contexts: Vec::new() }
    }
}

impl Contexts {
    /// The context of a name.
    pub fn get(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|c| c.name == name)
    }

    /// The context that is wanted, or the current one.
    ///
    /// # Errors
    /// There is none of that name, or none is current: what to do.
    pub fn choose(&self, wanted: Option<&str>) -> anyhow::Result<&Context> {
        let names = self.contexts.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
        match wanted.or(self.current.as_deref()) {
            Some(name) => self.get(name).ok_or_else(|| match names.is_empty() {
                true => anyhow!("there is no context {name:?}, nor any other: \"relayctl context add\" or \"relayctl dev up\" makes one"),
                false => anyhow!("there is no context {name:?}; there are: {names}"),
            }),
            None if names.is_empty() => Err(anyhow!(
                "no context: start a fabric on this machine with \"relayctl dev up\", or get a contexts file from \
                 whoever runs the fabric"
            )),
            None => Err(anyhow!("no context is selected: \"relayctl context use NAME\", one of: {names}")),
        }
    }

    /// Adds a context, or replaces the one of that name.
    pub fn put(&mut self, context: Context) {
        self.contexts.retain(|c| c.name != context.name);
        self.contexts.push(context);
        self.contexts.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Removes a context; if it was the current one, none is.
    pub fn remove(&mut self, name: &str) {
        self.contexts.retain(|c| c.name != name);
        self.current.take_if(|current| current == name);
    }
}

/// The file.
#[derive(Debug, Clone)]
pub struct ContextFile {
    path: PathBuf,
}

impl ContextFile {
    /// The file of this user.
    ///
    /// # Errors
    /// The environment names neither it nor a home directory.
    pub fn of_user() -> anyhow::Result<ContextFile> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let path = set("RELAY_CONFIG")
            .or_else(|| set("XDG_CONFIG_HOME").map(|dir| dir.join("relay/contexts.yaml")))
            .or_else(|| set("HOME").map(|dir| dir.join(".config/relay/contexts.yaml")))
            .context("where is the contexts file? Set HOME, XDG_CONFIG_HOME or RELAY_CONFIG")?;
        Ok(ContextFile::at(std::path::absolute(&path).unwrap_or(path)))
    }

    /// A file at a path.
    pub fn at(path: PathBuf) -> ContextFile {
        ContextFile { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; a file that is not there holds nothing. Paths in the result are absolute.
    ///
    /// # Errors
    /// The file cannot be read or understood.
    pub fn read(&self) -> anyhow::Result<Contexts> {
        let mut contexts = self.parse().with_context(|| self.path.display().to_string())?;
        let base = self.path.parent().unwrap_or(Path::new("."));
        for context in &mut contexts.contexts {
            let own = context.cert.iter_mut().chain(&mut context.key);
            own.chain([&mut context.ca]).for_each(|path| *path = base.join(&*path));
        }
        Ok(contexts)
    }

    fn parse(&self) -> anyhow::Result<Contexts> {
        match fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
            Ok(about) if about.len() > MAX_BYTES => {
                bail!("has more than {MAX_BYTES} bytes: is it the right file?")
            }
            _ => {}
        }
        let text = fs::read_to_string(&self.path).context("cannot be read")?;
        let options = serde_saphyr::options! { with_snippet: false };
        let contexts: Contexts = serde_saphyr::from_str_with_options(&text, options).map_err(|e| {
            anyhow!("{e}; correct the line, or remove the file and make contexts anew (relayctl context add)")
        })?;
        match contexts.version {
            VERSION => Ok(contexts),
            other => bail!("has format version {other}, this relayctl reads {VERSION}: upgrade relayctl"),
        }
    }

    /// Changes it: nobody else does meanwhile, and whoever reads sees the old file or the new one.
    ///
    /// # Errors
    /// The file cannot be read, locked or written, or `change` refuses.
    pub fn change<T>(&self, change: impl FnOnce(&mut Contexts) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let place = || format!("cannot write {}", self.path.display());
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(place)?;
        let _lock = lock(&self.path).with_context(place)?;
        let mut contexts = self.read()?;
        let value = change(&mut contexts)?;
        let text = serde_saphyr::to_string(&contexts).with_context(place)?;
        write_whole(&self.path, &text).with_context(place)?;
        Ok(value)
    }
}

/// A lock on whoever changes a file, that ends with the returned one.
///
/// # Errors
/// It cannot be made, or somebody holds it for too long.
pub fn lock(changed: &Path) -> anyhow::Result<File> {
    let path = beside(changed, "lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_WAIT => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                bail!("another relayctl holds {} for {LOCK_WAIT:?}", path.display())
            }
            Err(TryLockError::Error(e)) => return Err(e.into()),
        }
    }
}

/// Replaces a file as a whole, readable by its owner alone from the first byte on.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let draft = beside(path, &format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let replaced = written.and_then(|()| fs::rename(&draft, path));
    if replaced.is_err() {
        // The error that matters is the one above.
        let _ = fs::remove_file(&draft);
    }
    replaced
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{end}"));
    path.with_file_name(name)
}

#[cfg(test)]
#[path = "contexts_tests.rs"]
mod tests;
