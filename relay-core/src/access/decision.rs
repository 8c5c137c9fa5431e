//! What comes of a request: allowed, allowed by two, or refused; and in words, with the rule that decides.

use std::fmt::Write as _;

use super::{Caller, Request};
use crate::{compact::compact, document::Position, ids::MinionId, topology::Share};

/// Most minions that a refusal names; it says how many there are.
pub const MINIONS_SHOWN: usize = 20;
/// Most rules that a decision names.
const RULES_SHOWN: usize = 5;

/// What a policy says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is allowed.
    Allow(Basis),
    /// It is allowed if a second person, who may do the same, agrees.
    NeedsApproval(Basis, Why),
    /// It is refused.
    Deny(Denial),
}

/// What allows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// These rules, in the order of the file; for a job, those that together have all of its targets.
    Rules(Vec<Position>),
    /// It concerns only what the caller made himself, and no rule denies it.
    Own,
}

/// Why a second person is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Here it is called dangerous.
    Dangerous(Position),
    /// It is wider than one person may go alone.
    Wide {
        /// Its targets.
        targets: u64,
        /// All minions.
        fleet: u64,
        /// What one may do alone.
        limit: Share,
    },
}

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// A rule denies it: everywhere, or for these of its targets.
    Rule(Position, Option<Named>),
    /// No rule allows it.
    NoRule,
    /// Rules allow the function, with other arguments.
    Arguments(Vec<Position>),
    /// Rules allow it, but not on these of its targets.
    NotCovered {
        /// The rules that allow it elsewhere.
        rules: Vec<Position>,
        /// The targets that none of them has.
        left: Named,
        /// Of how many.
        targets: u64,
        /// Rules that count for nobody now, and why.
        void: Vec<(Position, String)>,
    },
    /// It has no targets: nothing is no part of what is allowed (CVE-2022-22941).
    Empty,
}

/// Some minions by name, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// At most [`MINIONS_SHOWN`], by number.
    pub named: Vec<MinionId>,
    /// All.
    pub count: u64,
}

impl Named {
    fn text(&self) -> String {
        let names = compact(self.named.iter().map(MinionId::as_str));
        match self.count > self.named.len() as u64 {
            true => format!("{names}, … ({} in all)", self.count),
            false => names,
        }
    }
}

impl Decision {
    /// Whether nothing more is needed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allow(_))
    }

    /// In one word, for the audit.
    pub fn word(&self) -> &'static str {
        match self {
            Decision::Allow(_) => "allow",
            Decision::NeedsApproval(..) => "needs_approval",
            Decision::Deny(_) => "deny",
        }
    }

    /// The rules that decide, as `file:line`; empty if it is that there are none.
    pub fn rules(&self, file: &str) -> String {
        match self {
            Decision::Allow(Basis::Rules(rules)) | Decision::NeedsApproval(Basis::Rules(rules), _) => {
                places(rules, file)
            }
            Decision::Allow(Basis::Own) | Decision::NeedsApproval(Basis::Own, _) => String::new(),
            Decision::Deny(Denial::Rule(at, _)) => places(&[*at], file),
            Decision::Deny(Denial::Arguments(rules) | Denial::NotCovered { rules, .. }) => {
                places(rules, file)
            }
            Decision::Deny(Denial::NoRule | Denial::Empty) => String::new(),
        }
    }

    /// In words, for whoever asked: what, why, by which rule, and what to do.
    pub fn told(&self, caller: &Caller, request: &Request, file: &str) -> String {
        let act = act(request);
        match self {
            Decision::Allow(Basis::Own) => {
                format!("{caller} may {act}: it concerns only what is {caller}'s own")
            }
            Decision::Allow(_) => format!("{caller} may {act}: {} allows it", self.rules(file)),
            Decision::NeedsApproval(_, why) => {
                format!("{caller} may {act} if a second person agrees: {}", why.text(file))
            }
            Decision::Deny(denial) => denial.told(caller, &act, file),
        }
    }
}

impl Why {
    /// In words.
    pub fn text(&self, file: &str) -> String {
        match self {
            Why::Dangerous(at) => format!("{} calls it dangerous", places(&[*at], file)),
            Why::Wide { targets, fleet, limit } => {
                format!(
                    "{targets} of {fleet} minions are more than the {limit} that one person may reach alone"
                )
            }
        }
    }
}

impl Denial {
    fn told(&self, caller: &Caller, act: &str, file: &str) -> String {
        match self {
            Denial::Rule(at, None) => format!("{caller} may not {act}: {} denies it", places(&[*at], file)),
            Denial::Rule(at, Some(minions)) => {
                let rule = places(&[*at], file);
                format!("{caller} may not {act}: {rule} denies it on {}; leave these out", minions.text())
            }
            Denial::NoRule => {
                format!(
                    "{caller} may not {act}: no rule of {file} allows it; relayctl policy explain says more"
                )
            }
            Denial::Arguments(rules) => {
                format!(
                    "{caller} may not {act} with these arguments: {} describes others",
                    places(rules, file)
                )
            }
            Denial::NotCovered { rules, left, targets, void } => {
                let mut text = format!(
                    "{caller} may not {act} on {} of its {targets} targets: {}",
                    left.count,
                    left.text()
                );
                if !rules.is_empty() {
                    let _ = write!(text, "; {} allows it elsewhere only", places(rules, file));
                }
                for (at, why) in void.iter().take(RULES_SHOWN) {
                    let _ = write!(text, "; {} counts for nobody: {why}", places(&[*at], file));
                }
                text
            }
            Denial::Empty => {
                format!("{caller} may not {act}: it has no targets, and nothing is not everything")
            }
        }
    }
}

fn act(request: &Request) -> String {
    match request {
        Request::Job(work) => format!("run {}", work.function),
        Request::Do { verb, .. } => format!("ask for {verb}"),
    }
}

fn places(rules: &[Position], file: &str) -> String {
    let shown: Vec<String> = rules.iter().take(RULES_SHOWN).map(|at| format!("{file}:{}", at.line)).collect();
    let more = rules.len().saturating_sub(RULES_SHOWN);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
