//! The most telling weights of each analyzer, ready to be drawn by any renderer.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use indexmap::IndexSet;
use weightscope_core::{Descriptor, Kind, Report, Severity, Value, WeightRecord, WeightStatus};

use crate::columns::{Column, Rows, Spec};
use crate::{RenderOptions, numbers};

/// One analyzer's part of a report.
#[derive(Debug)]
pub(crate) struct AnalyzerTable<'a> {
    pub(crate) analyzer: &'a str,
    /// Which weights these are, for example `8 of 148 weights, by excess kurtosis`.
    pub(crate) note: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row<'a>>,
}

/// One weight in it.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) weight: &'a WeightRecord,
    /// The worst of its findings by this analyzer.
    pub(crate) severity: Option<Severity>,
    /// A cell per column; `None` where there is no value.
    pub(crate) cells: Vec<Option<String>>,
}

/// A table for every analyzer that measured something.
pub(crate) fn tables<'a>(
    report: &'a Report,
    options: &RenderOptions<'_>,
) -> Vec<AnalyzerTable<'a>> {
    analyzers(report).into_iter().map(|id| table(report, id, options)).collect()
}

/// Analyzers of a report: those of its settings, then any others that left numbers. Those that were measured only for
/// others to read have parameters in the settings without being named there, and no table.
pub(crate) fn analyzers(report: &Report) -> IndexSet<&str> {
    let measured: IndexSet<&str> =
        report.weights.iter().flat_map(|w| w.analyses.keys().map(AsRef::as_ref)).collect();
    let declared = report.settings.analyzers.keys().map(AsRef::as_ref);
    let mut ids: IndexSet<&str> = declared.filter(|id| measured.contains(id)).collect();
    let is_read_only = |id: &&str| report.settings.parameters.0.contains_key(*id);
    ids.extend(measured.into_iter().filter(|id| !is_read_only(id)));
    ids
}

fn table<'a>(
    report: &'a Report,
    analyzer: &'a str,
    options: &RenderOptions<'_>,
) -> AnalyzerTable<'a> {
    let descriptor: Option<&Descriptor> =
        options.descriptors.iter().copied().find(|d| d.id == analyzer);
    let spec = Spec::of(analyzer, descriptor, report);
    let worst = worst_findings(report, analyzer);
    let measured: Vec<&WeightRecord> =
        report.weights.iter().filter(|w| w.analyses.contains_key(analyzer)).collect();

    let is_telling = |w: &WeightRecord| {
        worst.contains_key(w.name.as_str())
            || match spec.rows {
                Rows::All => true,
                Rows::Matrices => !matches!(w.kind(), Kind::Vector | Kind::Buffer),
                Rows::Above(picks) | Rows::Changed(picks) => {
                    picks.iter().any(|pick| pick.number(w, analyzer).is_some_and(|x| x > 0.0))
                }
            }
    };
    let mut telling: Vec<&WeightRecord> =
        measured.iter().copied().filter(|w| is_telling(w)).collect();
    let size = |w: &WeightRecord| {
        let order = spec.order.as_ref()?;
        let x = order.pick.number(w, analyzer)?;
        Some(if order.lowest_first { -x } else { x.abs() })
    };
    // Norms and biases lead every list of extremes and mean little: they come after the matrices.
    telling.sort_by(|a, b| {
        let rank = |w: &WeightRecord| {
            let severity = worst.get(w.name.as_str()).copied();
            let kind = match w.kind() {
                Kind::Matrix | Kind::Factor | Kind::Embedding | Kind::Head | Kind::Position => 0,
                Kind::Vector => 1,
                Kind::Buffer => 2,
            };
            (Reverse(severity), if spec.order.is_some() { kind } else { 0 })
        };
        let by_size = || match (size(a), size(b)) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        rank(a).cmp(&rank(b)).then_with(by_size)
    });

    let total = telling.len();
    let rows: Vec<Row<'_>> = telling
        .into_iter()
        .take(options.top)
        .map(|weight| Row {
            weight,
            severity: worst.get(weight.name.as_str()).copied(),
            cells: spec.columns.iter().map(|c| c.cell(weight, analyzer)).collect(),
        })
        .collect();
    let order = order_note(!worst.is_empty(), spec.order.as_ref().map(|order| order.name));
    let note = match spec.rows {
        Rows::All | Rows::Matrices => sample_note(rows.len(), total, &order),
        Rows::Changed(_) => changed_note(measured.len(), rows.len(), total, &order),
        Rows::Above(_) => facts_note(report, analyzer, &measured, rows.len(), total),
    };
    drop_empty_columns(AnalyzerTable { analyzer, note, columns: spec.columns, rows })
}

fn worst_findings<'a>(report: &'a Report, analyzer: &str) -> HashMap<&'a str, Severity> {
    let mut worst: HashMap<&str, Severity> = HashMap::new();
    for finding in &report.findings {
        let Some(weight) = &finding.weight else { continue };
        if finding.code.split('.').next() == Some(analyzer) {
            let severity = worst.entry(weight).or_insert(finding.severity);
            *severity = finding.severity.max(*severity);
        }
    }
    worst
}

/// What rows are sorted by.
fn order_note(findings: bool, order: Option<&str>) -> String {
    match (findings, order) {
        (true, Some(name)) => format!(", findings first, then by {name}"),
        (false, Some(name)) => format!(", by {name}"),
        (true, None) => ", findings first".to_owned(),
        (false, None) => String::new(),
    }
}

/// Which weights are shown of an analyzer that has something to say about each.
fn sample_note(shown: usize, total: usize, order: &str) -> String {
    if shown == total {
        numbers::plural(total as u64, "weight") + order
    } else {
        format!("{} of {}{order}", numbers::grouped(shown as u64), plural_weights(total))
    }
}

/// How many weights changed, and which of them are shown.
fn changed_note(measured: usize, shown: usize, changed: usize, order: &str) -> String {
    let total = plural_weights(measured);
    if changed == 0 {
        return if measured == 1 {
            "the one compared weight did not change".to_owned()
        } else {
            format!("none of {total} changed")
        };
    }
    let rest = if shown < changed {
        format!("; showing {}", numbers::grouped(shown as u64))
    } else {
        String::new()
    };
    format!("{} of {total} changed{order}{rest}", numbers::grouped(changed as u64))
}

fn plural_weights(n: usize) -> String {
    numbers::plural(n as u64, "weight")
}

/// What integrity says in one line: how many tensors are fine.
fn facts_note(
    report: &Report,
    analyzer: &str,
    measured: &[&WeightRecord],
    shown: usize,
    telling: usize,
) -> String {
    let is_bad = |w: &&&WeightRecord| {
        ["nan_count", "inf_count"].iter().any(|m| w.number(analyzer, m).is_some_and(|n| n > 0.0))
    };
    let bad = measured.iter().filter(is_bad).count();
    // What was not looked into is neither finite nor without copies.
    let unseen = report.weights.iter().filter(|w| w.status != WeightStatus::Ok).count();
    let noun = if unseen == 0 { "weight" } else { "measured weight" };
    let total = numbers::plural(measured.len() as u64, noun);
    let mut finite = match (bad, measured.len()) {
        (0, 1) => "the one measured weight is finite".to_owned(),
        (0, _) => format!("all {total} are finite"),
        (bad, _) => format!("{} of {total} with NaN or Inf", numbers::grouped(bad as u64)),
    };
    let copies = copies(report, analyzer, measured);
    let mut copies = match copies {
        0 => "no duplicates".to_owned(),
        1 => "1 duplicate".to_owned(),
        n => format!("{} duplicates", numbers::grouped(n)),
    };
    if unseen > 0 {
        let was = if unseen == 1 { "was" } else { "were" };
        let unseen = numbers::grouped(unseen as u64);
        finite = format!("{finite}; {unseen} {was} not looked into");
        copies.push_str(" among the measured ones");
    }
    let rest = if shown < telling {
        format!("; showing {} of {}", numbers::grouped(shown as u64), plural_weights(telling))
    } else {
        String::new()
    };
    format!("{finite}, {copies}{rest}")
}

/// How many trained weights hold the bytes of an earlier one without being tied to it.
fn copies(report: &Report, analyzer: &str, measured: &[&WeightRecord]) -> u64 {
    let mut seen: HashMap<(&str, &str, u64), &str> = HashMap::new();
    let mut copies = 0;
    let pairs = report.models.iter().flat_map(|m| &m.tied);
    let pairs: HashSet<(&str, &str)> = pairs.map(|(x, y)| (x.as_str(), y.as_str())).collect();
    let tied = |a, b| pairs.contains(&(a, b)) || pairs.contains(&(b, a));
    for weight in measured {
        let constant = weight.metric(analyzer, "constant").and_then(Value::as_bool) == Some(true);
        let hash = weight.metric(analyzer, "content_hash").and_then(Value::as_str);
        let (Some(hash), false, true) = (hash, constant, weight.part.is_parameter()) else {
            continue;
        };
        let key = (hash, weight.dtype.as_str(), weight.elements());
        match seen.get(&key) {
            Some(earlier) if !tied(*earlier, weight.name.as_str()) => copies += 1,
            Some(_) => {}
            None => {
                seen.insert(key, &weight.name);
            }
        }
    }
    copies
}

fn drop_empty_columns(table: AnalyzerTable<'_>) -> AnalyzerTable<'_> {
    let filled: Vec<bool> = (0..table.columns.len())
        .map(|i| table.rows.iter().any(|row| matches!(row.cells.get(i), Some(Some(_)))))
        .collect();
    let rows = table.rows.into_iter();
    AnalyzerTable {
        columns: kept(table.columns, &filled),
        rows: rows.map(|row| Row { cells: kept(row.cells, &filled), ..row }).collect(),
        ..table
    }
}

fn kept<T>(items: Vec<T>, keep: &[bool]) -> Vec<T> {
    items.into_iter().zip(keep).filter(|(_, keep)| **keep).map(|(item, _)| item).collect()
}
