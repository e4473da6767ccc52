//! Stored bytes to `f32` and `f64`.
//!
//! Elements are read with `from_le_bytes` over exact chunks, so alignment never matters, and the loops
//! are branch-free so that the compiler can vectorise them; `pulp` picks the widest instruction set
//! that the machine has at run time. Decoding to `f64` is exact for every float type and for integers
//! up to 2^53; decoding to `f32` rounds `F64` and wide integers to nearest.

use pulp::Arch;

use crate::DType;

/// Why values or codes could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The byte count is not what the element count needs.
    #[error("{have} bytes for {elements} elements of {dtype}, which need {want}")]
    Length {
        /// Element type.
        dtype: DType,
        /// Elements asked for.
        elements: usize,
        /// Bytes that many elements take.
        want: usize,
        /// Bytes given.
        have: usize,
    },
    /// No whole blocks, or not as many as the values need.
    #[error("{have} bytes for {values} values of {format}, which has {} in a block of {}", .of[0], .of[1])]
    Blocks {
        /// Name of the format.
        format: &'static str,
        /// Values asked for, those skipped included.
        values: usize,
        /// Bytes given.
        have: usize,
        /// Values and bytes of a block.
        of: [usize; 2],
    },
    /// Fewer codes than asked for.
    #[error("{have} bytes for {codes} codes of {bits} bits")]
    Codes {
        /// Width of a code.
        bits: u32,
        /// Codes asked for, those before the first included.
        codes: usize,
        /// Bytes given.
        have: usize,
    },
    /// Codes of no width that is read.
    #[error("codes of {bits} bits: a code has 1 to 8")]
    CodeWidth {
        /// Width asked for.
        bits: u32,
    },
}

macro_rules! decoder {
    ($(#[$doc:meta])* $name:ident, $out:ty) => {
        $(#[$doc])*
        pub fn $name(dtype: DType, bytes: &[u8], out: &mut [$out]) -> Result<(), DecodeError> {
            let want = out.len().saturating_mul(dtype.bytes());
            if bytes.len() != want {
                return Err(DecodeError::Length { dtype, elements: out.len(), want, have: bytes.len() });
            }
            match dtype {
                DType::F64 => each::<8, _>(bytes, out, |b| f64::from_le_bytes(b) as $out),
                DType::F32 => each::<4, _>(bytes, out, |b| <$out>::from(f32::from_le_bytes(b))),
                DType::F16 => each::<2, _>(bytes, out, |b| <$out>::from(f16_to_f32(u16::from_le_bytes(b)))),
                DType::BF16 => each::<2, _>(bytes, out, |b| <$out>::from(bf16_to_f32(u16::from_le_bytes(b)))),
                DType::F8E4M3 => each::<1, _>(bytes, out, |[b]| <$out>::from(E4M3[usize::from(b)])),
                DType::F8E5M2 => each::<1, _>(bytes, out, |[b]| <$out>::from(f16_to_f32(u16::from(b) << 8))),
                DType::F8E8M0 => each::<1, _>(bytes, out, |[b]| <$out>::from(e8m0_to_f32(b))),
                DType::F8E4M3Fnuz => each::<1, _>(bytes, out, |[b]| <$out>::from(E4M3FNUZ[usize::from(b)])),
                DType::F8E5M2Fnuz => each::<1, _>(bytes, out, |[b]| <$out>::from(E5M2FNUZ[usize::from(b)])),
                DType::I64 => each::<8, _>(bytes, out, |b| i64::from_le_bytes(b) as $out),
                DType::I32 => each::<4, _>(bytes, out, |b| i32::from_le_bytes(b) as $out),
                DType::I16 => each::<2, _>(bytes, out, |b| <$out>::from(i16::from_le_bytes(b))),
                DType::I8 => each::<1, _>(bytes, out, |b| <$out>::from(i8::from_le_bytes(b))),
                DType::U64 => each::<8, _>(bytes, out, |b| u64::from_le_bytes(b) as $out),
                DType::U32 => each::<4, _>(bytes, out, |b| u32::from_le_bytes(b) as $out),
                DType::U16 => each::<2, _>(bytes, out, |b| <$out>::from(u16::from_le_bytes(b))),
                DType::U8 => each::<1, _>(bytes, out, |[b]| <$out>::from(b)),
                DType::Bool => each::<1, _>(bytes, out, |[b]| <$out>::from(u8::from(b != 0))),
            }
            Ok(())
        }
    };
}

decoder! {
    /// Decodes `out.len()` elements to `f32`.
    ///
    /// * `bytes`: exactly `out.len() * dtype.bytes()` little-endian bytes, at any alignment.
    /// * Exact for `F32` and every narrower type; `F64`, `I32`, `I64`, `U32`, `U64` round to nearest.
    /// * NaN and infinities decode to NaN and infinities; of the 8-bit types only `F8_E5M2` has infinities.
    /// * Cost: one pass.
    ///
    /// # Errors
    /// [`DecodeError::Length`] when the lengths do not agree.
    decode_f32, f32
}

decoder! {
    /// Decodes `out.len()` elements to `f64`. As [`decode_f32`], and exact for every float type.
    ///
    /// # Errors
    /// [`DecodeError::Length`] when the lengths do not agree.
    decode_f64, f64
}

/// Applies `decode` to every `N`-byte element. Lengths have been checked to agree.
#[inline(always)]
fn each<const N: usize, T>(bytes: &[u8], out: &mut [T], decode: impl Fn([u8; N]) -> T) {
    let (elements, _) = bytes.as_chunks::<N>();
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (value, element) in out.iter_mut().zip(elements) {
                *value = decode(*element);
            }
        },
    );
}

/// bfloat16 is the upper half of a binary32.
#[inline(always)]
fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// binary16 to binary32 without branches, so that it vectorises.
///
/// Shifting exponent and mantissa into binary32's place leaves a number too small by 2^112 (the
/// difference of the biases); the product restores it and normalises subnormals exactly. Exponent 31
/// means Inf or NaN and becomes binary32's all-ones exponent.
#[inline(always)]
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let scaled = f32::from_bits(magnitude) * f32::from_bits(0x7780_0000); // 2^112
    let special = 0x7f80_0000 | magnitude;
    let finite = (bits & 0x7c00) != 0x7c00;
    let sign = u32::from(bits & 0x8000) << 16;
    f32::from_bits(sign | if finite { scaled.to_bits() } else { special })
}

/// What the codes of a float with one sign and `mantissa` stored mantissa bits stand for, where all of them are
/// numbers.
pub(crate) const fn numbers<const N: usize>(mantissa: u32, bias: u32) -> [f32; N] {
    let (mut table, mut code) = ([0.0; N], 0);
    while code < N {
        let magnitude = (code % (N / 2)) as u32;
        let (exponent, fraction) = (magnitude >> mantissa, magnitude & ((1 << mantissa) - 1));
        // The lowest exponent has no leading one, and the spacing of the next.
        let (exponent, whole) =
            if exponent == 0 { (1, fraction) } else { (exponent, fraction | 1 << mantissa) };
        let number = whole as f32 * f32::from_bits((127 + exponent - bias - mantissa) << 23);
        table[code] = if code < N / 2 { number } else { -number };
        code += 1;
    }
    table
}

/// [`numbers`] of 8 bits, some of which are NaN.
const fn eight_bits(mantissa: u32, bias: u32, not_numbers: &[usize]) -> [f32; 256] {
    let (mut table, mut i) = (numbers(mantissa, bias), 0);
    while i < not_numbers.len() {
        table[not_numbers[i]] = f32::NAN;
        i += 1;
    }
    table
}

/// OCP 8-bit Floating Point Specification 1.0, section 5.2.
pub(crate) static E4M3: [f32; 256] = eight_bits(3, 7, &[0x7f, 0xff]);
/// One NaN in place of -0, and a bias that is one more (arXiv 2206.02915).
static E4M3FNUZ: [f32; 256] = eight_bits(3, 8, &[0x80]);
static E5M2FNUZ: [f32; 256] = eight_bits(2, 16, &[0x80]);

/// A power of two, 2^(code - 127); 255 is NaN.
#[inline(always)]
fn e8m0_to_f32(code: u8) -> f32 {
    // 2^-127 is a subnormal of f32.
    let subnormal = if code == 0 { 1 << 22 } else { 0 };
    let nan = if code == 255 { 1 << 22 } else { 0 };
    f32::from_bits(u32::from(code) << 23 | subnormal | nan)
}

/// The value of every bit pattern of an 8- or 16-bit type, indexed by pattern: 256 or 65 536 entries.
///
/// `None` for wider types. With a count per bit pattern this gives every order-free statistic exactly.
pub fn pattern_values(dtype: DType) -> Option<Vec<f32>> {
    let patterns: Vec<u8> = match dtype.bits() {
        8 => (0..=u8::MAX).collect(),
        16 => (0..=u16::MAX).flat_map(u16::to_le_bytes).collect(),
        _ => return None,
    };
    let mut values = vec![0.0; patterns.len() / dtype.bytes()];
    decode_f32(dtype, &patterns, &mut values).ok()?;
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    #[test]
    fn all_f16_patterns_equal_the_half_crate() {
        let values = pattern_values(DType::F16).unwrap();
        for (bits, value) in (0..=u16::MAX).zip(values) {
            assert!(same(value, half::f16::from_bits(bits).to_f32()), "{bits:#06x}: {value}");
        }
    }

    #[test]
    fn all_bf16_patterns_equal_the_half_crate() {
        let values = pattern_values(DType::BF16).unwrap();
        for (bits, value) in (0..=u16::MAX).zip(values) {
            assert!(same(value, half::bf16::from_bits(bits).to_f32()), "{bits:#06x}: {value}");
        }
    }

    /// The definition of OCP OFP8, written out: sign, exponent, mantissa, bias, special codes.
    fn ofp8(code: u8, exponent_bits: u32, has_infinity: bool) -> f64 {
        let mantissa_bits = 7 - exponent_bits;
        let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
        let exponent = i32::from((code & 0x7f) >> mantissa_bits);
        let mantissa = f64::from(code & ((1 << mantissa_bits) - 1));
        let top = (1 << exponent_bits) - 1;
        let bias = (1 << (exponent_bits - 1)) - 1;
        if has_infinity && exponent == top {
            return if mantissa == 0.0 { sign * f64::INFINITY } else { f64::NAN };
        }
        if !has_infinity && code & 0x7f == 0x7f {
            return f64::NAN;
        }
        let unit = 2f64.powi(-(mantissa_bits as i32));
        let magnitude = if exponent == 0 {
            mantissa * unit * 2f64.powi(1 - bias)
        } else {
            (1.0 + mantissa * unit) * 2f64.powi(exponent - bias)
        };
        sign * magnitude
    }

    #[test]
    fn all_fp8_codes_follow_the_specification() {
        for (dtype, exponent_bits, infinity) in
            [(DType::F8E4M3, 4, false), (DType::F8E5M2, 5, true)]
        {
            let values = pattern_values(dtype).unwrap();
            for (code, value) in (0..=u8::MAX).zip(values) {
                let want = ofp8(code, exponent_bits, infinity);
                assert!(
                    f64::from(value).to_bits() == want.to_bits()
                        || (value.is_nan() && want.is_nan()),
                    "{dtype} {code:#04x}: {value} instead of {want}"
                );
            }
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        let error = decode_f32(DType::F32, &[0; 7], &mut [0.0; 2]).unwrap_err();
        assert_eq!(error.to_string(), "7 bytes for 2 elements of F32, which need 8");
    }

    #[test]
    fn bool_is_any_nonzero_byte() {
        let mut out = [9.0; 3];
        decode_f64(DType::Bool, &[0, 1, 255], &mut out).unwrap();
        assert_eq!(out, [0.0, 1.0, 1.0]);
    }
}
