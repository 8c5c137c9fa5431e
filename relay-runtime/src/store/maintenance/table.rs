//! Every table of a store, the same for each kind of store: its columns, its order, and rows of it in memory.
//!
//! Not here: `owner` (its epoch is told apart), and what is of one kind of store alone (versions, `marks`). A table or a
//! column that is new in a schema is added here, and [`super::export::FORMAT`] goes up: older builds then refuse the export
//! in clear words. A test compares this list with the tables of both kinds of store.

use relay_core::{Members, ids::Jid};

/// How a column's values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    /// 64 bits without sign, as the signed number with the same bits.
    Number,
    /// 32 bits with sign.
    Signed,
    Flag,
    Text,
    Bytes,
}

/// A column.
#[derive(Debug)]
pub(in crate::store) struct Column {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) kind: Kind,
    /// It may have no value.
    pub(in crate::store) optional: bool,
    /// The first format of exports that has it; bytes that an older one does not have are empty.
    pub(in crate::store) since: u64,
}

/// A table.
#[derive(Debug)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) columns: &'static [Column],
    /// What it is ordered by; there is an index of it.
    pub(in crate::store) key: &'static [&'static str],
    /// Its rows belong to jobs, and `jid` is its first column.
    pub(in crate::store) of_job: bool,
    /// A row may have a body of 1 MiB.
    pub(in crate::store) large: bool,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, optional: false, since: 1 }
}
const fn number(name: &'static str) -> Column {
    column(name, Kind::Number)
}
const fn flag(name: &'static str) -> Column {
    column(name, Kind::Flag)
}
const fn text(name: &'static str) -> Column {
    column(name, Kind::Text)
}
const fn bytes(name: &'static str) -> Column {
    column(name, Kind::Bytes)
}
const fn may(column: Column) -> Column {
    Column { optional: true, ..column }
}
const fn since(format: u64, column: Column) -> Column {
    Column { since: format, ..column }
}

/// All tables, each behind those that its rows refer to. Those of jobs stand together: they are read job by job.
pub(in crate::store) const TABLES: &[Table] = &[
    Table {
        name: "minions",
        columns: &[
            number("no"),
            text("id"),
            text("region"),
            text("syndic"),
            number("incarnation"),
            number("incarnation_seq"),
            flag("up"),
            number("since"),
            number("epoch"),
            number("ticket"),
            text("grains"),
        ],
        key: &["no"],
        of_job: false,
        large: false,
    },
    Table {
        name: "jobs",
        columns: &[
            number("jid"),
            number("epoch"),
            number("created"),
            may(number("closed")),
            flag("unresolved"),
            flag("cancelled"),
            flag("dropped"),
            may(text("counts")),
            number("target_count"),
            number("inventory_version"),
            number("delivery_limit"),
            bytes("request_id"),
            bytes("request_digest"),
            bytes("digest"),
            text("function"),
            text("caller"),
            may(bytes("args")),
            text("target"),
            bytes("targets"),
            bytes("envelope"),
            since(2, bytes("leaves")),
        ],
        key: &["jid"],
        of_job: true,
        large: true,
    },
    Table {
        name: "requests",
        columns: &[number("jid"), bytes("id"), bytes("digest"), number("target_count"), number("created")],
        key: &["jid"],
        of_job: true,
        large: false,
    },
    Table {
        name: "batches",
        columns: &[number("jid"), number("approved"), bytes("rule")],
        key: &["jid"],
        of_job: true,
        large: false,
    },
    Table {
        name: "sends",
        columns: &[number("jid"), number("via"), bytes("members")],
        key: &["jid", "via"],
        of_job: true,
        large: false,
    },
    Table {
        name: "answers",
        columns: &[
            number("jid"),
            number("no"),
            text("outcome"),
            text("reason"),
            column("retcode", Kind::Signed),
            flag("by_tier"),
            bytes("digest"),
            may(bytes("truncated")),
            number("body_size"),
            bytes("body"),
        ],
        key: &["jid", "no"],
        of_job: true,
        large: true,
    },
    Table {
        name: "members",
        columns: &[number("jid"), number("no"), text("outcome"), number("count"), bytes("members")],
        key: &["jid", "no"],
        of_job: true,
        large: false,
    },
    Table {
        name: "changes",
        columns: &[number("jid"), number("seq"), number("no"), number("at"), bytes("members")],
        key: &["jid", "seq", "no"],
        of_job: true,
        large: false,
    },
    Table {
        name: "plans",
        columns: &[bytes("id"), number("created"), number("expires"), bytes("targets"), bytes("request")],
        key: &["id"],
        of_job: false,
        large: true,
    },
    Table {
        name: "schedules",
        columns: &[
            text("name"),
            flag("paused"),
            number("passed"),
            may(number("last")),
            may(number("last_jid")),
            may(text("last_error")),
            bytes("definition"),
        ],
        key: &["name"],
        of_job: false,
        large: true,
    },
    Table {
        name: "topologies",
        columns: &[
            number("number"),
            text("state"),
            number("planned_on"),
            text("digest"),
            text("caller"),
            number("applied"),
            text("commit_id"),
            text("author"),
            text("message"),
            number("rollback_of"),
            number("max_lost_percent"),
            number("settle_ms"),
            text("regions"),
            text("why"),
            bytes("watched"),
            text("text"),
        ],
        key: &["number"],
        of_job: false,
        large: true,
    },
    Table {
        name: "records",
        columns: &[
            since(2, number("revision")),
            since(2, text("area")),
            since(2, bytes("key")),
            since(2, bytes("value")),
        ],
        key: &["area", "key"],
        of_job: false,
        large: true,
    },
];

impl Table {
    /// Whether exports of this format have it.
    pub(in crate::store) fn is_in(&self, format: u64) -> bool {
        self.columns.iter().any(|column| column.since <= format)
    }

    /// The columns as SQL lists them.
    pub(in crate::store) fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        names.join(", ")
    }

    /// All rows in order, as SQL.
    pub(in crate::store) fn select(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.names(), self.name, self.key.join(", "))
    }
}

/// A value in a row.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) enum Cell {
    Null,
    Int(i64),
    Flag(bool),
    Text(String),
    Bytes(Vec<u8>),
    /// It can't be read: what is wrong with it.
    Damaged(String),
}

impl Cell {
    /// Bytes it takes in memory, about.
    pub(in crate::store) fn size(&self) -> usize {
        match self {
            Cell::Text(text) | Cell::Damaged(text) => text.len() + 8,
            Cell::Bytes(bytes) => bytes.len() + 8,
            _ => 8,
        }
    }
}

/// A row, its cells in the order of the columns.
#[derive(Debug)]
pub(in crate::store) struct Row {
    pub(in crate::store) table: &'static Table,
    pub(in crate::store) cells: Vec<Cell>,
}

/// What is wrong with a cell. Says which.
pub(in crate::store) type Wrong = String;

impl Row {
    fn cell(&self, column: &str) -> &Cell {
        let place = self.table.columns.iter().position(|c| c.name == column);
        place.and_then(|place| self.cells.get(place)).unwrap_or(&Cell::Null)
    }

    /// The place of its table in [`TABLES`].
    pub(in crate::store) fn place(&self) -> Option<usize> {
        TABLES.iter().position(|table| table.name == self.table.name)
    }

    /// The job it belongs to, as databases order jobs.
    pub(in crate::store) fn job(&self) -> i64 {
        if let Some(Cell::Int(jid)) = self.cells.first() { *jid } else { 0 }
    }

    /// The first cell that can't be read.
    pub(in crate::store) fn damage(&self) -> Option<Wrong> {
        let mut both = self.table.columns.iter().zip(&self.cells);
        both.find_map(|(column, cell)| match cell {
            Cell::Damaged(why) => Some(format!("{}: {why}", column.name)),
            _ => None,
        })
    }

    pub(in crate::store) fn number(&self, column: &str) -> Result<u64, Wrong> {
        match self.cell(column) {
            Cell::Int(number) => Ok(*number as u64),
            _ => Err(format!("{column}: there is no number")),
        }
    }

    pub(in crate::store) fn signed(&self, column: &str) -> Result<i32, Wrong> {
        let number = self.number(column)? as i64;
        i32::try_from(number).map_err(|e| format!("{column}: {number}: {e}"))
    }

    pub(in crate::store) fn flag(&self, column: &str) -> Result<bool, Wrong> {
        match self.cell(column) {
            Cell::Flag(flag) => Ok(*flag),
            _ => Err(format!("{column}: there is neither true nor false")),
        }
    }

    pub(in crate::store) fn text(&self, column: &str) -> Result<&str, Wrong> {
        match self.cell(column) {
            Cell::Text(text) => Ok(text),
            Cell::Damaged(why) => Err(format!("{column}: {why}")),
            _ => Err(format!("{column}: there is no text")),
        }
    }

    pub(in crate::store) fn bytes(&self, column: &str) -> Result<&[u8], Wrong> {
        match self.cell(column) {
            Cell::Bytes(bytes) => Ok(bytes),
            _ => Err(format!("{column}: there are no bytes")),
        }
    }

    pub(in crate::store) fn has(&self, column: &str) -> bool {
        *self.cell(column) != Cell::Null
    }

    pub(in crate::store) fn fixed<const N: usize>(&self, column: &str) -> Result<[u8; N], Wrong> {
        let bytes = self.bytes(column)?;
        bytes.try_into().map_err(|_| format!("{column}: {} bytes, not {N}", bytes.len()))
    }

    pub(in crate::store) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        column: &str,
    ) -> Result<T, Wrong> {
        self.text(column)?.parse().map_err(|e| format!("{column}: {e}"))
    }

    pub(in crate::store) fn word<T>(&self, column: &str, from: fn(&str) -> Option<T>) -> Result<T, Wrong> {
        let word = self.text(column)?;
        from(word).ok_or_else(|| format!("{column}: {word:?}"))
    }

    pub(in crate::store) fn set(&self, column: &str) -> Result<Members, Wrong> {
        Members::deserialize_from(self.bytes(column)?).map_err(|e| format!("{column}: {e}"))
    }
}

/// Which row it is, for people: `answers (jid 20261121090457433038, no 3)`.
impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (", self.table.name)?;
        for (i, column) in self.table.key.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{column} ")?;
            match self.cell(column) {
                Cell::Int(jid) if *column == "jid" => write!(f, "{}", Jid::from_micros(*jid as u64))?,
                Cell::Int(number) => write!(f, "{}", *number as u64)?,
                Cell::Text(text) => write!(f, "{text:?}")?,
                Cell::Bytes(bytes) => write!(f, "{}", super::super::value::Hex(bytes))?,
                other => write!(f, "{other:?}")?,
            }
        }
        f.write_str(")")
    }
}
