//! E2M1 floats under 8-bit float scales, as ggml lays them out: `block_mxfp4` and `block_nvfp4` in ggml-common.h,
//! read as their `dequantize_row_*` in ggml-quants.c do.

use super::BlockFormat;
use super::layout::{Layout, field, spread};
use super::uniform::nibbles;
use crate::decode::E4M3;

/// Twice what E2M1 codes stand for; its two zeros are one here.
static POINTS: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
/// Of those, in halves.
const NOISE: f64 = spread(&[-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12]);

/// The scale 2^(e - 127) as a byte, 16 bytes of nibbles.
enum Microscaled {}

impl Layout<17, 1, 32> for Microscaled {
    const NOISE: f64 = NOISE;

    #[inline(always)]
    fn points(block: &[u8; 17]) -> [[i8; 32]; 1] {
        [nibbles::<16, 32>(field(block, 1)).map(|code| POINTS[usize::from(code & 15)])]
    }

    /// Half the scale, 2^(e - 128): points are doubled. OCP gives 255 to NaN; ggml goes on to count.
    #[inline(always)]
    fn steps(block: &[u8; 17]) -> [f32; 1] {
        let exponent = u32::from(block[0]);
        [f32::from_bits(if exponent < 2 { 1 << (21 + exponent) } else { (exponent - 1) << 23 })]
    }

    #[inline(always)]
    fn spoiled(block: &[u8; 17]) -> bool {
        block[0] == 255
    }
}

/// Four scales in E4M3, each of 16 values, then eight bytes of nibbles for each.
enum TwoLevel {}

impl Layout<36, 4, 16> for TwoLevel {
    const NOISE: f64 = NOISE;

    #[inline(always)]
    fn points(block: &[u8; 36]) -> [[i8; 16]; 4] {
        let parts = field::<32>(block, 4).as_chunks::<8>().0;
        std::array::from_fn(|part| {
            nibbles::<8, 16>(&parts[part]).map(|code| POINTS[usize::from(code & 15)])
        })
    }

    /// Half the scale, whose sign ggml does not look at. Of the two codes that E4M3 gives to NaN, 0x7f is 0 here and
    /// 0xff is what would come after 448.
    #[inline(always)]
    fn steps(block: &[u8; 36]) -> [f32; 4] {
        field::<4>(block, 0).map(|code| match code {
            0x7f => 0.0,
            0xff => 240.0,
            _ => E4M3[usize::from(code & 0x7f)] / 2.0,
        })
    }

    #[inline(always)]
    fn spoiled(block: &[u8; 36]) -> bool {
        field::<4>(block, 0).iter().any(|code| code & 0x7f == 0x7f)
    }
}

pub(super) static MXFP4: BlockFormat = BlockFormat::of::<Microscaled, _, _, _>("MXFP4");
pub(super) static NVFP4: BlockFormat = BlockFormat::of::<TwoLevel, _, _, _>("NVFP4");
