//! `relayctl dev status`.

use serde::Serialize;

use super::{
    Which,
    ready::Attached,
    record::{Process, Record},
};
use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, Paint, table},
};

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl dev status
  relayctl dev status --name second
  relayctl dev status --out json

EXIT CODES:
  0 every process lives and every minion is attached   1 not all of them   3 there is no such fabric";

#[derive(Serialize)]
struct Status<'a> {
    dir: &'a std::path::Path,
    context: &'a str,
    fabric: &'a str,
    processes: Vec<One<'a>>,
    #[serde(flatten)]
    all: Attached,
    top_masters_up: usize,
    syndics_up: usize,
    minions_up: u64,
    /// Why no top master could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct One<'a> {
    name: &'a str,
    role: &'a str,
    pid: u32,
    alive: bool,
    admin: &'a str,
    config: &'a std::path::Path,
    log: &'a std::path::Path,
}

impl<'a> One<'a> {
    fn new(process: &'a Process) -> One<'a> {
        let Process { name, role, id, admin, config, log, .. } = process;
        One { name, role, pid: id.pid, alive: id.lives(), admin, config, log }
    }
}

/// Runs it.
pub async fn run(which: &Which, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let (dir, record) = which.find(wanted)?;
    let attached = attached(&record).await;
    let (now, error) = match attached {
        Ok(now) => (now, None),
        Err(error) => (Attached::default(), Some(format!("{error:#}"))),
    };
    let status = Status {
        dir: &dir,
        context: &record.context.name,
        fabric: &record.context.fabric,
        processes: record.processes.iter().map(One::new).collect(),
        all: record.size,
        top_masters_up: now.top_masters,
        syndics_up: now.syndics,
        minions_up: now.minions,
        error,
    };
    out.show(&status, |paint| text(&status, paint))?;
    Ok(if is_whole(&status) { Exit::Ok } else { Exit::Failed })
}

async fn attached(record: &Record) -> anyhow::Result<Attached> {
    let status = Fabric::of(&record.context)?.status().await?;
    Ok(Attached::of(&status))
}

impl Status<'_> {
    fn now(&self) -> Attached {
        let Status { top_masters_up, syndics_up, minions_up, .. } = *self;
        Attached { top_masters: top_masters_up, syndics: syndics_up, minions: minions_up }
    }
}

fn is_whole(status: &Status<'_>) -> bool {
    status.processes.iter().all(|p| p.alive) && status.now().reaches(&status.all)
}

fn text(status: &Status<'_>, paint: &Paint) -> String {
    let rows = status.processes.iter().map(|p| {
        let state = if p.alive { "alive" } else { "dead" };
        [
            p.name.into(),
            p.role.into(),
            p.pid.to_string(),
            state.into(),
            p.admin.into(),
            p.log.display().to_string(),
        ]
    });
    let mut out = table(["NAME", "ROLE", "PID", "STATE", "ADMIN", "LOG"], rows);
    let alive = status.processes.iter().filter(|p| p.alive).count();
    let attached = status.now().of_all(&status.all);
    let line = format!("{alive} of {} processes alive, {attached} attached", status.processes.len());
    out.push_str(&if is_whole(status) { paint.green(line) } else { paint.yellow(line) });
    if alive < status.processes.len() {
        out.push_str("\nwhat is dead is started again by: relayctl dev start");
    }
    out.push_str(&format!("\ncontext {:?}, {}", status.context, status.dir.display()));
    if let Some(error) = &status.error {
        out.push_str(&format!("\nno top master can be asked: {error}"));
    }
    out
}
