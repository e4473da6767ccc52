//! Columns of short texts that fit a width.

use comfy_table::{
    Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets,
};

use crate::escape;
use crate::names::short_name;
use crate::page::{Page, Span, Style, dim, plain, shortened, width};

/// Spaces before the names, and before marks.
pub(crate) const INDENT: usize = 2;
/// Spaces between columns.
const GAP: usize = 2;

/// Widest column after the names, as a part of the room.
pub(crate) const WIDEST: usize = 3;

/// Widest word of a heading that is not shortened.
const MAX_WORD: usize = 16;

/// A table for a terminal: one name column, then columns of numbers or words.
#[derive(Debug)]
pub struct Grid {
    /// Heading of the name column.
    pub title: &'static str,
    /// In order; where space is short some are left out.
    pub columns: Vec<GridColumn>,
    /// In order.
    pub rows: Vec<GridRow>,
}

/// One column after the names.
#[derive(Debug)]
pub struct GridColumn {
    /// Heading; broken at spaces when it is wider than the cells.
    pub title: String,
    /// How its cells and heading are set.
    pub align: Align,
    /// Where space is short, the columns with the highest rank go first.
    pub rank: u8,
}

/// Where the text of a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

impl From<Align> for CellAlignment {
    fn from(align: Align) -> Self {
        match align {
            Align::Left => Self::Left,
            Align::Right => Self::Right,
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct GridRow {
    /// A single character before the name.
    pub mark: Option<Span>,
    /// Loses its middle where space is short.
    pub name: String,
    /// Of the name.
    pub style: Style,
    /// One for each column; `None` is drawn as a dash.
    pub cells: Vec<Option<String>>,
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
    pub fn draw(&self, page: &mut Page) {
        let marked = self.rows.iter().any(|row| row.mark.is_some());
        let indent = INDENT + if marked { 2 } else { 0 };
        let names: Vec<String> =
            self.rows.iter().map(|row| escape::terminal(&row.name).into_owned()).collect();
        let longest =
            names.iter().map(|name| width(name)).max().unwrap_or(0).max(width(self.title));
        let room = page.width().saturating_sub(indent);
        let (columns, name_width) = self.fit(longest, room);

        let head_lines = columns.iter().map(|c| c.heading.len()).max().unwrap_or(1);
        let names: Vec<String> = names.iter().map(|name| short_name(name, name_width)).collect();
        let table = self.laid_out(&columns, &names, name_width, head_lines);
        let mut lines = table.lines();
        for line in lines.by_ref().take(head_lines) {
            page.line(&[plain(" ".repeat(indent)), dim(line)]);
        }
        let total = name_width + columns.iter().map(|c| c.width + GAP).sum::<usize>();
        page.line(&[plain(" ".repeat(indent)), dim("─".repeat(total))]);
        for ((row, name), line) in self.rows.iter().zip(names).zip(lines) {
            let mut spans = vec![plain("  ")];
            if marked {
                spans.push(row.mark.clone().unwrap_or_else(|| plain(" ")));
                spans.push(plain(" "));
            }
            let (name, cells) = line.split_at_checked(name.len()).unwrap_or((&line, ""));
            spans.push(Span::new(row.style, name.to_owned()));
            spans.push(plain(cells.to_owned()));
            page.line(&spans);
        }
    }

    /// The table without indent, mark and colour: `head_lines` lines of headings, then a line for each row.
    fn laid_out(
        &self,
        columns: &[Drawn],
        names: &[String],
        name_width: usize,
        head_lines: usize,
    ) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        // Headings end on one line, so shorter ones begin with empty ones.
        let lowered = |lines: &[String]| {
            let above = head_lines.saturating_sub(lines.len());
            Cell::new(format!("{}{}", "\n".repeat(above), lines.join("\n")))
        };
        let headings = columns.iter().map(|c| lowered(&c.heading).set_alignment(c.align.into()));
        table.set_header(std::iter::once(lowered(&[self.title.to_owned()])).chain(headings));
        for (row, name) in self.rows.iter().zip(names) {
            let cells = columns.iter().map(|column| {
                let text = row.cells.get(column.index).and_then(Option::as_deref).unwrap_or("–");
                Cell::new(shortened(&escape::terminal(text), column.width))
                    .set_alignment(column.align.into())
            });
            table.add_row(std::iter::once(Cell::new(name)).chain(cells));
        }
        let widths = std::iter::once((0, name_width)).chain(columns.iter().map(|c| (GAP, c.width)));
        for (column, (gap, width)) in table.column_iter_mut().zip(widths) {
            column.set_padding((gap as u16, 0));
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed((gap + width) as u16)));
        }
        table
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
        let width = widest.max(word.min(MAX_WORD)).min(room / WIDEST);
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
