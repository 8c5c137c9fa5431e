//! What somebody reports: who did what, how it was known that it was them, and what about.

use std::collections::BTreeMap;

/// Longest name of who did it, in bytes; an operator's name is at most half of it.
pub const MAX_WHO: usize = 256;
/// Longest word for how that is known, in bytes.
pub const MAX_HOW: usize = 64;
/// Longest subject, in bytes: a target expression's beginning, or several ids.
pub const MAX_SUBJECT: usize = 512;
/// Longest key of a detail, in bytes.
pub const MAX_DETAIL_KEY: usize = 64;
/// Longest value of a detail, in bytes.
pub const MAX_DETAIL: usize = 1_024;
/// Most details of one event. Further ones are dropped, and their number stands in their place.
pub const MAX_DETAILS: usize = 24;
/// Stands where a text was cut.
const CUT: &str = "…";

/// What kind of decision or deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Somebody was let do something.
    Accept,
    /// Somebody was not.
    Deny,
    /// An operator proved who they are, or ended a session.
    Login,
    /// A minion or a syndic asked to join, or it was decided.
    Enrol,
    /// A key or certificate was made, listed, withdrawn or replaced.
    Key,
    /// The rules of who may do what changed.
    Policy,
    /// Somebody agreed to what another one had asked for.
    Approve,
    /// A job was accepted, cancelled or ended.
    Job,
    /// Another top master became the owner.
    Takeover,
    /// A topology was applied or rolled back.
    Topology,
    /// A token was made or withdrawn.
    Token,
    /// The bundle of trust changed.
    Trust,
    /// A target whose outcome was unknown got one.
    UnknownResolved,
    /// A schedule was put, paused or removed.
    Schedule,
    /// So many events of a kind were not recorded one by one.
    Suppressed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 15] = [
        Kind::Accept,
        Kind::Deny,
        Kind::Login,
        Kind::Enrol,
        Kind::Key,
        Kind::Policy,
        Kind::Approve,
        Kind::Job,
        Kind::Takeover,
        Kind::Topology,
        Kind::Token,
        Kind::Trust,
        Kind::UnknownResolved,
        Kind::Schedule,
        Kind::Suppressed,
    ];

    /// Its word, in records and for people.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Accept => "accept",
            Kind::Deny => "deny",
            Kind::Login => "login",
            Kind::Enrol => "enrol",
            Kind::Key => "key",
            Kind::Policy => "policy",
            Kind::Approve => "approve",
            Kind::Job => "job",
            Kind::Takeover => "takeover",
            Kind::Topology => "topology",
            Kind::Token => "token",
            Kind::Trust => "trust",
            Kind::UnknownResolved => "unknown_resolved",
            Kind::Schedule => "schedule",
            Kind::Suppressed => "suppressed",
        }
    }

    /// The kind of a word.
    pub fn from_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Something to be recorded. Texts are cut to their bounds as they come in: they are often a stranger's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What kind.
    pub kind: Kind,
    /// Who did it or wanted to: an operator's name, an identity, an address.
    pub who: String,
    /// How that is known: `certificate`, `token`, `password`, `schedule`, `self`, `nobody` for a stranger.
    pub how: String,
    /// What it is about: a jid, a minion, a revision. May be empty.
    pub subject: String,
    /// More, by key.
    pub details: BTreeMap<String, String>,
}

impl Event {
    /// An event of a kind, by somebody, known somehow.
    pub fn new(kind: Kind, who: impl Into<String>, how: impl Into<String>) -> Event {
        let (who, how) = (cut(who.into(), MAX_WHO), cut(how.into(), MAX_HOW));
        Event { kind, who, how, subject: String::new(), details: BTreeMap::new() }
    }

    /// What it is about.
    #[must_use]
    pub fn about(self, subject: impl std::fmt::Display) -> Event {
        Event { subject: cut(subject.to_string(), MAX_SUBJECT), ..self }
    }

    /// One more detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl std::fmt::Display) -> Event {
        if self.details.len() < MAX_DETAILS || self.details.contains_key(key) {
            let key = cut(key.to_owned(), MAX_DETAIL_KEY);
            self.details.insert(key, cut(value.to_string(), MAX_DETAIL));
        }
        self
    }

    /// The same, surely within all bounds: its fields can be set by anybody.
    #[must_use]
    pub fn within_bounds(self) -> Event {
        let Event { kind, who, how, subject, details } = self;
        let event = Event::new(kind, who, how).about(subject);
        details.into_iter().fold(event, |event, (key, value)| event.with(&key, value))
    }
}

/// Cuts a text to so many bytes, with a mark at its end.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - CUT.len()));
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_come_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.word()), Some(kind));
        }
        assert_eq!(Kind::from_word("ACCEPT"), None);
    }

    #[test]
    fn long_texts_are_cut_where_a_character_ends() {
        let event = Event::new(Kind::Deny, "ü".repeat(200), "x")
            .about("y".repeat(MAX_SUBJECT))
            .with("k", "z".repeat(9_999));
        assert!(event.who.ends_with("ü…") && event.who.len() <= MAX_WHO);
        assert_eq!(event.subject.len(), MAX_SUBJECT, "what fits stays");
        assert_eq!(event.details["k"].len(), MAX_DETAIL);
    }

    #[test]
    fn there_is_room_for_so_many_details() {
        let event = (0..99).fold(Event::new(Kind::Job, "a", "b"), |e, n| e.with(&n.to_string(), n));
        assert_eq!(event.details.len(), MAX_DETAILS);
        assert_eq!(event.with("1", "new").details["1"], "new");
    }

    proptest! {
        #[test]
        fn bounds_hold_and_are_kept(who in ".{0,300}", subject in ".{0,600}", values in prop::collection::btree_map(".{0,70}", ".{0,40}", 0..30)) {
            let event = Event { who, subject, details: values, ..Event::new(Kind::Deny, "", "") }.within_bounds();
            prop_assert!(event.who.len() <= MAX_WHO && event.subject.len() <= MAX_SUBJECT);
            prop_assert!(event.details.len() <= MAX_DETAILS && event.details.keys().all(|key| key.len() <= MAX_DETAIL_KEY));
            prop_assert_eq!(event.clone().within_bounds(), event);
        }
    }
}
