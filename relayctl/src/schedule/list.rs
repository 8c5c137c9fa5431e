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

/// Widest problem shown in the table, in characters; "schedule show" and JSON have it whole.
const MAX_SHOWN: usize = 40;

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

/// As much of it as a table bears.
fn problem(whole: &str) -> String {
    match whole.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}… (schedule show)", &whole[..end]),
        None => whole.to_owned(),
    }
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
        problem(&schedule.last_error),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_problem_is_cut_and_says_where_it_is_whole() {
        let of = |n| row(&Schedule { last_error: "é".repeat(n), ..Schedule::default() })[6].clone();
        assert_eq!(of(MAX_SHOWN), "é".repeat(MAX_SHOWN));
        assert_eq!(of(MAX_SHOWN + 1), format!("{}… (schedule show)", "é".repeat(MAX_SHOWN)));
    }
}
