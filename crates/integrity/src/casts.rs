//! What a cast to F16 would lose, at both ends of its range.

use std::fmt::Write as _;

use weightscope_core::stats::Summary;
use weightscope_core::{
    AnalyzeError, DType, Finding, Output, Part, ReferenceKind, Report, Severity, Value, Verdicts,
    WeightRecord, WeightView,
};

use crate::ID;

/// Half of the smallest F16 subnormal: at or below it a cast gives zero.
const FLUSHED: f64 = 1.0 / 33_554_432.0;
/// Share of the non-zero values that makes underflow a warning. Units that are dead but for rounding are a part of some
/// matrices, and told as such.
const MANY: f64 = 0.2;
/// Share from which on it is told where they are.
const SOME: f64 = 0.01;
/// Share below which nothing is said: F32 has a few tiny values anywhere.
const FEW: f64 = 1e-4;

/// Which rows and columns hold the values that F16 loses, where they are many.
pub(crate) fn measure(
    view: &WeightView<'_>,
    summary: &Summary,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let other = summary.tally.values.saturating_sub(summary.tally.zero);
    if view.weight().matrix.is_none() || (summary.flushed_by_f16 as f64) <= SOME * other as f64 {
        return Ok(());
    }
    let (mut rows, mut columns) = ([u64::MAX, 0], [u64::MAX, 0]);
    let widen = |range: &mut [u64; 2], index: u64| {
        *range = [range[0].min(index), range[1].max(index)];
    };
    view.for_each_row(|row, values: &[f64]| {
        for (column, value) in (0..).zip(values) {
            if *value != 0.0 && value.abs() <= FLUSHED {
                widen(&mut rows, row);
                widen(&mut columns, column);
            }
        }
    })?;
    let range = |range: [u64; 2]| Value::List(range.map(Value::Integer).to_vec());
    out.metric("f16_flush_place", Value::map([("rows", range(rows)), ("columns", range(columns))]));
    Ok(())
}

/// `columns 64 to 127` when what F16 loses does not lie everywhere.
fn place(weight: &WeightRecord) -> Option<String> {
    let [out, input] = weight.matrix?;
    let place = weight.metric(ID, "f16_flush_place")?;
    let part = |noun: &str, all: u64| {
        let range = place.get(noun)?.items();
        let [first, last] = [range.first()?.as_u64()?, range.get(1)?.as_u64()?];
        (last.checked_sub(first)? + 1 < all).then(|| format!("{noun} {first} to {last}"))
    };
    let parts: Vec<String> =
        [part("rows", out), part("columns", input)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    for weight in report.weights.iter().filter(|w| is_wider(w) && w.part != Part::Buffer) {
        overflow(weight, out);
        underflow(weight, out);
    }
}

fn is_wider(weight: &WeightRecord) -> bool {
    weight.stored.is_none()
        && matches!(weight.dtype.parse(), Ok(DType::F64 | DType::F32 | DType::BF16))
}

fn count(weight: &WeightRecord, metric: &str) -> f64 {
    weight.number(ID, metric).unwrap_or(0.0)
}

fn overflow(weight: &WeightRecord, out: &mut Verdicts) {
    let above = count(weight, "f16_overflow_count");
    if above == 0.0 {
        return;
    }
    let message = format!("{above} values are above 65504: a cast to F16 makes them infinite");
    out.push(
        Finding::new("integrity.f16-overflow", Severity::Warning, Some(&weight.name), message)
            .metric("f16_overflow_count", above)
            .threshold(0.0)
            .reference(ReferenceKind::Limit, 65_504.0)
            .advice("keep the tensor in BF16 or F32, or rescale it"),
    );
}

fn underflow(weight: &WeightRecord, out: &mut Verdicts) {
    let [flushed, zeros] = ["f16_flush_count", "zero_count"].map(|metric| count(weight, metric));
    let values = weight.elements() as f64;
    let other = values - zeros;
    let share = flushed / other.max(1.0);
    if flushed < 16.0 || share < FEW {
        return;
    }
    let severity = if share > MANY { Severity::Warning } else { Severity::Info };
    let mut message = format!(
        "{flushed} of {values} values become zero in F16 ({:.2} % of those that are not zero)",
        100.0 * share
    );
    // Writing to a string does not fail.
    let digit = count(weight, "f16_digit_count");
    if digit > 0.0 {
        let _ = write!(message, ", and {digit} more keep a digit at most");
    }
    if let Some(place) = place(weight) {
        let _ = write!(message, ": {place}");
    }
    out.push(
        Finding::new("integrity.f16-underflow", severity, Some(&weight.name), message)
            .metric("f16_flush_count", flushed)
            .threshold(other * MANY)
            .reference(ReferenceKind::Limit, FLUSHED)
            .advice(
                "keep the tensor in BF16 or F32: values that become zero can make a divisor zero",
            ),
    );
}
