//! What a conversion did to a weight that differs: nothing but rounding, another order, factors or a constant.

use weightscope_core::{AnalyzeError, Output, Unit, WeightView};

use crate::bands::Arrangement;
use crate::order::{self, reordered, shuffled};
use crate::parameters::STEPS;
use crate::probe::{Probe, Scaled};

/// Metrics of conversions.
pub(crate) const METRICS: [&str; 12] = [
    "storage_floor",
    "above_storage",
    "beyond_storage",
    "conversion",
    "conversion_residual",
    "conversion_factors",
    "conversion_least",
    "conversion_most",
    "conversion_shift",
    "conversion_lines",
    "conversion_order",
    "conversion_order_id",
];
/// Multiple of the expected rounding up to which a difference is rounding.
const ROUNDED: f64 = 1.5;
/// Share of B's norm that cannot be told from nothing in sums of squares.
const RESOLVED: f64 = 2e-7;
/// Multiple of the square of that below which nothing is said to be a conversion.
const SEEN: f64 = 100.0;
/// Share of a squared change that a conversion must explain where the rest is more than rounding, and the largest rest
/// as a share of B's norm.
const EXPLAINED: f64 = 0.99;
const LARGEST_REST: f64 = 0.1;
/// Relative L2 from which on such a change is taken for a conversion: training makes smaller ones that happen to look
/// like one.
const LARGE: f64 = 0.3;
/// Residuals up to so many times the least explain about as much.
const NEARLY: f64 = 1.3;

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
    let probe = Probe::of(unit, base, tuned, &Arrangement::default())?;
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
    let found = if of_a > 0.0
        && let Some(found) = on_grid(&probe, is_rounding)
    {
        Some(found)
    } else if is_rounding || of_a == 0.0 || of_b == 0.0 {
        None
    } else {
        find(unit, [base, tuned], &probe, limit)?
    };
    let Some(found) = found else {
        let why = if is_rounding { "rounding explains the difference" } else { "none is known" };
        METRICS.iter().skip(3).for_each(|key| out.undefined(key, why));
        return Ok(());
    };
    let residual = if of_b > 0.0 { (found.residual / of_b).sqrt() } else { 0.0 };
    let why = "not of this conversion";
    out.metric("conversion", found.kind);
    // What sums cannot tell from nothing is nothing.
    out.metric("conversion_residual", if residual <= RESOLVED { 0.0 } else { residual });
    let factors = found.factors.as_ref();
    out.metric_or("conversion_factors", factors.map(|factors| factors.kind), why);
    out.metric_or("conversion_least", factors.map(|factors| factors.range[0]), why);
    out.metric_or("conversion_most", factors.map(|factors| factors.range[1]), why);
    let shift = factors.filter(|factors| factors.kind == "scaled-and-shifted").map(|f| f.shift);
    out.metric_or("conversion_shift", shift, why);
    out.metric_or("conversion_lines", Some(found.moved).filter(|moved| *moved > 0), why);
    let named = found.order.map(|order| format!("{} of {}", order.name, order.block));
    out.metric_or("conversion_order", named.or(found.place), "no order that has a name");
    out.metric_or("conversion_order_id", found.id.map(|id| format!("{id:016x}")), why);
    Ok(())
}

/// A conversion that explains a change.
struct Found {
    kind: &'static str,
    residual: f64,
    /// What was done to the values beside their order.
    factors: Option<Scaled>,
    moved: u64,
    order: Option<order::Order>,
    id: Option<u64>,
    /// Which values were zeroed.
    place: Option<String>,
}

impl Found {
    fn new(kind: &'static str, residual: f64) -> Self {
        Self { kind, residual, factors: None, moved: 0, order: None, id: None, place: None }
    }

    fn scaled(factors: Scaled) -> Self {
        Self { factors: Some(factors), ..Self::new(factors.kind, factors.residual) }
    }
}

/// Relative L2 up to which values on a grid are the same ones, rounded to it.
const ROUNDED_TO_GRID: f64 = 0.3;
/// Share of the values that must be zeroed before it is said of a weight.
const ZEROED: f64 = 1e-3;

/// What sets values to zero or to one value, or rounds them to a few.
fn on_grid(probe: &Probe, is_rounding: bool) -> Option<Found> {
    let grids = &probe.grids;
    let [of_a, of_b] = probe.whole.energies;
    let change = probe.whole.difference;
    let [[a_low, a_high], [b_low, b_high]] = grids.ranges;
    if of_b == 0.0 {
        let place = Some("all".to_owned());
        return Some(Found { place, ..Found::new("zeroed", 0.0) });
    }
    if b_low == b_high && a_low != a_high {
        let factors = Scaled { kind: "constant", residual: 0.0, range: [b_low; 2], shift: 0.0 };
        return Some(Found::scaled(factors));
    }
    if is_rounding {
        return None;
    }
    let count = probe.size().into_iter().product::<usize>().max(1) as f64;
    let floor = ROUNDED * ROUNDED * probe.floor();
    if grids.zeroed as f64 >= ZEROED * count
        && grids.kept <= (1.0 - EXPLAINED) * change
        && grids.kept <= floor
    {
        let place = Some(zeroed_place(probe));
        return Some(Found { place, ..Found::new("zeroed", grids.kept) });
    }
    if grids.is_flushed() {
        return Some(Found::new("f16-flushed", change));
    }
    let is_near = change <= ROUNDED_TO_GRID * ROUNDED_TO_GRID * of_a;
    probe.rounded().filter(|_| is_near).map(|kind| Found::new(kind, change))
}

/// Which values were zeroed: rows or columns, two of four, or any.
fn zeroed_place(probe: &Probe) -> String {
    for (lines, noun) in [(&probe.rows, "rows"), (&probe.columns, "columns")] {
        let gone: Vec<usize> = (0..)
            .zip(lines)
            .filter(|(_, line)| line.energies[0] > 0.0 && line.energies[1] == 0.0)
            .map(|(index, _)| index)
            .collect();
        let energy: f64 = gone.iter().filter_map(|i| lines.get(*i)).map(|l| l.difference).sum();
        if let [first, .., last] = gone[..]
            && lines.len() > 1
            && energy >= EXPLAINED * probe.whole.difference
        {
            return if last - first + 1 == gone.len() {
                format!("{noun} {first} to {last}")
            } else {
                format!("{} {noun}", gone.len())
            };
        }
    }
    let share = 100.0 * probe.grids.zeroed as f64
        / probe.size().into_iter().product::<usize>().max(1) as f64;
    if probe.grids.two_of_four {
        format!("{share:.0} % of the values, 2 of 4 in a row")
    } else {
        format!("{share:.0} % of the values")
    }
}

/// When a rest is small enough.
struct Line {
    /// Rounding, or what sums cannot resolve.
    floor: f64,
    /// The whole squared change.
    change: f64,
    of_b: f64,
    /// Whether the change is larger than training makes.
    is_large: bool,
}

impl Line {
    /// Whether no more than rounding is left.
    fn is_exact(&self, residual: f64) -> bool {
        residual <= self.floor && residual <= (1.0 - EXPLAINED) * self.change
    }

    fn explains(&self, residual: f64) -> bool {
        self.is_exact(residual)
            || self.is_large
                && residual <= (1.0 - EXPLAINED) * self.change
                && residual <= LARGEST_REST * LARGEST_REST * self.of_b
    }

    /// The first of `families` that explains all; else the first that explains about as much as the best does.
    fn simplest(&self, families: &[Scaled]) -> Option<Scaled> {
        let exact = families.iter().find(|found| self.is_exact(found.residual));
        let least = families.iter().map(|found| found.residual).fold(f64::INFINITY, f64::min);
        let nearly =
            |found: &&Scaled| self.explains(found.residual) && found.residual <= NEARLY * least;
        exact.or_else(|| families.iter().find(nearly)).copied()
    }
}

/// Factors and constants that a probe may be explained by, those with fewest numbers first.
fn families(probe: &Probe) -> Vec<Scaled> {
    let mut families: Vec<Scaled> = probe.scaled().collect();
    // A constant is one number, as a factor of the whole is, and both together are two.
    let at = 1.min(families.len());
    families.splice(at..at, probe.shifted());
    families
}

fn find(
    unit: &Unit<'_>,
    views: [&WeightView<'_>; 2],
    probe: &Probe,
    limit: f64,
) -> Result<Option<Found>, AnalyzeError> {
    let [of_a, of_b] = probe.whole.energies;
    let change = probe.whole.difference;
    let line = Line {
        floor: (limit * limit * probe.floor()).max(RESOLVED * RESOLVED * of_b),
        change,
        of_b,
        is_large: change >= LARGE * LARGE * of_a.min(of_b),
    };
    if change <= SEEN * RESOLVED * RESOLVED * of_b {
        // Sums of squares cannot tell what explains so little.
        return Ok(None);
    }
    let mut direct = families(probe);
    let is_vector = probe.size().into_iter().min() <= Some(1);
    if is_vector && !line.is_large {
        // An optimiser's steps of one size move all gains alike.
        direct.retain(|family| !family.kind.ends_with("shifted"));
    }
    if let Some(found) = direct.iter().find(|found| line.is_exact(found.residual)) {
        return Ok(Some(Found::scaled(*found)));
    }
    let arranged = if is_vector {
        vector(unit, views, probe, &line)?
    } else {
        matrix(unit, views, probe, &line)?
    };
    Ok(arranged.or_else(|| line.simplest(&direct).map(Found::scaled)))
}

/// Rows and columns of a matrix in other places.
fn matrix(
    unit: &Unit<'_>,
    views: [&WeightView<'_>; 2],
    probe: &Probe,
    line: &Line,
) -> Result<Option<Found>, AnalyzeError> {
    let Some(found) = reordered(unit, views, probe, line.is_large)? else { return Ok(None) };
    let plain = found.probe.whole.difference;
    let mut choices = vec![Scaled { kind: "", residual: plain, range: [1.0; 2], shift: 0.0 }];
    choices.extend(families(&found.probe));
    Ok(line.simplest(&choices).map(|choice| Found {
        factors: Some(choice).filter(|choice| !choice.kind.is_empty()),
        moved: found.arrangement.moved(),
        order: found.order,
        id: found.id,
        ..Found::new(found.kind(), choice.residual)
    }))
}

/// Values of a vector in other places.
fn vector(
    unit: &Unit<'_>,
    views: [&WeightView<'_>; 2],
    probe: &Probe,
    line: &Line,
) -> Result<Option<Found>, AnalyzeError> {
    let Some(found) = shuffled(unit, views, probe, line.is_large)? else { return Ok(None) };
    let kind = match found.change {
        [1.0, 0.0] => None,
        [_, 0.0] => Some("scaled"),
        [1.0, _] => Some("shifted"),
        _ => Some("scaled-and-shifted"),
    };
    let [factor, shift] = found.change;
    let range = [if kind == Some("shifted") { shift } else { factor }; 2];
    let residual = found.residual;
    Ok(Some(Found {
        factors: kind.map(|kind| Scaled { kind, residual, range, shift }),
        moved: found.moved,
        ..Found::new("values-permuted", residual)
    }))
}

/// Bytes of scratch for a weight of this size.
pub(crate) fn scratch(size: [u64; 2]) -> u64 {
    crate::probe::scratch(size).saturating_add(order::scratch(size))
}

/// Says why a pair has none of these numbers.
pub(crate) fn undefined(why: &str, out: &mut Output) {
    for key in METRICS {
        out.undefined(key, why);
    }
}
