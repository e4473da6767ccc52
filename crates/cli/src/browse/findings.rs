//! The list of findings, and what the chosen one means.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use weightscope::Finding;
use weightscope::report::{escape, pieces};

use super::about;
use super::data::Data;
use super::filter::Filter;
use super::frame::{note, panel};
use super::list::List;
use super::text::{Scroll, Text};
use super::theme::{Theme, symbol};
use super::weights::padded;

/// What findings are sorted by.
const ORDERS: [&str; 4] = ["severity", "code", "weight", "value"];

/// Which findings are listed, in which order.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) list: List,
    pub(super) filter: Filter,
    order: usize,
    reversed: bool,
    rows: Vec<usize>,
    code_width: usize,
    name_width: usize,
    about: Scroll,
}

impl Findings {
    pub(super) fn new(data: &Data) -> Self {
        let report = &data.report;
        let findings = || report.findings.iter().chain(&report.facts);
        let widest = |of: &dyn Fn(&Finding) -> usize| findings().map(of).max().unwrap_or(0);
        let name =
            |f: &Finding| pieces::width(&escape::terminal(f.weight.as_deref().unwrap_or("model")));
        let mut all = Self {
            list: List::default(),
            filter: Filter::default(),
            order: 0,
            reversed: false,
            rows: Vec::new(),
            code_width: widest(&|f| pieces::width(&escape::terminal(&f.code))).max(7),
            name_width: widest(&name).max(6),
            about: Scroll::default(),
        };
        all.arrange(data);
        all
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The finding under the cursor.
    pub(super) fn current(&self) -> Option<usize> {
        self.rows.get(self.list.cursor).copied()
    }

    pub(super) fn on_key(&mut self, key: KeyEvent, data: &Data) -> bool {
        let count = ORDERS.len();
        match key.code {
            KeyCode::Char('s' | '>' | 'l') | KeyCode::Right => {
                self.order = (self.order + 1) % count;
            }
            KeyCode::Char('<' | 'h') | KeyCode::Left => {
                self.order = (self.order + count - 1) % count;
            }
            KeyCode::Char('S' | 'r') => {
                self.reversed = !self.reversed;
                self.arrange(data);
                self.list.cursor = 0;
                return true;
            }
            KeyCode::Char(']' | '[') => {
                self.about.turn(key.code == KeyCode::Char(']'));
                return true;
            }
            _ => {
                self.about = Scroll::default();
                return self.list.on_key(key, self.rows.len());
            }
        }
        self.reversed = false;
        self.arrange(data);
        self.list.cursor = 0;
        true
    }

    /// Filters and sorts anew; the cursor stays on its finding where it can.
    pub(super) fn arrange(&mut self, data: &Data) {
        let before = self.current();
        let findings = &data.report.findings;
        let passes = |f: &Finding| {
            let texts = [f.code.as_ref(), f.weight.as_deref().unwrap_or(""), f.message.as_str()];
            self.filter.passes(Some(f.severity), &texts)
        };
        let mut rows: Vec<usize> =
            findings.iter().enumerate().filter(|(_, f)| passes(f)).map(|(i, _)| i).collect();
        // The report has them by severity, code, and the model's order.
        let place = |f: &Finding| f.weight.as_deref().and_then(|name| data.place(name));
        let order = self.order;
        let compare = |a: &usize, b: &usize| {
            let (Some(a), Some(b)) = (findings.get(*a), findings.get(*b)) else {
                return std::cmp::Ordering::Equal;
            };
            match order {
                1 => a.code.cmp(&b.code),
                2 => place(a).cmp(&place(b)),
                3 => match (a.value, b.value) {
                    (Some(a), Some(b)) => b.total_cmp(&a),
                    (a, b) => b.is_some().cmp(&a.is_some()),
                },
                _ => std::cmp::Ordering::Equal,
            }
        };
        rows.sort_by(compare);
        if self.reversed {
            rows.reverse();
        }
        self.rows = rows;
        let same = before.and_then(|place| self.rows.iter().position(|p| *p == place));
        self.list.cursor = same.unwrap_or(0);
    }

    /// `severity ↓`
    pub(super) fn order(&self) -> String {
        let descends = matches!(self.order, 0 | 3) != self.reversed;
        let title = ORDERS.get(self.order).copied().unwrap_or("");
        format!("{title} {}", if descends { "↓" } else { "↑" })
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, data: &Data, theme: Theme) {
        let window = self.list.window(self.rows.len(), usize::from(area.height));
        if self.rows.is_empty() {
            let text = if data.report.findings.is_empty() {
                match pieces::no_findings(&data.report) {
                    text if text == "no findings" => {
                        Line::styled(format!("    ✓ {text}"), theme.good())
                    }
                    text => Line::styled(format!("    {text}"), theme.dim()),
                }
            } else {
                Line::styled("    no finding passes the filter; Esc clears it", theme.dim())
            };
            frame.buffer_mut().set_line(area.x, area.y, &text, area.width);
        }
        let width = usize::from(area.width).saturating_sub(4);
        // Names give way to messages, but not all of it.
        let code = self.code_width.min(width / 3);
        let name = self.name_width.min((width - code) * 3 / 5);
        for (y, row) in (area.top()..area.bottom()).zip(window) {
            let Some(finding) = self.rows.get(row).and_then(|f| data.finding(*f)) else { continue };
            let here = row == self.list.cursor;
            let style = theme.severity(finding.severity);
            let text = if finding.known { theme.dim() } else { Style::new() };
            let named = finding.weight.as_deref().unwrap_or("model");
            let shown_code = pieces::shortened(&escape::terminal(&finding.code), code);
            let shown_name = pieces::short_name(&escape::terminal(named), name);
            let line = Line::from(vec![
                Span::raw(if here { "› " } else { "  " }),
                Span::styled(symbol(finding.severity), style),
                Span::raw(" "),
                Span::styled(padded(&shown_code, code), text),
                Span::raw("  "),
                Span::styled(padded(&shown_name, name), text),
                Span::raw("  "),
                Span::styled(escape::terminal(&finding.message).into_owned(), theme.dim()),
            ]);
            frame.buffer_mut().set_line(area.x, y, &line, area.width);
            if here {
                frame.buffer_mut().set_style(Rect { y, height: 1, ..area }, theme.cursor());
            }
        }
    }

    /// What the finding under the cursor means.
    pub(super) fn draw_about(&self, frame: &mut Frame<'_>, area: Rect, data: &Data, theme: Theme) {
        let Some(finding) = self.current().and_then(|f| data.finding(f)) else {
            panel(frame, area, Line::default(), theme);
            return;
        };
        let inner = panel(frame, area, Line::default(), theme);
        let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
        let mut text = Text::new(usize::from(inner.width), theme);
        about::finding(&mut text, data, finding, true, theme);
        self.about.draw(frame, inner, &text.lines);
        if self.about.is_cut() {
            note(frame, area, "[ ] more", theme.dim());
        }
    }
}
