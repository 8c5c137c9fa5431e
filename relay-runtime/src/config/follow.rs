//! Which git repository a top master takes the topology from. Owns the key `follow`; nothing is fetched here.

use std::{path::Path, time::Duration};

use relay_core::document::{Fields, Node, Sink, read};

/// How often it is looked at if the file does not say.
const EVERY: Duration = Duration::from_secs(60);
/// Once a day at least, or nobody would notice that it does not work.
const MAX_EVERY_S: u64 = 86_400;
/// Longest name of anything here, in bytes: what a command line and a path bear.
const MAX_NAME_BYTES: usize = 1_024;

/// A git repository that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowConfig {
    /// Where it is: a path, or a URL that git understands.
    pub repository: String,
    /// The branch whose head counts. Default `main`.
    pub branch: String,
    /// The topology's path in the repository. Default `topology.yaml`.
    pub file: String,
    /// How often it is looked at. Default 60 s.
    pub every: Duration,
    /// What happens with a change. Default manual.
    pub policy: FollowPolicy,
}

/// What happens with a change in a followed repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FollowPolicy {
    /// It is shown, and waits for an operator.
    #[default]
    Manual,
    /// It is applied.
    Auto,
}

impl FollowPolicy {
    /// The word for it, as in the file.
    pub fn word(self) -> &'static str {
        match self {
            FollowPolicy::Manual => "manual",
            FollowPolicy::Auto => "auto",
        }
    }
}

const POLICIES: &[(&str, FollowPolicy)] = &[("manual", FollowPolicy::Manual), ("auto", FollowPolicy::Auto)];

/// Reads the key.
pub(super) fn follow<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<FollowConfig> + 'a {
    move |node, sink| {
        let mut f = Fields::open(node, "follow", sink)?;
        let repository = f.need("repository", |n, s| read::with(n, s, |text| repository(base, text)));
        let branch = f.or("branch", "main".into(), |n, s| read::with(n, s, branch));
        let file = f.or("file", "topology.yaml".into(), |n, s| read::with(n, s, file));
        let every =
            f.or("every_s", EVERY, |n, s| read::number(1, MAX_EVERY_S)(n, s).map(Duration::from_secs));
        let policy = f.or("policy", FollowPolicy::Manual, read::word(POLICIES));
        f.close();
        Some(FollowConfig {
            repository: repository?,
            branch: branch?,
            file: file?,
            every: every?,
            policy: policy?,
        })
    }
}

/// A URL as it is; a path from the directory of the configuration file.
fn repository(base: &Path, text: &str) -> Result<String, String> {
    plain("a repository", text)?;
    // As git reads it: a colon before the first slash is a host's.
    let url = text.find(':').is_some_and(|colon| !text[..colon].contains('/'));
    let program = text.contains("::");
    match (url, program) {
        (_, true) => Err(format!("{:?}: transports of this form run programs", read::clip(text))),
        (true, false) => Ok(text.into()),
        (false, false) => match base.join(text).to_str() {
            Some(path) => Ok(path.into()),
            None => Err("this file's directory has no name in UTF-8".into()),
        },
    }
}

/// As `git check-ref-format` has it.
fn branch(text: &str) -> Result<String, String> {
    plain("a branch", text)?;
    let bad = ["..", "//", "@{", "~", "^", ":", "?", "*", "[", "\\", " "];
    let ends = text.starts_with('/') || text.ends_with(['/', '.']) || text.ends_with(".lock");
    match ends || bad.iter().any(|bad| text.contains(bad)) {
        true => Err(format!("{:?} is no branch's name", read::clip(text))),
        false => Ok(text.into()),
    }
}

fn file(text: &str) -> Result<String, String> {
    plain("a file", text)?;
    match text.split('/').all(|part| !matches!(part, "" | "." | "..")) {
        true => Ok(text.into()),
        false => Err(format!("{:?} is no path from a repository's root", read::clip(text))),
    }
}

/// Nothing that a command could take for an option, and no control characters.
fn plain(what: &str, text: &str) -> Result<(), String> {
    match text.starts_with('-') || text.chars().any(char::is_control) || text.len() > MAX_NAME_BYTES {
        true => Err(format!("{:?} is no name of {what}", read::clip(text))),
        false => Ok(()),
    }
}
