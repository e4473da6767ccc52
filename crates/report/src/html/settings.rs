//! What was asked for and what the words mean: settings, and the definitions of everything measured.

use serde::Serialize;
use weightscope_core::{Report, SeriesDetail, Severity};

use crate::columns::Spec;
use crate::numbers::{bytes, grouped, shape};
use crate::{RenderOptions, tables};

#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    facts: Vec<(&'static str, String)>,
    files: Vec<(String, String)>,
    ignore: Vec<(String, String, String)>,
    analyzers: Vec<Analyzer>,
}

#[derive(Debug, Serialize)]
struct Analyzer {
    id: String,
    version: Option<u32>,
    summary: &'static str,
    metrics: Vec<(&'static str, &'static str, &'static str)>,
    /// Key, value used, default when it differs, meaning.
    parameters: Vec<(String, String, Option<String>, &'static str)>,
    findings: Vec<(&'static str, String, &'static str, &'static str)>,
}

pub(crate) fn settings(report: &Report, options: &RenderOptions<'_>) -> Settings {
    let settings = &report.settings;
    let list = |globs: &[String]| globs.join(", ");
    let series = match settings.series {
        SeriesDetail::Full => "whole",
        SeriesDetail::Summary => "thinned",
    };
    let schema = &report.schema;
    let facts = [
        ("Written by", format!("{} {}", report.tool.name, report.tool.version)),
        ("Report format", format!("{} {}.{}", schema.name, schema.major, schema.minor)),
        ("Only weights like", list(&settings.include)),
        ("But none like", list(&settings.exclude)),
        ("Fused tensors", if settings.split_fused { "split" } else { "whole" }.to_owned()),
        ("Long series", series.to_owned()),
    ];
    let files = report.sources.iter().flat_map(|s| &s.files);
    let ignore = settings.ignore.iter();
    Settings {
        facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        files: files.map(|f| (f.name.clone(), bytes(f.bytes))).collect(),
        ignore: ignore.map(|r| (r.code.clone(), r.weight.clone(), r.reason.clone())).collect(),
        analyzers: analyzers(report, options),
    }
}

fn analyzers(report: &Report, options: &RenderOptions<'_>) -> Vec<Analyzer> {
    let ids = report.settings.analyzers.keys().chain(report.settings.parameters.0.keys());
    let ids: indexmap::IndexSet<&str> = ids.map(AsRef::as_ref).collect();
    let analyzer = |id: &str| {
        let descriptor = options.descriptors.iter().find(|d| d.id == id);
        let specs = descriptor.map_or(&[][..], |d| d.parameters);
        let used = report.settings.parameters.0.get(id).into_iter().flatten();
        let parameters = used.map(|(key, value)| {
            let spec = specs.iter().find(|spec| spec.key == key);
            let default = spec.map(|s| s.default).filter(|d| d != value);
            let doc = spec.map_or("", |s| s.doc);
            (key.to_string(), value.to_string(), default.map(|d| d.to_string()), doc)
        });
        let findings = descriptor.into_iter().flat_map(|d| d.findings);
        let metrics = descriptor.into_iter().flat_map(|d| d.metrics);
        Analyzer {
            id: id.to_owned(),
            version: report.settings.analyzers.get(id).copied(),
            summary: descriptor.map_or("", |d| d.summary),
            metrics: metrics.map(|m| (m.key, m.unit, m.doc)).collect(),
            parameters: parameters.collect(),
            findings: findings
                .map(|f| {
                    let severities: Vec<&str> =
                        f.severities.iter().copied().map(Severity::name).collect();
                    (f.code, severities.join(" or "), f.doc, f.advice)
                })
                .collect(),
        }
    };
    ids.into_iter().map(analyzer).collect()
}

/// The table of all weights, for readers without scripts.
#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    titles: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    severity: Option<&'static str>,
    cells: Vec<String>,
}

/// Most columns of numbers in it.
const MOST_NUMBERS: usize = 9;

pub(crate) fn weights(report: &Report, options: &RenderOptions<'_>) -> Listing {
    let mut columns = Vec::new();
    for analyzer in tables::analyzers(report) {
        let descriptor = options.descriptors.iter().copied().find(|d| d.id == analyzer);
        let spec = Spec::of(analyzer, descriptor, report);
        columns.extend(spec.columns.into_iter().filter(|c| c.rank < 2).map(|c| (analyzer, c)));
    }
    columns.sort_by_key(|(_, column)| column.rank);
    columns.truncate(MOST_NUMBERS);
    let mut titles: Vec<String> =
        ["role", "block", "shape", "type", "parameters"].map(str::to_owned).to_vec();
    titles.extend(columns.iter().map(|(_, column)| column.title.to_string()));
    let mut worst = std::collections::HashMap::new();
    for finding in &report.findings {
        if let Some(weight) = finding.weight.as_deref() {
            let severity = worst.entry(weight).or_insert(finding.severity);
            *severity = (*severity).max(finding.severity);
        }
    }
    let rows = report.weights.iter().map(|weight| {
        let mut cells = vec![
            weight.role.name().replace('_', " "),
            weight.block.map_or_else(String::new, |b| b.to_string()),
            shape(&weight.shape).replace(" x ", " × "),
            weight.stored_type().into_owned(),
            grouped(weight.parameters),
        ];
        let numbers = columns.iter().map(|(id, c)| c.cell(weight, id));
        cells.extend(numbers.map(|cell| cell.unwrap_or_else(|| "–".to_owned())));
        Row {
            name: weight.name.clone(),
            severity: worst.get(weight.name.as_str()).map(|s: &Severity| s.name()),
            cells,
        }
    });
    Listing { titles, rows: rows.collect() }
}
