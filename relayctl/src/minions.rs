//! `relayctl minions`: the minions that the top master knows.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use relay_proto::operator::{ListMinionsRequest, Minion};
use serde::Serialize;
use serde_json::Value;

use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, Paint, clean, table, value},
    run::matcher::MatcherArgs,
    when,
};

/// What to do with minions.
#[derive(Debug, Subcommand)]
pub enum MinionsCommand {
    /// List minions, with the syndic they are attached to
    List(ListArgs),
}

/// Which minions, and what of them.
#[derive(Debug, Args)]
#[command(after_help = LIST)]
pub struct ListArgs {
    /// Only those that match: a target as in "run". Default: all
    target: Option<String>,
    /// Only those that are down
    #[arg(long)]
    down: bool,
    /// With their grains
    #[arg(long)]
    grains: bool,
    #[command(flatten)]
    matcher: MatcherArgs,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl minions list
  relayctl minions list --down";
const LIST: &str = "\
EXAMPLES:
  relayctl minions list
  relayctl minions list --down
  relayctl minions list 'aws-*' --grains
  relayctl minions list -E 'web[0-9]+' --down
  relayctl minions list 'G@os:Ubuntu' --out json";

#[derive(Serialize)]
struct Listed {
    id: String,
    region: String,
    syndic: String,
    up: bool,
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grains: Option<Value>,
}

impl Listed {
    fn new(minion: &Minion) -> Listed {
        Listed {
            id: minion.id.clone(),
            region: minion.region.clone(),
            syndic: minion.syndic.clone(),
            up: minion.up,
            since: when::moment(minion.since),
            grains: serde_json::from_str(&minion.grains).ok(),
        }
    }
}

/// Runs one of the commands.
pub async fn run(command: MinionsCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let MinionsCommand::List(args) = command;
    let request = request(&args)?;
    let mut minions = Fabric::wanted(wanted)?.minions(request).await?;
    minions.sort_by(|a, b| a.id.cmp(&b.id));
    let listed: Vec<Listed> = minions.iter().map(Listed::new).collect();
    out.show(&listed, |paint| text(&minions, &listed, args.down, paint))?;
    Ok(Exit::Ok)
}

fn request(args: &ListArgs) -> anyhow::Result<ListMinionsRequest> {
    let target = match &args.target {
        Some(text) => args.matcher.target(text).with_context(|| format!("the target {text:?}"))?.to_string(),
        None => String::new(),
    };
    Ok(ListMinionsRequest { down: args.down, target, grains: args.grains })
}

fn text(minions: &[Minion], listed: &[Listed], down: bool, paint: &Paint) -> String {
    let now = when::now_micros();
    let rows = minions.iter().map(|m| {
        let state = if m.up { "up" } else { "down" };
        [m.id.clone(), m.region.clone(), m.syndic.clone(), state.into(), when::ago(m.since, now)]
    });
    let mut out = table(["ID", "REGION", "SYNDIC", "STATE", "SINCE"], rows);
    for Listed { id, grains, .. } in listed {
        if let Some(grains) = grains {
            out.push_str(&format!("{}:\n{}", paint.green(clean(id)), value(grains, paint)));
        }
    }
    out + &last_line(minions, down)
}

fn last_line(minions: &[Minion], down: bool) -> String {
    let up = minions.iter().filter(|m| m.up).count();
    let mut by_syndic: BTreeMap<&str, usize> = BTreeMap::new();
    minions.iter().for_each(|m| *by_syndic.entry(m.syndic.as_str()).or_default() += 1);
    match (minions.len(), down) {
        (0, true) => "no minion is down".into(),
        (0, false) => "no minions".into(),
        (n, true) => format!("{n} down, last seen at {} syndics", by_syndic.len()),
        (n, false) => format!("{up} of {n} up, at {} syndics", by_syndic.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minion(id: &str, up: bool) -> Minion {
        Minion { id: id.into(), region: "aws".into(), syndic: "s-1".into(), up, ..Minion::default() }
    }

    #[test]
    fn the_last_line_counts() {
        let all = [minion("a", true), minion("b", false)];
        assert_eq!(last_line(&all, false), "1 of 2 up, at 1 syndics");
        assert_eq!(last_line(&all[1..], true), "1 down, last seen at 1 syndics");
        assert_eq!(last_line(&[], true), "no minion is down");
    }

    #[test]
    fn grains_are_there_if_asked_for() {
        let with = Minion { grains: r#"{"os":"Ubuntu"}"#.into(), ..minion("a", true) };
        let minions = [with];
        let listed: Vec<Listed> = minions.iter().map(Listed::new).collect();
        let shown = text(&minions, &listed, false, &Paint::PLAIN);
        assert!(shown.contains("\na:\n    ----------\n    os:\n        Ubuntu\n1 of 1 up"), "{shown}");
        assert_eq!(serde_json::to_value(&listed[0]).unwrap()["grains"]["os"], "Ubuntu");
        assert!(serde_json::to_value(Listed::new(&minion("b", true))).unwrap().get("grains").is_none());
    }
}
