//! `saltutil.*`: what this minion is running.

use relay_core::ids::Jid;
use serde_json::{Map, Value, json};

use super::{
    Call, Context, Function, RunningJob, Start,
    arguments::{Bound, Kind, NOTHING, Parameters, must},
};

pub(super) const RUNNING: Function = Function {
    name: "saltutil.running",
    usage: "saltutil.running",
    doc: "Return the jobs that this minion is running, without this one: jid, fun, arg, pid, and since when.\n\n\
          relayctl run '*' saltutil.running",
    parameters: NOTHING,
    start: Start::Value(running),
};

pub(super) const FIND_JOB: Function = Function {
    name: "saltutil.find_job",
    usage: "saltutil.find_job JID",
    doc: "Return what is known of a job that this minion is running, or an empty map.\n\n\
          relayctl run '*' saltutil.find_job 20261121073656123456",
    parameters: Parameters { placed: &[must("jid", Kind::Text)], ..NOTHING },
    start: Start::Value(find_job),
};

fn running(_: &Bound, call: &Call, context: &Context) -> Result<Value, String> {
    let others = (context.running)().into_iter().filter(|job| job.jid != call.jid);
    Ok(others.map(describe).collect())
}

fn find_job(bound: &Bound, _: &Call, context: &Context) -> Result<Value, String> {
    let wrong = |e| format!("{}: {e}\nUsage: {}", FIND_JOB.name, FIND_JOB.usage);
    let jid: Jid = bound.text("jid").unwrap_or_default().parse().map_err(wrong)?;
    let found = (context.running)().into_iter().find(|job| job.jid == jid);
    Ok(found.map(describe).unwrap_or_else(|| Map::new().into()))
}

fn describe(job: RunningJob) -> Value {
    let since = Jid::from_micros(job.started_wall).to_string();
    json!({"jid": job.jid.to_string(), "fun": job.function, "arg": job.args, "pid": job.pid, "started": since})
}
