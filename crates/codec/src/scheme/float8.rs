//! 8-bit floats (OCP 8-bit Floating Point Specification 1.0) under a scale.

use pulp::Simd;

use super::rule::{Fit, Grained, Rule};
use super::{Grain, Rounding, Scheme};
use crate::encode::MiniFloat;
use crate::real::Real;

/// Scaled so that the largest magnitude is the format's largest number.
#[derive(Clone, Copy, Debug)]
struct Float8(MiniFloat);

impl Rule for Float8 {
    const REFINED: bool = true;
    const SPACED: bool = true;

    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        Fit::ratio(grain.abs_max(), self.0.largest)
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>) -> (Real<S>, Real<S>) {
        scaled.round_to(self.0.mantissa, self.0.smallest_normal)
    }

    fn code(self, point: f32, _: f32) -> u16 {
        self.0.code(point)
    }

    fn point(self, code: u16, _: f32) -> f32 {
        self.0.value(code)
    }
}

const fn scheme(
    name: &'static str,
    summary: &'static str,
    grain: Grain,
    grain_bits: u32,
    walk: &'static dyn super::Walk,
) -> Scheme {
    let rounding = Rounding::HalfEven;
    Scheme { name, summary, grain, code_bits: 8, grain_bits, tensor_bits: 0, rounding, walk }
}

const E4M3: &Float8 = &Float8(MiniFloat::E4M3);
const E5M2: &Float8 = &Float8(MiniFloat::E5M2);

pub(super) static FP8_E4M3_TENSOR: Scheme = scheme(
    "fp8_e4m3_tensor",
    "E4M3 floats, one scale for the tensor: absmax/448",
    Grain::Tensor,
    32,
    E4M3,
);
pub(super) static FP8_E4M3_CHANNEL: Scheme = scheme(
    "fp8_e4m3_channel",
    "E4M3 floats, a scale for every output: absmax/448",
    Grain::Channel,
    16,
    E4M3,
);
pub(super) static FP8_E5M2_TENSOR: Scheme = scheme(
    "fp8_e5m2_tensor",
    "E5M2 floats, one scale for the tensor: absmax/57344",
    Grain::Tensor,
    32,
    E5M2,
);
