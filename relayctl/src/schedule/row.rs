//! A schedule for people and for programs.

use std::time::Duration;

use relay_core::ids::Jid;
use relay_proto::operator::Schedule;
use serde_json::{Value, json};

use crate::{
    output::{Output, clean},
    run::words::call,
    when,
};

/// For programs.
pub fn data(schedule: &Schedule) -> Value {
    let job = schedule.job.clone().unwrap_or_default();
    json!({
        "name": schedule.name,
        "cron": (!schedule.cron.is_empty()).then_some(&schedule.cron),
        "every_ms": (schedule.every_ms > 0).then_some(schedule.every_ms),
        "splay_ms": schedule.splay_ms,
        "max_running": schedule.max_running,
        "missed": schedule.missed,
        "paused": schedule.paused,
        "caller": schedule.caller,
        "target": job.target,
        "function": job.function,
        "args": serde_json::from_slice::<Value>(&job.args).unwrap_or_default(),
        "last": when::moment(schedule.last),
        "next": when::moment(schedule.next),
        "last_jid": (schedule.last_jid > 0).then(|| Jid::from_micros(schedule.last_jid).to_string()),
        "last_error": (!schedule.last_error.is_empty()).then_some(&schedule.last_error),
    })
}

/// When it runs.
pub fn times(schedule: &Schedule) -> String {
    match schedule.every_ms {
        0 => schedule.cron.clone(),
        ms if ms < 1_000 => format!("every {ms} ms"),
        ms => format!("every {}", when::span(Duration::from_millis(ms))),
    }
}

/// Its next time, or why it has none.
pub fn next(schedule: &Schedule) -> String {
    match schedule.paused {
        true => "paused".into(),
        false => when::moment(schedule.next).unwrap_or_else(|| "never".into()),
    }
}

/// Prints one, after saying what was done to it.
///
/// # Errors
/// Standard output cannot be written.
pub fn show(schedule: &Schedule, out: &Output, done: &str) -> anyhow::Result<()> {
    out.show(&data(schedule), |_| text(schedule, done))
}

fn text(schedule: &Schedule, done: &str) -> String {
    let job = schedule.job.clone().unwrap_or_default();
    let mut lines = vec![
        format!("schedule {:?} {done}", schedule.name),
        format!("  runs     {} on {}", call(&job.function, &job.args), job.target),
        format!("  at       {}{}", times(schedule), splay(schedule.splay_ms)),
        format!("  next     {}", next(schedule)),
    ];
    if let Some(last) = when::moment(schedule.last) {
        let what = match schedule.last_jid {
            0 => String::new(),
            jid => format!(", jid {}", Jid::from_micros(jid)),
        };
        lines.push(format!("  last     {last}{what}"));
    }
    if !schedule.last_error.is_empty() {
        lines.push(format!("  problem  {}", schedule.last_error));
    }
    lines
        .push(format!("  limits   {} open at once; missed times: {}", schedule.max_running, schedule.missed));
    if !schedule.caller.is_empty() {
        lines.push(format!("  by       {}", schedule.caller));
    }
    clean(&lines.join("\n"))
}

fn splay(ms: u64) -> String {
    match ms {
        0 => String::new(),
        1..1_000 => format!(", up to {ms} ms later"),
        _ => format!(", up to {} later", when::span(Duration::from_millis(ms))),
    }
}

#[cfg(test)]
mod tests {
    use relay_proto::operator::SubmitRequest;

    use super::*;

    fn schedule() -> Schedule {
        let job = SubmitRequest {
            target: "*".into(),
            function: "test.ping".into(),
            args: b"{}".to_vec(),
            ..SubmitRequest::default()
        };
        Schedule {
            name: "ping".into(),
            every_ms: 3_600_000,
            splay_ms: 30_000,
            max_running: 1,
            missed: "skip".into(),
            job: Some(job),
            caller: "admin".into(),
            last: 1_795_246_616_000_000,
            next: 1_795_250_216_000_000,
            last_jid: 1_795_246_616_123_456,
            last_error: "no minion matches".into(),
            ..Schedule::default()
        }
    }

    #[test]
    fn for_people() {
        let expected = "schedule \"ping\" kept
  runs     test.ping on *
  at       every 1h 0m, up to 30s later
  next     2026-11-21T08:36:56Z
  last     2026-11-21T07:36:56Z, jid 20261121073656123456
  problem  no minion matches
  limits   1 open at once; missed times: skip
  by       admin";
        assert_eq!(text(&schedule(), "kept"), expected);
        assert_eq!(next(&Schedule { paused: true, ..schedule() }), "paused");
    }

    #[test]
    fn for_programs() {
        let data = data(&schedule());
        assert_eq!((&data["cron"], &data["every_ms"]), (&Value::Null, &3_600_000.into()));
        assert_eq!(data["last_jid"], "20261121073656123456");
    }
}
