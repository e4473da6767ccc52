//! Names of many tensors as few patterns, and text that is safe in files for other programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::tensor::Stored;

/// A module's name with the place of its block number open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Template {
    before: String,
    after: String,
}

/// Patterns `re:` that match the modules of `tensors` and no other module of `all`, in the order of their first
/// tensor. Names may have a prefix more than they are stored with, as base models have within their heads.
pub(crate) fn module_patterns(tensors: &[&Stored], all: &[Stored]) -> Vec<String> {
    let mut blocks: IndexMap<Template, BTreeSet<Option<u32>>> = IndexMap::new();
    for (template, block) in tensors.iter().filter_map(|tensor| template(tensor)) {
        blocks.entry(template).or_default().insert(block);
    }
    let everywhere = |template: &Template| -> BTreeSet<Option<u32>> {
        let same = all.iter().filter_map(self::template).filter(|(other, _)| other == template);
        same.map(|(_, block)| block).collect()
    };
    let pattern = |(template, blocks): (Template, BTreeSet<Option<u32>>)| {
        let number = match blocks.iter().copied().collect::<Option<Vec<u32>>>() {
            None => String::new(),
            Some(_) if blocks.len() > 1 && blocks == everywhere(&template) => "[0-9]+".to_owned(),
            Some(numbers) => alternatives(&numbers),
        };
        format!("re:(.*\\.)?{}{number}{}$", template.before, template.after)
    };
    blocks.into_iter().map(pattern).collect()
}

/// The module of a tensor, without its block number. All experts of a module are one.
fn template(tensor: &Stored) -> Option<(Template, Option<u32>)> {
    let module = tensor.module()?;
    let Some(block) = tensor.block else {
        return Some((Template { before: escaped(module), after: String::new() }, None));
    };
    let parts: Vec<&str> = module.split('.').collect();
    let text = block.to_string();
    let Some(place) = parts.iter().position(|part| *part == text) else {
        // A numbered name without its number: it stands for itself.
        return Some((Template { before: escaped(module), after: String::new() }, None));
    };
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (before, after) = parts.split_at(place);
    let mut pattern = String::new();
    for part in before {
        pattern.push_str(&escaped(part));
        pattern.push_str("\\.");
    }
    let mut end = String::new();
    for part in after.iter().skip(1) {
        end.push_str("\\.");
        if tensor.expert && is_number(part) {
            end.push_str("[0-9]+");
        } else {
            end.push_str(&escaped(part));
        }
    }
    Some((Template { before: pattern, after: end }, Some(block)))
}

/// `7`, or `(0|1|5)`.
pub(crate) fn alternatives(numbers: &[u32]) -> String {
    match numbers {
        [one] => one.to_string(),
        _ => format!("({})", numbers.iter().map(u32::to_string).collect::<Vec<_>>().join("|")),
    }
}

/// A name as a regular expression that matches it alone, in Python's and ECMAScript's dialects.
fn escaped(name: &str) -> String {
    let mut pattern = String::new();
    for c in name.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '_' | '-') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// A text in double quotes that JSON and YAML read alike, in ASCII.
pub(crate) fn quoted(text: &str) -> String {
    ascii(&serde_json::Value::from(text).to_string())
}

/// JSON without characters that could act on whoever looks at it: all but ASCII is spelled as `\u`.
pub(crate) fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

/// A name for a comment: printable ASCII, the rest spelled out.
pub(crate) fn plain(name: &str) -> String {
    name.escape_default().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_ascii() {
        assert_eq!(quoted("a\"b\\.c\n\u{202e}\u{1f600}"), r#""a\"b\\.c\n\u202e\ud83d\ude00""#);
        assert_eq!(plain("a\u{1b}[b"), r"a\u{1b}[b");
        assert_eq!(escaped("a.b_c[0]"), r"a\.b_c\[0\]");
        assert_eq!(
            (alternatives(&[3]), alternatives(&[1, 2])),
            ("3".to_owned(), "(1|2)".to_owned())
        );
    }
}
