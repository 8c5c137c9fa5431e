//! An export: a line that says what it is, a line for each row, and a line with the counts and the SHA-256 of all before.

use std::{collections::BTreeMap, io::Write};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    MaintenanceError, Transferred,
    line::to_line,
    table::{Row, TABLES},
    walk::{Opening, See},
};
use crate::store::{StoreError, value::Hex};

/// The version of the lines. Goes up with every change of [`TABLES`].
pub(super) const FORMAT: u64 = 2;
/// The first line's first key, with the format.
pub(super) const MARK: &str = "relay_store_export";
/// The last line's only key.
pub(super) const END: &str = "end";
/// How often it is told how far a transfer is, in rows.
pub(super) const PROGRESS_ROWS: u64 = 1_000;

/// Is told how many rows have gone by, now and then.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// Rows by table, for the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(pub(super) BTreeMap<&'static str, u64>);

impl Counts {
    pub(super) fn add(&mut self, table: &'static str) -> u64 {
        *self.0.entry(table).or_default() += 1;
        self.total()
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// All tables of a format, in their order.
    pub(super) fn to_value(&self, format: u64) -> Value {
        let count = |name: &str| self.0.get(name).copied().unwrap_or(0);
        let tables = TABLES.iter().filter(|table| table.is_in(format));
        Value::Object(tables.map(|t| (t.name.to_owned(), count(t.name).into())).collect())
    }
}

/// Writes what it sees.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
    fabric: Option<&'a str>,
    progress: Progress<'a>,
    hash: Sha256,
    counts: Counts,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut dyn Write, fabric: Option<&'a str>, progress: Progress<'a>) -> Writer<'a> {
        Writer { out, fabric, progress, hash: Sha256::new(), counts: Counts::default() }
    }

    fn line(&mut self, mut line: Vec<u8>) -> Result<(), MaintenanceError> {
        line.push(b'\n');
        self.hash.update(&line);
        self.out.write_all(&line).map_err(unwritten)
    }

    /// The last line.
    pub(super) fn finish(mut self) -> Result<Transferred, MaintenanceError> {
        let digest: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
        let end =
            json!({ END: { "rows": self.counts.to_value(FORMAT), "sha256": Hex(&digest).to_string() } });
        self.line(end.to_string().into_bytes())?;
        self.out.flush().map_err(unwritten)?;
        (self.progress)(self.counts.total());
        Ok(Transferred { rows: self.counts.0 })
    }
}

fn unwritten(error: std::io::Error) -> MaintenanceError {
    MaintenanceError::Write { what: "the export".into(), why: error.to_string() }
}

impl See for Writer<'_> {
    fn begin(&mut self, Opening { store, schema, epoch }: Opening) -> Result<(), MaintenanceError> {
        let columns = |table: &super::table::Table| -> Value {
            table.columns.iter().map(|column| Value::from(column.name)).collect()
        };
        let tables: Map<String, Value> = TABLES.iter().map(|t| (t.name.to_owned(), columns(t))).collect();
        let header = json!({
            MARK: FORMAT,
            "store": store,
            "schema": schema,
            "fabric": self.fabric,
            "epoch": epoch,
            "tables": tables,
        });
        self.line(header.to_string().into_bytes())
    }

    fn row(&mut self, row: Row) -> Result<(), MaintenanceError> {
        let line = to_line(&row).map_err(|why| StoreError::Damaged { row: row.to_string(), why })?;
        self.line(line)?;
        let so_far = self.counts.add(row.table.name);
        if so_far.is_multiple_of(PROGRESS_ROWS) {
            (self.progress)(so_far);
        }
        Ok(())
    }
}
