//! `relayctl jobs outstanding`: who is missing, and where each is held.

use std::collections::BTreeMap;

use clap::Args;
use relay_core::{compact::compact, ids::Jid};
use relay_proto::operator::Outstanding;
use serde_json::{Value, json};

use crate::{
    connect::Fabric,
    exit::Exit,
    job,
    output::{Output, table},
};

/// Most minions that are named in one row; JSON has all of them.
const MAX_NAMED: usize = 20;

/// Which job.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct OutstandingArgs {
    /// The job's jid: 20 digits
    jid: Jid,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl jobs outstanding 20261121073656123456
  relayctl jobs outstanding 20261121073656123456 --out json

HELD, in JSON:
  window, offline, serial, approval   at the top master: nothing was sent yet
  sent                                with the syndic, or on the way to the minion
  running                             at the minion
  lost                                sent, and the minion is not connected since";

/// Runs it.
pub async fn run(args: &OutstandingArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let jid = args.jid;
    let mut minions = job::named(jid, fabric.outstanding(jid).await)?;
    minions.sort_by(|a, b| a.id.cmp(&b.id));
    let data: Vec<Value> = minions.iter().map(data).collect();
    out.show(&json!({ "jid": jid.to_string(), "outstanding": minions.len(), "minions": data }), |_| {
        text(jid, &minions)
    })?;
    Ok(Exit::Ok)
}

fn data(minion: &Outstanding) -> Value {
    json!({
        "id": minion.id,
        "region": minion.region,
        "syndic": minion.syndic,
        "tier": tier(minion).0,
        "held": minion.held,
        "up": minion.up,
    })
}

/// The tier and its name, and why a minion is held there.
fn tier(minion: &Outstanding) -> (&'static str, String, &'static str) {
    let syndic = || format!("syndic {}", minion.syndic);
    match minion.held.as_str() {
        "window" => ("top_master", "top master".into(), "waits for a place in the batch"),
        "offline" => ("top_master", "top master".into(), "is down; waits until it returns"),
        "serial" => ("top_master", "top master".into(), "waits for an earlier job there"),
        "approval" => ("top_master", "top master".into(), "waits for an operator: jobs approve"),
        "sent" => ("syndic", syndic(), "sent, not heard of yet"),
        "running" => ("minion", format!("minion, at {}", minion.syndic), "runs"),
        "lost" => ("minion", format!("minion, last at {}", minion.syndic), "sent, not connected since"),
        // A newer top master's word.
        _ => ("unknown", format!("held: {}", minion.held), ""),
    }
}

fn text(jid: Jid, minions: &[Outstanding]) -> String {
    let mut groups: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for minion in minions {
        let (tier, place, why) = tier(minion);
        groups.entry((tier_order(tier), place, why)).or_default().push(&minion.id);
    }
    let rows = groups
        .iter()
        .map(|((_, place, why), ids)| [place.clone(), (*why).to_owned(), ids.len().to_string(), named(ids)]);
    let last = match minions.len() {
        0 => format!("jid {jid}: every target has its outcome"),
        n => format!("jid {jid}: {n} outstanding"),
    };
    table(["HELD AT", "WHY", "MINIONS", "WHICH"], rows) + &last
}

/// From the top down.
fn tier_order(tier: &str) -> usize {
    ["top_master", "syndic", "minion"].iter().position(|t| *t == tier).unwrap_or(usize::MAX)
}

fn named(ids: &[&str]) -> String {
    let named = compact(ids.iter().take(MAX_NAMED).copied());
    match ids.len().saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minion(id: &str, syndic: &str, held: &str) -> Outstanding {
        Outstanding {
            id: id.into(),
            syndic: syndic.into(),
            held: held.into(),
            up: true,
            ..Outstanding::default()
        }
    }

    #[test]
    fn from_the_top_down() {
        let minions = [
            minion("a1", "s-1", "running"),
            minion("a2", "s-1", "running"),
            minion("b1", "s-2", "window"),
            minion("b2", "s-1", "window"),
            minion("c1", "s-2", "sent"),
            minion("d1", "s-2", "hovering"),
        ];
        let expected = " HELD AT         WHY                             MINIONS  WHICH
 top master      waits for a place in the batch  2        b[1-2]
 syndic s-2      sent, not heard of yet          1        c1
 minion, at s-1  runs                            2        a[1-2]
 held: hovering                                  1        d1
jid 20261121073656123456: 6 outstanding";
        assert_eq!(text(Jid::from_micros(1_795_246_616_123_456), &minions), expected);
        assert_eq!(data(&minions[0])["tier"], "minion");
        assert!(text(Jid::from_micros(0), &[]).ends_with("every target has its outcome"));
    }

    #[test]
    fn names_are_clipped() {
        let ids: Vec<String> = (10..40).map(|n| format!("m{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(named(&ids), "m[10-29] and 10 more");
    }
}
