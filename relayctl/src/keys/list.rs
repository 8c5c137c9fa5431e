//! `relayctl keys list|show|finger|quarantined`.

use anyhow::bail;
use clap::Args;
use relay_core::enrol::State;
use relay_proto::trust::{Key, ListKeysRequest};
use serde_json::Value;

use super::{all, view};
use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, table},
};

/// Which ones.
#[derive(Debug, Default, Args)]
pub struct ListArgs {
    /// Only ids like these; globs
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Only these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    pub state: Vec<State>,
    /// Only this role
    #[arg(long, value_name = "ROLE", value_parser = ["minion", "syndic"])]
    pub role: Option<String>,
    /// Only this region
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// Which one.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its id
    id: String,
    /// Its role, where several have the id
    #[arg(long, value_name = "ROLE", value_parser = ["minion", "syndic"])]
    role: Option<String>,
    /// Its region, where several have the id
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl keys list
  relayctl keys list --state pending,conflict
  relayctl keys list 'web*' --region aws --out json";
pub const SHOW: &str =
    "EXAMPLES:\n  relayctl keys show web01\n  relayctl keys show web01 --region aws --out json";
pub const FINGER: &str = "\
EXAMPLES:
  relayctl keys finger --state pending > fingerprints.txt
  relayctl keys finger 'web*'

Compare each with what its machine logs before you let it in: what is printed here is what the fabric was told.";
pub const QUARANTINED: &str = "EXAMPLES:\n  relayctl keys quarantined";

fn state(word: &str) -> Result<State, String> {
    State::of(word).ok_or_else(|| {
        let words: Vec<&str> = State::ALL.iter().map(|state| state.word()).collect();
        format!("the states are {}", words.join(", "))
    })
}

impl ListArgs {
    fn request(&self) -> ListKeysRequest {
        ListKeysRequest {
            states: self.state.iter().map(|state| state.word().to_owned()).collect(),
            ids: self.ids.clone(),
            role: self.role.clone().unwrap_or_default(),
            region: self.region.clone().unwrap_or_default(),
        }
    }
}

/// Lists them.
pub async fn list(args: &ListArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let keys = all(fabric, args.request()).await?;
    out.show(&keys.iter().map(view::data).collect::<Vec<Value>>(), |_| {
        let heading = ["ID", "ROLE", "REGION", "STATE", "FINGERPRINT", "ASKED", "FROM"];
        match table(heading, keys.iter().map(view::row)) {
            none if none.is_empty() => "nobody".into(),
            some => some,
        }
    })?;
    Ok(Exit::Ok)
}

/// Lists those in quarantine, with what was seen.
pub async fn quarantined(args: &ListArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let request = ListKeysRequest { states: vec![State::Quarantined.word().into()], ..args.request() };
    let keys = all(fabric, request).await?;
    out.show(&keys.iter().map(view::data).collect::<Vec<Value>>(), |_| {
        match keys.iter().map(view::text).collect::<Vec<_>>().join("\n") {
            none if none.is_empty() => "nobody is in quarantine".into(),
            some => some,
        }
    })?;
    Ok(Exit::Ok)
}

/// Prints ids with their fingerprints.
pub async fn finger(args: &ListArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let keys = all(fabric, args.request()).await?;
    out.show(&keys.iter().map(view::data).collect::<Vec<Value>>(), |_| {
        let line = |key: &Key| format!("{} {}", key.id, key.fingerprint);
        keys.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Ok)
}

/// Shows one.
pub async fn show(args: &ShowArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let request = ListKeysRequest {
        ids: vec![args.id.clone()],
        role: args.role.clone().unwrap_or_default(),
        region: args.region.clone().unwrap_or_default(),
        ..ListKeysRequest::default()
    };
    let keys = all(fabric, request).await?;
    if keys.is_empty() {
        bail!("nobody called {:?} has asked to join: see \"relayctl keys list\"", args.id);
    }
    out.show(&keys.iter().map(view::data).collect::<Vec<Value>>(), |_| {
        keys.iter().map(view::text).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Ok)
}
