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
    shifted(report, out);
    for members in groups.values() {
        for weight in members {
            let siblings: Vec<&WeightRecord> =
                members.iter().copied().filter(|other| other.name != weight.name).collect();
            if is_zero(weight) || multiplies_by_zero(report, weight) {
                out.findings.extend(zero(report, weight, &siblings));
            } else if is_constant(weight) {
                out.findings.extend(constant(weight, &siblings));
            } else {
                out.findings.extend(apart(report, weight, &siblings));
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

/// Whether all its values are -1 where norms multiply by 1 + w.
fn multiplies_by_zero(report: &Report, weight: &WeightRecord) -> bool {
    adds_one(report) && is_constant(weight) && weight.number("distribution", "mean") == Some(-1.0)
}

/// Root mean square of what a norm multiplies by.
fn gain(report: &Report, weight: &WeightRecord) -> Option<f64> {
    let number = |metric| weight.number("distribution", metric);
    let rms = number("rms")?;
    if !adds_one(report) {
        return Some(rms);
    }
    Some((rms * rms + 2.0 * number("mean")? + 1.0).max(0.0).sqrt())
}

fn zero(report: &Report, weight: &WeightRecord, siblings: &[&WeightRecord]) -> Option<Finding> {
    let whole = siblings.iter().all(|other| is_zero(other));
    let count = weight.elements();
    if adds_one(report) && is_zero(weight) {
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
    let are = if is_zero(weight) { "zero" } else { "-1, and this family multiplies by 1 + w" };
    let message = format!("all {count} gains of this norm are {are}: {reads}");
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

/// Gains of this size are ordinary; what is beyond is broken itself, and tells nothing of others.
const ORDINARY: std::ops::Range<f64> = 1e-5..1e4;
/// Factors above are no longer told as numbers.
const MILLION: f64 = 1e6;

/// Far larger or smaller than the same norm in other blocks.
fn apart(report: &Report, weight: &WeightRecord, siblings: &[&WeightRecord]) -> Option<Finding> {
    let rms = gain(report, weight).filter(|rms| *rms > 0.0)?;
    let mut others: Vec<f64> = siblings
        .iter()
        .filter_map(|other| gain(report, other))
        .filter(|rms| ORDINARY.contains(rms))
        .collect();
    if others.len() < SIBLINGS {
        return None;
    }
    others.sort_by(f64::total_cmp);
    let median = *others.get(others.len() / 2)?;
    let ratio = rms / median;
    let (factor, word) = if ratio > APART {
        (ratio, "larger")
    } else if ratio < 1.0 / APART {
        (1.0 / ratio, "smaller")
    } else {
        return None;
    };
    let factor =
        if factor > MILLION { "more than a million".to_owned() } else { format!("{factor:.0}") };
    let message = format!(
        "its gains are {factor} times {word} than those of the same norm in {} other blocks",
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

/// Share of a model's norms whose gains must lie around 0, and their mean as a share of their root mean square.
const SHIFTED: f64 = 0.8;
const AROUND: f64 = 0.9;
/// Fewest norms that tell.
const NORMS: usize = 4;

/// Gains of both signs in a model that multiplies by w: they were stored as w - 1.
fn shifted(report: &Report, out: &mut Verdicts) {
    if adds_one(report) {
        return;
    }
    // Lone scales of heads and embeddings, which other makers store otherwise, are not asked.
    let norms: Vec<&WeightRecord> =
        report.weights.iter().filter(|w| is_gain(w) && !is_constant(w)).collect();
    let is_around = |w: &&&WeightRecord| {
        let number = |metric| w.number("distribution", metric);
        matches!((number("mean"), number("rms")), (Some(mean), Some(rms)) if mean.abs() < AROUND * rms)
            && number("min").is_some_and(|least| least < 0.0)
    };
    let around: Vec<&&WeightRecord> = norms.iter().filter(is_around).collect();
    if norms.len() < NORMS || (around.len() as f64) < SHIFTED * norms.len() as f64 {
        return;
    }
    let message = format!(
        "the gains of {} of {} norms lie around 0, and this family multiplies by them, not by 1 + w: were they stored as w - 1?",
        around.len(),
        norms.len()
    );
    out.push(
        Finding::new("integrity.shifted-gains", Severity::Warning, None, message)
            .metric("mean", around.len() as f64)
            .weights(around.iter().map(|w| w.name.as_str()))
            .advice("add 1 to the gains, or name the family that multiplies by 1 + w (Gemma) in config.json"),
    );
}
