//! `relayctl keys revoke`: certificates that were made by hand, which no name stands for in the fabric.

use clap::Args;
use relay_proto::trust::RevokeRequest;
use serde_json::json;

use super::client;
use crate::{
    connect::{Again, Client, Fabric},
    exit::Exit,
    output::Output,
};

/// Which certificates.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The number of the certificate: 16 hexadecimal digits, as "ca issue" prints it; they stand in its serial number, too
    #[arg(value_name = "NUMBER", value_parser = number)]
    uid: u64,
    /// Only those up to this renewal; all of them if not said
    #[arg(long, value_name = "GENERATION")]
    up_to: Option<u32>,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl keys revoke b00f0a1c2d3e4f50

For operators, top masters and others with a certificate of \"relayctl ca issue\". It counts no more, and its links are cut within seconds. Who
joined by itself goes by its name: \"relayctl keys delete\".";

fn number(text: &str) -> Result<u64, String> {
    let parsed = u64::from_str_radix(text, 16).ok().filter(|uid| text.len() == 16 && *uid != 0);
    parsed.ok_or_else(|| "write 16 hexadecimal digits, as \"relayctl ca issue\" prints them".into())
}

/// Runs it. Twice is as good as once.
pub async fn run(args: &RevokeArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let request = RevokeRequest { uid: args.uid, up_to_generation: args.up_to.unwrap_or(u32::MAX) };
    let call = async |c: &mut Client| client(c).revoke(request).await;
    fabric.call(Again::Harmless, call).await?;
    let uid = format!("{:016x}", args.uid);
    let data = json!({ "uid": uid, "up_to_generation": request.up_to_generation });
    out.show(&data, |_| format!("{uid} counts no more"))?;
    Ok(Exit::Ok)
}
