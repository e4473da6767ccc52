//! What a finding, a metric, a parameter or an analyzer means, from its descriptor.

use weightscope_core::{Descriptor, FindingSpec, MetricSpec, ParameterSpec};

use crate::escape::terminal;
use crate::nearest::nearest;
use crate::overview::COMMAND;
use crate::page::{Page, Span, dim, plain};
use crate::table::severity_style;
use crate::{RenderOptions, numbers};

/// Columns of the widest line of prose; longer ones are tiring to read.
const PROSE: usize = 100;

/// Something that can be explained, and whose it is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Topic<'a> {
    /// A whole analyzer.
    Analyzer(&'a Descriptor),
    /// One of its metrics.
    Metric(&'a Descriptor, &'a MetricSpec),
    /// One of its findings.
    Finding(&'a Descriptor, &'a FindingSpec),
    /// One of its parameters.
    Parameter(&'a Descriptor, &'a ParameterSpec),
}

impl<'a> Topic<'a> {
    /// Everything there is to explain.
    fn all(descriptors: &[&'a Descriptor]) -> Vec<Self> {
        let mut topics = Vec::new();
        for &descriptor in descriptors {
            topics.push(Self::Analyzer(descriptor));
            topics.extend(descriptor.findings.iter().map(|f| Self::Finding(descriptor, f)));
            topics.extend(descriptor.metrics.iter().map(|m| Self::Metric(descriptor, m)));
            topics.extend(descriptor.parameters.iter().map(|p| Self::Parameter(descriptor, p)));
        }
        topics
    }

    /// The full name: `sparsity`, `sparsity.hoyer`, `sparsity.dead-units`.
    pub fn name(&self) -> String {
        match self {
            Self::Analyzer(d) => d.id.to_owned(),
            Self::Metric(d, m) => format!("{}.{}", d.id, m.key),
            Self::Finding(_, f) => f.code.to_owned(),
            Self::Parameter(d, p) => format!("{}.{}", d.id, p.key),
        }
    }

    /// The part after the analyzer's name.
    fn short_name(&self) -> &'a str {
        match *self {
            Self::Analyzer(d) => d.id,
            Self::Metric(_, m) => m.key,
            Self::Finding(_, f) => {
                f.code.split_once('.').map_or(f.code, |(_, condition)| condition)
            }
            Self::Parameter(_, p) => p.key,
        }
    }

    /// What `name` means: a full name, or one without the analyzer, which several may share.
    ///
    /// # Errors
    /// When nothing has that name; the message suggests what may have been meant.
    pub fn find(name: &str, descriptors: &[&'a Descriptor]) -> Result<Vec<Self>, UnknownTopic> {
        let topics = Self::all(descriptors);
        let full: Vec<Self> = topics.iter().copied().filter(|t| t.name() == name).collect();
        if !full.is_empty() {
            return Ok(full);
        }
        let short: Vec<Self> = topics.iter().copied().filter(|t| t.short_name() == name).collect();
        if !short.is_empty() {
            // A finding has a code of its own: what shares its last word with a metric or a parameter is not meant.
            let is_other = |topic: &Self| !matches!(topic, Self::Finding(..));
            let others: Vec<Self> = short.iter().copied().filter(is_other).collect();
            return Ok(if others.is_empty() { short } else { others });
        }
        let names: Vec<String> = topics.iter().map(Self::name).collect();
        let mut candidates: Vec<(&str, &String)> = Vec::new();
        for (topic, full) in topics.iter().zip(&names) {
            candidates.extend([(full.as_str(), full), (topic.short_name(), full)]);
        }
        Err(UnknownTopic {
            name: terminal(name).into_owned(),
            nearest: nearest(name, candidates).cloned(),
        })
    }
}

/// Nothing has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is called \"{name}\"{}", hint(nearest.as_deref()))]
pub struct UnknownTopic {
    /// What was asked for.
    pub name: String,
    /// What may have been meant.
    pub nearest: Option<String>,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || format!("; {COMMAND} analyzers lists everything there is"),
        |nearest| format!(", did you mean \"{nearest}\"?"),
    )
}

/// Text that explains `topic`, wrapped to the width.
pub fn render_explain(topic: &Topic<'_>, options: &RenderOptions<'_>) -> String {
    let mut page = Page::new(options.width.min(PROSE), options.color);
    match topic {
        Topic::Analyzer(descriptor) => {
            page.title(descriptor.id, &[dim(format!("analyzer, version {}", descriptor.version))]);
            page.blank();
            page.text(2, &[plain(descriptor.summary)]);
            findings(&mut page, descriptor);
            metrics(&mut page, descriptor);
            parameters(&mut page, descriptor, &|_| true);
        }
        Topic::Metric(descriptor, metric) => {
            let unit = if metric.unit.is_empty() { "" } else { " in " };
            page.title(&topic.name(), &[dim(format!("metric{unit}{}", metric.unit))]);
            page.blank();
            page.text(2, &[plain(metric.doc)]);
            let uses = [
                (metric.trend, "It is followed over depth."),
                (metric.siblings, "It is compared with the same role in other blocks."),
            ];
            for (_, sentence) in uses.iter().filter(|(used, _)| *used) {
                page.text(2, &[dim(*sentence)]);
            }
            measured_by(&mut page, descriptor);
        }
        Topic::Finding(descriptor, finding) => {
            let mut note = Vec::new();
            for (i, severity) in finding.severities.iter().rev().enumerate() {
                note.push(plain(if i > 0 { " or " } else { "" }));
                note.push(Span::new(severity_style(*severity), severity.name()));
            }
            page.title(finding.code, &note);
            page.blank();
            page.text(2, &[plain(finding.doc)]);
            if !finding.advice.is_empty() {
                page.section("What to do", "");
                page.text(2, &[plain(finding.advice)]);
            }
            parameters(&mut page, descriptor, &|key| is_about(key, finding.code));
            measured_by(&mut page, descriptor);
        }
        Topic::Parameter(descriptor, parameter) => {
            let default = format!("parameter, default {}", parameter.default);
            page.title(&topic.name(), &[dim(default)]);
            page.blank();
            page.text(2, &[plain(parameter.doc)]);
            measured_by(&mut page, descriptor);
        }
    }
    page.finish()
}

/// Whether a parameter's name shares a word with a finding's: `dead_norm` with `sparsity.dead-units`.
fn is_about(key: &str, code: &str) -> bool {
    let condition = code.split_once('.').map_or(code, |(_, condition)| condition);
    let is_same = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
    condition.split('-').any(|word| key.split('_').any(|part| is_same(word, part)))
}

fn measured_by(page: &mut Page, descriptor: &Descriptor) {
    page.blank();
    let text = format!("{}, version {}: {}", descriptor.id, descriptor.version, descriptor.summary);
    page.text(0, &[dim(text)]);
}

fn findings(page: &mut Page, descriptor: &Descriptor) {
    if descriptor.findings.is_empty() {
        return;
    }
    page.section("Findings", "");
    let codes = descriptor.findings.iter().map(|f| f.code);
    let hang = hang(codes);
    for finding in descriptor.findings {
        page.flow(&[plain("  "), plain(finding.code)], hang, &[plain(finding.doc)]);
    }
}

fn metrics(page: &mut Page, descriptor: &Descriptor) {
    if descriptor.metrics.is_empty() {
        return;
    }
    page.section("Metrics", "");
    let hang = hang(descriptor.metrics.iter().map(|m| m.key));
    for metric in descriptor.metrics {
        let mut body = vec![plain(metric.doc)];
        if !metric.unit.is_empty() {
            body.push(dim(format!(" [{}]", metric.unit)));
        }
        page.flow(&[plain("  "), plain(metric.key)], hang, &body);
    }
}

/// Those parameters of the analyzer that are asked for, and where the others are.
fn parameters(page: &mut Page, descriptor: &Descriptor, is_shown: &dyn Fn(&str) -> bool) {
    let shown: Vec<_> = descriptor.parameters.iter().filter(|p| is_shown(p.key)).collect();
    let place = format!("in [parameters.{}] of a --config file", descriptor.id);
    if !shown.is_empty() {
        page.section("Parameters", &place);
    }
    let hang = hang(shown.iter().map(|p| p.key));
    for parameter in &shown {
        let default = format!(" Default {}.", parameter.default);
        let body = [plain(parameter.doc), dim(default)];
        page.flow(&[plain("  "), plain(parameter.key)], hang, &body);
    }
    if shown.len() < descriptor.parameters.len() {
        let all = numbers::plural(descriptor.parameters.len() as u64, "parameter");
        let all = format!("{COMMAND} explain {} lists all its {all}", descriptor.id);
        page.blank();
        page.text(0, &[dim(all)]);
    }
}

/// Where the text beside these names begins.
fn hang<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    4 + names.map(crate::page::width).max().unwrap_or(0)
}

/// Every analyzer with its metrics and findings, in the order given.
pub fn render_analyzers(descriptors: &[&Descriptor], options: &RenderOptions<'_>) -> String {
    let mut page = Page::new(options.width.min(PROSE), options.color);
    let hang = hang(["findings", "metrics"].into_iter());
    for descriptor in descriptors {
        page.blank();
        page.title(descriptor.id, &[plain(descriptor.summary)]);
        let metrics: Vec<&str> = descriptor.metrics.iter().map(|m| m.key).collect();
        let findings: Vec<&str> = descriptor.findings.iter().map(|f| f.code).collect();
        for (title, names) in [("metrics", metrics), ("findings", findings)] {
            if !names.is_empty() {
                page.flow(&[plain("  "), dim(title)], hang, &[plain(names.join(", "))]);
            }
        }
    }
    page.blank();
    page.text(0, &[dim(format!("{COMMAND} explain NAME says what any of these means"))]);
    page.finish()
}
