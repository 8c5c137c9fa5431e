//! Rule by rule, what a policy has to say to a request: for people who ask why.

use super::{
    Caller, Facts, Policy, Verb, Work,
    policy::{Rule, What},
};
use crate::{document::Position, target::Target};

/// A rule that is for somebody, and what it says to his request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// Where it stands.
    pub at: Position,
    /// Whether it denies.
    pub denies: bool,
    /// Its target as written; nothing: any minion.
    pub target: Option<String>,
    /// What it says.
    pub says: Says,
}

/// What a rule says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// It is about something else.
    Nothing,
    /// It is about this function, with other arguments.
    OtherArguments,
    /// It holds; of a job, for so many of its targets, if they are known.
    Holds(Option<u64>),
    /// It counts for nobody now, and why.
    Void(String),
}

impl Policy {
    /// What every rule for somebody says to a job: those that deny first, each in the order of the file.
    pub fn considered(&self, caller: &Caller, work: &Work, facts: Option<&Facts>) -> Vec<Considered> {
        let says = |rule: &Rule| match &rule.what {
            What::Verbs(..) => None,
            What::Allowed(target, call) => {
                let target = target.as_deref();
                let holds = || match (facts, target) {
                    (None, _) => Says::Holds(None),
                    (Some(facts), None) => Says::Holds(Some(facts.targets.len())),
                    (Some(facts), Some(target)) => match facts.allowed(target, facts.targets) {
                        Ok(has) => Says::Holds(Some(has.len())),
                        Err(why) => Says::Void(why),
                    },
                };
                let says = said(call.function.matches(work.function), call.admits(work), holds);
                Some((target.map(Target::to_string), says))
            }
            What::Denied(target, call) => {
                let target = target.as_deref();
                let holds = || {
                    let of = |facts: &Facts| target.map_or(facts.targets.len(), |t| facts.denied(t).len());
                    Says::Holds(facts.map(of))
                };
                let says = said(call.function.matches(work.function), call.finds(work), holds);
                Some((target.map(Target::to_string), says))
            }
        };
        self.each(caller, says)
    }

    /// The same to what is no job.
    pub fn considered_verb(&self, caller: &Caller, verb: Verb) -> Vec<Considered> {
        self.each(caller, |rule| match &rule.what {
            What::Verbs(area, words) => {
                let holds = *area == verb.area() && words.iter().any(|word| word.matches(verb.word()));
                Some((None, if holds { Says::Holds(None) } else { Says::Nothing }))
            }
            _ => None,
        })
    }

    fn each(
        &self,
        caller: &Caller,
        says: impl Fn(&Rule) -> Option<(Option<String>, Says)>,
    ) -> Vec<Considered> {
        let of = |rules: &[Rule], denies: bool| {
            let own = rules.iter().filter(|rule| self.is_for(rule, caller));
            let considered = |rule: &Rule| {
                says(rule).map(|(target, says)| Considered { at: rule.at, denies, target, says })
            };
            own.filter_map(considered).collect::<Vec<_>>()
        };
        [of(&self.deny, true), of(&self.allow, false)].concat()
    }
}

fn said(function: bool, arguments: bool, holds: impl FnOnce() -> Says) -> Says {
    match (function, arguments) {
        (false, _) => Says::Nothing,
        (true, false) => Says::OtherArguments,
        (true, true) => holds(),
    }
}
