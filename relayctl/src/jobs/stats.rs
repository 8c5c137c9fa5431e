//! `relayctl jobs stats`.

use std::time::Duration;

use clap::Args;
use relay_proto::operator::FunctionStats;
use serde_json::{Value, json};

use super::filter::FilterArgs;
use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, table},
    run::stream::counts,
    when,
};

/// Which jobs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatsArgs {
    #[command(flatten)]
    filter: FilterArgs,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl jobs stats
  relayctl jobs stats --since 1d --user alice
  relayctl jobs stats --function 'cmd.*' --out json

MEDIAN and SLOWEST are of closed jobs, from acceptance to close.";

/// Runs it.
pub async fn run(args: &StatsArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let stats = fabric.job_stats(args.filter.filter()).await?;
    out.show(&stats.iter().map(data).collect::<Vec<Value>>(), |_| {
        let heading = ["FUNCTION", "JOBS", "TARGETS", "OUTCOMES", "MEDIAN", "SLOWEST"];
        match table(heading, stats.iter().map(row)) {
            none if none.is_empty() => "no jobs".into(),
            some => some,
        }
    })?;
    Ok(Exit::Ok)
}

fn data(of: &FunctionStats) -> Value {
    json!({
        "function": of.function,
        "jobs": of.jobs,
        "targets": of.targets,
        "outcomes": counts(&of.outcomes),
        "median_ms": of.median_ms,
        "slowest_ms": of.slowest_ms,
    })
}

fn row(of: &FunctionStats) -> [String; 6] {
    let outcomes: Vec<String> = of.outcomes.iter().map(|c| format!("{} {}", c.minions, c.outcome)).collect();
    [
        of.function.clone(),
        of.jobs.to_string(),
        of.targets.to_string(),
        outcomes.join(", "),
        short(of.median_ms),
        short(of.slowest_ms),
    ]
}

/// Under a minute to the hundredth of a second.
fn short(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{:.2}s", ms as f64 / 1000.0),
        _ => when::span(Duration::from_millis(ms)),
    }
}

#[cfg(test)]
mod tests {
    use relay_proto::operator::Count;

    use super::*;

    #[test]
    fn a_function() {
        let stats = FunctionStats {
            function: "cmd.run".into(),
            jobs: 2,
            targets: 30,
            outcomes: vec![
                Count { outcome: "ok".into(), minions: 29 },
                Count { outcome: "failed".into(), minions: 1 },
            ],
            median_ms: 430,
            slowest_ms: 61_000,
        };
        assert_eq!(row(&stats), ["cmd.run", "2", "30", "29 ok, 1 failed", "0.43s", "1m 1s"]);
        assert_eq!(data(&stats)["outcomes"]["failed"], 1);
    }
}
