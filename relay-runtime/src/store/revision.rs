//! The history of the topology as a store keeps it. What a text means and how a revision is staged is the top master's.

use relay_core::{Members, ids::RegionName, time::WallMicros};

/// A topology that was applied, or is being applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Its place in the history; the first is 1. Never used again, whatever becomes of it.
    pub number: u64,
    /// What was asked to be applied. In a list its text is empty.
    pub new: NewRevision,
    /// Regions that have it, in the order in which they got it.
    pub regions: Vec<RegionName>,
    /// What became of it.
    pub state: RevisionState,
    /// Why it was rolled back; empty if it was not.
    pub why: String,
}

/// A topology to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRevision {
    /// The number of the revision that must be active; 0: none may be.
    pub planned_on: u64,
    /// SHA-256 of what it means, in hexadecimal.
    pub digest: String,
    /// The file as it was written.
    pub text: String,
    /// Who applies it.
    pub caller: String,
    /// When.
    pub applied: WallMicros,
    /// The commit it comes from; empty if nobody said.
    pub commit: String,
    /// Who wrote that commit; empty if nobody said.
    pub author: String,
    /// What it is for; may be empty.
    pub message: String,
    /// The revision whose text this one takes up again; 0 if it is no rollback.
    pub rollback_of: u64,
    /// Most minions, in percent of a region's that were up, that may be lost.
    pub max_lost_percent: u32,
    /// How long each region is looked at, in milliseconds.
    pub settle_ms: u64,
    /// The minions that were up when it began, as inventory numbers: those that may be lost. Kept so that whoever goes on with
    /// it after a restart measures against the same.
    pub watched: Members,
}

/// What became of a revision. At most one is staging, and at most one active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionState {
    /// It goes from region to region.
    Staging,
    /// All regions have it.
    Active,
    /// It was active before another one.
    Superseded,
    /// It was stopped, and the regions that had it went back.
    RolledBack,
}

impl RevisionState {
    const ALL: [RevisionState; 4] =
        [RevisionState::Staging, RevisionState::Active, RevisionState::Superseded, RevisionState::RolledBack];

    /// Its word, in the database and for people.
    pub fn word(self) -> &'static str {
        match self {
            RevisionState::Staging => "staging",
            RevisionState::Active => "active",
            RevisionState::Superseded => "superseded",
            RevisionState::RolledBack => "rolled_back",
        }
    }

    /// The state of a word.
    pub fn from_word(word: &str) -> Option<RevisionState> {
        RevisionState::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// Which revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one of this number.
    Number(u64),
    /// The active one.
    Active,
    /// The one that goes from region to region.
    Staging,
}

/// What became of a revision that was to be staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionPut {
    /// It is kept, in the state staging, under this number.
    Staged(u64),
    /// Another one is active than the one planned on: this one, or none (0).
    Moved(u64),
    /// This one is staging still.
    Busy(u64),
}

/// How a staged revision ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevisionEnd {
    /// It is the active one; the former one is superseded in the same moment.
    Active,
    /// It was stopped, for this reason.
    RolledBack(String),
}

/// The regions as they stand in a column.
pub(super) fn regions_to_text(regions: &[RegionName]) -> String {
    let names: Vec<&str> = regions.iter().map(RegionName::as_str).collect();
    serde_json::Value::from(names).to_string()
}

/// Reads [`regions_to_text`] again. The error says what is wrong.
pub(super) fn regions_from_text(text: &str) -> Result<Vec<RegionName>, String> {
    let names: Vec<String> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    names.iter().map(|name| name.parse::<RegionName>().map_err(|e| e.to_string())).collect()
}
