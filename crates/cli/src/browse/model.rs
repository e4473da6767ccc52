//! The model as a whole: what it is, what can be said of it, what went wrong, and its figures.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use weightscope::report::{escape, pieces};
use weightscope::{ModelSummary, Severity};

use super::data::Data;
use super::figure;
use super::frame::{note, panel};
use super::text::{Scroll, Text};
use super::theme::Theme;

/// Names of a list that are shown.
const FIRST: usize = 12;
/// Column at which facts begin.
const HANG: usize = 13;

/// The screen of the model.
#[derive(Debug, Default)]
pub(super) struct Model {
    scroll: Scroll,
    figure: usize,
}

impl Model {
    pub(super) fn on_key(&mut self, key: KeyEvent, data: &Data) -> bool {
        let count = data.model_figures.len();
        match key.code {
            KeyCode::Right | KeyCode::Char('f' | 'l') if count > 0 => {
                self.figure = (self.figure + 1) % count;
            }
            KeyCode::Left | KeyCode::Char('F' | 'h') if count > 0 => {
                self.figure = (self.figure + count - 1) % count;
            }
            _ => return self.scroll.on_key(key),
        }
        true
    }

    /// The panel `area` is the whole screen's; its figure stands below or, where it is wide, beside.
    pub(super) fn draw(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        title: Line<'_>,
        data: &Data,
        theme: Theme,
    ) {
        let place = data.model_figures.get(self.figure).and_then(|f| data.figure(*f));
        let (words, picture) = match place {
            None => (area, None),
            Some(figure) if area.width >= 120 => {
                let left = area.width / 2;
                let beside = Rect { x: area.x + left, width: area.width - left, ..area };
                (Rect { width: left, ..area }, Some((figure, beside)))
            }
            Some(figure) => {
                let above = area.height / 2;
                let below = Rect { y: area.y + above, height: area.height - above, ..area };
                (Rect { height: above, ..area }, Some((figure, below)))
            }
        };
        let inner = panel(frame, words, title, theme);
        let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
        let text = text(data, usize::from(inner.width), theme);
        self.scroll.draw(frame, inner, &text.lines);
        if self.scroll.is_cut() {
            note(frame, words, "↓ more", theme.dim());
        }
        let Some((figure, area)) = picture else { return };
        let room = usize::from(area.width).saturating_sub(14);
        let title = pieces::shortened(&escape::terminal(&figure.title), room);
        let count = format!("‹{}/{}› ", self.figure + 1, data.model_figures.len());
        let title = Line::from(vec![
            Span::styled(format!(" {title} "), theme.bold()),
            Span::styled(count, theme.accent()),
        ]);
        let inner = panel(frame, area, title, theme);
        let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
        figure::draw(frame.buffer_mut(), inner, figure, theme);
    }
}

fn text(data: &Data, width: usize, theme: Theme) -> Text {
    let mut text = Text::new(width, theme);
    let report = &data.report;
    for (label, value) in pieces::facts(report) {
        text.labelled(&[Span::styled(label, theme.dim())], HANG, &value, Style::new());
    }
    if !report.errors.is_empty() {
        text.heading("Problems");
        for error in &report.errors {
            let mark = Span::styled("✗", theme.severity(Severity::Critical));
            text.labelled(&[mark], 2, &format!("{}: {}", error.name, error.message), Style::new());
        }
    }
    if !report.conclusions.is_empty() {
        text.heading("Conclusions");
        for conclusion in &report.conclusions {
            text.labelled(&[Span::styled("•", theme.dim())], 2, &conclusion.message, Style::new());
        }
    }
    for model in &report.models {
        parts(&mut text, model, theme);
    }
    text
}

/// Where the parameters are, and which tensors are not as config.json has them.
fn parts(text: &mut Text, model: &ModelSummary, theme: Theme) {
    let all = model.parameters.max(1) as f64;
    if !model.categories.is_empty() {
        text.heading("Parameters");
    }
    for part in &model.categories {
        let share = part.parameters as f64 / all;
        let bar = "━".repeat((share * 20.0).round() as usize);
        let line = format!("{} {bar} {:.1} %", pieces::short_count(part.parameters), 100.0 * share);
        let label = Span::raw(part.category.name().replace('_', " "));
        text.labelled(&[label], 18, &line, Style::new());
    }
    let shapes = model.misshapen.iter().map(|m| {
        format!("{} ({}, not {})", m.name, pieces::shape(&m.shape), pieces::shape(&m.expected))
    });
    let lists: [(&str, Vec<String>); 4] = [
        ("Missing", model.missing.clone()),
        ("Unexpected", model.unexpected.clone()),
        ("Of another shape", shapes.collect()),
        (
            "Tied",
            model.tied.iter().map(|(copy, original)| format!("{copy} is {original}")).collect(),
        ),
    ];
    for (title, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
        text.heading(title);
        for name in names.iter().take(FIRST) {
            text.labelled(&[], 2, name, Style::new());
        }
        if names.len() > FIRST {
            let more = pieces::count((names.len() - FIRST) as u64);
            text.paragraph(&format!("and {more} more"), theme.dim());
        }
    }
}
