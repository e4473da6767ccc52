//! MXFP4: E2M1 floats under a power of two for every 32 values (OCP Microscaling Formats Specification 1.0,
//! sections 5.2 and 6.3).

use pulp::Simd;

use super::rule::{Fit, Grained, Rule, reciprocal};
use super::{Grain, Normal, Rounding, Scheme};
use crate::encode::MiniFloat;
use crate::real::Real;

/// The exponent of E2M1's largest number, 6.
const LARGEST_BINADE: f32 = 4.0;
/// Smallest scale that E8M0 can say.
const SMALLEST_SCALE: f32 = f32::from_bits(1 << 22); // 2^-127

#[derive(Clone, Copy, Debug)]
struct Microscaled;

/// Nearest E2M1 number, saturating, and the distance of its neighbours.
#[inline(always)]
pub(super) fn nearest_e2m1<S: Simd>(scaled: Real<S>) -> (Real<S>, Real<S>) {
    let largest = scaled.of(MiniFloat::E2M1.largest);
    let (point, spacing) =
        scaled.round_to(MiniFloat::E2M1.mantissa, MiniFloat::E2M1.smallest_normal);
    (point.min(largest).max(-largest), spacing)
}

impl Rule for Microscaled {
    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        let largest = grain.abs_max();
        let step =
            (largest.binade() * largest.of(1.0 / LARGEST_BINADE)).max(largest.of(SMALLEST_SCALE));
        Fit { inverse: reciprocal(largest.of(1.0), step), step, ..Fit::plain(largest) }
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

pub(super) static MXFP4: Scheme = Scheme {
    name: "mxfp4",
    summary: "E2M1 floats, a power of two for every 32 inputs (OCP Microscaling Formats 1.0)",
    grain: Grain::Group(32),
    code_bits: 4,
    grain_bits: 8,
    tensor_bits: 0,
    rounding: Rounding::HalfEven,
    normal: Normal::ByFraction(
        &[17.871, 18.137, 18.371, 18.573, 18.789],
        [0.0, 0.111, 0.135, 0.054, -0.078, -0.194, -0.220, -0.141],
    ),
    walk: &Microscaled,
};
