//! The block formats of GGUF: 32 values, a half-precision scale, and for the `_1` types a minimum.
//!
//! Arithmetic and rounding are those of ggml's reference code as PyPI `gguf` repeats it, bit for bit.

use pulp::Simd;

use super::rule::{Fit, Grained, Rule, reciprocal};
use super::{Grain, Normal, Rounding, Scheme};
use crate::block_format::{BlockFormat, uniform};
use crate::encode::MiniFloat;
use crate::real::Real;

/// Values of a block.
const BLOCK: usize = 32;

/// Q8_0: scale `absmax/127`, halves away from zero.
#[derive(Clone, Copy, Debug)]
struct Eight;

impl Rule for Eight {
    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        let largest = grain.abs_max();
        halved(largest / largest.of(127.0))
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, _: &Fit<S>) -> (Real<S>, Real<S>) {
        (scaled.round_half_away(), scaled)
    }

    fn code(self, point: f32, _: f32) -> u16 {
        u16::from((point as i8) as u8)
    }

    fn point(self, code: u16, _: f32) -> f32 {
        f32::from(code as u8 as i8)
    }
}

/// Q4_0 and Q5_0: the value of largest magnitude, whatever its sign, is the lowest code, -`half`.
#[derive(Clone, Copy, Debug)]
struct Signed {
    half: f32,
}

impl Rule for Signed {
    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        let (low, high) = (grain.low, grain.high);
        let zero = high.of(0.0);
        let mut extreme = high.where_above(high, -low, low);
        let tied = high.of(1.0).where_equal(high, -low, zero);
        if high.0.reduce_max_f32s(tied.1) > 0.0 {
            // Both signs reach it: the first one counts, also of zeros.
            for w in grain.values.iter().rev() {
                let first = w.where_equal(w.abs(), high.abs(), extreme);
                extreme = first.where_above(tied, zero, extreme);
            }
        }
        halved(extreme / extreme.of(-self.half))
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, _: &Fit<S>) -> (Real<S>, Real<S>) {
        let code = (scaled + scaled.of(self.half + 0.5)).floor();
        (code.min(code.of(2.0 * self.half - 1.0)) - code.of(self.half), scaled)
    }

    fn code(self, point: f32, _: f32) -> u16 {
        (point + self.half) as u16
    }

    fn point(self, code: u16, _: f32) -> f32 {
        f32::from(code) - self.half
    }
}

/// Q4_1 and Q5_1: codes 0..`top` from the minimum to the maximum.
#[derive(Clone, Copy, Debug)]
struct FromMinimum {
    top: f32,
}

impl Rule for FromMinimum {
    const SHIFTED: bool = true;

    #[inline(always)]
    fn fit<S: Simd>(self, grain: &Grained<'_, S>) -> Fit<S> {
        let (low, high) = (grain.low, grain.high);
        let fit = halved((high - low) / low.of(self.top));
        Fit { base: low, offset: low.round_to_f16(), ..fit }
    }

    #[inline(always)]
    fn nearest<S: Simd>(self, scaled: Real<S>, _: &Fit<S>) -> (Real<S>, Real<S>) {
        let code = (scaled + scaled.of(0.5)).floor();
        (code.min(code.of(self.top)), scaled)
    }

    fn code(self, point: f32, _: f32) -> u16 {
        point as u16
    }

    fn point(self, code: u16, _: f32) -> f32 {
        f32::from(code)
    }
}

/// Codes follow from the scale in `f32`, values from the scale in half precision.
#[inline(always)]
fn halved<S: Simd>(scale: Real<S>) -> Fit<S> {
    let inverse = reciprocal(scale.of(1.0), scale);
    Fit { inverse, step: scale.round_to_f16(), ..Fit::plain(scale) }
}

/// What stores the codes of which scheme.
pub(super) static STORED: [(&Scheme, &BlockFormat); 5] = [
    (&Q8_0, &uniform::Q8_0),
    (&Q4_0, &uniform::Q4_0),
    (&Q4_1, &uniform::Q4_1),
    (&Q5_0, &uniform::Q5_0),
    (&Q5_1, &uniform::Q5_1),
];

const Q: Scheme = Scheme {
    name: "",
    summary: "",
    grain: Grain::Group(BLOCK as u32),
    code_bits: 4,
    grain_bits: 16,
    tensor_bits: 0,
    rounding: Rounding::HalfUp,
    normal: Normal::Simulated(&[29.404, 25.903, 23.840, 22.411, 21.324]),
    walk: &Signed { half: 8.0 },
};

pub(super) static Q8_0: Scheme = Scheme {
    name: "gguf_q8_0",
    summary: "GGUF Q8_0: 8-bit integers, an F16 scale for every 32 inputs",
    code_bits: 8,
    rounding: Rounding::HalfAway,
    normal: Normal::Simulated(&[53.700, 50.175, 48.053, 46.564, 45.435]),
    walk: &Eight,
    ..Q
};
pub(super) static Q4_0: Scheme = Scheme {
    name: "gguf_q4_0",
    summary: "GGUF Q4_0: 4-bit integers, an F16 scale for every 32 inputs",
    ..Q
};
pub(super) static Q4_1: Scheme = Scheme {
    name: "gguf_q4_1",
    summary: "GGUF Q4_1: 4-bit integers, an F16 scale and minimum for every 32 inputs",
    grain_bits: 32,
    normal: Normal::Simulated(&[70.660, 30.318, 26.126, 23.739, 22.137]),
    walk: &FromMinimum { top: 15.0 },
    ..Q
};
pub(super) static Q5_0: Scheme = Scheme {
    name: "gguf_q5_0",
    summary: "GGUF Q5_0: 5-bit integers, an F16 scale for every 32 inputs",
    code_bits: 5,
    normal: Normal::Simulated(&[35.588, 32.062, 29.968, 28.507, 27.398]),
    walk: &Signed { half: 16.0 },
    ..Q
};
pub(super) static Q5_1: Scheme = Scheme {
    name: "gguf_q5_1",
    summary: "GGUF Q5_1: 5-bit integers, an F16 scale and minimum for every 32 inputs",
    code_bits: 5,
    grain_bits: 32,
    normal: Normal::Simulated(&[70.658, 36.626, 32.432, 30.048, 28.440]),
    walk: &FromMinimum { top: 31.0 },
    ..Q
};

/// Why values are not encoded as a GGUF type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// Not a block format of GGUF.
    #[error("{0} is no block format of GGUF")]
    Scheme(&'static str),
    /// Values that do not fill blocks.
    #[error("{0} values do not fill blocks of 32")]
    Blocks(usize),
}

/// Quantizes `values`, whole blocks of 32, to the bytes that a GGUF file holds (`block_q4_0` and its like in
/// ggml-common.h); [`Scheme::block_format`] reads them.
///
/// # Errors
/// [`GgufError`] for another scheme than the five of GGUF, and for values that do not fill blocks.
pub fn gguf_encode(scheme: &'static Scheme, values: &[f32]) -> Result<Vec<u8>, GgufError> {
    let format = scheme.block_format().ok_or(GgufError::Scheme(scheme.name))?;
    let shape = [1, values.len()];
    let whole = values.len().is_multiple_of(BLOCK);
    let encoded = scheme.encode(values, shape).ok().filter(|_| whole);
    let encoded = encoded.ok_or(GgufError::Blocks(values.len()))?;
    let mut bytes = Vec::with_capacity(values.len() / BLOCK * format.bytes());
    let half = |x: f32| MiniFloat::F16.code(x).to_le_bytes();
    for (codes, grain) in encoded.codes().as_chunks::<BLOCK>().0.iter().zip(encoded.grains()) {
        bytes.extend(half(grain.step));
        // Where grains have 32 bits, the other half is a minimum.
        if scheme.grain_bits == 32 {
            bytes.extend(half(grain.offset));
        }
        match scheme.code_bits {
            8 => bytes.extend(codes.map(|code| code as u8)),
            bits => {
                if bits == 5 {
                    let high = |(i, code): (usize, &u16)| u32::from(code >> 4) << i;
                    let bits: u32 = codes.iter().enumerate().map(high).sum();
                    bytes.extend(bits.to_le_bytes());
                }
                let (low, high) = codes.split_at(BLOCK / 2);
                bytes.extend(low.iter().zip(high).map(|(a, b)| (a & 15 | b << 4) as u8));
            }
        }
    }
    Ok(bytes)
}
