//! A plain table for the terminal: first column left, the others right, as wide as needed.

use std::fmt::Write;

/// Lays out rows under a heading.
pub(crate) fn render<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .chain([heading[column].chars().count()])
            .max()
            .unwrap_or(0)
    });
    let mut out = String::new();
    let mut push = |cells: [&str; N]| {
        let mut text = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            // Writing to a String cannot fail.
            let _ = if column == 0 {
                write!(text, "{gap}{cell:<width$}")
            } else {
                write!(text, "{gap}{cell:>width$}")
            };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    push(heading);
    for row in rows {
        push(std::array::from_fn(|column| row[column].as_str()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["unit".to_owned(), "12".to_owned()],
            ["end-to-end".to_owned(), "3".to_owned()],
        ];
        assert_eq!(
            render(["suite", "passed"], &rows),
            "suite       passed\nunit            12\nend-to-end       3\n"
        );
    }

    #[test]
    fn width_is_counted_in_characters_and_no_line_ends_in_blanks() {
        let rows = [["µs".to_owned(), String::new()]];
        assert_eq!(render(["a", "b"], &rows), "a   b\nµs\n");
    }
}
