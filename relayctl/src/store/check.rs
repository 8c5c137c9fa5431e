//! `relayctl store check`.

use clap::Args;
use relay_runtime::store::maintenance::{Findings, Problem, StorePlace};
use serde_json::{Value, json};

use super::Which;
use crate::{
    exit::Exit,
    output::{Output, Paint, clean},
    when,
};

/// Which store.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    #[command(flatten)]
    which: Which,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl store check --config /etc/relay/top-master.yaml
  relayctl store check --sqlite /var/lib/relay/store.sqlite --out json

Reads everything at one moment, also beside a running top master, and changes and repairs nothing.

EXIT CODES:
  0  no problem
  1  problems; each is told with its row
  3  not checked: no store there, of another schema, or it cannot be opened";

/// Runs it.
pub async fn run(args: &CheckArgs, out: &Output) -> anyhow::Result<Exit> {
    let chosen = args.which.choose()?;
    let found = chosen.place.check(when::now_micros()).await?;
    out.show(&data(&chosen.place, &found), |paint| text(&chosen.place, &found, paint))?;
    Ok(verdict(&found))
}

/// The exit code.
pub fn verdict(found: &Findings) -> Exit {
    if found.is_clean() { Exit::Ok } else { Exit::Failed }
}

fn data(place: &StorePlace, found: &Findings) -> Value {
    let one = |p: &Problem| json!({ "row": p.row, "what": p.what });
    json!({
        "place": place.to_string(),
        "store": found.store,
        "schema": found.schema,
        "clean": found.is_clean(),
        "rows": found.rows,
        "problems": found.problems.iter().map(one).collect::<Vec<_>>(),
        "more_problems": found.more,
        "stale_requests": found.stale_requests,
    })
}

/// The problems, a line each, and the verdict.
pub fn text(place: &StorePlace, found: &Findings, paint: &Paint) -> String {
    let line = |p: &Problem| clean(&format!("{}: {}", p.row, p.what)) + "\n";
    let mut text: String = found.problems.iter().map(line).collect();
    let rows: u64 = found.rows.values().sum();
    if found.stale_requests > 0 {
        text += &format!("{} old request ids go with the next pruning\n", found.stale_requests);
    }
    let count = found.problems.len() as u64 + found.more;
    text += &match count {
        0 => paint.green(format!("{place} is whole: schema {}, rows: {rows}", found.schema)),
        1 => paint.red(format!("{place} has a problem: restore it from a backup")),
        n => paint.red(format!("{place} has {n} problems: restore it from a backup")),
    };
    text
}
