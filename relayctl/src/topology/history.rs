//! `relayctl topology history`: the revisions, newest first.

use std::collections::{BTreeMap, btree_map::Entry};

use clap::Args;
use relay_core::topology::{Topology, plan::changes};
use relay_proto::operator::TopologyRevision;
use serde_json::{Value, json};

use super::{active::meaning, api::Topologies, plan::Counts};
use crate::{
    exit::Exit,
    output::{Output, table},
    when,
};

/// Revisions asked for in one call.
const PAGE: u32 = 100;
/// Letters of a commit that people are shown, as git shows them.
const SHORT: usize = 10;

/// Which revisions.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HistoryArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only revisions older than this one
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    before: Option<u64>,
    /// Also how much each one changed: its text is fetched
    #[arg(long)]
    changes: bool,
}

const EXAMPLES: &str = "\
EXAMPLES:
  relayctl topology history
  relayctl topology history --changes
  relayctl topology history --limit 5 --out json
  relayctl topology history --before 12

STATE is staging (it goes from region to region), active, superseded, or rolled_back (it was stopped by its losses). CHANGES is
against the revision that was active before it: added, changed and removed parts.";

/// Runs it.
pub async fn run(
    args: &HistoryArgs,
    fabric: &mut impl Topologies,
    wanted: Option<&str>,
    out: &Output,
) -> anyhow::Result<Exit> {
    let revisions = revisions(args, fabric).await?;
    let counts = match args.changes {
        true => counted(&revisions, fabric).await?,
        false => vec![None; revisions.len()],
    };
    let data: Vec<Value> = revisions.iter().zip(&counts).map(|(r, counts)| with_changes(r, counts)).collect();
    let now = when::now_micros();
    out.show(&data, |_| {
        let heading = ["", "NUMBER", "STATE", "WHEN", "WHO", "COMMIT", "CHANGES", "MESSAGE"];
        match table(heading, revisions.iter().zip(&counts).map(|(r, counts)| shown(r, counts, now))) {
            none if none.is_empty() => "no topology was applied yet".into(),
            some => some + &next_page(args, &revisions, wanted),
        }
    })?;
    Ok(Exit::Ok)
}

async fn revisions(
    args: &HistoryArgs,
    fabric: &mut impl Topologies,
) -> anyhow::Result<Vec<TopologyRevision>> {
    let (mut all, mut before) = (Vec::new(), args.before.unwrap_or(0));
    loop {
        let limit = (args.limit - all.len() as u32).min(PAGE);
        let page = fabric.history(limit, before).await?;
        let last = page.last().map(|r| r.number).filter(|n| *n > 1 && page.len() >= limit as usize);
        all.extend(page);
        match last {
            Some(last) if all.len() < args.limit as usize => before = last,
            _ => return Ok(all),
        }
    }
}

/// Added, changed and removed parts of each against the one that was active before it. Nothing for the first one, and where
/// the one before is not kept any more.
async fn counted(
    revisions: &[TopologyRevision],
    fabric: &mut impl Topologies,
) -> anyhow::Result<Vec<Option<Counts>>> {
    let Some(last) = revisions.last() else { return Ok(Vec::new()) };
    let older = fabric.history(PAGE, last.number).await?;
    // A text is fetched once, for the revision that it is and for those that came after it.
    let mut known: BTreeMap<u64, Topology> = BTreeMap::new();
    let mut counts = Vec::new();
    for revision in revisions {
        let stood = |r: &&TopologyRevision| r.number < revision.number && r.state == "superseded";
        let Some(before) = revisions.iter().chain(&older).find(stood) else {
            counts.push(None);
            continue;
        };
        for number in [before.number, revision.number] {
            if let Entry::Vacant(place) = known.entry(number) {
                place.insert(meaning(&fabric.revision(number).await?)?);
            }
        }
        counts.push(Some(Counts::of(&changes(&known[&before.number], &known[&revision.number]))));
        // They go back in time: what is newer is not asked for again.
        known.retain(|number, _| *number < revision.number);
    }
    Ok(counts)
}

/// A revision as data, without its text.
pub fn row(revision: &TopologyRevision) -> Value {
    json!({
        "number": revision.number,
        "state": revision.state,
        "applied_at": when::moment(revision.applied),
        "caller": revision.caller,
        "commit": revision.commit,
        "author": revision.author,
        "message": revision.message,
        "rollback_of": (revision.rollback_of > 0).then_some(revision.rollback_of),
        "regions": revision.regions,
        "why": revision.why,
        "digest": revision.digest,
    })
}

fn with_changes(revision: &TopologyRevision, counts: &Option<Counts>) -> Value {
    let mut data = row(revision);
    if let (Value::Object(fields), Some(Counts { add, change, remove })) = (&mut data, counts) {
        fields.insert("changes".into(), json!({ "add": add, "change": change, "remove": remove }));
    }
    data
}

fn shown(revision: &TopologyRevision, counts: &Option<Counts>, now: u64) -> [String; 8] {
    let mark = if revision.state == "active" { "*" } else { "" };
    let who = match revision.author.as_str() {
        "" => revision.caller.clone(),
        author => format!("{} ({author})", revision.caller),
    };
    let counts =
        counts.map_or(String::new(), |Counts { add, change, remove }| format!("+{add} ~{change} -{remove}"));
    [
        mark.into(),
        revision.number.to_string(),
        revision.state.clone(),
        format!("{} ago", when::ago(revision.applied, now)),
        who,
        revision.commit.chars().take(SHORT).collect(),
        counts,
        message(revision),
    ]
}

/// What it was for, and what became of it.
fn message(revision: &TopologyRevision) -> String {
    let rollback = match revision.rollback_of {
        0 => None,
        n => Some(format!("rollback to {n}")),
    };
    let why = (!revision.why.is_empty()).then(|| format!("stopped: {}", revision.why));
    let said = (!revision.message.is_empty()).then(|| revision.message.clone());
    [rollback, said, why].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What asks for the next page, if there may be one.
fn next_page(args: &HistoryArgs, revisions: &[TopologyRevision], wanted: Option<&str>) -> String {
    match revisions.last() {
        Some(last) if revisions.len() >= args.limit as usize && last.number > 1 => {
            let changes = if args.changes { " --changes" } else { "" };
            let next =
                format!("relayctl topology history --limit {}{changes} --before {}", args.limit, last.number);
            format!("older ones: {}", super::with_context(next, wanted))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fake::{Fake, revision, text};

    fn args(limit: u32, changes: bool) -> HistoryArgs {
        HistoryArgs { limit, before: None, changes }
    }

    #[tokio::test]
    async fn pages_are_asked_for_until_there_are_enough() {
        let many = (1..=250).map(|n| revision(n, "superseded", &text(1))).collect();
        let mut fabric = Fake::of(many, 0);
        for (limit, found, pages) in [(20, 20, 1), (230, 230, 3), (1000, 250, 3)] {
            fabric.pages = 0;
            let all = revisions(&args(limit, false), &mut fabric).await.unwrap();
            assert_eq!((all.len(), fabric.pages, all[0].number), (found, pages, 250), "{limit}");
            assert!(all.windows(2).all(|pair| pair[0].number == pair[1].number + 1));
        }
    }

    #[tokio::test]
    async fn changes_are_against_the_revision_before() {
        let mut fabric = Fake::of(
            vec![
                revision(1, "superseded", &text(1)),
                revision(2, "superseded", &text(3)),
                revision(3, "rolled_back", &text(9)),
                revision(4, "active", &text(2)),
            ],
            0,
        );
        let all = revisions(&args(20, true), &mut fabric).await.unwrap();
        let counts = counted(&all, &mut fabric).await.unwrap();
        let found: Vec<Option<(usize, usize)>> =
            counts.iter().map(|counts| counts.map(|c| (c.add, c.remove))).collect();
        assert_eq!(found, [Some((0, 1)), Some((6, 0)), Some((2, 0)), None]);
        assert_eq!(with_changes(&all[2], &counts[2])["changes"], json!({"add": 2, "change": 0, "remove": 0}));
    }

    #[test]
    fn a_row_says_who_when_from_where_and_why() {
        let revision = TopologyRevision {
            commit: "8c1f0e2a4b5c6d7e".into(),
            author: "Ada".into(),
            message: "too small".into(),
            rollback_of: 3,
            why: "east lost 9 of 40".into(),
            ..revision(7, "rolled_back", "")
        };
        let shown = shown(&revision, &None, revision.applied + 61_000_000);
        let expected = ["", "7", "rolled_back", "1m 1s ago", "alice (Ada)", "8c1f0e2a4b", ""];
        assert_eq!(shown[..7], expected);
        assert_eq!(shown[7], "rollback to 3; too small; stopped: east lost 9 of 40");
        assert_eq!(row(&revision)["rollback_of"], 3);
    }

    #[test]
    fn the_next_page_is_what_to_type() {
        let page = [revision(9, "active", ""), revision(8, "superseded", "")];
        let next = next_page(&args(2, true), &page, Some("prod"));
        assert_eq!(
            next,
            "older ones: relayctl topology history --limit 2 --changes --before 8 --context prod"
        );
        assert_eq!(next_page(&args(3, true), &page, None), "");
    }
}
