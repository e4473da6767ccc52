//! Values that no training leaves: damaged bytes, and single values that dwarf all others.

use std::collections::BTreeMap;

use weightscope_core::stats::Summary;
use weightscope_core::{
    AnalyzeError, Axis, Finding, Output, ReferenceKind, Report, Role, Severity, Value, Verdicts,
    WeightRecord, WeightView,
};

use crate::ID;

/// The largest magnitudes are looked at when the first is so many times the 90 % quantile of all magnitudes (100
/// times is about 60 standard deviations of a normal).
const FAR: f64 = 100.0;
/// How many of them are kept.
const KEPT: usize = 32;
/// Beyond so many times every other value of the role, two or more values within [`NEAR`] places are damage,
const SEVERAL: f64 = 1e3;
/// and beyond so many times one alone is.
const ALONE: f64 = 1e4;
/// Places in the file.
const NEAR: u64 = 32;
/// One value beyond so many times the next largest is told where it is no damage.
const HUGE: f64 = 1e3;

/// Fewest values of a hole: half a page of a file in F32, a page in F16.
const HOLE: u64 = 512;
/// Zeros outside of a hole, as a share of it: more, and zeros are nothing special in this tensor.
const STRAY: f64 = 0.01;

/// The longest run of zeros in the order of the file, where most of the zeros are in one.
pub(crate) fn measure_hole(
    view: &WeightView<'_>,
    summary: &Summary,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let (zeros, values) = (summary.tally.zero, summary.tally.values);
    if zeros < HOLE || zeros * 2 > values || view.weight().matrix.is_none() {
        return Ok(());
    }
    let [rows, columns] = view.size();
    let (axis, lines, length) = if view.weight().transposed {
        (Axis::Columns, columns, rows)
    } else {
        (Axis::Rows, rows, columns)
    };
    let step = (HOLE_VALUES / length.max(1)).clamp(1, lines.max(1));
    let mut part = vec![0f32; (step * length) as usize];
    let (mut run, mut longest) = ([0u64; 2], [0u64; 2]);
    for first in (0..lines).step_by(step as usize) {
        let range = first..lines.min(first + step);
        let part = &mut part[..((range.end - range.start) * length) as usize];
        view.panel(axis, range, part)?;
        for (place, value) in (first * length..).zip(&*part) {
            if *value != 0.0 {
                run = [place + 1, 0];
                continue;
            }
            run[1] += 1;
            if run[1] > longest[1] {
                longest = run;
            }
        }
    }
    let [first, count] = longest;
    // Whole rows are units without use, or padding.
    let is_part = first % length != 0 || count % length != 0;
    if count >= HOLE && is_part && (zeros - count) as f64 <= STRAY * count as f64 {
        out.metric(
            "zero_run",
            Value::map([("first", Value::Integer(first)), ("count", Value::Integer(count))]),
        );
    }
    Ok(())
}

/// Values that are read at a time.
const HOLE_VALUES: u64 = 1 << 18;

/// A run of zeros that begins or ends within a row.
fn hole(weight: &WeightRecord) -> Option<Finding> {
    let run = weight.metric(ID, "zero_run")?;
    let [first, count] = [run.get("first")?.as_u64()?, run.get("count")?.as_u64()?];
    let message = format!(
        "{} neighbouring values (flat index {} to {}) are zero and almost no others are, and they begin or end within a row: a hole that an interrupted download or write left",
        short(count as f64),
        short(first as f64),
        short((first + count).saturating_sub(1) as f64)
    );
    Some(
        Finding::new("integrity.damaged", Severity::Critical, Some(&weight.name), message)
            .metric("zero_run", count as f64)
            .threshold(HOLE as f64)
            .advice("get the file again, and compare its checksum with the source's"),
    )
}

/// Where the largest values are, when they lie far beyond the rest.
pub(crate) fn measure(
    view: &WeightView<'_>,
    summary: &Summary,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let none = "no value lies far beyond the others";
    let [.., usual] = summary.magnitude_quantiles[..] else {
        out.undefined("largest_values", "no value is finite");
        return Ok(());
    };
    let largest = summary.extremes.map_or(0.0, |(low, high)| low.abs().max(high.abs()));
    // Where nine of ten values are zero, nothing is usual.
    if usual == 0.0 || largest <= FAR * usual {
        out.undefined("largest_values", none);
        return Ok(());
    }
    let mut found: Vec<(f64, u64, u64)> = Vec::new();
    view.for_each_row(|row, values: &[f64]| {
        for (column, value) in (0..).zip(values) {
            let magnitude = value.abs();
            if magnitude > FAR * usual && value.is_finite() {
                found.push((*value, row, column));
                if found.len() >= 4 * KEPT {
                    keep_largest(&mut found);
                }
            }
        }
    })?;
    keep_largest(&mut found);
    let entries = found.into_iter().map(|(value, row, column)| {
        Value::map([
            ("row", Value::Integer(row)),
            ("column", Value::Integer(column)),
            ("value", Value::Number(value)),
        ])
    });
    out.metric("largest_values", Value::List(entries.collect()));
    Ok(())
}

/// Largest magnitude first; equal ones in their order.
fn keep_largest(found: &mut Vec<(f64, u64, u64)>) {
    found.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()).then((a.1, a.2).cmp(&(b.1, b.2))));
    found.truncate(KEPT);
}

/// One of the largest values.
#[derive(Clone, Copy)]
struct Large {
    value: f64,
    row: u64,
    column: u64,
    /// Its place in the file, counted from the tensor's first value.
    place: u64,
}

fn largest_values(weight: &WeightRecord) -> Vec<Large> {
    let items = weight.metric(ID, "largest_values").map_or(&[][..], Value::items);
    let [out, input] = weight.matrix.unwrap_or([1, weight.elements()]);
    let of = |item: &Value| {
        let [row, column] = [item.get("row")?.as_u64()?, item.get("column")?.as_u64()?];
        let (line, length, rest) =
            if weight.transposed { (column, out, row) } else { (row, input, column) };
        let place = line.saturating_mul(length).saturating_add(rest);
        Some(Large { value: item.get("value")?.as_f64()?, row, column, place })
    };
    items.iter().filter_map(of).collect()
}

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    // What the values of a role come to where nothing lies far beyond the rest.
    let mut usual: BTreeMap<Role, f64> = BTreeMap::new();
    for weight in &report.weights {
        if weight.metric(ID, "largest_values").is_none()
            && let Some(largest) = weight.number("distribution", "abs_max")
        {
            let entry = usual.entry(weight.role).or_default();
            *entry = entry.max(largest);
        }
    }
    for weight in &report.weights {
        if let Some(hole) = hole(weight) {
            out.push(hole);
            continue;
        }
        let values = largest_values(weight);
        if values.is_empty() {
            continue;
        }
        let others = usual.get(&weight.role).copied().filter(|largest| *largest > 0.0);
        // Without a healthy sibling, the tensor's own bulk has to do.
        let bulk = ["q001", "q999"]
            .map(|q| weight.number("distribution", q).map_or(0.0, f64::abs))
            .into_iter()
            .fold(0.0, f64::max);
        let (reference, whose) = match others {
            Some(largest) => (largest, "every other value of this role"),
            None if bulk > 0.0 => (bulk, "999 of 1,000 of its values"),
            None => continue,
        };
        let finding =
            damaged(weight, &values, reference, whose).or_else(|| huge(weight, &values, reference));
        out.findings.extend(finding);
    }
}

fn damaged(
    weight: &WeightRecord,
    values: &[Large],
    reference: f64,
    whose: &str,
) -> Option<Finding> {
    let beyond = |factor: f64| {
        let mut far: Vec<Large> =
            values.iter().filter(|v| v.value.abs() > factor * reference).copied().collect();
        far.sort_by_key(|v| v.place);
        far
    };
    let several = beyond(SEVERAL);
    let close: Vec<Large> = several
        .iter()
        .enumerate()
        .filter(|(i, v)| {
            let near = |other: Option<&Large>| {
                other.is_some_and(|other| other.place.abs_diff(v.place) <= NEAR)
            };
            near(several.get(i + 1)) || near(i.checked_sub(1).and_then(|i| several.get(i)))
        })
        .map(|(_, v)| *v)
        .collect();
    let told = if close.is_empty() { beyond(ALONE) } else { close };
    let [first, .., last] = match told[..] {
        [] => return None,
        [one] => [one, one],
        [first, .., last] => [first, last],
    };
    let least = told.iter().map(|v| v.value.abs()).fold(f64::INFINITY, f64::min);
    let most = told.iter().max_by(|a, b| a.value.abs().total_cmp(&b.value.abs()))?;
    let (noun, places) = if told.len() == 1 {
        (
            "1 value".to_owned(),
            format!("flat index {}: row {}, column {}", first.place, first.row, first.column),
        )
    } else {
        (
            format!("{} values", told.len()),
            format!(
                "flat index {} to {}: row {}, column {} to row {}, column {}",
                first.place, last.place, first.row, first.column, last.row, last.column
            ),
        )
    };
    let message = format!(
        "{noun} ({places}) {} {} times or more beyond {whose} ({} against {}): damaged bytes",
        if told.len() == 1 { "lies" } else { "lie" },
        short((least / reference).floor()),
        short(most.value),
        short(reference),
    );
    Some(
        Finding::new("integrity.damaged", Severity::Critical, Some(&weight.name), message)
            .metric("largest_values", most.value)
            .threshold(if told.len() == 1 { ALONE } else { SEVERAL } * reference)
            .reference(ReferenceKind::Siblings, reference)
            .advice("get the file again, and compare its checksum with the source's"),
    )
}

/// One value that dwarfs the next.
fn huge(weight: &WeightRecord, values: &[Large], reference: f64) -> Option<Finding> {
    let [first, rest @ ..] = values else { return None };
    let next = rest.first().map_or(reference, |v| v.value.abs());
    if first.value.abs() <= HUGE * next.min(reference) {
        return None;
    }
    let message = format!(
        "its largest value, {} in row {}, column {}, is {} times the next one",
        short(first.value),
        first.row,
        first.column,
        short((first.value.abs() / next).floor())
    );
    Some(
        Finding::new("integrity.huge-value", Severity::Warning, Some(&weight.name), message)
            .metric("largest_values", first.value)
            .threshold(HUGE * next)
            .reference(ReferenceKind::Limit, next)
            .advice("compare the value with the source's: training seldom leaves one like it"),
    )
}

/// Four digits, grouped: `51,230`, `0.2031`.
fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1e15 {
        return format!("{value:.2e}");
    }
    if magnitude >= 1000.0 {
        let digits = format!("{magnitude:.0}");
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i) % 3 == 0 {
                text.push(',');
            }
            text.push(digit);
        }
        return if value < 0.0 { format!("-{text}") } else { text };
    }
    if magnitude == 0.0 || magnitude >= 1e-4 {
        let decimals = if magnitude >= 100.0 {
            1
        } else if magnitude >= 1.0 {
            2
        } else {
            4
        };
        let text = format!("{value:.decimals$}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    format!("{value:.2e}")
}
