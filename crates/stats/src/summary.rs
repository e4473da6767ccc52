//! What one look at a tensor's values yields, shared by every analyzer.

use pulp::{Arch, NullaryFnOnce};

use crate::{Fours, Histogram, Ladder, Moments, Norms, PrefixKey};

/// Probabilities of [`Summary::quantiles`].
pub const QUANTILES: [f64; 9] = [0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999];
/// Probabilities of [`Summary::magnitude_quantiles`].
pub const MAGNITUDE_QUANTILES: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];
/// Thresholds of [`Summary::below`], in units of the weights.
pub const ABSOLUTE_THRESHOLDS: [f64; 5] = [1e-8, 1e-6, 1e-4, 1e-3, 1e-2];
/// Thresholds of [`Summary::below_rms`], in units of the tensor's root mean square.
pub const RELATIVE_THRESHOLDS: [f64; 3] = [1e-3, 1e-2, 1e-1];
/// Shares of [`Summary::pruned_energy`], in tenths.
pub const PRUNED_TENTHS: [u64; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Largest finite F16.
const F16_MAX: f64 = 65_504.0;
/// Half of the smallest F16 subnormal: at or below it a cast to F16 gives zero.
const F16_FLUSH: f64 = 1.0 / 33_554_432.0;
/// Largest finite F8_E4M3.
const E4M3_MAX: f64 = 448.0;
/// Energy that [`Summary::prunable`] may cost, as a share of the whole.
const PRUNABLE_LOSS: f64 = 0.01;

/// Counts of special values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All values.
    pub values: u64,
    /// Not-a-number values.
    pub nan: u64,
    /// Infinities of both signs.
    pub infinite: u64,
    /// Zeros of both signs.
    pub zero: u64,
    /// Non-zero values below the stored format's smallest normal number.
    pub subnormal: u64,
}

impl Tally {
    /// Counts `count` occurrences of `value`; `normal` is the stored format's smallest positive normal
    /// number (0 for integers).
    #[inline(always)]
    pub fn push(&mut self, value: f64, count: u64, normal: f64) {
        let magnitude = value.abs();
        self.values += count;
        self.nan += if value.is_nan() { count } else { 0 };
        self.infinite += if magnitude == f64::INFINITY { count } else { 0 };
        self.zero += if magnitude == 0.0 { count } else { 0 };
        self.subnormal += if magnitude > 0.0 && magnitude < normal { count } else { 0 };
    }

    /// Counts each of `values`, as vector code.
    pub fn push_all<T: PrefixKey>(&mut self, values: &[T], normal: f64) {
        Arch::new().dispatch(PushAll { tally: self, values, normal: T::from_f64(normal) });
    }

    /// Values that are neither NaN nor infinite.
    pub fn finite(&self) -> u64 {
        self.values - self.nan - self.infinite
    }
}

/// Counts values, compiled for each instruction set. Not a closure, which is not always inlined into pulp's
/// function and then does not get its instructions.
struct PushAll<'a, T> {
    tally: &'a mut Tally,
    values: &'a [T],
    normal: T,
}

impl<T: PrefixKey> NullaryFnOnce for PushAll<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { tally, values, normal } = self;
        for part in values.chunks(4096) {
            let (mut nan, mut infinite, mut zero, mut tiny) = (0u32, 0u32, 0u32, 0u32);
            for value in part {
                let magnitude = value.magnitude();
                nan += u32::from(value.partial_cmp(value).is_none());
                infinite += u32::from(magnitude == T::INFINITY);
                zero += u32::from(magnitude == T::ZERO);
                tiny += u32::from(magnitude < normal);
            }
            tally.values += part.len() as u64;
            tally.nan += u64::from(nan);
            tally.infinite += u64::from(infinite);
            tally.zero += u64::from(zero);
            // Zeros are tiny, too, unless the format has no smallest normal number.
            tally.subnormal += u64::from(if normal > T::ZERO { tiny - zero } else { 0 });
        }
    }
}

/// What a [`Ladder`] must answer exactly, so that a coarse one is refined only there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Demands {
    /// Quantiles of the signed values.
    pub quantiles: Vec<f64>,
    /// Quantiles of the magnitudes.
    pub magnitude_quantiles: Vec<f64>,
    /// Magnitudes to count below and up to.
    pub thresholds: Vec<f64>,
    /// Numbers of smallest magnitudes whose energy is asked for.
    pub pruned_counts: Vec<u64>,
    /// Energy up to which smallest magnitudes are counted.
    pub pruned_energy: Option<f64>,
    /// Mean and standard deviation of the normal to compare with, and of the histogram.
    pub normal: Option<(f64, f64)>,
}

impl Demands {
    /// What a [`Summary`] of values with these moments reads.
    pub fn of(moments: Option<&Moments>) -> Self {
        let mut demands = Self {
            quantiles: QUANTILES.to_vec(),
            magnitude_quantiles: MAGNITUDE_QUANTILES.to_vec(),
            thresholds: ABSOLUTE_THRESHOLDS
                .into_iter()
                .chain([F16_MAX, F16_FLUSH, E4M3_MAX])
                .collect(),
            ..Self::default()
        };
        if let Some(moments) = moments {
            demands.thresholds.extend(RELATIVE_THRESHOLDS.map(|t| t * moments.rms()));
            demands.pruned_counts = PRUNED_TENTHS.map(|tenths| pruned(moments.n, tenths)).to_vec();
            demands.pruned_energy = Some(PRUNABLE_LOSS * moments.energy);
            demands.normal = Some((moments.mean, moments.std()));
        }
        demands
    }
}

/// How many of `n` values are pruned at so many tenths.
fn pruned(n: u64, tenths: u64) -> u64 {
    // Split so that the product cannot overflow.
    n / 10 * tenths + n % 10 * tenths / 10
}

/// Statistics of one tensor. Everything but [`Summary::tally`] is over its finite values.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Counts of special values.
    pub tally: Tally,
    /// Moments; `None` when no value is finite.
    pub moments: Option<Moments>,
    /// Smallest and largest value.
    pub extremes: Option<(f64, f64)>,
    /// Quantiles at [`QUANTILES`]; empty when no value is finite.
    pub quantiles: Vec<f64>,
    /// Two-sided Kolmogorov-Smirnov distance to the normal with the same mean and deviation.
    pub ks_statistic: Option<f64>,
    /// Distinct values (-0 and +0 are one), known for 8- and 16-bit formats and for small tensors.
    pub distinct: Option<u64>,
    /// Histogram over mean ± 6 standard deviations; `None` when all values are equal.
    pub histogram: Option<Histogram>,
    /// Counts of magnitudes below each of [`ABSOLUTE_THRESHOLDS`].
    pub below: [u64; 5],
    /// Counts of magnitudes below each of [`RELATIVE_THRESHOLDS`] times the root mean square.
    pub below_rms: [u64; 3],
    /// Magnitudes above 65 504, which F16 cannot hold.
    pub above_f16: u64,
    /// Non-zero magnitudes up to 2^-25, which F16 rounds to zero.
    pub flushed_by_f16: u64,
    /// Magnitudes above 448, which F8_E4M3 cannot hold.
    pub above_e4m3: u64,
    /// Quantiles of the magnitudes at [`MAGNITUDE_QUANTILES`].
    pub magnitude_quantiles: Vec<f64>,
    /// Energy of the smallest `n * tenths / 10` magnitudes, for each of [`PRUNED_TENTHS`].
    pub pruned_energy: [f64; 9],
    /// Largest number of smallest magnitudes that hold at most 1 % of the energy together.
    pub prunable: u64,
    /// How often every value occurs, known for 8- and 16-bit formats and for small tensors.
    pub exact: Option<Ladder>,
    /// Row and column energies of a matrix, as stored.
    pub norms: Option<Norms>,
    /// Groups of four along the input axis of a matrix.
    pub fours: Option<Fours>,
    /// Fingerprint of the stored bytes.
    pub content_hash: u128,
    /// Random projection of a sample of rows, see [`crate::Sketch::to_hex`].
    pub sketch: String,
}

impl Summary {
    /// Reads everything order-free from a ladder whose [`Ladder::unresolved`] is empty for
    /// [`Demands::of`] the same moments. The norms, the hash and the sketch are the caller's to fill.
    pub fn new(tally: Tally, ladder: &Ladder, moments: Option<Moments>) -> Self {
        let normal = moments.map(|m| (m.mean, m.std()));
        let rms = moments.map_or(0.0, |m| m.rms());
        let zero = tally.zero;
        let above = |t| ladder.len() - ladder.count_up_to(t);
        Self {
            tally,
            moments,
            extremes: ladder.extremes(),
            quantiles: ladder.quantiles(&QUANTILES),
            ks_statistic: normal.and_then(|(mean, std)| ladder.ks_statistic(mean, std)),
            distinct: None,
            histogram: normal.and_then(|(mean, std)| ladder.histogram(mean, std)),
            below: ABSOLUTE_THRESHOLDS.map(|t| ladder.count_below(t)),
            below_rms: RELATIVE_THRESHOLDS.map(|t| ladder.count_below(t * rms)),
            above_f16: above(F16_MAX),
            flushed_by_f16: ladder.count_up_to(F16_FLUSH).saturating_sub(zero),
            above_e4m3: above(E4M3_MAX),
            magnitude_quantiles: ladder.magnitude_quantiles(&MAGNITUDE_QUANTILES),
            pruned_energy: PRUNED_TENTHS
                .map(|tenths| ladder.energy_of_smallest(pruned(ladder.len(), tenths))),
            prunable: ladder.smallest_within(PRUNABLE_LOSS * moments.map_or(0.0, |m| m.energy)),
            exact: None,
            norms: None,
            fours: None,
            content_hash: 0,
            sketch: String::new(),
        }
    }

    /// Fills what only an exact ladder knows, the number of distinct values, and keeps it.
    #[must_use]
    pub fn with_exact(mut self, ladder: Ladder) -> Self {
        self.distinct = Some(ladder.distinct());
        self.exact = Some(ladder);
        self
    }

    /// Whether all values are finite.
    pub fn all_finite(&self) -> bool {
        self.tally.finite() == self.tally.values
    }

    /// Whether there are at least two values, all finite and equal.
    pub fn is_constant(&self) -> bool {
        self.tally.values >= 2
            && self.all_finite()
            && self.extremes.is_some_and(|(min, max)| min == max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_values_are_counted_apart() {
        let values = [1.0, 0.0, -0.0, f64::NAN, f64::INFINITY, 1e-40, 70_000.0, 1e-8];
        let mut tally = Tally::default();
        for v in values {
            tally.push(v, 1, f64::from(f32::MIN_POSITIVE));
        }
        let ladder = Ladder::from_values(values.to_vec());
        let summary = Summary::new(tally, &ladder, ladder.moments()).with_exact(ladder);
        assert_eq!(
            (tally.nan, tally.infinite, tally.zero, tally.subnormal, tally.finite()),
            (1, 1, 2, 1, 6)
        );
        assert_eq!((summary.above_f16, summary.flushed_by_f16, summary.above_e4m3), (1, 2, 1));
        assert_eq!(summary.distinct, Some(5));
        assert!(!summary.is_constant());
    }
}
