//! Names from files, made fit for messages.

/// Longest part of a name that a message shows.
const SHOWN: usize = 200;

/// `name` in quotes as a message shows it: control, bidirectional and invisible characters escaped, cut
/// at 200 characters with `…` where something is missing.
///
/// ```
/// assert_eq!(weightscope_load::quoted("a\u{1b}[2J\u{202e}"), r#""a\u{1b}[2J\u{202e}""#);
/// ```
pub fn quoted(name: &str) -> String {
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", name.get(..end).unwrap_or_default()),
        None => format!("{name:?}"),
    }
}

/// The same without quotes and without a cut, for paths.
pub(crate) fn escaped(text: &str) -> String {
    text.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_invisible_passes() {
        let hostile = "\u{0}\u{7f}\u{9b}\u{200b}\u{200e}\u{202a}\u{2066}\u{feff}\u{2028}\r\n\t";
        for text in [quoted(hostile), escaped(hostile)] {
            assert!(text.chars().all(|c| (' '..='~').contains(&c)), "{text}");
        }
        assert_eq!(escaped("it's a \"path\""), "it's a \"path\"");
        assert_eq!(quoted("größe"), "\"größe\"");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(quoted(&"ä".repeat(200)).chars().count(), 202);
        assert_eq!(quoted(&"ä".repeat(10_000)).chars().count(), 203);
    }
}
