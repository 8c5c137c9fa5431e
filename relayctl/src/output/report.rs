//! A job's result for programs.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::{
    similar::{Alike, similar},
    view::{Fold, View},
};
use crate::job::{Group, JobResult};

/// The JSON of a job.
#[derive(Debug, Serialize)]
pub struct Report {
    jid: String,
    targets: u64,
    #[serde(serialize_with = "counts")]
    outcomes: Vec<(&'static str, u64)>,
    returns: Vec<Return>,
    elapsed_ms: u64,
}

#[derive(Debug, Serialize)]
struct Return {
    outcome: &'static str,
    reason: &'static str,
    retcode: i32,
    /// What they said; not there if there is a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#return: Option<Value>,
    /// What they said, with `{name}` where they differ (`--fold similar`).
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Value>,
    /// By name, what stands there: a cell for each of `minions`, in their order.
    #[serde(skip_serializing_if = "Map::is_empty")]
    columns: Map<String, Value>,
    minions: Vec<String>,
    /// SHA-256 of the whole value, in hexadecimal: only there if `return` is the beginning of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<String>,
}

impl Report {
    /// What a result says. Everything is there, whatever a terminal would be shown of it.
    pub fn new(result: &JobResult, view: impl Into<View>) -> Report {
        let returns = match view.into().fold {
            Fold::Exact => result.folded().iter().map(Return::new).collect(),
            Fold::None => result.unfolded().iter().map(Return::new).collect(),
            Fold::Similar => similar(result.folded()).iter().map(Return::alike).collect(),
        };
        Report {
            jid: result.jid.to_string(),
            targets: result.targets(),
            outcomes: result.counts().into_iter().map(|(outcome, n)| (outcome.word(), n)).collect(),
            returns,
            elapsed_ms: result.elapsed_ms(),
        }
    }
}

impl Return {
    fn new(group: &Group<'_>) -> Return {
        let said = group.said;
        let hex = || said.truncated.iter().map(|byte| format!("{byte:02x}")).collect();
        Return {
            outcome: said.outcome.word(),
            reason: said.reason.word(),
            retcode: said.retcode,
            r#return: Some(said.value()),
            template: None,
            columns: Map::new(),
            minions: group.minions.iter().map(|id| (*id).to_owned()).collect(),
            truncated: (!said.truncated.is_empty()).then(hex),
        }
    }

    /// Never of answers that were cut off, unless there is but one: those are not alike with anything.
    fn alike(alike: &Alike<'_>) -> Return {
        let mut members: Vec<(&str, usize)> = Vec::with_capacity(alike.minions());
        for (row, group) in alike.groups.iter().enumerate() {
            members.extend(group.minions.iter().map(|id| (*id, row)));
        }
        members.sort_unstable();
        let cells = |cells: &[Value]| members.iter().map(|(_, row)| cells[*row].clone()).collect();
        let differs = !alike.columns.is_empty();
        let one = Return::new(&alike.groups[0]);
        Return {
            r#return: one.r#return.filter(|_| !differs),
            template: differs.then(|| alike.template.clone()),
            columns: alike.columns.iter().map(|c| (c.name.clone(), cells(&c.cells))).collect(),
            minions: members.iter().map(|(id, _)| (*id).to_owned()).collect(),
            ..one
        }
    }
}

fn counts<S: Serializer>(counts: &[(&'static str, u64)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(counts.len()))?;
    counts.iter().try_for_each(|(outcome, n)| map.serialize_entry(outcome, n))?;
    map.end()
}
