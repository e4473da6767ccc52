//! What is on the screen, and what keys do to it. Knows no terminal: tests drive it key by key.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use weightscope::report::{escape, pieces};
use weightscope::{Descriptor, Report, Severity, Status};

use super::about;
use super::data::Data;
use super::detail::Detail;
use super::figure;
use super::filter::Filter;
use super::findings::Findings;
use super::frame::{help, keys, note, panel};
use super::model::Model;
use super::text::{Text, lines_at};
use super::theme::{Theme, symbol};
use super::weights::Weights;

/// Smallest screen that anything can be seen on.
const LEAST: (u16, u16) = (40, 10);
/// From this width on, the chosen line is explained beside the list.
const WIDE: u16 = 130;

/// The lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Weights,
    Findings,
    Model,
}

impl View {
    const ALL: [Self; 3] = [Self::Weights, Self::Findings, Self::Model];

    fn turned(self, by: usize) -> Self {
        let place = Self::ALL.iter().position(|v| *v == self).unwrap_or(0);
        Self::ALL.get((place + by) % Self::ALL.len()).copied().unwrap_or(self)
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The user had seen enough.
    Quit,
    /// Ctrl-C.
    Interrupted,
}

/// The whole state.
#[derive(Debug)]
pub(super) struct App {
    data: Data,
    theme: Theme,
    view: View,
    weights: Weights,
    findings: Findings,
    model: Model,
    /// The weight that is looked into, above the list.
    detail: Option<Detail>,
    help: bool,
    end: Option<End>,
}

impl App {
    pub(super) fn new(report: Report, descriptors: Vec<Descriptor>, color: bool) -> Self {
        let data = Data::new(report, descriptors);
        Self {
            weights: Weights::new(&data),
            findings: Findings::new(&data),
            model: Model::default(),
            theme: Theme { color },
            view: View::Weights,
            detail: None,
            help: false,
            end: None,
            data,
        }
    }

    /// Set once it is over.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    pub(super) fn on_key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            self.end = Some(End::Interrupted);
        } else if self.help {
            // Whatever is pressed, the help has been read.
            self.help = false;
        } else if let Some(changed) = self.typed(key) {
            if changed {
                self.arrange();
            }
        } else if key.code == KeyCode::Char('?') {
            self.help = true;
        } else if self.detail.is_some() {
            self.on_detail_key(key);
        } else {
            self.on_list_key(key);
        }
    }

    fn filter(&mut self) -> Option<&mut Filter> {
        match self.view {
            View::Weights => Some(&mut self.weights.filter),
            View::Findings => Some(&mut self.findings.filter),
            View::Model => None,
        }
    }

    /// A key that goes into the filter's text, and whether it changed.
    fn typed(&mut self, key: KeyEvent) -> Option<bool> {
        if self.detail.is_some() {
            return None;
        }
        self.filter().filter(|filter| filter.typing)?.on_key(key)
    }

    fn arrange(&mut self) {
        match self.view {
            View::Weights => self.weights.arrange(&self.data),
            View::Findings => self.findings.arrange(&self.data),
            View::Model => {}
        }
    }

    fn on_detail_key(&mut self, key: KeyEvent) {
        let Some(detail) = &mut self.detail else { return };
        if detail.on_key(key, &self.data) {
            return;
        }
        match key.code {
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Char('q') => self.detail = None,
            KeyCode::Char('n' | 'p') => {
                let place = detail.place;
                self.weights.go_to(place);
                if let Some(next) = self.weights.step(key.code == KeyCode::Char('n')) {
                    self.detail = self.detail.as_ref().map(|d| d.turned_to(&self.data, next));
                }
            }
            _ => {}
        }
    }

    fn on_list_key(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Char('q') => self.end = Some(End::Quit),
            KeyCode::Tab => self.view = self.view.turned(1),
            KeyCode::BackTab => self.view = self.view.turned(View::ALL.len() - 1),
            KeyCode::Char('1') => self.view = View::Weights,
            KeyCode::Char('2') => self.view = View::Findings,
            KeyCode::Char('3') => self.view = View::Model,
            KeyCode::Char('/') => {
                if let Some(filter) = self.filter() {
                    filter.typing = true;
                }
            }
            KeyCode::Char('w') => {
                if let Some(filter) = self.filter() {
                    filter.next_severity();
                }
                self.arrange();
            }
            KeyCode::Esc | KeyCode::Backspace => {
                if let Some(filter) = self.filter() {
                    filter.clear();
                }
                self.arrange();
            }
            KeyCode::Enter => self.enter(),
            KeyCode::Char('a') if self.view == View::Findings => {
                self.data.toggle_facts();
                self.findings.arrange(&self.data);
            }
            _ => {
                let _ = match self.view {
                    View::Weights => self.weights.on_key(key, &self.data),
                    View::Findings => self.findings.on_key(key, &self.data),
                    View::Model => self.model.on_key(key, &self.data),
                };
            }
        }
    }

    /// Looks into what is under the cursor.
    fn enter(&mut self) {
        let finding = self.findings.current();
        let place = match self.view {
            View::Weights => self.weights.current(),
            View::Findings => {
                let finding = finding.and_then(|f| self.data.finding(f));
                finding.and_then(|f| self.data.place(f.weight.as_deref()?))
            }
            View::Model => None,
        };
        let Some(place) = place else { return };
        let mut detail = Detail::new(&self.data, place);
        if let Some(finding) = finding.filter(|_| self.view == View::Findings) {
            detail.show(finding);
        }
        self.detail = Some(detail);
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        if area.width < LEAST.0 || area.height < LEAST.1 {
            let text = pieces::shortened("the window is too small", usize::from(area.width));
            frame.buffer_mut().set_string(area.x, area.y, text, self.theme.bold());
            return;
        }
        let head = Rect { height: 1, ..area };
        let body = Rect { y: area.y + 1, height: area.height - 2, ..area };
        let foot = Rect { y: area.bottom() - 1, height: 1, ..area };
        self.draw_head(frame, head);
        if let Some(detail) = &self.detail {
            detail.draw(frame, body, &self.data, self.theme);
        } else {
            self.draw_view(frame, body);
        }
        self.draw_foot(frame, foot);
        if self.help {
            help(frame, self.theme);
        }
    }

    /// What is looked at, and how many findings it has.
    fn draw_head(&self, frame: &mut Frame<'_>, area: Rect) {
        let (report, theme) = (&self.data.report, self.theme);
        let mut counts = Vec::new();
        for severity in Severity::ALL.into_iter().rev() {
            let found = self.data.found().iter();
            let count = found.filter(|f| f.severity == severity).count() as u64;
            if count > 0 {
                let text = format!("{} {}  ", symbol(severity), pieces::count(count));
                counts.push(Span::styled(text, theme.severity(severity)));
            }
        }
        if counts.is_empty() {
            let text = pieces::no_findings(report);
            let is_all = text == "no findings";
            let style = if is_all { theme.good() } else { theme.dim() };
            let mark = if is_all { "✓ " } else { "" };
            counts.push(Span::styled(format!("{mark}{text}  "), style));
        }
        let counts = Line::from(counts);
        let room = usize::from(area.width).saturating_sub(counts.width() + 3);
        let sources: Vec<&str> = report.sources.iter().map(|s| s.path.as_str()).collect();
        let mut facts: Vec<String> = Vec::new();
        if let Some(model) = report.models.first() {
            facts.push(escape::terminal_within(&model.family, 20).into_owned());
            facts.push(format!("{} parameters", pieces::short_count(model.parameters)));
        }
        if report.status != Status::Complete {
            facts.insert(0, report.status.name().to_uppercase());
        }
        let facts = facts.join("  ");
        let name = pieces::shortened(
            &escape::terminal(&sources.join(" → ")),
            room.saturating_sub(pieces::width(&facts) + 2).max(room / 3),
        );
        let facts = pieces::shortened(&facts, room.saturating_sub(pieces::width(&name) + 2));
        let line = Line::from(vec![
            Span::raw(" "),
            Span::styled(name, theme.bold()),
            Span::styled(format!("  {facts}"), theme.dim()),
        ]);
        let buffer = frame.buffer_mut();
        buffer.set_line(area.x, area.y, &line, area.width);
        let start = area.right().saturating_sub(counts.width() as u16);
        buffer.set_line(start, area.y, &counts, area.width);
    }

    /// The names of the lists, the current one set off.
    fn tabs(&self) -> Line<'static> {
        let (theme, data) = (self.theme, &self.data);
        let count = |shown: usize, all: usize| {
            let all = pieces::count(all as u64);
            if all == pieces::count(shown as u64) {
                all
            } else {
                format!("{}/{all}", pieces::count(shown as u64))
            }
        };
        let mut spans = vec![Span::raw(" ")];
        for view in View::ALL {
            let name = match view {
                View::Weights => {
                    format!("Weights {}", count(self.weights.len(), data.report.weights.len()))
                }
                View::Findings => {
                    format!("Findings {}", count(self.findings.len(), data.report.findings.len()))
                }
                View::Model => "Model".to_owned(),
            };
            if view == self.view {
                spans.push(Span::styled(format!("[{name}]"), theme.accent()));
            } else {
                spans.push(Span::styled(format!(" {name} "), theme.dim()));
            }
            spans.push(Span::raw(" "));
        }
        Line::from(spans)
    }

    fn draw_view(&self, frame: &mut Frame<'_>, area: Rect) {
        let theme = self.theme;
        match self.view {
            View::Model => self.model.draw(frame, area, self.tabs(), &self.data, theme),
            View::Weights if area.width >= WIDE => {
                let left = area.width * 3 / 5;
                let list = Rect { width: left, ..area };
                let inner = panel(frame, list, self.tabs(), theme);
                self.weights.draw(frame, inner, &self.data, theme);
                self.draw_notes(frame, list, &self.weights.order(), &self.weights.filter);
                let beside = Rect { x: area.x + left, width: area.width - left, ..area };
                self.draw_preview(frame, beside);
            }
            View::Weights => {
                let inner = panel(frame, area, self.tabs(), theme);
                self.weights.draw(frame, inner, &self.data, theme);
                self.draw_notes(frame, area, &self.weights.order(), &self.weights.filter);
            }
            View::Findings => {
                let wide = area.width >= WIDE;
                let (list, about) = if wide {
                    let left = area.width * 3 / 5;
                    let beside = Rect { x: area.x + left, width: area.width - left, ..area };
                    (Rect { width: left, ..area }, beside)
                } else {
                    let above = area.height - (area.height * 9 / 20).max(5);
                    let below = Rect { y: area.y + above, height: area.height - above, ..area };
                    (Rect { height: above, ..area }, below)
                };
                let inner = panel(frame, list, self.tabs(), theme);
                self.findings.draw(frame, inner, &self.data, theme);
                self.draw_notes(frame, list, &self.findings.order(), &self.findings.filter);
                self.findings.draw_about(frame, about, &self.data, theme);
            }
        }
    }

    /// The order and the filter, on the border.
    fn draw_notes(&self, frame: &mut Frame<'_>, area: Rect, order: &str, filter: &Filter) {
        let mut parts = Vec::new();
        if let Some(severity) = filter.severity {
            parts.push(match severity {
                Severity::Info => "with findings".to_owned(),
                Severity::Warning => "warnings and above".to_owned(),
                Severity::Critical => "critical".to_owned(),
            });
        }
        if !filter.text.is_empty() && !filter.typing {
            parts.push(format!("/{}", escape::terminal_within(&filter.text, 40)));
        }
        if self.view == View::Findings && self.data.shows_facts() {
            parts.push("with facts".to_owned());
        }
        parts.push(format!("by {order}"));
        let style = if filter.is_set() { self.theme.accent() } else { self.theme.dim() };
        note(frame, area, &parts.join("  "), style);
    }

    /// The weight under the cursor: what was found, and its spectrum or another figure.
    fn draw_preview(&self, frame: &mut Frame<'_>, area: Rect) {
        let theme = self.theme;
        let Some(place) = self.weights.current() else {
            panel(frame, area, Line::default(), theme);
            return;
        };
        let mut text = Text::new(usize::from(area.width).saturating_sub(4), theme);
        about::weight(&mut text, &self.data, place, theme);
        let figures: Vec<_> =
            self.data.figures_of(place).iter().filter_map(|f| self.data.figure(*f)).collect();
        let wanted = ["spectral.spectrum", "distribution.histogram"];
        let mut chosen: Vec<_> =
            wanted.iter().filter_map(|id| figures.iter().find(|f| f.id == *id)).collect();
        chosen.extend(figures.iter().filter(|f| !wanted.contains(&&*f.id)));
        let least = if chosen.is_empty() { area.height } else { 4 };
        let most = if chosen.is_empty() { area.height } else { area.height * 2 / 5 };
        let above = (text.lines.len() as u16 + 2).clamp(least.min(most), most);
        let inner = panel(frame, Rect { height: above, ..area }, Line::default(), theme);
        let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
        lines_at(frame, inner, &text.lines);
        let rest = Rect { y: area.y + above, height: area.height - above, ..area };
        let count = chosen.len().min(usize::from(rest.height / 12).clamp(1, 2)).max(1) as u16;
        for (i, figure) in (0..count).zip(chosen) {
            let height = if i + 1 == count {
                rest.height - rest.height / count * i
            } else {
                rest.height / count
            };
            let area = Rect { y: rest.y + rest.height / count * i, height, ..rest };
            let room = usize::from(area.width).saturating_sub(6);
            let title = pieces::shortened(&escape::terminal(&figure.title), room);
            let inner = panel(frame, area, Line::styled(format!(" {title} "), theme.bold()), theme);
            let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
            figure::draw(frame.buffer_mut(), inner, figure, theme);
        }
    }

    /// The filter while it is typed, else the keys that matter here.
    fn draw_foot(&self, frame: &mut Frame<'_>, area: Rect) {
        let filter = match self.view {
            View::Weights => Some(&self.weights.filter),
            View::Findings => Some(&self.findings.filter),
            View::Model => None,
        };
        if let Some(filter) = filter.filter(|f| f.typing && self.detail.is_none()) {
            let text = escape::terminal_within(&filter.text, 120);
            let line = Line::from(vec![
                Span::styled(" /", self.theme.accent()),
                Span::raw(text.into_owned()),
                Span::styled("▏", self.theme.accent()),
                Span::styled("   Enter keeps, Esc clears", self.theme.dim()),
            ]);
            frame.buffer_mut().set_line(area.x, area.y, &line, area.width);
            return;
        }
        let hints: &[(&str, &str)] = if self.detail.is_some() {
            &[
                ("↑↓", "line"),
                ("←→", "figure"),
                ("z", "zoom"),
                ("n p", "weight"),
                ("Esc", "back"),
                ("?", "help"),
            ]
        } else if self.view == View::Model {
            &[
                ("Tab", "next view"),
                ("↑↓", "scroll"),
                ("←→", "figure"),
                ("?", "help"),
                ("q", "quit"),
            ]
        } else {
            &[
                ("Enter", "open"),
                ("Tab", "view"),
                ("/", "filter"),
                ("w", "severity"),
                ("s", "sort"),
                ("r", "reverse"),
                ("?", "help"),
                ("q", "quit"),
            ]
        };
        keys(frame, area, hints, self.theme);
    }
}
