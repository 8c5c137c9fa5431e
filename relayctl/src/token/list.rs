//! `relayctl token list|revoke`.

use clap::Args;
use relay_proto::trust::{JoinToken, ListTokensRequest, RevokeTokenRequest};
use serde_json::Value;

use super::{data, good_for};
use crate::{
    connect::{Again, Client, Fabric},
    exit::Exit,
    keys,
    output::{Output, clean, table},
    when,
};

/// Which one.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Its name, as "token list" shows it
    name: String,
}

pub const EXAMPLES: &str = "EXAMPLES:\n  relayctl token list\n  relayctl token list --out json";
pub const REVOKE: &str = "EXAMPLES:\n  relayctl token revoke 3f9a1c0b22de";

/// Lists them.
pub async fn run(fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let call = async |c: &mut Client| keys::client(c).list_tokens(ListTokensRequest {}).await;
    let tokens = fabric.call(Again::Harmless, call).await?.tokens;
    out.show(&tokens.iter().map(data).collect::<Vec<Value>>(), |_| {
        let heading = ["NAME", "LETS IN", "USED", "UNTIL", "BY"];
        match table(heading, tokens.iter().map(row)) {
            none if none.is_empty() => "no join tokens: \"relayctl token create\" makes one".into(),
            some => some,
        }
    })?;
    Ok(Exit::Ok)
}

fn row(token: &JoinToken) -> [String; 5] {
    [
        token.name.clone(),
        clean(&good_for(token)),
        format!("{} of {}", token.used, token.uses),
        when::moment(token.expires).unwrap_or_default(),
        clean(&token.by),
    ]
}

/// Revokes one.
pub async fn revoke(args: &RevokeArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let request = RevokeTokenRequest { name: args.name.clone() };
    let call = async |c: &mut Client| keys::client(c).revoke_token(request.clone()).await;
    let token = fabric.call(Again::Never, call).await?;
    out.show(&data(&token), |_| {
        let (name, used) = (&token.name, token.used);
        format!("join token {name} is good for nothing any more; {used} joined by it")
    })?;
    Ok(Exit::Ok)
}
