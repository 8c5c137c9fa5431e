//! For whom an issuer may make certificates. It stands in the issuer's own certificate, as the names that it permits.

use std::fmt;

use relay_core::{
    identity::{FabricName, Identity, Role, check_region},
    ids::RegionName,
};

/// For whom an issuer may make certificates: roles of one region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Minions and syndics of a region.
    Region(RegionName),
    /// Top masters of a region.
    TopMasters(RegionName),
    /// Operators of a region.
    Operators(RegionName),
}

impl Scope {
    /// The one that somebody's certificate has to come from.
    pub fn of(identity: &Identity) -> Scope {
        let region = identity.region().clone();
        match identity.role() {
            Role::Minion | Role::Syndic => Scope::Region(region),
            Role::TopMaster => Scope::TopMasters(region),
            Role::Operator => Scope::Operators(region),
        }
    }

    /// Its roles.
    pub fn roles(&self) -> &'static [Role] {
        match self {
            Scope::Region(_) => &[Role::Minion, Role::Syndic],
            Scope::TopMasters(_) => &[Role::TopMaster],
            Scope::Operators(_) => &[Role::Operator],
        }
    }

    /// Its region.
    pub fn region(&self) -> &RegionName {
        match self {
            Scope::Region(region) | Scope::TopMasters(region) | Scope::Operators(region) => region,
        }
    }

    /// The DNS subtrees that stand in the issuer's certificate: names are read from the right, so these are exactly its roles'.
    pub(super) fn permitted(&self, fabric: &FabricName) -> Vec<String> {
        self.roles().iter().map(|role| format!("{role}.{}.{fabric}", self.region())).collect()
    }

    /// The scope of these subtrees.
    pub(super) fn of_permitted(found: &[&str], fabric: &FabricName) -> Option<Scope> {
        let (_, rest) = found.first()?.split_once('.')?;
        let region = check_region(rest.strip_suffix(fabric.as_str())?.strip_suffix('.')?).ok()?;
        let scopes =
            [Scope::Region(region.clone()), Scope::TopMasters(region.clone()), Scope::Operators(region)];
        scopes.into_iter().find(|scope| scope.permitted(fabric) == found)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Region(region) => write!(f, "minions and syndics of {region}"),
            Scope::TopMasters(region) => write!(f, "top masters of {region}"),
            Scope::Operators(region) => write!(f, "operators of {region}"),
        }
    }
}
