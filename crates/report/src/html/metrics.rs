//! Metrics by column: a name once, then a value per weight.

use std::collections::HashMap;

use indexmap::IndexSet;
use serde::Serialize;
use serde_json::Value as Json;
use weightscope_core::{Report, Value};

use super::round;
use crate::columns::generic_title;
use crate::columns::{Pick, Spec};
use crate::escape::terminal;
use crate::{RenderOptions, tables};

/// One metric of all weights.
#[derive(Debug, Serialize)]
pub(crate) struct Column {
    #[serde(rename = "a")]
    analyzer: String,
    #[serde(rename = "m")]
    metric: String,
    /// Keys of a list of maps that all have the same: each is then a list of their values.
    #[serde(rename = "k", skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
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
    /// `share` when it is written in percent.
    #[serde(skip_serializing_if = "str::is_empty")]
    show: &'static str,
    /// `{count, first}` metrics show their count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    count: bool,
    /// The threshold whose fraction is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<f64>,
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
    let json = |value: &Value| {
        if keys.is_empty() {
            return round::metric(value);
        }
        let row = |item: &Value| -> Json {
            keys.iter().map(|key| item.get(key).map_or(Json::Null, round::nested)).collect()
        };
        value.items().iter().map(row).collect()
    };
    let each: Vec<Json> = values.iter().map(|v| v.map_or(Json::Null, json)).collect();
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
        values,
    }
}

/// The keys of lists of maps, when all maps have the same.
fn common_keys<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut common: Option<Vec<&str>> = None;
    for value in values {
        let Value::List(items) = value else { return Vec::new() };
        for item in items {
            let Value::Map(entries) = item else { return Vec::new() };
            let keys: Vec<&str> = entries.keys().map(AsRef::as_ref).collect();
            match &common {
                Some(common) if *common != keys => return Vec::new(),
                _ => common = Some(keys),
            }
        }
    }
    common.unwrap_or_default().into_iter().map(str::to_owned).collect()
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
            let (metric, count, at) = match &column.pick {
                Pick::Metric(key) => (key, false, None),
                Pick::Count(key) => (key, true, None),
                Pick::At(key, threshold) => (key, false, Some(*threshold)),
            };
            shown.insert(metric.to_string());
            columns.push(TableColumn {
                analyzer: terminal(analyzer).into_owned(),
                metric: terminal(metric).into_owned(),
                title: terminal(&column.title).into_owned(),
                show: if column.show == crate::columns::Show::Share { "share" } else { "" },
                count,
                at,
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
        assert!(common_keys([&Value::from(1.0)].into_iter()).is_empty());
    }
}
