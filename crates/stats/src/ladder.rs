//! The multiset of a tensor's finite values, ascending by magnitude.

use crate::histogram::HistogramCounter;
use crate::normal::{NEAR_ERROR, NearCdf};
use std::cmp::Ordering;

use crate::robust::{lerp, rank};
use crate::{Demands, Histogram, Moments, normal_cdf};

/// All values whose magnitude lies in `low..=high`, how many of each sign, and their summed squares.
///
/// An *exact* rung has `low == high`. Zeros of both signs are one rung and count as positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rung {
    /// Smallest magnitude that falls here.
    pub low: f64,
    /// Largest magnitude that falls here.
    pub high: f64,
    /// Values below zero.
    pub negative: u64,
    /// Values at or above zero.
    pub positive: u64,
    /// Sum of squares of the values here.
    pub energy: f64,
    /// For a coarse rung: the first and the last sort key it covers.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Where its values begin, when they have been kept.
    pub(crate) place: Option<u32>,
}

impl Rung {
    /// A rung for one magnitude.
    pub(crate) fn exact(magnitude: f64, negative: u64, positive: u64) -> Self {
        let energy = magnitude * magnitude * (negative + positive) as f64;
        Self {
            low: magnitude,
            high: magnitude,
            negative,
            positive,
            energy,
            first: 0,
            last: 0,
            place: None,
        }
    }

    /// Values of both signs.
    pub fn count(&self) -> u64 {
        self.negative + self.positive
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.low == self.high
    }
}

/// The finite values of a tensor as rungs of ascending magnitude.
///
/// Built exact from counts per bit pattern or from the values themselves, or coarse from counts per key
/// prefix and then refined where an answer needs it ([`Ladder::unresolved`]). Order-free by
/// construction: chunking and threads cannot change what is read from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ladder {
    pub(crate) rungs: Vec<Rung>,
    sums: Running,
}

/// Memory for the bounds of one signed rung.
pub(crate) const KS_BOUND_BYTES: u64 = size_of::<KsBound>() as u64;

impl Ladder {
    /// Memory for a rung and its running totals.
    pub(crate) const BYTES_PER_RUNG: u64 = size_of::<Rung>() as u64 + 32;

    /// Exact, from how often each bit pattern occurs; `values[p]` is the value of pattern `p`.
    /// Non-finite patterns are left out.
    pub fn from_patterns(values: &[f32], counts: &[u64]) -> Self {
        let seen = |pattern: usize| {
            let (value, count) = (f64::from(*values.get(pattern)?), *counts.get(pattern)?);
            (count > 0 && value.is_finite()).then_some((value, count))
        };
        // Floating-point patterns ascend by magnitude within each sign, so taking both halves in step
        // needs no sort; it is there for integers.
        let half = values.len() / 2;
        let mut pairs: Vec<(f64, u64)> =
            (0..half).flat_map(|pattern| [seen(pattern), seen(pattern + half)]).flatten().collect();
        if !pairs.is_sorted_by(|a, b| a.0.abs() <= b.0.abs()) {
            pairs.sort_unstable_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
        }
        Self::from_sorted(&pairs)
    }

    /// Exact, from the values themselves; non-finite ones are left out. Cost: one sort.
    pub fn from_values(mut values: Vec<f64>) -> Self {
        values.retain(|v| v.is_finite());
        values.sort_unstable_by(|a, b| a.abs().total_cmp(&b.abs()));
        let counted: Vec<(f64, u64)> = values.into_iter().map(|v| (v, 1)).collect();
        Self::from_sorted(&counted)
    }

    /// From (value, count) pairs in order of magnitude.
    fn from_sorted(pairs: &[(f64, u64)]) -> Self {
        let rungs = pairs
            .chunk_by(|a, b| a.0.abs() == b.0.abs())
            .map(|run| {
                let of = |negative: bool| {
                    run.iter().filter(|(v, _)| (*v < 0.0) == negative).map(|(_, c)| c).sum()
                };
                Rung::exact(run[0].0.abs(), of(true), of(false))
            })
            .collect();
        Self::from_rungs(rungs)
    }

    pub(crate) fn from_rungs(rungs: Vec<Rung>) -> Self {
        let sums = Running::of(&rungs);
        Self { rungs, sums }
    }

    /// How many values there are.
    pub fn len(&self) -> u64 {
        self.sums.counts.last().copied().unwrap_or(0)
    }

    /// Whether there are no (finite) values.
    pub fn is_empty(&self) -> bool {
        self.rungs.is_empty()
    }

    /// The rungs, ascending by magnitude.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// Distinct values; -0 and +0 are one. Only meaningful when every rung is exact.
    pub fn distinct(&self) -> u64 {
        self.rungs.iter().map(|r| u64::from(r.negative > 0) + u64::from(r.positive > 0)).sum()
    }

    /// Smallest and largest value.
    pub fn extremes(&self) -> Option<(f64, f64)> {
        let negative = |r: &&Rung| r.negative > 0;
        let positive = |r: &&Rung| r.positive > 0;
        let min = (self.rungs.iter().rev().find(negative).map(|r| -r.high))
            .or_else(|| self.rungs.iter().find(positive).map(|r| r.low))?;
        let max = (self.rungs.iter().rev().find(positive).map(|r| r.high))
            .or_else(|| self.rungs.iter().find(negative).map(|r| -r.low))?;
        Some((min, max))
    }

    /// (low, high, count) in ascending order of signed value.
    pub(crate) fn signed(&self) -> impl Iterator<Item = (f64, f64, u64)> {
        let below = self
            .rungs
            .iter()
            .rev()
            .filter(|r| r.negative > 0)
            .map(|r| (-r.high, -r.low, r.negative));
        let above =
            self.rungs.iter().filter(|r| r.positive > 0).map(|r| (r.low, r.high, r.positive));
        below.chain(above)
    }

    /// Quantile `p` of the signed values by linear interpolation; `None` when empty.
    pub fn quantile(&self, p: f64) -> Option<f64> {
        self.quantiles(&[p]).first().copied()
    }

    /// Quantiles of the signed values; empty when the ladder is.
    pub fn quantiles(&self, p: &[f64]) -> Vec<f64> {
        self.interpolate(p, |rank| {
            let rung = self.rungs.get(self.sums.at_rank(rank))?;
            Some(if rank < self.sums.negatives() { -rung.high } else { rung.low })
        })
    }

    /// Quantiles of the magnitudes.
    pub fn magnitude_quantiles(&self, p: &[f64]) -> Vec<f64> {
        self.interpolate(p, |rank| Some(self.rungs.get(self.sums.at_magnitude_rank(rank))?.low))
    }

    fn interpolate(&self, p: &[f64], lookup: impl Fn(u64) -> Option<f64>) -> Vec<f64> {
        let Some(last) = self.len().checked_sub(1) else { return Vec::new() };
        let at = |p: &f64| {
            let (below, above, t) = rank(last, *p);
            Some(lerp(lookup(below)?, lookup(above)?, t))
        };
        p.iter().filter_map(at).collect()
    }

    /// How many magnitudes are below `t`.
    pub fn count_below(&self, t: f64) -> u64 {
        Running::before(&self.sums.counts, self.rungs.partition_point(|r| r.high < t))
    }

    /// How many magnitudes are at most `t`.
    pub fn count_up_to(&self, t: f64) -> u64 {
        Running::before(&self.sums.counts, self.rungs.partition_point(|r| r.high <= t))
    }

    /// Sum of squares of the `k` smallest magnitudes.
    pub fn energy_of_smallest(&self, k: u64) -> f64 {
        let index = self.sums.at_magnitude_rank(k);
        let energy = Running::before(&self.sums.energy, index);
        self.rungs.get(index).map_or(energy, |rung| {
            let left = k - Running::before(&self.sums.counts, index);
            energy + left as f64 * rung.low * rung.low
        })
    }

    /// The largest number of smallest magnitudes whose summed squares stay at or below `energy`.
    pub fn smallest_within(&self, energy: f64) -> u64 {
        let index = self.sums.at_energy(energy);
        let count = Running::before(&self.sums.counts, index);
        self.rungs.get(index).map_or(count, |rung| {
            let each = rung.low * rung.low;
            let left = energy - Running::before(&self.sums.energy, index);
            count + ((left / each).floor().max(0.0) as u64).min(rung.count())
        })
    }

    /// Mean, central moments and sums of exact rungs. `None` when empty.
    pub fn moments(&self) -> Option<Moments> {
        if self.is_empty() {
            return None;
        }
        let n = self.len() as f64;
        let (mut sum, mut absolute, mut energy) = (0.0, 0.0, 0.0);
        for rung in &self.rungs {
            sum += rung.low * (rung.positive as f64 - rung.negative as f64);
            absolute += rung.low * rung.count() as f64;
            energy += rung.energy;
        }
        // Rounding must not put the mean outside of the values: a constant has no variance.
        let (min, max) = self.extremes()?;
        let mean = (sum / n).clamp(min, max);
        let (mut m2, mut m3, mut m4) = (0.0, 0.0, 0.0);
        for (value, _, count) in self.signed() {
            let deviation = value - mean;
            let square = deviation * deviation * count as f64;
            m2 += square;
            m3 += square * deviation;
            m4 += square * deviation * deviation;
        }
        Some(Moments {
            n: self.len(),
            mean,
            m2: m2 / n,
            m3: m3 / n,
            m4: m4 / n,
            mean_abs: absolute / n,
            energy,
        })
    }

    /// Histogram of [`crate::HISTOGRAM_BINS`] bins over `mean` ± 6 `std`; `None` when `std` is zero or not
    /// finite.
    pub(crate) fn histogram(&self, mean: f64, std: f64) -> Option<Histogram> {
        let mut counter = HistogramCounter::new(mean, std)?;
        self.signed().for_each(|(value, _, count)| counter.push(value, count));
        Some(counter.finish())
    }

    /// Two-sided Kolmogorov-Smirnov distance to Normal(`mean`, `std`): the supremum over all x of
    /// |share of values up to x - normal probability of up to x|. `None` when empty or `std` is not positive
    /// and finite.
    pub fn ks_statistic(&self, mean: f64, std: f64) -> Option<f64> {
        if self.is_empty() || !std.is_finite() || std <= 0.0 {
            return None;
        }
        // The distribution is evaluated in full only where a cheap look cannot exclude the supremum.
        let bounds = self.ks_bounds(mean, std);
        let most = bounds.iter().fold(0.0f64, |d, bound| d.max(bound.certain)) - 4.0 * NEAR_ERROR;
        let cdf = |x: f64| normal_cdf((x - mean) / std);
        let candidates = bounds.iter().filter(|bound| bound.certain >= most);
        Some(candidates.fold(0.0, |d, bound| d.max(self.ks_bound(bound.signed, cdf).certain)))
    }

    /// Bounds on the KS distance within each signed rung that could hold the supremum, each to [`NEAR_ERROR`]; and
    /// some others.
    fn ks_bounds(&self, mean: f64, std: f64) -> Vec<KsBound> {
        let near = NearCdf::new();
        let scale = 1.0 / std;
        let cdf = |x: f64| near.at((x - mean) * scale);
        let (mut bounds, mut reached) = (Vec::new(), 0.0f64);
        for (index, rung) in self.rungs.iter().enumerate() {
            for (is_negative, count) in [(true, rung.negative), (false, rung.positive)] {
                if count == 0 {
                    continue;
                }
                let bound = self.ks_bound((index as u32, is_negative), cdf);
                reached = reached.max(bound.certain);
                if bound.most >= reached - 4.0 * NEAR_ERROR {
                    bounds.push(bound);
                }
            }
        }
        bounds
    }

    /// Bounds on the KS distance within the negative or the positive values of a rung.
    #[inline]
    fn ks_bound(&self, signed: (u32, bool), cdf: impl Fn(f64) -> f64) -> KsBound {
        let (index, is_negative) = (signed.0 as usize, signed.1);
        let (rung, sums, n) = (&self.rungs[index], &self.sums, self.len() as f64);
        let ([low, high], below, count) = if is_negative {
            let below = sums.negatives() - sums.negative[index];
            ([-rung.high, -rung.low], below, rung.negative)
        } else {
            let below = sums.negatives() + sums.positive[index] - rung.positive;
            ([rung.low, rung.high], below, rung.positive)
        };
        let (before, after) = (below as f64 / n, (below + count) as f64 / n);
        let at_low = cdf(low);
        let at_high = if low == high { at_low } else { cdf(high) };
        KsBound {
            certain: (before - at_low).abs().max((after - at_high).abs()),
            most: (after - at_low).max(at_high - before),
            signed,
        }
    }

    /// Indices of coarse rungs that must be refined before every demand is answered exactly, most
    /// urgent first. Empty when all are.
    pub fn unresolved(&self, demands: &Demands) -> Vec<usize> {
        let Some(last) =
            self.len().checked_sub(1).filter(|_| !self.rungs.iter().all(Rung::is_exact))
        else {
            return Vec::new();
        };
        let sums = &self.sums;
        let mut wanted: Vec<usize> = Vec::new();
        for p in &demands.quantiles {
            let (below, above, _) = rank(last, *p);
            wanted.extend([sums.at_rank(below), sums.at_rank(above)]);
        }
        for p in &demands.magnitude_quantiles {
            let (below, above, _) = rank(last, *p);
            wanted.extend([sums.at_magnitude_rank(below), sums.at_magnitude_rank(above)]);
        }
        wanted.extend(demands.pruned_counts.iter().map(|k| sums.at_magnitude_rank(*k)));
        for t in &demands.thresholds {
            // The rung that straddles the threshold: some of its magnitudes may be below it and some above.
            let index = self.rungs.partition_point(|r| r.high < *t);
            wanted.extend(self.rungs.get(index).filter(|r| r.low <= *t).map(|_| index));
        }
        if let Some(energy) = demands.pruned_energy {
            wanted.push(sums.at_energy(energy));
        }
        if let Some(bins) = demands.normal.and_then(|(mean, std)| HistogramCounter::new(mean, std))
        {
            let straddles = |low, high| bins.place(low) != bins.place(high);
            wanted.extend(self.rungs.iter().enumerate().filter_map(|(index, r)| {
                let open = (r.negative > 0 && straddles(-r.high, -r.low))
                    || (r.positive > 0 && straddles(r.low, r.high));
                open.then_some(index)
            }));
        }
        // The smallest and largest magnitude of each sign.
        wanted.extend([sums.at_rank(0), sums.at_rank(last)]);
        wanted.extend(self.rungs.iter().position(|r| r.negative > 0));
        wanted.extend(self.rungs.iter().position(|r| r.positive > 0));
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|index| self.rungs.get(*index).is_some_and(|r| !r.is_exact()));
        self.unresolved_ks(demands, &mut wanted);
        wanted
    }

    /// Adds the rungs that could hold the supremum of the KS distance, the most promising first.
    fn unresolved_ks(&self, demands: &Demands, wanted: &mut Vec<usize>) {
        let Some((mean, std)) = demands.normal.filter(|(_, std)| *std > 0.0 && std.is_finite())
        else {
            return;
        };
        let bounds = self.ks_bounds(mean, std);
        let reached = bounds.iter().fold(0.0f64, |d, bound| d.max(bound.certain));
        let mut open: Vec<(f64, usize)> = bounds
            .iter()
            .map(|bound| (bound.most, bound.signed.0 as usize))
            .filter(|(most, index)| {
                *most > reached - 4.0 * NEAR_ERROR && !self.rungs[*index].is_exact()
            })
            .collect();
        open.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut known = vec![false; self.rungs.len()];
        for index in &*wanted {
            known[*index] = true;
        }
        // Both signs of one rung may be open.
        wanted.extend(
            open.into_iter()
                .map(|(_, index)| index)
                .filter(|index| !std::mem::replace(&mut known[*index], true)),
        );
    }
}

/// What is known of the KS distance within one signed rung.
struct KsBound {
    /// A distance that is certainly reached.
    certain: f64,
    /// The largest possible one.
    most: f64,
    /// The rung, and whether its negative values are meant.
    signed: (u32, bool),
}

/// Running totals over rungs, to find a rank's rung by bisection.
#[derive(Clone, Debug, Default, PartialEq)]
struct Running {
    /// Magnitudes up to and with each rung.
    counts: Vec<u64>,
    /// Values at or above zero, likewise.
    positive: Vec<u64>,
    /// Values below zero, likewise.
    negative: Vec<u64>,
    /// Energy, likewise.
    energy: Vec<f64>,
}

impl Running {
    fn of(rungs: &[Rung]) -> Self {
        let empty = || Vec::with_capacity(rungs.len());
        let mut sums = Self {
            counts: empty(),
            positive: empty(),
            negative: empty(),
            energy: Vec::with_capacity(rungs.len()),
        };
        let (mut positive, mut negative, mut energy) = (0, 0, 0.0);
        for rung in rungs {
            positive += rung.positive;
            negative += rung.negative;
            energy += rung.energy;
            sums.counts.push(positive + negative);
            sums.positive.push(positive);
            sums.negative.push(negative);
            sums.energy.push(energy);
        }
        sums
    }

    /// The total before this rung.
    fn before<S: Copy + Default>(sums: &[S], index: usize) -> S {
        index.checked_sub(1).and_then(|last| sums.get(last)).copied().unwrap_or_default()
    }

    /// Values below zero.
    fn negatives(&self) -> u64 {
        self.negative.last().copied().unwrap_or(0)
    }

    /// The rung of the magnitude with this rank.
    fn at_magnitude_rank(&self, rank: u64) -> usize {
        self.counts.partition_point(|sum| *sum <= rank)
    }

    /// The rung of the signed value with this rank: negative values come first, largest magnitude first.
    fn at_rank(&self, rank: u64) -> usize {
        let negatives = self.negatives();
        match rank.checked_sub(negatives) {
            Some(rank) => self.positive.partition_point(|sum| *sum <= rank),
            None => self.negative.partition_point(|sum| *sum < negatives - rank),
        }
    }

    /// The rung in which the energy first exceeds `energy`; none when that is not a number.
    fn at_energy(&self, energy: f64) -> usize {
        self.energy.partition_point(|sum| sum.partial_cmp(&energy) != Some(Ordering::Greater))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_answers() {
        let ladder = Ladder::from_values(vec![0.5, -2.0, 1.0, -0.0, 0.0, f64::NAN, 1.0]);
        assert_eq!((ladder.len(), ladder.distinct()), (6, 4));
        assert_eq!(ladder.extremes(), Some((-2.0, 1.0)));
        assert_eq!(ladder.quantiles(&[0.0, 0.5, 1.0]), [-2.0, 0.25, 1.0]);
        assert_eq!(ladder.magnitude_quantiles(&[0.5]), [0.75]);
        assert_eq!((ladder.count_below(1.0), ladder.count_up_to(1.0)), (3, 5));
        assert_eq!(ladder.energy_of_smallest(4), 1.25);
        assert_eq!(ladder.smallest_within(1.25), 4);
        let moments = ladder.moments().unwrap();
        assert!((moments.mean - 0.5 / 6.0).abs() < 1e-15 && moments.energy == 6.25);
    }

    #[test]
    fn empty_ladders_answer_nothing() {
        let ladder = Ladder::from_values(vec![f64::INFINITY]);
        assert!(ladder.is_empty() && ladder.quantile(0.5).is_none() && ladder.moments().is_none());
        assert!(ladder.extremes().is_none() && ladder.ks_statistic(0.0, 1.0).is_none());
    }

    #[test]
    fn ks_of_one_value_at_the_mean() {
        assert_eq!(Ladder::from_values(vec![0.0]).ks_statistic(0.0, 1.0), Some(0.5));
    }
}
