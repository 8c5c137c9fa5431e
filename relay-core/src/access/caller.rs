//! Who asks: a name, the groups it is in, and how that was established.

use std::{collections::BTreeSet, fmt};

/// Longest name of a caller, in bytes: that of an id in a certificate.
pub const MAX_NAME_BYTES: usize = crate::ids::MAX_ID_BYTES;
/// Longest name of a group, in bytes: a distinguished name of LDAP may be one.
pub const MAX_GROUP_BYTES: usize = 256;
/// Most groups of one caller: what is beyond is a mistake of a directory, and would be carried with every request.
pub const MAX_GROUPS: usize = 1_000;

/// How it was established who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// A client certificate with the role `operator`.
    Certificate,
    /// A token that was made for a program, without a password.
    Token,
    /// A password of the fabric's own file (then usually a token of that login).
    File,
    /// A password that PAM has checked.
    Pam,
    /// A password that an LDAP server has checked.
    Ldap,
}

impl How {
    /// All of them.
    pub const ALL: [How; 5] = [How::Certificate, How::Token, How::File, How::Pam, How::Ldap];

    /// The word in policies, logs and the audit.
    pub fn word(self) -> &'static str {
        match self {
            How::Certificate => "certificate",
            How::Token => "token",
            How::File => "file",
            How::Pam => "pam",
            How::Ldap => "ldap",
        }
    }

    /// The one with this word.
    pub fn from_word(word: &str) -> Option<How> {
        How::ALL.into_iter().find(|how| how.word() == word)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why something is no caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// The name has another form. It stands in texts such as `schedule:nightly (by alice)`, which must mean one thing.
    #[error(
        "{0:?} is no name of a caller: 1 to {MAX_NAME_BYTES} letters, digits, '-', '_', '.', '@' and '+', and it begins with \
         a letter, a digit or '_'"
    )]
    Name(String),
    /// A group's name is empty, too long, or has control characters.
    #[error("{0:?} is no name of a group: 1 to {MAX_GROUP_BYTES} bytes without control characters")]
    Group(String),
    /// There are more than [`MAX_GROUPS`].
    #[error("{0} groups, at most {MAX_GROUPS}")]
    Groups(usize),
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller {
    name: String,
    groups: BTreeSet<String>,
    how: How,
}

impl Caller {
    /// A caller whose name and groups have been established by `how`.
    ///
    /// # Errors
    /// A name that may not be one: it would be ambiguous in logs and in the names of jobs' callers.
    pub fn new(
        name: &str,
        groups: impl IntoIterator<Item = String>,
        how: How,
    ) -> Result<Caller, CallerError> {
        check_name(name)?;
        let groups: BTreeSet<String> = groups.into_iter().collect();
        if groups.len() > MAX_GROUPS {
            return Err(CallerError::Groups(groups.len()));
        }
        match groups.iter().find(|group| !is_group(group)) {
            Some(bad) => Err(CallerError::Group(clip(bad))),
            None => Ok(Caller { name: name.into(), groups, how }),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The groups that `how` says, sorted. Those that a policy makes are not among them.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(String::as_str)
    }
    /// Whether `how` says that the caller is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.contains(group)
    }
    /// How it was established.
    pub fn how(&self) -> How {
        self.how
    }
}

impl fmt::Display for Caller {
    /// `alice (pam)`: for logs. What a job says of its caller is the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.how)
    }
}

/// Checks the form that all names of callers share.
pub(super) fn check_name(name: &str) -> Result<(), CallerError> {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = |c: char| first(c) || matches!(c, '-' | '.' | '@' | '+');
    let good = name.len() <= MAX_NAME_BYTES && name.starts_with(first) && name.chars().all(fits);
    if good { Ok(()) } else { Err(CallerError::Name(clip(name))) }
}

pub(super) fn is_group(group: &str) -> bool {
    (1..=MAX_GROUP_BYTES).contains(&group.len()) && !group.chars().any(char::is_control)
}

/// What is shown of a text that may be hostile and long.
fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str, groups: &[&str]) -> Result<Caller, CallerError> {
        Caller::new(name, groups.iter().map(|g| g.to_string()), How::Pam)
    }

    #[test]
    fn names_mean_one_thing_wherever_they_stand() {
        for good in ["alice", "a", "_svc", "alice@corp.example", "ci+deploy", "web-1.x", "7of9"] {
            assert_eq!(caller(good, &[]).expect(good).to_string(), format!("{good} (pam)"));
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for bad in ["", "a b", "alice (by bob)", "-x", "*", "x%", "schedule:x", "ünï", "a\n", ".a", &long] {
            assert!(matches!(caller(bad, &[]), Err(CallerError::Name(_))), "{bad:?}");
        }
    }

    #[test]
    fn groups_are_bounded_and_printable() {
        assert!(caller("a", &["Domain Admins", "cn=ops,dc=x"]).is_ok_and(|c| c.is_in("Domain Admins")));
        for bad in ["", "a\nb", &"g".repeat(MAX_GROUP_BYTES + 1)] {
            assert!(matches!(caller("a", &[bad]), Err(CallerError::Group(_))), "{bad:?}");
        }
        let many = (0..=MAX_GROUPS).map(|n| n.to_string());
        assert_eq!(Caller::new("a", many, How::Ldap), Err(CallerError::Groups(MAX_GROUPS + 1)));
    }

    #[test]
    fn every_how_has_its_word() {
        for how in How::ALL {
            assert_eq!(How::from_word(how.word()), Some(how));
        }
        assert_eq!(How::from_word("any"), None);
    }
}
