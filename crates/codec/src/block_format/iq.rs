//! ggml's formats of about one to three bits, whose codes stand for four or eight values at once: an entry of a grid
//! and, but in those of one bit, their signs. `block_iq2_xxs` and its like in ggml-common.h, read as
//! `dequantize_row_iq2_xxs` and its like in ggml-quants.c do.
//!
//! The noise of these codebooks was simulated, see `block_formats.py noise` among the references.

use super::BlockFormat;
use super::grids;
use super::layout::{Layout, field, half};

/// Eight signs in seven bits: the last one makes their number even (`ksigns_iq2xs`).
#[inline(always)]
fn even(signs: u32) -> u8 {
    let signs = (signs & 127) as u8;
    signs | (signs.count_ones() as u8) << 7
}

/// The values that a bit is set for, from the lowest on, with the other sign.
#[inline(always)]
fn signed(points: [i8; 8], signs: u8) -> [i8; 8] {
    std::array::from_fn(|i| {
        let minus = -((signs >> i & 1) as i8);
        (points[i] ^ minus) - minus
    })
}

/// A part from eight values at a time.
#[inline(always)]
fn eights<const SIZE: usize>(eight: impl Fn(usize) -> [i8; 8]) -> [i8; SIZE] {
    let mut part = [0; SIZE];
    for (i, points) in part.as_chunks_mut().0.iter_mut().enumerate() {
        *points = eight(i);
    }
    part
}

/// Two points of four values.
#[inline(always)]
fn joined(a: [i8; 4], b: [i8; 4]) -> [i8; 8] {
    std::array::from_fn(|i| if i < 4 { a[i] } else { b[i - 4] })
}

/// The `i`-th four bits.
#[inline(always)]
fn nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 2] >> (i % 2 * 4) & 15
}

#[inline(always)]
fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*field(block, at))
}

#[inline(always)]
fn short(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(*field(block, at))
}

/// Steps of `scale (2 integer + 1) unit`, the integers four bits each.
#[inline(always)]
fn odd_steps<const PARTS: usize>(scale: f32, unit: f32, integers: &[u8]) -> [f32; PARTS] {
    std::array::from_fn(|part| scale * (f32::from(2 * nibble(integers, part) + 1) * unit))
}

/// Scale, then for every 32 values four bytes of entries and a word: four times seven bits of signs, four of a scale.
enum Two32 {}

impl Layout<66, 8, 32> for Two32 {
    const NOISE: f64 = 68.02;

    #[inline(always)]
    fn points(block: &[u8; 66]) -> [[i8; 32]; 8] {
        std::array::from_fn(|part| {
            let (entries, signs) = (field::<4>(block, 2 + 8 * part), word(block, 6 + 8 * part));
            eights(|i| signed(grids::IQ2_XXS[usize::from(entries[i])], even(signs >> (7 * i))))
        })
    }

    #[inline(always)]
    fn steps(block: &[u8; 66]) -> [f32; 8] {
        let scale = half(block, 0);
        std::array::from_fn(|part| {
            let integer = (word(block, 6 + 8 * part) >> 28) as u8;
            scale * (f32::from(2 * integer + 1) / 8.0)
        })
    }
}

/// Scale, for every eight values nine bits of entry and seven of signs, for every 16 four bits of scale.
enum Two16 {}

impl Layout<74, 16, 16> for Two16 {
    const NOISE: f64 = 58.02;

    #[inline(always)]
    fn points(block: &[u8; 74]) -> [[i8; 16]; 16] {
        std::array::from_fn(|part| {
            eights(|i| {
                let both = short(block, 2 + 4 * part + 2 * i);
                signed(grids::IQ2_XS[usize::from(both & 511)], even(u32::from(both >> 9)))
            })
        })
    }

    #[inline(always)]
    fn steps(block: &[u8; 74]) -> [f32; 16] {
        odd_steps(half(block, 0), 0.125, field::<8>(block, 66))
    }
}

/// Scale, 32 low bytes of entries, 32 bytes of signs, two high bits of entries, for every 16 values four bits of scale.
enum Two16AnySigns {}

impl Layout<82, 16, 16> for Two16AnySigns {
    const NOISE: f64 = 37.95;

    #[inline(always)]
    fn points(block: &[u8; 82]) -> [[i8; 16]; 16] {
        let (low, signs) = (field::<32>(block, 2), field::<32>(block, 34));
        let high = field::<8>(block, 66);
        std::array::from_fn(|part| {
            eights(|i| {
                let i = 2 * part + i;
                let high = usize::from(high[i / 4] >> (i % 4 * 2) & 3);
                signed(grids::IQ2_S[usize::from(low[i]) | high << 8], signs[i])
            })
        })
    }

    #[inline(always)]
    fn steps(block: &[u8; 82]) -> [f32; 16] {
        odd_steps(half(block, 0), 0.125, field::<8>(block, 74))
    }
}

/// Scale, 64 bytes of entries, then for every 32 values a word as in `Two32`.
enum Three32 {}

impl Layout<98, 8, 32> for Three32 {
    const NOISE: f64 = 42.09;

    #[inline(always)]
    fn points(block: &[u8; 98]) -> [[i8; 32]; 8] {
        let entries = field::<64>(block, 2);
        let entry = |i: usize| grids::IQ3_XXS[usize::from(entries[i])];
        std::array::from_fn(|part| {
            let signs = word(block, 66 + 4 * part);
            eights(|i| {
                let first = 8 * part + 2 * i;
                signed(joined(entry(first), entry(first + 1)), even(signs >> (7 * i)))
            })
        })
    }

    #[inline(always)]
    fn steps(block: &[u8; 98]) -> [f32; 8] {
        let scale = half(block, 0);
        std::array::from_fn(|part| {
            let integer = (word(block, 66 + 4 * part) >> 28) as u8;
            scale * (f32::from(2 * integer + 1) / 4.0)
        })
    }
}

/// Scale, 64 low bytes of entries, 64 high bits, 32 bytes of signs, for every 32 values four bits of scale.
enum Three32AnySigns {}

impl Layout<110, 8, 32> for Three32AnySigns {
    const NOISE: f64 = 1.267;

    #[inline(always)]
    fn points(block: &[u8; 110]) -> [[i8; 32]; 8] {
        let (low, high) = (field::<64>(block, 2), field::<8>(block, 66));
        let signs = field::<32>(block, 74);
        let entry = |i: usize| {
            let high = usize::from(high[i / 8] >> (i % 8) & 1);
            grids::IQ3_S[usize::from(low[i]) | high << 8]
        };
        std::array::from_fn(|part| {
            eights(|i| {
                let i = 4 * part + i;
                signed(joined(entry(2 * i), entry(2 * i + 1)), signs[i])
            })
        })
    }

    #[inline(always)]
    fn steps(block: &[u8; 110]) -> [f32; 8] {
        odd_steps(half(block, 0), 1.0, field::<4>(block, 106))
    }
}

/// The entry of these eleven bits, an eighth up or down.
#[inline(always)]
fn shifted(low: u8, high: u16, down: bool) -> [i8; 8] {
    grids::IQ1[usize::from(low) | usize::from(high & 7) << 8]
        .map(|x| if down { x - 1 } else { x + 1 })
}

/// Scale, 32 low bytes of entries, then for every 32 values four times three high bits, three of a scale, and whether
/// values are shifted down.
enum One32 {}

impl Layout<50, 8, 32> for One32 {
    const NOISE: f64 = 5.610;

    #[inline(always)]
    fn points(block: &[u8; 50]) -> [[i8; 32]; 8] {
        let low = field::<32>(block, 2);
        std::array::from_fn(|part| {
            let high = short(block, 34 + 2 * part);
            eights(|i| shifted(low[4 * part + i], high >> (3 * i), high >> 15 == 1))
        })
    }

    #[inline(always)]
    fn steps(block: &[u8; 50]) -> [f32; 8] {
        let scale = half(block, 0);
        std::array::from_fn(|part| {
            let integer = short(block, 34 + 2 * part) >> 12 & 7;
            scale * (f32::from(2 * integer + 1) / 8.0)
        })
    }
}

/// 32 low bytes of entries, for every eight values three high bits and whether they are shifted down, four words of
/// four times three bits of scale, which hold a binary16 in their highest four bits.
enum One16 {}

impl Layout<56, 16, 16> for One16 {
    const NOISE: f64 = 5.138;

    #[inline(always)]
    fn points(block: &[u8; 56]) -> [[i8; 16]; 16] {
        let (low, high) = (field::<32>(block, 0), field::<16>(block, 32));
        std::array::from_fn(|part| {
            eights(|i| {
                let high = nibble(high, 2 * part + i);
                shifted(low[2 * part + i], high.into(), high & 8 != 0)
            })
        })
    }

    #[inline(always)]
    fn steps(block: &[u8; 56]) -> [f32; 16] {
        let words: [u16; 4] = std::array::from_fn(|i| short(block, 48 + 2 * i));
        let bits = words.iter().rev().fold(0, |bits, word| bits << 4 | word >> 12);
        let scale = crate::decode::f16_to_f32(bits);
        std::array::from_fn(|part| {
            let integer = words[part / 4] >> (part % 4 * 3) & 7;
            scale * (f32::from(2 * integer + 1) / 8.0)
        })
    }
}

pub(super) static IQ2_XXS: BlockFormat = BlockFormat::of::<Two32, _, _, _>("IQ2_XXS");
pub(super) static IQ2_XS: BlockFormat = BlockFormat::of::<Two16, _, _, _>("IQ2_XS");
pub(super) static IQ2_S: BlockFormat = BlockFormat::of::<Two16AnySigns, _, _, _>("IQ2_S");
pub(super) static IQ3_XXS: BlockFormat = BlockFormat::of::<Three32, _, _, _>("IQ3_XXS");
pub(super) static IQ3_S: BlockFormat = BlockFormat::of::<Three32AnySigns, _, _, _>("IQ3_S");
pub(super) static IQ1_S: BlockFormat = BlockFormat::of::<One32, _, _, _>("IQ1_S");
pub(super) static IQ1_M: BlockFormat = BlockFormat::of::<One16, _, _, _>("IQ1_M");
