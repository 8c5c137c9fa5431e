//! `relayctl schedule add`.

use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use relay_core::ids::RequestId;
use relay_proto::operator::{PutScheduleRequest, Schedule};

use super::row;
use crate::{
    connect::Fabric,
    exit::Exit,
    output::Output,
    run::{
        order::{OrderArgs, warn_swallowed},
        span::{millis, span},
    },
};

/// When, and what.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = USAGE, group = ArgGroup::new("when").required(true))]
pub struct AddArgs {
    /// Its name
    name: String,
    /// When: minute, hour, day of month, month, day of week, as in crontab(5), in UTC
    #[arg(long, value_name = "'M H D M W'", group = "when")]
    cron: Option<String>,
    /// How often: 30s, 5m, 1h, 1d
    #[arg(long, value_name = "TIME", group = "when", value_parser = span)]
    every: Option<Duration>,
    /// Each run begins up to so much later, by chance, so that not all begin at once
    #[arg(long, value_name = "TIME", value_parser = span)]
    splay: Option<Duration>,
    /// How many of its runs may be open at once; a time that comes then is missed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    max_running: u32,
    /// What happens to times that passed while no top master was up
    #[arg(long, value_enum, default_value_t = Missed::Skip)]
    missed: Missed,
    /// Take the place of a schedule of this name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    order: OrderArgs,
}

/// What happens to times that passed while nobody could run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Missed {
    /// Nothing
    Skip,
    /// One run for all of them
    Once,
}

const USAGE: &str = "relayctl schedule add [OPTIONS] <NAME> <--cron <'M H D M W'>|--every <TIME>> <TARGET> <FUNCTION> [ARG]...";

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl schedule add nightly --cron '0 3 * * *' --splay 10m 'web*' cmd.run /opt/backup
  relayctl schedule add ping --every 1h '*' test.ping --missed once
  relayctl schedule add update 'G@os:Ubuntu' cmd.run /opt/update --cron '*/5 * * * *' --batch 10% --max-failures 5 --replace

Times are in UTC. The job is ordered as you: with your rights, at each time anew, on the targets that match then.
It stays through restarts of the top master, and each time runs it once.";

/// Runs it.
pub async fn run(args: &AddArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    warn_swallowed::<AddArgs>(&args.order.args);
    let request = request(args, rand::random())?;
    let schedule = fabric.put_schedule(request).await?;
    row::show(&schedule, out, "kept")?;
    Ok(Exit::Ok)
}

/// `random` is where a subset's seed comes from. The job has no request id: each of its times has its own.
fn request(args: &AddArgs, random: u128) -> anyhow::Result<PutScheduleRequest> {
    let mut job = args.order.request(RequestId(random))?;
    job.request_id.clear();
    let schedule = Schedule {
        name: args.name.clone(),
        cron: args.cron.clone().unwrap_or_default(),
        every_ms: millis(args.every),
        splay_ms: millis(args.splay),
        max_running: args.max_running,
        missed: match args.missed {
            Missed::Skip => "skip".into(),
            Missed::Once => "once".into(),
        },
        job: Some(job),
        ..Schedule::default()
    };
    Ok(PutScheduleRequest { schedule: Some(schedule), replace: args.replace })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        add: AddArgs,
    }

    fn read(words: &[&str]) -> Result<PutScheduleRequest, String> {
        let line = Line::try_parse_from([&["add"], words].concat()).map_err(|e| e.to_string())?;
        request(&line.add, 7).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn a_schedule() {
        let found = read(&[
            "nightly",
            "--cron",
            "0 3 * * *",
            "--splay",
            "10m",
            "--missed",
            "once",
            "-b",
            "5",
            "--",
            "web*",
            "cmd.run",
            "-x",
            "a=1",
        ])
        .unwrap();
        let schedule = found.schedule.unwrap();
        assert_eq!((schedule.name.as_str(), schedule.cron.as_str()), ("nightly", "0 3 * * *"));
        assert_eq!((schedule.every_ms, schedule.splay_ms, schedule.max_running), (0, 600_000, 1));
        assert_eq!((schedule.missed.as_str(), found.replace), ("once", false));
        let job = schedule.job.unwrap();
        assert_eq!((job.target.as_str(), job.function.as_str()), ("web*", "cmd.run"));
        assert_eq!(job.args, br#"{"args":["-x"],"kwargs":{"a":1}}"#);
        assert!(job.batch.is_some() && job.request_id.is_empty());
    }

    #[test]
    fn options_stand_anywhere() {
        let found = read(&["x", "*", "cmd.run", "uptime", "--every", "5s", "--batch", "5"]).unwrap();
        let schedule = found.schedule.unwrap();
        let job = schedule.job.unwrap();
        assert_eq!((schedule.every_ms, job.args), (5_000, br#"{"args":["uptime"],"kwargs":{}}"#.to_vec()));
        assert!(job.batch.is_some());
    }

    #[test]
    fn one_of_the_two_times_is_needed() {
        let neither = read(&["x", "*", "f"]).unwrap_err();
        assert!(neither.contains("--cron") && neither.contains("--every"), "{neither}");
    }

    #[test]
    fn what_is_no_schedule() {
        for words in [
            &["x", "--", "*", "test.ping"][..],
            &["x", "--every", "1h", "--cron", "* * * * *", "--", "*", "f"],
            &["x", "--every", "0", "--", "*", "f"],
            &["x", "--every", "1h", "--missed", "all", "--", "*", "f"],
            &["x", "--every", "1h", "--max-running", "0", "--", "*", "f"],
            &["x", "--every", "1h", "--seed", "3", "--", "*", "f"],
            &["x", "--every", "1h", "--", "*"],
            &["x", "--every", "1h"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }
}
