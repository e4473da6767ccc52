//! The list of weights.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use weightscope::WeightStatus;
use weightscope::report::{escape, pieces};

use super::columns::{Column, fitting};
use super::data::Data;
use super::filter::Filter;
use super::list::List;
use super::theme::{Theme, symbol};

/// Columns before the name: the cursor's mark and the worst finding's.
const MARKS: usize = 4;
/// A name is cut only below this.
const LEAST_NAME: usize = 26;

/// Which weights are listed, in which order.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) list: List,
    pub(super) filter: Filter,
    pub(super) columns: Vec<Column>,
    sorted: usize,
    reversed: bool,
    /// Places of the weights that pass, sorted.
    rows: Vec<usize>,
    longest_name: usize,
}

impl Weights {
    pub(super) fn new(data: &Data) -> Self {
        let names = data.report.weights.iter().map(|w| pieces::width(&escape::terminal(&w.name)));
        let mut weights = Self {
            list: List::default(),
            filter: Filter::default(),
            columns: Column::all(data),
            sorted: 0,
            reversed: false,
            rows: Vec::new(),
            longest_name: names.max().unwrap_or(0),
        };
        weights.arrange(data);
        weights
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The weight under the cursor.
    pub(super) fn current(&self) -> Option<usize> {
        self.rows.get(self.list.cursor).copied()
    }

    /// Moves the cursor by rows, and says which weight it is on then.
    pub(super) fn step(&mut self, forward: bool) -> Option<usize> {
        let to = if forward { self.list.cursor + 1 } else { self.list.cursor.checked_sub(1)? };
        let place = self.rows.get(to).copied()?;
        self.list.cursor = to;
        Some(place)
    }

    /// Puts the cursor on a weight, where it is listed.
    pub(super) fn go_to(&mut self, place: usize) {
        if let Some(row) = self.rows.iter().position(|p| *p == place) {
            self.list.cursor = row;
        }
    }

    pub(super) fn on_key(&mut self, key: KeyEvent, data: &Data) -> bool {
        let count = self.columns.len().max(1);
        match key.code {
            KeyCode::Char('s' | '>' | 'l') | KeyCode::Right => {
                self.sort_by((self.sorted + 1) % count, data);
            }
            KeyCode::Char('<' | 'h') | KeyCode::Left => {
                self.sort_by((self.sorted + count - 1) % count, data);
            }
            KeyCode::Char('S' | 'r') => {
                self.reversed = !self.reversed;
                self.arrange(data);
                self.list.cursor = 0;
            }
            _ => return self.list.on_key(key, self.rows.len()),
        }
        true
    }

    /// A new order is looked at from its top, and so is the other way round.
    fn sort_by(&mut self, column: usize, data: &Data) {
        self.sorted = column;
        self.reversed = false;
        self.arrange(data);
        self.list.cursor = 0;
    }

    /// Filters and sorts anew; the cursor stays on its weight where it can.
    pub(super) fn arrange(&mut self, data: &Data) {
        let before = self.current();
        let passes = |place: &usize| {
            let Some(weight) = data.weight(*place) else { return false };
            self.filter.passes(
                data.worst(*place),
                &[&weight.name, weight.role.name(), &weight.stored_type()],
            )
        };
        let places = (0..data.report.weights.len()).filter(passes);
        let Some(column) = self.columns.get(self.sorted) else { return };
        let descends = column.descends() != self.reversed;
        let mut keyed: Vec<_> = places.map(|place| (column.key(data, place), place)).collect();
        // Stable: equal ones stay in model order.
        keyed.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) if descends => b.compare(a),
            (Some(a), Some(b)) => a.compare(b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        self.rows = keyed.into_iter().map(|(_, place)| place).collect();
        let same = before.and_then(|place| self.rows.iter().position(|p| *p == place));
        self.list.cursor = same.unwrap_or(0);
    }

    /// `condition number ↓`
    pub(super) fn order(&self) -> String {
        let column = self.columns.get(self.sorted);
        let title = column.map_or("", |c| c.title.as_str());
        format!("{title} {}", self.arrow())
    }

    fn arrow(&self) -> &'static str {
        let descends = self.columns.get(self.sorted).is_some_and(Column::descends);
        if descends == self.reversed { "↑" } else { "↓" }
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, data: &Data, theme: Theme) {
        if area.height < 3 {
            return;
        }
        let width = usize::from(area.width);
        let least = self.longest_name.min(LEAST_NAME);
        let chosen = fitting(&self.columns, self.sorted, width.saturating_sub(MARKS + least + 1));
        let beside: usize =
            chosen.iter().filter_map(|i| self.columns.get(*i)).map(|c| c.width + 2).sum();
        let room = width.saturating_sub(MARKS + beside + 1).min(self.longest_name.max(4));
        self.headings(frame, area, room, &chosen, theme);
        let body = Rect { y: area.y + 2, height: area.height - 2, ..area };
        let window = self.list.window(self.rows.len(), usize::from(body.height));
        if self.rows.is_empty() {
            let line = Line::styled("    no weight passes the filter; Esc clears it", theme.dim());
            frame.buffer_mut().set_line(body.x, body.y, &line, body.width);
        }
        for (y, row) in (body.top()..body.bottom()).zip(window) {
            let Some(place) = self.rows.get(row).copied() else { continue };
            let here = row == self.list.cursor;
            let line = self.row(place, here, room, &chosen, data, theme);
            let buffer = frame.buffer_mut();
            buffer.set_line(body.x, y, &line, body.width);
            if here {
                buffer.set_style(Rect { y, height: 1, ..body }, theme.cursor());
            }
        }
    }

    fn headings(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        room: usize,
        chosen: &[usize],
        theme: Theme,
    ) {
        for line in 0..2usize {
            let name = if line == 1 { "name" } else { "" };
            let mut spans =
                vec![Span::raw(" ".repeat(MARKS)), Span::styled(padded(name, room), theme.dim())];
            for i in chosen {
                let Some(column) = self.columns.get(*i) else { continue };
                let text = column.heading.get(line).map_or("", String::as_str);
                let sorted = *i == self.sorted;
                let style = if sorted { theme.accent() } else { theme.dim() };
                // Two spaces part the columns, so there is room for the arrow.
                let arrow = if sorted && line == 1 { self.arrow() } else { "" };
                let text = if column.is_text() {
                    format!("{}{}", right(arrow, 2), padded(text, column.width))
                } else {
                    right(&format!("{arrow}{text}"), column.width + 2)
                };
                spans.push(Span::styled(text, style));
            }
            let y = area.y + u16::from(line == 1);
            frame.buffer_mut().set_line(area.x, y, &Line::from(spans), area.width);
        }
    }

    fn row(
        &self,
        place: usize,
        here: bool,
        room: usize,
        chosen: &[usize],
        data: &Data,
        theme: Theme,
    ) -> Line<'static> {
        let Some(weight) = data.weight(place) else { return Line::default() };
        let measured = weight.status == WeightStatus::Ok;
        let (mark, style) = match data.worst(place) {
            Some(severity) => (symbol(severity), theme.severity(severity)),
            None if measured => (" ", Style::new()),
            None => ("∅", theme.dim()),
        };
        let name = pieces::short_name(&escape::terminal(&weight.name), room);
        let named = if measured { Style::new() } else { theme.dim() };
        let mut spans = vec![
            Span::raw(if here { "› " } else { "  " }),
            Span::styled(mark, style),
            Span::raw(" "),
            Span::styled(padded(&name, room), named),
        ];
        for i in chosen {
            let Some(column) = self.columns.get(*i) else { continue };
            let (text, style) = match column.cell(weight) {
                Some(text) => (text, if *i == self.sorted { theme.bold() } else { Style::new() }),
                None => ("·".to_owned(), theme.dim()),
            };
            let text = pieces::shortened(&text, column.width);
            let text = if column.is_text() {
                format!("  {}", padded(&text, column.width))
            } else {
                right(&text, column.width + 2)
            };
            spans.push(Span::styled(text, style));
        }
        Line::from(spans)
    }
}

/// `text` and spaces up to `width`.
pub(super) fn padded(text: &str, width: usize) -> String {
    let spaces = width.saturating_sub(pieces::width(text));
    format!("{text}{}", " ".repeat(spaces))
}

/// Spaces and `text`, up to `width`.
pub(super) fn right(text: &str, width: usize) -> String {
    let spaces = width.saturating_sub(pieces::width(text));
    format!("{}{text}", " ".repeat(spaces))
}
