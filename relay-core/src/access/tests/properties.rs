//! What holds for every policy and every request: against an evaluator that looks at one minion at a time and has no sets.

use proptest::prelude::*;

use super::*;

const FUNCTIONS: [&str; 3] = ["a.x", "a.y", "b.x"];
const PATTERNS: [&str; 5] = ["*", "a.*", "a.x", "*.x", "a.(x|y)"];
const TARGETS: [&str; 7] = ["", "region:aws", "region:gcp", "aws-1", "*-[12]", "N@web", "not L@gcp-3"];
const JOBS: [&str; 6] = ["*", "region:aws", "gcp-*", "L@aws-1,gcp-1", "*-3", "nobody"];
const WHO: [&str; 4] = ["alice", "bob", "ops%", "*"];

/// A rule as its parts: whom, target, pattern.
type Plain = (usize, usize, usize);

fn callers() -> [Caller; 3] {
    [alice(), caller("bob", &["ops"], How::Pam), caller("carol", &["ops", "x"], How::Ldap)]
}

fn is_for(rule: &Plain, caller: &Caller) -> bool {
    match WHO[rule.0] {
        "*" => true,
        who => who.strip_suffix('%').map_or(who == caller.name(), |group| caller.is_in(group)),
    }
}

fn is_about(rule: &Plain, function: &str) -> bool {
    match PATTERNS[rule.2] {
        "*" => true,
        "a.*" | "a.(x|y)" => function.starts_with("a."),
        "*.x" => function.ends_with(".x"),
        name => name == function,
    }
}

fn has(target: usize, id: &str) -> bool {
    match TARGETS[target] {
        "" => true,
        "region:aws" => id.starts_with("aws"),
        "region:gcp" => id.starts_with("gcp"),
        "aws-1" => id == "aws-1",
        "*-[12]" => !id.ends_with('3'),
        "N@web" => id == "aws-1" || id == "gcp-1",
        _ => id != "gcp-3",
    }
}

/// Allowed, as one would say it: of each minion, some rule allows it and none denies it; and there is one.
fn plainly(allow: &[Plain], deny: &[Plain], caller: &Caller, function: &str, ids: &[String]) -> bool {
    let any = |rules: &[Plain], id: &str| {
        rules.iter().any(|r| is_for(r, caller) && is_about(r, function) && has(r.1, id))
    };
    !ids.is_empty() && ids.iter().all(|id| any(allow, id) && !any(deny, id))
}

fn section(rules: &[Plain]) -> Value {
    let mut users: Map<String, Value> = Map::new();
    for (who, target, pattern) in rules {
        let rule = match TARGETS[*target] {
            "" => json!(PATTERNS[*pattern]),
            target => json!({target: [PATTERNS[*pattern]]}),
        };
        let list = users.entry(WHO[*who]).or_insert_with(|| json!([]));
        list.as_array_mut().unwrap().push(rule);
    }
    json!({"any": users})
}

fn made(allow: &[Plain], deny: &[Plain]) -> Policy {
    policy(json!({"version": 1, "allow": section(allow), "deny": section(deny)}))
}

fn rules() -> impl Strategy<Value = Vec<Plain>> {
    proptest::collection::vec((0..WHO.len(), 0..TARGETS.len(), 0..PATTERNS.len()), 0..6)
}

fn ids(asked: &Asked, target: &str) -> Vec<String> {
    let inventory = &asked.inventory;
    asked.targets(target).iter().map(|no| inventory.get(no).unwrap().id.to_string()).collect()
}

proptest! {
    #[test]
    fn decides_as_one_would_say_it(allow in rules(), deny in rules(), who in 0usize..3, job in 0..JOBS.len(), f in 0..FUNCTIONS.len()) {
        let p = made(&allow, &deny);
        let asked = Asked::of(&p);
        let (caller, function) = (&callers()[who], FUNCTIONS[f]);
        let decision = asked.run(caller, JOBS[job], function);
        // Without targets, a rule that denies some of them has nothing to deny; the refusal is the same.
        prop_assert_eq!(decision.is_allowed(), plainly(&allow, &deny, caller, function, &ids(&asked, JOBS[job])), "{:?}", decision);
    }

    #[test]
    fn more_rights_never_refuse_and_more_denials_never_allow(
        allow in rules(), deny in rules(), more in rules(), who in 0usize..3, job in 0..JOBS.len(), f in 0..FUNCTIONS.len(),
    ) {
        let (caller, function) = (&callers()[who], FUNCTIONS[f]);
        let run = |p: &Policy| Asked::of(p).run(caller, JOBS[job], function).is_allowed();
        let now = run(&made(&allow, &deny));
        let wider: Vec<Plain> = allow.iter().chain(&more).copied().collect();
        prop_assert!(!now || run(&made(&wider, &deny)));
        let harder: Vec<Plain> = deny.iter().chain(&more).copied().collect();
        prop_assert!(now || !run(&made(&allow, &harder)));
    }

    #[test]
    fn fewer_targets_of_an_allowed_job_are_allowed(allow in rules(), deny in rules(), who in 0usize..3, f in 0..FUNCTIONS.len(), keep in 1u8..64) {
        let p = made(&allow, &deny);
        let asked = Asked::of(&p);
        let caller = &callers()[who];
        let all = asked.targets("*");
        let fewer: Members = all.iter().enumerate().filter(|(i, _)| keep >> i & 1 == 1).map(|(_, no)| no).collect();
        let request = Request::Job(Work { function: FUNCTIONS[f], args: &[], kwargs: &Map::new() });
        let on = |targets: &Members| {
            let facts = Facts { inventory: &asked.inventory, groups: &asked.groups, targets };
            decide(&p, caller, &request, &facts).is_allowed()
        };
        prop_assert!(!on(&all) || on(&fewer));
    }

    #[test]
    fn a_refusal_before_the_targets_are_known_stays_one(allow in rules(), deny in rules(), who in 0usize..3, job in 0..JOBS.len(), f in 0..FUNCTIONS.len()) {
        let p = made(&allow, &deny);
        let asked = Asked::of(&p);
        let (caller, function) = (&callers()[who], FUNCTIONS[f]);
        let early = could_run(&p, caller, &Work { function, args: &[], kwargs: &Map::new() });
        prop_assert!(early.is_ok() || !asked.run(caller, JOBS[job], function).is_allowed());
    }
}
