//! All of a store at one moment, row by row: table by table, and the tables of jobs job by job. Whoever looks on needs the
//! memory of one job at most.

use super::{
    MaintenanceError,
    table::{Row, TABLES, Table},
};
use crate::store::StoreError;

/// What is known of a store before its first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Opening {
    /// `sqlite` or `postgres`.
    pub(in crate::store) store: &'static str,
    pub(in crate::store) schema: i64,
    /// Of the owner that began last.
    pub(in crate::store) epoch: u64,
}

/// A store's rows, at one moment.
pub(in crate::store) trait Source {
    /// The next row of a table of [`TABLES`], in the order of its key.
    async fn next(&mut self, table: usize) -> Result<Option<Row>, StoreError>;
}

/// Who looks on.
pub(in crate::store) trait See {
    fn begin(&mut self, store: Opening) -> Result<(), MaintenanceError>;
    fn row(&mut self, row: Row) -> Result<(), MaintenanceError>;
    /// The database itself finds something wrong.
    fn wrong(&mut self, _place: &str, _what: &str) {}
    /// The rows of one job were seen.
    fn job_over(&mut self) -> Result<(), MaintenanceError> {
        Ok(())
    }
}

/// Shows every row once.
pub(in crate::store) async fn walk(
    source: &mut impl Source,
    opening: Opening,
    see: &mut impl See,
) -> Result<(), MaintenanceError> {
    see.begin(opening)?;
    let mut table = 0;
    while let Some(Table { of_job, .. }) = TABLES.get(table) {
        if *of_job {
            let many = TABLES[table..].iter().take_while(|t| t.of_job).count();
            jobs(source, table..table + many, see).await?;
            table += many;
            continue;
        }
        while let Some(row) = source.next(table).await? {
            see.row(row)?;
        }
        table += 1;
    }
    Ok(())
}

/// Merges tables by their jobs. Ends: each turn takes the lowest job's rows.
async fn jobs(
    source: &mut impl Source,
    tables: std::ops::Range<usize>,
    see: &mut impl See,
) -> Result<(), MaintenanceError> {
    let mut heads = Vec::new();
    for table in tables.clone() {
        heads.push(source.next(table).await?);
    }
    while let Some(job) = heads.iter().flatten().map(Row::job).min() {
        for (head, table) in heads.iter_mut().zip(tables.clone()) {
            while let Some(row) = head.take_if(|row| row.job() == job) {
                see.row(row)?;
                *head = source.next(table).await?;
            }
        }
        see.job_over()?;
    }
    Ok(())
}
