//! `relayctl store migrate`.

use anyhow::bail;
use clap::Args;
use relay_runtime::store::maintenance::{SchemaVersion, StorePlace};
use serde_json::json;

use super::Which;
use crate::{
    exit::Exit,
    output::Output,
    run::terminal::{Ask, Terminal, confirm},
};

/// Which store, and how.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MigrateArgs {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
    /// Do not copy the store's file first. (A database is never copied: use pg_dump)
    #[arg(long)]
    no_backup: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl store migrate --config /etc/relay/top-master.yaml
  relayctl store migrate --config /etc/relay/top-master.yaml --yes
  relayctl store migrate --sqlite /var/lib/relay/store.sqlite --no-backup

A top master does the same when it starts. Done here, there is a copy of the store as it was, and somebody who looks on.
An older build cannot open the store afterwards. Every top master that uses it must be stopped.

EXIT CODES:
  0  migrated, or there was nothing to do
  3  nothing was changed: in use, newer than this build, not confirmed, no store there";

/// Runs it.
pub async fn run(args: &MigrateArgs, out: &Output) -> anyhow::Result<Exit> {
    let place = args.which.choose()?.place;
    let SchemaVersion { found, known } = place.schema().await?;
    if found == known {
        let data = json!({ "place": place.to_string(), "from": found, "to": known, "backup": null });
        out.show(&data, |_| format!("{place} has schema {found}, this build's: there is nothing to do"))?;
        return Ok(Exit::Ok);
    }
    agreed(args, &place, found, known).await?;
    let done = place.migrate(!args.no_backup).await?;
    let backup = done.backup.map(|path| path.display().to_string());
    let data = json!({ "place": place.to_string(), "from": found, "to": known, "backup": backup });
    out.show(&data, |_| {
        let copy = backup.map(|path| format!("; as it was, it is in {path}")).unwrap_or_default();
        format!("{place} is migrated from schema {found} to {known}{copy}")
    })?;
    Ok(Exit::Ok)
}

async fn agreed(args: &MigrateArgs, place: &StorePlace, found: i64, known: i64) -> anyhow::Result<()> {
    if args.yes {
        return Ok(());
    }
    let what = format!("migrate {place} from schema {found} to {known}");
    let mut terminal = Terminal::new();
    if !terminal.is_there() {
        bail!("nobody is there to be asked: write --yes to {what}");
    }
    let backup = match (place, args.no_backup) {
        (StorePlace::Sqlite(_), false) => "it is copied first",
        (StorePlace::Sqlite(_), true) => "it is not copied first",
        (StorePlace::Postgres(_), _) => "this makes no backup: pg_dump does",
    };
    match confirm(&mut terminal, &format!("{what} ({backup})? [y/N] ")).await {
        true => Ok(()),
        false => bail!("nothing was changed"),
    }
}
