//! An LDAP directory as a way to log in: who is in it, whose password this is, and in which groups he is.

use relay_runtime::{
    config::{GroupsConfig, LdapConfig},
    ldap::{Directory, Entry, LdapError},
    passwords::{Account, MAX_PASSWORD_BYTES, check_name},
    secret::Secret,
};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::account::{Standing, Verdict};

/// What tells one account from the next of the same name, and one password from the next; where a directory has it and shows it.
const MARKS: [&str; 4] = ["entryUUID", "pwdChangedTime", "sambaPwdLastSet", "pwdLastSet"];
/// Groups of one user that are asked for.
const MOST_GROUPS: u32 = 500;

/// A directory.
pub struct Ldap(LdapConfig);

/// What was found out.
enum Found {
    User(Account),
    Nobody,
}

/// Why nothing was.
#[derive(Debug, thiserror::Error)]
enum Unable {
    #[error(transparent)]
    Ldap(#[from] LdapError),
    #[error("{0}")]
    Secret(String),
    #[error("the password of {0} is wrong: correct bind_dn or password_file")]
    Own(String),
}

impl Ldap {
    /// The one that a configuration names; nobody is asked yet.
    pub fn new(config: LdapConfig) -> Ldap {
        Ldap(config)
    }

    /// Whether this is the user's password.
    pub async fn check(&self, user: &str, password: &Secret) -> Verdict {
        // A name of any other form is nobody's: it is searched for all the same, so that it takes as long.
        let known = check_name("user", user).is_ok() && password.expose().len() <= MAX_PASSWORD_BYTES;
        match self.ask(user, Some(password)).await {
            Ok(Found::User(account)) if known => Verdict::Right(account),
            Ok(_) => Verdict::Wrong,
            Err(why) => Verdict::Unable(why.to_string()),
        }
    }

    /// How a user's account stands.
    pub async fn standing(&self, user: &str) -> Standing {
        match self.ask(user, None).await {
            Ok(Found::User(account)) => Standing::Good(account),
            Ok(Found::Nobody) => Standing::Gone,
            Err(why) => {
                warn!(%why, "the directory can't be asked about who is logged in");
                Standing::Unknown
            }
        }
    }

    async fn ask(&self, user: &str, password: Option<&Secret>) -> Result<Found, Unable> {
        let mut directory = Directory::connect(&self.0.place).await?;
        self.as_ourselves(&mut directory).await?;
        let found = self.find(&mut directory, user).await?;
        if let Some(password) = password {
            // Somebody who is not there has a password that is wrong, and takes as long.
            let nobody = format!("{}=-,{}", self.0.users.name, self.0.users.base);
            let dn = found.as_ref().map_or(&nobody, |entry| &entry.dn);
            let right = match directory.bind(dn, password).await {
                Err(LdapError::Refused { .. }) if found.is_none() => false,
                right => right?,
            };
            if !right || found.is_none() {
                return Ok(Found::Nobody);
            }
            self.as_ourselves(&mut directory).await?;
        }
        let Some(entry) = found else { return Ok(Found::Nobody) };
        let groups = match &self.0.groups {
            Some(groups) => groups_of(&mut directory, groups, &entry.dn).await?,
            None => Vec::new(),
        };
        Ok(Found::User(Account { groups, stamp: stamp(&entry) }))
    }

    async fn as_ourselves(&self, directory: &mut Directory) -> Result<(), Unable> {
        let Some((dn, file)) = &self.0.bind else { return Ok(()) };
        let password = Secret::read("the password", file).map_err(Unable::Secret)?;
        match directory.bind(dn, &password).await? {
            true => Ok(()),
            false => Err(Unable::Own(dn.clone())),
        }
    }

    /// The one entry of a user. Of several with the same name none is taken: nobody can tell which is meant.
    async fn find(&self, directory: &mut Directory, user: &str) -> Result<Option<Entry>, Unable> {
        let users = &self.0.users;
        let mut equal = vec![(users.name.as_str(), user)];
        equal.extend(users.require.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let attributes: Vec<&str> = MARKS.into_iter().chain([users.name.as_str()]).collect();
        let mut found = match directory.search(&users.base, &equal, &attributes, 2).await {
            Err(LdapError::TooMuch(_)) => return Ok(None),
            found => found?,
        };
        // Most directories compare without regard to case; the fabric's rules do not.
        let exact = |entry: &Entry| {
            let names = entry.values.get(&users.name.to_ascii_lowercase());
            names.is_some_and(|names| names.iter().any(|name| name == user))
        };
        Ok(found.pop().filter(|entry| found.is_empty() && exact(entry)))
    }
}

async fn groups_of(
    directory: &mut Directory,
    config: &GroupsConfig,
    dn: &str,
) -> Result<Vec<String>, LdapError> {
    let GroupsConfig { base, member, name } = config;
    let found = directory.search(base, &[(member, dn)], &[name], MOST_GROUPS).await?;
    let key = name.to_ascii_lowercase();
    Ok(found.into_iter().flat_map(|mut entry| entry.values.remove(&key).unwrap_or_default()).collect())
}

fn stamp(entry: &Entry) -> [u8; 32] {
    let mut stamp = Sha256::new();
    stamp.update(entry.dn.as_bytes());
    for mark in MARKS {
        stamp.update([0]);
        for value in entry.values.get(&mark.to_ascii_lowercase()).into_iter().flatten() {
            stamp.update(value.as_bytes());
            stamp.update([1]);
        }
    }
    stamp.finalize().into()
}
