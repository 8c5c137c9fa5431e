//! How operators log in with a password: the key `login` of a top master's configuration.
//!
//! Owns the key and looks at the files it names. Leaves to the top master what is done with it; no directory is asked here.
//! Without the key, or without any way in it, operators need certificates.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use relay_core::document::{Fields, Node, Problem, Sink, read};

use super::parts;
use crate::passwords::Passwords;

mod ldap;

pub use ldap::{GroupsConfig, LdapConfig, UsersConfig};

/// How long a token lasts unused, if the file does not say: a lunch.
const TOKEN_IDLE: Duration = Duration::from_secs(60 * 60);
/// How long it lasts at most: a working day, as Salt's `token_expire`.
const TOKEN_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// Longest name of a PAM service, in bytes.
const MAX_SERVICE_BYTES: usize = 64;
/// The longest that may be asked for: a month. What is to last longer is a certificate.
const LONGEST: u64 = 30 * 24 * 60 * 60 * 1_000;

/// How operators log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginConfig {
    /// The fabric's own file of users (`relayctl passwd` writes it); for the top master alone.
    pub password_file: Option<PathBuf>,
    /// The service (a file in /etc/pam.d) by which PAM checks passwords.
    pub pam_service: Option<String>,
    /// The directory that checks passwords.
    pub ldap: Option<LdapConfig>,
    /// How long a token lasts without being used. Default 1 h.
    pub token_idle: Duration,
    /// How long it lasts in any case. Default 12 h.
    pub token_max: Duration,
}

impl Default for LoginConfig {
    fn default() -> Self {
        LoginConfig {
            password_file: None,
            pam_service: None,
            ldap: None,
            token_idle: TOKEN_IDLE,
            token_max: TOKEN_MAX,
        }
    }
}

pub(super) fn login<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<LoginConfig> + 'a {
    move |node, sink| {
        let mut f = Fields::open(node, "login", sink)?;
        let password_file = f.may("password_file", users(base));
        let pam_service = f.may("pam_service", |node, sink| read::with(node, sink, checked_service));
        let ldap = f.may("ldap", ldap::ldap(base));
        let token_idle = f.or("token_idle_ms", TOKEN_IDLE, parts::millis(1_000, LONGEST));
        let token_max = f.or("token_max_ms", TOKEN_MAX, parts::millis(1_000, LONGEST));
        let [idle_at, max_at] = ["token_idle_ms", "token_max_ms"].map(|key| f.at_key(key));
        f.close();
        let (token_idle, token_max) = (token_idle?, token_max?);
        if token_idle > token_max {
            let at = if idle_at == node.at { max_at } else { idle_at };
            let (idle, most) = (token_idle.as_millis(), token_max.as_millis());
            let what =
                format!("token_idle_ms is {idle}, token_max_ms {most}: no token is left unused for so long");
            return sink.refuse(at, what, "make token_idle_ms at most token_max_ms");
        }
        Some(LoginConfig {
            password_file: password_file?,
            pam_service: pam_service?,
            ldap: ldap?,
            token_idle,
            token_max,
        })
    }
}

/// The name of a PAM service: that of a file, and no path.
fn checked_service(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !text.is_empty() && text.len() <= MAX_SERVICE_BYTES && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{:?} is no PAM service (write the name of a file in /etc/pam.d: letters, digits, '-' and '_')",
            read::clip(text)
        )),
    }
}

/// A file of users. Each of its problems is told at the line that names the file.
fn users<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<PathBuf> + 'a {
    move |node, sink| {
        let path = parts::path(base)(node, sink)?;
        let Err(errors) = Passwords::read(&path) else { return Some(path) };
        for problem in errors.problems {
            let place = problem.at.map(|within| format!(":{within}")).unwrap_or_default();
            let what = format!("{}{place}: {}", path.display(), problem.what);
            sink.note(Problem { at: Some(node.at), what, ..problem });
        }
        None
    }
}
