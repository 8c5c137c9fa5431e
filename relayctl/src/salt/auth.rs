//! As whom: `-a`, `--username` and `-T`, as Salt's external_auth has them. Without them you are who the context says.
//!
//! A password is asked for, or read from standard input: on a command line everybody on the machine can read it.

use anyhow::{anyhow, bail};

use super::options::Parsed;
use crate::{
    connect::{Fabric, Shown},
    contexts::{Context, ContextFile},
    login, prompt,
    tokens::Tokens,
};

/// Who checks the password, by Salt's word for it.
const WAYS: &[&str] = &["pam", "ldap", "file"];

/// The fabric that a command line means (`--context`, `$RELAY_CONTEXT` or the current context), as whom it means.
pub async fn fabric(read: &Parsed) -> anyhow::Result<Fabric> {
    let set = std::env::var("RELAY_CONTEXT").ok().filter(|name| !name.is_empty());
    let wanted = read.value("context").or(set.as_deref());
    let contexts = ContextFile::of_user()?.read()?;
    let context = contexts.choose(wanted)?;
    match way(read)? {
        None => Fabric::of(context),
        Some(way) => logged_in(read, way, context).await,
    }
}

/// How to log in, if that is asked for.
fn way(read: &Parsed) -> anyhow::Result<Option<&str>> {
    let Some(way) = read.value("auth") else {
        return match ["username", "make-token"].into_iter().find(|option| read.has(option)) {
            None => Ok(None),
            Some(option) => {
                Err(anyhow!("--{option} goes with -a: say who checks the password, as in -a pam"))
            }
        };
    };
    match WAYS.contains(&way) {
        true => Ok(Some(way)),
        false => bail!("-a {way}: there is no such way to log in; there are {}", WAYS.join(", ")),
    }
}

async fn logged_in(read: &Parsed, way: &str, context: &Context) -> anyhow::Result<Fabric> {
    let keep = read.has("make-token");
    if keep && context.cert.is_some() {
        bail!("-T: context {:?} has a certificate, so no token of it would be used later", context.name);
    }
    let own = || std::env::var("USER").ok().filter(|name| !name.is_empty());
    let user = read.value("username").map(str::to_owned).or_else(own);
    let user = user.ok_or_else(|| anyhow!("who are you? Say --username NAME"))?;
    let password = prompt::password(&format!("password of {user}: "))?;
    let saved = login::log_in(context, &user, way, &password).await?.saved;
    if keep {
        Tokens::of_user()?.put(context, &saved)?;
    }
    Fabric::showing(context, &Shown::Token(saved.token))
}

#[cfg(test)]
mod tests {
    use super::{super::flags, *};

    fn read(line: &str) -> Parsed {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Parsed::read(&words, &flags::salt()).unwrap()
    }

    #[test]
    fn a_way_is_one_that_there_is_and_the_rest_goes_with_it() {
        assert_eq!(way(&read("x test.ping")).unwrap(), None);
        for line in ["-a pam x test.ping", "--eauth=pam --username joe x y", "-a pam -T x y"] {
            assert_eq!(way(&read(line)).unwrap(), Some("pam"), "{line}");
        }
        for line in ["-a django x y", "--username joe x y", "-T x y"] {
            way(&read(line)).expect_err(line);
        }
    }
}
