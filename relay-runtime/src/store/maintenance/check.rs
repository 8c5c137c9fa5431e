//! Whether a store is whole: every row can be read, means something, and fits the others.
//!
//! Owns what is told, and the rows that are of no job; a job's rows are `check::job`'s. Sees each row once and has the rows of
//! one job in memory, beside the numbers of all minions.

use std::collections::BTreeMap;

use prost::Message;
use relay_core::{
    Members,
    audit::{Entry, Hash, tree::leaf_hash},
    ids::{MinionId, RegionName, TierId},
    time::WallMicros,
};
use relay_proto::operator as wire;

use super::{
    MaintenanceError,
    export::Counts,
    table::{Row, Wrong},
    walk::{Opening, See},
};
use crate::{
    config::parse_topology,
    store::{Area, KEEP_REQUESTS_HOURS, MAX_RECORD_KEY, MAX_RECORD_VALUE, RevisionState, StoreError},
};

mod job;

/// Most problems that are told one by one. More are counted: such a store is restored, not repaired row by row.
pub const MAX_PROBLEMS: usize = 10_000;
const HOUR: WallMicros = 3_600 * 1_000_000;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The row, as `table (key value, ...)`, or what else it is about.
    pub row: String,
    /// What is wrong.
    pub what: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What kind of store it is, and its schema version.
    pub store: &'static str,
    /// The schema version.
    pub schema: i64,
    /// Rows that were looked at, by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// What is wrong, in the order of the rows; at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// Problems beyond these.
    pub more: u64,
    /// Request ids that the next pruning will forget. Nothing is wrong with them.
    pub stale_requests: u64,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    fn note(&mut self, row: impl ToString, what: impl ToString) {
        match self.problems.len() < MAX_PROBLEMS {
            true => self.problems.push(Problem { row: row.to_string(), what: what.to_string() }),
            false => self.more += 1,
        }
    }
}

/// Looks at what passes by.
pub(super) struct Checker {
    findings: Findings,
    counts: Counts,
    /// Request ids of forgotten jobs that are older are to be forgotten, too.
    requested_after: WallMicros,
    epoch: u64,
    begun: bool,
    minions: Members,
    audit: AuditRows,
    /// The job whose rows pass by.
    job: job::JobRows,
}

impl Checker {
    pub(super) fn new(now: WallMicros) -> Checker {
        Checker {
            findings: Findings::default(),
            counts: Counts::default(),
            requested_after: now.saturating_sub(KEEP_REQUESTS_HOURS * HOUR),
            epoch: 0,
            begun: false,
            minions: Members::new(),
            audit: AuditRows::default(),
            job: job::JobRows::default(),
        }
    }

    /// What was found. A store that could be opened and then not be read to its end has a problem; one that could not be
    /// opened was not looked at.
    pub(super) fn finish(
        mut self,
        walked: Result<(), MaintenanceError>,
    ) -> Result<Findings, MaintenanceError> {
        match walked {
            Err(MaintenanceError::Store(StoreError::Database { why, .. })) if self.begun => {
                let read: u64 = self.counts.total();
                self.findings.note("the store", format!("after {read} rows it can't be read on: {why}"));
            }
            other => other?,
        }
        self.findings.rows = self.counts.0;
        Ok(self.findings)
    }

    fn free_row(&mut self, row: &Row) -> Result<(), Wrong> {
        match row.table.name {
            "minions" => self.minion(row),
            "plans" => plan(row, &self.minions),
            "schedules" => schedule(row),
            "topologies" => topology(row),
            "records" => record(row).and_then(|area| self.audit.take(area, row)),
            _ => Ok(()),
        }
    }

    fn minion(&mut self, row: &Row) -> Result<(), Wrong> {
        let no = row.number("no")?;
        let no = u32::try_from(no).map_err(|e| format!("no: {no}: {e}"))?;
        self.minions.insert(no);
        row.parsed::<MinionId>("id")?;
        row.parsed::<RegionName>("region")?;
        row.parsed::<TierId>("syndic")?;
        within_epoch(row.number("epoch")?, self.epoch)?;
        match serde_json::from_str(row.text("grains")?) {
            Ok(serde_json::Value::Object(_)) => Ok(()),
            Ok(_) => Err("grains: no JSON object".into()),
            Err(error) => Err(format!("grains: {error}")),
        }
    }
}

impl See for Checker {
    fn begin(&mut self, opening: Opening) -> Result<(), MaintenanceError> {
        self.begun = true;
        self.epoch = opening.epoch;
        (self.findings.store, self.findings.schema) = (opening.store, opening.schema);
        Ok(())
    }

    fn wrong(&mut self, place: &str, what: &str) {
        self.begun = true;
        self.findings.note(place, what);
    }

    fn row(&mut self, row: Row) -> Result<(), MaintenanceError> {
        self.counts.add(row.table.name);
        let findings = &mut self.findings;
        if row.table.of_job {
            self.job.take(&row, self.epoch, &mut |row, why| findings.note(row, why));
        } else if let Err(why) = row.damage().map_or_else(|| self.free_row(&row), Err) {
            self.findings.note(&row, why);
        }
        Ok(())
    }

    fn job_over(&mut self) -> Result<(), MaintenanceError> {
        let rows = std::mem::take(&mut self.job);
        if rows.is_only_a_request() && rows.requested().is_some_and(|at| at < self.requested_after) {
            self.findings.stale_requests += 1;
        }
        let findings = &mut self.findings;
        rows.finish(&self.minions, &mut |row, why| findings.note(row, why));
        Ok(())
    }
}

/// Nobody has written under an epoch that nobody has had.
fn within_epoch(written: u64, last: u64) -> Result<(), Wrong> {
    match written <= last {
        true => Ok(()),
        false => Err(format!("epoch {written} has not begun: the last one is {last}")),
    }
}

/// Every number has its minion.
fn known(set: &Members, minions: &Members, what: &str) -> Result<(), Wrong> {
    let strangers = set - minions;
    match strangers.min() {
        None => Ok(()),
        Some(no) => Err(format!("{what}: there is no minion {no}, and {} others", strangers.len() - 1)),
    }
}

fn plan(row: &Row, minions: &Members) -> Result<(), Wrong> {
    row.fixed::<32>("id")?;
    wire::SubmitRequest::decode(row.bytes("request")?).map_err(|e| format!("request: {e}"))?;
    known(&row.set("targets")?, minions, "targets")
}

fn schedule(row: &Row) -> Result<(), Wrong> {
    let schedule =
        wire::Schedule::decode(row.bytes("definition")?).map_err(|e| format!("definition: {e}"))?;
    match schedule.name == row.text("name")? {
        true => Ok(()),
        false => Err(format!("definition: it is of the schedule {:?}", schedule.name)),
    }
}

fn topology(row: &Row) -> Result<(), Wrong> {
    row.set("watched")?;
    let regions: Vec<String> =
        serde_json::from_str(row.text("regions")?).map_err(|e| format!("regions: {e}"))?;
    for region in regions {
        region.parse::<RegionName>().map_err(|e| format!("regions: {e}"))?;
    }
    // What is over may be from a time with other rules; what counts must be understood.
    if !matches!(row.word("state", RevisionState::from_word)?, RevisionState::Active | RevisionState::Staging)
    {
        return Ok(());
    }
    let topology = parse_topology(row.text("text")?)
        .map_err(|all| format!("text: {}", all.first().map(|p| p.what.as_str()).unwrap_or_default()))?;
    match topology.digest() == row.text("digest")? {
        true => Ok(()),
        false => Err(format!("text: its digest is {}, not the one beside it", topology.digest())),
    }
}

/// What the value means is its area's owner's, but for the audit log's.
fn record(row: &Row) -> Result<Area, Wrong> {
    row.number("revision")?;
    let area = row.word("area", Area::from_word)?;
    for (column, least, most) in [("key", 1, MAX_RECORD_KEY), ("value", 0, MAX_RECORD_VALUE)] {
        let bytes = row.bytes(column)?.len();
        if !(least..=most).contains(&bytes) {
            return Err(format!("{column}: {bytes} bytes, not {least} to {most}"));
        }
    }
    Ok(area)
}

/// The audit log as it passes by, in its order. Signatures are not looked at here.
#[derive(Default)]
struct AuditRows {
    next: u64,
    /// The leaf of the record before.
    last: Option<Hash>,
}

impl AuditRows {
    fn take(&mut self, area: Area, row: &Row) -> Result<(), Wrong> {
        if area != Area::Audit {
            return Ok(());
        }
        let (seq, line) = (u64::from_be_bytes(row.fixed("key")?), row.bytes("value")?);
        let (expected, before) = (self.next, self.last);
        (self.next, self.last) = (seq.saturating_add(1), Some(leaf_hash(line)));
        if seq != expected {
            return Err(format!("key: it is record {seq} of the audit log, where record {expected} belongs"));
        }
        let entry = Entry::decode(line).map_err(|why| format!("value: {why}"))?;
        match (entry.seq == seq, entry.prev == before) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("value: it is record {} of the audit log", entry.seq)),
            (_, false) => {
                Err("value: it does not fit the record before it: one of the two was changed".into())
            }
        }
    }
}
