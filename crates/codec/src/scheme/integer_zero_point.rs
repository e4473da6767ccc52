//! Integers with a zero point: the codes cover exactly from the smallest to the largest value.

use pulp::Simd;

use super::rule::{Fit, Grained, Rule, reciprocal};
use super::{Grain, Rounding, Scheme};
use crate::real::Real;

/// Integers of 0..`top`; zero is always among the values.
#[derive(Clone, Copy, Debug)]
struct ZeroPoint {
    top: f32,
}

impl Rule for ZeroPoint {
    const REFINED: bool = true;
    const SPACED: bool = true;

    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        let zero = grain.low.of(0.0);
        let (low, high) = (grain.low.min(zero), grain.high.max(zero));
        let top = zero.of(self.top);
        let range = high - low;
        // What the difference was rounded by (Knuth's two-sum).
        let part = range - high;
        let lost = (high - (range - part)) + (-low - part);
        let step = range / top;
        let rest = ((-step).mul_add(top, range) + lost) / top;
        let inverse = reciprocal(top, range);
        let zero_point = (-low * inverse).round_half_even();
        Fit { inverse, step, rest, zero_point, ..Fit::plain(zero) }
    }

    /// A point is the code less the zero point. Rounding cannot leave the codes but where a value lies half
    /// way to the next, and then the clipped one is as far.
    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>) -> (Real<S>, Real<S>) {
        (scaled.round_half_even(), scaled.of(1.0))
    }

    fn code(self, point: f32, zero_point: f32) -> u16 {
        (point + zero_point).clamp(0.0, self.top) as u16
    }

    fn point(self, code: u16, zero_point: f32) -> f32 {
        f32::from(code) - zero_point
    }
}

pub(super) static INT4_G128_ASYM: Scheme = Scheme {
    name: "int4_g128_asym",
    summary: "4-bit integers, scale and zero point for every 128 inputs: (max - min)/15, zero inside (GPTQ and AWQ, arXiv 2210.17323, 2306.00978)",
    grain: Grain::Group(128),
    code_bits: 4,
    grain_bits: 20,
    tensor_bits: 0,
    rounding: Rounding::HalfEven,
    walk: &ZeroPoint { top: 15.0 },
};
