//! `relayctl ca init` and `add-region`.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use relay_core::{identity::FabricName, ids::RegionName};
use relay_runtime::{
    authority::{Authority, Scope},
    config::load_topology,
    trust,
};
use serde_json::json;

use super::{Dir, give, pin, region, scopes};
use crate::{exit::Exit, output::Output};

/// Which authority is made.
#[derive(Debug, Args)]
#[command(after_help = INIT)]
pub struct InitArgs {
    #[command(flatten)]
    dir: Dir,
    /// The fabric's name, the end of every certificate's name
    #[arg(long, value_name = "NAME", required_unless_present = "topology")]
    fabric: Option<FabricName>,
    /// Take fabric and regions from a topology
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// A region with minions and syndics; may be given several times
    #[arg(long = "region", value_name = "REGION", value_parser = region)]
    regions: Vec<RegionName>,
    /// A region with top masters and operators, too; may be given several times
    #[arg(long = "top-region", value_name = "REGION", value_parser = region)]
    top_regions: Vec<RegionName>,
}

const INIT: &str = "\
EXAMPLES:
  relayctl ca init --dir /srv/relay-ca --topology topology.yaml
  relayctl ca init --dir /srv/relay-ca --fabric acme.example --top-region core --region aws

Makes a root (10 years), an issuer for each region (1 year) and the key that signs lists of trust; all keys with mode 0600.
Prints the root's fingerprint: it goes into the configurations of minions and syndics, as enrol: {root: ...}.";

/// Which region is added.
#[derive(Debug, Args)]
#[command(after_help = ADD)]
pub struct AddRegionArgs {
    #[command(flatten)]
    dir: Dir,
    /// The region
    #[arg(long, value_name = "REGION", value_parser = region)]
    region: RegionName,
    /// It has top masters and operators, too
    #[arg(long)]
    top: bool,
}

const ADD: &str = "\
EXAMPLES:
  relayctl ca add-region --dir /srv/relay-ca --region gcp
  relayctl ca add-region --dir /srv/relay-ca --region core --top";

/// Makes an authority.
pub fn run(args: &InitArgs, out: &Output) -> anyhow::Result<Exit> {
    let mut regions: BTreeSet<RegionName> = args.regions.iter().cloned().collect();
    let mut tops: BTreeSet<RegionName> = args.top_regions.iter().cloned().collect();
    let mut fabric = args.fabric.clone();
    if let Some(file) = &args.topology {
        let topology = load_topology(file)?;
        regions.extend(topology.regions.iter().map(|region| region.name.clone()));
        tops.extend(topology.top_masters.iter().map(|top| top.region.clone()));
        ensure!(
            fabric.as_ref().is_none_or(|fabric| *fabric == topology.fabric),
            "{}: is the topology of the fabric {}",
            file.display(),
            topology.fabric
        );
        fabric = Some(topology.fabric);
    }
    let fabric = fabric.context("which fabric? Say --fabric NAME or --topology FILE")?;
    ensure!(!tops.is_empty(), "a fabric has a top master: say its region with --top-region REGION");
    regions.extend(tops.iter().cloned());
    let wanted: Vec<Scope> =
        regions.iter().flat_map(|region| scopes(region, tops.contains(region))).collect();
    let authority = Authority::init(&args.dir.dir, fabric, &wanted, trust::now())?;
    let data = json!({
        "fabric": authority.fabric().as_str(),
        "root": pin(&authority)?,
        "issuers": wanted.iter().map(Scope::to_string).collect::<Vec<_>>(),
        "trust": authority.trust_dir(),
    });
    let root = pin(&authority)?;
    out.show(&data, |_| {
        let (dir, trust) = (args.dir.dir.display(), authority.trust_dir());
        format!(
            "The authority of {} is in {dir}: a root and {} issuers.\n\n\
             Top masters:           trust: {{dir: {}}}    (each needs a copy of it, for its user alone)\n\
             Minions and syndics:   enrol: {{root: \"{root}\"}}\n\n\
             Next: relayctl ca issue --dir {dir} --role top-master --id ID --region REGION --to DIR",
            authority.fabric(),
            wanted.len(),
            trust.display()
        )
    })?;
    Ok(Exit::Ok)
}

/// Adds a region.
pub fn add_region(args: &AddRegionArgs, out: &Output) -> anyhow::Result<Exit> {
    let mut authority = args.dir.open()?;
    let there: BTreeSet<Scope> =
        authority.held().issuers().iter().map(|issuer| issuer.scope().clone()).collect();
    let new: Vec<Scope> =
        scopes(&args.region, args.top).into_iter().filter(|scope| !there.contains(scope)).collect();
    if new.is_empty() {
        bail!(
            "the region {} has its issuers already (\"relayctl ca rotate-issuer\" replaces them)",
            args.region
        );
    }
    for scope in &new {
        authority.add(scope.clone(), trust::now())?;
    }
    let names: Vec<String> = new.iter().map(Scope::to_string).collect();
    let data = json!({ "issuers": names, "trust": authority.trust_dir() });
    out.show(&data, |_| format!("Made issuers for {}.\n{}", names.join(", "), give(&authority)))?;
    Ok(Exit::Ok)
}
