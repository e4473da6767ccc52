//! NVFP4: E2M1 floats under an E4M3 scale for every 16 values, and one f32 for the tensor.

use pulp::Simd;

use super::mxfp4::nearest_e2m1;
use super::rule::{Fit, Grained, Rule, quotient, reciprocal};
use super::{Grain, Normal, Rounding, Scheme};
use crate::encode::MiniFloat;
use crate::real::Real;

#[derive(Clone, Copy, Debug)]
struct TwoLevel;

impl Rule for TwoLevel {
    const REFINED: bool = true;
    const HALVES: bool = true;
    const SPACED: bool = true;
    const NEAR_HALVES: bool = true;

    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        let (block, format) = (MiniFloat::E4M3, MiniFloat::E2M1);
        let largest = grain.abs_max();
        // Divided as the scale of the tensor, so that the largest magnitude gets E4M3's largest scale.
        let tensor = (block.largest * format.largest / grain.tensor).min(f32::MAX);
        // The product and what it was rounded by, so that the quotient is rounded once.
        let product = largest * largest.of(tensor);
        let lost = largest.mul_add(largest.of(tensor), -product);
        let (scale, rest) = quotient(product, format.largest);
        let (scale, _) = (scale + lost.mul_add(lost.of(1.0 / format.largest), rest))
            .min(largest.of(block.largest))
            .round_to(block.mantissa, block.smallest_normal);
        let (step, rest) = quotient(scale, tensor);
        let inverse = reciprocal(largest.of(tensor), scale);
        Fit { inverse, step, rest, ..Fit::plain(largest) }
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, _: &Fit<S>) -> (Real<S>, Real<S>) {
        nearest_e2m1(scaled)
    }

    fn code(self, point: f32, _: f32) -> u16 {
        MiniFloat::E2M1.code(point)
    }

    fn point(self, code: u16, _: f32) -> f32 {
        MiniFloat::E2M1.value(code)
    }
}

pub(super) static NVFP4: Scheme = Scheme {
    name: "nvfp4",
    summary: "E2M1 floats, an E4M3 scale for every 16 inputs under one for the tensor: 448*6/absmax",
    grain: Grain::Group(16),
    code_bits: 4,
    grain_bits: 8,
    tensor_bits: 32,
    rounding: Rounding::HalfEven,
    normal: Normal::Simulated(&[25.517, 22.895, 21.364, 20.436]),
    walk: &TwoLevel,
};
