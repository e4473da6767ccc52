//! Formats whose values are stored in blocks: codes of a few bits under scales of their own.
//!
//! A format is data: how many values and bytes a block has, and a `Layout` that says where its codes and
//! scales lie. What a code stands for is an integer, a value is `integer * step + offset` in `f32`, and everything
//! else follows: decoding, the rounding error to expect, whether a scale is spoiled. A family of formats is one
//! file, and a format a line in [`BLOCK_FORMATS`].

mod fp4;
mod grids;
mod iq;
mod iq4;
mod k;
mod layout;
mod small_float;
mod ternary;
pub(crate) mod uniform;

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::DecodeError;

/// Every format: those of GGUF in the order of ggml's type numbers, then those that safetensors alone has.
pub static BLOCK_FORMATS: &[&BlockFormat] = &[
    &uniform::Q4_0,
    &uniform::Q4_1,
    &uniform::Q5_0,
    &uniform::Q5_1,
    &uniform::Q8_0,
    &k::Q2_K,
    &k::Q3_K,
    &k::Q4_K,
    &k::Q5_K,
    &k::Q6_K,
    &iq::IQ2_XXS,
    &iq::IQ2_XS,
    &iq::IQ3_XXS,
    &iq::IQ1_S,
    &iq4::IQ4_NL,
    &iq::IQ3_S,
    &iq::IQ2_S,
    &iq4::IQ4_XS,
    &iq::IQ1_M,
    &ternary::TQ1_0,
    &ternary::TQ2_0,
    &fp4::MXFP4,
    &fp4::NVFP4,
    &uniform::Q1_0,
    &uniform::Q2_0,
    &small_float::F4,
    &small_float::F6_E2M3,
    &small_float::F6_E3M2,
];

/// A number format that is read in blocks, such as GGUF's `Q4_K`.
///
/// Two formats are equal when they have the same name.
///
/// ```
/// use weightscope_codec::BlockFormat;
///
/// let q8_0 = BlockFormat::named("Q8_0").ok_or("no such format")?;
/// assert_eq!((q8_0.values(), q8_0.bytes()), (32, 34));
/// // A scale of 0.5 in binary16, then 32 codes.
/// let mut block = [0; 34];
/// block[..4].copy_from_slice(&[0x00, 0x38, 3, 0xff]);
/// let mut values = [0.0; 2];
/// q8_0.decode_part(&block, 0, &mut values)?;
/// assert_eq!(values, [1.5, -0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct BlockFormat {
    name: &'static str,
    values: usize,
    bytes: usize,
    /// Whole blocks, lengths checked.
    decode: fn(&[u8], &mut [f32]),
    /// Whole blocks.
    rounding_energy: fn(&[u8]) -> f64,
    /// Whole blocks.
    spoiled: fn(&[u8]) -> bool,
}

/// Values of a block at most.
const MOST_VALUES: usize = 256;

impl BlockFormat {
    /// The format of this name, spelled as ggml or safetensors spells it: `Q4_K`, `IQ2_XXS`, `F6_E3M2`.
    pub fn named(name: &str) -> Option<&'static Self> {
        BLOCK_FORMATS.iter().copied().find(|format| format.name == name)
    }

    /// Name as ggml spells it, for example `Q4_K`; as safetensors does for what ggml does not have.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Values of a block, at most 256.
    pub const fn values(&self) -> usize {
        self.values
    }

    /// Bytes of a block, scales included.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Decodes whole blocks to the values that they stand for.
    ///
    /// * `blocks`: any number of blocks, one after the other, at any alignment.
    /// * `out`: exactly [`values`](Self::values) for each of them.
    /// * Bit for bit what PyPI `gguf` restores: an integer times its step is exact in `f32`, and a minimum adds one
    ///   rounding. A scale that is NaN or infinite makes values that are NaN or infinite.
    /// * Cost: one pass; several GB of `f32` per second.
    ///
    /// # Errors
    /// [`DecodeError::Blocks`] when the bytes are no whole blocks, or not as many as the values need.
    pub fn decode(&self, blocks: &[u8], out: &mut [f32]) -> Result<(), DecodeError> {
        if !blocks.len().is_multiple_of(self.bytes) || self.held(blocks) != out.len() {
            return Err(self.mismatch(blocks, out.len()));
        }
        (self.decode)(blocks, out);
        Ok(())
    }

    /// Decodes `out.len()` values from number `skip` on of the `blocks` given: a range of values that begins or ends
    /// within a block. As [`decode`](Self::decode) otherwise.
    ///
    /// # Errors
    /// [`DecodeError::Blocks`] when the bytes are no whole blocks, or hold fewer than `skip + out.len()` values.
    pub fn decode_part(
        &self,
        blocks: &[u8],
        skip: usize,
        out: &mut [f32],
    ) -> Result<(), DecodeError> {
        let end = skip.saturating_add(out.len());
        if !blocks.len().is_multiple_of(self.bytes) || self.held(blocks) < end {
            return Err(self.mismatch(blocks, end));
        }
        let mut scratch = [0.0; MOST_VALUES];
        let scratch = &mut scratch[..self.values];
        // What is left of a first block, whole blocks, and how a last one begins.
        let (mut first, inside) = (skip / self.values, skip % self.values);
        let left = if inside == 0 { 0 } else { out.len().min(self.values - inside) };
        let (head, out) = out.split_at_mut(left);
        if !head.is_empty() {
            (self.decode)(&blocks[first * self.bytes..][..self.bytes], scratch);
            head.copy_from_slice(&scratch[inside..][..left]);
            first += 1;
        }
        let count = out.len() / self.values;
        let (whole, tail) = out.split_at_mut(count * self.values);
        (self.decode)(&blocks[first * self.bytes..][..count * self.bytes], whole);
        if !tail.is_empty() {
            (self.decode)(&blocks[(first + count) * self.bytes..][..self.bytes], scratch);
            tail.copy_from_slice(&scratch[..tail.len()]);
        }
        Ok(())
    }

    /// The error that rounding to this format has left, as far as the stored blocks tell: the sum over their values
    /// of the expected `(w - original)^2`.
    ///
    /// * Evenly spaced codes: `step^2 / 12` a value, the step being that of the scale it is under.
    /// * Codebooks: the mean square distance of a number (of a vector, where a code stands for several values)
    ///   spread evenly over the range of the codebook to its nearest point, times the square of the scale.
    /// * Floats without a scale: `spacing^2 / 12`, with the distance of neighbours at each value.
    /// * NaN or infinite where a scale is.
    /// * What does not fill a block is left out.
    pub fn rounding_energy(&self, blocks: &[u8]) -> f64 {
        (self.rounding_energy)(blocks)
    }

    /// Whether a scale or a minimum of these blocks is NaN or infinite, or has the code that its format gives to NaN
    /// even where ggml reads a number there (255 in `MXFP4`, 0x7f in `NVFP4`).
    ///
    /// Formats without scales are never spoiled. What does not fill a block is left out.
    pub fn spoiled(&self, blocks: &[u8]) -> bool {
        (self.spoiled)(blocks)
    }

    /// Values that whole blocks hold.
    fn held(&self, blocks: &[u8]) -> usize {
        (blocks.len() / self.bytes).saturating_mul(self.values)
    }

    fn mismatch(&self, blocks: &[u8], values: usize) -> DecodeError {
        DecodeError::Blocks {
            format: self.name,
            values,
            have: blocks.len(),
            of: [self.values, self.bytes],
        }
    }
}

impl fmt::Debug for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockFormat").field(&self.name).finish()
    }
}

impl fmt::Display for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl PartialEq for BlockFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for BlockFormat {}

impl Hash for BlockFormat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
