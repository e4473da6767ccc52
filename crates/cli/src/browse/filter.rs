//! Which rows are shown: words, and a least severity.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use weightscope::Severity;

/// Longest filter that can be typed.
const LIMIT: usize = 120;

/// Words that must all be there, in any case, and a line for severities.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) text: String,
    pub(super) severity: Option<Severity>,
    /// Whether keys go into the text.
    pub(super) typing: bool,
}

impl Filter {
    pub(super) fn is_set(&self) -> bool {
        !self.text.is_empty() || self.severity.is_some()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Everything, anything with a finding, warnings and above, critical ones.
    pub(super) fn next_severity(&mut self) {
        self.severity = match self.severity {
            None => Some(Severity::Info),
            Some(Severity::Info) => Some(Severity::Warning),
            Some(Severity::Warning) => Some(Severity::Critical),
            Some(Severity::Critical) => None,
        };
    }

    /// Takes a key while typing; `None` when it is not for the text, else whether the text changed.
    pub(super) fn on_key(&mut self, key: KeyEvent) -> Option<bool> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if control => self.text.clear(),
            KeyCode::Char(_) if control => return None,
            KeyCode::Char(c) if self.text.chars().count() < LIMIT => self.text.push(c),
            KeyCode::Char(_) => return Some(false),
            KeyCode::Backspace => {
                if self.text.pop().is_none() {
                    self.typing = false;
                }
            }
            KeyCode::Enter => {
                self.typing = false;
                return Some(false);
            }
            KeyCode::Esc => {
                self.typing = false;
                self.text.clear();
            }
            _ => return None,
        }
        Some(true)
    }

    /// Whether all words stand in one of the texts each.
    pub(super) fn passes(&self, severity: Option<Severity>, texts: &[&str]) -> bool {
        if self.severity.is_some_and(|line| severity.is_none_or(|s| s < line)) {
            return false;
        }
        let texts: Vec<String> = if self.text.is_empty() {
            return true;
        } else {
            texts.iter().map(|text| text.to_lowercase()).collect()
        };
        let text = self.text.to_lowercase();
        text.split_whitespace().all(|word| texts.iter().any(|text| text.contains(word)))
    }
}
