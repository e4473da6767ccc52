//! Metrics of one tensor.

use weightscope_core::stats::{
    ABSOLUTE_THRESHOLDS, MAGNITUDE_QUANTILES, Moments, PRUNED_TENTHS, RELATIVE_THRESHOLDS, Summary,
};
use weightscope_core::{Output, Value, Weight};

use crate::{indices, norms, reference};

const NO_VALUES: &str = "no finite values";
const NO_ENERGY: &str = "all values are zero";
const OVERFLOWS: &str = "the energy overflows";

pub(crate) fn measure(weight: &Weight, summary: &Summary, dead_norm: f64, out: &mut Output) {
    let n = summary.tally.finite();
    let share = |count: u64| (n > 0).then(|| count as f64 / n as f64);
    out.metric_or("zero_fraction", share(summary.tally.zero), NO_VALUES);
    let thresholds = |lines: &[f64], counts: &[u64]| {
        (n > 0).then(|| -> Value {
            let rows = lines.iter().zip(counts);
            rows.map(|(t, c)| {
                Value::map([
                    ("threshold", (*t).into()),
                    ("fraction", (*c as f64 / n as f64).into()),
                ])
            })
            .collect()
        })
    };
    out.metric_or("below", thresholds(&ABSOLUTE_THRESHOLDS, &summary.below), NO_VALUES);
    let overflows = summary.moments.as_ref().is_some_and(|m| !m.energy.is_finite());
    let relative = thresholds(&RELATIVE_THRESHOLDS, &summary.below_rms).filter(|_| !overflows);
    out.metric_or("below_rms", relative, if overflows { OVERFLOWS } else { NO_VALUES });
    if weight.matrix.is_some_and(|[out, input]| out.min(input) >= 2) {
        lines(weight, summary, dead_norm, out);
        groups_of_four(summary, out);
    }
    let why = match n {
        0 | 1 => "fewer than two values",
        _ if overflows => OVERFLOWS,
        _ => NO_ENERGY,
    };
    out.metric_or("hoyer", summary.moments.as_ref().and_then(hoyer), why);
    magnitudes(summary, out);
}

/// Zero and dead rows and columns of `[out, in]`.
fn lines(weight: &Weight, summary: &Summary, dead_norm: f64, out: &mut Output) {
    let Some(stored) = &summary.norms else { return };
    let (rows, columns) = if weight.transposed {
        (&stored.columns, &stored.rows)
    } else {
        (&stored.rows, &stored.columns)
    };
    for (zero, dead, energies) in
        [("zero_rows", "dead_rows", rows), ("zero_columns", "dead_columns", columns)]
    {
        if summary.tally.finite() == 0 {
            out.undefined(zero, NO_VALUES);
            out.undefined(dead, NO_VALUES);
            continue;
        }
        out.metric(zero, indices(energies, 0.0));
        let norms = norms(energies);
        out.metric(dead, indices(&norms, dead_norm * reference(&norms)));
    }
}

fn groups_of_four(summary: &Summary, out: &mut Output) {
    let fours = summary.fours.as_ref().filter(|_| summary.tally.finite() > 0);
    let why = if summary.tally.finite() == 0 { NO_VALUES } else { "fewer than four inputs" };
    out.metric_or("nm_2_4_fraction", fours.map(|f| f.sparse as f64 / f.groups as f64), why);
    let energy = summary.moments.as_ref().map_or(0.0, |m| m.energy);
    let why = if fours.is_some() { NO_ENERGY } else { why };
    out.metric_or(
        "nm_2_4_energy_loss",
        fours.filter(|_| energy > 0.0).map(|f| f.pruned_energy / energy),
        why,
    );
}

/// (sqrt n - l1/l2)/(sqrt n - 1); `None` for fewer than two values, and without a finite energy above zero.
fn hoyer(moments: &Moments) -> Option<f64> {
    let root = (moments.n as f64).sqrt();
    let l1 = moments.mean_abs * moments.n as f64;
    // Rounding can put equal magnitudes a little below 0, which `max` takes away; it would take NaN too.
    (moments.n >= 2 && moments.energy > 0.0 && moments.energy.is_finite())
        .then(|| ((root - l1 / moments.energy.sqrt()) / (root - 1.0)).max(0.0))
}

fn magnitudes(summary: &Summary, out: &mut Output) {
    let keys = ["p10", "p25", "p50", "p75", "p90"];
    let quantiles: [Option<f64>; MAGNITUDE_QUANTILES.len()] =
        std::array::from_fn(|index| summary.magnitude_quantiles.get(index).copied());
    let known = quantiles.iter().all(Option::is_some);
    let quantile = |index: usize| (keys[index], quantiles[index].map_or(Value::Null, Value::from));
    let map = known
        .then(|| Value::map([quantile(0), quantile(1), quantile(2), quantile(3), quantile(4)]));
    out.metric_or("magnitude_quantiles", map, NO_VALUES);
    let n = summary.tally.finite();
    let energy = summary.moments.as_ref().map_or(0.0, |m| m.energy);
    let why = if n == 0 { NO_VALUES } else { NO_ENERGY };
    let usable = energy > 0.0 && energy.is_finite();
    let why = if energy.is_finite() { why } else { OVERFLOWS };
    let kept = usable.then(|| -> Value {
        let rows = PRUNED_TENTHS.iter().zip(&summary.pruned_energy);
        rows.map(|(tenths, lost)| {
            Value::map([
                ("pruned", (*tenths as f64 / 10.0).into()),
                ("kept", (1.0 - lost / energy).into()),
            ])
        })
        .collect()
    });
    out.metric_or("energy_kept_at", kept, why);
    out.metric_or("prunable", usable.then(|| summary.prunable as f64 / n as f64), why);
}
