//! An export is read, line by line, into a store that makes all of it there at once or nothing.
//!
//! Owns what an export must be like; how its rows get into a store is the [`Target`]'s.

use std::io::{BufRead, Read};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    MaintenanceError, Transferred,
    export::{Counts, END, FORMAT, MARK, PROGRESS_ROWS, Progress},
    line::from_line,
    table::Row,
};
use crate::store::{StoreError, value::Hex};

/// Longest line that is read, in bytes. A body of 1 MiB is 1.4 MiB in base64; a set of 100,000 minions is far below that.
const MAX_LINE_BYTES: u64 = 64 << 20;
/// So much higher does the epoch go on. Whoever starts a top master on the former store by mistake gets the next epoch
/// there: it must stay below every one that is given out here, so that syndics and minions refuse it.
const EPOCH_GAP: u64 = 1_000_000;
/// No store has come so far; beyond it the epochs would run out.
const MAX_EPOCH: u64 = 1 << 62;

/// Takes rows, and keeps them out of everybody's sight until all are there.
pub(in crate::store) trait Target {
    async fn put(&mut self, row: Row) -> Result<(), StoreError>;
}

/// What an export says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Header {
    /// Of its lines; at most ours.
    format: u64,
    epoch: u64,
    pub(super) fabric: Option<String>,
}

impl Header {
    /// The epoch that an imported store has. `there`: of the store that takes the import.
    pub(in crate::store) fn next_epoch(&self, there: u64) -> u64 {
        self.epoch.max(there).saturating_add(EPOCH_GAP)
    }
}

/// An export, from its second line on.
pub(in crate::store) struct Reader<'a> {
    input: &'a mut dyn BufRead,
    progress: Progress<'a>,
    line: u64,
    hash: Sha256,
    counts: Counts,
    pub(in crate::store) header: Header,
}

impl<'a> Reader<'a> {
    /// Reads the first line.
    pub(super) fn new(
        input: &'a mut dyn BufRead,
        progress: Progress<'a>,
    ) -> Result<Reader<'a>, MaintenanceError> {
        let header = Header { format: FORMAT, epoch: 0, fabric: None };
        let (hash, counts) = (Sha256::new(), Counts::default());
        let mut reader = Reader { input, progress, line: 0, hash, counts, header };
        let line = reader.next_line().map_err(|error| match error {
            MaintenanceError::Truncated { .. } => MaintenanceError::NotAnExport("it is empty".into()),
            other => other,
        })?;
        reader.hash.update(&line);
        reader.header = header_of(&line)?;
        Ok(reader)
    }

    /// Puts every row into a store, and looks at the end whether these were all.
    pub(in crate::store) async fn pour(
        mut self,
        target: &mut impl Target,
    ) -> Result<Transferred, MaintenanceError> {
        loop {
            let line = self.next_line()?;
            let object = object(&line).map_err(|why| self.wrong(why))?;
            if let Some(end) = object.get(END) {
                self.check_end(end)?;
                (self.progress)(self.counts.total());
                return Ok(Transferred { rows: self.counts.0 });
            }
            self.hash.update(&line);
            let row = from_line(object, self.header.format).map_err(|why| self.wrong(why))?;
            let so_far = self.counts.add(row.table.name);
            if so_far.is_multiple_of(PROGRESS_ROWS) {
                (self.progress)(so_far);
            }
            target.put(row).await?;
        }
    }

    fn wrong(&self, why: impl std::fmt::Display) -> MaintenanceError {
        MaintenanceError::Line { line: self.line, why: why.to_string() }
    }

    /// The next line with its end.
    fn next_line(&mut self) -> Result<Vec<u8>, MaintenanceError> {
        let mut line = Vec::new();
        let mut limited = Read::take(&mut *self.input, MAX_LINE_BYTES);
        limited.read_until(b'\n', &mut line).map_err(|e| MaintenanceError::Read(e.to_string()))?;
        if line.last() == Some(&b'\n') {
            self.line += 1;
            return Ok(line);
        }
        match line.len() as u64 {
            MAX_LINE_BYTES => {
                self.line += 1;
                Err(self.wrong(format_args!("it is longer than {MAX_LINE_BYTES} bytes")))
            }
            _ => Err(MaintenanceError::Truncated { line: self.line }),
        }
    }

    fn check_end(&mut self, end: &Value) -> Result<(), MaintenanceError> {
        let wrong = |why: &str| Err(MaintenanceError::Checksum(why.to_owned()));
        if end.get("rows") != Some(&self.counts.to_value(self.header.format)) {
            return wrong("its rows are not as many as its last line says");
        }
        let digest: [u8; 32] = self.hash.finalize_reset().into();
        if end.get("sha256").and_then(Value::as_str) != Some(Hex(&digest).to_string().as_str()) {
            return wrong("it does not have the SHA-256 that its last line says");
        }
        let mut rest = [0];
        match self.input.read(&mut rest) {
            Ok(0) => Ok(()),
            Ok(_) => wrong("there is something behind its last line"),
            Err(error) => Err(MaintenanceError::Read(error.to_string())),
        }
    }
}

fn object(line: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_slice(line)
}

fn header_of(line: &[u8]) -> Result<Header, MaintenanceError> {
    let header =
        object(line).map_err(|why| MaintenanceError::NotAnExport(format!("its first line: {why}")))?;
    let number = |key: &str| header.get(key).and_then(Value::as_u64);
    let format = match number(MARK) {
        Some(format @ 1..=FORMAT) => format,
        Some(found) if found > FORMAT => {
            return Err(MaintenanceError::NewerFormat { found, known: FORMAT });
        }
        _ => return Err(MaintenanceError::NotAnExport(format!("its first line has no {MARK:?}"))),
    };
    let wrong = || MaintenanceError::Line { line: 1, why: "there is no epoch that can be".into() };
    let epoch = number("epoch").filter(|epoch| *epoch <= MAX_EPOCH).ok_or_else(wrong)?;
    let fabric = header.get("fabric").and_then(Value::as_str).map(str::to_owned);
    Ok(Header { format, epoch, fabric })
}
