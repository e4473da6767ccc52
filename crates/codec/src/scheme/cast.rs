//! Plain casts to 16-bit floats.

use pulp::Simd;

use super::rule::{Fit, Grained, Rule};
use super::{Grain, Normal, Rounding, Scheme};
use crate::encode::MiniFloat;
use crate::real::Real;

#[derive(Clone, Copy, Debug)]
struct Half;

impl Rule for Half {
    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        Fit::plain(grain.low)
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, _: &Fit<S>) -> (Real<S>, Real<S>) {
        (scaled.round_to_f16(), scaled)
    }

    fn code(self, point: f32, _: f32) -> u16 {
        MiniFloat::F16.code(point)
    }

    fn point(self, code: u16, _: f32) -> f32 {
        MiniFloat::F16.value(code)
    }
}

#[derive(Clone, Copy, Debug)]
struct Brain;

impl Rule for Brain {
    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        Fit::plain(grain.low)
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, _: &Fit<S>) -> (Real<S>, Real<S>) {
        scaled.round_to(MiniFloat::BF16.mantissa, MiniFloat::BF16.smallest_normal)
    }

    fn code(self, point: f32, _: f32) -> u16 {
        MiniFloat::BF16.code(point)
    }

    fn point(self, code: u16, _: f32) -> f32 {
        MiniFloat::BF16.value(code)
    }
}

const CAST: Scheme = Scheme {
    name: "f16",
    summary: "cast to IEEE 754 binary16",
    grain: Grain::Value,
    code_bits: 16,
    grain_bits: 0,
    tensor_bits: 0,
    rounding: Rounding::HalfEven,
    normal: Normal::Cast(73.658),
    walk: &Half,
};

pub(super) static F16: Scheme = CAST;
pub(super) static BF16: Scheme = Scheme {
    name: "bf16",
    summary: "cast to bfloat16",
    normal: Normal::Cast(55.604),
    walk: &Brain,
    ..CAST
};
