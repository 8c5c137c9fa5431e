//! `relayctl schedule show|pause|resume|remove`: one schedule, by its name.

use anyhow::bail;
use clap::Args;

use super::row;
use crate::{connect::Fabric, exit::Exit, output::Output};

/// Which schedule.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Its name
    name: String,
}

pub const SHOW: &str =
    "EXAMPLES:\n  relayctl schedule show nightly\n  relayctl schedule show nightly --out json";
pub const PAUSE: &str = "EXAMPLES:\n  relayctl schedule pause nightly";
pub const RESUME: &str = "EXAMPLES:\n  relayctl schedule resume nightly";
pub const REMOVE: &str = "EXAMPLES:\n  relayctl schedule remove nightly";

/// Shows it.
pub async fn show(args: &NameArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let schedules = fabric.schedules().await?;
    let Some(schedule) = schedules.iter().find(|s| s.name == args.name) else {
        bail!("there is no schedule {:?}: see \"relayctl schedule list\"", args.name);
    };
    row::show(schedule, out, if schedule.paused { "is paused" } else { "goes on" })?;
    Ok(Exit::Ok)
}

/// Pauses it, or lets it go on.
pub async fn pause(args: &NameArgs, paused: bool, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let schedule = fabric.pause_schedule(&args.name, paused).await?;
    row::show(&schedule, out, if paused { "is paused" } else { "goes on" })?;
    Ok(Exit::Ok)
}

/// Forgets it.
pub async fn remove(args: &NameArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let schedule = fabric.remove_schedule(&args.name).await?;
    let gone = relay_proto::operator::Schedule { paused: false, next: 0, ..schedule };
    out.show(&row::data(&gone), |_| format!("schedule {:?} is forgotten; its jobs stay", gone.name))?;
    Ok(Exit::Ok)
}
