//! Pieces of a report for programs with a screen of their own: columns of weights, numbers, facts, names.
//!
//! Text from here that comes from a checkpoint is harmless on a terminal, as everything that [`crate::render`]
//! writes.

use std::borrow::Cow;

use weightscope_core::{Descriptor, Key, Report, Value, WeightRecord};

use crate::columns::{Column, Spec};
use crate::escape::{MESSAGE_LIMIT, terminal, terminal_within};
use crate::tables::analyzers;
use crate::{names, numbers, overview, page, scope, stored};

/// A number of an analyzer that a person wants to see beside the name of a weight.
#[derive(Clone, Debug)]
pub struct WeightColumn {
    analyzer: Key,
    column: Column,
}

impl WeightColumn {
    /// The columns of the report's tables, analyzer by analyzer.
    pub fn all(report: &Report, descriptors: &[&Descriptor]) -> Vec<Self> {
        let of = |id: &str| {
            let descriptor = descriptors.iter().find(|d| d.id == id).copied();
            let columns = Spec::of(id, descriptor, report).columns;
            let analyzer: Key = Cow::Owned(id.to_owned());
            columns.into_iter().map(move |column| Self { analyzer: analyzer.clone(), column })
        };
        analyzers(report).into_iter().flat_map(of).collect()
    }

    /// The analyzer's id.
    pub fn analyzer(&self) -> &str {
        &self.analyzer
    }

    /// Heading, such as `condition number`.
    pub fn title(&self) -> &str {
        &self.column.title
    }

    /// Where space is short, the columns of an analyzer with the highest rank go first.
    pub fn rank(&self) -> u8 {
        self.column.rank
    }

    /// What to sort by; `None` when the weight does not have it. Yes is 1 and no is 0.
    pub fn number(&self, weight: &WeightRecord) -> Option<f64> {
        let value = self.column.pick.value(weight, &self.analyzer)?;
        value.as_f64().or_else(|| value.as_bool().map(|yes| f64::from(u8::from(yes))))
    }

    /// As tables write it.
    pub fn cell(&self, weight: &WeightRecord) -> Option<String> {
        self.column
            .cell(weight, &self.analyzer)
            .map(|text| terminal_within(&text, MESSAGE_LIMIT).into_owned())
    }
}

/// Four significant digits: `0.1412`, `-3.027`, `1,234`, `5.031e-6`.
pub fn number(x: f64) -> String {
    numbers::significant(x)
}

/// A count with thousands separated: `50,257`.
pub fn count(n: u64) -> String {
    numbers::grouped(n)
}

/// A count in one short word: `124.4 M`.
pub fn short_count(n: u64) -> String {
    numbers::short(n)
}

/// A size in decimal units: `548.1 MB`.
pub fn bytes(n: u64) -> String {
    numbers::bytes(n)
}

/// `1 weight`, `2 weights`.
pub fn plural(n: u64, noun: &str) -> String {
    numbers::plural(n, noun)
}

/// Dimensions: `768 x 2304`; a scalar is `scalar`.
pub fn shape(dimensions: &[u64]) -> String {
    numbers::shape(dimensions)
}

/// Any value of a metric in a line: lists by their length and first items, maps by their entries.
pub fn value(value: &Value) -> String {
    /// Items of a list that are shown.
    const FIRST: usize = 4;
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Integer(n) => count(*n),
        Value::Number(x) => number(*x),
        Value::Text(text) => terminal(text).into_owned(),
        Value::List(items) if items.is_empty() => "none".to_owned(),
        Value::List(items) => {
            let first: Vec<String> = items.iter().take(FIRST).map(self::value).collect();
            let rest = items.len() - first.len();
            let more =
                if rest > 0 { format!(" … {} more", count(rest as u64)) } else { String::new() };
            format!("{}{more}", first.join("  "))
        }
        Value::Map(entries) => {
            let entry = |(key, value): (&Key, &Value)| {
                format!("{} {}", terminal(key).replace('_', " "), self::value(value))
            };
            entries.iter().map(entry).collect::<Vec<_>>().join(", ")
        }
    }
}

/// What was read, what model it is and how much of it was measured: label and sentence.
pub fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    for (i, source) in report.sources.iter().enumerate() {
        let about = overview::source_facts(source);
        let about = if about.is_empty() { about } else { format!("  ({about})") };
        facts.push(("source", format!("{}{about}", terminal(&source.path))));
        let notes = overview::notes(std::slice::from_ref(source));
        if !notes.is_empty() {
            facts.push(("files", terminal(&notes).into_owned()));
        }
        let Some(model) = report.models.get(i) else { continue };
        facts.push(("family", overview::family(model)));
        facts.push(("adapter", overview::adapter(model)));
        facts.push(("parameters", overview::parameters(model)));
        facts.push(("layout", overview::architecture(model)));
        facts.push(("stored as", stored::stored_as(report, i)));
    }
    if report.models.is_empty() {
        facts.push(("stored as", stored::stored_as(report, 0)));
    }
    facts.push(("measured", overview::totals_sentence(report)));
    facts.extend(scope::scope(report).into_iter().map(|line| ("scope", line)));
    if let Some(timings) = &report.timings {
        facts.push(("took", overview::timing_sentence(timings)));
    }
    if let Some(word) = overview::status_word(report.status) {
        facts.push(("status", format!("{word}: {}", overview::status_sentence(report))));
    }
    facts.extend(overview::ignore_sentence(report).map(|sentence| ("ignored", sentence)));
    facts.retain(|(_, text)| !text.is_empty());
    let harmless =
        |(label, text): (_, String)| (label, terminal_within(&text, MESSAGE_LIMIT).into_owned());
    facts.into_iter().map(harmless).collect()
}

/// What was not measured, a line for each reason; nothing when all was.
pub fn scope(report: &Report) -> Vec<String> {
    let harmless = |line: String| terminal_within(&line, MESSAGE_LIMIT).into_owned();
    scope::scope(report).into_iter().map(harmless).collect()
}

/// What is said when there are no findings; never more than was looked at. `no findings` alone when all was.
pub fn no_findings(report: &Report) -> String {
    scope::no_findings(report)
}

/// How a weight is stored that is not plain elements of one type: `Q4_K, 4.50 bits a weight, a factor for 1 x 32`.
pub fn stored_form(weight: &WeightRecord) -> Option<String> {
    let detail = stored::form_detail(weight)?;
    let name = weight.stored_type();
    let text = if detail.is_empty() { name.into_owned() } else { format!("{name}, {detail}") };
    Some(terminal_within(&text, MESSAGE_LIMIT).into_owned())
}

/// The stored tensors that a weight is made of, where they are others than itself.
pub fn stored_parts(weight: &WeightRecord) -> Vec<String> {
    stored::parts(weight).iter().map(|name| terminal(name).into_owned()).collect()
}

/// Columns that `text` takes on a terminal, counting each character by itself: never less than it takes.
pub fn width(text: &str) -> usize {
    page::width(text)
}

/// The name of a weight in at most `room` columns; the numbers in it, which say which block it is, go last.
pub fn short_name(name: &str, room: usize) -> String {
    names::short_name(name, room)
}

/// `text` in at most `room` columns, with an ellipsis for what had to go from its middle.
pub fn shortened(text: &str, room: usize) -> String {
    page::shortened(text, room)
}
