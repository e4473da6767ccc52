//! 4-bit NormalFloat: sixteen levels at quantiles of the normal distribution (QLoRA, arXiv 2305.14314,
//! appendix E), under the largest magnitude of 64 values.

use pulp::Simd;

use super::rule::{Fit, Grained, Rule};
use super::{Grain, Normal, Rounding, Scheme};
use crate::codes::NF4 as LEVELS;
use crate::real::Real;

/// Index of the level zero; as many are below, one more above.
const ZERO: usize = 7;

#[derive(Clone, Copy, Debug)]
struct NormalFloat;

impl Rule for NormalFloat {
    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        Fit::ratio(grain.abs_max(), 1.0)
    }

    /// From zero outwards, past every middle of two levels that the magnitude exceeds.
    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, _: &Fit<S>) -> (Real<S>, Real<S>) {
        let zero = scaled.of(0.0);
        let (magnitude, mut level) = (scaled.abs(), zero);
        for k in 0..LEVELS.len() - 1 - ZERO {
            let above = (LEVELS[ZERO + k], LEVELS[ZERO + k + 1]);
            // Beyond the last level below zero nothing lies.
            let below = if k < ZERO {
                (LEVELS[ZERO - k], LEVELS[ZERO - k - 1])
            } else {
                (LEVELS[0], f32::NEG_INFINITY)
            };
            let middles = (f32::midpoint(below.0, below.1), f32::midpoint(above.0, above.1));
            let middle = scaled.of(middles.0.abs()).where_above(zero, scaled, scaled.of(middles.1));
            let next = scaled.of(below.1).where_above(zero, scaled, scaled.of(above.1));
            level = next.where_above(magnitude, middle, level);
        }
        (level, zero)
    }

    fn code(self, point: f32, _: f32) -> u16 {
        LEVELS.iter().position(|level| *level == point).unwrap_or(ZERO) as u16
    }

    fn point(self, code: u16, _: f32) -> f32 {
        LEVELS.get(usize::from(code)).copied().unwrap_or(0.0)
    }
}

pub(super) static NF4_B64: Scheme = Scheme {
    name: "nf4_b64",
    summary: "16 levels at quantiles of a normal, the largest magnitude of 64 inputs as the scale (QLoRA, arXiv 2305.14314)",
    grain: Grain::Group(64),
    code_bits: 4,
    grain_bits: 32,
    tensor_bits: 0,
    rounding: Rounding::HalfDown,
    normal: Normal::Simulated(&[27.902, 24.654, 22.898, 21.849, 21.183, 20.724]),
    walk: &NormalFloat,
};
