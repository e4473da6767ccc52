//! Metrics by column: a name once, then a value per weight.

use std::collections::HashMap;

use indexmap::IndexSet;
use serde::Serialize;
use serde_json::Value as Json;
use weightscope_core::{Report, Value};

use super::round;
use crate::columns::generic_title;
use crate::columns::{Pick, Show, Spec};
use crate::escape::{terminal, terminal_within};
use crate::{RenderOptions, tables};

/// One metric of all weights.
#[derive(Debug, Serialize)]
pub(crate) struct Column {
    #[serde(rename = "a")]
    analyzer: String,
    #[serde(rename = "m")]
    metric: String,
    /// Keys of lists of maps: each map is then a list of values in this order, as far as it has any.
    #[serde(rename = "k", skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    /// For each key that holds texts alone: the texts, and the values are places in this list.
    #[serde(rename = "t", skip_serializing_if = "Vec::is_empty")]
    texts: Vec<Option<IndexSet<String>>>,
    #[serde(flatten)]
    values: Values,
}

#[derive(Debug, Serialize)]
enum Values {
    /// Every weight that has it has the same; the weights that lack it follow.
    #[serde(rename = "all")]
    Same(Json, Vec<usize>),
    /// One each.
    #[serde(rename = "v")]
    Each(Vec<Json>),
}

/// A column of the table of weights.
#[derive(Debug, Serialize)]
pub(crate) struct TableColumn {
    #[serde(rename = "a")]
    analyzer: String,
    #[serde(rename = "m")]
    metric: String,
    title: String,
    /// `share` when it is written in percent, `dB` when in decibels.
    #[serde(skip_serializing_if = "str::is_empty")]
    show: &'static str,
    /// `{count, first}` metrics show their count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    count: bool,
    /// The threshold whose fraction is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<f64>,
    /// The scheme whose signal-to-noise ratio is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<&'static str>,
    /// Shown unless the reader chooses otherwise.
    main: bool,
}

/// Every metric of a report, analyzers in their order, metrics in that of their descriptors.
pub(crate) fn columns(report: &Report, options: &RenderOptions<'_>) -> Vec<Column> {
    let mut columns = Vec::new();
    for analyzer in tables::analyzers(report) {
        let declared = options.descriptors.iter().find(|d| d.id == analyzer);
        let declared = declared.into_iter().flat_map(|d| d.metrics).map(|m| m.key);
        let records = report.weights.iter().filter_map(|w| w.analyses.get(analyzer));
        let present: IndexSet<&str> = records.flat_map(|m| m.keys().map(AsRef::as_ref)).collect();
        let mut keys: IndexSet<&str> = declared.filter(|key| present.contains(key)).collect();
        keys.extend(present);
        columns.extend(keys.into_iter().map(|key| column(report, analyzer, key)));
    }
    columns
}

fn column(report: &Report, analyzer: &str, metric: &str) -> Column {
    let values: Vec<Option<&Value>> =
        report.weights.iter().map(|w| w.metric(analyzer, metric)).collect();
    let keys = common_keys(values.iter().flatten().copied());
    let mut texts = texts(&keys, &values.iter().flatten().copied());
    let mut json = |value: &Value| {
        if keys.is_empty() {
            return round::metric(value);
        }
        value.items().iter().map(|item| row(item, &keys, &mut texts)).collect()
    };
    let each: Vec<Json> = values.iter().map(|v| v.map_or(Json::Null, &mut json)).collect();
    let mut present = each.iter().filter(|v| !v.is_null());
    let values = match present.next() {
        Some(first) if present.all(|v| v == first) => {
            let lacking = each.iter().enumerate().filter(|(_, v)| v.is_null());
            Values::Same(first.clone(), lacking.map(|(i, _)| i).collect())
        }
        None => Values::Same(Json::Null, Vec::new()),
        Some(_) => Values::Each(each),
    };
    Column {
        analyzer: terminal(analyzer).into_owned(),
        metric: terminal(metric).into_owned(),
        keys: keys.iter().map(|key| terminal(key).into_owned()).collect(),
        texts: if texts.iter().all(Option::is_none) { Vec::new() } else { texts },
        values,
    }
}

/// The keys of lists of maps of single values, when they agree on the first one. A map may lack others.
fn common_keys<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut common: IndexSet<&str> = IndexSet::new();
    for value in values {
        let Value::List(items) = value else { return Vec::new() };
        for item in items {
            let Value::Map(entries) = item else { return Vec::new() };
            let first = entries.keys().next().map(AsRef::as_ref);
            if !common.is_empty() && first != common.first().copied() {
                return Vec::new();
            }
            common.extend(entries.keys().map(AsRef::as_ref));
        }
    }
    common.into_iter().map(str::to_owned).collect()
}

/// An empty list of texts for every key that never holds anything else.
fn texts<'a>(
    keys: &[String],
    values: &(impl Iterator<Item = &'a Value> + Clone),
) -> Vec<Option<IndexSet<String>>> {
    let is_text = |key: &String| {
        let mut found = values.clone().flat_map(Value::items).filter_map(|item| item.get(key));
        found.all(|v| matches!(v, Value::Text(_) | Value::Null))
    };
    keys.iter().map(|key| is_text(key).then(IndexSet::new)).collect()
}

/// One map as a list of values, without those that are missing at its end.
fn row(item: &Value, keys: &[String], texts: &mut [Option<IndexSet<String>>]) -> Json {
    let cells = keys.iter().zip(texts).map(|(key, texts)| match (item.get(key), texts) {
        (Some(Value::Text(text)), Some(texts)) => {
            Json::from(texts.insert_full(terminal_within(text, round::TEXT_LIMIT).into_owned()).0)
        }
        (value, _) => value.map_or(Json::Null, round::nested),
    });
    let mut cells: Vec<Json> = cells.collect();
    while cells.last().is_some_and(Json::is_null) {
        cells.pop();
    }
    Json::Array(cells)
}

/// Why metrics do not exist: reason, then weights, by `analyzer.metric`.
pub(crate) fn undefined(report: &Report) -> Vec<(String, String, Vec<usize>)> {
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut reasons: Vec<(String, String, Vec<usize>)> = Vec::new();
    for (index, weight) in report.weights.iter().enumerate() {
        for (metric, reason) in &weight.undefined {
            let place = *places.entry((metric.as_ref(), reason.as_str())).or_insert_with(|| {
                let text = (terminal(metric).into_owned(), terminal(reason).into_owned());
                reasons.push((text.0, text.1, Vec::new()));
                reasons.len() - 1
            });
            if let Some((_, _, weights)) = reasons.get_mut(place) {
                weights.push(index);
            }
        }
    }
    reasons
}

/// Columns of the table of weights: the telling ones first, then every other scalar metric.
pub(crate) fn table_columns(report: &Report, options: &RenderOptions<'_>) -> Vec<TableColumn> {
    let mut columns = Vec::new();
    for analyzer in tables::analyzers(report) {
        let descriptor = options.descriptors.iter().copied().find(|d| d.id == analyzer);
        let spec = Spec::of(analyzer, descriptor, report);
        let mut shown: IndexSet<String> = IndexSet::new();
        for column in &spec.columns {
            let metric = column.pick.metric();
            shown.insert(metric.to_owned());
            columns.push(TableColumn {
                analyzer: terminal(analyzer).into_owned(),
                metric: terminal(metric).into_owned(),
                title: terminal(&column.title).into_owned(),
                show: match column.show {
                    Show::Number => "",
                    Show::Share => "share",
                    Show::Decibels => "dB",
                },
                count: matches!(column.pick, Pick::Count(_)),
                at: if let Pick::At(_, threshold) = column.pick { Some(threshold) } else { None },
                scheme: if let Pick::Scheme(name) = column.pick { Some(name) } else { None },
                main: column.rank < 2,
            });
        }
        let declared = descriptor.into_iter().flat_map(|d| d.metrics);
        for metric in declared.filter(|m| !shown.contains(m.key)) {
            let mut values = report.weights.iter().filter_map(|w| w.metric(analyzer, metric.key));
            if values.next().is_some_and(|v| v.as_f64().is_some() || v.as_bool().is_some()) {
                columns.push(TableColumn {
                    analyzer: analyzer.to_owned(),
                    metric: metric.key.to_owned(),
                    title: generic_title(metric.key, metric.unit),
                    show: "",
                    count: false,
                    at: None,
                    scheme: None,
                    main: false,
                });
            }
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_maps_share_their_keys() {
        let entry = |t: f64| Value::map([("threshold", t.into()), ("fraction", 0.5.into())]);
        let list: Value = [entry(0.1), entry(0.2)].into_iter().collect();
        assert_eq!(common_keys([&list, &list].into_iter()), ["threshold", "fraction"]);
        let other: Value = [Value::map([("pruned", 1u64.into())])].into_iter().collect();
        assert!(common_keys([&list, &other].into_iter()).is_empty());
        let noted = Value::map([("threshold", 0.3.into()), ("note", "exact".into())]);
        let noted: Value = [noted].into_iter().collect();
        let keys = common_keys([&list, &noted].into_iter());
        assert_eq!(keys, ["threshold", "fraction", "note"]);
        let mut texts = texts(&keys, &[&list, &noted].into_iter());
        let row = |value: &Value, texts: &mut Vec<_>| {
            row(value.items().first().unwrap(), &keys, texts).to_string()
        };
        assert_eq!(row(&list, &mut texts), "[0.1,0.5]");
        assert_eq!(row(&noted, &mut texts), "[0.3,null,0]");
        let words = texts.pop().flatten().unwrap();
        assert_eq!(words.into_iter().collect::<Vec<_>>(), ["exact"]);
        assert!(common_keys([&Value::from(1.0)].into_iter()).is_empty());
    }
}
