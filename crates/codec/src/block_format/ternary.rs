//! The ternary formats of ggml: -1, 0 or 1 times the scale of the block. `block_tq1_0` and `block_tq2_0` in
//! ggml-common.h, read as their `dequantize_row_*` in ggml-quants.c do.

use super::BlockFormat;
use super::k::twos;
use super::layout::{Layout, field, half};

/// 48 bytes of five digits, four of four, scale.
enum Digits {}

impl Layout<54, 1, 256> for Digits {
    /// A byte is a fraction of 256, its digits those behind the point to the base three: first those of 32 bytes, then
    /// those of 16, then those of the four bytes.
    #[inline(always)]
    fn points(block: &[u8; 54]) -> [[i8; 256]; 1] {
        let mut points = [0; 256];
        let mut rest = points.as_mut_slice();
        for (bytes, digits) in [(&block[..32], 5), (&block[32..48], 5), (&block[48..52], 4)] {
            let mut power = 1u8;
            for _ in 0..digits {
                let digit;
                (digit, rest) = rest.split_at_mut(bytes.len());
                for (point, byte) in digit.iter_mut().zip(bytes) {
                    *point = ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as i8 - 1;
                }
                power = power.wrapping_mul(3);
            }
        }
        [points]
    }

    #[inline(always)]
    fn steps(block: &[u8; 54]) -> [f32; 1] {
        [half(block, 52)]
    }
}

/// 64 bytes of codes from -1 (so that there is a 2), scale.
enum Pairs {}

impl Layout<66, 8, 32> for Pairs {
    #[inline(always)]
    fn points(block: &[u8; 66]) -> [[i8; 32]; 8] {
        twos(field(block, 0)).map(|part| part.map(|code| code - 1))
    }

    #[inline(always)]
    fn steps(block: &[u8; 66]) -> [f32; 8] {
        [half(block, 64); 8]
    }
}

pub(super) static TQ1_0: BlockFormat = BlockFormat::of::<Digits, _, _, _>("TQ1_0");
pub(super) static TQ2_0: BlockFormat = BlockFormat::of::<Pairs, _, _, _>("TQ2_0");
