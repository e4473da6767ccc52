//! Where the correlation of neighbouring positions falls at one place and stays low: what lies behind was trained
//! less, or added.

use weightscope_core::stats::median;

/// Correlations on both sides of a fall that have to show it.
const SIDE: usize = 16;
/// Least share of the correlations on either side that lie on their side of the middle.
const APART: f64 = 0.9;
/// Standard errors that a fall has to be, beside its size.
const ERRORS: f64 = 5.0;
/// Standard error of a median in units of that of a mean, sqrt(pi/2).
const OF_MEDIAN: f64 = 1.2533;

/// A fall of the correlation of neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Break {
    /// The first position behind it.
    pub(crate) first: usize,
    /// Median correlation of neighbours before it and from there on.
    pub(crate) levels: [f64; 2],
}

/// The one place where the correlations of neighbours fall by `least` or more and stay low.
///
/// `correlations[i]` ties position i to i + 1; NaN where one of them is constant. The place is where the sum of squares
/// between both sides is largest (a single change of the mean by least squares, Page 1955), which prefix sums tell of
/// every place in one pass. Medians over all of both sides and over those next to the place have to differ, so that
/// neither a slow decline nor the dips at the ends of the rows of a grid are breaks.
pub(crate) fn find(correlations: &[f64], width: u64, least: f64) -> Option<Break> {
    let known: Vec<(usize, f64)> =
        correlations.iter().copied().enumerate().filter(|(_, r)| r.is_finite()).collect();
    let values: Vec<f64> = known.iter().map(|(_, r)| *r).collect();
    let whole: f64 = values.iter().sum();
    let count = values.len() as f64;
    let mut sum = 0.0;
    let mut best = (0.0, 0);
    for (index, value) in values.iter().enumerate() {
        let before = index as f64;
        if index >= SIDE && index + SIDE <= values.len() {
            let fall = sum / before - (whole - sum) / (count - before);
            let between = before * (count - before) * fall * fall;
            if fall > 0.0 && between > best.0 {
                best = (between, index);
            }
        }
        sum += value;
    }
    let place = best.1;
    let (before, after) = values.split_at_checked(place).filter(|_| place > 0)?;
    let levels = [median(before)?, median(after)?];
    let near = [median(before.get(place - SIDE..)?)?, median(after.get(..SIDE)?)?];
    let [upper, lower] = near;
    // The error of a correlation of `width` pairs (Fisher 1915), of the medians of those next to the place.
    let error = |r: f64| OF_MEDIAN * (1.0 - r * r) / (width as f64 * SIDE as f64).sqrt();
    let noise = ERRORS * error(upper).hypot(error(lower));
    let middle = f64::midpoint(levels[0], levels[1]);
    let share = |part: &[f64], is_there: &dyn Fn(f64) -> bool| {
        part.iter().filter(|r| is_there(**r)).count() as f64 >= APART * part.len() as f64
    };
    let is_break = levels[0] - levels[1] >= least
        && upper - lower >= least.max(noise)
        && share(before, &|r| r > middle)
        && share(after, &|r| r < middle);
    let (tie, _) = known.get(place)?;
    is_break.then_some(Break { first: tie + 1, levels })
}
