//! Policies as documents, and what they decide. Documents are made from JSON; the line of a value is its number in the
//! order of the document (real positions are tested with the YAML parser, in relay-runtime).

mod properties;

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    Members,
    document::{At, Kind, Node, Position, Problem},
    ids::Incarnation,
    inventory::Inventory,
    target::{NodeGroups, Target},
};

fn node(value: &Value, line: &mut u32) -> Node {
    *line += 1;
    let at = Position { line: *line, column: 1 };
    let scalar = |text: String, quoted| Kind::Scalar { text, quoted };
    let kind = match value {
        Value::Null => scalar(String::new(), false),
        Value::String(s) => scalar(s.clone(), true),
        Value::Array(a) => Kind::List(a.iter().map(|v| node(v, line)).collect()),
        Value::Object(o) => {
            Kind::Map(o.iter().map(|(k, v)| (At { value: k.clone(), at }, node(v, line))).collect())
        }
        other => scalar(other.to_string(), false),
    };
    Node { at, kind }
}

fn check(value: &Value) -> Result<Policy, Vec<Problem>> {
    Policy::check(&node(value, &mut 0))
}

fn policy(value: Value) -> Policy {
    check(&value).unwrap_or_else(|problems| panic!("{value}: {problems:#?}"))
}

fn caller(name: &str, groups: &[&str], how: How) -> Caller {
    Caller::new(name, groups.iter().map(|g| g.to_string()), how).unwrap()
}

fn alice() -> Caller {
    caller("alice", &[], How::Certificate)
}

/// Two regions of three minions each: `aws-1` to `aws-3` and `gcp-1` to `gcp-3`; the first of each says that it is in production.
fn fleet() -> Inventory {
    let mut inventory = Inventory::new();
    for (region, n) in ["aws", "gcp"].into_iter().flat_map(|region| (1..=3).map(move |n| (region, n))) {
        let grains = if n == 1 { r#"{"env":"prod"}"# } else { r#"{"env":"test"}"# };
        let id = format!("{region}-{n}").parse().unwrap();
        let syndic = format!("s-{region}").parse().unwrap();
        let (region, incarnation) = (region.parse().unwrap(), Incarnation(1));
        inventory.upsert(&id, &region, &syndic, incarnation, Some(grains), true, 0);
    }
    inventory
}

fn groups(definitions: &[(&str, &str)]) -> NodeGroups {
    let definitions = definitions.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    NodeGroups::new(&definitions).unwrap()
}

struct Asked<'a> {
    policy: &'a Policy,
    groups: NodeGroups,
    inventory: Inventory,
}

impl Asked<'_> {
    fn of(policy: &Policy) -> Asked<'_> {
        Asked {
            policy,
            groups: groups(&[("web", "L@aws-1,gcp-1"), ("prod", "G@env:prod")]),
            inventory: fleet(),
        }
    }

    fn targets(&self, target: &str) -> Members {
        self.inventory.evaluate(&self.groups.expand(&Target::parse(target).unwrap()).unwrap())
    }

    fn with(&self, caller: &Caller, target: &str, function: &str, args: Value, kwargs: Value) -> Decision {
        let (Value::Array(args), Value::Object(kwargs)) = (args, kwargs) else { panic!("no arguments") };
        let request = Request::Job(Work { function, args: &args, kwargs: &kwargs });
        let targets = self.targets(target);
        let facts = Facts { inventory: &self.inventory, groups: &self.groups, targets: &targets };
        decide(self.policy, caller, &request, &facts)
    }

    fn run(&self, caller: &Caller, target: &str, function: &str) -> Decision {
        self.with(caller, target, function, json!([]), json!({}))
    }

    fn told(&self, caller: &Caller, target: &str, function: &str) -> String {
        let request = Request::Job(Work { function, args: &[], kwargs: &Map::new() });
        self.run(caller, target, function).told(caller, &request, "policy.yaml")
    }
}

fn allows(value: Value) -> Policy {
    policy(json!({"version": 1, "allow": {"any": {"alice": value}}}))
}

#[test]
fn nothing_is_allowed_that_no_rule_allows() {
    let empty = policy(json!({"version": 1}));
    assert_eq!(empty.warnings.len(), 1);
    let asked = Asked::of(&empty);
    assert_eq!(asked.run(&alice(), "*", "test.ping"), Decision::Deny(Denial::NoRule));
    for verb in Verb::ALL.into_iter().filter(|verb| verb.area() != Area::Own) {
        for own in [true, false] {
            assert_eq!(decide_verb(&empty, &alice(), verb, own), Decision::Deny(Denial::NoRule), "{verb}");
        }
    }
    assert!(decide_verb(&empty, &alice(), Verb::WhoAmI, false).is_allowed());
}

#[test]
fn a_rule_holds_for_whom_it_names_and_how_he_came() {
    let p = policy(json!({
        "version": 1,
        "groups": {"oncall": ["carol", "pam:dave"]},
        "allow": {
            "certificate": {"alice": ["a.*"]},
            "pam": {"admins%": ["b.*"]},
            "any": {"oncall%": ["c.*"], "*": ["d.*"]},
        },
    }));
    let asked = Asked::of(&p);
    for (caller, function, yes) in [
        (alice(), "a.x", true),
        (caller("alice", &[], How::Pam), "a.x", false),
        (caller("Alice", &[], How::Certificate), "a.x", false),
        (caller("bob", &["admins"], How::Pam), "b.x", true),
        (caller("bob", &["admins"], How::Ldap), "b.x", false),
        (caller("admins", &[], How::Pam), "b.x", false),
        (caller("carol", &[], How::File), "c.x", true),
        (caller("dave", &[], How::Pam), "c.x", true),
        (caller("dave", &[], How::File), "c.x", false),
        (caller("erin", &["oncall"], How::Ldap), "c.x", true),
        (caller("zoe", &[], How::Token), "d.x", true),
        (caller("zoe", &[], How::Token), "a.x", false),
    ] {
        assert_eq!(asked.run(&caller, "*", function).is_allowed(), yes, "{caller} {function}");
    }
}

#[test]
fn a_jobs_targets_have_to_be_in_what_its_rules_allow_together() {
    let p = allows(json!([
        {"region:aws": ["test.*", "cmd.run"]},
        {"N@web": ["test.*"]},
        {"region:gcp and G@env:prod": ["cmd.run"]},
    ]));
    let asked = Asked::of(&p);
    for (target, function, yes) in [
        ("region:aws", "test.ping", true),
        ("aws-2", "cmd.run", true),
        ("region:aws or gcp-1", "test.ping", true),
        ("*", "test.ping", false),
        ("gcp-2", "test.ping", false),
        ("region:aws or gcp-1", "cmd.run", true),
        ("gcp-2", "cmd.run", false),
        ("region:aws", "state.apply", false),
    ] {
        assert_eq!(asked.run(&alice(), target, function).is_allowed(), yes, "{target} {function}");
    }
    let told = asked.told(&alice(), "*", "test.ping");
    assert!(told.contains("on 2 of its 6 targets: gcp-[2-3]"), "{told}");
    assert!(told.contains("allows it elsewhere only") && told.contains("policy.yaml:"), "{told}");
    assert_eq!(asked.run(&alice(), "nobody*", "test.ping"), Decision::Deny(Denial::Empty));
}

#[test]
fn a_rule_that_denies_wins() {
    let p = policy(json!({
        "version": 1,
        "allow": {"any": {"*": ["*", "@jobs", "@runner"]}},
        "deny": {"any": {
            "alice": [{"region:gcp": ["cmd.*"]}, {"N@gone": ["x.y"]}, {"@jobs": ["jobs.cancel"]}],
            "*": [{"cmd.run": {"args": ["rm -rf"]}}, "@runner"],
        }},
    }));
    let asked = Asked::of(&p);
    assert!(asked.run(&alice(), "region:aws", "cmd.run").is_allowed());
    let told = asked.told(&alice(), "*", "cmd.run");
    assert!(told.contains("denies it on gcp-[1-3]; leave these out"), "{told}");
    assert!(asked.run(&caller("bob", &[], How::Pam), "*", "cmd.run").is_allowed());
    let rm = asked.with(&alice(), "aws-1", "cmd.run", json!([]), json!({"cmd": "true; rm -rf /"}));
    assert!(matches!(rm, Decision::Deny(Denial::Rule(_, None))), "{rm:?}");
    // A node group that is gone denies everywhere: who can't say whom a rule is for does not guess.
    assert!(matches!(asked.run(&alice(), "aws-1", "x.y"), Decision::Deny(Denial::Rule(..))));
    assert!(!decide_verb(&p, &alice(), Verb::JobsCancel, true).is_allowed());
    assert!(decide_verb(&p, &alice(), Verb::JobsList, false).is_allowed());
    assert!(!decide_verb(&p, &alice(), Verb::MinionsList, false).is_allowed());
}

#[test]
fn what_minions_say_of_themselves_allows_nothing() {
    // Refused at load: grains alone.
    let problems =
        check(&json!({"version": 1, "allow": {"any": {"alice": [{"G@env:prod": ["*"]}]}}})).unwrap_err();
    assert!(problems[0].what.contains("rests on G@env:prod"), "{problems:?}");
    let denies = check(&json!({"version": 1, "allow": {"any": {"alice": ["*"]}},
        "deny": {"any": {"alice": [{"region:aws and G@env:prod": ["*"]}]}}}))
    .unwrap_err();
    assert!(denies[0].what.contains("a rule that denies rests on"), "{denies:?}");
    // Through a node group, which the policy can't see: it counts for nobody, and where it denies, for all who could say so.
    let p = policy(json!({"version": 1, "allow": {"any": {"alice": [{"N@prod": ["a.b"]}, "c.d"]}},
        "deny": {"any": {"alice": [{"N@prod and region:aws": ["c.d"]}]}}}));
    let asked = Asked::of(&p);
    let told = asked.told(&alice(), "aws-1", "a.b");
    assert!(told.contains("counts for nobody: N@prod rests on what minions say"), "{told}");
    assert!(!asked.run(&alice(), "aws-2", "c.d").is_allowed());
    assert!(asked.run(&alice(), "gcp-1", "c.d").is_allowed());
}

#[test]
fn arguments_are_as_described() {
    let p = allows(
        json!([{"region:aws": [{"cmd.run": {"args": ["uptime( -p)?"], "optional": {"cwd": "/opt(/.*)?"}}}]}]),
    );
    let asked = Asked::of(&p);
    let run = |args, kwargs| asked.with(&alice(), "aws-1", "cmd.run", args, kwargs);
    assert!(run(json!(["uptime"]), json!({})).is_allowed());
    assert!(run(json!(["uptime -p"]), json!({"cwd": "/opt/x"})).is_allowed());
    for (args, kwargs) in [
        (json!(["uptime; reboot"]), json!({})),
        (json!(["uptime", "x"]), json!({})),
        (json!([]), json!({"cmd": "uptime"})),
        (json!(["uptime"]), json!({"cwd": "/etc"})),
        (json!(["uptime"]), json!({"shell": "/bin/sh"})),
    ] {
        let refused = run(args.clone(), kwargs.clone());
        assert!(matches!(refused, Decision::Deny(Denial::Arguments(_))), "{args} {kwargs}: {refused:?}");
    }
}

#[test]
fn dangerous_and_wide_jobs_need_two() {
    let p = policy(json!({
        "version": 1,
        "allow": {"any": {"alice": ["*"]}},
        "dangerous": ["system.*", {"cmd.run": {"args": ["reboot"]}}],
        "approval": {"wider_than": "50%", "expires_minutes": 5},
    }));
    assert_eq!(p.approval().life, 300_000);
    let asked = Asked::of(&p);
    assert!(asked.run(&alice(), "region:aws", "test.ping").is_allowed(), "3 of 6 are not more than 50%");
    let wide = asked.run(&alice(), "region:aws or gcp-1", "test.ping");
    assert!(matches!(wide, Decision::NeedsApproval(_, Why::Wide { targets: 4, fleet: 6, .. })), "{wide:?}");
    assert!(matches!(
        asked.run(&alice(), "aws-1", "system.halt"),
        Decision::NeedsApproval(_, Why::Dangerous(_))
    ));
    let reboot = asked.with(&alice(), "aws-1", "cmd.run", json!(["sudo reboot"]), json!({}));
    assert!(matches!(reboot, Decision::NeedsApproval(_, Why::Dangerous(_))), "{reboot:?}");
    assert!(asked.with(&alice(), "aws-1", "cmd.run", json!(["uptime"]), json!({})).is_allowed());
    // A refusal stays one.
    assert!(matches!(asked.run(&caller("bob", &[], How::Pam), "*", "system.halt"), Decision::Deny(_)));
}

#[test]
fn what_is_ones_own_needs_some_right_and_no_rule_against_it() {
    let p = policy(json!({"version": 1, "allow": {"any": {"alice": ["test.ping"]}},
        "deny": {"any": {"*": [{"@jobs": ["jobs.continue"]}]}}}));
    assert_eq!(decide_verb(&p, &alice(), Verb::JobsShow, true), Decision::Allow(Basis::Own));
    assert_eq!(decide_verb(&p, &alice(), Verb::JobsShow, false), Decision::Deny(Denial::NoRule));
    assert!(!decide_verb(&p, &alice(), Verb::JobsContinue, true).is_allowed());
    assert!(!decide_verb(&p, &alice(), Verb::TopologyApply, true).is_allowed());
    let bob = caller("bob", &[], How::Pam);
    assert!(!decide_verb(&p, &bob, Verb::JobsShow, true).is_allowed(), "no right at all");
}

#[test]
fn every_mistake_is_told_at_once_with_what_to_write() {
    let bad = json!({
        "version": 1,
        "external_auth": {},
        "alow": {},
        "groups": {"ops": ["a b", "pma:x"]},
        "allow": {
            "certificat": {"alice": ["*"]},
            "any": {
                "al*": ["*"],
                "%": ["*"],
                "bob": ["@job", {"@runner": ["minion.list"]}, {"@runner": ["jobs.list"]}, {"region:": ["*"]}, {"web*": []}],
                "eve": [{"cmd.run": {"arg": ["x"]}}, {"web*": ["@jobs", "a b", "("]}, {"cmd.run": {"args": ["("]}}],
            },
        },
        "dangerous": ["@wheel"],
        "approval": {"wider_than": "0%", "expires_minutes": 0},
    });
    let problems = check(&bad).unwrap_err();
    let lines: Vec<String> = problems.iter().map(|p| format!("{}; {}", p.what, p.hint)).collect();
    for part in [
        "\"external_auth\" is called \"allow\" here",
        "no key \"alow\"; did you mean \"allow\"?",
        "\"a b\" is no name of a caller",
        "\"certificat\" is no way of logging in; did you mean \"certificate\"?",
        "names of users are no patterns",
        "there is no \"@job\"; did you mean '@jobs'?",
        "nothing like \"minion.list\"; did you mean \"minions.list\"?",
        "nothing like \"jobs.list\"; it is in '@jobs'",
        "of the target \"region:\"",
        "\"web*\" has an empty list of functions",
        "no key \"arg\"; did you mean \"args\"?",
        "\"@jobs\" is no function",
        "\"a b\" has a space in it",
        "\"(\": this is no regular expression",
        "\"@wheel\" is no function",
        "\"0%\" is no number of minions",
        "0 is out of range",
    ] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part:?} in {lines:#?}");
    }
}

#[test]
fn a_policy_has_bounds() {
    let many: Vec<String> = (0..=MAX_RULES).map(|n| format!("f{n}.x")).collect();
    assert!(check(&json!({"version": 1, "allow": {"any": {"a": many}}})).is_err());
    let regexes: Vec<String> = (0..=MAX_POLICY_REGEXES).map(|n| format!("f{n}|x")).collect();
    assert!(check(&json!({"version": 1, "allow": {"any": {"a": regexes}}})).is_err());
    assert!(check(&json!({"version": 2, "allow": {}})).is_err());
}

#[test]
fn every_rule_for_somebody_says_what_it_thinks() {
    let p = policy(json!({"version": 1,
        "allow": {"any": {"alice": ["@jobs", {"region:aws": ["test.*", {"cmd.run": {"args": ["x"]}}]}, {"N@prod": ["cmd.run"]}], "bob": ["*"]}},
        "deny": {"any": {"*": [{"aws-1": ["cmd.*"]}]}}}));
    let asked = Asked::of(&p);
    let targets = asked.targets("*");
    let facts = Facts { inventory: &asked.inventory, groups: &asked.groups, targets: &targets };
    let work = Work { function: "cmd.run", args: &[], kwargs: &Map::new() };
    let says: Vec<_> =
        p.considered(&alice(), &work, Some(&facts)).into_iter().map(|c| (c.denies, c.says)).collect();
    assert_eq!(says.len(), 4);
    assert_eq!(
        says[..3],
        [(true, Says::Holds(Some(1))), (false, Says::Nothing), (false, Says::OtherArguments)]
    );
    assert!(matches!(&says[3], (false, Says::Void(why)) if why.contains("rests on")), "{says:?}");
    assert_eq!(p.considered_verb(&alice(), Verb::JobsList).len(), 1);
}
