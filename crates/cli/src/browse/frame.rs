//! Panels, the lines above and below them, and the help.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Widget};
use weightscope::report::pieces;

use super::text::lines_at;
use super::theme::Theme;

/// A box with a title; returns what is within.
pub(super) fn panel(frame: &mut Frame<'_>, area: Rect, title: Line<'_>, theme: Theme) -> Rect {
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .title_top(title);
    let inner = block.inner(area);
    block.render(area, frame.buffer_mut());
    inner
}

/// A line on the lower border, at its right end.
pub(super) fn note(frame: &mut Frame<'_>, area: Rect, text: &str, style: Style) {
    let room = usize::from(area.width).saturating_sub(6);
    let text = format!(" {} ", pieces::shortened(text, room));
    let start = area.right().saturating_sub(pieces::width(&text) as u16 + 2);
    if area.height > 0 && room > 0 {
        frame.buffer_mut().set_string(start.max(area.x), area.bottom() - 1, text, style);
    }
}

/// Keys and what they do, as many as fit.
pub(super) fn keys(frame: &mut Frame<'_>, area: Rect, keys: &[(&str, &str)], theme: Theme) {
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    for (key, does) in keys {
        let long = pieces::width(key) + pieces::width(does) + 3;
        if used + long > usize::from(area.width) + 2 {
            break;
        }
        used += long;
        spans.push(Span::styled((*key).to_owned(), theme.accent()));
        spans.push(Span::styled(format!(" {does}  "), theme.dim()));
    }
    frame.buffer_mut().set_line(area.x, area.y, &Line::from(spans), area.width);
}

const HELP: &[(&str, &[(&str, &str)])] = &[
    (
        "Everywhere",
        &[
            ("↑ ↓  k j", "up and down"),
            ("PgUp PgDn  ^u ^d", "by a page, by half a page"),
            ("Home End  g G", "first and last"),
            ("Tab  1 2 3", "weights, findings, model"),
            ("Enter", "look into it"),
            ("Esc  Backspace  q", "back; q on a list quits"),
            ("^C", "quit at once"),
        ],
    ),
    (
        "Lists",
        &[
            ("s  → ←", "sort by the next, the previous column"),
            ("S  r", "the other way round"),
            ("/", "filter by words as you type; Esc clears"),
            ("w  a", "least severity: any to critical; facts among findings"),
        ],
    ),
    (
        "One weight",
        &[
            ("f  → ←", "next, previous figure"),
            ("z  Enter", "figure as large as the screen"),
            ("n  p", "next, previous weight of the list"),
            ("[  ]", "scroll the explanation"),
        ],
    ),
    (
        "Marks",
        &[
            ("✗ ▲ •", "critical, warning, info"),
            ("∅  ·", "not measured; has no such number"),
            ("●", "this weight among its siblings"),
        ],
    ),
];

/// The keys of every screen, over it.
pub(super) fn help(frame: &mut Frame<'_>, theme: Theme) {
    const KEYS: usize = 19;
    let mut lines = Vec::new();
    for (title, keys) in HELP {
        lines.push(Line::styled(*title, theme.heading()));
        for (key, does) in *keys {
            let spaces = " ".repeat(KEYS.saturating_sub(pieces::width(key)));
            lines.push(Line::from(vec![
                Span::raw("  "),
                Span::styled(*key, theme.accent()),
                Span::raw(format!("{spaces}{does}")),
            ]));
        }
    }
    let whole = frame.area();
    let (width, height) = (whole.width.min(72), whole.height.min(lines.len() as u16 + 2));
    let area = Rect {
        x: whole.x + (whole.width - width) / 2,
        y: whole.y + (whole.height - height) / 2,
        width,
        height,
    };
    Clear.render(area, frame.buffer_mut());
    let inner = panel(frame, area, Line::styled(" Keys ", theme.bold()), theme);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    lines_at(frame, inner, &lines);
}
