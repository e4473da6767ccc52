//! Models of several parts, as pipelines and sentence encoders are: each is scanned and judged by itself, and one report
//! tells of all. Names of weights begin with the folder of their part.

use std::borrow::Cow;
use std::collections::BTreeSet;

use weightscope_core::{
    ErrorRecord, ErrorScope, Figure, Finding, Report, ReportKind, Status, Timings,
};

use crate::finish::{sort, totals};

/// Joins the reports of the parts, which are named as their folders; the model's own part has an empty name. `None` for
/// no part at all.
///
/// What a part says of itself as a whole says which part that is. Nothing is added up across parts but counts.
pub fn join(parts: Vec<(String, Report)>) -> Option<Report> {
    let mut joined: Option<Report> = None;
    for (index, (name, part)) in (0u32..).zip(parts) {
        let part = named(index, &name, part);
        let Some(whole) = joined.as_mut() else {
            joined = Some(part);
            continue;
        };
        whole.sources.extend(part.sources);
        whole.models.extend(part.models);
        whole.weights.extend(part.weights);
        whole.findings.extend(part.findings);
        whole.facts.extend(part.facts);
        whole.conclusions.extend(part.conclusions);
        whole.figures.extend(part.figures);
        whole.errors.extend(part.errors);
        whole.status = worse(whole.status, part.status);
        whole.timings = match (whole.timings.take(), part.timings) {
            (Some(a), Some(b)) => Some(Timings {
                seconds: a.seconds + b.seconds,
                bytes: a.bytes.saturating_add(b.bytes),
                threads: a.threads.max(b.threads),
            }),
            _ => None,
        };
    }
    let mut joined = joined?;
    sort(&mut joined);
    joined.totals = totals(&joined);
    Some(joined)
}

/// What was stopped comes before what could not be measured.
fn worse(a: Status, b: Status) -> Status {
    let rank = |status| match status {
        Status::Complete => 0,
        Status::Partial | Status::Rejected => 1,
        Status::Interrupted => 2,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// A report whose names say which part they are of.
fn named(index: u32, part: &str, mut report: Report) -> Report {
    for source in &mut report.sources {
        source.part = Some(part.to_owned());
    }
    for weight in &mut report.weights {
        weight.model = index;
    }
    let full = |name: &mut String| {
        if !part.is_empty() {
            *name = format!("{part}/{name}");
        }
    };
    report.weights.iter_mut().for_each(|weight| full(&mut weight.name));
    let of_whole = |text: &mut String| {
        if !part.is_empty() {
            *text = format!("{part}: {text}");
        }
    };
    let finding = |finding: &mut Finding| {
        match finding.weight.as_mut() {
            Some(name) => full(name),
            None => of_whole(&mut finding.message),
        }
        finding.weights.iter_mut().for_each(full);
        if let Some(name) = finding.caused_by.as_mut().and_then(|cause| cause.weight.as_mut()) {
            full(name);
        }
    };
    report.findings.iter_mut().chain(&mut report.facts).for_each(finding);
    for conclusion in &mut report.conclusions {
        of_whole(&mut conclusion.message);
        let named = conclusion.evidence.iter_mut().filter_map(|e| e.weight.as_mut());
        named.for_each(full);
    }
    for Figure { id, weight, title, .. } in &mut report.figures {
        match weight {
            Some(name) => full(name),
            None if part.is_empty() => {}
            None => {
                *id = Cow::Owned(format!("{id}.{part}"));
                of_whole(title);
            }
        }
    }
    for error in report.errors.iter_mut().filter(|error| error.scope != ErrorScope::Analyzer) {
        full(&mut error.name);
    }
    report
}

/// The parts of a joined report, without what judging adds; `None` for a report that was not joined.
pub(crate) fn split(report: &Report) -> Option<Vec<(String, Report)>> {
    if report.kind != ReportKind::Scan || report.sources.iter().all(|s| s.part.is_none()) {
        return None;
    }
    let parts = (0u32..).zip(report.sources.iter().zip(&report.models)).map(|(index, found)| {
        let (source, model) = found;
        let name = source.part.clone().unwrap_or_default();
        let bare = |text: &str| match text.strip_prefix(&name) {
            Some(rest) if !name.is_empty() => rest.strip_prefix('/').unwrap_or(text).to_owned(),
            _ => text.to_owned(),
        };
        let of_model = || report.weights.iter().filter(|weight| weight.model == index);
        let names: BTreeSet<&str> = of_model().map(|weight| weight.name.as_str()).collect();
        let own = |weight: &str| names.contains(weight);
        let mut weights: Vec<_> = of_model().cloned().collect();
        for weight in &mut weights {
            weight.name = bare(&weight.name);
            weight.model = 0;
        }
        let figures = report.figures.iter().filter_map(|figure| {
            let weight = figure.weight.as_deref().filter(|weight| own(weight))?;
            Some(Figure { weight: Some(bare(weight)), ..figure.clone() })
        });
        let is_of = |part: &str, error: &ErrorRecord| {
            !part.is_empty() && error.name.starts_with(&format!("{part}/"))
        };
        let of_others = |error: &ErrorRecord| {
            let mut others = report.sources.iter().filter_map(|source| source.part.as_deref());
            others.any(|part| is_of(part, error))
        };
        // A part that could not be opened is named as a folder, and belongs to none of those that were.
        let of_part = |error: &&ErrorRecord| match name.as_str() {
            "" => !error.name.ends_with('/') && !of_others(error),
            part => is_of(part, error),
        };
        let mut errors: Vec<_> = report.errors.iter().filter(of_part).cloned().collect();
        for error in &mut errors {
            error.name = bare(&error.name);
        }
        let part = Report {
            sources: vec![source.clone()],
            models: vec![model.clone()],
            weights,
            figures: figures.collect(),
            errors,
            findings: Vec::new(),
            facts: Vec::new(),
            conclusions: Vec::new(),
            ..report.clone()
        };
        (name, part)
    });
    Some(parts.collect())
}
