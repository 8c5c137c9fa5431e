//! `relayctl keys accept|reject|delete|release`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{ArgGroup, Args};
use relay_core::enrol::Fingerprint;
use relay_proto::trust::{Decided, Key, ListKeysRequest, Named};
use serde_json::{Value, json};

use super::{Decision, all, decide, file, view};
use crate::{connect::Fabric, exit::Exit, output::Output};

/// Whom to let in.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["id", "file"]))]
pub struct AcceptArgs {
    /// Its id
    #[arg(requires = "fingerprint")]
    id: Option<String>,
    /// The whole SHA-256 of its key, as it logs it: 64 hexadecimal digits
    #[arg(long, value_name = "SHA256", requires = "id")]
    fingerprint: Option<Fingerprint>,
    /// Several: a file with an id and its fingerprint on each line
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Whom to turn away or forget.
#[derive(Debug, Args)]
pub struct EndArgs {
    /// Their ids; no globs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Only if it has this key; or only that other key, where several ask for the name
    #[arg(long, value_name = "SHA256")]
    fingerprint: Option<Fingerprint>,
    #[command(flatten)]
    place: Place,
}

/// Whom to let in again.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Its id
    id: String,
    /// The key of the machine that is the true one
    #[arg(long, value_name = "SHA256")]
    fingerprint: Fingerprint,
    #[command(flatten)]
    place: Place,
}

/// Where, if an id is in several places.
#[derive(Debug, Default, Args)]
pub struct Place {
    /// Its role, where several have the id
    #[arg(long, value_name = "ROLE", value_parser = ["minion", "syndic"])]
    role: Option<String>,
    /// Its region, where several have the id
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

pub const ACCEPT: &str = "\
EXAMPLES:
  relayctl keys accept web01 --fingerprint 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  relayctl keys accept --file fingerprints.txt

Take the fingerprint from the machine (its log says it, when it asks), not from this fabric: that is what makes sure that nobody stands between.";
pub const REJECT: &str = "\
EXAMPLES:
  relayctl keys reject web01
  relayctl keys reject web01 --fingerprint 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

The second form is for two that ask for one name: only that key is turned away.";
pub const DELETE: &str = "EXAMPLES:\n  relayctl keys delete web01\n\nWhat was given to it counts no more, and its links are cut within seconds. Its jobs stay.";
pub const RELEASE: &str = "\
EXAMPLES:
  relayctl keys release web01 --fingerprint 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

Find out first how its keys were copied. Where you can't, delete it and let it join with a new key.";

/// Lets them in.
pub async fn accept(args: &AcceptArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let wanted = match (&args.id, args.fingerprint, &args.file) {
        (Some(id), Some(print), None) => vec![(id.clone(), Some(print))],
        (_, _, Some(path)) => file::read(path)?.into_iter().map(|(id, print)| (id, Some(print))).collect(),
        _ => bail!("name an id and its --fingerprint, or a --file"),
    };
    carry_out(Decision::Accept, &wanted, &args.place, fabric, out).await
}

/// Turns away, or forgets.
pub async fn end(args: &EndArgs, what: Decision, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    if args.fingerprint.is_some() && args.ids.len() > 1 {
        bail!("a --fingerprint is of one id, and here are {}", args.ids.len());
    }
    let wanted: Vec<_> = args.ids.iter().map(|id| (id.clone(), args.fingerprint)).collect();
    carry_out(what, &wanted, &args.place, fabric, out).await
}

/// Lets one in again.
pub async fn release(args: &ReleaseArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let wanted = [(args.id.clone(), Some(args.fingerprint))];
    carry_out(Decision::Release, &wanted, &args.place, fabric, out).await
}

async fn carry_out(
    what: Decision,
    wanted: &[(String, Option<Fingerprint>)],
    place: &Place,
    fabric: &mut Fabric,
    out: &Output,
) -> anyhow::Result<Exit> {
    let request = ListKeysRequest {
        // Of many it is cheaper to ask for all than to name each.
        ids: if wanted.len() <= 16 { wanted.iter().map(|(id, _)| id.clone()).collect() } else { Vec::new() },
        role: place.role.clone().unwrap_or_default(),
        region: place.region.clone().unwrap_or_default(),
        ..ListKeysRequest::default()
    };
    let known = all(fabric, request).await?;
    let named =
        wanted.iter().map(|(id, print)| name(id, *print, &known)).collect::<anyhow::Result<Vec<_>>>()?;
    let decided = decide(fabric, what, named).await?;
    out.show(&decided.iter().map(data).collect::<Vec<Value>>(), |_| {
        decided.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(if decided.iter().all(|decided| decided.done) { Exit::Ok } else { Exit::Failed })
}

/// Whom an id means: of several, the one that has the key.
pub fn name(id: &str, print: Option<Fingerprint>, known: &[Key]) -> anyhow::Result<Named> {
    let text = print.map(|print| print.to_string()).unwrap_or_default();
    let of_id: Vec<&Key> = known.iter().filter(|key| key.id == id).collect();
    let has =
        |key: &&&Key| key.fingerprint == text || key.rivals.iter().any(|rival| rival.fingerprint == text);
    let having: Vec<&Key> = of_id.iter().filter(has).copied().collect();
    let key = match (&of_id[..], &having[..]) {
        ([], _) => bail!("nobody called {id:?} has asked to join: see \"relayctl keys list\""),
        ([one], _) | (_, [one]) => one,
        (several, _) => {
            let places: Vec<String> =
                several.iter().map(|key| format!("--role {} --region {}", key.role, key.region)).collect();
            bail!("{id} is the name of several: say {}", places.join(" or "))
        }
    };
    let (id, role, region) = (key.id.clone(), key.role.clone(), key.region.clone());
    Ok(Named { id, role, region, fingerprint: text })
}

fn data(decided: &Decided) -> Value {
    let key = decided.key.clone().unwrap_or_default();
    let mut data = view::data(&key);
    if let Value::Object(fields) = &mut data {
        fields.insert("done".into(), json!(decided.done));
        fields.insert("refused".into(), json!((!decided.why.is_empty()).then_some(&decided.why)));
    }
    data
}

fn line(decided: &Decided) -> String {
    let key = decided.key.clone().unwrap_or_default();
    let who = format!("{} ({} of region {})", key.id, key.role, key.region);
    match decided.done {
        true => format!("{who}: {}", key.state),
        false => format!("{who}: nothing is changed: {}", decided.why),
    }
}
