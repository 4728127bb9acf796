//! Tables for people: columns as wide as their widest cell.

use std::io::{self, Write};

/// A column: its heading, and whether it holds numbers, which stand at the right.
pub type Column = (&'static str, bool);

/// Writes `rows` under the headings of `columns`.
///
/// # Errors
/// As the writer.
pub fn write<const N: usize>(
    out: &mut impl Write,
    columns: [Column; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let headings = columns.map(|(heading, _)| heading.to_owned());
    let widths: [usize; N] = std::array::from_fn(|i| {
        rows.iter().map(|row| row[i].chars().count()).chain([headings[i].len()]).max().unwrap_or(0)
    });
    for row in [&headings].into_iter().chain(rows) {
        let cells: Vec<String> = (0..N)
            .map(|i| {
                let (cell, width) = (&row[i], widths[i]);
                if columns[i].1 { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_numbers_right() {
        let mut out = Vec::new();
        let rows = [["notes".to_owned(), "7".to_owned()], ["a".to_owned(), "1000000".to_owned()]];
        write(&mut out, [("name", false), ("last", true)], &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "name      last\nnotes        7\na      1000000\n");
    }
}
