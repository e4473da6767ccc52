//! The K formats of ggml: 256 values in parts of 16 or 32, whose scales are integers under a scale of the block.
//! `block_q2_K` and its like in ggml-common.h, read as `dequantize_row_q2_K` and its like in ggml-quants.c do.

use super::BlockFormat;
use super::layout::{Layout, field, half};

/// Codes of two bits, 32 bytes for four times 32 values: the lowest bits of all, then the next ones.
#[inline(always)]
pub(super) fn twos(bytes: &[u8; 64]) -> [[i8; 32]; 8] {
    let halves = bytes.as_chunks::<32>().0;
    std::array::from_fn(|part| halves[part / 4].map(|byte| (byte >> (part % 4 * 2) & 3) as i8))
}

/// Parts of 16 as halves of those of 32.
#[inline(always)]
pub(super) fn halved(parts: [[i8; 32]; 8]) -> [[i8; 16]; 16] {
    std::array::from_fn(|part| parts[part / 2].as_chunks().0[part % 2])
}

/// 16 bytes with a scale in the low and a minimum in the high nibble, 64 of codes, their two scales.
enum Two {}

impl Layout<84, 16, 16> for Two {
    #[inline(always)]
    fn points(block: &[u8; 84]) -> [[i8; 16]; 16] {
        halved(twos(field(block, 16)))
    }

    #[inline(always)]
    fn steps(block: &[u8; 84]) -> [f32; 16] {
        let scale = half(block, 80);
        field::<16>(block, 0).map(|both| scale * f32::from(both & 15))
    }

    #[inline(always)]
    fn offsets(block: &[u8; 84]) -> [f32; 16] {
        let scale = half(block, 82);
        field::<16>(block, 0).map(|both| -(scale * f32::from(both >> 4)))
    }
}

/// 32 bytes of third bits, 64 of low ones, 16 scales of six bits, their scale.
enum Three {}

impl Layout<110, 16, 16> for Three {
    #[inline(always)]
    fn points(block: &[u8; 110]) -> [[i8; 16]; 16] {
        let (high, mut parts) = (field::<32>(block, 0), twos(field(block, 32)));
        for (part, codes) in parts.iter_mut().enumerate() {
            for (code, bits) in codes.iter_mut().zip(high) {
                // A bit that is clear takes four off.
                *code += (bits >> part & 1) as i8 * 4 - 4;
            }
        }
        halved(parts)
    }

    /// Low nibbles of eight bytes, high nibbles of the same, and two more bits of each in four bytes.
    #[inline(always)]
    fn steps(block: &[u8; 110]) -> [f32; 16] {
        let (low, high, scale) = (field::<8>(block, 96), field::<4>(block, 104), half(block, 108));
        std::array::from_fn(|part| {
            let low = low[part % 8] >> (part / 8 * 4) & 15;
            let high = high[part % 4] >> (part / 4 * 2) & 3;
            scale * f32::from((high << 4 | low) as i8 - 32)
        })
    }
}

/// The integers of eight parts in twelve bytes: scales, or minima.
///
/// Of the first four parts they are the low six bits of four bytes, the scales before the minima; of the others the
/// low nibbles (scales) or the high ones (minima) of the last four bytes, and on top the two bits left over.
#[inline(always)]
fn sixes(bytes: &[u8; 12], minima: bool) -> [u8; 8] {
    let (at, shift) = if minima { (4, 4) } else { (0, 0) };
    std::array::from_fn(|part| {
        let byte = bytes[at + part % 4];
        if part < 4 { byte & 63 } else { (bytes[8 + part % 4] >> shift & 15) | byte >> 6 << 4 }
    })
}

/// Scale of scales, scale of minima, both in twelve bytes: what `Four` and `Five` have in common.
#[inline(always)]
fn steps_and_minima(block: &[u8], minima: bool) -> [f32; 8] {
    let scale = half(block, if minima { 2 } else { 0 });
    sixes(field(block, 4), minima).map(|integer| scale * f32::from(integer))
}

/// Codes of four bits, 32 bytes for twice 32 values: the low nibbles of all, then the high ones.
#[inline(always)]
pub(super) fn fours(bytes: &[u8; 128]) -> [[i8; 32]; 8] {
    let quarters = bytes.as_chunks::<32>().0;
    std::array::from_fn(|part| quarters[part / 2].map(|byte| (byte >> (part % 2 * 4) & 15) as i8))
}

/// Scales, 128 bytes of codes.
enum Four {}

impl Layout<144, 8, 32> for Four {
    #[inline(always)]
    fn points(block: &[u8; 144]) -> [[i8; 32]; 8] {
        fours(field(block, 16))
    }

    #[inline(always)]
    fn steps(block: &[u8; 144]) -> [f32; 8] {
        steps_and_minima(block, false)
    }

    #[inline(always)]
    fn offsets(block: &[u8; 144]) -> [f32; 8] {
        steps_and_minima(block, true).map(|minimum| -minimum)
    }
}

/// Scales, 32 bytes of fifth bits, 128 of low ones.
enum Five {}

impl Layout<176, 8, 32> for Five {
    #[inline(always)]
    fn points(block: &[u8; 176]) -> [[i8; 32]; 8] {
        let (high, mut parts) = (field::<32>(block, 16), fours(field(block, 48)));
        for (part, codes) in parts.iter_mut().enumerate() {
            for (code, bits) in codes.iter_mut().zip(high) {
                *code |= (bits >> part & 1) as i8 * 16;
            }
        }
        parts
    }

    #[inline(always)]
    fn steps(block: &[u8; 176]) -> [f32; 8] {
        steps_and_minima(block, false)
    }

    #[inline(always)]
    fn offsets(block: &[u8; 176]) -> [f32; 8] {
        steps_and_minima(block, true).map(|minimum| -minimum)
    }
}

/// 128 bytes of low nibbles, 64 of two more bits, 16 signed scales, their scale; codes from -32.
enum Six {}

impl Layout<210, 16, 16> for Six {
    /// Of every 128 values the first 64 have the low nibbles of 64 bytes, the others the high ones.
    #[inline(always)]
    fn points(block: &[u8; 210]) -> [[i8; 16]; 16] {
        let (low, mut parts) = (field::<128>(block, 0), twos(field(block, 128)));
        let quarters = low.as_chunks::<32>().0;
        for (part, codes) in parts.iter_mut().enumerate() {
            let (of, shift) = (part / 4 * 2 + part % 2, part % 4 / 2 * 4);
            for (code, byte) in codes.iter_mut().zip(&quarters[of]) {
                *code = (*code << 4 | (byte >> shift & 15) as i8) - 32;
            }
        }
        halved(parts)
    }

    #[inline(always)]
    fn steps(block: &[u8; 210]) -> [f32; 16] {
        let scale = half(block, 208);
        field::<16>(block, 192).map(|integer| scale * f32::from(integer.cast_signed()))
    }
}

pub(super) static Q2_K: BlockFormat = BlockFormat::of::<Two, _, _, _>("Q2_K");
pub(super) static Q3_K: BlockFormat = BlockFormat::of::<Three, _, _, _>("Q3_K");
pub(super) static Q4_K: BlockFormat = BlockFormat::of::<Four, _, _, _>("Q4_K");
pub(super) static Q5_K: BlockFormat = BlockFormat::of::<Five, _, _, _>("Q5_K");
pub(super) static Q6_K: BlockFormat = BlockFormat::of::<Six, _, _, _>("Q6_K");
