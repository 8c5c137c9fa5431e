//! Both ends of a part: a process of this binary that a scenario starts with a plan, and talks to in lines.
//!
//! The plan is the first line on its standard input, a JSON object; what follows are single words. Standard input stays
//! open for its whole life: its end means that the scenario is gone.

use std::{
    io::{BufRead, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{ChildStdin, ChildStdout},
    time::timeout,
};

use crate::{floor, jobs, paper, peers::nats, process::Started, storm, swarm};

/// A process that scenarios start.
#[derive(Debug)]
pub struct PartKind {
    /// Its subcommand.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What it does, until the scenario is gone.
    pub main: fn() -> anyhow::Result<()>,
}

/// All of them.
pub const PARTS: &[PartKind] = &[
    PartKind { name: "swarm", about: "Simulated minions", main: swarm::main },
    PartKind { name: "nats-responders", about: "Responders at a nats-server", main: nats::responders::main },
    paper::PART,
    storm::ACCEPTING,
    storm::DIALLING,
    jobs::ECHO,
    jobs::BULK,
    PartKind { name: "floor-top", about: "The top of the bare TCP tree", main: floor::top::main },
    PartKind { name: "floor-middle", about: "A middle of the bare TCP tree", main: floor::middle::main },
    PartKind { name: "floor-leaves", about: "Leaves of the bare TCP tree", main: floor::leaves::main },
    PartKind { name: "grpc-top", about: "The top of the gRPC tree", main: floor::grpc::top::main },
    PartKind { name: "grpc-middle", about: "A middle of the gRPC tree", main: floor::grpc::middle::main },
    PartKind { name: "grpc-leaves", about: "Leaves of the gRPC tree", main: floor::grpc::leaves::main },
];

/// The scenario's end.
#[derive(Debug)]
pub struct Part {
    /// The process.
    pub process: Started,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Part {
    /// Starts `loadtests SUBCOMMAND` and gives it its plan.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(
        name: &str,
        subcommand: &str,
        plan: &impl Serialize,
        logs: &Path,
    ) -> anyhow::Result<Part> {
        let mut command = Command::new(std::env::current_exe().context("where this program lies")?);
        command.arg(subcommand).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Started::spawn(name, command, &logs.join(format!("{name}.log")))?;
        let child = process.child();
        let (stdin, stdout) =
            (child.stdin.take().context("no stdin")?, child.stdout.take().context("no stdout")?);
        let lines = BufReader::new(ChildStdout::from_std(stdout)?).lines();
        let mut part = Part { process, stdin: ChildStdin::from_std(stdin)?, lines };
        part.say(&serde_json::to_string(plan)?).await?;
        Ok(part)
    }

    /// Sends a line.
    ///
    /// # Errors
    /// It is gone.
    pub async fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let sent = self.stdin.write_all(format!("{line}\n").as_bytes()).await;
        if sent.is_err() {
            self.process.check()?;
        }
        Ok(sent?)
    }

    /// Waits for the next line.
    ///
    /// # Errors
    /// None comes within `limit`, or the process is gone.
    pub async fn hear(&mut self, limit: Duration) -> anyhow::Result<String> {
        let line = timeout(limit, self.lines.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(_) => {
                // Its output has ended, so it is ending: wait to say how.
                let _ = self.process.child().wait();
                self.process.check().and_then(|()| anyhow::bail!("a part has closed its output"))
            }
            Err(_) => anyhow::bail!("a part said nothing for {limit:?}\n{}", self.process.last_lines()),
        }
    }

    /// Waits for a line that begins with a word; gives the rest of it.
    ///
    /// # Errors
    /// As [`Part::hear`], or something else came.
    pub async fn expect(&mut self, word: &str, limit: Duration) -> anyhow::Result<String> {
        let line = self.hear(limit).await?;
        let rest = line.strip_prefix(word).map(|rest| rest.trim().to_owned());
        rest.with_context(|| format!("a part said {line:?} instead of {word:?}"))
    }
}

/// In a part: reads its plan.
///
/// # Errors
/// There is none, or it is for another part.
pub fn plan<T: DeserializeOwned>() -> anyhow::Result<T> {
    let line = heard()?.context("no plan on standard input: a scenario starts this, people do not")?;
    serde_json::from_str(&line).context("the plan")
}

/// In a part: the next line, or nothing at the end. Blocks.
///
/// # Errors
/// Standard input cannot be read.
pub fn heard() -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    let n = std::io::stdin().lock().read_line(&mut line).context("standard input")?;
    Ok((n > 0).then(|| line.trim_end().to_owned()))
}

/// In a part: says a line to the scenario. Ends the process if the scenario is gone.
pub fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// In a part: ends the process when the scenario is gone. Call it after the last [`heard`].
pub fn end_with_the_scenario() {
    std::thread::spawn(|| {
        while matches!(heard(), Ok(Some(_))) {}
        std::process::exit(0);
    });
}
