//! From which commit a file is: asked of git, if the file lies in a work tree and says what the commit says.
//!
//! Git is run as a program with a vector of arguments and bounds on its time and its answer. Whatever goes wrong there is no
//! reason not to apply a file; it is told, and the revision has no commit.

use std::{path::Path, process::Stdio, time::Duration};

use relay_runtime::config::MAX_CONFIG_BYTES;
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

/// How long one question to git may take. On a large repository on a cold disk it takes a second.
const TIME: Duration = Duration::from_secs(10);

/// Where a text comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// The commit, in hexadecimal.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// Its first line.
    pub subject: String,
}

/// What git knows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is as this commit has it: the last one that changed it.
    Committed(Commit),
    /// It is in a work tree, and is not as the last commit has it.
    Changed,
    /// It is in no work tree, was never committed, or there is no git here.
    Unknown,
}

/// Asks for the origin of a file with this text.
pub async fn origin(path: &Path, text: &str) -> Origin {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (Some(dir), Some(name)) = (whole.parent(), whole.file_name().and_then(|name| name.to_str())) else {
        return Origin::Unknown;
    };
    let here = format!("./{name}");
    // Fields are separated by a byte that is in none of them.
    let log = git(dir, &["log", "-1", "--format=%H%x00%an <%ae>%x00%s", "--", &here]).await;
    let Some(log) = log.filter(|log| !log.is_empty()) else { return Origin::Unknown };
    let mut fields = log.trim_end().split('\0').map(str::to_owned);
    let mut field = || fields.next().unwrap_or_default();
    let commit = Commit { id: field(), author: field(), subject: field() };
    match git(dir, &["cat-file", "blob", &format!("{}:{here}", commit.id)]).await {
        Some(committed) if committed == text => Origin::Committed(commit),
        _ => Origin::Changed,
    }
}

/// What git answers; nothing if it fails.
async fn git(dir: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // A repository may name programs to be run while it is looked at; none of them is needed.
    command.args(["-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "--no-pager", "-C"]);
    command.arg(dir).args(arguments);
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    // In a hook these name the repository of the commit, whichever directory is asked about.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().ok()?;
    let stdout = child.stdout.take()?;
    let answer = async {
        let mut text = String::new();
        // What a commit has may be larger than any topology; then it is another text.
        stdout.take(MAX_CONFIG_BYTES + 1).read_to_string(&mut text).await.ok()?;
        child.wait().await.ok()?.success().then_some(text)
    };
    timeout(TIME, answer).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(dir: &Path, arguments: &[&str]) {
        let done = std::process::Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"])
            .arg("-C")
            .arg(dir)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(done.is_ok_and(|status| status.success()), "git {arguments:?}");
    }

    #[tokio::test]
    async fn a_file_is_from_the_commit_that_has_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("fabric");
        std::fs::create_dir(&sub).unwrap();
        let file = sub.join("-t opology.yaml");
        std::fs::write(&file, "a: 1\n").unwrap();
        assert_eq!(origin(&file, "a: 1\n").await, Origin::Unknown, "no work tree");
        run(dir.path(), &["init", "-q"]);
        assert_eq!(origin(&file, "a: 1\n").await, Origin::Unknown, "never committed");
        run(dir.path(), &["add", "."]);
        run(dir.path(), &["commit", "-q", "-m", "Three syndics in aws"]);
        std::fs::write(sub.join("other"), "x").unwrap();
        run(dir.path(), &["add", "."]);
        run(dir.path(), &["commit", "-q", "-m", "Another file"]);
        let Origin::Committed(commit) = origin(&file, "a: 1\n").await else { panic!("not committed") };
        assert_eq!(
            (commit.author.as_str(), commit.subject.as_str()),
            ("Ada <ada@example.org>", "Three syndics in aws")
        );
        assert_eq!(commit.id.len(), 40);
        std::fs::write(&file, "a: 2\n").unwrap();
        assert_eq!(origin(&file, "a: 2\n").await, Origin::Changed);
    }
}
