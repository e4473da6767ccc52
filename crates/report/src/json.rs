//! The machine report: strict JSON, one list element per line, so that two reports differ line by line.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::ser::{Formatter, Serializer};
use weightscope_core::{Report, SCHEMA_MAJOR, SCHEMA_MINOR, SCHEMA_NAME};

use crate::escape::is_hidden;
use crate::{RenderError, escape};

/// `value` as JSON with a line for each entry of the outermost object and each element of its lists.
pub(crate) fn render<T: Serialize>(value: &T) -> Result<String, RenderError> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Lines::default());
    value.serialize(&mut serializer).map_err(RenderError::new)?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(RenderError::new)
}

/// Writes lines at depth one and two and everything deeper without spaces; spells hidden characters as
/// `\u` escapes, which read back as themselves.
#[derive(Debug, Default)]
struct Lines {
    /// How many objects and lists are open.
    depth: usize,
    /// Whether the innermost one has anything in it.
    filled: bool,
    /// Whether the one at depth one is an object, as every report is.
    in_object: bool,
    /// Whether the one at depth two is a list.
    in_list: bool,
}

impl Lines {
    fn is_broken(&self) -> bool {
        match self.depth {
            1 => self.in_object,
            2 => self.in_object && self.in_list,
            _ => false,
        }
    }

    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W, list: bool) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        match self.depth {
            1 => self.in_object = !list,
            2 => self.in_list = list,
            _ => {}
        }
        writer.write_all(if list { b"[" } else { b"{" })
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W, list: bool) -> io::Result<()> {
        let broken = self.is_broken() && self.filled;
        self.depth -= 1;
        self.filled = true;
        if broken {
            self.indent(writer)?;
        }
        writer.write_all(if list { b"]" } else { b"}" })
    }

    fn element<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.filled = true;
        if self.is_broken() { self.indent(writer) } else { Ok(()) }
    }

    fn indent<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, true)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, true)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.element(writer, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, false)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, false)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.element(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(if self.depth == 1 && self.in_object { b": " } else { b":" })
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if !fragment.chars().any(is_hidden) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        let mut text = [0; 4];
        for c in fragment.chars() {
            if is_hidden(c) {
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(c.encode_utf8(&mut text).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Reads a JSON report back.
///
/// A report of a newer minor version is read as far as this version knows it.
///
/// # Errors
/// When the text is not JSON, is not a WeightScope report, has another major version, or does not hold
/// what its version promises.
///
/// ```
/// let error = weightscope_report::read_report("{}").unwrap_err();
/// assert_eq!(error.to_string(), "not a WeightScope report: it has no schema name");
/// ```
pub fn read_report(json: &str) -> Result<Report, ReadError> {
    /// The part that says what the rest is.
    #[derive(Deserialize)]
    struct Head {
        schema: Option<Schema>,
    }
    #[derive(Deserialize)]
    struct Schema {
        name: Option<String>,
        major: Option<u32>,
        minor: Option<u32>,
    }

    let head: Head = serde_json::from_str(json).map_err(|e| match e.classify() {
        Category::Data => ReadError::NotAReport,
        _ => ReadError::NotJson { line: e.line(), column: e.column(), reason: reason(&e) },
    })?;
    let Some(Schema { name: Some(name), major: Some(major), minor }) = head.schema else {
        return Err(ReadError::NotAReport);
    };
    if name != SCHEMA_NAME {
        return Err(ReadError::OtherSchema { name: escape::terminal(&name).into_owned() });
    }
    if major != SCHEMA_MAJOR {
        return Err(ReadError::OtherVersion { major });
    }
    serde_json::from_str(json).map_err(|e| ReadError::Broken {
        line: e.line(),
        column: e.column(),
        reason: reason(&e),
        newer: minor.is_some_and(|minor| minor > SCHEMA_MINOR),
    })
}

/// The message without its place; it can quote the text, so it is made harmless.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
    escape::terminal(message).into_owned()
}

/// Why a report could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The text is not JSON.
    #[error("not JSON: {reason} (line {line}, column {column})")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It is JSON, but of something else.
    #[error("not a WeightScope report: it has no schema name")]
    NotAReport,
    /// It is JSON of a kind that is not a report.
    #[error("not a WeightScope report: its schema is \"{name}\", wanted \"{SCHEMA_NAME}\"")]
    OtherSchema {
        /// The schema it names.
        name: String,
    },
    /// It is a report that this version cannot read.
    #[error("report has schema version {major}, this program reads version {SCHEMA_MAJOR}")]
    OtherVersion {
        /// Its major version.
        major: u32,
    },
    /// It is a report, but something in it is not as it should be.
    #[error("broken report: {reason} (line {line}, column {column}){}", newer_note(*newer))]
    Broken {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
        /// Whether a newer version wrote it, which may be the reason.
        newer: bool,
    },
}

fn newer_note(newer: bool) -> &'static str {
    if newer { "; a newer version wrote it, an update may help" } else { "" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_each_element() {
        let value =
            json!({ "a": [{ "x": [1, 2] }, {}], "b": [], "c": { "d": [1, { "e": null }] } });
        let text = "{\n  \"a\": [\n    {\"x\":[1,2]},\n    {}\n  ],\n  \"b\": [],\n  \"c\": {\"d\":[1,{\"e\":null}]}\n}\n";
        assert_eq!(render(&value).unwrap(), text);
        assert_eq!(render(&json!({})).unwrap(), "{}\n");
        assert_eq!(render(&json!([1, [2]])).unwrap(), "[1,[2]]\n");
    }

    #[test]
    fn hidden_characters_are_escaped_and_read_back() {
        let name = "a\u{7f}\u{9b}\u{202e}\u{feff}\u{e0041}\u{1b}\"\\é";
        let text = render(&json!({ "name": name })).unwrap();
        assert_eq!(
            text,
            "{\n  \"name\": \"a\\u007f\\u009b\\u202e\\ufeff\\udb40\\udc41\\u001b\\\"\\\\é\"\n}\n"
        );
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back, json!({ "name": name }));
    }

    #[test]
    fn what_is_not_a_report_is_said_plainly() {
        let message = |text: &str| read_report(text).unwrap_err().to_string();
        assert_eq!(message(""), "not JSON: EOF while parsing a value (line 1, column 0)");
        assert_eq!(message("{\"a\": }"), "not JSON: expected value (line 1, column 7)");
        assert_eq!(message("[1]"), "not a WeightScope report: it has no schema name");
        assert_eq!(
            message(r#"{"schema": {"name": "other\u001b", "major": 1, "minor": 0}}"#),
            r#"not a WeightScope report: its schema is "other\u{1b}", wanted "weightscope-report""#
        );
        assert_eq!(
            message(r#"{"schema": {"name": "weightscope-report", "major": 2, "minor": 0}}"#),
            "report has schema version 2, this program reads version 1"
        );
        assert_eq!(
            message(r#"{"schema": {"name": "weightscope-report", "major": 1, "minor": 9}}"#),
            "broken report: missing field `tool` (line 1, column 66); a newer version wrote it, an update may help"
        );
    }
}
