//! `relayctl token`: join tokens, by which newcomers are let in without a decision about each.
//!
//! A token is made here, of 128 random bits. The top master is told the public key that is made from it and never the token; it
//! is shown once, or written to a file for its owner alone. Nobody passes one on a command line.

mod create;
mod list;

use clap::Subcommand;
use relay_proto::trust::JoinToken;
use serde_json::{Value, json};

use crate::{connect::Fabric, exit::Exit, output::Output, when};

/// What to do with join tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make one
    #[command(after_help = create::EXAMPLES)]
    Create(create::CreateArgs),
    /// List them, with what is left of each
    #[command(after_help = list::EXAMPLES)]
    List,
    /// Let one be good for nothing any more; who has joined by it stays
    #[command(after_help = list::REVOKE)]
    Revoke(list::RevokeArgs),
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl token create --region aws --id 'web*' --uses 50 --ttl 1h --out-file join.token
  relayctl token list
  relayctl token revoke 3f9a1c0b22de";

/// Runs one of the commands.
pub async fn run(command: TokenCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let mut fabric = Fabric::wanted(wanted)?;
    match command {
        TokenCommand::Create(args) => create::run(&args, &mut fabric, out).await,
        TokenCommand::List => list::run(&mut fabric, out).await,
        TokenCommand::Revoke(args) => list::revoke(&args, &mut fabric, out).await,
    }
}

/// For programs.
fn data(token: &JoinToken) -> Value {
    json!({
        "name": token.name,
        "role": token.role,
        "region": token.region,
        "id": token.id,
        "uses": token.uses,
        "used": token.used,
        "created": when::moment(token.created),
        "expires": when::moment(token.expires),
        "by": token.by,
        "cidrs": token.cidrs,
    })
}

/// What it is good for, in a line.
fn good_for(token: &JoinToken) -> String {
    let near =
        if token.cidrs.is_empty() { String::new() } else { format!(" from {}", token.cidrs.join(", ")) };
    format!("{} {} of region {}{near}", token.role, token.id, token.region)
}
