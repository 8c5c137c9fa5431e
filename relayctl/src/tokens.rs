//! The tokens of this user's logins, one for each context: a file beside that of the contexts, its owner's alone (0600).
//!
//! Owns the file, and which credentials a call shows: `$RELAY_TOKEN_FILE` (a file with a token alone, for programs), else the
//! context's certificate, else the token of the last login. A token is only shown to the fabric that it was given by: a context of
//! the same name for another fabric does not get it.

use std::{
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use relay_runtime::{
    clock::wall,
    secret::{Secret, read_private},
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    connect::Shown,
    contexts::{Context, ContextFile, lock, write_whole},
};

/// The version of the format that this build reads and writes.
const VERSION: u32 = 1;
/// Largest file read, in bytes: thousands of tokens.
const MAX_BYTES: u64 = 1 << 20;
/// The name of the file, beside that of the contexts.
const FILE: &str = "tokens.json";
/// Names a file with a token for this call.
pub const TOKEN_FILE: &str = "RELAY_TOKEN_FILE";

/// A login.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Who logged in.
    pub user: String,
    /// What he got.
    pub token: Secret,
    /// Until when it lasts at most, in microseconds since 1970 UTC.
    pub expires: u64,
}

/// As it stands in the file. Not printable: it holds the token.
#[derive(Serialize, Deserialize)]
struct Line {
    context: String,
    fabric: String,
    user: String,
    token: String,
    expires: u64,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl Line {
    fn is_of(&self, context: &Context) -> bool {
        self.context == context.name && self.fabric == context.fabric
    }
}

#[derive(Serialize, Deserialize)]
struct Lines {
    version: u32,
    tokens: Vec<Line>,
}

/// The file.
#[derive(Debug, Clone)]
pub struct Tokens {
    path: PathBuf,
}

impl Tokens {
    /// The file of this user.
    ///
    /// # Errors
    /// The environment does not say where it is.
    pub fn of_user() -> anyhow::Result<Tokens> {
        Ok(Tokens::at(ContextFile::of_user()?.path().with_file_name(FILE)))
    }

    /// A file at a path.
    pub fn at(path: PathBuf) -> Tokens {
        Tokens { path }
    }

    /// How calls to a context's fabric show who makes them.
    ///
    /// # Errors
    /// There is nothing to show, or not any more: what to do.
    pub fn shown(context: &Context) -> anyhow::Result<Shown> {
        if let Some(path) = std::env::var_os(TOKEN_FILE).filter(|path| !path.is_empty()) {
            let token =
                Secret::read("the token", Path::new(&path)).map_err(|e| anyhow!("{TOKEN_FILE}: {e}"))?;
            return Ok(Shown::Token(token));
        }
        match (&context.cert, &context.key) {
            (None, None) => Tokens::of_user()?.valid(context, wall()).map(|saved| Shown::Token(saved.token)),
            // One without the other is told when it is needed.
            _ => Ok(Shown::Certificate),
        }
    }

    /// The login of a context, if it may still count.
    fn valid(&self, context: &Context, now: u64) -> anyhow::Result<Saved> {
        let name = &context.name;
        match self.get(context)? {
            Some(saved) if saved.expires > now => Ok(saved),
            Some(saved) => {
                bail!(
                    "context {name:?}: the login of {} is over by time: log in again with \"relayctl login\"",
                    saved.user
                )
            }
            None => bail!(
                "context {name:?} has no certificate, and you are not logged in: \"relayctl login\" (or name a file with \
                 a token in {TOKEN_FILE})"
            ),
        }
    }

    /// The login of a context.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn get(&self, context: &Context) -> anyhow::Result<Option<Saved>> {
        let found = self.read()?.tokens.into_iter().find(|line| line.is_of(context));
        Ok(found.map(|mut line| Saved {
            token: Secret::new(std::mem::take(&mut line.token)),
            user: std::mem::take(&mut line.user),
            expires: line.expires,
        }))
    }

    /// Keeps the login of a context instead of the former one.
    ///
    /// # Errors
    /// The file cannot be changed.
    pub fn put(&self, context: &Context, saved: &Saved) -> anyhow::Result<()> {
        let line = Line {
            context: context.name.clone(),
            fabric: context.fabric.clone(),
            user: saved.user.clone(),
            token: saved.token.expose().to_owned(),
            expires: saved.expires,
        };
        self.change(context, Some(line))
    }

    /// Forgets the login of a context.
    ///
    /// # Errors
    /// The file cannot be changed.
    pub fn remove(&self, context: &Context) -> anyhow::Result<()> {
        if self.path.exists() { self.change(context, None) } else { Ok(()) }
    }

    fn change(&self, context: &Context, line: Option<Line>) -> anyhow::Result<()> {
        let place = || format!("cannot write {}", self.path.display());
        let dir = self.path.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(place)?;
        let _lock = lock(&self.path).with_context(place)?;
        let mut lines = self.read()?;
        // A name stands for one context: what was of another fabric goes too.
        lines.tokens.retain(|line| line.context != context.name);
        lines.tokens.extend(line);
        let text = Zeroizing::new(serde_json::to_string_pretty(&lines).with_context(place)?);
        write_whole(&self.path, &text).with_context(place)
    }

    fn read(&self) -> anyhow::Result<Lines> {
        if !self.path.exists() {
            return Ok(Lines { version: VERSION, tokens: Vec::new() });
        }
        let place = self.path.display();
        let text = read_private(&self.path, MAX_BYTES).map_err(|why| anyhow!("{place}: {why}"))?;
        // Without the parser's own words: they may quote the text.
        let lines: Lines = serde_json::from_str(&text).map_err(|e| {
            anyhow!(
                "{place}:{}:{}: cannot be understood: remove the file and log in again",
                e.line(),
                e.column()
            )
        })?;
        match lines.version {
            VERSION => Ok(lines),
            other => {
                bail!("{place} has format version {other}, this relayctl reads {VERSION}: upgrade relayctl")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn context(name: &str, fabric: &str) -> Context {
        Context {
            name: name.into(),
            fabric: fabric.into(),
            addresses: Vec::new(),
            ca: "/ca".into(),
            cert: None,
            key: None,
            root: None,
        }
    }

    fn saved(token: &str) -> Saved {
        Saved { user: "alice".into(), token: Secret::new(token.into()), expires: 1_000 }
    }

    #[test]
    fn a_token_is_kept_for_its_context_and_fabric_alone() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::at(dir.path().join("relay/tokens.json"));
        let (a, b) = (context("a", "x.example"), context("b", "x.example"));
        assert!(tokens.get(&a).unwrap().is_none());
        tokens.put(&a, &saved("one")).unwrap();
        tokens.put(&b, &saved("two")).unwrap();
        assert_eq!(fs_mode(&tokens.path), 0o600);
        assert_eq!(tokens.get(&a).unwrap().unwrap().token.expose(), "one");
        assert!(tokens.get(&context("a", "evil.example")).unwrap().is_none());
        tokens.put(&context("a", "y.example"), &saved("three")).unwrap();
        assert!(tokens.get(&a).unwrap().is_none(), "the name means another fabric now");
        tokens.remove(&b).unwrap();
        assert!(tokens.get(&b).unwrap().is_none());
    }

    fn fs_mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_over_is_said_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::at(dir.path().join("tokens.json"));
        let a = context("a", "x.example");
        assert!(tokens.valid(&a, 0).unwrap_err().to_string().contains("not logged in: \"relayctl login\""));
        tokens.put(&a, &saved("one")).unwrap();
        assert!(tokens.valid(&a, 999).is_ok());
        assert!(tokens.valid(&a, 1_000).unwrap_err().to_string().contains("log in again"));
    }

    #[test]
    fn a_file_for_others_or_of_another_form_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::at(dir.path().join("tokens.json"));
        let a = context("a", "x.example");
        tokens.put(&a, &saved("hush")).unwrap();
        std::fs::set_permissions(&tokens.path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(tokens.get(&a).unwrap_err().to_string().contains("chmod 600"));
        write_whole(&tokens.path, "{\"version\":1,\"tokens\":[\"hush\"]}").unwrap();
        let why = tokens.get(&a).map(|_| ()).unwrap_err().to_string();
        assert!(why.contains("tokens.json:1:") && !why.contains("hush"), "{why}");
    }
}
