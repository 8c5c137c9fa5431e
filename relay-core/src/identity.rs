//! Who somebody is: id, role, region and fabric, and the one DNS name that says so in a certificate.
//!
//! The name is `<id>.<role>.<region>.<fabric>`. It is read from the right: the fabric is known to whoever reads it,
//! region and role are single labels, and all that is left is the id (which may hold dots). So no id can be chosen
//! that makes a minion look like a syndic. Finding the name in a certificate is `relay_runtime::identity`'s work.

use std::{fmt, str::FromStr};

use crate::ids::{IdError, MAX_LABEL_BYTES, MinionId, RegionName, TierId, check_id};

/// Longest DNS name, in bytes (RFC 1035, 255 octets on the wire with the length bytes).
pub const MAX_DNS_BYTES: usize = 253;

/// Why something is not an identity of this fabric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A part of the name is no id.
    #[error("{part}: {source}")]
    Part {
        /// Which part: `id`, `region` or `fabric`.
        part: &'static str,
        /// What is wrong with it.
        source: IdError,
    },
    /// A region with a dot in it.
    #[error("region {0:?}: a region is one word without dots (letters, digits, '-' and '_')")]
    RegionDots(String),
    /// A fabric whose last label is a number: it would read as an IP address.
    #[error("fabric {0:?}: the part after the last dot may not be a number")]
    FabricNumber(String),
    /// A word that names no role.
    #[error("{0:?} is no role (the roles are top-master, syndic, minion and operator)")]
    Role(String),
    /// The whole name is too long for DNS.
    #[error("the name {0:?}... has {1} bytes, a certificate's name has at most {MAX_DNS_BYTES}")]
    TooLong(String, usize),
    /// The name does not end in the fabric's name.
    #[error("the name {name:?} is not of the fabric {fabric:?}")]
    Fabric {
        /// The name as found.
        name: String,
        /// The fabric that was expected.
        fabric: String,
    },
    /// Fewer parts than id, role and region.
    #[error("the name {0:?} is not of the form <id>.<role>.<region>.<fabric>")]
    Form(String),
    /// The certificate itself is unusable: unreadable, no name, several names, a wildcard, a name of another kind.
    #[error("certificate: {0}")]
    Certificate(String),
}

/// What somebody does in the fabric. It decides which calls a certificate opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Serves operators and owns jobs.
    TopMaster,
    /// A top master downward, a minion upward.
    Syndic,
    /// Runs jobs on one machine.
    Minion,
    /// A person or a program that orders jobs.
    Operator,
}

impl Role {
    /// All roles, for error texts and tests.
    pub const ALL: [Role; 4] = [Role::TopMaster, Role::Syndic, Role::Minion, Role::Operator];

    /// The word for it in names, files and messages.
    pub fn word(self) -> &'static str {
        match self {
            Role::TopMaster => "top-master",
            Role::Syndic => "syndic",
            Role::Minion => "minion",
            Role::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        // Exactly the word, in lower case: a second spelling would be a second name for the same thing.
        Role::ALL.into_iter().find(|r| r.word() == text).ok_or_else(|| IdentityError::Role(clip(text)))
    }
}

/// A fabric's name (`acme.example`): the tail of every certificate's name. May hold dots. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FabricName(std::sync::Arc<str>);

impl FabricName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FabricName {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        check_id(text).map_err(|source| IdentityError::Part { part: "fabric", source })?;
        let last = text.rsplit('.').next().unwrap_or(text);
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(IdentityError::FabricNumber(text.into()));
        }
        Ok(FabricName(text.into()))
    }
}

impl fmt::Display for FabricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FabricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a region's name: an id of one label, since it stands between dots in a certificate's name.
pub fn check_region(text: &str) -> Result<RegionName, IdentityError> {
    if text.contains('.') {
        return Err(IdentityError::RegionDots(clip(text)));
    }
    text.parse().map_err(|source| IdentityError::Part { part: "region", source })
}

/// Who somebody is. Made only by [`Identity::new`] and [`Identity::parse_dns`], so what exists is checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    id: String,
    role: Role,
    region: RegionName,
    fabric: FabricName,
}

impl Identity {
    /// Puts an identity together, if each part is one and the whole fits a DNS name.
    pub fn new(id: &str, role: Role, region: RegionName, fabric: FabricName) -> Result<Self, IdentityError> {
        check_id(id).map_err(|source| IdentityError::Part { part: "id", source })?;
        check_region(region.as_str())?;
        let identity = Identity { id: id.into(), role, region, fabric };
        let name = identity.to_dns();
        match name.len() {
            0..=MAX_DNS_BYTES => Ok(identity),
            n => Err(IdentityError::TooLong(clip(&name), n)),
        }
    }

    /// The name that stands in the certificate: `<id>.<role>.<region>.<fabric>`.
    pub fn to_dns(&self) -> String {
        format!("{}.{}.{}.{}", self.id, self.role, self.region, self.fabric)
    }

    /// Reads a certificate's name, given the fabric it has to be of.
    pub fn parse_dns(name: &str, fabric: &FabricName) -> Result<Self, IdentityError> {
        if name.len() > MAX_DNS_BYTES {
            return Err(IdentityError::TooLong(clip(name), name.len()));
        }
        let alien = || IdentityError::Fabric { name: name.into(), fabric: fabric.to_string() };
        let form = || IdentityError::Form(name.into());
        let rest = name.strip_suffix(fabric.as_str()).and_then(|r| r.strip_suffix('.')).ok_or_else(alien)?;
        let (rest, region) = rest.rsplit_once('.').ok_or_else(form)?;
        let (id, role) = rest.rsplit_once('.').ok_or_else(form)?;
        Identity::new(id, role.parse()?, check_region(region)?, fabric.clone())
    }

    /// The id: of a minion, a syndic, a top master or an operator.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// What it does.
    pub fn role(&self) -> Role {
        self.role
    }
    /// The region it stands in (an operator: the one it was issued for).
    pub fn region(&self) -> &RegionName {
        &self.region
    }
    /// The fabric it belongs to.
    pub fn fabric(&self) -> &FabricName {
        &self.fabric
    }
    /// The minion's id, if this is a minion.
    pub fn minion_id(&self) -> Option<MinionId> {
        (self.role == Role::Minion).then(|| self.id.parse().ok()).flatten()
    }
    /// The id of the place in the tree, if this is a syndic or a top master.
    pub fn tier_id(&self) -> Option<TierId> {
        matches!(self.role, Role::Syndic | Role::TopMaster).then(|| self.id.parse().ok()).flatten()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_dns())
    }
}

/// What is shown of a text that may be hostile and long.
fn clip(text: &str) -> String {
    text.chars().take(MAX_LABEL_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fabric() -> FabricName {
        "acme.example".parse().unwrap()
    }

    #[test]
    fn the_name_is_read_from_the_right() {
        let id = Identity::parse_dns("web01.minion.aws.acme.example", &fabric()).unwrap();
        assert_eq!((id.id(), id.role(), id.region().as_str()), ("web01", Role::Minion, "aws"));
        // An id that contains a whole foreign name stays an id: only the last two labels before the fabric count.
        let sly =
            Identity::parse_dns("x.syndic.azure.acme.example.minion.aws.acme.example", &fabric()).unwrap();
        assert_eq!((sly.id(), sly.role()), ("x.syndic.azure.acme.example", Role::Minion));
        assert_eq!((sly.minion_id().map(|m| m.to_string()), sly.tier_id()), (Some(sly.id().into()), None));
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = format!("{}.minion.aws.acme.example", "a.".repeat(130));
        for bad in [
            "",
            "acme.example",
            ".acme.example",
            "minion.aws.acme.example",
            ".minion.aws.acme.example",
            "web01..minion.aws.acme.example",
            "web01.minion..acme.example",
            "web01.minion.aws.acme.example.",
            "web01.minion.aws.acme.exampleX",
            "web01.minion.awsacme.example",
            "web01.minion.aws.ACME.example",
            "web01.Minion.aws.acme.example",
            "web01.master.aws.acme.example",
            "*.minion.aws.acme.example",
            "web01.*.aws.acme.example",
            "web01\0.minion.aws.acme.example",
            "web01\n.minion.aws.acme.example",
            "../x.minion.aws.acme.example",
            "wéb.minion.aws.acme.example",
            "web01.minion.aws.other.example",
            long.as_str(),
        ] {
            assert!(Identity::parse_dns(bad, &fabric()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_whole_name_fits_dns() {
        let region = check_region(&"r".repeat(63)).unwrap();
        let wide: FabricName = format!("{}.{}", "f".repeat(63), "g".repeat(41)).parse().unwrap();
        // 128 is the longest id; with 11 for ".minion" and dots and 63 + 105 it is over 253.
        let id = format!("{}.{}", "a".repeat(63), "b".repeat(63));
        assert!(
            matches!(Identity::new(&id, Role::Minion, region, wide), Err(IdentityError::TooLong(_, n)) if n > 253)
        );
    }

    #[test]
    fn regions_and_fabrics_are_checked() {
        assert!(check_region("on-prem").is_ok());
        for bad in ["", "a.b", "a b", "é", "a/b", &"x".repeat(64)] {
            assert!(check_region(bad).is_err(), "{bad:?}");
        }
        for bad in ["", ".", "a..b", "a.", "10.0.0.1", "*.x"] {
            assert!(bad.parse::<FabricName>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_comes_back_whole(id in "[a-z0-9_-]{1,20}(\\.[a-z0-9-]{1,20}){0,3}", role in 0usize..4, region in "[a-z0-9-]{1,20}") {
            let made = Identity::new(&id, Role::ALL[role], check_region(&region).unwrap(), fabric()).unwrap();
            prop_assert_eq!(Identity::parse_dns(&made.to_dns(), &fabric()).unwrap(), made);
        }
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            if let Ok(found) = Identity::parse_dns(&text, &fabric()) {
                prop_assert_eq!(found.to_dns(), text);
            }
        }
    }
}
