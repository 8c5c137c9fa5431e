//! `relayctl ca issue`: certificates by hand, so that a fabric can be set up from nothing. Minions and syndics get theirs by joining.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use relay_core::{
    identity::{Identity, Role},
    ids::RegionName,
};
use relay_runtime::{
    authority::{life_of, member, pem},
    trust::{self, Enrolment, enrolment::BY_HAND},
};
use serde_json::json;

use super::{Dir, moment, region, role};
use crate::{exit::Exit, output::Output};

/// Days that a certificate counts if nobody says otherwise: a top master renews its own; an operator has to come again.
const DAYS: fn(Role) -> u64 = |role| match role {
    Role::TopMaster => 30,
    Role::Operator => 90,
    Role::Syndic | Role::Minion => 365,
};

/// Who is to have one.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct IssueArgs {
    #[command(flatten)]
    dir: Dir,
    /// top-master, operator, syndic or minion
    #[arg(long, value_parser = role)]
    role: Role,
    /// Its id
    #[arg(long)]
    id: String,
    /// Its region
    #[arg(long, value_parser = region)]
    region: RegionName,
    /// The directory for ID.pem and ID.key, made if absent
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// How long it counts; not longer than its issuer. Default: 30 for a top master, 90 for an operator, 365 for others
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: Option<u64>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl ca issue --dir /srv/relay-ca --role top-master --id top-1 --region aws --to top-1
  relayctl ca issue --dir /srv/relay-ca --role operator --id ann --region aws --to ann --days 30

Writes ID.pem (the certificate and those above it), ID.key (mode 0600) and ca.crt. Nothing is replaced. The number that is printed names the
certificate: it is what a revocation asks for.";

/// Runs it.
pub fn run(args: &IssueArgs, out: &Output) -> anyhow::Result<Exit> {
    let authority = args.dir.open()?;
    let held = authority.held();
    let identity = Identity::new(&args.id, args.role, args.region.clone(), held.fabric().clone())?;
    let enrolment = Enrolment { uid: rand::random::<u64>() | BY_HAND, generation: 0 };
    let lasts = Duration::from_secs(args.days.unwrap_or_else(|| DAYS(args.role)) * 24 * 3600);
    let made = member(|public| held.issue(&identity, public, enrolment, lasts, trust::now()))?;
    fs::create_dir_all(&args.to).with_context(|| args.to.display().to_string())?;
    let file = |end: &str| args.to.join(format!("{}.{end}", identity.id()));
    let (cert, key, ca) = (file("pem"), file("key"), args.to.join("ca.crt"));
    write_new(&key, made.key_pem(), 0o600)?;
    write_new(&cert, &made.chain_pem(), 0o644)?;
    let roots: Vec<_> = held.anchors().roots.iter().map(|root| root.certificate.clone()).collect();
    fs::write(&ca, pem(&roots)).with_context(|| ca.display().to_string())?;
    let until = made.chain.first().and_then(life_of).map(|(_, until)| moment(until));
    let uid = format!("{:016x}", enrolment.uid);
    let data = json!({ "identity": identity.to_dns(), "uid": uid, "until": until, "cert": cert, "key": key, "ca": ca });
    out.show(&data, |_| {
        format!(
            "{}, until {}, number {uid}\ntls: {{ca: {}, cert: {}, key: {}}}",
            identity.to_dns(),
            until.as_deref().unwrap_or("-"),
            ca.display(),
            cert.display(),
            key.display()
        )
    })?;
    Ok(Exit::Ok)
}

/// Writes a file that is not there yet, with its final mode from the first byte on.
fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let open = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| path.display().to_string())
}
