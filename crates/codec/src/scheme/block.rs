//! Rows side by side: the layout in which every scheme is measured.
//!
//! Sixteen rows of `[out, in]` are interleaved, so that a vector holds one column of them. A scale is then a
//! lane, extremes need no shuffling, and a short last group or a group of sixteen costs no more than others.

use pulp::{Arch, Scalar, Simd, WithSimd};

use super::Grain;
use super::rule::{Fit, Grained, Rule, Vectors};
use crate::real::Real;

/// Rows of a block.
pub const LANES: usize = 16;
/// Columns that an [`Extent`] of a block covers: groups are multiples of it.
pub const CELL: usize = 16;
/// Columns of a block at most, and what the first column of every block is a multiple of: no group is longer.
pub const SPAN: usize = 128;

/// One column of sixteen rows. Rows that a matrix does not have are zeros: they add no error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(align(64))]
pub struct Lanes(pub [f32; LANES]);

impl Lanes {
    /// The `chunk`-th vector.
    #[inline(always)]
    pub(crate) fn vector<S: Simd>(&self, simd: S, chunk: usize) -> Real<S> {
        Real(simd, S::as_simd_f32s(&self.0).0[chunk])
    }

    #[inline(always)]
    fn set<S: Simd>(&mut self, chunk: usize, vector: Real<S>) {
        S::as_mut_simd_f32s(&mut self.0).0[chunk] = vector.1;
    }
}

/// The smallest and the largest of some values of every row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// Smallest values.
    pub low: Lanes,
    /// Largest values.
    pub high: Lanes,
}

impl Extent {
    /// Of no values.
    pub const EMPTY: Self =
        Self { low: Lanes([f32::INFINITY; LANES]), high: Lanes([f32::NEG_INFINITY; LANES]) };

    /// Of the values of `columns`, finite ones.
    pub fn of(columns: &[Lanes]) -> Self {
        let mut extent = Self::EMPTY;
        for span in columns.chunks(SPAN) {
            for cell in Self::cells(span) {
                extent.include(&cell);
            }
        }
        extent
    }

    /// Of its values and those of `other`.
    pub fn include(&mut self, other: &Self) {
        for (a, b) in self.low.0.iter_mut().zip(&other.low.0) {
            *a = if *b < *a { *b } else { *a };
        }
        for (a, b) in self.high.0.iter_mut().zip(&other.high.0) {
            *a = if *b > *a { *b } else { *a };
        }
    }

    /// Of up to [`LANES`] whole rows of one value at least; zero in lanes without one.
    pub fn of_rows<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Self {
        let mut extent = Self { low: Lanes::default(), high: Lanes::default() };
        for (lane, row) in rows.take(LANES).enumerate() {
            (extent.low.0[lane], extent.high.0[lane]) = Arch::new().dispatch(RowExtremes(row));
        }
        extent
    }

    /// Extents of every [`CELL`] of up to [`SPAN`] columns; the rest is empty.
    pub fn cells(columns: &[Lanes]) -> [Self; SPAN / CELL] {
        let mut cells = [Self::EMPTY; SPAN / CELL];
        Arch::new().dispatch(Extremes { columns, cells: &mut cells });
        cells
    }

    /// Largest magnitudes.
    pub fn abs_max(&self) -> [f32; LANES] {
        std::array::from_fn(|lane| self.high.0[lane].max(-self.low.0[lane]))
    }
}

/// Columns of sixteen rows, with the extremes that scales follow from. All values are finite.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Up to [`SPAN`] columns, from a multiple of it on.
    pub columns: &'a [Lanes],
    /// [`Extent::cells`] of them.
    pub cells: &'a [Extent],
    /// Extremes of the whole rows.
    pub channel: &'a Extent,
    /// Largest magnitude of the tensor.
    pub tensor: f32,
}

/// What storing values in a scheme changes, summed over blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    squares: [f64; LANES],
    products: [f64; LANES],
    largest: Lanes,
}

impl Errors {
    /// The sum of `(w - restored)^2`; not finite where a scale or a value overflows.
    pub fn energy(&self) -> f64 {
        self.squares.iter().sum()
    }

    /// The sum of `w (w - restored)`.
    pub fn cross(&self) -> f64 {
        self.products.iter().sum()
    }

    /// The largest `|w - restored|`.
    pub fn largest(&self) -> f64 {
        self.largest.0.iter().fold(0.0, |a, b| f64::max(a, f64::from(*b)))
    }
}

/// A [`Rule`] applied to blocks, as an object.
pub(crate) trait Walk: Send + Sync {
    fn add_errors(&self, grain: Grain, block: &Block<'_>, errors: &mut Errors);
    fn deviations(&self, grain: Grain, block: &Block<'_>, into: &mut [Lanes]);
    /// Calls `code` with column, lane and code of every value, after `scale` with column and lane where a grain
    /// begins: step, offset and zero point.
    fn encode(
        &self,
        grain: Grain,
        block: &Block<'_>,
        scale: &mut dyn FnMut(usize, usize, [f32; 3]),
        code: &mut dyn FnMut(usize, usize, u16),
    );
    /// The point that a code stands for.
    fn point(&self, code: u16, zero_point: f32) -> f32;
}

impl<R: Rule> Walk for R {
    fn add_errors(&self, grain: Grain, block: &Block<'_>, errors: &mut Errors) {
        Arch::new().dispatch(Measure { rule: *self, grain, block: *block, errors });
    }

    fn deviations(&self, grain: Grain, block: &Block<'_>, into: &mut [Lanes]) {
        Arch::new().dispatch(Deviate { rule: *self, grain, block: *block, into });
    }

    fn encode(
        &self,
        grain: Grain,
        block: &Block<'_>,
        scale: &mut dyn FnMut(usize, usize, [f32; 3]),
        code: &mut dyn FnMut(usize, usize, u16),
    ) {
        for lane in 0..LANES {
            let mut coding = Coding { begin: 0, lane, scale, code };
            each_grain(Scalar::new(), *self, grain, block, lane, &mut coding);
        }
    }

    fn point(&self, code: u16, zero_point: f32) -> f32 {
        Rule::point(*self, code, zero_point)
    }
}

/// What is done with the values of a grain.
trait Visit<S: Simd, R: Rule> {
    fn grain(&mut self, rule: R, columns: Vectors<'_, S>, fit: &Fit<S>);
}

/// Calls `visit` with the values and the scale of every grain that the block has some of.
#[inline(always)]
fn each_grain<S: Simd, R: Rule>(
    simd: S,
    rule: R,
    grain: Grain,
    block: &Block<'_>,
    chunk: usize,
    visit: &mut impl Visit<S, R>,
) {
    let (mut grained, columns) = (
        Grained {
            low: Real::splat(simd, f32::INFINITY),
            high: Real::splat(simd, f32::NEG_INFINITY),
            tensor: block.tensor,
            values: Vectors::new(simd, &[], chunk),
        },
        Vectors::new(simd, block.columns, chunk),
    );
    match grain {
        Grain::Group(size) => {
            let size = size as usize;
            let grains = columns.parts(size).zip(block.cells.chunks(size / CELL));
            for (columns, cells) in grains {
                let mut grain = Grained { values: columns, ..grained };
                for cell in cells {
                    grain.low = grain.low.min(cell.low.vector(simd, chunk));
                    grain.high = grain.high.max(cell.high.vector(simd, chunk));
                }
                visit.grain(rule, columns, &rule.fit(&grain));
            }
        }
        Grain::Channel => {
            grained.low = block.channel.low.vector(simd, chunk);
            grained.high = block.channel.high.vector(simd, chunk);
            visit.grain(rule, columns, &rule.fit(&grained));
        }
        Grain::Tensor | Grain::Value => {
            grained.high = Real::splat(simd, block.tensor);
            grained.low = -grained.high;
            visit.grain(rule, columns, &rule.fit(&grained));
        }
    }
}

/// A value as it is stored.
struct Stored<S: Simd> {
    point: Real<S>,
    spacing: Real<S>,
    deviation: Real<S>,
}

#[inline(always)]
fn store<S: Simd, R: Rule>(rule: R, w: Real<S>, fit: &Fit<S>) -> Stored<S> {
    let shifted = if R::SHIFTED { w - fit.base } else { w };
    let mut scaled = shifted * fit.inverse;
    if R::HALVES {
        // One step of Newton, so that halves do not go the way that a rounded reciprocal sends them.
        let left = (-scaled).mul_add(fit.rest, (-scaled).mul_add(fit.step, shifted));
        scaled = left.mul_add(fit.inverse, scaled);
    }
    if R::NEAR_HALVES {
        let left = (-scaled).mul_add(fit.rest, (-scaled).mul_add(fit.step, shifted));
        scaled = scaled.round_to_odd(left);
    }
    let (point, spacing) = rule.nearest(scaled, fit);
    // Fused, so that the product is not rounded.
    let mut deviation = if R::SHIFTED {
        w - point.mul_add(fit.step, fit.offset)
    } else {
        (-point).mul_add(fit.step, w)
    };
    if R::REFINED {
        deviation = (-point).mul_add(fit.rest, deviation);
    }
    Stored { point, spacing, deviation }
}

struct RowExtremes<'a>(&'a [f32]);

impl WithSimd for RowExtremes<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f32, f32) {
        // Independent chains, so that no comparison waits for the one before.
        const CHAINS: usize = 4;
        let (vectors, tail) = S::as_simd_f32s(self.0);
        let infinity = Real::splat(simd, f32::INFINITY);
        let (mut lows, mut highs) = ([infinity; CHAINS], [-infinity; CHAINS]);
        for part in vectors.chunks(CHAINS) {
            for (chain, values) in part.iter().enumerate() {
                let values = Real(simd, *values);
                lows[chain] = lows[chain].min(values);
                highs[chain] = highs[chain].max(values);
            }
        }
        let low = lows[0].min(lows[1]).min(lows[2].min(lows[3]));
        let high = highs[0].max(highs[1]).max(highs[2].max(highs[3]));
        let (low, high) = (simd.reduce_min_f32s(low.1), simd.reduce_max_f32s(high.1));
        (tail.iter().copied().fold(low, f32::min), tail.iter().copied().fold(high, f32::max))
    }
}

struct Extremes<'a> {
    columns: &'a [Lanes],
    cells: &'a mut [Extent],
}

impl WithSimd for Extremes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (cell, columns) in self.cells.iter_mut().zip(self.columns.chunks(CELL)) {
            for chunk in 0..LANES / S::F32_LANES {
                let mut low = Real::splat(simd, f32::INFINITY);
                let mut high = -low;
                for column in columns {
                    let values = column.vector(simd, chunk);
                    (low, high) = (low.min(values), high.max(values));
                }
                cell.low.set(chunk, low);
                cell.high.set(chunk, high);
            }
        }
    }
}

struct Measure<'a, R> {
    rule: R,
    grain: Grain,
    block: Block<'a>,
    errors: &'a mut Errors,
}

impl<R: Rule> WithSimd for Measure<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rule, grain, block, errors } = self;
        for chunk in 0..LANES / S::F32_LANES {
            let zero = Real::splat(simd, 0.0);
            let mut sums = Sums { squares: zero, products: zero, largest: zero };
            each_grain(simd, rule, grain, &block, chunk, &mut sums);
            let rows = chunk * S::F32_LANES..(chunk + 1) * S::F32_LANES;
            let mut lanes = Lanes::default();
            for (totals, vector) in
                [(&mut errors.squares, sums.squares), (&mut errors.products, sums.products)]
            {
                lanes.set(chunk, vector);
                for (total, x) in totals[rows.clone()].iter_mut().zip(&lanes.0[rows.clone()]) {
                    *total += f64::from(*x);
                }
            }
            let before = errors.largest.vector(simd, chunk);
            errors.largest.set(chunk, before.max(sums.largest));
        }
    }
}

/// Sums over the columns of a vector of rows.
struct Sums<S: Simd> {
    squares: Real<S>,
    products: Real<S>,
    largest: Real<S>,
}

impl<S: Simd, R: Rule> Visit<S, R> for Sums<S> {
    #[inline(always)]
    fn grain(&mut self, rule: R, columns: Vectors<'_, S>, fit: &Fit<S>) {
        let Self { mut squares, mut products, mut largest } = *self;
        // Sums of sums: each has few terms, so that f32 loses little.
        for part in columns.parts(CELL) {
            let zero = squares.of(0.0);
            let (mut part_squares, mut part_products) = (zero, zero);
            for w in part.iter() {
                let stored = store(rule, w, fit);
                let mut magnitude = stored.deviation.abs();
                if R::SPACED {
                    // Where the scaled value was rounded across the middle, the other neighbour is nearer.
                    magnitude = magnitude.min(stored.spacing.mul_add(fit.step, -magnitude));
                }
                largest = largest.max(magnitude);
                part_squares = magnitude.mul_add(magnitude, part_squares);
                part_products = w.mul_add(stored.deviation, part_products);
            }
            squares = squares + part_squares;
            products = products + part_products;
        }
        *self = Self { squares, products, largest };
    }
}

struct Deviate<'a, R> {
    rule: R,
    grain: Grain,
    block: Block<'a>,
    into: &'a mut [Lanes],
}

impl<R: Rule> WithSimd for Deviate<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rule, grain, block, into } = self;
        for chunk in 0..LANES / S::F32_LANES {
            let mut targets = Targets { columns: into.iter_mut(), chunk };
            each_grain(simd, rule, grain, &block, chunk, &mut targets);
        }
    }
}

/// Where deviations go.
struct Targets<'a> {
    columns: std::slice::IterMut<'a, Lanes>,
    chunk: usize,
}

impl<S: Simd, R: Rule> Visit<S, R> for Targets<'_> {
    #[inline(always)]
    fn grain(&mut self, rule: R, columns: Vectors<'_, S>, fit: &Fit<S>) {
        for (w, target) in columns.iter().zip(self.columns.by_ref()) {
            target.set(self.chunk, store(rule, w, fit).deviation);
        }
    }
}

/// Where scales and codes go, lane by lane.
struct Coding<'a> {
    begin: usize,
    lane: usize,
    scale: &'a mut dyn FnMut(usize, usize, [f32; 3]),
    code: &'a mut dyn FnMut(usize, usize, u16),
}

impl<R: Rule> Visit<Scalar, R> for Coding<'_> {
    fn grain(&mut self, rule: R, columns: Vectors<'_, Scalar>, fit: &Fit<Scalar>) {
        (self.scale)(self.begin, self.lane, [fit.step.1, fit.offset.1, fit.zero_point.1]);
        for w in columns.iter() {
            let stored = store(rule, w, fit);
            (self.code)(self.begin, self.lane, rule.code(stored.point.1, fit.zero_point.1));
            self.begin += 1;
        }
    }
}
