//! `relayctl token create`.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use relay_core::enrol::token::JoinToken;
use relay_proto::trust::CreateTokenRequest;
use relay_runtime::enrol::proof::TokenKey;
use serde_json::Value;

use super::{data, good_for};
use crate::{
    connect::{Again, Client, Fabric},
    exit::Exit,
    keys,
    output::Output,
    run::span::span,
    when,
};

/// What it is good for.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The region of those who may join by it
    #[arg(long, value_name = "REGION")]
    region: String,
    /// Ids of those who may join by it; a glob
    #[arg(long, value_name = "GLOB")]
    id: String,
    /// How many may join by it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// How long it is good
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = span)]
    ttl: Duration,
    /// Only from this network; may be given several times
    #[arg(long, value_name = "NETWORK")]
    cidr: Vec<String>,
    /// What they are
    #[arg(long, value_name = "ROLE", default_value = "minion", value_parser = ["minion", "syndic"])]
    role: String,
    /// Write it to this new file, for its owner alone, and do not show it
    #[arg(long, value_name = "FILE")]
    out_file: Option<PathBuf>,
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl token create --region aws --id 'web*' --uses 50 --ttl 1h
  relayctl token create --region aws --id web01 --cidr 10.1.0.0/16 --out-file join.token
  relayctl token create --region aws --id 'aws-*' --role syndic

Put it into a file on each newcomer (mode 0600) and name that in its configuration: enrol: {token_file: FILE}. It is shown once and
kept nowhere: who has lost it makes another one.";

/// Makes one.
pub async fn run(args: &CreateArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let token = JoinToken::of(rand::random());
    let request = CreateTokenRequest {
        public: TokenKey::of(&token)?.public(),
        role: args.role.clone(),
        region: args.region.clone(),
        id: args.id.clone(),
        uses: args.uses,
        ttl_s: args.ttl.as_secs().max(1),
        cidrs: args.cidr.clone(),
    };
    // The place is tried before anybody hears of the token.
    let file = args.out_file.as_ref().map(|path| {
        let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        open.with_context(|| format!("{}: cannot be made", path.display()))
    });
    let file = file.transpose()?;
    let call = async |c: &mut Client| keys::client(c).create_token(request.clone()).await;
    let made = fabric.call(Again::Never, call).await;
    let made = match (made, &args.out_file) {
        (Err(error), Some(path)) => {
            // Nothing is in it.
            let _ = std::fs::remove_file(path);
            return Err(error.into());
        }
        (made, _) => made?,
    };
    let mut shown = data(&made);
    let place = match (file, &args.out_file) {
        (Some(mut file), Some(path)) => {
            writeln!(file, "{}", token.reveal())
                .with_context(|| format!("{}: cannot be written", path.display()))?;
            format!("in {}", path.display())
        }
        _ => {
            if let Value::Object(fields) = &mut shown {
                fields.insert("token".into(), token.reveal().into());
            }
            token.reveal()
        }
    };
    out.show(&shown, |_| {
        let until = when::moment(made.expires).unwrap_or_default();
        let (name, uses, whom) = (&made.name, made.uses, good_for(&made));
        format!("{place}\n  name     {name}\n  lets in  {whom}\n  uses     {uses}\n  until    {until}")
    })?;
    Ok(Exit::Ok)
}
