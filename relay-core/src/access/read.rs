//! Reads the keys of a policy, version 1: in the shape of Salt's `external_auth`, with every problem at its place.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Area, How, Verb,
    arguments::{Hints, Schema},
    caller::{check_name, is_group},
    pattern::{self, Pattern, PatternError},
    policy::{
        Approval, Call, DEFAULT_APPROVAL_LIFE, MAX_POLICY_GROUPS, MAX_POLICY_REGEXES, MAX_RULES, Member,
        Policy, Rule, VERSION, What, Whom,
    },
    said,
};
use crate::{
    document::{
        At, Fields, Kind, Node, Position, Problem, Sink,
        fields::{self, nearest},
        read::{self, clip},
    },
    target::{Regex, Target},
    topology::Share,
};

/// Most minutes that a job waits for a second person: a week.
const MAX_APPROVAL_MINUTES: u64 = 7 * 24 * 60;

pub(super) fn document(root: &Node, sink: &Sink) -> Option<Policy> {
    let mut f = Fields::open(root, "the policy", sink)?;
    salts_own_names(root, &mut f, sink);
    f.need("version", read::number(VERSION, VERSION));
    let groups = f.or("groups", BTreeMap::new(), groups);
    let allow = f.or("allow", Vec::new(), |n, s| section(n, s, Effect::Allow));
    let deny = f.or("deny", Vec::new(), |n, s| section(n, s, Effect::Deny));
    let dangerous = f.or("dangerous", Vec::new(), read::list(hinted));
    let dangerous = dangerous.map(|calls| calls.into_iter().flatten().collect::<Vec<_>>());
    let approval = f.or("approval", Approval::default(), approval);
    let at = f.at_key("allow");
    f.close();
    let policy = Policy {
        groups: groups?,
        allow: allow?,
        deny: deny?,
        dangerous: dangerous?,
        approval: approval?,
        warnings: Vec::new(),
    };
    bounds(&policy, at, sink);
    Some(policy)
}

/// Somebody brings his rules from Salt: tell him the one word that differs.
fn salts_own_names<'n>(root: &'n Node, f: &mut Fields<'n>, sink: &Sink) {
    let Kind::Map(entries) = &root.kind else { return };
    let hints = [
        ("external_auth", "write \"allow:\" instead, with the same content below it"),
        ("publisher_acl", "write \"allow:\" and below it \"any:\" instead, with the same content below that"),
    ];
    for (name, hint) in hints {
        if let Some((key, _)) = entries.iter().find(|(key, _)| key.value == name) {
            sink.note(Problem::error(key.at, format!("{name:?} is called \"allow\" here"), hint));
            f.may(name, |_, _| Some(()));
        }
    }
}

fn bounds(policy: &Policy, at: Position, sink: &Sink) {
    let rules = policy.allow.len() + policy.deny.len();
    if rules > MAX_RULES {
        let what = format!("{rules} rules, a policy has at most {MAX_RULES}");
        sink.note(Problem::error(at, what, "use groups and patterns"));
    }
    let regexes = policy.regexes();
    if regexes > MAX_POLICY_REGEXES {
        let what = format!("{regexes} regular expressions, a policy has at most {MAX_POLICY_REGEXES}");
        sink.note(Problem::error(at, what, "use globs for names of functions"));
    }
}

impl Policy {
    fn regexes(&self) -> usize {
        let of_rule = |rule: &Rule| match &rule.what {
            What::Verbs(_, words) => words.iter().filter(|w| w.is_regex()).count(),
            What::Allowed(_, call) => {
                usize::from(call.function.is_regex()) + call.arguments.as_ref().map_or(0, of_schema)
            }
            What::Denied(_, call) => of_hinted(call),
        };
        let rules: usize = self.allow.iter().chain(&self.deny).map(of_rule).sum();
        rules + self.dangerous.iter().map(of_hinted).sum::<usize>()
    }
}

fn of_schema(schema: &Schema) -> usize {
    let named = schema.kwargs.iter().chain(&schema.optional).filter(|(_, p)| p.is_some()).count();
    schema.args.iter().flatten().count() + usize::from(schema.rest.is_some()) + named
}

fn of_hinted(call: &Call<Hints>) -> usize {
    let arguments = call.arguments.as_ref().map_or(0, |a| a.args.len() + a.kwargs.len());
    usize::from(call.function.is_regex()) + arguments
}

fn groups(node: &Node, sink: &Sink) -> Option<BTreeMap<String, Vec<Member>>> {
    let entries = fields::entries(node, "groups", sink)?;
    if entries.len() > MAX_POLICY_GROUPS {
        let what = format!("{} groups, a policy makes at most {MAX_POLICY_GROUPS}", entries.len());
        return sink.refuse(node.at, what, "keep groups in the directory that logins come from");
    }
    let group = |(key, members): &(At<String>, Node)| {
        let name = key.value.strip_suffix('%').unwrap_or(&key.value);
        if !is_group(name) {
            let what = format!("{:?} is no name of a group", clip(name));
            return sink.refuse(key.at, what, "write a name such as oncall");
        }
        Some((name.to_owned(), read::list(member)(members, sink)?))
    };
    entries.iter().map(group).collect::<Vec<_>>().into_iter().collect()
}

/// `alice`, or `pam:alice` for the one who comes by PAM.
fn member(node: &Node, sink: &Sink) -> Option<Member> {
    let text = read::text(node, sink)?;
    let (how, name) = match text.split_once(':') {
        Some((how, name)) => (Some(self::how(how, node.at, sink)?), name),
        None => (None, text.as_str()),
    };
    user(name, node.at, sink).map(|name| Member { how, name })
}

fn user(name: &str, at: Position, sink: &Sink) -> Option<String> {
    match check_name(name) {
        Ok(()) => Some(name.to_owned()),
        Err(error) => {
            sink.refuse(at, error.to_string(), "write a name as it is logged in with; a group ends with %")
        }
    }
}

fn how(word: &str, at: Position, sink: &Sink) -> Option<How> {
    let known = How::ALL.map(How::word);
    How::from_word(word).or_else(|| {
        let hint = match nearest(word, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write one of: {}", known.join(", ")),
        };
        sink.refuse(at, format!("{:?} is no way of logging in", clip(word)), hint)
    })
}

/// What a section does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// `allow` or `deny`: ways of logging in, then users and groups, then rules.
fn section(node: &Node, sink: &Sink, effect: Effect) -> Option<Vec<Rule>> {
    let mut rules = Vec::new();
    let mut whole = true;
    for (key, users) in fields::entries(node, "a section of rules", sink)? {
        let how = match key.value.as_str() {
            "any" => Some(None),
            word => way(word, key.at, sink).map(Some),
        };
        for (name, list) in
            fields::entries(users, "the rules of a way of logging in", sink).unwrap_or_default()
        {
            let whom = whom(name, sink);
            let parts = read::list(|n, s| parts(n, s, effect))(list, sink);
            let (Some(how), Some(whom), Some(parts)) = (how, whom, parts) else {
                whole = false;
                continue;
            };
            let rule = |(at, what)| Rule { at, how, whom: whom.clone(), what };
            rules.extend(parts.into_iter().flatten().map(rule));
        }
        whole &= how.is_some();
    }
    whole.then_some(rules)
}

fn way(word: &str, at: Position, sink: &Sink) -> Option<How> {
    let known: Vec<&str> = How::ALL.map(How::word).into_iter().chain(["any"]).collect();
    How::from_word(word).or_else(|| {
        let hint = match nearest(word, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write one of: {}; below it stand users and group%", known.join(", ")),
        };
        sink.refuse(at, format!("{:?} is no way of logging in", clip(word)), hint)
    })
}

fn whom(key: &At<String>, sink: &Sink) -> Option<Whom> {
    match (key.value.as_str(), key.value.strip_suffix('%')) {
        ("*", _) => Some(Whom::Anybody),
        (_, Some(group)) if is_group(group) => Some(Whom::Group(group.to_owned())),
        (name, _) if name.contains('*') => {
            let what = format!("{:?}: names of users are no patterns", clip(name));
            sink.refuse(key.at, what, "write a name, a group% or '*' for everybody")
        }
        (name, _) => user(name, key.at, sink).map(Whom::User),
    }
}

/// One element of a list of rules: what it is about, one for each function.
fn parts(node: &Node, sink: &Sink, effect: Effect) -> Option<Vec<(Position, What)>> {
    let Kind::Map(_) = &node.kind else {
        let text = read::text(node, sink)?;
        return match text.strip_prefix('@') {
            Some(_) => {
                area(&text, node.at, sink).map(|area| vec![(node.at, What::Verbs(area, vec![Pattern::All]))])
            }
            None => calls(node, sink, effect, None),
        };
    };
    let mut parts = Vec::new();
    for (key, value) in fields::entries(node, "a rule", sink)? {
        let of_key = match (&value.kind, key.value.starts_with('@')) {
            (_, true) => verbs(key, value, sink),
            (Kind::List(items), false) => targeted(key, items, sink, effect),
            // A function with its arguments, on any minion.
            (_, false) => calls_with(key, value, sink, effect, None),
        };
        parts.push(of_key);
    }
    let parts: Option<Vec<_>> = parts.into_iter().collect();
    parts.map(|parts| parts.into_iter().flatten().collect())
}

fn area(text: &str, at: Position, sink: &Sink) -> Option<Area> {
    let known = Area::NAMED.map(Area::word);
    Area::NAMED.into_iter().find(|area| area.word() == text).or_else(|| {
        let hint = match nearest(text, &known) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("write one of: {}", known.join(", ")),
        };
        sink.refuse(at, format!("there is no {:?}", clip(text)), hint)
    })
}

/// `'@jobs': [jobs.list, 'approvals.*']`.
fn verbs(key: &At<String>, value: &Node, sink: &Sink) -> Option<Vec<(Position, What)>> {
    let area = area(&key.value, key.at, sink);
    let words = read::list(|n, s| {
        let pattern = function(n, s)?;
        let Some(area) = area else { return Some(pattern) };
        if area.verbs().any(|verb| pattern.matches(verb.word())) {
            return Some(pattern);
        }
        let known: Vec<&str> = area.verbs().map(Verb::word).collect();
        let text = read::text(n, s).unwrap_or_default();
        let hint = match (Verb::from_word(&text), nearest(&text, &known)) {
            (Some(verb), _) if Area::NAMED.contains(&verb.area()) => format!("it is in '{}'", verb.area()),
            (_, Some(near)) => format!("did you mean {near:?}? (there are: {})", known.join(", ")),
            _ => format!("there are: {}", known.join(", ")),
        };
        s.refuse(n.at, format!("{area} has nothing like {:?}", clip(&text)), hint)
    })(value, sink)?;
    Some(vec![(key.at, What::Verbs(area?, words))])
}

/// `'region:aws': [test.*, cmd.run: {args: [...]}]`.
fn targeted(key: &At<String>, items: &[Node], sink: &Sink, effect: Effect) -> Option<Vec<(Position, What)>> {
    let target = target(key, sink, effect);
    if items.is_empty() {
        let what = format!("{:?} has an empty list of functions", clip(&key.value));
        return sink.refuse(key.at, what, "write '*' for all functions, or remove it");
    }
    let parts: Vec<_> = items.iter().map(|item| calls(item, sink, effect, target.as_ref())).collect();
    let parts: Option<Vec<_>> = parts.into_iter().collect();
    target.and(parts).map(|parts| parts.into_iter().flatten().collect())
}

fn target(key: &At<String>, sink: &Sink, effect: Effect) -> Option<Arc<Target>> {
    let target = match Target::parse(&key.value) {
        Ok(target) => target,
        Err(e) => {
            let what = format!("{} at column {} of the target {:?}", e.found, e.column, clip(&key.value));
            return sink.refuse(key.at, what, format!("expected is {}", e.expected));
        }
    };
    let said = said::first_said(target.expr()).map(ToString::to_string);
    match (effect, said) {
        (Effect::Deny, Some(term)) => {
            let what = format!("a rule that denies rests on {term}, which minions say of themselves");
            sink.refuse(
                key.at,
                what,
                "a minion would leave it by saying something else: name ids, region:... or N@...",
            )
        }
        (Effect::Allow, Some(term)) if said::rests_on_said(target.expr()) => {
            let what =
                format!("the target {:?} rests on {term}, which minions say of themselves", clip(&key.value));
            let hint = "a minion would come under it by saying so: bound it, as in 'region:aws and ...', by ids, regions or N@...";
            sink.refuse(key.at, what, hint)
        }
        _ => Some(Arc::new(target)),
    }
}

/// A function, or functions with what is said of their arguments.
fn calls(
    node: &Node,
    sink: &Sink,
    effect: Effect,
    target: Option<&Arc<Target>>,
) -> Option<Vec<(Position, What)>> {
    if !matches!(node.kind, Kind::Map(_)) {
        let function = function(node, sink)?;
        return Some(vec![(node.at, about(effect, target, node.at, function, None)?)]);
    }
    let mut all = Vec::new();
    for (key, value) in fields::entries(node, "a function of a rule", sink)? {
        all.push(calls_with(key, value, sink, effect, target));
    }
    let all: Option<Vec<_>> = all.into_iter().collect();
    all.map(|all| all.into_iter().flatten().collect())
}

/// A function and the map that describes its arguments.
fn calls_with(
    key: &At<String>,
    value: &Node,
    sink: &Sink,
    effect: Effect,
    target: Option<&Arc<Target>>,
) -> Option<Vec<(Position, What)>> {
    if key.value.starts_with('@') {
        let hint = "write it in the list of the user, beside targets and not below one";
        return sink.refuse(key.at, format!("{:?} is no function", clip(&key.value)), hint);
    }
    let function = usable(Pattern::read(&key.value), key.at, sink);
    let arguments = match value.is_empty() {
        true => Some(None),
        false if effect == Effect::Allow => schema(value, sink).map(|s| Some(Arguments::Described(s))),
        false => hints(value, sink).map(|h| Some(Arguments::Found(h))),
    };
    Some(vec![(key.at, about(effect, target, key.at, function?, arguments?)?)])
}

/// What is said of arguments.
enum Arguments {
    Described(Schema),
    Found(Hints),
}

fn about(
    effect: Effect,
    target: Option<&Arc<Target>>,
    at: Position,
    function: Pattern,
    arguments: Option<Arguments>,
) -> Option<What> {
    let target = target.cloned();
    Some(match (effect, arguments) {
        (Effect::Allow, None) => What::Allowed(target, Call { at, function, arguments: None }),
        (Effect::Allow, Some(Arguments::Described(schema))) => {
            What::Allowed(target, Call { at, function, arguments: Some(schema) })
        }
        (Effect::Deny, None) => What::Denied(target, Call { at, function, arguments: None }),
        (Effect::Deny, Some(Arguments::Found(hints))) => {
            What::Denied(target, Call { at, function, arguments: Some(hints) })
        }
        _ => return None,
    })
}

/// An element of `dangerous`: a function, or functions with what makes their arguments dangerous.
fn hinted(node: &Node, sink: &Sink) -> Option<Vec<Call<Hints>>> {
    let found = calls(node, sink, Effect::Deny, None)?;
    let call = |(_, what)| match what {
        What::Denied(_, call) => Some(call),
        _ => None,
    };
    Some(found.into_iter().filter_map(call).collect())
}

fn function(node: &Node, sink: &Sink) -> Option<Pattern> {
    let text = read::text(node, sink)?;
    if text.starts_with('@') {
        let hint = "write it in the list of the user, beside targets and not below one";
        return sink.refuse(node.at, format!("{:?} is no function", clip(&text)), hint);
    }
    usable(Pattern::read(&text), node.at, sink)
}

fn usable<T>(read: Result<T, PatternError>, at: Position, sink: &Sink) -> Option<T> {
    read.map_err(|PatternError { what, hint }| sink.note(Problem::error(at, what, hint))).ok()
}

fn schema(node: &Node, sink: &Sink) -> Option<Schema> {
    let mut f = Fields::open(node, "what is said of arguments", sink)?;
    let args = f.or("args", Vec::new(), read::list(any_or_whole));
    let rest = f.may("rest", |n, s| read_regex(n, s, pattern::whole));
    let kwargs = f.or("kwargs", Vec::new(), read::map("kwargs", any_or_whole));
    let optional = f.or("optional", Vec::new(), read::map("optional", any_or_whole));
    f.close();
    Some(Schema { args: args?, rest: rest?, kwargs: kwargs?, optional: optional? })
}

/// A pattern on a whole value; nothing is any value, as in Salt.
fn any_or_whole(node: &Node, sink: &Sink) -> Option<Option<Regex>> {
    match node.is_empty() {
        true => Some(None),
        false => read_regex(node, sink, pattern::whole).map(Some),
    }
}

fn hints(node: &Node, sink: &Sink) -> Option<Hints> {
    let anywhere = |n: &Node, s: &Sink| read_regex(n, s, pattern::anywhere);
    let mut f = Fields::open(node, "what is looked for in arguments", sink)?;
    let args = f.or("args", Vec::new(), read::list(anywhere));
    let kwargs = f.or("kwargs", Vec::new(), read::map("kwargs", anywhere));
    f.close();
    Some(Hints { args: args?, kwargs: kwargs? })
}

fn read_regex(
    node: &Node,
    sink: &Sink,
    framed: impl FnOnce(&str) -> Result<Regex, PatternError>,
) -> Option<Regex> {
    usable(framed(&read::text(node, sink)?), node.at, sink)
}

fn approval(node: &Node, sink: &Sink) -> Option<Approval> {
    let mut f = Fields::open(node, "approval", sink)?;
    let wider_than = f.may("wider_than", read::parsed::<Share>);
    let minutes =
        f.or("expires_minutes", DEFAULT_APPROVAL_LIFE / 60_000, read::number(1, MAX_APPROVAL_MINUTES));
    f.close();
    Some(Approval { wider_than: wider_than?, life: minutes? * 60_000 })
}
