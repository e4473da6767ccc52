//! Codes that are stored as if they were weights: their factors are missing, or a cast dropped them.

use std::collections::BTreeMap;

use weightscope_core::{
    DType, Finding, Kind, Part, ReferenceKind, Report, Severity, Verdicts, WeightRecord,
};

/// A matrix is beyond what initialisation and training leave when its root mean square is so many times the usual.
const BEYOND: f64 = 50.0;
/// Usual is `1/sqrt(in)`, and at least this.
const USUAL: f64 = 0.1;
/// Mean magnitude of codes over their root mean square, at least: 0.8 for a normal.
const SPREAD: f64 = 0.25;
/// Fewest matrices of a role that tell when all of them are beyond.
const WHOLE_ROLE: usize = 3;
/// Values that 8 bits can tell apart.
const PATTERNS: f64 = 256.0;

const ADVICE: &str = "export it again with its factors (weight_scale_inv, weight_scale), or convert it with a tool that applies them";

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let matrices: Vec<Judged<'_>> = report.weights.iter().filter_map(Judged::of).collect();
    let beyond: Vec<&Judged<'_>> = matrices.iter().filter(|matrix| matrix.is_beyond()).collect();
    if beyond.len() * 2 > matrices.len() {
        most(&beyond, matrices.len(), out);
    } else {
        // Where all of a role are, what is usual in the other roles tells.
        let of_role = |matrix: &Judged<'_>, is_beyond| {
            let role = matrix.weight.role;
            matrices.iter().filter(|o| o.weight.role == role && o.is_beyond() == is_beyond).count()
        };
        let whole = |matrix: &&Judged<'_>| {
            of_role(matrix, false) == 0 && of_role(matrix, true) >= WHOLE_ROLE
        };
        let (roles, alone): (Vec<&Judged<'_>>, Vec<&Judged<'_>>) =
            beyond.into_iter().partition(whole);
        if !roles.is_empty() {
            most(&roles, matrices.len(), out);
        }
        for matrix in alone {
            single(matrix, &matrices, out);
        }
    }
    plain_casts(&matrices, out);
}

/// A matrix with its root mean square.
struct Judged<'a> {
    weight: &'a WeightRecord,
    rms: f64,
    mean_abs: f64,
    usual: f64,
}

impl<'a> Judged<'a> {
    fn of(weight: &'a WeightRecord) -> Option<Self> {
        let is_matrix = weight.kind() == Kind::Matrix && weight.part == Part::Weight;
        let [_, input] = weight.matrix.filter(|_| is_matrix)?;
        let rms = weight.number("distribution", "rms")?;
        let mean_abs = weight.number("distribution", "mean_abs")?;
        Some(Self { weight, rms, mean_abs, usual: USUAL.max(1.0 / (input.max(1) as f64).sqrt()) })
    }

    /// Whether all values are too large, and not a few that dominate the root mean square.
    fn is_beyond(&self) -> bool {
        self.rms > BEYOND * self.usual && self.mean_abs > SPREAD * self.rms
    }

    fn small_float(&self) -> Option<DType> {
        let dtype: DType = self.weight.dtype.parse().ok()?;
        (dtype.is_float() && dtype.bits() == 8).then_some(dtype)
    }

    /// Why its values may be codes.
    fn cause(&self) -> String {
        if let Some(dtype) = self.small_float() {
            return format!("{dtype} codes whose factors are not in the files");
        }
        let patterns = self.weight.number("distribution", "unique_values");
        if patterns.is_some_and(|count| count <= PATTERNS) {
            return "they take no more than 256 different values: a cast from 8-bit codes that dropped their factors".to_owned();
        }
        "codes, or a cast of codes, without their factors".to_owned()
    }
}

/// One finding for all.
fn most(beyond: &[&Judged<'_>], matrices: usize, out: &mut Verdicts) {
    let mut by_rms: Vec<f64> = beyond.iter().map(|matrix| matrix.rms).collect();
    by_rms.sort_by(f64::total_cmp);
    let Some((median, first)) = by_rms.get(by_rms.len() / 2).zip(beyond.first()) else { return };
    let message = format!(
        "{} of {matrices} matrices have a root mean square of {} (median), {:.0} times or more what initialisation and training leave: {}",
        beyond.len(),
        short(*median),
        beyond.iter().map(|matrix| matrix.rms / matrix.usual).fold(f64::INFINITY, f64::min),
        first.cause()
    );
    out.push(
        Finding::new("integrity.lost-scale", Severity::Warning, None, message)
            .metric("rms", *median)
            .weights(beyond.iter().map(|matrix| matrix.weight.name.as_str()))
            .threshold(BEYOND * first.usual)
            .reference(ReferenceKind::Limit, first.usual)
            .advice(ADVICE),
    );
}

/// One of few: only when it is far from its siblings too.
fn single(matrix: &Judged<'_>, all: &[Judged<'_>], out: &mut Verdicts) {
    let mut siblings: Vec<f64> = all
        .iter()
        .filter(|other| other.weight.role == matrix.weight.role && !other.is_beyond())
        .map(|other| other.rms)
        .collect();
    siblings.sort_by(f64::total_cmp);
    let Some(median) = siblings.get(siblings.len() / 2).copied() else { return };
    if matrix.rms <= BEYOND * median {
        return;
    }
    let message = format!(
        "its root mean square is {}, {:.0} times that of its siblings: {}",
        short(matrix.rms),
        matrix.rms / median,
        matrix.cause()
    );
    out.push(
        Finding::new("integrity.lost-scale", Severity::Warning, Some(&matrix.weight.name), message)
            .metric("rms", matrix.rms)
            .threshold(BEYOND * median)
            .reference(ReferenceKind::Siblings, median)
            .advice(ADVICE),
    );
}

/// 8-bit floats that need no factors.
fn plain_casts(matrices: &[Judged<'_>], out: &mut Verdicts) {
    let mut counts: BTreeMap<DType, usize> = BTreeMap::new();
    for matrix in matrices.iter().filter(|matrix| !matrix.is_beyond()) {
        if let Some(dtype) = matrix.small_float() {
            *counts.entry(dtype).or_default() += 1;
        }
    }
    for (dtype, count) in counts {
        let message = format!(
            "{count} matrices are {dtype} without factors, and have the size of weights: a plain cast"
        );
        out.push(
            Finding::new("integrity.lost-scale", Severity::Info, None, message)
                .metric("matrices", count as f64)
                .advice("nothing to do, unless an export should have written factors"),
        );
    }
}

/// Three digits.
fn short(value: f64) -> String {
    if (0.01..10_000.0).contains(&value) {
        format!("{}", (value * 100.0).round() / 100.0)
    } else {
        format!("{value:.2e}")
    }
}
