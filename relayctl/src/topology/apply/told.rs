//! How an apply goes, in words and as data.

use std::io::{IsTerminal as _, Write as _};

use relay_proto::operator::{TopologyProgress, TopologyRegion, TopologyRevision, topology_progress::Event};
use serde_json::{Value, json};

use crate::{
    output::{Output, Paint, clean, print},
    topology::history::row,
};

/// Tells the steps of an apply: a line each on standard error, which a terminal overwrites; JSON lines where a program
/// reads them.
pub struct Teller<'o> {
    out: &'o Output,
    terminal: bool,
    /// The region on the line that stands open.
    open: Option<String>,
}

impl<'o> Teller<'o> {
    /// Nothing was told yet.
    pub fn new(out: &'o Output) -> Teller<'o> {
        Teller { out, terminal: std::io::stderr().is_terminal(), open: None }
    }

    /// Tells a step.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn step(&mut self, step: &TopologyProgress) -> anyhow::Result<()> {
        if self.out.is_stream() {
            return data(step).map_or(Ok(()), |data| print(&data.to_string()));
        }
        match &step.event {
            Some(Event::Accepted(revision)) => {
                self.close();
                eprintln!("revision {} is accepted; region by region:", revision.number);
            }
            Some(Event::Region(region)) => self.region(region),
            Some(Event::Done(_)) | None => self.close(),
        }
        Ok(())
    }

    /// The end of a line that stands open.
    pub fn close(&mut self) {
        if self.open.take().is_some() && self.terminal {
            eprintln!();
        }
    }

    fn region(&mut self, region: &TopologyRegion) {
        let new = self.open.as_deref() != Some(&region.name);
        if new {
            self.close();
        }
        // Where nothing can be overwritten, the first and the last are enough.
        match self.terminal {
            true => eprint!("\r\x1b[K  {}", words(region)),
            false if new || region.settled => eprintln!("  {}", words(region)),
            false => {}
        }
        let _ = std::io::stderr().flush();
        self.open = Some(region.name.clone());
        if region.settled {
            self.close();
        }
    }
}

/// One region, in a line.
fn words(region: &TopologyRegion) -> String {
    let TopologyRegion { name, before, up, moving, settled } = region;
    let moving = match moving {
        0 => String::new(),
        n => format!(", {n} have yet to move"),
    };
    let settled = if *settled { ": done" } else { "" };
    clean(&format!("{name}: {up} of {before} minions up{moving}{settled}"))
}

fn data(step: &TopologyProgress) -> Option<Value> {
    Some(match step.event.as_ref()? {
        Event::Accepted(revision) => json!({ "event": "accepted", "revision": row(revision) }),
        Event::Region(TopologyRegion { name, before, up, moving, settled }) => json!({
            "event": "region", "region": name, "before": before, "up": up, "moving": moving, "settled": settled,
        }),
        Event::Done(revision) => json!({ "event": "done", "revision": row(revision) }),
    })
}

/// The answer when there is nothing to apply.
pub fn nothing(active: u64) -> Value {
    json!({ "number": active, "state": "active", "applied": false })
}

/// The answer of an apply that is over.
pub fn done(revision: &TopologyRevision) -> Value {
    let mut data = row(revision);
    if let Value::Object(fields) = &mut data {
        fields.insert("applied".into(), (revision.state == "active").into());
    }
    data
}

/// The same for people.
pub fn last_line(revision: &TopologyRevision, paint: &Paint) -> String {
    let TopologyRevision { number, state, why, .. } = revision;
    match state.as_str() {
        "active" => paint.green(format!("revision {number} is active")),
        "rolled_back" => paint.red(clean(&format!("revision {number} was stopped and rolled back: {why}"))),
        "superseded" => paint.green(format!("revision {number} was active; another one is by now")),
        other => paint.yellow(clean(&format!("revision {number} is {other}"))),
    }
}
