//! Codes of a few bits that lie in bytes or words, and what four bits stand for in codebooks: what formats that keep
//! scales in tensors of their own are read with (GPTQ, AWQ, bitsandbytes, MLX, compressed-tensors, MX).
//!
//! ```
//! use weightscope_codec::codes;
//!
//! // 3-bit codes 1 to 8 (which is 0), a stream of bits from the lowest on: the second and third of them.
//! let bytes = [0b11_010_001, 0b1_101_100_0, 0b000_111_11];
//! let mut two = [0; 2];
//! codes::unpack_bits(3, &bytes, 1, &mut two)?;
//! assert_eq!(two, [2, 3]);
//! # Ok::<(), weightscope_codec::DecodeError>(())
//! ```

use pulp::Arch;

use crate::DecodeError;
use crate::decode::numbers;

/// What the codes of E2M1 stand for, 0 to 6 and with bit 3 set their opposites (OCP Microscaling Formats
/// Specification 1.0, section 5.3.3). Code 8 is -0.
pub static E2M1: [f32; 16] = numbers(1, 1);

/// The levels of 4-bit NormalFloat, ascending from -1 to 1 (QLoRA, arXiv 2305.14314, appendix E).
pub static NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The 4-bit float of bitsandbytes: sign, two bits of an exponent that counts down, one of a mantissa, the largest
/// magnitude 12 scaled to 1 (`get_4bit_type("fp4")` of its functional.py). Code 8 is 0.
pub static FP4: [f32; 16] = {
    const MAGNITUDES: [f32; 8] = [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0];
    let (mut table, mut code) = ([0.0; 16], 1);
    while code < 8 {
        table[code] = MAGNITUDES[code] / 12.0;
        table[code + 8] = -table[code];
        code += 1;
    }
    table
};

/// Reads `out.len()` codes of `bits` bits, 1 to 8, from number `first` on.
///
/// * `bytes`: a stream of bits that begins with code 0 in the lowest bits of the first byte and goes on in the lowest
///   bits that are left; a code may lie in two bytes. Little-endian words of any width hold the same stream, as long
///   as codes go on from one into the next (MLX, GPTQ, dense compressed-tensors) or fill them. May be longer than
///   needed.
/// * Cost: one pass, about a tenth of a nanosecond a code; nothing is read before `first`.
///
/// # Errors
/// [`DecodeError::Codes`] when the bytes end before the last code, [`DecodeError::CodeWidth`] for other widths.
pub fn unpack_bits(
    bits: u32,
    bytes: &[u8],
    first: usize,
    out: &mut [u8],
) -> Result<(), DecodeError> {
    let unpack = match bits {
        1 => unpack::<1>,
        2 => unpack::<2>,
        3 => unpack::<3>,
        4 => unpack::<4>,
        5 => unpack::<5>,
        6 => unpack::<6>,
        7 => unpack::<7>,
        8 => unpack::<8>,
        _ => return Err(DecodeError::CodeWidth { bits }),
    };
    check(bits, bytes, first, out)?;
    unpack(bytes, first, out);
    Ok(())
}

/// As [`unpack_bits`] of four bits, but with the first code of a byte in its high half (bitsandbytes).
///
/// # Errors
/// [`DecodeError::Codes`] when the bytes end before the last code.
pub fn unpack_nibbles_high_first(
    bytes: &[u8],
    first: usize,
    out: &mut [u8],
) -> Result<(), DecodeError> {
    check(4, bytes, first, out)?;
    let (mut bytes, mut out) = (&bytes[first / 2..], out);
    if !first.is_multiple_of(2)
        && let [byte, rest @ ..] = bytes
        && let [code, others @ ..] = out
    {
        *code = byte & 15;
        (bytes, out) = (rest, others);
    }
    let (pairs, last) = out.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [byte >> 4, byte & 15];
    }
    if let ([code], Some(byte)) = (last, bytes.get(pairs.len())) {
        *code = byte >> 4;
    }
    Ok(())
}

fn check(bits: u32, bytes: &[u8], first: usize, out: &[u8]) -> Result<(), DecodeError> {
    let codes = first.saturating_add(out.len());
    let needed = codes.saturating_mul(bits as usize).div_ceil(8);
    let have = bytes.len();
    if needed > have { Err(DecodeError::Codes { bits, codes, have }) } else { Ok(()) }
}

/// The bytes hold all codes asked for.
fn unpack<const BITS: usize>(bytes: &[u8], first: usize, out: &mut [u8]) {
    let mask = u8::MAX >> (8 - BITS);
    let one = |index: usize| {
        let at = index * BITS;
        let high = bytes.get(at / 8 + 1).copied().unwrap_or(0);
        (u16::from_le_bytes([bytes[at / 8], high]) >> (at % 8)) as u8 & mask
    };
    // Eight codes begin with a byte.
    let (head, out) = out.split_at_mut(out.len().min(first.wrapping_neg() % 8));
    for (index, code) in (first..).zip(head.iter_mut()) {
        *code = one(index);
    }
    let first = first + head.len();
    let (body, tail) = out.as_chunks_mut::<8>();
    // Without a body `first` may be no multiple of eight.
    let eights = bytes.get(first / 8 * BITS..).unwrap_or_default().as_chunks::<BITS>().0;
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (codes, packed) in body.iter_mut().zip(eights) {
                let mut word = [0; 8];
                word[..BITS].copy_from_slice(packed);
                let word = u64::from_le_bytes(word);
                *codes = std::array::from_fn(|i| (word >> (i * BITS)) as u8 & mask);
            }
        },
    );
    for (index, code) in (first + 8 * body.len()..).zip(tail) {
        *code = one(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_are_those_of_the_stream(
            bits in 1u32..=8,
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            ends in [any::<prop::sample::Index>(), any::<prop::sample::Index>()],
        ) {
            let held = bytes.len() * 8 / bits as usize;
            let [a, b] = ends.map(|end| end.index(held + 1));
            let range = a.min(b)..a.max(b);
            let mut out = vec![0xaa; range.len()];
            unpack_bits(bits, &bytes, range.start, &mut out).unwrap();
            for (index, code) in range.clone().zip(&out) {
                let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1;
                let want: u8 = (0..bits as usize).map(|i| bit(index * bits as usize + i) << i).sum();
                prop_assert_eq!(*code, want, "{} bits at {}", bits, index);
            }
            // One more than there are.
            out.resize(held + 1 - range.start, 0);
            prop_assert!(unpack_bits(bits, &bytes, range.start, &mut out).is_err());
        }

        #[test]
        fn high_nibbles_come_first(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            ends in [any::<prop::sample::Index>(), any::<prop::sample::Index>()],
        ) {
            let all: Vec<u8> = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
            let [a, b] = ends.map(|end| end.index(all.len() + 1));
            let range = a.min(b)..a.max(b);
            let mut out = vec![0xaa; range.len()];
            unpack_nibbles_high_first(&bytes, range.start, &mut out).unwrap();
            prop_assert_eq!(&out, &all[range.clone()]);
            out.resize(all.len() + 1 - range.start, 0);
            prop_assert!(unpack_nibbles_high_first(&bytes, range.start, &mut out).is_err());
        }
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let error = unpack_bits(3, &[0; 3], 7, &mut [0; 2]).unwrap_err();
        assert_eq!(error.to_string(), "3 bytes for 9 codes of 3 bits");
        for bits in [0, 9, u32::MAX] {
            assert_eq!(unpack_bits(bits, &[], 0, &mut []), Err(DecodeError::CodeWidth { bits }));
        }
        assert!(unpack_bits(8, &[0], usize::MAX, &mut [0]).is_err());
        assert!(unpack_bits(8, &[0], usize::MAX, &mut []).is_err());
        assert!(unpack_nibbles_high_first(&[0], usize::MAX, &mut [0]).is_err());
        unpack_bits(5, &[], 0, &mut []).unwrap();
    }

    #[test]
    fn codebooks() {
        assert_eq!(E2M1[..8], [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
        // As the kernels of bitsandbytes spell them.
        let fp4 = [0.0, 5.208_333_3e-3, 0.666_666_7, 1.0, 0.333_333_33, 0.5, 0.166_666_67, 0.25];
        assert_eq!(FP4[..8], fp4);
        for code in 1..8 {
            assert_eq!(E2M1[code + 8], -E2M1[code]);
            assert_eq!(FP4[code + 8], -FP4[code]);
        }
        assert!(E2M1[8].is_sign_negative() && FP4[8].is_sign_positive());
    }
}
