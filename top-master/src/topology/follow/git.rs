//! Git, as a program of the system: a bare clone of our own with one branch, and what lies at its head.
//!
//! Everything is passed as arguments of its own, never through a shell, and what comes from outside stands behind `--` or after a
//! checked name. Nothing of the machine's configuration runs (no hooks, no programs that ask for passwords), and nothing waits
//! for ever or fills the memory.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use relay_runtime::config::{FollowConfig, MAX_CONFIG_BYTES};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    time::timeout,
};

/// A repository that has not answered after this is not there.
const TIME: Duration = Duration::from_secs(60);
/// Of what git says on its second output, so much is kept.
const MAX_SAID: u64 = 4 << 10;
/// Of a commit's author and subject together.
const MAX_HEAD: u64 = 64 << 10;
/// The branch's head, in our clone.
const HEAD: &str = "refs/follow/head";
/// Its place below the state directory.
const PLACE: &str = "follow";
/// What git may use to reach a repository: nothing that runs a command given in the URL.
const PROTOCOLS: &str = "file:git:http:https:ssh";

/// The followed repository, and our clone.
pub(super) struct Repository {
    place: PathBuf,
    from: String,
    branch: String,
    file: String,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) commit: String,
    pub(super) author: String,
    pub(super) subject: String,
}

impl Head {
    /// Its name as people write it.
    pub(super) fn short(&self) -> &str {
        self.commit.get(..12).unwrap_or(&self.commit)
    }
}

impl Repository {
    pub(super) fn new(config: &FollowConfig, state_dir: &Path) -> Repository {
        let FollowConfig { repository, branch, file, .. } = config.clone();
        Repository { place: state_dir.join(PLACE), from: repository, branch, file }
    }

    /// Fetches, and tells the branch's head. An error is for people.
    pub(super) async fn head(&self) -> Result<Head, String> {
        let (from, branch) = (without_secret(&self.from), &self.branch);
        self.fetch().await.map_err(|why| {
            format!("branch {branch} of {from} can't be fetched: {}", why.replace(&self.from, &from))
        })?;
        let format = "--format=%H%x00%an <%ae>%x00%s";
        let log = ["log", "-1", "--no-show-signature", "--no-color", format, HEAD, "--"];
        let log = self.git(&log, MAX_HEAD).await?;
        let text = String::from_utf8_lossy(&log);
        match text.trim_end().split('\0').collect::<Vec<_>>()[..] {
            [commit, author, subject] if commit.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Ok(Head { commit: commit.into(), author: author.into(), subject: subject.into() })
            }
            _ => {
                Err(format!("git tells no commit of {HEAD}: {:?}", text.chars().take(80).collect::<String>()))
            }
        }
    }

    async fn fetch(&self) -> Result<(), String> {
        if !self.place.join("HEAD").is_file() {
            let place = self.place.to_str().ok_or("the state directory has no name in UTF-8")?;
            run(&["init", "--quiet", "--bare", "--", place], MAX_SAID).await?;
        }
        let spec = format!("+refs/heads/{}:{HEAD}", self.branch);
        let fetch = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--depth=1",
            "--",
            &self.from,
            &spec,
        ];
        self.git(&fetch, MAX_SAID).await.map(drop)
    }

    /// The file as it is in a commit.
    pub(super) async fn file(&self, head: &Head) -> Result<String, String> {
        let (file, commit) = (&self.file, head.short());
        let name = format!("{}:{file}", head.commit);
        let bytes = self.git(&["cat-file", "blob", &name], MAX_CONFIG_BYTES).await;
        let bytes = bytes.map_err(|why| format!("{file} at {commit} can't be read: {why}"))?;
        String::from_utf8(bytes).map_err(|_| format!("{file} at {commit} is no text in UTF-8"))
    }

    async fn git(&self, arguments: &[&str], most: u64) -> Result<Vec<u8>, String> {
        let place = self.place.to_str().ok_or("the state directory has no name in UTF-8")?;
        let all: Vec<&str> = ["--git-dir", place].into_iter().chain(arguments.iter().copied()).collect();
        run(&all, most).await
    }
}

/// A URL without user and password.
pub(super) fn without_secret(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match host.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => url.into(),
    }
}

/// Runs git; what it writes, at most so many bytes. An error is what it says, in one line.
async fn run(arguments: &[&str], most: u64) -> Result<Vec<u8>, String> {
    let mut child = command(arguments)
        .spawn()
        .map_err(|error| format!("git can't be started ({error}): install git on this machine"))?;
    let (out, said) = (child.stdout.take(), child.stderr.take());
    let ended = timeout(TIME, async {
        let (out, said) = tokio::join!(some(out, most), beginning(said, MAX_SAID));
        (out, said, child.wait().await)
    });
    // Dropped without having ended, it is killed.
    let Ok((out, said, status)) = ended.await else {
        return Err(format!("git did not end within {} s", TIME.as_secs()));
    };
    let out = out?;
    match status {
        Ok(status) if status.success() => Ok(out),
        Ok(status) => Err(line(&said).unwrap_or_else(|| format!("git ended with {status}"))),
        Err(error) => Err(error.to_string()),
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "core.hooksPath=/dev/null", "-c", "credential.helper=", "-c", "core.askPass="])
        .args(["-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false"])
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", PROTOCOLS)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // What the environment would point at another repository, or at a program that asks.
    let foreign =
        ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ASKPASS", "SSH_ASKPASS"];
    for name in foreign {
        command.env_remove(name);
    }
    if std::env::var_os("GIT_SSH_COMMAND").is_none() {
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    }
    command
}

/// All of it, if it is not too much.
async fn some(from: Option<impl AsyncRead + Unpin>, most: u64) -> Result<Vec<u8>, String> {
    let Some(from) = from else { return Ok(Vec::new()) };
    let (mut bytes, mut limited) = (Vec::new(), from.take(most + 1));
    limited.read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    match bytes.len() as u64 > most {
        true => Err(format!("it is larger than {most} bytes")),
        false => Ok(bytes),
    }
}

/// The beginning of it. The rest is read and forgotten, or git could not go on.
async fn beginning(from: Option<impl AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let (Some(mut from), mut bytes) = (from, Vec::new()) else { return Vec::new() };
    // What could not be read is missing in an error's text.
    let _ = (&mut from).take(most).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    bytes
}

/// What git says, in one line; nothing if it says nothing.
fn line(said: &[u8]) -> Option<String> {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}
