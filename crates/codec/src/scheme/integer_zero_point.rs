//! Integers with a zero point: the codes cover exactly from the smallest to the largest value.

use pulp::Simd;

use super::rule::{Fit, Grained, Rule, quotient, reciprocal};
use super::{Grain, Normal, Rounding, Scheme};
use crate::real::Real;

/// Integers of 0..`top`; zero is always among the values.
#[derive(Clone, Copy, Debug)]
struct ZeroPoint {
    top: f32,
}

impl Rule for ZeroPoint {
    const REFINED: bool = true;
    const HALVES: bool = true;
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
        let (step, rest) = quotient(range, self.top);
        let rest = rest + lost / top;
        let inverse = reciprocal(top, range);
        let zero_point = (-low * inverse).round_half_even();
        Fit { inverse, step, rest, zero_point, ..Fit::plain(zero) }
    }

    /// A point is the code less the zero point. Only halves can leave the codes: where the zero point was one.
    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, fit: &Fit<S>) -> (Real<S>, Real<S>) {
        let (lowest, highest) = (-fit.zero_point, fit.zero_point.of(self.top) - fit.zero_point);
        (scaled.round_half_even().max(lowest).min(highest), scaled.of(1.0))
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
    normal: Normal::Range { top: 15.0 },
    walk: &ZeroPoint { top: 15.0 },
};
