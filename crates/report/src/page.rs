//! Text laid out for a terminal: styled spans, wrapped to a width, with or without colour.

use unicode_width::UnicodeWidthChar as _;

use crate::escape;

/// Narrowest page; a narrower terminal wraps by itself.
const MIN_WIDTH: usize = 40;

/// How a piece of text looks in colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Red,
    Yellow,
    Blue,
    Green,
}

impl Style {
    /// Parameters of the terminal's "select graphic rendition" sequence.
    const fn codes(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "1;31",
            Self::Yellow => "33",
            Self::Blue => "36",
            Self::Green => "32",
        }
    }
}

/// Text in one style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    text: String,
    style: Style,
    /// Whether spaces in it are no places to break a line.
    solid: bool,
}

impl Span {
    /// `text` in `style`.
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style, solid: false }
    }

    /// The same text, never broken at its spaces.
    #[must_use]
    pub fn solid(mut self) -> Self {
        self.solid = true;
        self
    }
}

/// Text as it is.
pub fn plain(text: impl Into<String>) -> Span {
    Span::new(Style::Plain, text)
}

/// Text that stands out.
pub fn bold(text: impl Into<String>) -> Span {
    Span::new(Style::Bold, text)
}

/// Text that stands back.
pub fn dim(text: impl Into<String>) -> Span {
    Span::new(Style::Dim, text)
}

/// Columns that `text` takes on a terminal, counting each character by itself: never less than it takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Columns that `spans` take side by side.
pub(crate) fn spans_width(spans: &[Span]) -> usize {
    spans.iter().map(|span| width(&escape::visible(&span.text))).sum()
}

/// `text` in at most `room` columns, with an ellipsis for what had to go from its middle.
pub(crate) fn shortened(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else { return String::new() };
    // The end of a weight's name says more than its beginning.
    let head = taken(text.chars(), room / 2);
    let tail: String = taken(text.chars().rev(), room - room / 2).chars().rev().collect();
    format!("{head}…{tail}")
}

/// `text` in at most `room` columns, with an ellipsis for what had to go from its beginning.
pub(crate) fn ending(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else { return String::new() };
    let tail: String = taken(text.chars().rev(), room).chars().rev().collect();
    format!("…{tail}")
}

fn taken(characters: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0;
    characters
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= room
        })
        .collect()
}

/// What does not break: a word, perhaps in several styles.
#[derive(Debug, Default)]
struct Word {
    pieces: Vec<(String, Style)>,
    width: usize,
}

fn words(spans: &[Span]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    // Whether the next piece belongs to the last word.
    let mut open = false;
    for span in spans {
        let text = escape::visible(&span.text);
        let pieces: Vec<&str> = if span.solid { vec![&text] } else { text.split(' ').collect() };
        for (i, piece) in pieces.into_iter().enumerate() {
            open &= i == 0;
            if piece.is_empty() {
                continue;
            }
            if !open {
                words.push(Word::default());
                open = true;
            }
            if let Some(word) = words.last_mut() {
                word.width += width(piece);
                word.pieces.push((piece.to_owned(), span.style));
            }
        }
    }
    words
}

/// A line in the making.
#[derive(Debug, Default)]
struct Line {
    pieces: Vec<(String, Style)>,
    width: usize,
}

impl Line {
    fn push(&mut self, text: &str, style: Style) {
        self.width += width(text);
        match self.pieces.last_mut() {
            Some((last, same)) if *same == style => last.push_str(text),
            _ => self.pieces.push((text.to_owned(), style)),
        }
    }

    fn pad_to(&mut self, column: usize) {
        if let Some(spaces) = column.checked_sub(self.width).filter(|n| *n > 0) {
            self.push(&" ".repeat(spaces), Style::Plain);
        }
    }

    /// A space that takes the style around it, so that a run of words is one styled piece.
    fn space(&mut self, next: Style) {
        let style = self.pieces.last().map(|(_, style)| *style).filter(|style| *style == next);
        self.push(" ", style.unwrap_or_default());
    }
}

/// Lines of text of at most a width. Everything that is put on it is made harmless first.
#[derive(Debug)]
pub struct Page {
    width: usize,
    color: bool,
    text: String,
}

impl Page {
    /// An empty page of `width` columns (40 at least), with ANSI colours or without.
    pub fn new(width: usize, color: bool) -> Self {
        Self { width: width.max(MIN_WIDTH), color, text: String::new() }
    }

    /// Columns of a line.
    pub fn width(&self) -> usize {
        self.width
    }

    /// An empty line, but never at the top and never two.
    pub fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// The heading of a section, after an empty line.
    pub fn section(&mut self, title: &str, note: &str) {
        self.blank();
        self.title(title, &[dim(note)]);
    }

    /// A heading and what there is to say beside it, or below it where a line does not hold both.
    pub fn title(&mut self, title: &str, note: &[Span]) {
        let mut line = vec![bold(title)];
        if spans_width(note) > 0 {
            line.push(plain("  "));
            line.extend_from_slice(note);
        }
        if spans_width(&line) <= self.width {
            self.line(&line);
        } else {
            self.text(0, &[bold(title)]);
            self.text(2, note);
        }
    }

    /// One line; what does not fit is cut.
    pub fn line(&mut self, spans: &[Span]) {
        let is_long = spans_width(spans) > self.width;
        let room = self.width - usize::from(is_long);
        let mut line = Line::default();
        for span in spans {
            let text = escape::visible(&span.text);
            line.push(&taken(text.chars(), room - line.width), span.style);
        }
        if is_long {
            line.push("…", Style::Dim);
        }
        self.put(&line);
    }

    /// Flowing text with `indent` spaces before every line.
    pub fn text(&mut self, indent: usize, body: &[Span]) {
        self.flow(&[plain(" ".repeat(indent))], indent, body);
    }

    /// Flowing text whose first line begins with `label` and whose lines begin at column `hang`. A label
    /// that leaves no room before `hang` stands on a line of its own.
    pub fn flow(&mut self, label: &[Span], hang: usize, body: &[Span]) {
        let hang = hang.min(self.width / 2);
        let mut line = Line::default();
        for span in label {
            line.push(&escape::visible(&span.text), span.style);
        }
        if line.width > hang {
            self.line(label);
            line = Line::default();
        }
        line.pad_to(hang);
        let mut fresh = true;
        for word in words(body) {
            if !fresh && line.width + 1 + word.width > self.width {
                self.put(&std::mem::take(&mut line));
                line.pad_to(hang);
                fresh = true;
            }
            if !fresh {
                line.space(word.pieces.first().map(|(_, style)| *style).unwrap_or_default());
            }
            fresh = false;
            for (text, style) in &word.pieces {
                if line.width + width(text) <= self.width {
                    line.push(text, *style);
                    continue;
                }
                // Longer than a line: broken wherever the line ends.
                for c in text.chars() {
                    if line.width + c.width().unwrap_or(0) > self.width {
                        self.put(&std::mem::take(&mut line));
                        line.pad_to(hang);
                    }
                    line.push(c.encode_utf8(&mut [0; 4]), *style);
                }
            }
        }
        self.put(&line);
    }

    fn put(&mut self, line: &Line) {
        let is_blank = |(text, _): &&(String, Style)| text.trim_end().is_empty();
        let blank = line.pieces.iter().rev().take_while(is_blank).count();
        let mut pieces = line.pieces.iter().rev().skip(blank).rev().peekable();
        while let Some((text, style)) = pieces.next() {
            let text = if pieces.peek().is_none() { text.trim_end() } else { text };
            let codes = if self.color { style.codes() } else { "" };
            if codes.is_empty() {
                self.text.push_str(text);
            } else {
                for part in ["\x1b[", codes, "m", text, "\x1b[0m"] {
                    self.text.push_str(part);
                }
            }
        }
        self.text.push('\n');
    }

    /// The text, ending with one line end.
    pub fn finish(self) -> String {
        let mut text = self.text;
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_wraps_with_a_hanging_indent() {
        let mut page = Page::new(40, false);
        page.flow(&[bold("label")], 8, &[plain("one two three four five six seven eight nine")]);
        page.flow(&[plain("a label that is long")], 8, &[plain("text")]);
        page.blank();
        page.blank();
        page.text(2, &[plain("("), bold("in brackets"), plain(") after")]);
        let text = "label   one two three four five six\n        seven eight nine\na label that is long\n        text\n\n  (in brackets) after\n";
        assert_eq!(page.finish(), text);
    }

    #[test]
    fn long_words_and_wide_characters_break() {
        let mut page = Page::new(40, false);
        page.text(0, &[plain("x".repeat(50))]);
        page.text(2, &[plain("权".repeat(20))]);
        page.line(&[plain("y".repeat(50))]);
        let text = page.finish();
        assert!(text.lines().all(|line| width(line) <= 40), "{text}");
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn colour_wraps_runs_and_nothing_else() {
        let mut page = Page::new(40, true);
        page.text(2, &[bold("two words"), plain(" plain "), dim("dim\x1b[0m")]);
        assert_eq!(page.finish(), "  \x1b[1mtwo words\x1b[0m plain \x1b[2mdim\\u{1b}[0m\x1b[0m\n");
    }

    #[test]
    fn names_lose_their_middle() {
        assert_eq!(shortened("transformer.h.0.attn.c_attn.weight", 20), "transform…ttn.weight");
        assert_eq!(shortened("short", 5), "short");
        assert_eq!(shortened("权重权重", 5), "权…重");
        assert_eq!(shortened("abc", 0), "");
        assert_eq!(ending("h.0.mlp.weight", 9), "…p.weight");
        assert_eq!(ending("权重权重", 5), "…权重");
        assert_eq!((ending("abc", 3), ending("abc", 0)), ("abc".to_owned(), String::new()));
    }
}
