//! Measurements as metrics.

use weightscope_core::stats::{Moments, Norms, Summary, log_norm_z, median, quantile_sorted};
use weightscope_core::{Key, Output, Value, WeightView};

use crate::baseline::normal_db;
use crate::measure::{Measured, SchemeErrors};
use crate::{figures, is_matrix};

/// Column norms over the median from which on a column is an outlier, and is counted as large.
const OUTLIER_RATIO: f64 = 8.0;
const LARGE_RATIO: f64 = 3.0;
/// Indices that are listed.
const FIRST: usize = 16;
/// An error below this share of the energy is the rounding of scales to two `f32`: none.
const NOTHING: f64 = 1e-24;

const NO_VALUES: &str = "no finite values";
const ALL_ZERO: &str = "all values are zero";
const NOT_MATRIX: &str = "not a matrix";

/// Metrics and figures of one weight; `measured` is why there is no more than the summary.
pub(crate) fn record(
    view: &WeightView<'_>,
    summary: &Summary,
    measured: Result<&Measured, &str>,
    out: &mut Output,
) {
    let moments = summary.moments.as_ref();
    let abs_max = summary.extremes.map(|(low, high)| low.abs().max(high.abs()));
    let over = |scale: Option<f64>| Some(abs_max? / scale.filter(|s| *s > 0.0 && s.is_finite())?);
    let why = match moments {
        None => NO_VALUES,
        Some(m) if m.energy > 0.0 => "the sum of squares overflows",
        Some(_) => ALL_ZERO,
    };
    out.metric_or("dynamic_range", over(moments.map(|m| m.mean_abs)), why);
    out.metric_or("crest_factor", over(moments.map(Moments::rms)), why);
    let values = summary.tally.finite() as f64;
    let shares = ["outliers_3sigma", "outliers_6sigma", "outliers_iqr_1_5", "outliers_iqr_3"];
    for (place, key) in shares.into_iter().enumerate() {
        let counted = match &measured {
            Ok(measured) => Ok(measured.outside[place]),
            // Values that are not finite are left out of the counts, and of the fences.
            Err(why) => crate::outliers::count(summary)[place].ok_or(*why),
        };
        match counted {
            Ok(count) => out.metric(key, count as f64 / values),
            Err(why) => out.undefined(key, why),
        }
    }
    let weight = view.weight();
    let matrix = weight.matrix.filter(|_| is_matrix(weight));
    let Some(size) = matrix else {
        for key in ["outlier_columns", "super_weights", "largest_over_second", "channel_abs_max"] {
            out.undefined(key, NOT_MATRIX);
        }
        return schemes(summary, view.size(), measured, out);
    };
    let norms = summary.norms.as_ref().filter(|_| moments.is_some());
    let columns = norms.and_then(|norms| columns(norms, weight.transposed, size));
    out.metric_or("outlier_columns", columns, "the median column is zero");
    match &measured {
        Ok(measured) => {
            let rms = moments.map_or(0.0, Moments::rms);
            out.metric("super_weights", super_weights(measured, rms));
            let alone = measured.largest.over_second();
            out.metric_or("largest_over_second", alone, "there is no second one");
            let channels = channels(&measured.channel_abs_max);
            out.metric_or("channel_abs_max", channels, "the median row is zero");
            out.figures.extend(figures::channels(&measured.channel_abs_max));
        }
        Err(why) => {
            for key in ["super_weights", "largest_over_second", "channel_abs_max"] {
                out.undefined(key, *why);
            }
        }
    }
    schemes(summary, size, measured, out);
}

fn columns(norms: &Norms, transposed: bool, [out, _]: [u64; 2]) -> Option<Value> {
    let energies = if transposed { &norms.rows } else { &norms.columns };
    let norms: Vec<f64> = energies.iter().map(|e| e.sqrt()).collect();
    let middle = median(&norms).filter(|m| *m > 0.0)?;
    let above = |ratio: f64| {
        (0u64..).zip(&norms).filter(move |(_, n)| **n > ratio * middle).map(|(column, _)| column)
    };
    let mut largest = (0u64, 0.0);
    for (column, norm) in (0..).zip(&norms) {
        if *norm > largest.1 {
            largest = (column, *norm);
        }
    }
    let z = log_norm_z(&norms, out).into_iter().fold(f64::NEG_INFINITY, f64::max);
    let largest = Value::map([
        ("column", largest.0.into()),
        ("ratio", (largest.1 / middle).into()),
        ("z", z.into()),
    ]);
    Some(Value::map([
        ("count", (above(OUTLIER_RATIO).count() as u64).into()),
        ("first", above(OUTLIER_RATIO).take(FIRST).collect()),
        ("largest", largest),
        ("above_3", (above(LARGE_RATIO).count() as u64).into()),
    ]))
}

fn super_weights(measured: &Measured, rms: f64) -> Value {
    let listed = measured.largest.above_line().map(|v| {
        let value = f64::from(v.value);
        Value::map([
            ("row", v.row.into()),
            ("column", v.column.into()),
            ("value", value.into()),
            ("ratio", (value.abs() / rms).into()),
        ])
    });
    Value::List(listed.collect())
}

fn channels(abs_max: &[f32]) -> Option<Value> {
    let mut sorted: Vec<f64> = abs_max.iter().map(|m| f64::from(*m)).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let quartiles = [0.25, 0.5, 0.75].map(|p| quantile_sorted(&sorted, p).unwrap_or(0.0));
    let [_, middle, _] = quartiles;
    let largest = *sorted.last().filter(|_| middle > 0.0)?;
    let row = abs_max.iter().position(|m| f64::from(*m) == largest)? as u64;
    let largest = Value::map([("row", row.into()), ("ratio", (largest / middle).into())]);
    Some(Value::map([("quartiles", quartiles.into_iter().collect()), ("largest", largest)]))
}

fn schemes(summary: &Summary, size: [u64; 2], measured: Result<&Measured, &str>, out: &mut Output) {
    match (measured, &summary.moments) {
        (Ok(measured), Some(moments)) => {
            let row = |row: &SchemeErrors| {
                let whole = Whole {
                    values: summary.tally.values as f64,
                    energy: moments.energy,
                    rms: moments.rms(),
                    above_f16: summary.above_f16,
                };
                scheme(row, size, &whole)
            };
            out.metric("schemes", Value::List(measured.schemes.iter().map(row).collect()));
            out.figures.push(figures::schemes(&measured.schemes, moments.energy));
        }
        (Err(why), _) => out.undefined("schemes", why),
        (_, None) => out.undefined("schemes", NO_VALUES),
    }
}

/// What all schemes of a weight are held against.
struct Whole {
    values: f64,
    energy: f64,
    rms: f64,
    above_f16: u64,
}

/// Signal-to-noise ratio in decibels; `None` where nothing is lost or the error is not finite.
pub(crate) fn sqnr_db(row: &SchemeErrors, energy: f64) -> Option<f64> {
    let is_lost = row.energy > NOTHING * energy && row.energy.is_finite();
    is_lost.then(|| 10.0 * (energy / row.energy).log10())
}

fn scheme(row: &SchemeErrors, size: [u64; 2], whole: &Whole) -> Value {
    let mut entries = vec![
        ("scheme", Value::Text(row.scheme.name.to_owned())),
        ("bits_per_weight", row.scheme.bits_per_weight(size).into()),
    ];
    let sqnr = sqnr_db(row, whole.energy);
    let normal = normal_db(row.scheme, size, whole.rms);
    let excess = sqnr.and_then(|sqnr| Some(normal? - sqnr));
    let number = |x: Option<f64>| x.map_or(Value::Null, Value::from);
    let is_finite = row.energy.is_finite() && row.largest.is_finite();
    let (error, note) = if !is_finite {
        let note = match row.scheme.name {
            "f16" => format!("{} values beyond 65504", whole.above_f16),
            _ => "a scale or a value overflows".to_owned(),
        };
        (None, Some(note))
    } else if sqnr.is_none() {
        (Some([0.0, 0.0, 1.0]), Some("lossless".to_owned()))
    } else {
        let restored = whole.energy - 2.0 * row.cross + row.energy;
        let cosine = (whole.energy - row.cross) / (whole.energy * restored).sqrt();
        (Some([row.energy / whole.values, row.largest, cosine]), None)
    };
    entries.push(("sqnr_db", number(sqnr)));
    for (place, key) in ["mse", "max_abs_error", "cosine"].into_iter().enumerate() {
        let value = error.map(|numbers| numbers[place]).filter(|x| x.is_finite());
        entries.push((key, number(value)));
    }
    entries.push(("excess_db", number(excess)));
    entries.extend(note.map(|note| ("note", Value::Text(note))));
    Value::Map(entries.into_iter().map(|(key, value)| (Key::Borrowed(key), value)).collect())
}
