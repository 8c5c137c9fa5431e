//! The one function that decides.
//!
//! Nothing is allowed that no rule allows; a rule that denies wins over all that allow; a job without targets is refused. A job's
//! frozen targets have to be in what its rules allow together, and what a rule that denies touches may not be among them.

use std::sync::Arc;

use super::{
    Area, Basis, Caller, Decision, Denial, Named, Policy, Request, Verb, Why, Work,
    decision::MINIONS_SHOWN,
    policy::{Rule, What},
    said,
};
use crate::{
    Members,
    document::Position,
    inventory::Inventory,
    target::{NodeGroups, Target},
    topology::Share,
};

/// What has to be known of the fleet to decide about a job.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Every minion.
    pub inventory: &'a Inventory,
    /// What `N@` stands for in rules.
    pub groups: &'a NodeGroups,
    /// The job's targets, as they are frozen.
    pub targets: &'a Members,
}

/// Decides about a request. For a verb the facts do not matter.
pub fn decide(policy: &Policy, caller: &Caller, request: &Request, facts: &Facts) -> Decision {
    match request {
        Request::Do { verb, own } => decide_verb(policy, caller, *verb, *own),
        Request::Job(work) => decide_job(policy, caller, work, facts),
    }
}

/// Decides about what is no job.
pub fn decide_verb(policy: &Policy, caller: &Caller, verb: Verb, own: bool) -> Decision {
    if verb.area() == Area::Own {
        return Decision::Allow(Basis::Own);
    }
    if let Some(rule) = policy.about_verb(&policy.deny, caller, verb).next() {
        return Decision::Deny(Denial::Rule(rule.at, None));
    }
    let known = || policy.allow.iter().any(|rule| policy.is_for(rule, caller));
    match policy.about_verb(&policy.allow, caller, verb).next() {
        Some(rule) => Decision::Allow(Basis::Rules(vec![rule.at])),
        None if own && verb.for_own() && known() => Decision::Allow(Basis::Own),
        None => Decision::Deny(Denial::NoRule),
    }
}

/// What can be said of a job before its targets are known: whether there are targets for which it could be allowed.
///
/// # Errors
/// Why not, whatever its targets are.
pub fn could_run(policy: &Policy, caller: &Caller, work: &Work) -> Result<(), Denial> {
    let everywhere = denying(policy, caller, work).find(|(_, target)| target.is_none());
    if let Some((rule, _)) = everywhere {
        return Err(Denial::Rule(rule.at, None));
    }
    let (fits, others) = allowing(policy, caller, work);
    match (fits.is_empty(), others.is_empty()) {
        (false, _) => Ok(()),
        (true, true) => Err(Denial::NoRule),
        (true, false) => Err(Denial::Arguments(others)),
    }
}

fn decide_job(policy: &Policy, caller: &Caller, work: &Work, facts: &Facts) -> Decision {
    if let Err(denial) = could_run(policy, caller, work) {
        return Decision::Deny(denial);
    }
    for (rule, target) in denying(policy, caller, work) {
        let hit = target.map_or_else(|| facts.targets.clone(), |target| facts.denied(target));
        if !hit.is_empty() {
            return Decision::Deny(Denial::Rule(rule.at, Some(facts.named(&hit))));
        }
    }
    if facts.targets.is_empty() {
        return Decision::Deny(Denial::Empty);
    }
    let covered = cover(&allowing(policy, caller, work).0, facts);
    if !covered.left.is_empty() {
        return Decision::Deny(Denial::NotCovered {
            rules: covered.rules,
            left: facts.named(&covered.left),
            targets: facts.targets.len(),
            void: covered.void,
        });
    }
    let basis = Basis::Rules(covered.rules);
    match why_two(policy, work, facts) {
        Some(why) => Decision::NeedsApproval(basis, why),
        None => Decision::Allow(basis),
    }
}

/// The rules that deny a function with its arguments, each with its target.
fn denying<'a>(
    policy: &'a Policy,
    caller: &'a Caller,
    work: &'a Work,
) -> impl Iterator<Item = (&'a Rule, Option<&'a Target>)> {
    let about = |rule: &'a Rule| match &rule.what {
        What::Denied(target, call) if call.finds(work) => Some((rule, target.as_deref())),
        _ => None,
    };
    policy.deny.iter().filter(|rule| policy.is_for(rule, caller)).filter_map(about)
}

type Allowing<'a> = (Position, Option<&'a Arc<Target>>);

/// The rules that allow a function with its arguments; and the places of those that allow it with others.
fn allowing<'a>(policy: &'a Policy, caller: &Caller, work: &Work) -> (Vec<Allowing<'a>>, Vec<Position>) {
    let (mut fits, mut others) = (Vec::new(), Vec::new());
    for rule in policy.allow.iter().filter(|rule| policy.is_for(rule, caller)) {
        match &rule.what {
            What::Allowed(target, call) if call.admits(work) => fits.push((rule.at, target.as_ref())),
            What::Allowed(_, call) if call.function.matches(work.function) => others.push(rule.at),
            _ => {}
        }
    }
    (fits, others)
}

/// What rules have of a job's targets.
struct Covered {
    /// Those that have some that none before them has.
    rules: Vec<Position>,
    left: Members,
    void: Vec<(Position, String)>,
}

fn cover(rules: &[Allowing], facts: &Facts) -> Covered {
    let mut covered = Covered { rules: Vec::new(), left: facts.targets.clone(), void: Vec::new() };
    let mut seen: Vec<&Arc<Target>> = Vec::new();
    // Who is allowed everywhere needs no evaluation.
    if let Some((at, _)) = rules.iter().find(|(_, target)| target.is_none()) {
        return Covered { rules: vec![*at], left: Members::new(), void: Vec::new() };
    }
    for (at, target) in rules {
        let Some(target) = target.filter(|_| !covered.left.is_empty()) else { continue };
        if seen.iter().any(|known| Arc::ptr_eq(known, target)) {
            continue;
        }
        seen.push(target);
        match facts.allowed(target, &covered.left) {
            Ok(has) if has.is_empty() => {}
            Ok(has) => {
                covered.left -= has;
                covered.rules.push(*at);
            }
            Err(why) => covered.void.push((*at, why)),
        }
    }
    covered
}

impl Facts<'_> {
    /// Those of `within` that the target of a rule that allows has. A target that has come to rest on what minions say of themselves
    /// (through a node group) counts for nobody.
    pub(super) fn allowed(&self, target: &Target, within: &Members) -> Result<Members, String> {
        let expanded = self.groups.expand(target).map_err(|e| e.found)?;
        match said::rests_on_said(expanded.expr()) {
            true => Err(format!("{target} rests on what minions say of themselves")),
            false => Ok(self.inventory.evaluate_within(&expanded, within)),
        }
    }

    /// Those of the job's targets that a rule denies. What can't be known is denied: all of them, if a node group is gone; and
    /// where a group rests on what minions say, whoever could say so.
    pub(super) fn denied(&self, target: &Target) -> Members {
        match self.groups.expand(target) {
            Ok(expanded) => {
                let most = expanded.with_expr(said::bound(expanded.expr(), true));
                self.inventory.evaluate_within(&most, self.targets)
            }
            Err(_) => self.targets.clone(),
        }
    }

    fn named(&self, members: &Members) -> Named {
        let named = members.iter().filter_map(|no| self.inventory.get(no)).take(MINIONS_SHOWN);
        Named { named: named.map(|minion| minion.id.clone()).collect(), count: members.len() }
    }
}

fn why_two(policy: &Policy, work: &Work, facts: &Facts) -> Option<Why> {
    if let Some(call) = policy.dangerous.iter().find(|call| call.finds(work)) {
        return Some(Why::Dangerous(call.at));
    }
    let limit = policy.approval.wider_than?;
    let (targets, fleet) = (facts.targets.len(), facts.inventory.all().len());
    let wide = match limit {
        Share::Count(most) => targets > u64::from(most),
        Share::Percent(most) => targets.saturating_mul(100) > fleet.saturating_mul(u64::from(most)),
    };
    wide.then_some(Why::Wide { targets, fleet, limit })
}
