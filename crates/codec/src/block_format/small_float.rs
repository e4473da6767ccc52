//! Floats of fewer than eight bits without a scale, as safetensors stores them: the types of the OCP Microscaling
//! Formats Specification 1.0, section 5.3, which have no infinity and no NaN.
//!
//! Codes lie in a stream of bits, the first value in the lowest bits of the first byte. safetensors gives the widths
//! alone, and that a tensor fills its bytes. Of two E2M1 codes in a byte torch (`float4_e2m1fn_x2`, which safetensors
//! writes as F4) and CUDA (`__nv_fp4x2_e2m1`) have the first one low; the six-bit types, which torch does not have, are
//! read as ONNX packs them (FLOAT6E2M3 and FLOAT6E3M2 of its technical notes on float6).

use super::BlockFormat;
use super::layout::EVEN;
use crate::decode::numbers;

/// A float of `8 * BYTES / VALUES` bits, `CODES` of them.
trait SmallFloat<const BYTES: usize, const VALUES: usize, const CODES: usize> {
    /// Stored mantissa bits.
    const MANTISSA: u32;
    /// Of the exponent.
    const BIAS: u32;
    /// What codes stand for.
    const NUMBERS: &'static [f32; CODES] = &numbers(Self::MANTISSA, Self::BIAS);

    /// Calls `visit` with the codes of every block.
    #[inline(always)]
    fn each(blocks: &[u8], mut visit: impl FnMut([usize; VALUES])) {
        for block in blocks.as_chunks::<BYTES>().0 {
            let bits = block.iter().rev().fold(0, |bits, byte| bits << 8 | usize::from(*byte));
            visit(std::array::from_fn(|i| bits >> (i * 8 * BYTES / VALUES) & (CODES - 1)));
        }
    }

    fn decode(blocks: &[u8], out: &mut [f32]) {
        let mut out = out.as_chunks_mut::<VALUES>().0.iter_mut();
        Self::each(blocks, |codes| {
            if let Some(values) = out.next() {
                *values = codes.map(|code| Self::NUMBERS[code]);
            }
        });
    }

    fn rounding_energy(blocks: &[u8]) -> f64 {
        let mut squares = 0.0;
        Self::each(blocks, |codes| {
            for code in codes {
                let exponent = ((code % (CODES / 2)) >> Self::MANTISSA).max(1) as i32;
                let spacing = 2f64.powi(exponent - (Self::BIAS + Self::MANTISSA) as i32);
                squares += spacing * spacing;
            }
        });
        squares * EVEN
    }
}

enum E2M1 {}

impl SmallFloat<1, 2, 16> for E2M1 {
    const MANTISSA: u32 = 1;
    const BIAS: u32 = 1;
}

enum E2M3 {}

impl SmallFloat<3, 4, 64> for E2M3 {
    const MANTISSA: u32 = 3;
    const BIAS: u32 = 1;
}

enum E3M2 {}

impl SmallFloat<3, 4, 64> for E3M2 {
    const MANTISSA: u32 = 2;
    const BIAS: u32 = 3;
}

const fn plain<F, const BYTES: usize, const VALUES: usize, const CODES: usize>(
    name: &'static str,
) -> BlockFormat
where
    F: SmallFloat<BYTES, VALUES, CODES>,
{
    BlockFormat {
        name,
        values: VALUES,
        bytes: BYTES,
        decode: F::decode,
        rounding_energy: F::rounding_energy,
        spoiled: |_| false,
    }
}

pub(super) static F4: BlockFormat = plain::<E2M1, _, _, _>("F4");
pub(super) static F6_E2M3: BlockFormat = plain::<E2M3, _, _, _>("F6_E2M3");
pub(super) static F6_E3M2: BlockFormat = plain::<E3M2, _, _, _>("F6_E3M2");
