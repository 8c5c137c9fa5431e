//! `relayctl dev start`: what is dead of a trial fabric is started again, as it was.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use clap::Args;
use relay_core::identity::Role;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Which,
    binaries::Binaries,
    layout::Daemon,
    process::{self, ProcessId},
    ready::{self, Answer, Started},
    record::{Process, Record},
};
use crate::{exit::Exit, output::Output};

/// How long what was started may take to answer. A top master looks through its store before.
const WAIT: Duration = Duration::from_secs(60);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// What to start.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StartArgs {
    /// The names of processes, as "relayctl dev status" shows them. Default: all that are dead
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    which: Which,
}

const EXAMPLES: &str = "\
EXAMPLES:
  kill -9 PID                          of \"relayctl dev status\"
  relayctl dev start
  relayctl dev start top-1 syndic-aws-1";

/// Runs it.
pub async fn run(args: &StartArgs, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let binaries = Binaries::find()?;
    let (dir, mut record) = args.which.find(wanted)?;
    let dead = dead(&record, &args.names)?;
    let mut started = Vec::new();
    for at in dead {
        let Some(process) = record.processes.get_mut(at) else { continue };
        started.push(start(process, &binaries)?);
        // At once: whatever happens next, "dev down" finds it.
        record.write(&dir)?;
    }
    answering(&dir, &mut started).await?;
    let names: Vec<&str> = started.iter().map(|s| s.daemon.name.as_str()).collect();
    out.show(&json!({ "dir": dir, "started": names }), |_| match names.as_slice() {
        [] => "every process lives".into(),
        names => format!("started {}", names.join(", ")),
    })?;
    Ok(Exit::Ok)
}

/// Which processes of a record are to be started, by their places in it.
fn dead(record: &Record, names: &[String]) -> anyhow::Result<Vec<usize>> {
    for name in names {
        match record.processes.iter().find(|p| p.name == *name) {
            None => bail!("no process of this fabric is called {name:?}: see \"relayctl dev status\""),
            Some(p) if p.id.lives() => bail!("{name} lives (pid {})", p.id.pid),
            Some(_) => {}
        }
    }
    let wanted = |p: &Process| !p.id.lives() && (names.is_empty() || names.contains(&p.name));
    Ok(record.processes.iter().enumerate().filter(|(_, p)| wanted(p)).map(|(at, _)| at).collect())
}

fn start(process: &mut Process, binaries: &Binaries) -> anyhow::Result<Started> {
    let roles = [Role::TopMaster, Role::Syndic, Role::Minion];
    let role = roles.into_iter().find(|role| role.word() == process.role);
    let role = role.with_context(|| format!("{}: {:?} is no role", process.name, process.role))?;
    let admin = process.admin.parse().with_context(|| format!("{}: {:?}", process.name, process.admin))?;
    let arguments = Record::arguments(&process.config, process.count);
    let child = process::start(&binaries.of(role), &arguments, &process.log)?;
    process.id = ProcessId::of(child.id())?;
    let daemon = Daemon { name: process.name.clone(), role, count: process.count, admin };
    Ok(Started { daemon, child })
}

/// Waits until each of them answers. Whether it is ready may depend on others: a standby is not, nor is who has no parent.
async fn answering(dir: &Path, started: &mut [Started]) -> anyhow::Result<()> {
    let deadline = Instant::now() + WAIT;
    for at in 0..started.len() {
        let Some(daemon) = started.get(at).map(|s| s.daemon.clone()) else { break };
        while ready::ask(daemon.admin).await == Answer::Silent {
            ready::check_alive(dir, started)?;
            if Instant::now() >= deadline {
                return Err(ready::not_ready(dir, &daemon));
            }
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, path::PathBuf, process::Command};

    use super::*;
    use crate::{contexts::Context, dev::ready::Attached};

    fn record(dir: &Path, names: &[(&str, ProcessId)]) -> Record {
        let context = Context::of_nobody();
        let process = |(name, id): &(&str, ProcessId)| Process {
            name: (*name).into(),
            role: "minion".into(),
            count: Some(3),
            id: id.clone(),
            admin: "127.0.0.1:1".into(),
            config: PathBuf::from("config.yaml"),
            log: dir.join("log"),
        };
        let mut record = Record::new(context, None, Attached::default());
        record.processes = names.iter().map(process).collect();
        record
    }

    fn ended(dir: &Path) -> ProcessId {
        let mut child = process::start(Path::new("sleep"), &["600".into()], &dir.join("log")).unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        id
    }

    #[test]
    fn only_the_dead_are_started_and_only_those_that_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (dead_one, living) = (ended(dir.path()), ProcessId::of(std::process::id()).unwrap());
        let record = record(dir.path(), &[("a", dead_one.clone()), ("b", living), ("c", dead_one)]);
        assert_eq!(dead(&record, &[]).unwrap(), [0, 2]);
        assert_eq!(dead(&record, &["c".into()]).unwrap(), [2]);
        assert!(dead(&record, &["b".into()]).unwrap_err().to_string().contains("lives"));
        assert!(dead(&record, &["d".into()]).unwrap_err().to_string().contains("\"d\""));
    }

    /// It says what it was told, and ends when there is a file called `end`.
    const SCRIPT: &str = r#"cat > minion <<'END'
#!/bin/sh
echo "$@"
while [ ! -e "${0%/*}/end" ]; do sleep 0.02; done
END
chmod +x minion; cp minion syndic; cp minion top-master"#;

    #[tokio::test]
    async fn it_is_told_what_it_was_told_before_and_its_death_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        // Written by another process: one of ours that is being started would hold the file open for writing.
        let written = Command::new("sh").args(["-c", SCRIPT]).current_dir(dir.path()).status().unwrap();
        assert!(written.success());
        let binaries = Binaries::in_dir(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        let mut record = record(dir.path(), &[("a", ended(dir.path()))]);
        let process = &mut record.processes[0];
        // Nobody answers there.
        process.admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        process.log = dir.path().join("a/log");
        let started = start(process, &binaries).unwrap();
        assert!(process.id.lives());
        std::fs::write(dir.path().join("end"), "").unwrap();
        let told = answering(dir.path(), &mut [started]).await.unwrap_err().to_string();
        assert!(told.contains("a died") && told.contains("serve --config config.yaml --count 3"), "{told}");
    }
}
