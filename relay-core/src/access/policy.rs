//! A checked policy: rules with the places they stand at.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Area, Caller, How, Verb, Work,
    arguments::{Hints, Schema},
    pattern::Pattern,
};
use crate::{
    document::{Node, Position, Problem, Sink},
    target::Target,
    time::Millis,
    topology::Share,
};

/// The version of the file format this build reads.
pub const VERSION: u64 = 1;
/// Most rules of a policy: each is looked at for each request.
pub const MAX_RULES: usize = 4_096;
/// Most regular expressions of a policy: each takes up to [`crate::target::MAX_REGEX_SIZE`].
pub const MAX_POLICY_REGEXES: usize = 256;
/// Most groups that a policy makes.
pub const MAX_POLICY_GROUPS: usize = 1_000;
/// How long a job waits for a second person if the policy does not say: half a working day.
pub const DEFAULT_APPROVAL_LIFE: Millis = 4 * 60 * 60 * 1_000;

/// Who may do what, checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Groups that the policy makes, besides those that a login says.
    pub(super) groups: BTreeMap<String, Vec<Member>>,
    pub(super) allow: Vec<Rule>,
    pub(super) deny: Vec<Rule>,
    pub(super) dangerous: Vec<Call<Hints>>,
    pub(super) approval: Approval,
    /// What works and should be known.
    pub warnings: Vec<Problem>,
}

/// Which jobs need a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// Those with more targets than this, or with more than this part of all minions.
    pub wider_than: Option<Share>,
    /// How long they wait for one.
    pub life: Millis,
}

impl Default for Approval {
    fn default() -> Self {
        Approval { wider_than: None, life: DEFAULT_APPROVAL_LIFE }
    }
}

/// A member of a group that the policy makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// How he has to have come. Nothing: in any way.
    pub how: Option<How>,
    pub name: String,
}

/// One rule, for one function pattern or one area.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// Where it stands.
    pub at: Position,
    /// How callers have to have come. Nothing: in any way.
    pub how: Option<How>,
    pub whom: Whom,
    pub what: What,
}

/// Whom a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whom {
    /// Everybody who is logged in.
    Anybody,
    User(String),
    Group(String),
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// Verbs of an area.
    Verbs(Area, Vec<Pattern>),
    /// Jobs. No target: on any minion. Rules under one target share it.
    Allowed(Option<Arc<Target>>, Call<Schema>),
    /// The same in a rule that denies.
    Denied(Option<Arc<Target>>, Call<Hints>),
}

/// Functions, and what is said of their arguments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call<A> {
    /// Where it stands.
    pub at: Position,
    pub function: Pattern,
    /// Nothing: any arguments.
    pub arguments: Option<A>,
}

impl Call<Schema> {
    pub fn admits(&self, work: &Work) -> bool {
        self.function.matches(work.function) && self.arguments.as_ref().is_none_or(|a| a.admits(work))
    }
}

impl Call<Hints> {
    pub fn finds(&self, work: &Work) -> bool {
        self.function.matches(work.function) && self.arguments.as_ref().is_none_or(|a| a.found_in(work))
    }
}

impl Policy {
    /// Reads and checks a document. All problems come back at once, in the order of the file.
    ///
    /// # Errors
    /// Every problem, with warnings among them.
    pub fn check(root: &Node) -> Result<Policy, Vec<Problem>> {
        let sink = Sink::default();
        let policy = super::read::document(root, &sink);
        let (mut policy, warnings) = sink.conclude(policy)?;
        policy.warnings = warnings;
        if policy.allow.is_empty() {
            let hint = "everything is refused; add rules under \"allow\"";
            policy.warnings.push(Problem::warning(root.at, "this policy allows nobody anything", hint));
        }
        Ok(policy)
    }

    /// Which jobs need a second person.
    pub fn approval(&self) -> Approval {
        self.approval
    }

    /// The names and groups that its rules and groups name, sorted, each once; a group ends with `%`.
    pub fn named(&self) -> Vec<String> {
        let rules = self.allow.iter().chain(&self.deny).filter_map(|rule| match &rule.whom {
            Whom::Anybody => None,
            Whom::User(name) => Some(name.clone()),
            Whom::Group(name) => Some(format!("{name}%")),
        });
        let members = self.groups.values().flatten().map(|member| member.name.clone());
        let mut named: Vec<String> = rules.chain(members).collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    /// How many rules it has: those that allow, and those that deny.
    pub fn rules(&self) -> (usize, usize) {
        (self.allow.len(), self.deny.len())
    }

    pub(super) fn is_for(&self, rule: &Rule, caller: &Caller) -> bool {
        let came = rule.how.is_none_or(|how| how == caller.how());
        came && match &rule.whom {
            Whom::Anybody => true,
            Whom::User(name) => name == caller.name(),
            Whom::Group(group) => caller.is_in(group) || self.makes_member(group, caller),
        }
    }

    fn makes_member(&self, group: &str, caller: &Caller) -> bool {
        let is = |m: &Member| m.name == caller.name() && m.how.is_none_or(|how| how == caller.how());
        self.groups.get(group).is_some_and(|members| members.iter().any(is))
    }

    /// The rules for somebody about a verb: those that allow it, then those that deny it.
    pub(super) fn about_verb<'a>(
        &'a self,
        rules: &'a [Rule],
        caller: &'a Caller,
        verb: Verb,
    ) -> impl Iterator<Item = &'a Rule> {
        let about = move |rule: &&Rule| match &rule.what {
            What::Verbs(area, words) => *area == verb.area() && words.iter().any(|w| w.matches(verb.word())),
            _ => false,
        };
        rules.iter().filter(move |rule| self.is_for(rule, caller)).filter(about)
    }
}
