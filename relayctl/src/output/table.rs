//! Tables for people: columns that line up, and no lines around them. Programs take `--out tsv`.

use unicode_width::UnicodeWidthStr;

use super::paint::clean;

/// Blanks between two columns.
const GAP: usize = 2;

/// A table with a heading. Cells are cleaned. Empty without rows: a heading over nothing says less than a sentence.
pub fn table<const N: usize>(heading: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    aligned(&heading, &rows)
}

/// The same for any number of columns. A row without a cell for a column leaves it empty.
pub fn aligned(heading: &[impl AsRef<str>], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heading = heading.iter().map(|title| cell(title.as_ref())).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heading)
        .chain(rows.iter().map(|row| row.iter().map(|text| cell(text)).collect()))
        .collect();
    let mut widths = vec![0; lines[0].len()];
    for line in &lines {
        widths.iter_mut().zip(line).for_each(|(width, cell)| *width = (*width).max(cell.width()));
    }
    lines.iter().map(|line| one(line, &widths)).collect()
}

fn cell(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

fn one(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::from(" ");
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width - cell.width() + GAP));
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a".into(), "1".into()], ["long\nname 漢".into(), "2".into()]];
        let expected = " ID            N\n a             1\n long name 漢  2\n";
        assert_eq!(table(["ID", "N"], rows), expected);
        assert_eq!(table(["ID"], []), "");
    }

    #[test]
    fn a_short_row_leaves_columns_empty() {
        assert_eq!(
            aligned(&["A", "B"], &[vec!["x".into()], vec!["y".into(), "z".into()]]),
            " A  B\n x\n y  z\n"
        );
    }
}
