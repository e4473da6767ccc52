//! Wrapped text that can be scrolled.

use std::cell::Cell;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use weightscope::report::{escape, pieces};

use super::theme::Theme;

/// Longest text that is shown of a message.
const LIMIT: usize = 4000;

/// Styled lines in the making, wrapped to a width. What is put on it is made harmless first.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) lines: Vec<Line<'static>>,
    width: usize,
    theme: Theme,
}

impl Text {
    pub(super) fn new(width: usize, theme: Theme) -> Self {
        Self { lines: Vec::new(), width: width.max(8), theme }
    }

    pub(super) fn blank(&mut self) {
        if self.lines.last().is_some_and(|line| line.width() > 0) {
            self.lines.push(Line::default());
        }
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.blank();
        self.paragraph(text, self.theme.heading());
    }

    pub(super) fn plain(&mut self, text: &str) {
        self.paragraph(text, Style::new());
    }

    pub(super) fn plain_bold(&mut self, text: &str) {
        self.paragraph(text, self.theme.bold());
    }

    pub(super) fn dim(&mut self, text: &str) {
        self.paragraph(text, self.theme.dim());
    }

    pub(super) fn paragraph(&mut self, text: &str, style: Style) {
        self.labelled(&[], 0, text, style);
    }

    /// Text whose first line begins with `label` and whose lines begin at column `hang`.
    pub(super) fn labelled(
        &mut self,
        label: &[Span<'static>],
        hang: usize,
        text: &str,
        style: Style,
    ) {
        let hang = hang.min(self.width / 2);
        let text = escape::terminal_within(text, LIMIT);
        let mut first = true;
        for part in wrapped(&text, self.width - hang) {
            let mut spans = if first { label.to_vec() } else { Vec::new() };
            let used: usize = spans.iter().map(Span::width).sum();
            spans.push(Span::raw(" ".repeat(hang.saturating_sub(used))));
            spans.push(Span::styled(part, style));
            self.lines.push(Line::from(spans));
            first = false;
        }
    }
}

/// Breaks at spaces, and within words only where they are longer than a line.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let long = pieces::width(word);
        if used > 0 && used + 1 + long > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut().filter(|_| used > 0) {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            let wide = pieces::width(c.encode_utf8(&mut [0; 4]));
            if used + wide > width {
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used += wide;
        }
    }
    lines
}

/// How far a text is scrolled. What there is to see is known when it is drawn.
#[derive(Debug, Default)]
pub(super) struct Scroll {
    top: Cell<usize>,
    rows: Cell<usize>,
    lines: Cell<usize>,
}

impl Scroll {
    pub(super) fn on_key(&self, key: KeyEvent) -> bool {
        let most = self.lines.get().saturating_sub(self.rows.get());
        let (top, page) = (self.top.get(), self.rows.get().saturating_sub(1).max(1));
        let to = match key.code {
            KeyCode::Up | KeyCode::Char('k') => top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => top + 1,
            KeyCode::PageUp => top.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => top + page,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => most,
            _ => return false,
        };
        self.top.set(to.min(most));
        true
    }

    /// A page on or back.
    pub(super) fn turn(&self, forward: bool) {
        let key = if forward { KeyCode::PageDown } else { KeyCode::PageUp };
        self.on_key(KeyEvent::from(key));
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, lines: &[Line<'_>]) {
        let rows = usize::from(area.height);
        self.rows.set(rows);
        self.lines.set(lines.len());
        let top = self.top.get().min(lines.len().saturating_sub(rows));
        self.top.set(top);
        lines_at(frame, area, lines.get(top..).unwrap_or_default());
    }

    /// Whether there is more than is seen.
    pub(super) fn is_cut(&self) -> bool {
        self.lines.get() > self.rows.get()
    }
}

/// Draws lines from the top of `area` on, as far as they fit.
pub(super) fn lines_at(frame: &mut Frame<'_>, area: Rect, lines: &[Line<'_>]) {
    for (y, line) in (area.top()..area.bottom()).zip(lines) {
        frame.buffer_mut().set_line(area.x, y, line, area.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("权重权重", 5), ["权重", "权重"]);
    }
}
