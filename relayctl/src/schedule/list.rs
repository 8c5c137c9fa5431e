//! `relayctl schedule list`.

use relay_proto::operator::Schedule;
use serde_json::Value;

use super::row::{data, next, times};
use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, table},
    when,
};

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl schedule list
  relayctl schedule list --out json";

/// Runs it.
pub async fn run(fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let mut schedules = fabric.schedules().await?;
    schedules.sort_by(|a, b| a.name.cmp(&b.name));
    out.show(&schedules.iter().map(data).collect::<Vec<Value>>(), |_| {
        let heading = ["NAME", "AT", "FUNCTION", "TARGET", "NEXT", "LAST", "PROBLEM"];
        match table(heading, schedules.iter().map(row)) {
            none if none.is_empty() => "no schedules: \"relayctl schedule add\" makes one".into(),
            some => some,
        }
    })?;
    Ok(Exit::Ok)
}

fn row(schedule: &Schedule) -> [String; 7] {
    let job = schedule.job.clone().unwrap_or_default();
    [
        schedule.name.clone(),
        times(schedule),
        job.function,
        job.target,
        next(schedule),
        when::moment(schedule.last).unwrap_or_else(|| "never".into()),
        schedule.last_error.clone(),
    ]
}
