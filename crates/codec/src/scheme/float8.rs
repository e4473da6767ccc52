//! 8-bit floats (OCP 8-bit Floating Point Specification 1.0) under a scale.

use pulp::Simd;

use super::rule::{Fit, Grained, Rule};
use super::{Grain, Normal, Rounding, Scheme};
use crate::encode::MiniFloat;
use crate::real::Real;

/// Scaled so that the largest magnitude is the format's largest number.
#[derive(Clone, Copy, Debug)]
struct Float8(MiniFloat);

impl Rule for Float8 {
    const REFINED: bool = true;
    const HALVES: bool = true;
    const SPACED: bool = true;

    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        Fit::ratio(grain.abs_max(), self.0.largest)
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, _: &Fit<S>) -> (Real<S>, Real<S>) {
        scaled.round_to(self.0.mantissa, self.0.smallest_normal)
    }

    fn code(self, point: f32, _: f32) -> u16 {
        self.0.code(point)
    }

    fn point(self, code: u16, _: f32) -> f32 {
        self.0.value(code)
    }
}

const E4M3: Scheme = Scheme {
    name: "",
    summary: "",
    grain: Grain::Tensor,
    code_bits: 8,
    grain_bits: 32,
    tensor_bits: 0,
    rounding: Rounding::HalfEven,
    normal: Normal::Simulated(&[
        39.081, 35.821, 34.069, 33.032, 32.398, 32.024, 31.800, 31.669, 31.594, 31.561, 31.550,
    ]),
    walk: &Float8(MiniFloat::E4M3),
};

pub(super) static FP8_E4M3_TENSOR: Scheme = Scheme {
    name: "fp8_e4m3_tensor",
    summary: "E4M3 floats (OCP OFP8), one scale for the tensor: absmax/448",
    ..E4M3
};
pub(super) static FP8_E4M3_CHANNEL: Scheme = Scheme {
    name: "fp8_e4m3_channel",
    summary: "E4M3 floats (OCP OFP8), a scale for every output: absmax/448",
    grain: Grain::Channel,
    grain_bits: 16,
    ..E4M3
};
pub(super) static FP8_E5M2_TENSOR: Scheme = Scheme {
    name: "fp8_e5m2_tensor",
    summary: "E5M2 floats (OCP OFP8), one scale for the tensor: absmax/57344",
    normal: Normal::Simulated(&[
        33.070, 29.807, 28.060, 27.018, 26.390, 26.013, 25.799, 25.673, 25.607, 25.575, 25.570,
    ]),
    walk: &Float8(MiniFloat::E5M2),
    ..E4M3
};
