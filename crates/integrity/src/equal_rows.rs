//! Rows of a table that hold the same values: tokens that were added, or reserved, and never trained.

use std::collections::HashMap;

use weightscope_core::stats::Summary;
use weightscope_core::{
    AnalyzeError, Axis, Finding, Kind, Output, Report, Severity, Value, Verdicts, Weight,
    WeightRecord, WeightView,
};

use crate::ID;

/// Sets of equal rows that are told.
const SETS: usize = 8;
/// Fewest equal rows that are a finding.
const FEWEST: u64 = 4;
/// Relative distance to the mean of all other rows up to which rows are that mean: a rounding to BF16 makes 0.002.
const MEAN: f64 = 0.01;

/// Rows that are looked at in a table that is stored the other way, where each of them touches all of it.
const ACROSS: usize = 4096;

/// Whether its rows are tokens or positions.
pub(crate) fn is_table(weight: &Weight) -> bool {
    matches!(
        Kind::of(weight.role, weight.part, weight.matrix),
        Kind::Embedding | Kind::Head | Kind::Position
    )
}

pub(crate) fn measure(
    view: &WeightView<'_>,
    summary: &Summary,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let weight = view.weight();
    let Some(norms) = summary.norms.as_ref().filter(|_| is_table(weight)) else { return Ok(()) };
    let energies = if weight.transposed { &norms.columns } else { &norms.rows };
    // Equal rows have equal sums of squares; rows of zeros are told elsewhere.
    let mut candidates: HashMap<u64, Vec<u64>> = HashMap::new();
    for (row, energy) in (0..).zip(energies) {
        if *energy > 0.0 && energy.is_finite() {
            candidates.entry(energy.to_bits()).or_default().push(row);
        }
    }
    let mut candidates: Vec<Vec<u64>> =
        candidates.into_values().filter(|rows| rows.len() as u64 >= 2).collect();
    candidates.sort();
    if weight.transposed && candidates.iter().map(Vec::len).sum::<usize>() > ACROSS {
        out.undefined("equal_rows", "too many candidates in a table stored [in, out]");
        return Ok(());
    }
    let mut sets: Vec<Vec<u64>> = Vec::new();
    for rows in candidates {
        sets.extend(verified(view, &rows)?);
    }
    sets.sort_by_key(|rows| (std::cmp::Reverse(rows.len()), rows.first().copied()));
    let count = sets.len() as u64;
    sets.truncate(SETS);
    let is_mean = match sets.first().filter(|rows| rows.len() as u64 >= FEWEST) {
        Some(rows) => Some(is_mean_of_others(view, rows)?),
        None => None,
    };
    let told = sets.iter().enumerate().map(|(index, rows)| {
        let ranges = ranges(rows)
            .into_iter()
            .map(|[first, last]| Value::List(vec![Value::Integer(first), Value::Integer(last)]));
        let mut entry = Value::map([
            ("count", Value::Integer(rows.len() as u64)),
            ("ranges", Value::List(ranges.take(SETS).collect())),
        ]);
        if let (Value::Map(entry), 0, Some(is_mean)) = (&mut entry, index, is_mean) {
            entry.insert("is_mean".into(), Value::Bool(is_mean));
        }
        entry
    });
    out.metric(
        "equal_rows",
        Value::map([("sets", Value::Integer(count)), ("largest", Value::List(told.collect()))]),
    );
    Ok(())
}

/// Rows whose values are equal, of those that have equal sums of squares.
fn verified(view: &WeightView<'_>, rows: &[u64]) -> Result<Vec<Vec<u64>>, AnalyzeError> {
    let [_, input] = view.size();
    let mut row = vec![0f64; input as usize];
    let mut sets: Vec<(Vec<f64>, Vec<u64>)> = Vec::new();
    for index in rows {
        view.panel(Axis::Rows, *index..*index + 1, &mut row)?;
        if let Some((_, members)) = sets.iter_mut().find(|(values, _)| *values == row) {
            members.push(*index);
        } else if sets.len() < SETS {
            // More different rows with one sum of squares are no copies.
            sets.push((row.clone(), vec![*index]));
        }
    }
    Ok(sets.into_iter().map(|(_, members)| members).filter(|m| m.len() >= 2).collect())
}

/// Whether these equal rows are the mean of all the others.
fn is_mean_of_others(view: &WeightView<'_>, equal: &[u64]) -> Result<bool, AnalyzeError> {
    let [_, input] = view.size();
    let mut sum = vec![0f64; input as usize];
    let (mut value, mut others) = (Vec::new(), 0u64);
    view.for_each_row(|index, row: &[f64]| {
        if equal.binary_search(&index).is_err() {
            sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            others += 1;
        } else if value.is_empty() {
            value = row.to_vec();
        }
    })?;
    let (mut distance, mut energy) = (0.0, 0.0);
    for (sum, x) in sum.iter().zip(&value) {
        let mean = sum / others.max(1) as f64;
        distance += (mean - x) * (mean - x);
        energy += x * x;
    }
    Ok(others > 0 && distance.sqrt() <= MEAN * energy.sqrt())
}

/// First and last of each run of consecutive numbers.
fn ranges(rows: &[u64]) -> Vec<[u64; 2]> {
    let mut ranges: Vec<[u64; 2]> = Vec::new();
    for row in rows {
        match ranges.last_mut() {
            Some([_, last]) if *last + 1 == *row => *last = *row,
            _ => ranges.push([*row, *row]),
        }
    }
    ranges
}

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    for weight in &report.weights {
        out.findings.extend(equal(weight));
    }
}

fn equal(weight: &WeightRecord) -> Option<Finding> {
    let largest = weight.metric(ID, "equal_rows")?.get("largest")?.items().first()?;
    let count = largest.get("count")?.as_u64().filter(|count| *count >= FEWEST)?;
    let ranges = largest.get("ranges")?.items();
    let range = |range: &Value| {
        let [first, last] = [range.items().first()?.as_u64()?, range.items().get(1)?.as_u64()?];
        Some(if first == last { first.to_string() } else { format!("{first} to {last}") })
    };
    // Sets of positions apart from each other are copies of blocks, which the analyzer of positions tells as such.
    let is_copied = |range: &Value| range.items().first() == range.items().get(1);
    if weight.kind() == Kind::Position && ranges.iter().all(is_copied) {
        return None;
    }
    let places: Vec<String> = ranges.iter().take(3).filter_map(range).collect();
    let more = if ranges.len() > places.len() { ", ..." } else { "" };
    let mean = largest.get("is_mean").and_then(Value::as_bool) == Some(true);
    let how = if mean { ", the mean of the others" } else { "" };
    let [rows, _] = weight.matrix?;
    let (noun, why) = match weight.kind() {
        Kind::Position => ("positions", "filled in by a resize, or never reached in training"),
        _ => ("rows", "tokens that were added or reserved and never trained"),
    };
    let message =
        format!("{count} of {rows} {noun} are all equal{how} ({}{more}): {why}", places.join(", "));
    Some(
        Finding::new("integrity.equal-rows", Severity::Info, Some(&weight.name), message)
            .metric("equal_rows", count as f64)
            .advice("train them before their tokens are used, or leave those tokens out"),
    )
}
