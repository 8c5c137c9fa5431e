//! Tables for people: columns and no lines around them.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::paint::clean;

/// A table with a heading. Cells are cleaned. Empty without rows: a heading over nothing says less than a sentence.
pub fn table<const N: usize>(heading: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(heading);
    for row in rows {
        table.add_row(row.map(|cell| clean(&cell).replace(['\n', '\t'], " ")));
    }
    if table.row_count() == 0 {
        return String::new();
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a".into(), "1".into()], ["long\nname".into(), "2".into()]];
        let lines: Vec<String> = table(["ID", "N"], rows).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3);
        let columns: Vec<_> = lines.iter().map(|l| l.find(['N', '1', '2'])).collect();
        assert!(columns.iter().all(|c| *c == columns[0] && c.is_some()), "{lines:?}");
        assert!(lines[2].contains("long name"));
        assert_eq!(table(["ID"], []), "");
    }
}
