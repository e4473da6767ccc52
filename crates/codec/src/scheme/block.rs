//! Rows side by side: the layout in which every scheme is measured.
//!
//! Sixteen rows of `[out, in]` are interleaved, so that a vector holds one column of them. A scale is then a
//! lane, extremes need no shuffling, and a short last group or a group of sixteen costs no more than others.

use pulp::{Arch, Simd, WithSimd};

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
    #[inline(always)]
    pub fn of(columns: &[Lanes]) -> Self {
        let mut extent = Self::EMPTY;
        for column in columns {
            extent.include(&Self { low: *column, high: *column });
        }
        extent
    }

    /// Of its values and those of `other`.
    #[inline(always)]
    pub fn include(&mut self, other: &Self) {
        let low = self.low.0.iter_mut().zip(&other.low.0);
        low.for_each(|(a, b)| *a = if *b < *a { *b } else { *a });
        let high = self.high.0.iter_mut().zip(&other.high.0);
        high.for_each(|(a, b)| *a = if *b > *a { *b } else { *a });
    }

    /// Extents of every [`CELL`] of up to [`SPAN`] columns; the rest is empty.
    pub fn cells(columns: &[Lanes]) -> [Self; SPAN / CELL] {
        let mut cells = [Self::EMPTY; SPAN / CELL];
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (cell, columns) in cells.iter_mut().zip(columns.chunks(CELL)) {
                    *cell = Self::of(columns);
                }
            },
        );
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
        let simd = pulp::Scalar::new();
        for lane in 0..LANES {
            let mut begin = 0;
            each_grain(simd, *self, grain, block, lane, |columns, fit| {
                scale(begin, lane, [fit.step.1, fit.offset.1, fit.zero_point.1]);
                for (column, w) in (begin..).zip(columns.iter()) {
                    let stored = store(*self, w, fit);
                    code(column, lane, self.code(stored.point.1, fit.zero_point.1));
                }
                begin += columns.iter().len();
            });
        }
    }

    fn point(&self, code: u16, zero_point: f32) -> f32 {
        Rule::point(*self, code, zero_point)
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
            let (mut squares, mut products, mut largest) = (zero, zero, zero);
            each_grain(simd, rule, grain, &block, chunk, |columns, fit| {
                for part in columns.parts(CELL) {
                    // Sums of sums: each has few terms, so that f32 loses little.
                    let (mut part_squares, mut part_products) = (zero, zero);
                    for w in part.iter() {
                        let stored = store(rule, w, fit);
                        let mut magnitude = stored.deviation.abs();
                        if R::SPACED {
                            // Where the scaled value was rounded across the middle, the other neighbour is nearer.
                            magnitude = magnitude.min(stored.spacing * fit.step - magnitude);
                        }
                        largest = largest.max(magnitude);
                        part_squares = magnitude.mul_add(magnitude, part_squares);
                        part_products = w.mul_add(stored.deviation, part_products);
                    }
                    squares = squares + part_squares;
                    products = products + part_products;
                }
            });
            let rows = chunk * S::F32_LANES..(chunk + 1) * S::F32_LANES;
            let mut lanes = Lanes::default();
            for (sums, vector) in [(&mut errors.squares, squares), (&mut errors.products, products)]
            {
                lanes.set(chunk, vector);
                for (sum, x) in sums[rows.clone()].iter_mut().zip(&lanes.0[rows.clone()]) {
                    *sum += f64::from(*x);
                }
            }
            let before = errors.largest.vector(simd, chunk);
            errors.largest.set(chunk, before.max(largest));
        }
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
            let mut targets = into.iter_mut();
            each_grain(simd, rule, grain, &block, chunk, |columns, fit| {
                for (w, target) in columns.iter().zip(targets.by_ref()) {
                    let stored = store(rule, w, fit);
                    target.set(chunk, stored.deviation);
                }
            });
        }
    }
}

/// Calls `visit` with the values and the scale of every grain that the block has some of.
#[inline(always)]
fn each_grain<'a, S: Simd, R: Rule>(
    simd: S,
    rule: R,
    grain: Grain,
    block: &Block<'a>,
    chunk: usize,
    mut visit: impl FnMut(Vectors<'a, S>, &Fit<S>),
) {
    let vectors = |columns| Vectors::new(simd, columns, chunk);
    let grained = |low: Real<S>, high: Real<S>, columns| Grained {
        low,
        high,
        tensor: block.tensor,
        values: vectors(columns),
    };
    let whole = match grain {
        Grain::Group(size) => {
            let size = size as usize;
            for (columns, cells) in block.columns.chunks(size).zip(block.cells.chunks(size / CELL))
            {
                let (mut low, mut high) =
                    (Real::splat(simd, f32::INFINITY), Real::splat(simd, f32::NEG_INFINITY));
                for cell in cells {
                    low = low.min(cell.low.vector(simd, chunk));
                    high = high.max(cell.high.vector(simd, chunk));
                }
                visit(vectors(columns), &rule.fit(&grained(low, high, columns)));
            }
            return;
        }
        Grain::Channel => {
            let Extent { low, high } = block.channel;
            grained(low.vector(simd, chunk), high.vector(simd, chunk), &[])
        }
        Grain::Tensor | Grain::Value => {
            let largest = Real::splat(simd, block.tensor);
            grained(-largest, largest, &[])
        }
    };
    visit(vectors(block.columns), &rule.fit(&whole));
}

/// A value as it is stored.
struct Stored<S: Simd> {
    point: Real<S>,
    spacing: Real<S>,
    deviation: Real<S>,
}

#[inline(always)]
fn store<S: Simd, R: Rule>(rule: R, w: Real<S>, fit: &Fit<S>) -> Stored<S> {
    let scaled = if R::SHIFTED { w - fit.base } else { w };
    let (point, spacing) = rule.nearest(scaled * fit.inverse);
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
