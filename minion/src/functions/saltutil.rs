//! `saltutil.*`: what this minion is running, ending it, and having what it knows gathered again.

use nix::sys::signal::Signal;
use relay_core::{ids::Jid, target::Glob};
use serde_json::{Map, Value, json};

use super::{
    Call, Context, Function, RunningJob, Signalled, Start,
    arguments::{Bound, Kind, NOTHING, Parameters, may, must},
};

pub(super) const RUNNING: Function = Function {
    name: "saltutil.running",
    usage: "saltutil.running",
    doc: "Return the jobs that this minion is running, without this one: jid, fun, arg, pid, and since when.\n\n\
          relayctl run '*' saltutil.running",
    parameters: NOTHING,
    start: Start::Value(running),
};

/// The one parameter of functions about a job.
const A_JOB: Parameters = Parameters { placed: &[must("jid", Kind::Text)], ..NOTHING };

pub(super) const FIND_JOB: Function = Function {
    name: "saltutil.find_job",
    usage: "saltutil.find_job JID",
    doc: "Return what is known of a job that this minion is running, or an empty map.\n\n\
          relayctl run '*' saltutil.find_job 20261121073656123456",
    parameters: A_JOB,
    start: Start::Value(find_job),
};

pub(super) const IS_RUNNING: Function = Function {
    name: "saltutil.is_running",
    usage: "saltutil.is_running FUN",
    doc: "Return the running jobs whose function matches a glob, as saltutil.running does, without this one.\n\n\
          relayctl run '*' saltutil.is_running 'cmd.*'",
    parameters: Parameters { placed: &[must("fun", Kind::Text)], ..NOTHING },
    start: Start::Value(is_running),
};

pub(super) const SIGNAL_JOB: Function = Function {
    name: "saltutil.signal_job",
    usage: "saltutil.signal_job JID SIGNAL",
    doc: "Send a running job a signal (a number or a name) and say so; an empty text if no such job runs here.\n\
          A command's whole process group has it, and the job ends as the command does: killed by signal 9, it is\n\
          failed with retcode -9. A function inside the minion ends the same way by each signal that ends a process.\n\n\
          relayctl run '*' saltutil.signal_job 20261121073656123456 15",
    parameters: Parameters { placed: &[must("jid", Kind::Text), must("sig", Kind::Signal)], ..NOTHING },
    start: Start::Value(signal_job),
};

pub(super) const TERM_JOB: Function = Function {
    name: "saltutil.term_job",
    usage: "saltutil.term_job JID",
    doc: "Send a running job the signal SIGTERM (15), as saltutil.signal_job does.\n\n\
          relayctl run '*' saltutil.term_job 20261121073656123456",
    parameters: A_JOB,
    start: Start::Value(term_job),
};

pub(super) const KILL_JOB: Function = Function {
    name: "saltutil.kill_job",
    usage: "saltutil.kill_job JID",
    doc: "Send a running job the signal SIGKILL (9), as saltutil.signal_job does.\n\n\
          relayctl run '*' saltutil.kill_job 20261121073656123456",
    parameters: A_JOB,
    start: Start::Value(kill_job),
};

pub(super) const SIGNAL_ALL_JOBS: Function = Function {
    name: "saltutil.signal_all_jobs",
    usage: "saltutil.signal_all_jobs SIGNAL",
    doc: "Send every running job but this one a signal. Returns a list of what saltutil.signal_job says of each.\n\n\
          relayctl run 'web01' saltutil.signal_all_jobs SIGINT",
    parameters: Parameters { placed: &[must("sig", Kind::Signal)], ..NOTHING },
    start: Start::Value(signal_all_jobs),
};

pub(super) const TERM_ALL_JOBS: Function = Function {
    name: "saltutil.term_all_jobs",
    usage: "saltutil.term_all_jobs",
    doc: "Send every running job but this one the signal SIGTERM (15). Returns what was done, one text per job.\n\n\
          relayctl run 'web01' saltutil.term_all_jobs",
    parameters: NOTHING,
    start: Start::Value(|_, call, context| Ok(signal_all(Signal::SIGTERM, call, context))),
};

pub(super) const KILL_ALL_JOBS: Function = Function {
    name: "saltutil.kill_all_jobs",
    usage: "saltutil.kill_all_jobs",
    doc: "Send every running job but this one the signal SIGKILL (9). Returns what was done, one text per job.\n\n\
          relayctl run 'web01' saltutil.kill_all_jobs",
    parameters: NOTHING,
    start: Start::Value(|_, call, context| Ok(signal_all(Signal::SIGKILL, call, context))),
};

pub(super) const REFRESH_GRAINS: Function = Function {
    name: "saltutil.refresh_grains",
    usage: "saltutil.refresh_grains [refresh_pillar=true]",
    doc: "Gather the grains again, the file of custom ones too, and tell the top master what has changed. Returns true.\n\
          There is no pillar yet, so refresh_pillar has no effect.\n\n\
          relayctl run '*' saltutil.refresh_grains",
    parameters: Parameters { named: &[may("refresh_pillar", Kind::Flag)], ..NOTHING },
    start: Start::Value(|_, _, context| refreshed(context, Value::Bool(true))),
};

/// What the functions take that bring modules from a file server; there is none to take them from.
const SYNC: Parameters = Parameters { rest: Some(Kind::Any), any_name: true, ..NOTHING };

pub(super) const SYNC_GRAINS: Function = Function {
    name: "saltutil.sync_grains",
    usage: "saltutil.sync_grains",
    doc: "Gather the grains again, as saltutil.refresh_grains. Returns the new grain modules: an empty list, since\n\
          grains come from the machine and its files only.\n\n\
          relayctl run '*' saltutil.sync_grains",
    parameters: SYNC,
    start: Start::Value(|_, _, context| refreshed(context, Value::Array(Vec::new()))),
};

pub(super) const SYNC_MODULES: Function = Function {
    name: "saltutil.sync_modules",
    usage: "saltutil.sync_modules",
    doc: "Return the modules of this kind that were brought from a file server: an empty list, since what a minion can\n\
          do comes with it.\n\n\
          relayctl run '*' saltutil.sync_modules",
    parameters: SYNC,
    start: Start::Value(|_, _, _| Ok(Value::Array(Vec::new()))),
};

pub(super) const SYNC_STATES: Function =
    Function { name: "saltutil.sync_states", usage: "saltutil.sync_states", ..SYNC_MODULES };

pub(super) const SYNC_UTILS: Function =
    Function { name: "saltutil.sync_utils", usage: "saltutil.sync_utils", ..SYNC_MODULES };

pub(super) const SYNC_ALL: Function = Function {
    name: "saltutil.sync_all",
    usage: "saltutil.sync_all",
    doc: "Gather the grains again. Returns the new modules of each kind: none, since functions come with the minion.\n\n\
          relayctl run '*' saltutil.sync_all",
    parameters: SYNC,
    start: Start::Value(|_, _, context| refreshed(context, nothing_of_each_kind())),
};

pub(super) const REFRESH_MODULES: Function = Function {
    name: "saltutil.refresh_modules",
    usage: "saltutil.refresh_modules",
    doc: "Return true. Functions come with the minion, so there is nothing to load again.\n\n\
          relayctl run '*' saltutil.refresh_modules",
    parameters: SYNC,
    start: Start::Value(|_, _, _| Ok(Value::Bool(true))),
};

pub(super) const REFRESH_PILLAR: Function = Function {
    name: "saltutil.refresh_pillar",
    usage: "saltutil.refresh_pillar",
    doc: "Return true. There is no pillar yet, so there is nothing to gather.\n\n\
          relayctl run '*' saltutil.refresh_pillar",
    ..REFRESH_MODULES
};

pub(super) const CLEAR_CACHE: Function = Function {
    name: "saltutil.clear_cache",
    usage: "saltutil.clear_cache [DAYS]",
    doc: "Return true. A minion caches no files yet; its journal is no cache and stays.\n\n\
          relayctl run '*' saltutil.clear_cache",
    parameters: Parameters { placed: &[may("days", Kind::Integer)], ..NOTHING },
    start: Start::Value(|_, _, _| Ok(Value::Bool(true))),
};

fn others(call: &Call, context: &Context) -> impl Iterator<Item = RunningJob> {
    let own = call.jid;
    context.jobs.running().into_iter().filter(move |job| job.jid != own)
}

fn running(_: &Bound, call: &Call, context: &Context) -> Result<Value, String> {
    Ok(others(call, context).map(describe).collect())
}

fn is_running(bound: &Bound, call: &Call, context: &Context) -> Result<Value, String> {
    let glob = Glob::new(&bound.text("fun").unwrap_or_default());
    Ok(others(call, context).filter(|job| glob.matches(&job.function)).map(describe).collect())
}

fn jid(bound: &Bound, of: &Function) -> Result<Jid, String> {
    let wrong = |e| format!("{}: {e}\nUsage: {}", of.name, of.usage);
    bound.text("jid").unwrap_or_default().trim().parse().map_err(wrong)
}

fn find_job(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let jid = jid(bound, &FIND_JOB)?;
    let found = context.jobs.running().into_iter().find(|job| job.jid == jid);
    Ok(found.map(describe).unwrap_or_else(|| Map::new().into()))
}

fn describe(job: RunningJob) -> Value {
    let since = Jid::from_micros(job.started_wall).to_string();
    json!({"jid": job.jid.to_string(), "fun": job.function, "arg": job.args, "pid": job.pid, "started": since})
}

fn signal_job(bound: &Bound, call: &Call, context: &Context) -> Result<Value, String> {
    let signal = bound.signal("sig").ok_or("argument 'sig' is missing")?;
    send(jid(bound, &SIGNAL_JOB)?, signal, call, context).map(Value::from)
}

fn term_job(bound: &Bound, call: &Call, context: &Context) -> Result<Value, String> {
    send(jid(bound, &TERM_JOB)?, Signal::SIGTERM, call, context).map(Value::from)
}

fn kill_job(bound: &Bound, call: &Call, context: &Context) -> Result<Value, String> {
    send(jid(bound, &KILL_JOB)?, Signal::SIGKILL, call, context).map(Value::from)
}

/// Salt's texts.
fn send(jid: Jid, signal: Signal, call: &Call, context: &Context) -> Result<String, String> {
    if jid == call.jid {
        return Err(format!("job {jid} is this call itself, which does not signal itself"));
    }
    match context.jobs.signal(jid, signal) {
        Signalled::Sent { pid } => Ok(format!("Signal {} sent to job {jid} at pid {pid}", signal as i32)),
        Signalled::NoSuchJob => Ok(String::new()),
        Signalled::Ended => Ok(format!("Job {jid} was not running and job data has been cleaned up")),
        Signalled::Refused(why) => Err(format!("job {jid}: {why}")),
    }
}

fn signal_all_jobs(bound: &Bound, call: &Call, context: &Context) -> Result<Value, String> {
    let signal = bound.signal("sig").ok_or("argument 'sig' is missing")?;
    Ok(signal_all(signal, call, context))
}

/// One that refuses does not spare the others.
fn signal_all(signal: Signal, call: &Call, context: &Context) -> Value {
    let told =
        others(call, context).map(|job| send(job.jid, signal, call, context).unwrap_or_else(|why| why));
    told.filter(|text| !text.is_empty()).collect()
}

fn refreshed(context: &Context, value: Value) -> Result<Value, String> {
    context.grains.refresh().map(|()| value).map_err(|e| format!("the grains could not be gathered: {e}"))
}

/// The kinds of modules that Salt's `sync_all` names.
const MODULE_KINDS: [&str; 17] = [
    "clouds",
    "beacons",
    "modules",
    "states",
    "sdb",
    "grains",
    "renderers",
    "returners",
    "output",
    "utils",
    "log_handlers",
    "executors",
    "proxymodules",
    "engines",
    "thorium",
    "serializers",
    "matchers",
];

fn nothing_of_each_kind() -> Value {
    let kinds = MODULE_KINDS.iter().map(|kind| (kind.to_string(), Value::Array(Vec::new())));
    Value::Object(kinds.collect())
}
