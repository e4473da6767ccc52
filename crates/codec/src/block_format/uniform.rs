//! The formats of ggml with one scale a block and evenly spaced codes: `block_q4_0` and its like in ggml-common.h,
//! read as `dequantize_row_q4_0` and its like in ggml-quants.c do.

use super::BlockFormat;
use super::layout::{Layout, field, half};

/// `N` nibbles of `H` bytes: the low ones, then the high ones.
#[inline(always)]
pub(super) fn nibbles<const H: usize, const N: usize>(bytes: &[u8; H]) -> [u8; N] {
    let mut codes = [0; N];
    let (low, high) = codes.split_at_mut(H);
    for (i, byte) in bytes.iter().enumerate() {
        low[i] = byte & 15;
        high[i] = byte >> 4;
    }
    codes
}

/// 32 codes of five bits: the fifth ones in a word, the low four as [`nibbles`].
#[inline(always)]
fn fives(fifth: &[u8; 4], low: &[u8; 16]) -> [u8; 32] {
    let mut codes: [u8; 32] = nibbles(low);
    for (eight, bits) in codes.as_chunks_mut::<8>().0.iter_mut().zip(fifth) {
        for (i, code) in eight.iter_mut().enumerate() {
            *code |= (bits >> i & 1) << 4;
        }
    }
    codes
}

/// Scale, 16 bytes of nibbles; codes from -8.
enum FourFromMiddle {}

impl Layout<18, 1, 32> for FourFromMiddle {
    #[inline(always)]
    fn points(block: &[u8; 18]) -> [[i8; 32]; 1] {
        [nibbles::<16, 32>(field(block, 2)).map(|code| code as i8 - 8)]
    }

    #[inline(always)]
    fn steps(block: &[u8; 18]) -> [f32; 1] {
        [half(block, 0)]
    }
}

/// Scale, minimum, 16 bytes of nibbles.
enum FourFromMinimum {}

impl Layout<20, 1, 32> for FourFromMinimum {
    #[inline(always)]
    fn points(block: &[u8; 20]) -> [[i8; 32]; 1] {
        [nibbles::<16, 32>(field(block, 4)).map(u8::cast_signed)]
    }

    #[inline(always)]
    fn steps(block: &[u8; 20]) -> [f32; 1] {
        [half(block, 0)]
    }

    #[inline(always)]
    fn offsets(block: &[u8; 20]) -> [f32; 1] {
        [half(block, 2)]
    }
}

/// Scale, 32 fifth bits, 16 bytes of nibbles; codes from -16.
enum FiveFromMiddle {}

impl Layout<22, 1, 32> for FiveFromMiddle {
    #[inline(always)]
    fn points(block: &[u8; 22]) -> [[i8; 32]; 1] {
        [fives(field(block, 2), field(block, 6)).map(|code| code as i8 - 16)]
    }

    #[inline(always)]
    fn steps(block: &[u8; 22]) -> [f32; 1] {
        [half(block, 0)]
    }
}

/// Scale, minimum, 32 fifth bits, 16 bytes of nibbles.
enum FiveFromMinimum {}

impl Layout<24, 1, 32> for FiveFromMinimum {
    #[inline(always)]
    fn points(block: &[u8; 24]) -> [[i8; 32]; 1] {
        [fives(field(block, 4), field(block, 8)).map(u8::cast_signed)]
    }

    #[inline(always)]
    fn steps(block: &[u8; 24]) -> [f32; 1] {
        [half(block, 0)]
    }

    #[inline(always)]
    fn offsets(block: &[u8; 24]) -> [f32; 1] {
        [half(block, 2)]
    }
}

/// Scale, 32 bytes in two's complement.
enum Eight {}

impl Layout<34, 1, 32> for Eight {
    #[inline(always)]
    fn points(block: &[u8; 34]) -> [[i8; 32]; 1] {
        [field::<32>(block, 2).map(u8::cast_signed)]
    }

    #[inline(always)]
    fn steps(block: &[u8; 34]) -> [f32; 1] {
        [half(block, 0)]
    }
}

/// Scale, 128 bits, lowest first: a set one is the scale and a clear one its opposite.
enum Sign {}

impl Layout<18, 1, 128> for Sign {
    /// Two points at a distance of 2.
    const NOISE: f64 = 1.0 / 3.0;

    #[inline(always)]
    fn points(block: &[u8; 18]) -> [[i8; 128]; 1] {
        let bits = field::<16>(block, 2);
        [std::array::from_fn(|i| (bits[i / 8] >> (i % 8) & 1) as i8 * 2 - 1)]
    }

    #[inline(always)]
    fn steps(block: &[u8; 18]) -> [f32; 1] {
        [half(block, 0)]
    }
}

/// Scale, 64 codes of two bits, lowest first; codes from -1.
enum TwoFromMinusOne {}

impl Layout<18, 1, 64> for TwoFromMinusOne {
    #[inline(always)]
    fn points(block: &[u8; 18]) -> [[i8; 64]; 1] {
        let codes = field::<16>(block, 2);
        [std::array::from_fn(|i| (codes[i / 4] >> (i % 4 * 2) & 3) as i8 - 1)]
    }

    #[inline(always)]
    fn steps(block: &[u8; 18]) -> [f32; 1] {
        [half(block, 0)]
    }
}

pub(crate) static Q4_0: BlockFormat = BlockFormat::of::<FourFromMiddle, _, _, _>("Q4_0");
pub(crate) static Q4_1: BlockFormat = BlockFormat::of::<FourFromMinimum, _, _, _>("Q4_1");
pub(crate) static Q5_0: BlockFormat = BlockFormat::of::<FiveFromMiddle, _, _, _>("Q5_0");
pub(crate) static Q5_1: BlockFormat = BlockFormat::of::<FiveFromMinimum, _, _, _>("Q5_1");
pub(crate) static Q8_0: BlockFormat = BlockFormat::of::<Eight, _, _, _>("Q8_0");
pub(super) static Q1_0: BlockFormat = BlockFormat::of::<Sign, _, _, _>("Q1_0");
pub(super) static Q2_0: BlockFormat = BlockFormat::of::<TwoFromMinusOne, _, _, _>("Q2_0");
