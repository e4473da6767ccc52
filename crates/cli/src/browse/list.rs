//! A cursor in a list of rows, and what of the list is seen.

use std::cell::Cell;
use std::ops::Range;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Cursor and window. How many rows fit is known when it is drawn.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) cursor: usize,
    offset: Cell<usize>,
    rows: Cell<usize>,
}

impl List {
    /// Moves the cursor; `false` when the key is not for it.
    pub(super) fn on_key(&mut self, key: KeyEvent, len: usize) -> bool {
        let last = len.saturating_sub(1);
        let page = self.rows.get().saturating_sub(1).max(1);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let to = match key.code {
            KeyCode::Char('d') if control => self.cursor + page / 2,
            KeyCode::Char('u') if control => self.cursor.saturating_sub(page / 2),
            _ if control => return false,
            KeyCode::Up | KeyCode::Char('k') => self.cursor.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.cursor + 1,
            KeyCode::PageUp => self.cursor.saturating_sub(page),
            KeyCode::PageDown => self.cursor + page,
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => return false,
        };
        self.cursor = to.min(last);
        true
    }

    /// The rows to draw where `rows` fit: the window moves no more than the cursor asks for.
    pub(super) fn window(&self, len: usize, rows: usize) -> Range<usize> {
        self.rows.set(rows);
        let cursor = self.cursor.min(len.saturating_sub(1));
        let lowest = (cursor + 1).saturating_sub(rows);
        let highest = cursor.min(len.saturating_sub(rows));
        let offset = self.offset.get().clamp(lowest.min(highest), highest.max(lowest));
        self.offset.set(offset);
        offset..(offset + rows).min(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(list: &mut List, code: KeyCode, len: usize) -> Range<usize> {
        list.on_key(KeyEvent::from(code), len);
        list.window(len, 10)
    }

    #[test]
    fn the_window_follows_the_cursor() {
        let mut list = List::default();
        assert_eq!(list.window(100, 10), 0..10);
        assert_eq!((press(&mut list, KeyCode::PageDown, 100), list.cursor), (0..10, 9));
        assert_eq!((press(&mut list, KeyCode::Down, 100), list.cursor), (1..11, 10));
        assert_eq!((press(&mut list, KeyCode::Up, 100), list.cursor), (1..11, 9));
        assert_eq!((press(&mut list, KeyCode::End, 100), list.cursor), (90..100, 99));
        assert_eq!((press(&mut list, KeyCode::Home, 100), list.cursor), (0..10, 0));
        // A shorter list, an empty one, and no room at all.
        list.cursor = 50;
        assert_eq!(list.window(3, 10), 0..3);
        assert_eq!(list.window(0, 10), 0..0);
        assert_eq!(list.window(3, 0).len(), 0);
        assert_eq!((press(&mut list, KeyCode::Down, 0), list.cursor), (0..0, 0));
    }
}
