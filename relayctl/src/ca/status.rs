//! `relayctl ca status`.

use clap::Args;
use relay_runtime::{
    authority::{Authority, Standing},
    trust::{self, Seconds},
};
use serde_json::{Value, json};

use super::{Dir, moment};
use crate::{
    exit::Exit,
    output::{Output, Paint, table},
};

/// An end that is nearer than this needs somebody.
const SOON: Seconds = 30 * 24 * 3600;

/// Which authority.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    #[command(flatten)]
    dir: Dir,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl ca status --dir /srv/relay-ca
  relayctl ca status --dir /srv/relay-ca --out json

EXIT CODES:
  0  nothing needs anybody
  2  something ends within 30 days, or a rotation is half done; each is told with what to do
  3  there is no authority, or something in it is not as it was made";

/// Runs it.
pub fn run(args: &StatusArgs, out: &Output) -> anyhow::Result<Exit> {
    let authority = args.dir.open()?;
    let needs = needs(&authority, trust::now());
    out.show(&data(&authority, &needs), |paint| text(&authority, &needs, paint))?;
    Ok(if needs.is_empty() { Exit::Ok } else { Exit::Unsettled })
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Current => "current",
        Standing::Leaving => "leaving",
        Standing::Retired => "retired",
    }
}

/// What somebody has to do.
pub(super) fn needs(authority: &Authority, now: Seconds) -> Vec<String> {
    let mut needs = Vec::new();
    let anchors = authority.held().anchors();
    if anchors.expires < now + SOON {
        needs.push(format!("the anchors end at {}: relayctl ca extend", moment(anchors.expires)));
    }
    for root in authority.roots() {
        match root.standing {
            Standing::Current if root.until < now + SOON => {
                needs.push(format!(
                    "the root ends at {}: relayctl ca rotate-root introduce",
                    moment(root.until)
                ));
            }
            Standing::Leaving => {
                needs.push(format!(
                    "the root {} is leaving: relayctl ca rotate-root retire, when nobody needs it",
                    root.pin
                ));
            }
            _ => {}
        }
    }
    for issuer in authority.held().issuers() {
        let (scope, until) = (issuer.scope(), issuer.life().1);
        if until < now + SOON {
            needs.push(format!(
                "the issuer for {scope} ends at {}: relayctl ca rotate-issuer --region {}",
                moment(until),
                scope.region()
            ));
        } else if issuer.root() != authority.pin() {
            needs.push(format!(
                "the issuer for {scope} is of a root that leaves: relayctl ca rotate-issuer --region {}",
                scope.region()
            ));
        }
    }
    needs
}

fn data(authority: &Authority, needs: &[String]) -> Value {
    let anchors = authority.held().anchors();
    let roots: Vec<Value> = authority
        .roots()
        .iter()
        .map(|root| {
            json!({ "root": root.pin.to_string(), "standing": word(root.standing), "key": root.key, "until": moment(root.until) })
        })
        .collect();
    let issuers: Vec<Value> = authority
        .held()
        .issuers()
        .iter()
        .map(|issuer| {
            let root = issuer.root().map(|pin| pin.to_string());
            json!({ "scope": issuer.scope().to_string(), "until": moment(issuer.life().1), "root": root })
        })
        .collect();
    json!({
        "fabric": authority.fabric().as_str(),
        "anchors": { "version": anchors.version, "until": moment(anchors.expires) },
        "roots": roots,
        "issuers": issuers,
        "needs": needs,
    })
}

fn text(authority: &Authority, needs: &[String], paint: &Paint) -> String {
    let anchors = authority.held().anchors();
    let roots = authority.roots().into_iter().map(|root| {
        let key = if root.key { "here" } else { "elsewhere" };
        [root.pin.to_string(), word(root.standing).into(), key.into(), moment(root.until)]
    });
    let mut issuers: Vec<_> = authority.held().issuers().iter().collect();
    issuers.sort_by_key(|issuer| issuer.scope());
    let issuers = issuers.into_iter().map(|issuer| {
        let root = issuer.root().map(|pin| pin.to_string()).unwrap_or_default();
        [issuer.scope().to_string(), moment(issuer.life().1), root.chars().take(23).collect()]
    });
    let mut text = format!(
        "The authority of {}; anchors of version {}, until {}\n\n",
        authority.fabric(),
        anchors.version,
        moment(anchors.expires)
    );
    text += &table(["ROOT", "STANDING", "KEY", "UNTIL"], roots);
    text += "\n";
    text += &table(["ISSUER FOR", "UNTIL", "ROOT"], issuers);
    text += "\n";
    if needs.is_empty() {
        return text + &paint.green("nothing needs anybody".to_owned());
    }
    for need in needs {
        text += &paint.yellow(need.clone());
        text += "\n";
    }
    text
}
