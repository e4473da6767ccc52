//! What a scheme has to say: how scales follow from the values that share them, and what codes stand for.

use std::fmt::Debug;

use pulp::Simd;

use super::block::Lanes;
use crate::real::Real;

/// Below this largest magnitude a grain is stored as zeros: its reciprocal would leave the range of `f32`.
const VANISHING: f32 = 1e-36;

/// Values of some rows, column after column.
#[derive(Clone, Copy)]
pub(crate) struct Vectors<'a, S: Simd> {
    simd: S,
    columns: &'a [Lanes],
    chunk: usize,
}

impl<'a, S: Simd> Vectors<'a, S> {
    /// Of the `chunk`-th rows as many as a vector holds.
    #[inline(always)]
    pub(crate) fn new(simd: S, columns: &'a [Lanes], chunk: usize) -> Self {
        Self { simd, columns, chunk }
    }

    /// The same rows, so many columns at a time.
    #[inline(always)]
    pub(crate) fn parts(self, columns: usize) -> impl Iterator<Item = Self> + use<'a, S> {
        self.columns.chunks(columns).map(
            #[inline(always)]
            move |columns| Self { columns, ..self },
        )
    }

    /// The vectors, in order.
    #[inline(always)]
    pub(crate) fn iter(
        self,
    ) -> impl DoubleEndedIterator<Item = Real<S>> + ExactSizeIterator + use<'a, S> {
        self.columns.iter().map(
            #[inline(always)]
            move |lanes| lanes.vector(self.simd, self.chunk),
        )
    }
}

/// What is known of the values that share a scale. A lane is a row.
#[derive(Clone, Copy)]
pub(crate) struct Grained<'a, S: Simd> {
    /// Smallest value.
    pub(crate) low: Real<S>,
    /// Largest value.
    pub(crate) high: Real<S>,
    /// Largest magnitude of the whole tensor.
    pub(crate) tensor: f32,
    /// The values, of grains that lie in one block; empty for larger ones.
    pub(crate) values: Vectors<'a, S>,
}

impl<S: Simd> Grained<'_, S> {
    /// Largest magnitude.
    #[inline(always)]
    pub(crate) fn abs_max(&self) -> Real<S> {
        // The larger one may be a negative zero.
        self.high.max(-self.low).abs()
    }
}

/// How codes become values: `offset + step * point`, where the point of `w` is the one nearest to
/// `(w - base) * inverse`.
#[derive(Clone, Copy)]
pub(crate) struct Fit<S: Simd> {
    /// About 1/step.
    pub(crate) inverse: Real<S>,
    /// The step, the nearest `f32`.
    pub(crate) step: Real<S>,
    /// What the step lacks; read when [`Rule::REFINED`].
    pub(crate) rest: Real<S>,
    /// What is taken off before scaling; read when [`Rule::SHIFTED`].
    pub(crate) base: Real<S>,
    /// What is added after; read when [`Rule::SHIFTED`].
    pub(crate) offset: Real<S>,
    /// The code of the point zero.
    pub(crate) zero_point: Real<S>,
}

impl<S: Simd> Fit<S> {
    /// No scale: codes stand for themselves.
    #[inline(always)]
    pub(crate) fn plain(like: Real<S>) -> Self {
        let (zero, one) = (like.of(0.0), like.of(1.0));
        Self { inverse: one, step: one, rest: zero, base: zero, offset: zero, zero_point: zero }
    }

    /// A scale with `top` at `largest`, as a real number: `largest/top`.
    #[inline(always)]
    pub(crate) fn ratio(largest: Real<S>, top: f32) -> Self {
        let (step, rest) = quotient(largest, top);
        Self { inverse: reciprocal(largest.of(top), largest), step, rest, ..Self::plain(largest) }
    }
}

/// `x / divisor` as the nearest number and what it lacks, without dividing.
#[inline(always)]
pub(crate) fn quotient<S: Simd>(x: Real<S>, divisor: f32) -> (Real<S>, Real<S>) {
    let (divisor, reciprocal) = (x.of(divisor), x.of(1.0 / divisor));
    let near = x * reciprocal;
    let rest = (-near).mul_add(divisor, x) * reciprocal;
    let quotient = near + rest;
    (quotient, (near - quotient) + rest)
}

/// `one / x`; 0 where `x` vanishes.
#[inline(always)]
pub(crate) fn reciprocal<S: Simd>(one: Real<S>, x: Real<S>) -> Real<S> {
    (one / x).where_above(x.abs(), x.of(VANISHING), x.of(0.0))
}

/// A scheme's arithmetic, on vectors of rows.
pub(crate) trait Rule: Copy + Debug + Send + Sync + 'static {
    /// Whether the step is known beyond `f32`.
    const REFINED: bool = false;
    /// Whether weights of few bits may lie exactly half way between two points, so that the quotient has to be
    /// as good as `f32` can say.
    const HALVES: bool = false;
    /// Whether codes are not centred at zero.
    const SHIFTED: bool = false;
    /// Whether [`Rule::nearest`] knows the distance between points, which undoes what the rounding of `inverse`
    /// may have decided wrongly between two of them: the magnitude of the deviation.
    const SPACED: bool = false;
    /// Whether they may lie so near to half way that only the rest of the step tells on which side.
    const NEAR_HALVES: bool = false;

    /// The scale of a grain.
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S>;

    /// The point nearest to a scaled value, and the distance of its neighbours (read when [`Rule::SPACED`]).
    fn nearest<S: Simd>(self, scaled: Real<S>, fit: &Fit<S>) -> (Real<S>, Real<S>);

    /// The bits that a point is stored as; `zero_point` is the grain's.
    fn code(self, point: f32, zero_point: f32) -> u16;

    /// The point that bits stand for.
    fn point(self, code: u16, zero_point: f32) -> f32;
}
