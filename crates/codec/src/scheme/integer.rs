//! Symmetric integers: the largest magnitude of a grain is the largest code.

use pulp::Simd;

use super::rule::{Fit, Grained, Rule};
use super::{Grain, Normal, Rounding, Scheme};
use crate::real::Real;

/// Integers of -`TOP`..`TOP`, scale `absmax/TOP`.
#[derive(Clone, Copy, Debug)]
struct Symmetric<const TOP: u8>;

impl<const TOP: u8> Rule for Symmetric<TOP> {
    const REFINED: bool = true;
    const HALVES: bool = true;
    // The quotient is right to half a unit in the last place: up to 7, that shifts no half by 1e-6 of itself.
    const SPACED: bool = TOP > 7;

    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        Fit::ratio(grain.abs_max(), f32::from(TOP))
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, _: &Fit<S>) -> (Real<S>, Real<S>) {
        (scaled.round_half_even(), scaled.of(1.0))
    }

    fn code(self, point: f32, _: f32) -> u16 {
        // Two's complement in 8 bits, also of 4-bit codes.
        u16::from((point as i8) as u8)
    }

    fn point(self, code: u16, _: f32) -> f32 {
        f32::from(code as u8 as i8)
    }
}

const INT8: Scheme = Scheme {
    name: "",
    summary: "",
    grain: Grain::Tensor,
    code_bits: 8,
    grain_bits: 16,
    tensor_bits: 0,
    rounding: Rounding::HalfEven,
    normal: Normal::Symmetric { top: 127.0 },
    walk: &Symmetric::<127>,
};
const INT4: Scheme =
    Scheme { code_bits: 4, normal: Normal::Symmetric { top: 7.0 }, walk: &Symmetric::<7>, ..INT8 };

pub(super) static INT8_TENSOR: Scheme = Scheme {
    name: "int8_tensor",
    summary: "8-bit integers, one scale for the tensor: absmax/127",
    grain_bits: 32,
    ..INT8
};
pub(super) static INT8_CHANNEL: Scheme = Scheme {
    name: "int8_channel",
    summary: "8-bit integers, a scale for every output: absmax/127 (weights of LLM.int8(), arXiv 2208.07339)",
    grain: Grain::Channel,
    ..INT8
};
pub(super) static INT4_CHANNEL: Scheme = Scheme {
    name: "int4_channel",
    summary: "4-bit integers, a scale for every output: absmax/7",
    grain: Grain::Channel,
    ..INT4
};
pub(super) static INT4_G128: Scheme = Scheme {
    name: "int4_g128",
    summary: "4-bit integers, a scale for every 128 inputs: absmax/7 (rounding to nearest on the grid of GPTQ and AWQ, arXiv 2210.17323, 2306.00978)",
    grain: Grain::Group(128),
    ..INT4
};
pub(super) static INT4_G64: Scheme = Scheme {
    name: "int4_g64",
    summary: "4-bit integers, a scale for every 64 inputs: absmax/7",
    grain: Grain::Group(64),
    ..INT4
};
pub(super) static INT4_G32: Scheme = Scheme {
    name: "int4_g32",
    summary: "4-bit integers, a scale for every 32 inputs: absmax/7",
    grain: Grain::Group(32),
    ..INT4
};
