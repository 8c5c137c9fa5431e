//! The demo's fabric: started by `relayctl dev up`, asked by `relayctl`, and stopped whatever happens.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::{
    process::{self, Group, typed},
    tree,
};

/// The fabric's name among the contexts of a person who keeps it.
pub const NAME: &str = "demo";
/// For one command. Starting 5,000 minions takes longest; `relayctl` has shorter bounds of its own.
const COMMAND_TIME: Duration = Duration::from_secs(10 * 60);

/// A fabric that is up.
pub struct Trial {
    relayctl: PathBuf,
    /// A directory of its own for files and contexts, that goes at the end; a fabric that is kept is where `relayctl`
    /// keeps such, and its context is its user's.
    own: Option<PathBuf>,
    stopped: bool,
}

/// What a command printed and how it ended.
pub struct Output {
    /// Exit code.
    pub code: i32,
    /// The last line on standard output.
    pub last_line: String,
}

impl Trial {
    /// Starts it, with `more` options of `relayctl dev up`.
    ///
    /// # Errors
    /// It does not come up; then nothing of it is left.
    pub fn up(bin: &Path, minions: u64, keep: bool, more: &[&str]) -> anyhow::Result<Trial> {
        let own = (!keep).then(|| std::env::temp_dir().join(format!("relay-demo-{}", std::process::id())));
        // A start that fails leaves nothing. In a directory of our own we make sure; under a name that a person uses,
        // another fabric may be what stood in the way, and it is not ours to stop.
        let mut trial = Trial { relayctl: bin.join("relayctl"), own, stopped: keep };
        let minions = minions.to_string();
        let topology = tree::root().join("topology.yaml").display().to_string();
        let mut args = vec!["dev", "up", "--topology", &topology, "--minions", &minions, "--name", NAME];
        args.extend(more);
        let dir = trial.fabric_dir();
        if let Some(dir) = &dir {
            args.extend(["--dir", dir]);
        }
        let up = trial.show(&args)?;
        if up.code != 0 {
            bail!("the fabric did not come up: exit code {}", up.code);
        }
        trial.stopped = false;
        Ok(trial)
    }

    fn fabric_dir(&self) -> Option<String> {
        self.own.as_ref().map(|own| own.join("fabric").display().to_string())
    }

    fn relayctl(&self, args: &[&str]) -> Command {
        let mut relayctl = Command::new(&self.relayctl);
        relayctl.args(args).current_dir(tree::root()).env_remove("RELAY_CONTEXT");
        if let Some(own) = &self.own {
            relayctl.env("RELAY_CONFIG", own.join("contexts.yaml"));
        }
        relayctl
    }

    /// Shows a command, runs it, shows what it prints.
    ///
    /// # Errors
    /// It cannot be run, or we are asked to stop.
    pub fn show(&self, args: &[&str]) -> anyhow::Result<Output> {
        println!("$ {}", shown(args));
        let mut last_line = String::new();
        let ended = process::run(&mut self.relayctl(args), Group::Shared, COMMAND_TIME, |line| {
            println!("{line}");
            line.clone_into(&mut last_line);
        })?;
        Ok(Output { code: ended.code, last_line })
    }

    /// Shows a command, runs it, and reads what it says as JSON.
    ///
    /// # Errors
    /// It cannot be run or says something else; its exit code is not judged, since jobs end with many.
    pub fn ask(&self, args: &[&str]) -> anyhow::Result<Value> {
        let args = [args, &["--out", "json"]].concat();
        println!("$ {}", shown(&args));
        self.look(&args)
    }

    /// [`Trial::ask`] without showing the command: for what is asked again and again.
    ///
    /// # Errors
    /// As there.
    pub fn look(&self, args: &[&str]) -> anyhow::Result<Value> {
        let mut text = String::new();
        let ended = process::run(&mut self.relayctl(args), Group::Shared, COMMAND_TIME, |line| {
            text.push_str(line);
            text.push('\n');
        })?;
        serde_json::from_str(&text).with_context(|| format!("exit code {}, and no JSON: {text}", ended.code))
    }

    /// Shows `relayctl dev …` for this fabric, runs it, shows what it prints.
    ///
    /// # Errors
    /// As [`Trial::show`].
    pub fn dev(&self, words: &[&str]) -> anyhow::Result<Output> {
        let args = self.dev_words(words);
        self.show(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Reads what `relayctl dev …` says of this fabric as JSON, without showing it.
    ///
    /// # Errors
    /// As [`Trial::look`].
    pub fn look_dev(&self, words: &[&str]) -> anyhow::Result<Value> {
        let mut args = self.dev_words(words);
        args.extend(["--out", "json"].map(str::to_owned));
        self.look(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn dev_words(&self, words: &[&str]) -> Vec<String> {
        let words = ["dev"].iter().chain(words).chain(&["--name", NAME]).map(|word| (*word).to_owned());
        let dir = self.fabric_dir().into_iter().flat_map(|dir| ["--dir".to_owned(), dir]);
        words.chain(dir).collect()
    }

    /// The process of a syndic or, of several, a top master.
    ///
    /// # Errors
    /// There is none of that id.
    pub fn pid(&self, id: &str) -> anyhow::Result<i32> {
        let args = self.dev_words(&["status"]);
        let status = self.ask(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut processes = status["processes"].as_array().into_iter().flatten();
        let pid = processes.find(|process| process["name"] == id).and_then(|process| process["pid"].as_i64());
        pid.and_then(|pid| i32::try_from(pid).ok()).with_context(|| format!("no process is called {id}"))
    }

    /// Leaves it up.
    pub fn keep(mut self) {
        self.stopped = true;
    }

    /// Stops it.
    ///
    /// # Errors
    /// Something of it is left.
    pub fn down(mut self) -> anyhow::Result<()> {
        self.stop()
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.stopped = true;
        // Before it writes this file, `relayctl dev up` has started nothing.
        if self.own.as_ref().is_some_and(|own| !own.join("fabric/dev.json").exists()) {
            return self.remove();
        }
        let args = self.dev_words(&["down", "--delete"]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        println!("$ {}", shown(&args));
        // A group of its own, and no look at the stop flag: a second Ctrl-C does not end the tidying.
        let status = self.relayctl(&args).process_group(0).status()?;
        if !status.success() {
            bail!("relayctl dev down ended with {status}: processes may be left, see above");
        }
        self.remove()
    }

    fn remove(&mut self) -> anyhow::Result<()> {
        match self.own.take().filter(|own| own.exists()) {
            Some(own) => std::fs::remove_dir_all(&own).with_context(|| own.display().to_string()),
            None => Ok(()),
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.stopped {
            return;
        }
        println!("\n# Stopping the fabric");
        if let Err(error) = self.stop() {
            eprintln!("{error:#}");
        }
    }
}

/// A command as a person types it who has relayctl on the path.
fn shown(args: &[&str]) -> String {
    typed(Command::new("relayctl").args(args))
}

/// The numbers in the last line of a job.
#[derive(Debug, PartialEq, Eq)]
pub struct Count {
    /// Targets that have an outcome.
    pub accounted: u64,
    /// All targets.
    pub targets: u64,
}

impl Count {
    /// Reads `200 of 200 accounted…`.
    pub fn of_line(line: &str) -> Option<Count> {
        let (counts, _) = line.split_once(" accounted")?;
        let (accounted, targets) = counts.split_once(" of ")?;
        Some(Count { accounted: accounted.parse().ok()?, targets: targets.parse().ok()? })
    }
}
