//! What a conversion did to a weight that differs: nothing but rounding, another order, factors or a constant.

use weightscope_core::{AnalyzeError, Output, Unit, WeightView};

use crate::order::{Reordered, reordered};
use crate::parameters::STEPS;
use crate::probe::{Probe, Scaled};

/// Metrics of conversions.
pub(crate) const METRICS: [&str; 10] = [
    "storage_floor",
    "above_storage",
    "beyond_storage",
    "conversion",
    "conversion_residual",
    "conversion_least",
    "conversion_most",
    "conversion_lines",
    "conversion_order",
    "conversion_order_id",
];
/// Multiple of the expected rounding up to which a difference is rounding.
const ROUNDED: f64 = 1.5;
/// Share of B's norm that cannot be told from nothing in sums of squares.
const RESOLVED: f64 = 2e-7;
/// Share of a squared change that a conversion must explain where the rest is more than rounding, and the largest rest
/// as a share of B's norm.
const EXPLAINED: f64 = 0.99;
const LARGEST_REST: f64 = 0.1;
/// Relative L2 from which on such a change is taken for a conversion: training makes smaller ones that happen to look
/// like one.
const LARGE: f64 = 0.3;

/// Records what storing both of a pair that differs cost, and what a conversion explains of the rest.
///
/// # Errors
/// When the bytes cannot be read or decoded, or the run is stopped.
pub(crate) fn record(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let probe = Probe::of(unit, base, tuned)?;
    let [of_a, of_b] = probe.whole.energies;
    let floor = (probe.rounding[0] + probe.rounding[1]).sqrt();
    let relative = |x: f64| Some(x / of_a.sqrt()).filter(|x| x.is_finite());
    out.metric_or("storage_floor", relative(floor), "every value of BASE is zero");
    let above = Some(probe.whole.difference.sqrt() / floor).filter(|x| x.is_finite());
    out.metric_or("above_storage", above, "storing them loses nothing");
    out.metric_or("beyond_storage", probe.beyond, "not two number formats");
    let limit = if probe.has_steps { unit.value(&STEPS) } else { ROUNDED };
    let is_rounding =
        probe.beyond == Some(0.0) || (probe.has_steps && above.is_some_and(|above| above <= limit));
    let found = if is_rounding || of_a == 0.0 || of_b == 0.0 {
        None
    } else {
        find(unit, base, tuned, &probe, limit)?
    };
    let Some(found) = found else {
        let why = if is_rounding { "rounding explains the difference" } else { "none is known" };
        METRICS.iter().skip(3).for_each(|key| out.undefined(key, why));
        return Ok(());
    };
    let residual = (found.residual / of_b).sqrt();
    let why = "not of this conversion";
    out.metric("conversion", found.kind);
    // What sums cannot tell from nothing is nothing.
    out.metric("conversion_residual", if residual <= RESOLVED { 0.0 } else { residual });
    out.metric_or("conversion_least", found.range.map(|[least, _]| least), why);
    out.metric_or("conversion_most", found.range.map(|[_, most]| most), why);
    let order = found.order.as_ref();
    out.metric_or("conversion_lines", order.map(|order| order.moved), why);
    let pattern = order.and_then(|found| found.order);
    let named = pattern.map(|order| format!("{} of {}", order.name, order.block));
    out.metric_or("conversion_order", named, "no order that has a name");
    let id = order.and_then(|order| order.id).map(|id| format!("{id:016x}"));
    out.metric_or("conversion_order_id", id, why);
    Ok(())
}

/// A conversion that explains a change.
struct Found {
    kind: &'static str,
    residual: f64,
    range: Option<[f64; 2]>,
    order: Option<Reordered>,
}

fn find(
    unit: &Unit<'_>,
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
    probe: &Probe,
    limit: f64,
) -> Result<Option<Found>, AnalyzeError> {
    let [of_a, of_b] = probe.whole.energies;
    let change = probe.whole.difference;
    let floor = (limit * limit * probe.floor()).max(RESOLVED * RESOLVED * of_b);
    let is_exact = |residual: f64| residual <= floor && residual <= (1.0 - EXPLAINED) * change;
    let is_large = change >= LARGE * LARGE * of_a.min(of_b);
    let explains = |residual: f64| {
        is_exact(residual)
            || is_large
                && residual <= (1.0 - EXPLAINED) * change
                && residual <= LARGEST_REST * LARGEST_REST * of_b
    };
    let scaled = |found: Scaled| Found {
        kind: found.kind,
        residual: found.residual,
        range: Some(found.range),
        order: None,
    };
    let shifted = probe.shifted();
    let mut families: Vec<Scaled> = probe.scaled().collect();
    // A constant is one number, as a factor of the whole is.
    families.splice(
        1.min(families.len())..,
        shifted.into_iter().chain(families.clone().into_iter().skip(1)),
    );
    if let Some(found) = families.iter().find(|found| is_exact(found.residual)) {
        return Ok(Some(scaled(*found)));
    }
    if let Some(order) = reordered(unit, base, tuned, probe)?
        && explains(order.residual)
    {
        let (kind, residual) = (order.kind, order.residual);
        return Ok(Some(Found { kind, residual, range: None, order: Some(order) }));
    }
    // The fewest factors that explain about as much as the best do.
    let least = families.iter().map(|found| found.residual).fold(f64::INFINITY, f64::min);
    let best = families
        .into_iter()
        .find(|found| explains(found.residual) && found.residual <= NEARLY * least);
    Ok(best.map(scaled))
}

/// Residuals up to so many times the least explain about as much.
const NEARLY: f64 = 1.3;

/// Bytes of scratch for a weight of this size.
pub(crate) fn scratch(size: [u64; 2]) -> u64 {
    crate::probe::scratch(size).saturating_add(crate::order::scratch(size))
}

/// Says why a pair has none of these numbers.
pub(crate) fn undefined(why: &str, out: &mut Output) {
    for key in METRICS {
        out.undefined(key, why);
    }
}
