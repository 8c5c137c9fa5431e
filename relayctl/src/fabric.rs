//! `relayctl fabric`: the tree as its top master sees it.

use std::time::Duration;

use clap::Subcommand;
use relay_proto::operator::{StatusReply, TopMaster};
use serde_json::{Value, json};

use crate::{
    connect::{Fabric, Standing},
    contexts::{Address, ContextFile},
    exit::Exit,
    output::{Output, Paint, clean, table},
    when,
};

/// What to ask of the fabric.
#[derive(Debug, Subcommand)]
pub enum FabricCommand {
    /// Show the top masters, the syndics and how many minions are attached
    #[command(after_help = EXAMPLES)]
    Status,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl fabric status
  relayctl fabric status --out json
  relayctl fabric status --context production

Of several top masters one owns the fabric and answers; the others are its standbys. TOP MASTER is who is registered; below it
each address of the context is asked, and one that does not answer is told with the reason.";

/// Runs one of the commands.
pub async fn run(command: FabricCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let FabricCommand::Status = command;
    let contexts = ContextFile::of_user()?.read()?;
    let mut fabric = Fabric::of(contexts.choose(wanted)?)?;
    let status = fabric.status().await?;
    // With one address there is nobody else to ask.
    let asked = if fabric.addresses() > 1 { fabric.standings().await } else { Vec::new() };
    out.show(&data(&status, &asked), |paint| text(&status, paint, &asked))?;
    Ok(Exit::Ok)
}

/// The status as JSON.
fn data(status: &StatusReply, asked: &[(Address, Standing)]) -> Value {
    let address = |(at, standing): &(Address, Standing)| {
        let (state, told) = words(standing);
        json!({ "address": at.address, "name": at.server_name, "state": state, "told": told })
    };
    let top = |t: &TopMaster| {
        json!({
            "id": t.id, "listen": t.listen, "operators": t.operators, "software": t.software,
            "owner": t.owner, "leaving": t.leaving,
        })
    };
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
        "epoch": status.epoch,
        "top_masters": status.top_masters.iter().map(top).collect::<Vec<_>>(),
        "policy": status.policy,
        "policy_problem": status.policy_problem,
        "addresses": asked.iter().map(address).collect::<Vec<_>>(),
    })
}

/// What a top master is, and what it said.
fn words(standing: &Standing) -> (&'static str, &str) {
    match standing {
        Standing::Owner => ("owner", ""),
        Standing::Standby(told) => ("standby", told),
        Standing::Silent(told) => ("no answer", told),
    }
}

/// The status for people.
pub fn text(status: &StatusReply, paint: &Paint, asked: &[(Address, Standing)]) -> String {
    let now = when::now_micros();
    let up_for = when::span(Duration::from_millis(status.uptime_ms));
    let mut out = clean(&format!(
        "fabric {}: top master {} ({}), up {up_for}, {} jobs open\n\n",
        status.fabric, status.top_master, status.software, status.jobs_open
    ));
    out.push_str(&tops(status, asked));
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
    if !status.policy_problem.is_empty() {
        let told = "the policy's file is wrong, and the former one holds:";
        out.push_str(&format!("{}\n{}\n", paint.red(told), clean(&status.policy_problem)));
    }
    out + &last_line(status, paint)
}

/// The top masters: as the registry has them, and what each address of the context says when it is asked.
fn tops(status: &StatusReply, asked: &[(Address, Standing)]) -> String {
    let top = |t: &TopMaster| {
        let state = match (t.owner, t.leaving) {
            (true, _) => "owner",
            (false, true) => "leaving",
            (false, false) => "standby",
        };
        [t.id.clone(), state.into(), t.operators.clone(), t.software.clone()]
    };
    let address = |(at, standing): &(Address, Standing)| {
        let (state, told) = words(standing);
        [at.address.clone(), at.server_name.clone(), state.into(), told.into()]
    };
    let registered =
        table(["TOP MASTER", "STATE", "OPERATORS", "SOFTWARE"], status.top_masters.iter().map(top));
    let asked = table(["ADDRESS", "OF", "SAYS", ""], asked.iter().map(address));
    [registered, asked].into_iter().filter(|table| !table.is_empty()).map(|table| table + "\n").collect()
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
        let top = |id: &str, owner| TopMaster {
            id: id.into(),
            operators: format!("{id}:4511"),
            software: "0.1.0".into(),
            owner,
            ..TopMaster::default()
        };
        StatusReply {
            fabric: "acme.example".into(),
            top_master: "top-1".into(),
            software: "0.1.0".into(),
            uptime_ms: 61_000,
            jobs_open: 1,
            syndics: vec![syndic("s-1", true), syndic("s-2", false)],
            regions: vec![Region { name: "aws".into(), minions_up: 4, minions: 6 }],
            epoch: 7,
            top_masters: vec![top("top-1", true), top("top-2", false)],
            policy: "ab".into(),
            policy_problem: String::new(),
        }
    }

    #[test]
    fn a_policy_that_is_not_taken_is_told() {
        let wrong = StatusReply { policy_problem: "policy.yaml:2:1: no".into(), ..status() };
        let shown = text(&wrong, &Paint::PLAIN, &[]);
        assert!(shown.contains("the former one holds:\npolicy.yaml:2:1: no\n"), "{shown}");
        assert!(!text(&status(), &Paint::PLAIN, &[]).contains("policy"));
    }

    #[test]
    fn people_see_who_is_missing() {
        let shown = text(&status(), &Paint::PLAIN, &[]);
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
        let at = |name: &str| Address { address: format!("{name}:4511"), server_name: name.into() };
        let tops = [
            (at("top-1"), Standing::Standby("it is a standby".into())),
            (at("top-2"), Standing::Silent("refused".into())),
        ];
        let data = data(&status(), &tops);
        assert_eq!(data["syndics"][1]["up"], false);
        assert_eq!(
            data["addresses"][0],
            json!({"address": "top-1:4511", "name": "top-1", "state": "standby", "told": "it is a standby"})
        );
        assert_eq!((&data["epoch"], &data["top_masters"][0]["owner"]), (&json!(7), &json!(true)));
        let shown = text(&status(), &Paint::PLAIN, &tops);
        assert!(shown.contains(" TOP MASTER  STATE    OPERATORS   SOFTWARE\n top-1       owner    top-1:4511  0.1.0\n top-2       standby"), "{shown}");
        assert!(
            shown.contains(
                " top-1:4511  top-1  standby    it is a standby\n top-2:4511  top-2  no answer  refused\n"
            ),
            "{shown}"
        );
        assert_eq!(data["regions"][0], json!({"name": "aws", "minions_up": 4, "minions": 6}));
    }
}
