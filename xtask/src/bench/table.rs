//! Tables that read well in a terminal and are Markdown.

/// A table of `head` and `rows`; the first column leans left, numbers right.
pub(super) fn markdown(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
        cells.chain([head[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        format!("| {} |\n", padded.collect::<Vec<_>>().join(" | "))
    };
    let rules: Vec<String> = (0..head.len())
        .map(|column| match column {
            0 => "-".repeat(widths[0]),
            _ => "-".repeat(widths[column].saturating_sub(1)) + ":",
        })
        .collect();
    let mut text = line(head.to_vec());
    text += &line(rules.iter().map(String::as_str).collect());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows =
            [vec!["a method".to_owned(), "1.5".to_owned()], vec!["b".into(), "12345".into()]];
        let text = super::markdown(&["method", "s"], &rows);
        let expected = "\
| method   |     s |
| -------- | ----: |
| a method |   1.5 |
| b        | 12345 |
";
        assert_eq!(text, expected);
    }
}
