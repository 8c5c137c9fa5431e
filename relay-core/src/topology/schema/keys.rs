//! Every key of a topology file: its name, what it takes, whether it has to be there, and what it is for.

use serde_json::{Value, json};

use crate::topology::{DEFAULT_CAPACITY, DEFAULT_WEIGHT, VERSION};

/// The keys of one kind of map.
#[derive(Debug)]
pub struct Keys {
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub default: Option<Default>,
    pub doc: &'static str,
}

/// What stands for a key that is not there.
#[derive(Debug, Clone, Copy)]
pub enum Default {
    Number(u32),
    Flag(bool),
}

impl Default {
    pub fn json(self) -> Value {
        match self {
            Default::Number(n) => json!(n),
            Default::Flag(flag) => json!(flag),
        }
    }
}

/// What a key takes.
#[derive(Debug)]
pub enum Kind {
    /// Any single value.
    Text,
    /// An id, with dots between its parts.
    Id,
    /// A region's name: an id of one part.
    Region,
    /// `host:port`.
    Address,
    /// `address/length`.
    Network,
    /// A number of minions, or a percentage.
    Share,
    /// A whole number, from and to.
    Number(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these.
    Words(&'static [&'static str]),
    /// A list.
    List(&'static Kind),
    /// A list with at least one entry.
    Filled(&'static Kind),
    /// A text or a list of texts.
    OneOrMore,
    /// A map with free keys.
    Free(&'static Kind),
    /// A map with these keys.
    Map(&'static Keys),
}

const fn need(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: true, default: None, doc }
}
const fn may(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, default: None, doc }
}
const fn or(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Key {
    Key { name, kind, required: false, default: Some(default), doc }
}

/// The whole file.
pub static TOPOLOGY: Keys = Keys {
    keys: &[
        need("version", Kind::Number(VERSION, VERSION), "The version of this format."),
        need("fabric", Kind::Id, "The fabric's name: the tail of every certificate's name."),
        need(
            "top_masters",
            Kind::Filled(&Kind::Map(&TOP_MASTER)),
            "The roots of the tree. Operators talk to them; they own the jobs.",
        ),
        need(
            "regions",
            Kind::Filled(&Kind::Map(&REGION)),
            "Sets of machines near each other, each with syndics of its own.",
        ),
        may(
            "unbatched_limit",
            Kind::Share,
            "A job for more minions than this (a number, or a percentage of all) that nothing batches is refused with a suggestion. Without it nothing is too wide.",
        ),
        may(
            "node_groups",
            Kind::Free(&Kind::OneOrMore),
            "Names for targets, used as N@name: an expression, or Salt's list of words.",
        ),
        may("labels", Kind::Free(&Kind::Text), "Free text, shown and not interpreted."),
    ],
};

static TOP_MASTER: Keys = Keys {
    keys: &[
        need("id", Kind::Id, "Its id, unique among top masters and syndics."),
        need("address", Kind::Address, "Where syndics dial it, host:port."),
        need("region", Kind::Region, "The region that its certificate names."),
        may("location", Kind::Text, "Where it stands, for people."),
    ],
};

static REGION: Keys = Keys {
    keys: &[
        need("name", Kind::Region, "Its name, one word: it stands in certificates."),
        need(
            "provider",
            Kind::Words(&["aws", "azure", "gcp", "on-prem", "other"]),
            "Whose machines they are.",
        ),
        may("cloud_region", Kind::Text, "The provider's name for the place."),
        may("platforms", Kind::List(&Kind::Text), "What runs there, for people."),
        may("network", Kind::Map(&NETWORK), "How it is reached."),
        need(
            "syndics",
            Kind::Filled(&Kind::Map(&SYNDIC)),
            "Its syndics. One of them at least is no standby.",
        ),
        need("minions", Kind::Map(&MINIONS), "Which minions belong to it, and how many are expected."),
        may(
            "batch",
            Kind::Map(&BATCH),
            "What a job gets here. Percentages are of its targets in the region.",
        ),
    ],
};

static NETWORK: Keys = Keys {
    keys: &[
        may("notes", Kind::Text, "VPN, peering and the like, in words."),
        may(
            "allowed_cidrs",
            Kind::List(&Kind::Network),
            "Minions of this region connect from these networks; without it, from anywhere.",
        ),
    ],
};

static SYNDIC: Keys = Keys {
    keys: &[
        need("id", Kind::Id, "Its id, unique among top masters and syndics."),
        need("address", Kind::Address, "Where minions and lower syndics dial it, host:port."),
        may(
            "parents",
            Kind::Filled(&Kind::Id),
            "Whom it dials, in order: top masters or other syndics. Without it, all top masters.",
        ),
        or(
            "capacity",
            Kind::Number(1, 1_000_000),
            Default::Number(DEFAULT_CAPACITY),
            "How many minions it carries.",
        ),
        or(
            "weight",
            Kind::Number(1, 10_000),
            Default::Number(DEFAULT_WEIGHT),
            "Its share of the region's minions, against its neighbours.",
        ),
        or(
            "standby",
            Kind::Flag,
            Default::Flag(false),
            "Kept free: takes minions only when another syndic of the region is lost.",
        ),
    ],
};

static MINIONS: Keys = Keys {
    keys: &[
        need("count", Kind::Number(0, 10_000_000), "How many are expected."),
        may("patterns", Kind::List(&Kind::Text), "Globs on the ids that belong here."),
        may(
            "ranges",
            Kind::List(&Kind::Text),
            "Range sets of ids that belong here: web[001-120,200]. In quotes within a list in brackets.",
        ),
        may("ids", Kind::List(&Kind::Id), "Ids that belong here, one by one."),
        may(
            "grains",
            Kind::Free(&Kind::OneOrMore),
            "Grains of those that belong here: a value, or several of which a member has one.",
        ),
    ],
};

static BATCH: Keys = Keys {
    keys: &[
        may(
            "batch",
            Kind::Share,
            "How many run a job at once if the operator does not say. Without it, all.",
        ),
        may(
            "max_failures",
            Kind::Share,
            "After so many failures nothing more is started here, if the operator does not say.",
        ),
        may("cap", Kind::Share, "Never more than this at once, whatever the operator says."),
        may("auto", Kind::Map(&AUTO), "The bounds of --batch auto here."),
    ],
};

static AUTO: Keys = Keys {
    keys: &[
        may("min", Kind::Share, "The least that it goes down to. Without it, 1."),
        may("max", Kind::Share, "The most that it goes up to. Without it, the cap, or all."),
    ],
};
