//! The directory that checks operators' passwords: the key `ldap` of `login`.
//!
//! Looks at the files it names; the directory itself is not asked here.

use std::path::{Path, PathBuf};

use relay_core::{
    document::{Fields, Node, Position, Sink, read},
    topology::HostPort,
};

use super::{super::credentials, parts};
use crate::{ldap::Place, store::postgres::PostgresConfig};

/// The port where none is named.
const USUAL_PORT: u16 = 636;
/// The same without TLS.
const PLAIN_PORT: u16 = 389;
/// Longest name of an entry or an attribute, in bytes.
const MAX_NAME_BYTES: usize = 1_024;
/// Attributes that an account can be asked to have.
const MAX_REQUIRED: usize = 8;

/// A directory, and where the users are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapConfig {
    /// Where it is.
    pub place: Place,
    /// As whom it is searched: an entry's name and the file with its password. Nothing: as nobody.
    pub bind: Option<(String, PathBuf)>,
    /// Where users are.
    pub users: UsersConfig,
    /// Where groups are; nothing: nobody is in any.
    pub groups: Option<GroupsConfig>,
}

/// Which entries are users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersConfig {
    /// All of them are below this entry.
    pub base: String,
    /// The attribute that has the name with which they log in. Default `uid`.
    pub name: String,
    /// What their entries have besides: those that have it no more are out. None, if nothing is asked for.
    pub require: Vec<(String, String)>,
}

/// Which entries are groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupsConfig {
    /// All of them are below this entry.
    pub base: String,
    /// The attribute that has the names of their members' entries. Default `member`.
    pub member: String,
    /// The attribute that has their own names. Default `cn`.
    pub name: String,
}

pub(super) fn ldap<'a>(base: &'a Path) -> impl Fn(&Node, &Sink) -> Option<LdapConfig> + 'a {
    move |node, sink| {
        let mut f = Fields::open(node, "ldap", sink)?;
        let url = f.need("url", |node, sink| read::with(node, sink, checked_url));
        let ca = f.may("ca", parts::path(base));
        let bind_dn = f.may("bind_dn", |node, sink| read::with(node, sink, checked_name));
        let password_file = f.may("password_file", credentials::password_file(base));
        let users = f.need("users", users);
        let groups = f.may("groups", groups);
        let [url_at, ca_at, bind_at] = ["url", "ca", "bind_dn"].map(|key| f.at_key(key));
        f.close();
        let bind = match (bind_dn?, password_file?) {
            (Some(dn), Some(file)) => Some((dn, file)),
            (None, None) => None,
            _ => {
                return sink.refuse(
                    bind_at,
                    "a bind_dn and a password_file go together",
                    "give both, or neither",
                );
            }
        };
        let ((secure, at), ca) = (url?, ca?);
        reachable(secure, &at, ca.as_deref(), [url_at, ca_at], sink)?;
        Some(LdapConfig { place: Place { at, ca }, bind, users: users?, groups: groups? })
    }
}

/// Whether passwords may go there in this way.
fn reachable(
    secure: bool,
    at: &HostPort,
    ca: Option<&Path>,
    [url_at, ca_at]: [Position; 2],
    sink: &Sink,
) -> Option<()> {
    match (secure, ca) {
        (true, None) => {
            sink.refuse(url_at, "ldaps, and nothing says who may sign its certificate", "add ca: FILE")
        }
        (false, Some(_)) => sink.refuse(ca_at, "ldap, and a ca stands here", "write ldaps://, or remove ca"),
        (false, None) if !PostgresConfig::host_is_local(at.host()) => sink.refuse(
            url_at,
            format!("{at} is not on this machine, and ldap shows passwords to everything on the way"),
            "write ldaps:// and add ca: FILE",
        ),
        (false, None) => Some(()),
        (true, Some(ca)) => credentials::usable(ca, None, ca_at, sink),
    }
}

fn checked_url(text: &str) -> Result<(bool, HostPort), String> {
    let (secure, rest) = match (text.strip_prefix("ldaps://"), text.strip_prefix("ldap://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(format!("{:?} is no directory (write ldaps://HOST)", read::clip(text))),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // An IPv6 address has colons of its own, in brackets.
    let ported = rest.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let port = if secure { USUAL_PORT } else { PLAIN_PORT };
    let place = if ported { rest.to_owned() } else { format!("{rest}:{port}") };
    place.parse().map(|place| (secure, place)).map_err(|e: relay_core::topology::AddressError| e.to_string())
}

fn users(node: &Node, sink: &Sink) -> Option<UsersConfig> {
    let mut f = Fields::open(node, "users", sink)?;
    let base = f.need("base", |node, sink| read::with(node, sink, checked_name));
    let name = f.or("name", "uid".to_owned(), |node, sink| read::with(node, sink, checked_attribute));
    let require = f.or("require", Vec::new(), required);
    f.close();
    Some(UsersConfig { base: base?, name: name?, require: require? })
}

fn required(node: &Node, sink: &Sink) -> Option<Vec<(String, String)>> {
    let entries = relay_core::document::fields::entries(node, "require", sink)?;
    if entries.len() > MAX_REQUIRED {
        return sink.refuse(node.at, format!("more than {MAX_REQUIRED} attributes"), "ask for fewer");
    }
    let pairs = entries.iter().map(|(name, value)| {
        let checked = checked_attribute(&name.value);
        let name = checked.map_err(|e| sink.refuse::<()>(name.at, e, "write an attribute's name")).ok();
        Some((name?, read::with(value, sink, checked_name)?))
    });
    pairs.collect()
}

fn groups(node: &Node, sink: &Sink) -> Option<GroupsConfig> {
    let mut f = Fields::open(node, "groups", sink)?;
    let base = f.need("base", |node, sink| read::with(node, sink, checked_name));
    let member = f.or("member", "member".to_owned(), |node, sink| read::with(node, sink, checked_attribute));
    let name = f.or("name", "cn".to_owned(), |node, sink| read::with(node, sink, checked_attribute));
    f.close();
    Some(GroupsConfig { base: base?, member: member?, name: name? })
}

fn checked_name(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.contains('\0') {
        true => Ok(text.to_owned()),
        false => Err(format!("{:?} is not between 1 and {MAX_NAME_BYTES} bytes", read::clip(text))),
    }
}

fn checked_attribute(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';');
    match text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() <= 128 && text.chars().all(fits)
    {
        true => Ok(text.to_owned()),
        false => Err(format!("{:?} is no attribute's name", read::clip(text))),
    }
}
