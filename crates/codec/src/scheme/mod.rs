//! Quantization schemes: how weights are stored in fewer bits, and what that costs.
//!
//! A [`Scheme`] is data: which values share a scale, how the scale follows from them, and which numbers a code
//! can stand for. Everything else is common: measuring the error, encoding, decoding. Adding a scheme is one
//! file with its `Rule` and its oracle test, and a line in [`SCHEMES`].

mod block;
mod cast;
mod encoded;
mod float8;
mod gguf;
mod integer;
mod integer_zero_point;
mod mxfp4;
mod nf4;
mod nvfp4;
mod rule;

use std::fmt;

pub use block::{Block, CELL, Errors, Extent, LANES, Lanes, SPAN};
pub use encoded::{Encoded, GrainScale};
pub use gguf::{GgufError, gguf_encode};

use crate::BlockFormat;
use block::Walk;

/// Every scheme, in the order reports list them.
pub static SCHEMES: &[&Scheme] = &[
    &integer::INT8_TENSOR,
    &integer::INT8_CHANNEL,
    &integer::INT4_CHANNEL,
    &integer::INT4_G128,
    &integer::INT4_G64,
    &integer::INT4_G32,
    &integer_zero_point::INT4_G128_ASYM,
    &float8::FP8_E4M3_TENSOR,
    &float8::FP8_E4M3_CHANNEL,
    &float8::FP8_E5M2_TENSOR,
    &cast::F16,
    &cast::BF16,
    &nf4::NF4_B64,
    &mxfp4::MXFP4,
    &nvfp4::NVFP4,
    &gguf::Q8_0,
    &gguf::Q4_0,
    &gguf::Q4_1,
    &gguf::Q5_0,
    &gguf::Q5_1,
];

/// The values that share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grain {
    /// None has one: a plain cast.
    Value,
    /// All of the tensor.
    Tensor,
    /// A row of `[out, in]`: what makes one output.
    Channel,
    /// So many consecutive values of a row (a multiple of 16); a short last group is a group of its own.
    Group(u32),
}

/// A quantization scheme.
#[derive(Clone, Copy)]
pub struct Scheme {
    /// What reports call it, for example `int4_g128`.
    pub name: &'static str,
    /// One line: what it is, and where it is specified.
    pub summary: &'static str,
    /// The values that share a scale.
    pub grain: Grain,
    /// Bits of one code.
    pub code_bits: u32,
    /// Bits that every grain stores besides: scale, and zero point or minimum.
    pub grain_bits: u32,
    /// Bits that the tensor stores besides.
    pub tensor_bits: u32,
    /// Where numbers between two codes go.
    pub rounding: Rounding,
    /// What weights from a normal distribution show.
    pub normal: Normal,
    walk: &'static dyn Walk,
}

/// Where the signal-to-noise ratio of a scheme on independent normal weights comes from. `g` values share a scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normal {
    /// Uniform steps of `absmax/top`: a closed form in the expected square of the largest of `g` magnitudes.
    Symmetric {
        /// Largest code.
        top: f64,
    },
    /// Uniform steps of `(max - min)/top`: the same in that of the range.
    Range {
        /// Steps of the range.
        top: f64,
    },
    /// Simulated: decibels for `g` = 2, 4, 8 and so on; larger `g` have the last one.
    Simulated(&'static [f64]),
    /// Simulated likewise at a standard deviation of 1; scales are powers of two, so that it depends on the
    /// binary logarithm of the deviation: what is added at fractions of 0, 1/8, .. 7/8.
    ByFraction(&'static [f64], [f64; 8]),
    /// Simulated; no values share a scale.
    Cast(f64),
}

/// How numbers between two codes are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To the nearest, halves to the even code.
    HalfEven,
    /// To the nearest, halves away from zero.
    HalfAway,
    /// To the nearest, halves up.
    HalfUp,
    /// To the nearest, halves to the lower code.
    HalfDown,
}

impl Scheme {
    /// The scheme of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SCHEMES.iter().copied().find(|scheme| scheme.name == name)
    }

    /// The format of GGUF that stores what this scheme makes, see [`gguf_encode`].
    pub fn block_format(&self) -> Option<&'static BlockFormat> {
        gguf::STORED.iter().find(|(scheme, _)| scheme.name == self.name).map(|(_, format)| *format)
    }

    /// Bits per weight of a matrix `[out, in]`, scales included; 0 for an empty one.
    pub fn bits_per_weight(&self, [out, input]: [u64; 2]) -> f64 {
        let values = out as f64 * input as f64;
        if values == 0.0 {
            return 0.0;
        }
        let grains = match self.grain {
            Grain::Value => 0.0,
            Grain::Tensor => 1.0,
            Grain::Channel => out as f64,
            Grain::Group(size) => out as f64 * input.div_ceil(size.into()) as f64,
        };
        let besides = grains * f64::from(self.grain_bits) + f64::from(self.tensor_bits);
        f64::from(self.code_bits) + besides / values
    }

    /// Adds to `errors` what storing `block` in this scheme changes.
    ///
    /// Cost: one pass over values in cache, about 0.1 ns each on a core with AVX-512. Scales are taken as real
    /// numbers unless the format rounds them, and errors are exact to 1e-7 of themselves.
    pub fn add_errors(&self, block: &Block<'_>, errors: &mut Errors) {
        self.walk.add_errors(self.grain, block, errors);
    }

    /// Writes every value of `block` minus its restored value into `into`, of the same length.
    pub fn deviations(&self, block: &Block<'_>, into: &mut [Lanes]) {
        self.walk.deviations(self.grain, block, into);
    }

    /// Quantizes a matrix `[out, in]` of finite values, row after row.
    ///
    /// Scratch: one byte per value and twelve per grain.
    ///
    /// # Errors
    /// [`ShapeError`] when the length is not `out * in`.
    pub fn encode(&'static self, values: &[f32], shape: [usize; 2]) -> Result<Encoded, ShapeError> {
        Encoded::new(self, self.walk, values, shape)
    }
}

impl fmt::Debug for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheme").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A matrix whose values are not as many as its shape says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{values} values for a matrix [{}, {}]", .shape[0], .shape[1])]
pub struct ShapeError {
    /// Values given.
    pub values: usize,
    /// `[out, in]`.
    pub shape: [usize; 2],
}
