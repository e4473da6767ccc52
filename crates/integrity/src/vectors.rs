//! Norms and other vectors: gains that are zero, constant or unlike those of the other blocks.

use std::collections::BTreeMap;

use weightscope_core::{
    Finding, Kind, Part, ReferenceKind, Report, Role, Severity, Verdicts, WeightRecord,
    without_numbers,
};

use crate::values::{is_constant, is_zero};

/// Gains so many times larger or smaller than those of the same norm in other blocks.
const APART: f64 = 30.0;
/// Fewest other blocks that tell what is usual.
const SIBLINGS: usize = 2;

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let mut groups: BTreeMap<String, Vec<&WeightRecord>> = BTreeMap::new();
    for weight in report.weights.iter().filter(|w| is_gain(w)) {
        groups.entry(without_numbers(&weight.name)).or_default().push(weight);
    }
    for members in groups.values() {
        for weight in members {
            let siblings: Vec<&WeightRecord> =
                members.iter().copied().filter(|other| other.name != weight.name).collect();
            if is_zero(weight) {
                out.findings.extend(zero(report, weight, &siblings));
            } else if is_constant(weight) {
                out.findings.extend(constant(weight, &siblings));
            } else {
                out.findings.extend(apart(weight, &siblings));
            }
        }
    }
}

/// The gains of a norm: no bias, no scalar.
fn is_gain(weight: &WeightRecord) -> bool {
    weight.role == Role::Norm
        && weight.part == Part::Weight
        && weight.kind() == Kind::Vector
        && weight.elements() >= 2
}

/// Whether the model's norms multiply by 1 + w, so that zeros are where training begins.
fn adds_one(report: &Report) -> bool {
    report.models.iter().any(|model| model.norms_add_one)
}

fn zero(report: &Report, weight: &WeightRecord, siblings: &[&WeightRecord]) -> Option<Finding> {
    let whole = siblings.iter().all(|other| is_zero(other));
    let count = weight.elements();
    if adds_one(report) {
        // Untouched by training where all are, odd where it is alone.
        if whole {
            return None;
        }
        let message = format!(
            "all {count} gains of this norm are zero, which is 1 in this family: it was not trained, and those of other blocks were"
        );
        return Some(
            Finding::new("integrity.all-zero", Severity::Info, Some(&weight.name), message)
                .metric("zero_count", count as f64)
                .advice("nothing to do if its block was added or frozen on purpose"),
        );
    }
    let reads = match weight.block {
        Some(block) => format!("what reads it in block {block} reads nothing"),
        None => "everything behind it reads nothing".to_owned(),
    };
    let message = format!("all {count} gains of this norm are zero: {reads}");
    Some(
        Finding::new("integrity.all-zero", Severity::Critical, Some(&weight.name), message)
            .metric("zero_count", count as f64)
            .advice("reload it from its source: it was lost in saving or conversion"),
    )
}

/// All gains equal where those of the other blocks are not.
fn constant(weight: &WeightRecord, siblings: &[&WeightRecord]) -> Option<Finding> {
    let varied = siblings.iter().filter(|other| !is_constant(other)).count();
    if varied < SIBLINGS.max(siblings.len() / 2 + 1) {
        return None;
    }
    let value = weight.number("distribution", "mean");
    let value = value.map_or_else(String::new, |v| format!(" ({v})"));
    let message = format!(
        "all {} gains of this norm are equal{value}, and those of {varied} other blocks are not: it looks reset to its initial value",
        weight.elements()
    );
    Some(
        Finding::new("integrity.constant", Severity::Warning, Some(&weight.name), message)
            .metric("constant", 1.0)
            .advice("reload it from its source, unless its block was added on purpose"),
    )
}

/// Far larger or smaller than the same norm in other blocks.
fn apart(weight: &WeightRecord, siblings: &[&WeightRecord]) -> Option<Finding> {
    let rms = weight.number("distribution", "rms").filter(|rms| *rms > 0.0)?;
    let mut others: Vec<f64> = siblings
        .iter()
        .filter_map(|other| other.number("distribution", "rms"))
        .filter(|rms| *rms > 0.0)
        .collect();
    if others.len() < SIBLINGS {
        return None;
    }
    others.sort_by(f64::total_cmp);
    let median = *others.get(others.len() / 2)?;
    let ratio = rms / median;
    let words = if ratio > APART {
        format!("{ratio:.0} times larger")
    } else if ratio < 1.0 / APART {
        format!("{:.0} times smaller", 1.0 / ratio)
    } else {
        return None;
    };
    let message = format!(
        "its gains are {words} than those of the same norm in {} other blocks",
        others.len()
    );
    Some(
        Finding::new("integrity.unlike-siblings", Severity::Warning, Some(&weight.name), message)
            .metric("rms", rms)
            .threshold(if ratio > 1.0 { APART * median } else { median / APART })
            .reference(ReferenceKind::Siblings, median)
            .advice("compare it with its source: a factor of this size is a fault of conversion or merging, not training"),
    )
}
