//! The password file: operators who log in with a password that the fabric itself checks.
//!
//! Owns its form, one line per user (`NAME:HASH:GROUP,GROUP`, the hash a PHC string of argon2id, or `!` for an account that is
//! locked), the bounds of what is read, and that a wrong name costs as much time as a wrong password. What a login opens, and how
//! often somebody may try, is the top master's. `relayctl passwd` writes the file.

use std::{collections::BTreeMap, fmt, path::Path};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{CustomizedPasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use relay_core::document::{Position, Problem};
use sha2::{Digest, Sha256};

use crate::{
    config::ConfigErrors,
    secret::{Secret, read_private},
};

/// Largest file read, in bytes: [`MAX_USERS`] lines of usual length.
pub const MAX_FILE_BYTES: u64 = 4 << 20;
/// Most users in a file: all operators of a large enterprise.
pub const MAX_USERS: usize = 10_000;
/// Longest name of a user or of a group, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Most groups of one user.
pub const MAX_GROUPS: usize = 64;
/// Longest password that is checked, in bytes: more would be a way to keep us busy.
pub const MAX_PASSWORD_BYTES: usize = 1_024;
/// Shortest password that is taken for a new entry, in characters (NIST SP 800-63B).
pub const MIN_PASSWORD_CHARS: usize = 8;

/// What a hash may cost: memory in KiB, passes and lanes. More would let one login hold the machine.
const MOST: (u32, u32, u32) = (256 << 10, 10, 4);
/// Least of memory in KiB times passes: OWASP's weakest setting for argon2id (7 MiB, 5 passes).
const LEAST_WORK: u32 = 7_168 * 5;
/// Random bytes in the salt of a new hash.
const SALT_BYTES: usize = 16;
/// What stands where a hash would, of an account that is locked.
const LOCKED: &str = "!";

/// The users of a file. Its hashes are not shown: who has one can try passwords at home.
#[derive(Clone)]
pub struct Passwords {
    users: BTreeMap<String, Entry>,
    /// Checked where there is no user or no hash, so that both take the same time.
    nobody: PasswordHash,
}

#[derive(Clone)]
struct Entry {
    /// Nothing: locked.
    hash: Option<PasswordHash>,
    account: Account,
}

/// What a file says of a user besides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The groups he is in.
    pub groups: Vec<String>,
    /// Another one after each change of the password: what was opened with the former one is to end.
    pub stamp: [u8; 32],
}

impl fmt::Debug for Account {
    /// The stamp is made of the password's hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("groups", &self.groups).field("stamp", &format_args!("***")).finish()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = if self.hash.is_some() { "***" } else { LOCKED };
        f.debug_struct("Entry")
            .field("hash", &format_args!("{hash}"))
            .field("account", &self.account)
            .finish()
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("users", &self.users).finish_non_exhaustive()
    }
}

impl Passwords {
    /// Reads a file, which has to be for its owner alone.
    ///
    /// # Errors
    /// Everything that is wrong with it, with its places.
    pub fn read(path: &Path) -> Result<Passwords, ConfigErrors> {
        let text = read_private(path, MAX_FILE_BYTES).map_err(|why| {
            ConfigErrors::new(path, vec![Problem::anywhere(why.to_string(), "make it with relayctl passwd")])
        })?;
        Passwords::parse(&text).map_err(|problems| ConfigErrors::new(path, problems))
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// Everything that is wrong with it, with its places.
    pub fn parse(text: &str) -> Result<Passwords, Vec<Problem>> {
        let (mut users, mut problems) = (BTreeMap::new(), Vec::new());
        for (no, line) in (1..).zip(text.lines()) {
            let at = Position { line: no, column: 1 };
            match entry(line) {
                Ok(None) => {}
                Ok(Some((name, _))) if users.contains_key(name) => {
                    let what = format!("{name} stands here a second time");
                    problems.push(Problem::error(at, what, "remove one of the two lines"));
                }
                Ok(Some((name, entry))) => drop(users.insert(name.to_owned(), entry)),
                Err(what) => {
                    problems.push(Problem::error(at, what, "write the line with relayctl passwd"));
                }
            }
        }
        if users.len() > MAX_USERS {
            let what = format!("{} users are here, at most {MAX_USERS} may be", users.len());
            problems.push(Problem::anywhere(what, "use a directory (ldap) for so many"));
        }
        let nobody = nobody(&users).map_err(|what| vec![Problem::anywhere(what, "correct the hashes")])?;
        if problems.is_empty() { Ok(Passwords { users, nobody }) } else { Err(problems) }
    }

    /// Whether this is the user's password; what the file says of him then. Takes some 30 ms of one core and 19 MiB, the same
    /// for a name that is not there: to be called where blocking is fine.
    pub fn check(&self, user: &str, password: &Secret) -> Option<Account> {
        let entry = self.users.get(user);
        let hash = entry.and_then(|entry| entry.hash.as_ref());
        let password = password.expose().as_bytes();
        let fits = password.len() <= MAX_PASSWORD_BYTES;
        let tried = if fits { password } else { &[] };
        let right = Argon2::default().verify_password(tried, hash.unwrap_or(&self.nobody)).is_ok();
        let account = entry.filter(|_| right && fits && hash.is_some()).map(|entry| &entry.account);
        account.cloned()
    }

    /// What the file says of a user who may log in; nothing if he is not there or locked.
    pub fn account(&self, user: &str) -> Option<&Account> {
        self.users.get(user).filter(|entry| entry.hash.is_some()).map(|entry| &entry.account)
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// A line: nothing for an empty one and a comment.
fn entry(line: &str) -> Result<Option<(&str, Entry)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut parts = line.split(':');
    let (Some(name), Some(hash), groups, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("not of the form NAME:HASH:GROUP,GROUP".into());
    };
    check_name("user", name)?;
    let groups = groups.unwrap_or_default().split(',').map(str::trim).filter(|g| !g.is_empty());
    let groups: Vec<String> = groups.map(str::to_owned).collect();
    check_groups(&groups)?;
    let stamp = Sha256::digest([name.as_bytes(), hash.as_bytes()].join(&0)).into();
    let account = Account { groups, stamp };
    let hash = if hash == LOCKED { None } else { Some(checked(hash)?) };
    Ok(Some((name, Entry { hash, account })))
}

/// Whether a text can be the name of a user or a group: `what` says of which.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    let fine = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= MAX_NAME_BYTES
        && name.chars().all(allowed);
    match fine {
        true => Ok(()),
        false => Err(format!(
            "{:?} is no {what}'s name (letters, digits and . _ - @ +, a letter or digit first, at most {MAX_NAME_BYTES})",
            relay_core::document::read::clip(name)
        )),
    }
}

/// Whether these can be a user's groups.
///
/// # Errors
/// What is wrong with them.
pub fn check_groups(groups: &[String]) -> Result<(), String> {
    if groups.len() > MAX_GROUPS {
        return Err(format!("{} groups, at most {MAX_GROUPS} may be", groups.len()));
    }
    groups.iter().try_for_each(|group| check_name("group", group))
}

/// A hash that is strong enough, and not so strong that checking it holds the machine.
fn checked(text: &str) -> Result<PasswordHash, String> {
    let hash = PasswordHash::new(text).map_err(|_| "its hash is no PHC string".to_owned())?;
    let id = hash.algorithm.as_str() == "argon2id" && hash.version == Some(Version::V0x13 as u32);
    if !id || hash.salt.is_none() || hash.hash.is_none() {
        return Err("its hash is not of argon2id, version 19, with salt and result".into());
    }
    let params = Params::try_from(&hash).map_err(|e| format!("its hash: {e}"))?;
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    if memory > MOST.0 || passes > MOST.1 || lanes > MOST.2 {
        let (most, times, wide) = MOST;
        return Err(format!("its hash costs too much: at most m={most},t={times},p={wide}"));
    }
    match memory.saturating_mul(passes) {
        work if work < LEAST_WORK => Err("its hash is too weak: at least m=19456,t=2,p=1".into()),
        _ => Ok(hash),
    }
}

/// A hash that no password has, and that costs as much to check as most of these.
fn nobody(users: &BTreeMap<String, Entry>) -> Result<PasswordHash, String> {
    let mut costs = BTreeMap::<(u32, u32, u32), usize>::new();
    for hash in users.values().filter_map(|entry| entry.hash.as_ref()) {
        let params = Params::try_from(hash).map_err(|e| e.to_string())?;
        *costs.entry((params.m_cost(), params.t_cost(), params.p_cost())).or_default() += 1;
    }
    let usual = (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST);
    let (m, t, p) = costs.into_iter().max_by_key(|(_, users)| *users).map_or(usual, |(cost, _)| cost);
    // Salt and result of zeros in base64.
    let text = format!("$argon2id$v=19$m={m},t={t},p={p}${}${}", "A".repeat(22), "A".repeat(43));
    PasswordHash::new(&text).map_err(|e| e.to_string())
}

/// A line for a user with this password.
///
/// # Errors
/// The name, a group or the password cannot be one: what is wrong with it.
pub fn line(user: &str, password: &Secret, groups: &[String]) -> Result<String, String> {
    check_name("user", user)?;
    check_groups(groups)?;
    let text = password.expose();
    if text.chars().count() < MIN_PASSWORD_CHARS || text.len() > MAX_PASSWORD_BYTES {
        return Err(format!(
            "a password has {MIN_PASSWORD_CHARS} characters at least and {MAX_PASSWORD_BYTES} bytes at most"
        ));
    }
    let salt: [u8; SALT_BYTES] = rand::random();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
    let hash: Result<PasswordHash, _> =
        argon2.hash_password_customized(text.as_bytes(), &salt, None, None, Params::DEFAULT);
    let hash = hash.map_err(|e| format!("the password cannot be hashed: {e}"))?;
    Ok(format!("{user}:{hash}:{}", groups.join(",")))
}

/// A line for a user who is locked out.
///
/// # Errors
/// The name or a group cannot be one: what is wrong with it.
pub fn locked_line(user: &str, groups: &[String]) -> Result<String, String> {
    check_name("user", user)?;
    check_groups(groups)?;
    Ok(format!("{user}:{LOCKED}:{}", groups.join(",")))
}

/// The text of a file with another line for a user (none: without him). All else stays as it is.
pub fn with_line(text: &str, user: &str, line: Option<&str>) -> String {
    let is_his = |found: &&str| found.trim().split(':').next() == Some(user);
    let mut told = false;
    let mut out = String::new();
    for found in text.lines() {
        let new =
            if is_his(&found) { line.filter(|_| !std::mem::replace(&mut told, true)) } else { Some(found) };
        out.extend(new.map(|new| format!("{new}\n")));
    }
    out.extend(line.filter(|_| !told).map(|new| format!("{new}\n")));
    out
}

#[cfg(test)]
#[path = "passwords/tests.rs"]
mod tests;
