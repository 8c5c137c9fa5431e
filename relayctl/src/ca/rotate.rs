//! `relayctl ca rotate-issuer`, `rotate-root` and `extend`.

use std::collections::BTreeSet;

use anyhow::ensure;
use clap::{Args, Subcommand};
use relay_core::ids::RegionName;
use relay_runtime::{authority::Scope, trust};
use serde_json::json;

use super::{Dir, give, moment, pin, region};
use crate::{exit::Exit, output::Output};

/// Which issuers are replaced.
#[derive(Debug, Args)]
#[command(after_help = ISSUER)]
pub struct IssuerArgs {
    #[command(flatten)]
    dir: Dir,
    /// Those of a region; may be given several times
    #[arg(long = "region", value_name = "REGION", value_parser = region, required_unless_present = "all")]
    regions: Vec<RegionName>,
    /// Those of all regions
    #[arg(long, conflicts_with = "regions")]
    all: bool,
}

const ISSUER: &str = "\
EXAMPLES:
  relayctl ca rotate-issuer --dir /srv/relay-ca --region aws
  relayctl ca rotate-issuer --dir /srv/relay-ca --all

What the old issuers made counts until it ends, a day at most for what is renewed by itself. Nobody is disturbed.";

/// Which step.
#[derive(Debug, Args)]
#[command(after_help = ROOT)]
pub struct RootArgs {
    /// What to do
    #[command(subcommand)]
    step: Step,
}

const ROOT: &str = "\
EXAMPLES:
  relayctl ca rotate-root introduce --dir /srv/relay-ca
  relayctl ca rotate-root retire --dir /srv/relay-ca

The whole way: introduce; rotate-issuer --all; give every top master trust/ again; put the new fingerprint into the
configurations of newcomers; wait until every certificate has been renewed (a day) and those made by hand are made anew; retire;
give every top master trust/ again. Nobody is disturbed, and jobs go on.";

/// The two steps.
#[derive(Debug, Subcommand)]
enum Step {
    /// Make a new root: it counts beside the old one
    #[command(after_help = INTRODUCE)]
    Introduce {
        #[command(flatten)]
        dir: Dir,
    },
    /// The old root counts no more
    #[command(after_help = RETIRE)]
    Retire {
        #[command(flatten)]
        dir: Dir,
        /// Even if there are issuers of the old root: what they made opens nothing from then on
        #[arg(long)]
        force: bool,
    },
}

const INTRODUCE: &str = "EXAMPLES:\n  relayctl ca rotate-root introduce --dir /srv/relay-ca";
const RETIRE: &str = "\
EXAMPLES:
  relayctl ca rotate-root retire --dir /srv/relay-ca
  relayctl ca rotate-root retire --dir /srv/relay-ca --force

The old root's key stays in roots/ and goes on signing anchors, so that machines which were off meanwhile find the way from it to
the new one. If it was stolen, remove it first: the way is closed then, and those machines have to be told the new fingerprint.";

/// Which authority.
#[derive(Debug, Args)]
#[command(after_help = EXTEND)]
pub struct ExtendArgs {
    #[command(flatten)]
    dir: Dir,
}

const EXTEND: &str = "\
EXAMPLES:
  relayctl ca extend --dir /srv/relay-ca

Anchors that have expired are not taken for new by anybody; what was believed before, still is.";

/// Replaces issuers.
pub fn issuer(args: &IssuerArgs, out: &Output) -> anyhow::Result<Exit> {
    let mut authority = args.dir.open()?;
    let wanted = |scope: &Scope| args.all || args.regions.contains(scope.region());
    let there: BTreeSet<Scope> =
        authority.held().issuers().iter().map(|issuer| issuer.scope().clone()).collect();
    for region in &args.regions {
        ensure!(
            there.iter().any(|scope| scope.region() == region),
            "there is no issuer of the region {region} (\"relayctl ca status\" shows them, \"add-region\" makes some)"
        );
    }
    let scopes: Vec<Scope> = there.into_iter().filter(wanted).collect();
    for scope in &scopes {
        authority.rotate(scope, trust::now())?;
    }
    let names: Vec<String> = scopes.iter().map(Scope::to_string).collect();
    let data = json!({ "issuers": names, "trust": authority.trust_dir() });
    out.show(&data, |_| format!("Replaced the issuers for {}.\n{}", names.join(", "), give(&authority)))?;
    Ok(Exit::Ok)
}

/// A step of replacing the root.
pub fn root(args: &RootArgs, out: &Output) -> anyhow::Result<Exit> {
    match &args.step {
        Step::Introduce { dir } => {
            let mut authority = dir.open()?;
            let new = authority.introduce_root(trust::now())?.to_string();
            let data = json!({ "root": new, "anchors": authority.held().anchors().version });
            out.show(&data, |_| {
                format!("The new root counts beside the old one: {new}\nNext: relayctl ca rotate-issuer --all\n{}", give(&authority))
            })?;
        }
        Step::Retire { dir, force } => {
            let mut authority = dir.open()?;
            authority.retire_root(*force, trust::now())?;
            let current = pin(&authority)?;
            let data = json!({ "root": current, "anchors": authority.held().anchors().version });
            out.show(&data, |_| format!("One root counts from now on: {current}\n{}", give(&authority)))?;
        }
    }
    Ok(Exit::Ok)
}

/// Signs the anchors anew.
pub fn extend(args: &ExtendArgs, out: &Output) -> anyhow::Result<Exit> {
    let mut authority = args.dir.open()?;
    authority.extend(trust::now())?;
    let anchors = authority.held().anchors();
    let until = moment(anchors.expires);
    let data = json!({ "anchors": anchors.version, "until": until });
    out.show(&data, |_| format!("The anchors count until {until}.\n{}", give(&authority)))?;
    Ok(Exit::Ok)
}
