//! Values far from the others: how many, and the largest of them.

use weightscope_codec::{CELL, Extent, LANES, Lanes};
use weightscope_core::stats::{Ladder, QUANTILES, Summary};

/// Root mean squares from which on a value is listed.
const LISTED_RMS: f64 = 30.0;
/// Values that are listed at most.
const LISTED: usize = 16;

/// The magnitude from which on a value is listed.
pub(crate) fn line(rms: f64) -> f64 {
    LISTED_RMS * rms
}

/// Intervals outside of which a value is an outlier: mean -+ 3 and 6 standard deviations, quartiles -+ 1.5 and 3
/// interquartile ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fences {
    exact: [(f64, f64); 4],
    /// The same for `f32`: what is outside of one is outside of the other.
    single: [(f32, f32); 4],
}

impl Fences {
    pub(crate) fn of(summary: &Summary) -> Self {
        let everything = (f64::NEG_INFINITY, f64::INFINITY);
        let around = |k: f64| {
            summary.moments.map_or(everything, |m| (m.mean - k * m.std(), m.mean + k * m.std()))
        };
        let quantile =
            |p: f64| summary.quantiles.get(QUANTILES.iter().position(|q| *q == p)?).copied();
        let beyond = |k: f64| match (quantile(0.25), quantile(0.75)) {
            (Some(low), Some(high)) => (low - k * (high - low), high + k * (high - low)),
            _ => everything,
        };
        let exact = [around(3.0), around(6.0), beyond(1.5), beyond(3.0)];
        let single = exact.map(|(low, high)| (-floor(-low), floor(high)));
        Self { exact, single }
    }

    /// How many of counted values lie outside of each.
    pub(crate) fn count(&self, ladder: &Ladder) -> [u64; 4] {
        self.exact.map(|(low, high)| {
            let outside = |w: f64| w < low || w > high;
            let count = |rung: &weightscope_core::stats::Rung| {
                let signs = [(-rung.low, rung.negative), (rung.low, rung.positive)];
                signs.into_iter().filter(|(w, _)| outside(*w)).map(|(_, n)| n).sum::<u64>()
            };
            ladder.rungs().iter().map(count).sum()
        })
    }

    /// Adds how many values of a block, of whose rows `lanes` exist, lie outside of each.
    pub(crate) fn add_outside(
        &self,
        (columns, cells): (&[Lanes], &[Extent]),
        lanes: usize,
        counts: &mut [u64; 4],
    ) {
        let mut extent = Extent::EMPTY;
        for cell in cells {
            extent.include(cell);
        }
        let low = extent.low.0.iter().copied().fold(f32::INFINITY, f32::min);
        let high = extent.high.0.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (fence, count) in self.single.iter().zip(counts.iter_mut()) {
            if low < fence.0 || high > fence.1 {
                let outside = outside(columns, *fence);
                *count += outside[..lanes].iter().map(|n| u64::from(*n)).sum::<u64>();
            }
        }
    }
}

/// The largest `f32` not above.
fn floor(x: f64) -> f32 {
    let single = x as f32;
    if f64::from(single) > x { single.next_down() } else { single }
}

/// How many values of each of sixteen rows lie outside of an interval.
fn outside(columns: &[Lanes], (low, high): (f32, f32)) -> [u32; LANES] {
    let mut counts = [0; LANES];
    for column in columns {
        for (count, w) in counts.iter_mut().zip(&column.0) {
            *count += u32::from(*w < low) + u32::from(*w > high);
        }
    }
    counts
}

/// The largest magnitudes of a matrix and where they are.
#[derive(Clone, Debug)]
pub struct Largest {
    line: f64,
    /// Descending by magnitude, then by row and column: at most [`LISTED`] and one more.
    values: Vec<LargeValue>,
}

/// One value and its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LargeValue {
    /// Row of `[out, in]`.
    pub row: u64,
    /// Column.
    pub column: u64,
    /// The value.
    pub value: f32,
}

impl Largest {
    /// Of no values yet; all from the magnitude `line` on are wanted, and the two largest in any case.
    pub(crate) fn new(line: f64) -> Self {
        Self { line, values: Vec::new() }
    }

    /// Values above the line, largest first, at most sixteen.
    pub fn above_line(&self) -> impl Iterator<Item = &LargeValue> {
        self.values.iter().take(LISTED).filter(|v| f64::from(v.value.abs()) > self.line)
    }

    /// The largest magnitude over the second largest; 1 when it occurs twice.
    pub fn over_second(&self) -> Option<f64> {
        let [first, second, ..] = self.values.as_slice() else { return None };
        Some(f64::from(first.value.abs()) / f64::from(second.value.abs())).filter(|r| r.is_finite())
    }

    /// Magnitudes up to this one change nothing.
    fn least(&self) -> f32 {
        let last = |place: usize| self.values.get(place).map_or(0.0, |v| v.value.abs());
        let second = last(1);
        if f64::from(second) > self.line {
            // A value as large as the last listed one may be at an earlier place.
            floor(self.line).max(last(LISTED - 1).next_down())
        } else {
            second
        }
    }

    /// Whether values of these extents, of which `lanes` exist, can change anything.
    pub(crate) fn may_be_in(&self, extent: &Extent, lanes: usize) -> bool {
        let least = self.least();
        extent.abs_max()[..lanes].iter().any(|magnitude| *magnitude > least)
    }

    /// Looks at a block, of whose rows `lanes` exist and the first is `row`, from `column` on.
    pub(crate) fn look(
        &mut self,
        (columns, cells): (&[Lanes], &[Extent]),
        lanes: usize,
        [row, column]: [u64; 2],
    ) {
        let mut least = self.least();
        for (place, cell) in cells.iter().enumerate() {
            if !self.may_be_in(cell, lanes) {
                continue;
            }
            let first = place * CELL;
            for (offset, values) in columns[first..].iter().take(CELL).enumerate() {
                for (lane, value) in values.0.iter().take(lanes).enumerate() {
                    if value.abs() > least {
                        let (row, column) = (row + lane as u64, column + (first + offset) as u64);
                        self.insert(LargeValue { row, column, value: *value });
                        least = self.least();
                    }
                }
            }
        }
    }

    /// Those of other rows too.
    pub(crate) fn merge(&mut self, other: Self) {
        other.values.into_iter().for_each(|value| self.insert(value));
    }

    fn insert(&mut self, value: LargeValue) {
        let order = |v: &LargeValue| (std::cmp::Reverse(v.value.abs().to_bits()), v.row, v.column);
        let place = self.values.partition_point(|v| order(v) < order(&value));
        self.values.insert(place, value);
        self.values.truncate(LISTED + 1);
    }
}

/// How many values lie outside of each fence, of a summary that has all values; `None` without them and of a
/// fence that overflows.
pub(crate) fn count(summary: &Summary) -> [Option<u64>; 4] {
    let ladder = summary.exact.as_ref().filter(|ladder| !ladder.is_empty());
    let Some(ladder) = ladder else { return [None; 4] };
    let fences = Fences::of(summary);
    let counts = fences.count(ladder);
    std::array::from_fn(|place| {
        let (low, high) = fences.exact[place];
        (low.is_finite() && high.is_finite()).then_some(counts[place])
    })
}
