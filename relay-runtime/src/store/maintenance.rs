//! What is done to a store as a whole while no top master needs it: look whether it is whole, bring it up to date, copy it
//! out, and make one from such a copy, also of the other kind.
//!
//! Owns what is the same for each kind of store: the list of all tables (`table`), the way through them (`walk`), the
//! export (`line`, `export`, `import`) and what a whole store is like (`check`). How rows are read and written is in
//! `sqlite::maintenance` and `postgres::maintenance`. Rows pass by as they stand; only the check knows what they mean.

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, Write},
    path::PathBuf,
};

use relay_core::time::WallMicros;

use super::{PostgresConfig, postgres, sqlite};
use crate::config::{StoreKind, TopMasterConfig};

mod check;
mod error;
mod export;
mod import;
mod line;
pub(super) mod table;
mod walk;

pub use check::{Findings, MAX_PROBLEMS, Problem};
pub use error::MaintenanceError;
pub use export::Progress;
pub(super) use {
    import::{Reader, Target},
    walk::{Opening, See, Source, walk},
};

/// The store's file below a top master's state directory.
pub const SQLITE_FILE: &str = "store.sqlite";

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// In this file.
    Sqlite(PathBuf),
    /// In this database.
    Postgres(PostgresConfig),
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorePlace::Sqlite(path) => path.display().fmt(f),
            StorePlace::Postgres(config) => config.fmt(f),
        }
    }
}

/// A store's schema version and this build's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The store's.
    pub found: i64,
    /// This build's.
    pub known: i64,
}

impl SchemaVersion {
    /// Whether there is nothing to migrate.
    pub fn is_current(self) -> bool {
        self.found == self.known
    }

    /// Nothing but what this build itself works with is read row by row.
    pub(super) fn need_current(self, place: impl fmt::Display) -> Result<(), MaintenanceError> {
        let SchemaVersion { found, known } = self;
        match self.is_current() {
            true => Ok(()),
            false => Err(MaintenanceError::Older { place: place.to_string(), found, known }),
        }
    }
}

/// What became of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// From and to which version.
    pub schema: SchemaVersion,
    /// The copy of the store as it was before.
    pub backup: Option<PathBuf>,
}

/// What was exported or imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// Rows by table.
    pub rows: BTreeMap<&'static str, u64>,
}

impl Transferred {
    /// Rows of all tables.
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }
}

impl StorePlace {
    /// Where a top master with this configuration has its store.
    pub fn of(config: &TopMasterConfig) -> StorePlace {
        match &config.store {
            StoreKind::Sqlite => StorePlace::Sqlite(config.state_dir.join(SQLITE_FILE)),
            StoreKind::Postgres(database) => StorePlace::Postgres(database.clone()),
        }
    }

    /// The versions; nothing is changed.
    ///
    /// # Errors
    /// There is no store, or it can't be read, or it is newer than this build.
    pub async fn schema(&self) -> Result<SchemaVersion, MaintenanceError> {
        match self {
            StorePlace::Sqlite(path) => sqlite::maintenance::schema(path),
            StorePlace::Postgres(config) => postgres::maintenance::schema(config).await,
        }
    }

    /// Brings an older store up to date. `backup`: a file is copied beside itself first, under a name with the older
    /// version; a database is not, it has its own tools for that.
    ///
    /// # Errors
    /// Nothing was changed. [`MaintenanceError::InUse`]: a top master has it open.
    pub async fn migrate(&self, backup: bool) -> Result<Migrated, MaintenanceError> {
        match self {
            StorePlace::Sqlite(path) => sqlite::maintenance::migrate(path, backup),
            StorePlace::Postgres(config) => postgres::maintenance::migrate(config).await,
        }
    }

    /// Looks at every row, at one moment; a top master may go on meanwhile. Changes nothing. `now` says which request ids
    /// should be forgotten.
    ///
    /// # Errors
    /// There is no store, or none of this build's schema, or it can't be read at all.
    pub async fn check(&self, now: WallMicros) -> Result<Findings, MaintenanceError> {
        let mut checker = check::Checker::new(now);
        let walked = self.walk(&mut checker, true).await;
        checker.finish(walked)
    }

    /// Writes everything that is in the store at one moment; a top master may go on meanwhile. One row is in memory at a
    /// time, or a few of a database. `fabric`: which, if it is known.
    ///
    /// # Errors
    /// The store can't be read or is damaged, or the export can't be written.
    pub async fn export(
        &self,
        fabric: Option<&str>,
        out: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<Transferred, MaintenanceError> {
        let mut writer = export::Writer::new(out, fabric, progress);
        self.walk(&mut writer, false).await?;
        writer.finish()
    }

    /// Makes a store of an export. It must be empty, and nobody may have it open. `fabric`: the one that it is for, if that
    /// is known. The epoch goes on above the exported one, so that whoever was an owner of the former store is none here.
    ///
    /// # Errors
    /// Nothing was imported: the export is none, damaged, cut off, newer or of another fabric, the store is not empty or in use,
    /// or it can't be written.
    pub async fn import(
        &self,
        fabric: Option<&str>,
        input: &mut dyn BufRead,
        progress: Progress<'_>,
    ) -> Result<Transferred, MaintenanceError> {
        let reader = Reader::new(input, progress)?;
        if let (Some(export), Some(ours)) = (&reader.header.fabric, fabric)
            && export != ours
        {
            return Err(MaintenanceError::OtherFabric { export: export.clone(), ours: ours.to_owned() });
        }
        match self {
            StorePlace::Sqlite(path) => sqlite::maintenance::import(path, reader).await,
            StorePlace::Postgres(config) => postgres::maintenance::import(config, reader).await,
        }
    }

    async fn walk(&self, see: &mut impl See, fully: bool) -> Result<(), MaintenanceError> {
        match self {
            StorePlace::Sqlite(path) => sqlite::maintenance::read(path, see, fully).await,
            StorePlace::Postgres(config) => postgres::maintenance::read(config, see, fully).await,
        }
    }
}
