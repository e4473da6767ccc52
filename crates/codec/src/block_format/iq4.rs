//! The 4-bit codebook of ggml: `block_iq4_nl` and `block_iq4_xs` in ggml-common.h, read as their
//! `dequantize_row_*` in ggml-quants.c do.

use super::BlockFormat;
use super::grids::IQ4;
use super::layout::{Layout, field, half, spread};
use super::uniform::nibbles;

/// Scale, 16 bytes of nibbles.
enum NonLinear {}

impl Layout<18, 1, 32> for NonLinear {
    const NOISE: f64 = spread(&IQ4);

    #[inline(always)]
    fn points(block: &[u8; 18]) -> [[i8; 32]; 1] {
        [nibbles::<16, 32>(field(block, 2)).map(|code| IQ4[usize::from(code & 15)])]
    }

    #[inline(always)]
    fn steps(block: &[u8; 18]) -> [f32; 1] {
        [half(block, 0)]
    }
}

/// Scale of scales, the high two bits of eight scales, their low four, 128 bytes of nibbles.
enum Scaled {}

impl Layout<136, 8, 32> for Scaled {
    const NOISE: f64 = spread(&IQ4);

    #[inline(always)]
    fn points(block: &[u8; 136]) -> [[i8; 32]; 8] {
        let parts = field::<128>(block, 8).as_chunks::<16>().0;
        std::array::from_fn(|part| {
            nibbles::<16, 32>(&parts[part]).map(|code| IQ4[usize::from(code & 15)])
        })
    }

    #[inline(always)]
    fn steps(block: &[u8; 136]) -> [f32; 8] {
        let (scale, high) = (half(block, 0), u16::from_le_bytes(*field(block, 2)));
        let low = field::<4>(block, 4);
        std::array::from_fn(|part| {
            let low = low[part / 2] >> (part % 2 * 4) & 15;
            let high = (high >> (part * 2) & 3) as u8;
            scale * f32::from((high << 4 | low) as i8 - 32)
        })
    }
}

pub(super) static IQ4_NL: BlockFormat = BlockFormat::of::<NonLinear, _, _, _>("IQ4_NL");
pub(super) static IQ4_XS: BlockFormat = BlockFormat::of::<Scaled, _, _, _>("IQ4_XS");
