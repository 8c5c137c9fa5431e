//! `relayctl ca`: the certificate authority of a fabric. Works on its directory, offline: no fabric is asked.
//!
//! The directory has the root in `roots/`, and in `trust/` what top masters hold. It belongs on a machine of its own; what top
//! masters need of it is copied to them.

mod export;
mod init;
mod issue;
mod rotate;
mod status;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use relay_core::{
    identity::{Role, check_region},
    ids::RegionName,
};
use relay_runtime::{
    authority::{Authority, Scope},
    trust::Seconds,
};

use crate::{exit::Exit, output::Output, when};

/// What to do with an authority.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make an authority: a root, and an issuer for each region
    Init(init::InitArgs),
    /// Show roots and issuers, and what will need somebody soon
    Status(status::StatusArgs),
    /// Make issuers for another region
    AddRegion(init::AddRegionArgs),
    /// Replace issuers
    RotateIssuer(rotate::IssuerArgs),
    /// Replace the root, in two steps
    RotateRoot(rotate::RootArgs),
    /// Sign the anchors of trust anew, once a year
    Extend(rotate::ExtendArgs),
    /// Show the root for newcomers, and copy what top masters hold
    Export(export::ExportArgs),
    /// Make a certificate by hand: for a first top master, a first operator
    Issue(issue::IssueArgs),
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl ca init --dir /srv/relay-ca --topology topology.yaml
  relayctl ca issue --dir /srv/relay-ca --role top-master --id top-1 --region aws --to top-1
  relayctl ca issue --dir /srv/relay-ca --role operator --id ann --region aws --to ann
  relayctl ca export --dir /srv/relay-ca --root ca.crt --trust top-1/trust
  relayctl ca status --dir /srv/relay-ca

The root's key (roots/*.key) is needed to make issuers and once a year to extend. Otherwise it may be in a safe.
Top masters see it when their copy of trust/ changes, and need no restart.

EXIT CODES:
  0  done; of status: nothing needs anybody
  2  of status: something has to be done soon
  3  not done: wrong usage, no such authority, the root's key is not there";

/// Which authority.
#[derive(Debug, Args)]
pub struct Dir {
    /// The authority's directory
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

impl Dir {
    fn open(&self) -> anyhow::Result<Authority> {
        Ok(Authority::open(&self.dir)?)
    }
}

/// Runs one of the commands.
pub fn run(command: CaCommand, out: &Output) -> anyhow::Result<Exit> {
    match command {
        CaCommand::Init(args) => init::run(&args, out),
        CaCommand::Status(args) => status::run(&args, out),
        CaCommand::AddRegion(args) => init::add_region(&args, out),
        CaCommand::RotateIssuer(args) => rotate::issuer(&args, out),
        CaCommand::RotateRoot(args) => rotate::root(&args, out),
        CaCommand::Extend(args) => rotate::extend(&args, out),
        CaCommand::Export(args) => export::run(&args, out),
        CaCommand::Issue(args) => issue::run(&args, out),
    }
}

/// The moment of a certificate, for people.
fn moment(at: Seconds) -> String {
    when::moment(at.saturating_mul(1_000_000)).unwrap_or_else(|| "-".into())
}

fn region(text: &str) -> Result<RegionName, String> {
    check_region(text).map_err(|error| error.to_string())
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|error: relay_core::identity::IdentityError| error.to_string())
}

/// The issuers of a region: its minions and syndics; its top masters and operators, if it has any.
fn scopes(region: &RegionName, top_masters: bool) -> Vec<Scope> {
    let mut scopes = vec![Scope::Region(region.clone())];
    if top_masters {
        scopes.extend([Scope::TopMasters(region.clone()), Scope::Operators(region.clone())]);
    }
    scopes
}

/// What top masters have to be given after a change, for people.
fn give(authority: &Authority) -> String {
    format!(
        "Give every top master the directory {} again: each notices it by itself.",
        authority.trust_dir().display()
    )
}

fn pin(authority: &Authority) -> anyhow::Result<String> {
    Ok(authority.pin().context("the authority has no root")?.to_string())
}
