//! Colours and marks. Everything is told by a mark or a word too, so that nothing is lost without colour.

use ratatui::style::{Color, Modifier, Style};
use weightscope::Severity;

/// How things look: in the terminal's own sixteen colours, so that it fits light and dark ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) color: bool,
}

#[expect(
    clippy::unused_self,
    reason = "what looks the same in colour and without is the theme's too"
)]
impl Theme {
    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn severity(self, severity: Severity) -> Style {
        match severity {
            Severity::Info => self.fg(Color::Cyan),
            Severity::Warning => self.fg(Color::Yellow),
            Severity::Critical => self.fg(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is active: the chosen view, the sorted column, a key.
    pub(super) fn accent(self) -> Style {
        self.fg(Color::Green).add_modifier(Modifier::BOLD)
    }

    pub(super) fn heading(self) -> Style {
        self.fg(Color::Blue).add_modifier(Modifier::BOLD)
    }

    pub(super) fn good(self) -> Style {
        self.fg(Color::Green)
    }

    /// The row under the cursor.
    pub(super) fn cursor(self) -> Style {
        let style = Style::new().remove_modifier(Modifier::DIM);
        if self.color {
            style.bg(Color::Blue).fg(Color::White).add_modifier(Modifier::BOLD)
        } else {
            style.add_modifier(Modifier::REVERSED)
        }
    }

    /// Curves of a figure, by their order.
    pub(super) fn curve(self, index: usize) -> Style {
        const COLORS: [Color; 5] =
            [Color::Cyan, Color::Yellow, Color::Magenta, Color::Green, Color::Blue];
        self.fg(COLORS.get(index % COLORS.len()).copied().unwrap_or(Color::Reset))
    }
}

/// The mark of a severity, as in the printed table.
pub(super) const fn symbol(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "•",
        Severity::Warning => "▲",
        Severity::Critical => "✗",
    }
}
