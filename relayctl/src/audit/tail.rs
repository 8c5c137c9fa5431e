//! `relayctl audit tail`.

use clap::Args;
use relay_core::audit::{Entry, Event, Kind};
use relay_proto::audit::{self as wire, TailRequest};

use super::records::Records;
use crate::{
    connect::Fabric,
    exit::Exit,
    output::{Output, Paint, clean, print},
    when,
};

/// Which records.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TailArgs {
    /// So many of the newest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    last: u64,
    /// From this record on, instead of the newest ones
    #[arg(long, value_name = "RECORD", conflicts_with = "last")]
    from: Option<u64>,
    /// Go on with those that come, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only records of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kind: Vec<Kind>,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl audit tail
  relayctl audit tail -n 100 --kind deny,login
  relayctl audit tail -f --out json         a record as it stands in the log on each line

KINDS:
  accept deny login enrol key policy approve job takeover topology token trust unknown_resolved schedule suppressed";

fn kind(word: &str) -> Result<Kind, String> {
    let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
    Kind::from_word(word).ok_or_else(|| format!("it is one of: {}", words.join(", ")))
}

/// Runs it.
pub async fn run(args: &TailArgs, fabric: &mut Fabric, out: &Output) -> anyhow::Result<Exit> {
    let (from, last) = match args.from {
        Some(from) => (from, 0),
        None => (0, args.last),
    };
    let mut records = Records::new(fabric, TailRequest { from, limit: 0, follow: args.follow, last });
    while let Some(page) = records.next().await? {
        for entry in &page.entries {
            show(entry, &args.kind, out)?;
        }
    }
    Ok(Exit::Ok)
}

fn show(entry: &wire::Entry, kinds: &[Kind], out: &Output) -> anyhow::Result<()> {
    let read = Entry::decode(&entry.record);
    if let Ok(read) = &read
        && !kinds.is_empty()
        && !kinds.contains(&read.event.kind)
    {
        return Ok(());
    }
    if !out.is_text() {
        return print(&(String::from_utf8_lossy(&entry.record) + "\n"));
    }
    out.say(&match read {
        Ok(read) => line(&read, &out.paint),
        Err(why) => format!("record {}: {why}", entry.seq),
    })
}

/// A record for people.
pub(super) fn line(entry: &Entry, paint: &Paint) -> String {
    let Event { kind, who, how, subject, details } = &entry.event;
    let at = when::moment(entry.at).unwrap_or_default();
    let word = match kind {
        Kind::Deny => paint.red(kind.word()),
        Kind::Suppressed | Kind::UnknownResolved | Kind::Takeover => paint.yellow(kind.word()),
        _ => kind.word().to_owned(),
    };
    let details: Vec<String> = details.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let told = clean(&format!("{who} ({how}) {subject} {}", details.join(" ")));
    format!("{at} {} {word} {}", entry.seq, told.trim_end())
}
