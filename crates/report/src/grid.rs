//! Columns of short texts that fit a width.

use crate::escape;
use crate::page::{Page, Span, Style, dim, plain, shortened, width};

/// Spaces between columns.
const GAP: usize = 2;

/// Widest word of a heading that is not shortened.
const MAX_WORD: usize = 16;

/// A table for a terminal: one name column, then columns of numbers or words.
#[derive(Debug)]
pub(crate) struct Grid {
    /// Heading of the name column.
    pub(crate) title: &'static str,
    pub(crate) columns: Vec<GridColumn>,
    pub(crate) rows: Vec<GridRow>,
}

/// One column after the names.
#[derive(Debug)]
pub(crate) struct GridColumn {
    /// Heading; broken at spaces when it is wider than the cells.
    pub(crate) title: String,
    pub(crate) align: Align,
    /// Where space is short, the columns with the highest rank go first.
    pub(crate) rank: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// One row.
#[derive(Debug)]
pub(crate) struct GridRow {
    /// A single character before the name.
    pub(crate) mark: Option<Span>,
    pub(crate) name: String,
    pub(crate) style: Style,
    pub(crate) cells: Vec<Option<String>>,
}

/// A column as it will be drawn.
struct Drawn {
    index: usize,
    width: usize,
    align: Align,
    rank: u8,
    /// Heading, line by line.
    heading: Vec<String>,
}

impl Grid {
    /// Draws as many columns as fit beside the names; names lose their middle only where even the first
    /// columns would not fit otherwise.
    pub(crate) fn draw(&self, page: &mut Page) {
        let marked = self.rows.iter().any(|row| row.mark.is_some());
        let indent = 2 + if marked { 2 } else { 0 };
        let names: Vec<String> =
            self.rows.iter().map(|row| escape::terminal(&row.name).into_owned()).collect();
        let longest =
            names.iter().map(|name| width(name)).max().unwrap_or(0).max(width(self.title));
        let room = page.width().saturating_sub(indent);
        let (columns, name_width) = self.fit(longest, room);

        let head_lines = columns.iter().map(|c| c.heading.len()).max().unwrap_or(1);
        for i in 0..head_lines {
            let title = if i + 1 == head_lines { self.title } else { "" };
            let mut line = padded(title, name_width, Align::Left);
            for column in &columns {
                let missing = head_lines - column.heading.len();
                let text = i.checked_sub(missing).and_then(|i| column.heading.get(i));
                line.push_str(&" ".repeat(GAP));
                line.push_str(&padded(text.map_or("", String::as_str), column.width, column.align));
            }
            page.line(&[plain(" ".repeat(indent)), dim(line)]);
        }
        let total = name_width + columns.iter().map(|c| c.width + GAP).sum::<usize>();
        page.line(&[plain(" ".repeat(indent)), dim("─".repeat(total))]);

        for (row, name) in self.rows.iter().zip(names) {
            let mut spans = vec![plain("  ")];
            if marked {
                spans.push(row.mark.clone().unwrap_or_else(|| plain(" ")));
                spans.push(plain(" "));
            }
            let name = shortened(&name, name_width);
            spans.push(Span::new(row.style, padded(&name, name_width, Align::Left)));
            for column in &columns {
                spans.push(plain(" ".repeat(GAP)));
                let cell = row.cells.get(column.index).and_then(Option::as_deref);
                spans.push(match cell {
                    Some(text) => {
                        let text = shortened(&escape::terminal(text), column.width);
                        plain(padded(&text, column.width, column.align))
                    }
                    None => dim(padded("–", column.width, column.align)),
                });
            }
            page.line(&spans);
        }
    }

    /// The columns that fit, and how wide the names may be.
    fn fit(&self, longest: usize, room: usize) -> (Vec<Drawn>, usize) {
        let mut columns: Vec<Drawn> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| self.drawn(index, column, room))
            .collect();
        // Names keep up to half of the room before a column has to go.
        let least_name = longest.min(room / 2);
        let taken = |columns: &[Drawn]| columns.iter().map(|c| c.width + GAP).sum::<usize>();
        while taken(&columns) + least_name > room {
            let Some(last) = columns.iter().map(|c| c.rank).max() else { break };
            let Some(position) = columns.iter().rposition(|c| c.rank == last) else { break };
            columns.remove(position);
        }
        let name_width = longest.min(room.saturating_sub(taken(&columns)));
        (columns, name_width)
    }

    fn drawn(&self, index: usize, column: &GridColumn, room: usize) -> Drawn {
        let cells = self.rows.iter().filter_map(|row| row.cells.get(index)?.as_deref());
        let widest = cells.map(|cell| width(&escape::terminal(cell))).max().unwrap_or(1);
        let title = escape::terminal(&column.title);
        let word = title.split(' ').map(width).max().unwrap_or(0);
        let width = widest.max(word.min(MAX_WORD)).min(room / 3);
        Drawn {
            index,
            width,
            align: column.align,
            rank: column.rank,
            heading: heading(&title, width),
        }
    }
}

/// `title` in lines of at most `room` columns.
fn heading(title: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in title.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(shortened(word, room)),
        }
    }
    lines
}

fn padded(text: &str, room: usize, align: Align) -> String {
    let spaces = " ".repeat(room.saturating_sub(width(text)));
    match align {
        Align::Left => format!("{text}{spaces}"),
        Align::Right => format!("{spaces}{text}"),
    }
}
