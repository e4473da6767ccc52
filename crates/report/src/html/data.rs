//! The data block: what the page's scripts draw and list.

use std::collections::HashMap;

use indexmap::IndexSet;
use serde::Serialize;
use serde_json::Value as Json;
use weightscope_core::{
    Confidence, Finding, Heads, Report, ReportKind, Severity, WeightRecord, WeightStatus,
};

use super::metrics::{self, Column, TableColumn};
use super::{figures, round};
use crate::escape::{terminal, terminal_within};
use crate::numbers::bytes;
use crate::overview::COMMAND;
use crate::{RenderOptions, escape, stored};

#[derive(Debug, Serialize)]
pub(crate) struct Data {
    title: String,
    path: String,
    command: &'static str,
    weights: Weights,
    columns: Vec<TableColumn>,
    metrics: Vec<Column>,
    undefined: Vec<(String, String, Vec<usize>)>,
    analyzers: Vec<Analyzer>,
    findings: Vec<FindingRow>,
    /// Facts of single weights.
    facts: Vec<FindingRow>,
    figures: Vec<Json>,
}

/// Every list has an entry per weight.
#[derive(Debug, Default, Serialize)]
struct Weights {
    name: Vec<String>,
    /// The partners' names, of a comparison alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other: Vec<Option<String>>,
    role: Names,
    part: Names,
    stack: Names,
    dtype: Names,
    confidence: Names,
    block: Vec<Option<u32>>,
    expert: Vec<Option<u32>>,
    shape: Vec<Vec<u64>>,
    matrix: Vec<Option<[u64; 2]>>,
    transposed: Vec<u8>,
    heads: Vec<Option<[u64; 3]>>,
    parameters: Vec<u64>,
    /// How weights are stored that are no plain elements, by their place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stored: Vec<(usize, Form)>,
    /// Why a weight was not measured, by its place.
    unmeasured: Vec<(usize, &'static str, String)>,
}

/// A stored form in words.
#[derive(Debug, Serialize)]
struct Form {
    detail: String,
    bytes: String,
    parts: Vec<String>,
}

/// A list of few different texts.
#[derive(Debug, Default, Serialize)]
struct Names {
    names: IndexSet<String>,
    of: Vec<usize>,
}

impl Names {
    fn push(&mut self, name: &str) {
        let (place, _) = self.names.insert_full(terminal(name).into_owned());
        self.of.push(place);
    }
}

#[derive(Debug, Serialize)]
struct Analyzer {
    id: &'static str,
    summary: &'static str,
    metrics: Vec<[&'static str; 3]>,
}

#[derive(Debug, Serialize)]
struct FindingRow {
    code: String,
    severity: &'static str,
    w: Option<usize>,
    metric: String,
    #[serde(skip_serializing_if = "Json::is_null")]
    value: Json,
    #[serde(skip_serializing_if = "Json::is_null")]
    threshold: Json,
    #[serde(skip_serializing_if = "Json::is_null")]
    reference: Json,
    message: String,
    advice: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    known: bool,
    /// What a fact follows from.
    #[serde(skip_serializing_if = "String::is_empty")]
    cause: String,
}

/// Where every weight stands, by name.
pub(crate) fn places(report: &Report) -> HashMap<&str, usize> {
    report.weights.iter().enumerate().map(|(i, w)| (w.name.as_str(), i)).collect()
}

/// Everything the scripts need to know about `report`.
pub(crate) fn data(report: &Report, title: &str, options: &RenderOptions<'_>) -> Data {
    let places = places(report);
    let analyzers = options.descriptors.iter().map(|d| Analyzer {
        id: d.id,
        summary: d.summary,
        metrics: d.metrics.iter().map(|m| [m.key, m.unit, m.doc]).collect(),
    });
    let path = report.sources.first().map_or("", |source| source.path.as_str());
    Data {
        title: title.to_owned(),
        path: escape::visible(path).into_owned(),
        command: COMMAND,
        weights: weights(report),
        columns: metrics::table_columns(report, options),
        metrics: metrics::columns(report, options),
        undefined: metrics::undefined(report),
        analyzers: analyzers.collect(),
        findings: report.findings.iter().map(|f| finding(f, &places)).collect(),
        facts: report.facts.iter().map(|f| finding(f, &places)).filter(|f| f.w.is_some()).collect(),
        figures: figures::chosen(report, &places),
    }
}

fn weights(report: &Report) -> Weights {
    let mut weights = Weights::default();
    for (index, weight) in report.weights.iter().enumerate() {
        weights.name.push(terminal(&weight.name).into_owned());
        if report.kind == ReportKind::Compare {
            weights.other.push(weight.other.as_deref().map(|name| terminal(name).into_owned()));
        }
        weights.role.push(weight.role.name());
        weights.part.push(weight.part.name());
        weights.stack.push(weight.stack.map_or("", |stack| stack.name()));
        weights.dtype.push(&weight.stored_type());
        if let Some(form) = form(weight) {
            weights.stored.push((index, form));
        }
        weights.confidence.push(confidence(weight.confidence));
        weights.block.push(weight.block);
        weights.expert.push(weight.expert);
        weights.shape.push(weight.shape.clone());
        weights.matrix.push(weight.matrix);
        weights.transposed.push(u8::from(weight.transposed));
        weights
            .heads
            .push(weight.heads.map(|h: Heads| [h.query, h.key_value, h.head_dim].map(u64::from)));
        weights.parameters.push(weight.parameters);
        if weight.status != WeightStatus::Ok {
            let word = if weight.status == WeightStatus::Failed { "failed" } else { "skipped" };
            let reason = weight.reason.as_deref().unwrap_or("no reason given");
            let reason = terminal_within(reason, escape::MESSAGE_LIMIT).into_owned();
            weights.unmeasured.push((index, word, reason));
        }
    }
    weights
}

fn form(weight: &WeightRecord) -> Option<Form> {
    let bytes = bytes(weight.stored.as_ref()?.bytes);
    let parts = stored::parts(weight).iter().map(|name| terminal(name).into_owned());
    Some(Form { detail: stored::form_detail(weight)?, bytes, parts: parts.collect() })
}

fn finding(finding: &Finding, places: &HashMap<&str, usize>) -> FindingRow {
    let number = |x: Option<f64>| x.map_or(Json::Null, round::number);
    let text = |text: &str| terminal_within(text, escape::MESSAGE_LIMIT).into_owned();
    let reference = finding.reference.map_or(Json::Null, |reference| {
        let kind = serde_json::to_value(reference.kind).unwrap_or(Json::Null);
        Json::Array(vec![kind, number(reference.value)])
    });
    FindingRow {
        code: terminal(&finding.code).into_owned(),
        severity: Severity::name(finding.severity),
        w: finding.weight.as_deref().and_then(|name| places.get(name).copied()),
        metric: terminal(&finding.metric).into_owned(),
        value: number(finding.value),
        threshold: number(finding.threshold),
        reference,
        message: text(&finding.message),
        advice: text(&finding.advice),
        known: finding.known,
        cause: finding
            .caused_by
            .as_ref()
            .map_or_else(String::new, |c| terminal(&c.code).into_owned()),
    }
}

const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Known => "known",
        Confidence::Assumed => "assumed",
        Confidence::Guessed => "guessed",
    }
}
