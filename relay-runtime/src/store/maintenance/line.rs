//! A row as a line of an export and back: one JSON object with the table's name and each column's. Bytes stand in base64, and
//! 64 bit numbers without sign as such.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value};

use super::table::{Cell, Column, Kind, Row, TABLES, Wrong};

/// The key of the table's name. No column is called so.
pub(super) const TABLE: &str = "table";

/// A row as a line, without its end. The error says which cell can't be told.
pub(super) fn to_line(row: &Row) -> Result<Vec<u8>, Wrong> {
    let mut line = Map::new();
    line.insert(TABLE.into(), row.table.name.into());
    for (column, cell) in row.table.columns.iter().zip(&row.cells) {
        let value = to_value(column, cell).map_err(|why| format!("{}: {why}", column.name))?;
        line.insert(column.name.into(), value);
    }
    serde_json::to_vec(&Value::Object(line)).map_err(|e| e.to_string())
}

fn to_value(column: &Column, cell: &Cell) -> Result<Value, Wrong> {
    Ok(match cell {
        Cell::Null => Value::Null,
        Cell::Int(number) if column.kind == Kind::Number => (*number as u64).into(),
        Cell::Int(number) => (*number).into(),
        Cell::Flag(flag) => (*flag).into(),
        Cell::Text(text) => text.as_str().into(),
        Cell::Bytes(bytes) => BASE64.encode(bytes).into(),
        Cell::Damaged(why) => return Err(why.clone()),
    })
}

/// The row of a line of a format. Every column that the format has is there, and no other.
pub(super) fn from_line(mut line: Map<String, Value>, format: u64) -> Result<Row, Wrong> {
    let name = line.shift_remove(TABLE).ok_or("it does not say of which table it is")?;
    let table = TABLES.iter().find(|t| Some(t.name) == name.as_str() && t.is_in(format));
    let table = table.ok_or_else(|| format!("there is no table {name}"))?;
    let mut cells = Vec::with_capacity(table.columns.len());
    for column in table.columns {
        if column.since > format {
            cells.push(Cell::Bytes(Vec::new()));
            continue;
        }
        let value = line.shift_remove(column.name);
        let value = value.ok_or_else(|| format!("the column {} is missing", column.name))?;
        let cell = from_value(column, value);
        cells.push(cell.ok_or_else(|| format!("{} does not hold what it should", column.name))?);
    }
    match line.keys().next() {
        Some(other) => Err(format!("{} has no column {other:?}", table.name)),
        None => Ok(Row { table, cells }),
    }
}

fn from_value(column: &Column, value: Value) -> Option<Cell> {
    Some(match (column.kind, value) {
        (_, Value::Null) => return column.optional.then_some(Cell::Null),
        (Kind::Number, Value::Number(number)) => Cell::Int(number.as_u64()? as i64),
        (Kind::Signed, Value::Number(number)) => Cell::Int(i32::try_from(number.as_i64()?).ok()?.into()),
        (Kind::Flag, Value::Bool(flag)) => Cell::Flag(flag),
        (Kind::Text, Value::String(text)) => Cell::Text(text),
        (Kind::Bytes, Value::String(text)) => Cell::Bytes(BASE64.decode(text).ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::export::FORMAT, *};

    fn cell(column: &Column) -> BoxedStrategy<Cell> {
        let some = match column.kind {
            Kind::Number => any::<i64>().prop_map(Cell::Int).boxed(),
            Kind::Signed => any::<i32>().prop_map(|n| Cell::Int(n.into())).boxed(),
            Kind::Flag => any::<bool>().prop_map(Cell::Flag).boxed(),
            Kind::Text => any::<String>().prop_map(Cell::Text).boxed(),
            Kind::Bytes => prop::collection::vec(any::<u8>(), 0..20).prop_map(Cell::Bytes).boxed(),
        };
        if column.optional { prop_oneof![Just(Cell::Null), some].boxed() } else { some }
    }

    fn row() -> impl Strategy<Value = Row> {
        (0..TABLES.len()).prop_flat_map(|table| {
            let table = &TABLES[table];
            let cells: Vec<_> = table.columns.iter().map(cell).collect();
            cells.prop_map(move |cells| Row { table, cells })
        })
    }

    proptest! {
        #[test]
        fn rows_come_back(row in row()) {
            let line = to_line(&row).unwrap();
            prop_assert!(!line.contains(&b'\n'));
            let back = from_line(serde_json::from_slice(&line).unwrap(), FORMAT).unwrap();
            prop_assert_eq!((back.table.name, back.cells), (row.table.name, row.cells));
        }
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let wrong = [
            ("{}", "of which table"),
            (r#"{"table":"owner"}"#, "no table"),
            (r#"{"table":"batches","jid":1,"approved":0}"#, "rule is missing"),
            (r#"{"table":"batches","jid":1,"approved":-1,"rule":""}"#, "approved"),
            (r#"{"table":"batches","jid":null,"approved":1,"rule":""}"#, "jid"),
            (r#"{"table":"batches","jid":1,"approved":1,"rule":"?"}"#, "rule"),
            (r#"{"table":"batches","jid":1,"approved":1,"rule":"","more":1}"#, "no column \"more\""),
        ];
        for (line, word) in wrong {
            let why = from_line(serde_json::from_str(line).unwrap(), FORMAT).unwrap_err();
            assert!(why.contains(word), "{line}: {why}");
        }
    }
}
