//! `relayctl login`, `logout` and `whoami`: a token for a password, kept beside the contexts.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use relay_proto::access::{LoginReply, LoginRequest, LogoutRequest, WhoAmIReply, WhoAmIRequest};
use relay_runtime::secret::Secret;
use serde::Serialize;

use crate::{
    connect::{Again, Fabric, Shown},
    contexts::{Context, ContextFile},
    exit::Exit,
    output::Output,
    prompt,
    tokens::{Saved, Tokens},
    when,
};

/// Who logs in, and how.
#[derive(Debug, Args)]
#[command(after_help = LOGIN)]
pub struct LoginArgs {
    /// The user's name. Default: the last one of this context, else your own
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Who checks the password. Default: what the top master tries first
    #[arg(long, value_name = "WAY", value_parser = ["file", "pam", "ldap"])]
    pub backend: Option<String>,
    /// Print the token instead of keeping it: for a program's RELAY_TOKEN_FILE
    #[arg(long)]
    pub print_token: bool,
}

pub const LOGIN: &str = "\
EXAMPLES:
  relayctl login --user alice
  relayctl --context production login --backend ldap
  relayctl login --user ci --print-token > token    for a program: RELAY_TOKEN_FILE=token relayctl run …

The password is typed, or read from standard input; never from the command line. The token is kept beside the contexts, for you
alone, and used by every command of a context without a certificate. One that is printed is yours to keep (umask 077).";
pub const LOGOUT: &str = "EXAMPLES:\n  relayctl logout\n  relayctl --context production logout";
pub const WHOAMI: &str = "EXAMPLES:\n  relayctl whoami\n  relayctl whoami --out json";

fn chosen(wanted: Option<&str>) -> anyhow::Result<Context> {
    Ok(ContextFile::of_user()?.read()?.choose(wanted)?.clone())
}

/// Gets a token for a password.
///
/// # Errors
/// The password is wrong, or nobody could be asked.
pub async fn log_in(
    context: &Context,
    user: &str,
    backend: &str,
    password: &Secret,
) -> anyhow::Result<Login> {
    let request = LoginRequest {
        user: user.to_owned(),
        password: password.expose().to_owned(),
        backend: backend.to_owned(),
    };
    let mut fabric = Fabric::showing(context, &Shown::Nothing)?;
    // Twice would be two logins, of which one would be nobody's.
    let call = fabric.call(Again::Never, async |client| client.access().login(request.clone()).await);
    let LoginReply { token, expires, idle_ms } = call.await?;
    let saved = Saved { user: user.to_owned(), token: Secret::new(token), expires };
    Ok(Login { saved, idle: Duration::from_millis(idle_ms) })
}

/// A login that was just made.
pub struct Login {
    /// What is kept of it.
    pub saved: Saved,
    /// How long it lasts unused.
    pub idle: Duration,
}

/// `relayctl login`.
///
/// # Errors
/// Not let in: why, and what to do.
pub async fn login(args: LoginArgs, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let (context, tokens) = (chosen(wanted)?, Tokens::of_user()?);
    let name = &context.name;
    if context.cert.is_some() && !args.print_token {
        bail!(
            "context {name:?} has a certificate, which says who you are: there is nothing to log in for (a context without cert \
             and key uses logins)"
        );
    }
    let last = tokens.get(&context)?.map(|saved| saved.user);
    let user = args.user.or(last).or_else(own_name).ok_or_else(|| anyhow!("who are you? Say --user NAME"))?;
    let password = prompt::password(&format!("Password of {user} on {name}: "))?;
    let backend = args.backend.unwrap_or_default();
    let login =
        log_in(&context, &user, &backend, &password).await.with_context(|| format!("context {name:?}"))?;
    if args.print_token {
        println!("{}", login.saved.token.expose());
        return Ok(Exit::Ok);
    }
    tokens.put(&context, &login.saved)?;
    let (until, idle) = (until(login.saved.expires), when::span(login.idle));
    out.say(&format!("logged in to {name:?} as {user} until {until}, or until it was not used for {idle}"))?;
    Ok(Exit::Ok)
}

fn until(micros: u64) -> String {
    when::moment(micros).unwrap_or_else(|| "its end".into())
}

fn own_name() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    user.map(|user| user.name)
}

/// `relayctl logout`: ends the login at the top master, and forgets it here in any case.
///
/// # Errors
/// The file cannot be changed, or the top master was not reached: the token may count there until its time is over.
pub async fn logout(wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let (context, tokens) = (chosen(wanted)?, Tokens::of_user()?);
    let name = &context.name;
    let Some(saved) = tokens.get(&context)? else {
        out.say(&format!("nobody is logged in to {name:?}"))?;
        return Ok(Exit::Ok);
    };
    let mut fabric = Fabric::showing(&context, &Shown::Token(saved.token))?;
    let ended =
        fabric.call(Again::Harmless, async |client| client.access().logout(LogoutRequest {}).await).await;
    tokens.remove(&context)?;
    match ended {
        Err(error) if error.code() != Some(relay_proto::Code::Unauthenticated) => Err(anyhow!(error)
            .context(format!(
                "forgotten here, but the login of {} may count at {name:?} until {}",
                saved.user,
                until(saved.expires)
            ))),
        // It was over already.
        _ => {
            out.say(&format!("logged out of {name:?}"))?;
            Ok(Exit::Ok)
        }
    }
}

#[derive(Serialize)]
struct Who {
    context: String,
    user: String,
    groups: Vec<String>,
    how: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

/// `relayctl whoami`: what the fabric says of the caller.
///
/// # Errors
/// Not logged in, or nobody could be asked.
pub async fn whoami(wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let context = chosen(wanted)?;
    let mut fabric = Fabric::of(&context)?;
    let call = fabric.call(Again::Harmless, async |client| client.access().who_am_i(WhoAmIRequest {}).await);
    let WhoAmIReply { user, groups, how, expires } = call.await?;
    let expires = when::moment(expires);
    let who = Who { context: context.name, user, groups, how, expires };
    out.show(&who, |_| {
        let Who { context, user, groups, how, expires } = &who;
        let mut text = format!("{user} on {context:?}, by {how}\n");
        if !groups.is_empty() {
            text.push_str(&format!("  groups  {}\n", groups.join(", ")));
        }
        expires.iter().for_each(|until| text.push_str(&format!("  until   {until}\n")));
        text
    })?;
    Ok(Exit::Ok)
}
