//! `relayctl fabric`: the tree as its top master sees it.

use std::time::Duration;

use clap::Subcommand;
use relay_proto::operator::StatusReply;
use serde_json::{Value, json};

use crate::{
    connect::Fabric,
    contexts::ContextFile,
    exit::Exit,
    output::{Output, Paint, clean, table},
    when,
};

/// What to ask of the fabric.
#[derive(Debug, Subcommand)]
pub enum FabricCommand {
    /// Show the top master, the syndics and how many minions are attached
    #[command(after_help = EXAMPLES)]
    Status,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl fabric status
  relayctl fabric status --out json
  relayctl fabric status --context production";

/// Runs one of the commands.
pub async fn run(command: FabricCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let FabricCommand::Status = command;
    let contexts = ContextFile::of_user()?.read()?;
    let status = Fabric::of(contexts.choose(wanted)?)?.status().await?;
    out.show(&data(&status), |paint| text(&status, paint))?;
    Ok(Exit::Ok)
}

/// The status as JSON.
fn data(status: &StatusReply) -> Value {
    let syndic = |s: &relay_proto::operator::Syndic| {
        json!({
            "id": s.id, "region": s.region, "up": s.up, "since": when::moment(s.since),
            "minions_up": s.minions_up, "minions": s.minions, "software": s.software,
        })
    };
    let region = |r: &relay_proto::operator::Region| json!({ "name": r.name, "minions_up": r.minions_up, "minions": r.minions });
    json!({
        "fabric": status.fabric,
        "top_master": status.top_master,
        "software": status.software,
        "uptime_ms": status.uptime_ms,
        "jobs_open": status.jobs_open,
        "syndics": status.syndics.iter().map(syndic).collect::<Vec<_>>(),
        "regions": status.regions.iter().map(region).collect::<Vec<_>>(),
    })
}

/// The status for people.
pub fn text(status: &StatusReply, paint: &Paint) -> String {
    let now = when::now_micros();
    let up_for = when::span(Duration::from_millis(status.uptime_ms));
    let mut out = clean(&format!(
        "fabric {}: top master {} ({}), up {up_for}, {} jobs open\n\n",
        status.fabric, status.top_master, status.software, status.jobs_open
    ));
    let of = |up: u64, all: u64| format!("{up} of {all}");
    let syndics = status.syndics.iter().map(|s| {
        let state = if s.up { "up" } else { "down" };
        [
            s.id.clone(),
            s.region.clone(),
            state.into(),
            when::ago(s.since, now),
            of(s.minions_up, s.minions),
            s.software.clone(),
        ]
    });
    out.push_str(&table(["SYNDIC", "REGION", "STATE", "SINCE", "MINIONS UP", "SOFTWARE"], syndics));
    out.push('\n');
    let regions = status.regions.iter().map(|r| [r.name.clone(), of(r.minions_up, r.minions)]);
    out.push_str(&table(["REGION", "MINIONS UP"], regions));
    out.push('\n');
    out + &last_line(status, paint)
}

fn last_line(status: &StatusReply, paint: &Paint) -> String {
    let syndics_up = status.syndics.iter().filter(|s| s.up).count();
    let (up, all) = status.regions.iter().fold((0, 0), |(up, all), r| (up + r.minions_up, all + r.minions));
    let line = format!("{syndics_up} of {} syndics up, {up} of {all} minions up", status.syndics.len());
    match up == all && syndics_up == status.syndics.len() {
        true => paint.green(line),
        false => paint.yellow(format!("{line} (relayctl minions list --down)")),
    }
}

#[cfg(test)]
mod tests {
    use relay_proto::operator::{Region, Syndic};

    use super::*;

    fn status() -> StatusReply {
        let syndic =
            |id: &str, up| Syndic { id: id.into(), up, minions_up: 2, minions: 3, ..Syndic::default() };
        StatusReply {
            fabric: "acme.example".into(),
            top_master: "top-1".into(),
            software: "0.1.0".into(),
            uptime_ms: 61_000,
            jobs_open: 1,
            syndics: vec![syndic("s-1", true), syndic("s-2", false)],
            regions: vec![Region { name: "aws".into(), minions_up: 4, minions: 6 }],
        }
    }

    #[test]
    fn people_see_who_is_missing() {
        let shown = text(&status(), &Paint::PLAIN);
        assert!(
            shown.starts_with("fabric acme.example: top master top-1 (0.1.0), up 1m 1s, 1 jobs open\n"),
            "{shown}"
        );
        assert!(
            shown.ends_with("1 of 2 syndics up, 4 of 6 minions up (relayctl minions list --down)"),
            "{shown}"
        );
    }

    #[test]
    fn programs_see_all_of_it() {
        let data = data(&status());
        assert_eq!(data["syndics"][1]["up"], false);
        assert_eq!(data["regions"][0], json!({"name": "aws", "minions_up": 4, "minions": 6}));
    }
}
