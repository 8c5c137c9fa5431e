//! `relayctl dev up`: where, under which name, and what is told at the end. The plan, the files and the processes have modules of
//! their own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use relay_runtime::config::{self, MAX_MINIONS_PER_PROCESS};
use serde_json::json;
use tokio::time::Instant;

use super::{
    DEFAULT_NAME, adopt,
    binaries::Binaries,
    default_dir, dir_of, layout,
    plan::{MAX_MINIONS, Plan, Size},
    ports::Ports,
    ready::Attached,
    record::Record,
    shared::SharedArgs,
    starter::Starter,
    stop,
};
use crate::{
    contexts::{Context, ContextFile},
    exit::Exit,
    output::Output,
};

/// What to start, and where.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UpArgs {
    /// The fabric's shape
    #[arg(long, value_name = "FILE", default_value = "topology.yaml")]
    topology: PathBuf,
    /// How many minions, spread over the regions in the topology's proportions
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=MAX_MINIONS))]
    minions: u64,
    /// At most so many minions in one process. Default: one process for each syndic's minions
    #[arg(long, value_name = "N", default_value_t = MAX_MINIONS_PER_PROCESS as u64,
          value_parser = clap::value_parser!(u64).range(1..=MAX_MINIONS_PER_PROCESS as u64))]
    minions_per_process: u64,
    #[command(flatten)]
    shared: SharedArgs,
    /// Where configurations, state and logs go. Default: ~/.local/state/relay/dev/NAME
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The name of the context that is made for it
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME)]
    name: String,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl dev up
  relayctl dev up --minions 1000
  relayctl dev up --minions 20 --minions-per-process 1
  relayctl dev up --topology deploy/small.yaml --dir /tmp/second --name second
  relayctl dev up --etcd http://127.0.0.1:2379 --postgres /run/postgresql
  relayctl dev up --etcd http://127.0.0.1:2379 --postgres postgres://me@127.0.0.1:5432/trial --postgres-password-file pw

A second fabric runs beside the first one if it has another --name.

Without --etcd only the first top master of the topology is started, and stands in for the others: several need a registry
and a store that they share. Etcd and the database must run already; the database must be empty, and what the fabric writes
there stays after \"dev down\". Then kill the owner and see another one take over: relayctl fabric status, relayctl dev start.";

/// Runs it.
pub async fn run(args: UpArgs, out: &Output) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let topology = config::load_topology(&args.topology)?;
    let binaries = Binaries::find()?;
    let contexts = ContextFile::of_user()?;
    let dir = match &args.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => default_dir(&args.name)?,
    };
    let previous = check_name(&contexts, &args.name, &dir)?;
    args.shared.check_empty().await?;
    let _lock = prepare(&dir)?;
    let mut ports = Ports::default();
    let size =
        Size { tops: args.shared.tops(), minions: args.minions, per_process: args.minions_per_process };
    let plan = Plan::new(&topology, size, || ports.next())?;
    let shared = args.shared.settings(plan.fabric.as_str())?;
    let context = layout::write(&dir, &plan, &args.topology, &shared, &args.name)?;
    let mut record = Record::new(context.clone(), previous, whole(&plan));
    let daemons = layout::daemons(&plan);
    let mut starter = Starter::new(&dir, &binaries, &mut record);
    let up = tokio::select! {
        up = starter.start(&daemons) => up,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let up = up.and_then(|()| select(&contexts, &context));
    if let Err(error) = up {
        drop(starter);
        stop::stop(&dir, &record).context("and what was started could not be stopped")?;
        return Err(
            error.context(format!("the fabric did not come up, and is stopped again; see {}", dir.display()))
        );
    }
    told(&plan, &dir, &args.name, began.elapsed(), out)?;
    Ok(Exit::Ok)
}

/// Makes the context the current one.
fn select(contexts: &ContextFile, context: &Context) -> anyhow::Result<()> {
    contexts.change(|all| {
        all.put(context.clone());
        all.current = Some(context.name.clone());
        Ok(())
    })
}

/// Refuses a name that belongs to something else. Returns the context that was in use.
fn check_name(contexts: &ContextFile, name: &str, dir: &Path) -> anyhow::Result<Option<String>> {
    let all = contexts.read()?;
    let previous = all.current.clone().filter(|current| current != name);
    let Some(context) = all.get(name) else { return Ok(previous) };
    let Some(other) = dir_of(&context.ca) else {
        // Its directory is gone, or it never was a trial fabric's.
        if context.ca.exists() {
            bail!("the context {name:?} is not a trial fabric's: choose another --name");
        }
        return Ok(previous);
    };
    let lives = Record::read(&other)?.is_some_and(|record| record.living().next().is_some());
    if lives && other != dir {
        bail!(
            "the context {name:?} is that of the fabric in {}, which is running: choose another --name, or stop it with \
             \"relayctl dev down --name {name}\"",
            other.display()
        );
    }
    Ok(previous)
}

/// An empty directory for the fabric, held against another `dev up`. What an earlier one left there is removed; what is
/// not a trial fabric's is not touched.
fn prepare(dir: &Path) -> anyhow::Result<File> {
    let place = || dir.display().to_string();
    fs::create_dir_all(dir).with_context(place)?;
    let lock = File::open(dir).with_context(place)?;
    if lock.try_lock().is_err() {
        bail!("{}: another \"relayctl dev up\" is at work here", dir.display());
    }
    let is_empty = fs::read_dir(dir).with_context(place)?.next().is_none();
    let mut earlier = Record::read(dir)?;
    earlier.iter_mut().for_each(adopt::adopt);
    match earlier {
        Some(record) if record.living().next().is_some() => {
            bail!(
                "{}: a trial fabric is running here; stop it with \"relayctl dev down --dir {0}\"",
                dir.display()
            )
        }
        Some(_) => clear(dir).with_context(place)?,
        None if !is_empty => {
            bail!("{}: this directory holds something else; give --dir another one", dir.display())
        }
        None => {}
    }
    Ok(lock)
}

/// Removes what is in a directory. The record goes last: without it nobody knows that the rest is ours.
fn clear(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// All that is to be there.
fn whole(plan: &Plan) -> Attached {
    Attached { top_masters: plan.tops.len(), syndics: plan.syndics.len(), minions: plan.minion_count() }
}

fn told(plan: &Plan, dir: &Path, name: &str, took: Duration, out: &Output) -> anyhow::Result<()> {
    let data = json!({
        "context": name,
        "dir": dir,
        "fabric": plan.fabric.as_str(),
        "top_masters": plan.tops.iter().map(|top| top.id.as_str()).collect::<Vec<_>>(),
        "left_out": plan.left_out.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        "syndics": plan.syndics.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(),
        "minions": plan.minion_count(),
        "took_ms": took.as_millis() as u64,
    });
    out.show(&data, |_| summary(plan, dir, name, took))
}

fn summary(plan: &Plan, dir: &Path, name: &str, took: Duration) -> String {
    let regions: std::collections::BTreeSet<_> = plan.syndics.iter().map(|s| &s.region).collect();
    let mut out = format!(
        "fabric {} is up: {}, {} syndics in {} regions, {} minions attached, in {:.1} s\n",
        plan.fabric,
        tops(plan),
        plan.syndics.len(),
        regions.len(),
        plan.minion_count(),
        took.as_secs_f64()
    );
    if let ([top, ..], [_, ..]) = (&plan.tops[..], &plan.left_out[..]) {
        let names: Vec<&str> = plan.left_out.iter().map(|id| id.as_str()).collect();
        out.push_str(&format!(
            "{} stands in for {} too: several top masters need --etcd and --postgres\n",
            top.id,
            names.join(", ")
        ));
    }
    out + &format!(
        "configurations, state and logs: {}\ncontext {name:?} is the current one, so this reaches it:\n\n  \
         relayctl run '*' test.ping\n  relayctl run -G 'os:*' cmd.run uptime\n  relayctl fabric status\n  \
         relayctl minions list\n  relayctl dev status\n  relayctl dev down",
        dir.display()
    )
}

fn tops(plan: &Plan) -> String {
    match plan.tops.len() {
        1 => "1 top master".into(),
        n => format!("{n} top masters (one owns the fabric)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_directory_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("precious")).unwrap();
        let told = prepare(dir.path()).unwrap_err().to_string();
        assert!(told.contains("something else"), "{told}");
        assert!(dir.path().join("precious").exists());
    }

    #[test]
    fn what_an_earlier_one_left_is_cleared_and_two_at_once_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let context = Context::of_nobody();
        Record::new(context, None, Attached::default()).write(dir.path()).unwrap();
        fs::create_dir(dir.path().join("pki")).unwrap();
        let held = prepare(dir.path()).unwrap();
        assert!(!dir.path().join("pki").exists());
        assert!(prepare(dir.path()).unwrap_err().to_string().contains("at work"));
        drop(held);
        prepare(dir.path()).unwrap();
    }

    #[test]
    fn names_of_other_fabrics_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.crt");
        fs::write(&ca, "").unwrap();
        let file = ContextFile::at(dir.path().join("contexts.yaml"));
        let real = |name: &str, ca: &Path| Context {
            name: name.into(),
            fabric: "acme.example".into(),
            addresses: Vec::new(),
            ca: ca.into(),
            cert: Some("cert".into()),
            key: Some("key".into()),
            root: None,
        };
        select(&file, &real("production", &ca)).unwrap();
        assert!(check_name(&file, "production", dir.path()).is_err());
        assert_eq!(check_name(&file, "dev", dir.path()).unwrap().as_deref(), Some("production"));
        select(&file, &real("stale", &dir.path().join("gone/pki/ca.crt"))).unwrap();
        assert_eq!(check_name(&file, "stale", dir.path()).unwrap(), None);
    }
}
