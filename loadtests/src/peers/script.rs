//! A peer's script: one of `loadtests/peers`, written into the run's directory, talked to in lines.
//!
//! The lines are those of `peer.py`. A script ends with its standard input; everything that it has started ends with it,
//! even if it is killed.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{ChildStdin, ChildStdout},
    time::timeout,
};

use crate::process::Started;

/// Everything in `loadtests/peers`: the load harness needs no repository where it runs.
const FILES: &[(&str, &str)] = &[
    ("peer.py", include_str!("../../peers/peer.py")),
    ("with_salt.py", include_str!("../../peers/with_salt.py")),
    ("with_salt_kept.py", include_str!("../../peers/with_salt_kept.py")),
    ("with_clustershell.py", include_str!("../../peers/with_clustershell.py")),
    ("nats_server.sh", include_str!("../../peers/nats_server.sh")),
];
/// How long a script may take until it stands: an installation, and 80 salt-minions on a busy machine of two cores.
const READY_TIME: Duration = Duration::from_secs(2_400);
/// How long one word may take: longer than a script lets it.
const WORD_TIME: Duration = Duration::from_secs(400);
/// How long a script may take to end what it has started.
const END_TIME: Duration = Duration::from_secs(30);

/// A peer that is asked for.
#[derive(Debug)]
pub enum Asked<T> {
    /// It is here.
    Here(T),
    /// It cannot be, and why. Nothing was measured.
    Absent(String),
}

/// A script whose peer stands.
#[derive(Debug)]
pub struct Script {
    process: Started,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What has to be known to read its figures.
    pub notes: Vec<String>,
}

/// What a script says of a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Took {
    /// How long it took, in milliseconds; or what the word asks for.
    pub ms: f64,
    /// How many answered.
    pub answers: u64,
}

/// Writes the scripts into a directory.
///
/// # Errors
/// It cannot be written.
pub fn write(dir: &Path) -> anyhow::Result<PathBuf> {
    let scripts = dir.join("peers");
    std::fs::create_dir_all(&scripts)?;
    for (name, text) in FILES {
        std::fs::write(scripts.join(name), text).with_context(|| format!("{}: {name}", scripts.display()))?;
    }
    Ok(scripts)
}

/// Where peers are installed: beside the build, so that `cargo clean` removes them and the next run finds them.
///
/// # Errors
/// This program does not know where it lies.
pub fn home() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program lies")?;
    Ok(own.parent().and_then(Path::parent).context("a build's directory")?.join("peers"))
}

impl Script {
    /// Starts a Python script in a directory and waits until its peer stands.
    ///
    /// # Errors
    /// It failed otherwise than by being absent.
    pub async fn start(
        name: &str,
        script: &str,
        args: &[String],
        dir: &Path,
    ) -> anyhow::Result<Asked<Script>> {
        let scripts = write(dir)?;
        let home = home()?;
        std::fs::create_dir_all(&home).with_context(|| home.display().to_string())?;
        let mut command = Command::new("python3");
        // No bytecode beside the scripts: they are written anew each time.
        command.arg("-B").arg(scripts.join(script)).arg("--home").arg(&home).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = match Started::spawn(name, command, &dir.join(format!("{name}.log"))) {
            Ok(process) => process,
            Err(error) => return Ok(Asked::Absent(format!("{error:#}"))),
        };
        let child = process.child();
        let (stdin, stdout) =
            (child.stdin.take().context("no stdin")?, child.stdout.take().context("no stdout")?);
        let lines = BufReader::new(ChildStdout::from_std(stdout)?).lines();
        let stdin = ChildStdin::from_std(stdin)?;
        Script { process, stdin, lines, notes: Vec::new() }.until_ready().await
    }

    async fn until_ready(mut self) -> anyhow::Result<Asked<Script>> {
        loop {
            let line = self.hear(READY_TIME).await?;
            match line.split_once(' ').unwrap_or((&line, "")) {
                ("ready", _) => return Ok(Asked::Here(self)),
                ("note", note) => self.notes.push(note.to_owned()),
                ("absent", why) => return Ok(Asked::Absent(why.to_owned())),
                _ => return Err(self.complaint(&line)),
            }
        }
    }

    /// Has a word carried out.
    ///
    /// # Errors
    /// It failed, or took too long.
    pub async fn word(&mut self, word: &str) -> anyhow::Result<Took> {
        if self.stdin.write_all(format!("{word}\n").as_bytes()).await.is_err() {
            self.process.check()?;
        }
        let line = self.hear(WORD_TIME).await.with_context(|| word.to_owned())?;
        took(&line).ok_or_else(|| self.complaint(&line))
    }

    /// Ends it, and comes back when nothing of it is left.
    ///
    /// # Errors
    /// It does not end.
    pub async fn end(mut self) -> anyhow::Result<()> {
        drop(self.stdin);
        let ended = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        timeout(END_TIME, ended).await.with_context(|| format!("a peer did not end within {END_TIME:?}"))?;
        // Its output is closed, so it is ending.
        let _ = self.process.child().wait();
        Ok(())
    }

    async fn hear(&mut self, limit: Duration) -> anyhow::Result<String> {
        let line = timeout(limit, self.lines.next_line()).await;
        let line = line.with_context(|| format!("a peer said nothing for {limit:?}"))??;
        line.with_context(|| format!("a peer ended without a word\n{}", self.process.last_lines()))
    }

    fn complaint(&self, line: &str) -> anyhow::Error {
        let why = line.strip_prefix("failed ").unwrap_or(line);
        anyhow::anyhow!("a peer failed: {why}\n{}", self.process.last_lines())
    }
}

fn took(line: &str) -> Option<Took> {
    let (ms, answers) = line.strip_prefix("took ")?.split_once(' ')?;
    Some(Took { ms: ms.parse().ok()?, answers: answers.parse().ok()? })
}

/// Where a nats-server is. `install`: it may be fetched.
///
/// # Errors
/// The script cannot be run.
pub async fn nats_server(dir: &Path, install: bool) -> anyhow::Result<Asked<PathBuf>> {
    let (scripts, home) = (write(dir)?, home()?);
    let mut command = tokio::process::Command::new("sh");
    command
        .arg(scripts.join("nats_server.sh"))
        .arg(home)
        .args(install.then_some("--install"))
        .kill_on_drop(true);
    let ran = command.stdin(Stdio::null()).output().await.context("sh")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    match said.trim().split_once(' ') {
        Some(("found", path)) => Ok(Asked::Here(path.into())),
        Some(("absent", why)) => Ok(Asked::Absent(why.to_owned())),
        _ => anyhow::bail!(
            "nats_server.sh ended with {}: {}",
            ran.status,
            String::from_utf8_lossy(&ran.stderr)
        ),
    }
}

#[cfg(test)]
mod tests;
