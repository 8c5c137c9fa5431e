//! `relayctl policy explain`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, ValueEnum};
use relay_core::{
    access::{
        Caller, Considered, Decision, Facts, How, Policy, Request, Says, Verb, Work, could_run, decide,
    },
    ids::RequestId,
    target::{NodeGroups, Target},
};
use relay_proto::operator::SubmitRequest;
use relay_runtime::config::{load_policy, parse_policy};
use serde_json::{Map, Value, json};

use super::{
    fleet::{self, Fleet},
    show,
};
use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, table},
    run::order::OrderArgs,
};

/// Who asks for what.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// Who asks
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    /// How that is known
    #[arg(long, value_enum, default_value_t = Known::Certificate)]
    how: Known,
    /// A group that the login says (several times for several); those that the policy makes are known
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The policy file. Default: the one that holds in the fabric
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The topology file with the node groups. Default: the fabric's active one
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Ask no fabric: who the targets are is not known then
    #[arg(long, requires = "file")]
    offline: bool,
    /// What is asked for: a job as "relayctl run" has it, or the word of anything else (jobs.cancel, keys.accept)
    #[arg(last = true, required = true, value_name = "run TARGET FUNCTION [ARG]...|VERB")]
    request: Vec<String>,
}

/// How somebody has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Known {
    Certificate,
    Token,
    File,
    Pam,
    Ldap,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl policy explain --as alice -- run 'region:aws' cmd.run uptime
  relayctl policy explain --as bob --how ldap --group oncall -- run '*' state.apply nginx test=True
  relayctl policy explain --file new.yaml --as alice -- run -L web01,db01 system.reboot
  relayctl policy explain --file new.yaml --offline --as alice -- jobs.cancel

EXIT CODES:
  0  allowed
  1  refused
  2  allowed if a second person agrees; or it depends on targets that are not known
  3  cannot be told";

/// What is asked for.
enum Asked {
    Job(Box<SubmitRequest>),
    Verb(Verb),
}

/// A job as `relayctl run` reads it.
#[derive(Debug, Parser)]
#[command(name = "run", no_binary_name = false)]
struct RunLine {
    #[command(flatten)]
    order: OrderArgs,
}

/// What is decided, as far as it can be.
struct Explained {
    /// Nothing: it depends on targets that are not known.
    decision: Option<Decision>,
    told: String,
    rules: Vec<Considered>,
}

/// Runs it.
pub async fn run(args: &ExplainArgs, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let caller = Caller::new(&args.name, args.groups.iter().cloned(), args.how.how())?;
    let asked = asked(&args.request)?;
    let mut fabric = if args.offline { None } else { reachable(args, wanted)? };
    let (file, policy) = policy(args, fabric.as_mut()).await?;
    let fleet = match (&asked, &mut fabric) {
        (Asked::Job(_), Some(fabric)) => known(fabric, args).await?,
        _ => None,
    };
    let explained = match &asked {
        Asked::Verb(verb) => of_verb(&policy, &file, &caller, *verb),
        Asked::Job(job) => of_job(&policy, &file, &caller, job, fleet.as_ref(), args)?,
    };
    let data = json!({
        "decision": explained.decision.as_ref().map_or("depends", Decision::word),
        "told": explained.told,
        "rules": explained.rules.iter().map(|rule| data(rule, &file)).collect::<Vec<_>>(),
    });
    out.show(&data, |paint| {
        let told = match explained.decision.as_ref() {
            Some(Decision::Allow(_)) => paint.green(&explained.told),
            Some(Decision::Deny(_)) => paint.red(&explained.told),
            _ => explained.told.clone(),
        };
        match explained.rules.is_empty() {
            true => format!("{told}\n{file} has no rule for {}", args.name),
            false => {
                let heading = ["RULE", "", "ON", "SAYS"];
                told + "\n" + &table(heading, explained.rules.iter().map(|rule| row(rule, &file)))
            }
        }
    })?;
    Ok(match explained.decision {
        Some(Decision::Allow(_)) => Exit::Ok,
        Some(Decision::Deny(_)) => Exit::Failed,
        Some(Decision::NeedsApproval(..)) | None => Exit::Unsettled,
    })
}

impl Known {
    fn how(self) -> How {
        match self {
            Known::Certificate => How::Certificate,
            Known::Token => How::Token,
            Known::File => How::File,
            Known::Pam => How::Pam,
            Known::Ldap => How::Ldap,
        }
    }
}

fn asked(words: &[String]) -> anyhow::Result<Asked> {
    match words {
        [verb] if verb != "run" => match Verb::from_word(verb) {
            Some(verb) => Ok(Asked::Verb(verb)),
            None => {
                let all: Vec<&str> = Verb::ALL.into_iter().map(Verb::word).collect();
                bail!("{verb:?} is nothing that can be asked for; there are: run, {}", all.join(", "))
            }
        },
        [run, ..] if run == "run" => {
            let line = RunLine::try_parse_from(words)?;
            Ok(Asked::Job(Box::new(line.order.request(RequestId(0))?)))
        }
        _ => bail!("write what is asked for, as in: relayctl policy explain --as alice -- run '*' test.ping"),
    }
}

/// The fabric of the context; with a file it is only asked if there is one.
fn reachable(args: &ExplainArgs, wanted: Option<&str>) -> anyhow::Result<Option<Fabric>> {
    match Fabric::wanted(wanted) {
        Ok(fabric) => Ok(Some(fabric)),
        Err(_) if args.file.is_some() && wanted.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn policy(args: &ExplainArgs, fabric: Option<&mut Fabric>) -> anyhow::Result<(String, Policy)> {
    match (&args.file, fabric) {
        (Some(file), _) => Ok((file.display().to_string(), load_policy(file)?.1)),
        (None, Some(fabric)) => {
            let active = show::active(fabric, true).await?;
            let file = active.file.rsplit('/').next().unwrap_or("policy.yaml").to_owned();
            let policy = parse_policy(&active.text);
            Ok((
                file,
                policy.map_err(|_| anyhow::anyhow!("the fabric's policy is written for another version"))?,
            ))
        }
        (None, None) => bail!("name a policy with --file FILE, or a fabric with --context NAME"),
    }
}

/// What the fabric knows. With a file, a fabric that does not answer is no error: it is said.
async fn known(fabric: &mut Fabric, args: &ExplainArgs) -> anyhow::Result<Option<Fleet>> {
    match Fleet::ask(fabric).await {
        Ok(fleet) => Ok(Some(fleet)),
        Err(error) if args.file.is_some() => {
            eprintln!("without the minions of a fabric: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn of_verb(policy: &Policy, file: &str, caller: &Caller, verb: Verb) -> Explained {
    let decision = relay_core::access::decide_verb(policy, caller, verb, false);
    let mut told = decision.told(caller, &Request::Do { verb, own: false }, file);
    if !decision.is_allowed() && relay_core::access::decide_verb(policy, caller, verb, true).is_allowed() {
        told += "; with his own he may";
    }
    Explained { told, rules: policy.considered_verb(caller, verb), decision: Some(decision) }
}

fn of_job(
    policy: &Policy,
    file: &str,
    caller: &Caller,
    job: &SubmitRequest,
    fleet: Option<&Fleet>,
    args: &ExplainArgs,
) -> anyhow::Result<Explained> {
    let arguments: Value = serde_json::from_slice(&job.args).unwrap_or_default();
    let positional = arguments["args"].as_array().cloned().unwrap_or_default();
    let named = arguments["kwargs"].as_object().cloned().unwrap_or_else(Map::new);
    let work = Work { function: &job.function, args: &positional, kwargs: &named };
    let request = Request::Job(work.clone());
    let Some(fleet) = fleet else {
        let rules = policy.considered(caller, &work, None);
        return Ok(match could_run(policy, caller, &work) {
            Err(denial) => {
                let decision = Decision::Deny(denial);
                Explained { told: decision.told(caller, &request, file), decision: Some(decision), rules }
            }
            Ok(()) => {
                let told = format!(
                    "{caller} may run {} where these rules hold: its targets are not known here",
                    job.function
                );
                Explained { decision: None, told, rules }
            }
        });
    };
    let given = args.topology.as_ref().map(groups_of).transpose()?;
    let groups = given.as_ref().unwrap_or(&fleet.groups);
    let targets = fleet.inventory.evaluate(&groups.expand(&Target::parse(&job.target)?)?);
    let facts = Facts { inventory: &fleet.inventory, groups, targets: &targets };
    let decision = decide(policy, caller, &request, &facts);
    let rules = policy.considered(caller, &work, Some(&facts));
    Ok(Explained { told: decision.told(caller, &request, file), decision: Some(decision), rules })
}

fn groups_of(file: &PathBuf) -> anyhow::Result<NodeGroups> {
    let place = || file.display().to_string();
    fleet::groups(&fs::read_to_string(file).with_context(place)?).with_context(place)
}

fn says(rule: &Considered) -> String {
    match &rule.says {
        Says::Nothing => "nothing: it is about something else".into(),
        Says::OtherArguments => "nothing: it is about other arguments".into(),
        Says::Holds(None) => "holds".into(),
        Says::Holds(Some(0)) => "holds, for none of the targets".into(),
        Says::Holds(Some(n)) => format!("holds, for {n} of the targets"),
        Says::Void(why) => format!("counts for nobody: {why}"),
    }
}

fn row(rule: &Considered, file: &str) -> [String; 4] {
    let effect = if rule.denies { "deny" } else { "allow" };
    let on = rule.target.clone().unwrap_or_else(|| "*".into());
    [format!("{file}:{}", rule.at.line), effect.into(), on, says(rule)]
}

fn data(rule: &Considered, file: &str) -> Value {
    json!({
        "rule": format!("{file}:{}", rule.at.line),
        "effect": if rule.denies { "deny" } else { "allow" },
        "on": rule.target,
        "says": says(rule),
        "holds": matches!(rule.says, Says::Holds(_)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read_as_run_reads_it() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let Ok(Asked::Job(job)) = asked(&words("run -L a,b cmd.run uptime x=1")) else { panic!("no job") };
        assert_eq!(
            (job.target.as_str(), job.args.as_slice()),
            ("L@a,b", &br#"{"args":["uptime"],"kwargs":{"x":1}}"#[..])
        );
        assert!(matches!(asked(&words("jobs.cancel")), Ok(Asked::Verb(Verb::JobsCancel))));
        for bad in ["job.cancel", "run", "run x", "jobs.list now"] {
            assert!(asked(&words(bad)).is_err(), "{bad}");
        }
    }

    fn explained(policy: &str, target: &str, fleet: bool) -> (Option<&'static str>, String, usize) {
        let policy = parse_policy(policy).unwrap();
        let minion = |id: &str, region: &str| relay_proto::operator::Minion {
            id: id.into(),
            region: region.into(),
            syndic: "s".into(),
            ..Default::default()
        };
        let fleet = fleet
            .then(|| Fleet::of(&[minion("a", "aws"), minion("g", "gcp")], NodeGroups::default()).unwrap());
        let alice = Caller::new("alice", [], How::Certificate).unwrap();
        let job = SubmitRequest {
            target: target.into(),
            function: "test.ping".into(),
            args: b"{}".into(),
            ..Default::default()
        };
        let args = ExplainArgs {
            name: "alice".into(),
            how: Known::Certificate,
            groups: Vec::new(),
            file: None,
            topology: None,
            offline: true,
            request: Vec::new(),
        };
        let e = of_job(&policy, "p.yaml", &alice, &job, fleet.as_ref(), &args).unwrap();
        (e.decision.map(|d| d.word()), e.told, e.rules.len())
    }

    #[test]
    fn the_rule_that_decides_is_told_with_its_line() {
        let policy = "version: 1\nallow:\n  any:\n    alice:\n      - 'region:aws': [test.*]\n";
        let (decision, told, _) = explained(policy, "a", true);
        assert!(decision == Some("allow") && told.contains("p.yaml:5 allows it"), "{told}");
        let (decision, told, rules) = explained(policy, "*", true);
        assert!(
            decision == Some("deny") && told.contains("on 1 of its 2 targets: g;") && rules == 1,
            "{told}"
        );
        let (decision, told, _) = explained(policy, "*", false);
        assert!(decision.is_none() && told.contains("not known here"), "{told}");
        assert_eq!(explained("version: 1\nallow: {any: {bob: ['*']}}\n", "*", false).0, Some("deny"));
    }
}
