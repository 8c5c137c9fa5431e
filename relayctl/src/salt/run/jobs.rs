//! `salt-run jobs.*`: what ran and what runs, from the top master's store.

mod job;
mod list;

use anyhow::{Context as _, anyhow};
use relay_core::{compact::compact, ids::Jid};
use serde_json::{Map, Value};

use super::Call;
use crate::{
    connect::Fabric,
    job::{JobResult, so_far},
    salt::printer::complain,
};

/// Runs one of them.
pub async fn run(function: &str, call: Call, fabric: &mut Fabric) -> anyhow::Result<Value> {
    match function {
        "master" => Ok(Value::Array(Vec::new())),
        "active" => {
            call.done()?;
            active(fabric).await
        }
        "list_jobs" => list::all(call, fabric).await,
        "list_jobs_filter" => list::newest(call, fabric).await,
        "last_run" => {
            let Some(jid) = list::last(call, fabric).await? else { return Ok(Value::Null) };
            let (result, silent) = known(jid, fabric).await?;
            tell_cut(&result);
            Ok(below_jid(jid, job::listed(&result, &silent)))
        }
        _ => one(function, call, fabric).await,
    }
}

async fn one(function: &str, mut call: Call, fabric: &mut Fabric) -> anyhow::Result<Value> {
    let jid =
        call.take("jid").map(Call::text).ok_or_else(|| anyhow!("{} JID: a jid is needed", call.name))?;
    let jid: Jid = jid.parse().with_context(|| format!("jid {jid}"))?;
    let missing = call.named("missing") == Some(Value::Bool(true));
    call.done()?;
    let (result, silent) = known(jid, fabric).await.with_context(|| format!("jid {jid}"))?;
    if function != "exit_success" {
        tell_cut(&result);
    }
    Ok(match function {
        "lookup_jid" => {
            tell_open(&result, &silent);
            job::returns(&result, &silent, missing)
        }
        "exit_success" => job::successes(&result, &silent),
        "print_job" => below_jid(jid, job::listed(&result, &silent)),
        _ => {
            let mut listed = Map::from_iter([("jid".to_owned(), Value::from(jid.to_string()))]);
            listed.extend(job::listed(&result, &silent));
            listed.into()
        }
    })
}

/// What is known of a job now, and who has not answered yet.
async fn known(jid: Jid, fabric: &mut Fabric) -> anyhow::Result<(JobResult, Vec<String>)> {
    let mut result = JobResult::new(jid, 0);
    so_far(fabric, &mut result).await?;
    let mut silent = Vec::new();
    if !result.is_closed() {
        let outstanding = fabric.outstanding(jid).await?;
        silent = outstanding.into_iter().map(|minion| minion.id).collect();
        // Between the two questions some may have answered.
        let answered = result.unfolded();
        silent.retain(|id| !answered.iter().any(|group| group.minions.contains(&id.as_str())));
        silent.sort();
    }
    Ok((result, silent))
}

/// Salt prints nothing where nothing has come yet, which looks like a job that is not there.
fn tell_open(result: &JobResult, silent: &[String]) {
    if !result.is_closed() {
        complain(&format!(
            "jid {}: still running, {} of {} minions have not answered yet\n",
            result.jid,
            silent.len(),
            result.targets()
        ));
    }
}

/// In each value that is cut off stands that it is, which nobody sees among thousands.
fn tell_cut(result: &JobResult) {
    let groups = result.unfolded().into_iter().filter(|group| !group.said.truncated.is_empty());
    let ids: Vec<&str> = groups.flat_map(|group| group.minions).collect();
    if !ids.is_empty() {
        let n = ids.len();
        complain(&format!("WARNING: what {n} minions returned is cut off: {}\n", compact(ids)));
    }
}

fn below_jid(jid: Jid, listed: Map<String, Value>) -> Value {
    Map::from_iter([(jid.to_string(), listed.into())]).into()
}

async fn active(fabric: &mut Fabric) -> anyhow::Result<Value> {
    let mut jobs = Map::new();
    for head in list::open(fabric).await? {
        let jid = Jid::from_micros(head.jid);
        let (result, _) = known(jid, fabric).await?;
        let outstanding = fabric.outstanding(jid).await?;
        jobs.insert(jid.to_string(), job::active(&head, &result, &outstanding).into());
    }
    Ok(jobs.into())
}
