//! Who may do what: the rules of `policy.yaml`, and the one function that decides by them.
//!
//! [`Caller`] is who asks, as the edge has established it; [`Request`] is what is asked, as a decoded type and never a path
//! or a text of the wire. Whoever stands behind an entry (a call, a schedule, an approval) makes the same [`Request`] of the same thing, so
//! the same caller is answered the same everywhere.
//!
//! How somebody proves who he is is not decided here; neither is what the answer looks like on the wire.

mod arguments;
mod caller;
mod decide;
mod decision;
mod explain;
mod pattern;
mod policy;
mod read;
mod said;
mod verb;

pub use caller::{Caller, CallerError, How, MAX_GROUP_BYTES, MAX_GROUPS, MAX_NAME_BYTES};
pub use decide::{Facts, could_run, decide, decide_verb};
pub use decision::{Basis, Decision, Denial, MINIONS_SHOWN, Named, Why};
pub use explain::{Considered, Says};
pub use policy::{
    Approval, DEFAULT_APPROVAL_LIFE, MAX_POLICY_GROUPS, MAX_POLICY_REGEXES, MAX_RULES, Policy, VERSION,
};
pub use verb::{Area, Verb};

/// What somebody asks for, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Request<'a> {
    /// To run a function on minions: at once, as a plan, in a batch, by a schedule, again. All of these are this one.
    Job(Work<'a>),
    /// Anything else: a verb. `own`: what it is about (a job, a schedule) is the caller's.
    Do {
        /// What.
        verb: Verb,
        /// Whether what it is about was made by the caller.
        own: bool,
    },
}

impl From<Verb> for Request<'_> {
    fn from(verb: Verb) -> Self {
        Request::Do { verb, own: false }
    }
}

/// What a job does: what rules look at besides its targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Work<'a> {
    /// The function, as `cmd.run`.
    pub function: &'a str,
    /// Its arguments by position.
    pub args: &'a [serde_json::Value],
    /// Its arguments by name.
    pub kwargs: &'a serde_json::Map<String, serde_json::Value>,
}

#[cfg(test)]
mod tests;
