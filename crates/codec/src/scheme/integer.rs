//! Symmetric integers: the largest magnitude of a grain is the largest code.

use pulp::Simd;

use super::rule::{Fit, Grained, Rule};
use super::{Grain, Rounding, Scheme};
use crate::real::Real;

/// Integers of -`top`..`top`, scale `absmax/top`.
#[derive(Clone, Copy, Debug)]
struct Symmetric {
    top: f32,
}

impl Rule for Symmetric {
    const REFINED: bool = true;
    const SPACED: bool = true;

    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        Fit::ratio(grain.abs_max(), self.top)
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>) -> (Real<S>, Real<S>) {
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

const fn scheme(
    name: &'static str,
    summary: &'static str,
    grain: Grain,
    code_bits: u32,
    grain_bits: u32,
    walk: &'static dyn super::Walk,
) -> Scheme {
    let rounding = Rounding::HalfEven;
    Scheme { name, summary, grain, code_bits, grain_bits, tensor_bits: 0, rounding, walk }
}

const INT8: &Symmetric = &Symmetric { top: 127.0 };
const INT4: &Symmetric = &Symmetric { top: 7.0 };

pub(super) static INT8_TENSOR: Scheme = scheme(
    "int8_tensor",
    "8-bit integers, one scale for the tensor: absmax/127",
    Grain::Tensor,
    8,
    32,
    INT8,
);
pub(super) static INT8_CHANNEL: Scheme = scheme(
    "int8_channel",
    "8-bit integers, a scale for every output: absmax/127 (LLM.int8(), arXiv 2208.07339, weights)",
    Grain::Channel,
    8,
    16,
    INT8,
);
pub(super) static INT4_CHANNEL: Scheme = scheme(
    "int4_channel",
    "4-bit integers, a scale for every output: absmax/7",
    Grain::Channel,
    4,
    16,
    INT4,
);
pub(super) static INT4_G128: Scheme = scheme(
    "int4_g128",
    "4-bit integers, a scale for every 128 inputs: absmax/7 (the grid of GPTQ and AWQ, arXiv 2210.17323, 2306.00978)",
    Grain::Group(128),
    4,
    16,
    INT4,
);
pub(super) static INT4_G64: Scheme = scheme(
    "int4_g64",
    "4-bit integers, a scale for every 64 inputs: absmax/7",
    Grain::Group(64),
    4,
    16,
    INT4,
);
pub(super) static INT4_G32: Scheme = scheme(
    "int4_g32",
    "4-bit integers, a scale for every 32 inputs: absmax/7",
    Grain::Group(32),
    4,
    16,
    INT4,
);
