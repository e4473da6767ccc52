//! Text from a checkpoint, made harmless: what a name says is shown, never obeyed.
//!
//! Names and messages of a checkpoint are untrusted. Nothing here changes what is *stored* about them: the
//! JSON report keeps every name as it is and only spells invisible characters as `\u` escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest name that a person is shown, in characters; JSON and CSV keep it whole.
pub const NAME_LIMIT: usize = 200;

/// Longest message that a person is shown, in characters.
pub(crate) const MESSAGE_LIMIT: usize = 1000;

/// Whether `c` acts on a terminal or is invisible: C0, DEL, C1, bidi and zero-width characters, line
/// separators, variation selectors, tags and other characters that are drawn as nothing.
pub const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// `text` with every hidden character spelled out (`\n`, `\u{202e}`), cut at [`NAME_LIMIT`] characters
/// with an ellipsis. Harmless on a terminal; applying it twice changes nothing.
///
/// ```
/// use weightscope_report::escape::terminal;
///
/// assert_eq!(terminal("wte.weight"), "wte.weight");
/// assert_eq!(terminal("a\x1b[31mb\nc\u{202e}"), r"a\u{1b}[31mb\nc\u{202e}");
/// ```
pub fn terminal(text: &str) -> Cow<'_, str> {
    terminal_within(text, NAME_LIMIT)
}

/// [`terminal`] with another limit; the result, ellipsis included, has at most `limit` characters.
pub fn terminal_within(text: &str, limit: usize) -> Cow<'_, str> {
    // A byte is at most one character, so short plain text needs no further look.
    if text.len() <= limit && !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    let mut length = 0;
    // Where to cut, should the text turn out too long: room for the ellipsis is kept.
    let mut cut = 0;
    for c in text.chars() {
        let before = shown.len();
        spell(c, &mut shown);
        length += shown.get(before..).map_or(0, |added| added.chars().count());
        if length > limit {
            shown.truncate(cut);
            shown.push('…');
            break;
        }
        if length < limit {
            cut = shown.len();
        }
    }
    Cow::Owned(shown)
}

/// `text` with every hidden character spelled out, at any length.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    terminal_within(text, usize::MAX)
}

fn spell(c: char, into: &mut String) {
    match c {
        '\n' => into.push_str("\\n"),
        '\r' => into.push_str("\\r"),
        '\t' => into.push_str("\\t"),
        c if is_hidden(c) => {
            let _ = write!(into, "{}", c.escape_unicode());
        }
        c => into.push(c),
    }
}

/// `text` as literal Markdown within a line: no markup, HTML, table cell border, link, mention or issue
/// reference comes of it. Hidden characters are spelled out and long text is cut, as by [`terminal`].
///
/// ```
/// use weightscope_report::escape::markdown;
///
/// assert_eq!(markdown("a|b <script> *c*"), r"a\|b &lt;script&gt; \*c\*");
/// assert_eq!(markdown("@team"), "@<!-- -->team");
/// ```
pub fn markdown(text: &str) -> Cow<'_, str> {
    markdown_within(text, NAME_LIMIT)
}

fn markdown_within(text: &str, limit: usize) -> Cow<'_, str> {
    let shown = terminal_within(text, limit);
    if !is_linkable(&shown) && !shown.contains(is_markup) {
        return shown;
    }
    let mut literal = String::with_capacity(shown.len() + 8);
    for c in shown.chars() {
        match c {
            '&' => literal.push_str("&amp;"),
            '<' => literal.push_str("&lt;"),
            '>' => literal.push_str("&gt;"),
            // Forges look for mentions and references in the rendered text, where a backslash is gone; an
            // empty comment parts the text for them too.
            '@' | '#' => {
                literal.push(c);
                literal.push_str("<!-- -->");
            }
            c if is_markup(c) => {
                literal.push('\\');
                literal.push(c);
            }
            c => literal.push(c),
        }
    }
    Cow::Owned(unlinked(literal))
}

const fn is_markup(c: char) -> bool {
    matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '@' | '#' | '$')
}

fn is_linkable(text: &str) -> bool {
    text.contains("://") || text.contains("www.")
}

/// Bare addresses become links by themselves; an empty comment keeps them from it.
fn unlinked(text: String) -> String {
    if is_linkable(&text) {
        text.replace("://", ":<!-- -->//").replace("www.", "www<!-- -->.")
    } else {
        text
    }
}

/// A message as literal Markdown that may begin a paragraph or a list item.
pub(crate) fn markdown_block(text: &str) -> String {
    let literal = markdown_within(text, MESSAGE_LIMIT);
    let digits = literal.chars().take_while(char::is_ascii_digit).count();
    let is_list = match literal.chars().nth(digits) {
        Some('.' | ')') => digits > 0,
        Some('-' | '+' | '=') => digits == 0,
        _ => false,
    };
    match literal.split_at_checked(digits) {
        Some((number, rest)) if is_list => format!("{number}\\{rest}"),
        _ => literal.into_owned(),
    }
}

/// `text` inside an HTML element that Markdown leaves alone.
pub(crate) fn html(text: &str) -> String {
    let mut literal = String::new();
    for c in terminal(text).chars() {
        match c {
            '&' => literal.push_str("&amp;"),
            '<' => literal.push_str("&lt;"),
            '>' => literal.push_str("&gt;"),
            '"' => literal.push_str("&quot;"),
            '\'' => literal.push_str("&#39;"),
            '@' | '#' => {
                literal.push(c);
                literal.push_str("<!-- -->");
            }
            c => literal.push(c),
        }
    }
    unlinked(literal)
}

/// A name as Markdown code, in or outside a table cell.
pub(crate) fn markdown_code(text: &str) -> String {
    let shown = terminal(text);
    let plain = |c: char| !matches!(c, '`' | '|' | '\\') && !c.is_control();
    if !shown.is_empty() && shown.chars().all(plain) && shown.trim() == shown {
        return format!("`{shown}`");
    }
    // A code span cannot hold these everywhere; entities can.
    let mut html = String::from("<code>");
    for c in shown.chars() {
        if c.is_ascii_punctuation() {
            let _ = write!(html, "&#{};", u32::from(c));
        } else {
            html.push(c);
        }
    }
    html.push_str("</code>");
    html
}

/// Text of a CSV cell: hidden characters spelled out, and a leading apostrophe where a spreadsheet would
/// read a formula.
pub(crate) fn csv_text(text: &str) -> Cow<'_, str> {
    let shown = visible(text);
    if shown.starts_with(['=', '+', '-', '@']) { Cow::Owned(format!("'{shown}")) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_spelled_out() {
        let cases = [
            ("plain ünïcode 权重", "plain ünïcode 权重"),
            ("\u{0}\u{7f}\u{85}\u{9b}2J", r"\u{0}\u{7f}\u{85}\u{9b}2J"),
            ("a\tb\r\n", r"a\tb\r\n"),
            ("\u{202e}\u{2066}\u{200b}\u{feff}", r"\u{202e}\u{2066}\u{200b}\u{feff}"),
            ("\u{2028}\u{e0041}\u{ad}", r"\u{2028}\u{e0041}\u{ad}"),
        ];
        for (text, shown) in cases {
            assert_eq!(terminal(text), shown);
            assert_eq!(terminal(&terminal(text)), shown, "twice is once");
        }
    }

    #[test]
    fn long_text_is_cut_between_escapes() {
        let exact = "x".repeat(NAME_LIMIT);
        assert_eq!(terminal(&exact), exact);
        let long = "x".repeat(NAME_LIMIT + 1);
        assert_eq!(terminal(&long).chars().count(), NAME_LIMIT);
        assert!(terminal(&long).ends_with("x…"));
        assert_eq!(terminal_within("ab\u{202e}cd", 9), r"ab…");
        assert_eq!(terminal_within("ab\u{202e}cd", 12), r"ab\u{202e}cd");
        assert_eq!(terminal_within("ab\u{202e}cd", 11), r"ab\u{202e}…");
        assert_eq!(terminal_within("äöü", 3), "äöü");
        assert_eq!(terminal_within("abc", 0), "…");
    }

    #[test]
    fn markdown_is_literal() {
        assert_eq!(markdown("h.0.attn"), "h.0.attn");
        assert_eq!(markdown("c_attn `x` [y](z)"), r"c\_attn \`x\` \[y\](z)");
        assert_eq!(markdown("-0.5"), "-0.5");
        assert_eq!(markdown_block("- item"), r"\- item");
        assert_eq!(markdown_block("12. item"), r"12\. item");
        assert_eq!(markdown_block("12 NaN"), "12 NaN");
        assert_eq!(markdown("see https://x.test"), "see https:<!-- -->//x.test");
        assert_eq!(markdown("fixes #1"), "fixes #<!-- -->1");
        assert_eq!(markdown_code("h.0.c_attn"), "`h.0.c_attn`");
        assert_eq!(markdown_code("a|b"), "<code>a&#124;b</code>");
        assert_eq!(markdown_code("`<b>"), "<code>&#96;&#60;b&#62;</code>");
        assert_eq!(markdown_code(""), "<code></code>");
        assert_eq!(html("<b>'@x"), "&lt;b&gt;&#39;@<!-- -->x");
    }

    #[test]
    fn csv_text_is_no_formula() {
        assert_eq!(csv_text("=1+1"), "'=1+1");
        assert_eq!(csv_text("@x"), "'@x");
        assert_eq!(csv_text("wte"), "wte");
        assert_eq!(csv_text("\t=1"), r"\t=1");
    }
}
