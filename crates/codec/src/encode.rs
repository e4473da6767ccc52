//! `f32` to stored bytes: the other direction of `decode`.

use pulp::Scalar;

use crate::DType;
use crate::real::Real;

/// What a float format does beyond its largest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beyond {
    /// IEEE 754: the top exponent holds infinity and NaN.
    Infinity,
    /// One code is NaN, and what is too large becomes it (E4M3 of OCP OFP8, as PyPI `ml_dtypes` casts).
    NaN,
    /// The code of -0 is the only NaN, and what is too large becomes it (the FNUZ types, as PyPI `ml_dtypes` casts).
    NegativeZero,
    /// No special codes: what is too large becomes the largest number (E2M1 of OCP MX).
    Largest,
}

/// A float format of at most 16 bits: sign, exponent, mantissa.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MiniFloat {
    /// Stored mantissa bits.
    pub(crate) mantissa: u32,
    /// The power of two below which spacing no longer shrinks.
    pub(crate) smallest_normal: f32,
    /// The largest finite number.
    pub(crate) largest: f32,
    /// The magnitude from which on rounding leaves the finite numbers.
    overflow: f32,
    bits: u32,
    beyond: Beyond,
}

impl MiniFloat {
    pub(crate) const F16: Self = Self {
        mantissa: 10,
        smallest_normal: 1.0 / 16_384.0,
        largest: 65_504.0,
        overflow: 65_520.0,
        bits: 16,
        beyond: Beyond::Infinity,
    };
    pub(crate) const BF16: Self = Self {
        mantissa: 7,
        smallest_normal: f32::MIN_POSITIVE,
        largest: f32::from_bits(0x7f7f_0000),
        overflow: f32::from_bits(0x7f7f_8000),
        bits: 16,
        beyond: Beyond::Infinity,
    };
    pub(crate) const E4M3: Self = Self {
        mantissa: 3,
        smallest_normal: 1.0 / 64.0,
        largest: 448.0,
        // Half way to where 480 would be lies on the even 448.
        overflow: 464.000_03,
        bits: 8,
        beyond: Beyond::NaN,
    };
    pub(crate) const E5M2: Self = Self {
        mantissa: 2,
        smallest_normal: 1.0 / 16_384.0,
        largest: 57_344.0,
        overflow: 61_440.0,
        bits: 8,
        beyond: Beyond::Infinity,
    };
    const E4M3FNUZ: Self = Self {
        mantissa: 3,
        smallest_normal: 1.0 / 128.0,
        largest: 240.0,
        // Half way to where 256 would be, which is even.
        overflow: 248.0,
        bits: 8,
        beyond: Beyond::NegativeZero,
    };
    const E5M2FNUZ: Self = Self {
        mantissa: 2,
        smallest_normal: 1.0 / 32_768.0,
        largest: 57_344.0,
        overflow: 61_440.0,
        bits: 8,
        beyond: Beyond::NegativeZero,
    };
    pub(crate) const E2M1: Self = Self {
        mantissa: 1,
        smallest_normal: 1.0,
        largest: 6.0,
        overflow: 7.0,
        bits: 4,
        beyond: Beyond::Largest,
    };

    /// The code of a number of this format, zero of either sign and infinity included.
    pub(crate) fn code(self, number: f32) -> u16 {
        let magnitude = number.abs();
        let sign = u16::from(number.is_sign_negative()) << (self.bits - 1);
        // In units of the smallest subnormal, normal numbers of binade e are (1 + m) 2^e: shifted by e, they
        // are the mantissa with its leading one, to which the exponents below add up.
        let code = if magnitude < self.smallest_normal {
            (magnitude / self.smallest_normal * (1u32 << self.mantissa) as f32) as u32
        } else {
            let shift = 23 - self.mantissa;
            let first = (self.smallest_normal.to_bits() >> shift) - (1 << self.mantissa);
            (magnitude.to_bits() >> shift) - first
        };
        // An infinity of f32 lies beyond the exponents of all but BF16.
        sign | if magnitude.is_infinite() { self.above() } else { code as u16 }
    }

    /// The code of too large magnitudes.
    fn above(self) -> u16 {
        let sign = 1 << (self.bits - 1);
        match self.beyond {
            Beyond::Infinity => (sign - 1) & !((1 << self.mantissa) - 1),
            Beyond::NaN | Beyond::Largest => sign - 1,
            Beyond::NegativeZero => sign,
        }
    }

    /// The code of the nearest number, halves to even.
    pub(crate) fn cast(self, value: f32) -> u16 {
        let sign = 1 << (self.bits - 1);
        let negative = if value.is_sign_negative() { sign } else { 0 };
        if value.is_nan() {
            return match self.beyond {
                Beyond::Infinity => negative | self.above() | 1 << (self.mantissa - 1),
                Beyond::NaN => negative | self.above(),
                Beyond::NegativeZero => sign,
                // It has none; a zero of the other sign, as PyPI `ml_dtypes` makes.
                Beyond::Largest => negative ^ sign,
            };
        }
        if value.abs() >= self.overflow {
            return negative | self.above();
        }
        if self.mantissa == 7 {
            // Beyond 2^111 rounding in `f32` overflows; of bfloat16 it is adding to the bits.
            let bits = value.to_bits();
            return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16;
        }
        let (number, _) =
            Real(Scalar::new(), value.abs()).round_to(self.mantissa, self.smallest_normal);
        let code = self.code(number.1);
        if code == 0 && self.beyond == Beyond::NegativeZero { 0 } else { negative | code }
    }

    /// The number of a code that is finite.
    pub(crate) fn value(self, code: u16) -> f32 {
        let sign = 1u16 << (self.bits - 1);
        let magnitude = u32::from(code & (sign - 1));
        let (exponent, mantissa) =
            (magnitude >> self.mantissa, magnitude & ((1 << self.mantissa) - 1));
        let unit = self.smallest_normal / (1u32 << self.mantissa) as f32;
        let number = if exponent == 0 {
            mantissa as f32 * unit
        } else {
            // 2^(exponent - 1) units for every step, in f64 so that no product overflows before it is whole.
            let whole = f64::from(mantissa | 1 << self.mantissa);
            (whole * f64::from(unit) * 2f64.powi(exponent as i32 - 1)) as f32
        };
        if code & sign == 0 { number } else { -number }
    }
}

/// Why values could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The byte count is not what the element count needs.
    #[error("{have} bytes for {elements} elements of {dtype}, which need {want}")]
    Length {
        /// Element type.
        dtype: DType,
        /// Elements given.
        elements: usize,
        /// Bytes that many elements take.
        want: usize,
        /// Bytes given.
        have: usize,
    },
    /// Not a float format.
    #[error("weights cannot be cast to {0}")]
    Integer(DType),
}

/// Casts `values` to a float type, nearest, halves to even; the other direction of [`crate::decode_f32`].
///
/// * `into`: exactly `values.len() * dtype.bytes()` bytes, which get little-endian elements.
/// * Too large magnitudes become infinite, and NaN in the 8-bit types other than `F8_E5M2`, which have no infinity (as
///   PyPI `ml_dtypes` casts). NaN stays NaN.
/// * `F8_E8M0` rounds numbers half way between two powers of two up. What is smaller than the smallest of them becomes
///   that; zero and negative numbers, which it does not have, become NaN (as PyPI `ml_dtypes` casts).
/// * Cost: one pass, not vectorised.
///
/// # Errors
/// [`EncodeError`] when the lengths do not agree or the type is no float.
pub fn encode_f32(dtype: DType, values: &[f32], into: &mut [u8]) -> Result<(), EncodeError> {
    let want = values.len().saturating_mul(dtype.bytes());
    if into.len() != want {
        let (elements, have) = (values.len(), into.len());
        return Err(EncodeError::Length { dtype, elements, want, have });
    }
    let format = match dtype {
        DType::F64 => {
            each(values, into, |v| f64::from(v).to_le_bytes());
            return Ok(());
        }
        DType::F32 => {
            each(values, into, f32::to_le_bytes);
            return Ok(());
        }
        DType::F16 => MiniFloat::F16,
        DType::BF16 => MiniFloat::BF16,
        DType::F8E4M3 => MiniFloat::E4M3,
        DType::F8E5M2 => MiniFloat::E5M2,
        DType::F8E4M3Fnuz => MiniFloat::E4M3FNUZ,
        DType::F8E5M2Fnuz => MiniFloat::E5M2FNUZ,
        DType::F8E8M0 => {
            each(values, into, |v| [power_of_two(v)]);
            return Ok(());
        }
        _ => return Err(EncodeError::Integer(dtype)),
    };
    if format.bits == 16 {
        each(values, into, |v| format.cast(v).to_le_bytes());
    } else {
        each(values, into, |v| [format.cast(v) as u8]);
    }
    Ok(())
}

/// The E8M0 code of the nearest power of two.
fn power_of_two(value: f32) -> u8 {
    const NAN: u32 = 255;
    let code = match value.to_bits() {
        // 2^-127 is 0x400000 among the subnormals, where bits are proportional to numbers.
        1..0x60_0000 => 0,
        0x60_0000..0x80_0000 => 1,
        bits @ 0x80_0000..0x7f80_0000 => (bits + 0x40_0000) >> 23,
        _ => NAN,
    };
    code as u8
}

fn each<const N: usize>(values: &[f32], into: &mut [u8], encode: impl Fn(f32) -> [u8; N]) {
    let (elements, _) = into.as_chunks_mut::<N>();
    for (element, value) in elements.iter_mut().zip(values) {
        *element = encode(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern_values;

    /// What PyPI `ml_dtypes` casts every bfloat16 pattern to.
    const CASTS: &[u8] = include_bytes!("../../../fixtures/references/casts-bf16.bin");

    #[test]
    fn every_bf16_pattern_is_cast_as_ml_dtypes_does() {
        let values = pattern_values(DType::BF16).unwrap();
        let formats = [MiniFloat::E4M3, MiniFloat::E5M2, MiniFloat::E2M1];
        assert_eq!(CASTS.len(), formats.len() * values.len());
        for (format, codes) in formats.into_iter().zip(CASTS.chunks(values.len())) {
            for (value, code) in values.iter().zip(codes) {
                assert_eq!(format.cast(*value), u16::from(*code), "{value:e} to {format:?}");
            }
        }
    }

    #[test]
    fn sixteen_bit_casts_equal_the_half_crate() {
        for bits in (0..=u32::MAX).step_by(4099) {
            let value = f32::from_bits(bits);
            let (f16, bf16) = (half::f16::from_f32(value), half::bf16::from_f32(value));
            if value.is_nan() {
                let nan = |dtype, cast: u16| {
                    let mut out = [0.0];
                    crate::decode_f32(dtype, &cast.to_le_bytes(), &mut out).unwrap();
                    out[0].is_nan()
                };
                assert!(nan(DType::F16, MiniFloat::F16.cast(value)));
                assert!(nan(DType::BF16, MiniFloat::BF16.cast(value)));
                continue;
            }
            assert_eq!(MiniFloat::F16.cast(value), f16.to_bits(), "{value:e}");
            assert_eq!(MiniFloat::BF16.cast(value), bf16.to_bits(), "{value:e}");
        }
    }

    #[test]
    fn encoding_undoes_decoding() {
        for dtype in DType::ALL.into_iter().filter(|dtype| dtype.bits() <= 16 && dtype.is_float()) {
            let values = pattern_values(dtype).unwrap();
            let mut bytes = vec![0; values.len() * dtype.bytes()];
            encode_f32(dtype, &values, &mut bytes).unwrap();
            for (pattern, (element, value)) in bytes.chunks(dtype.bytes()).zip(&values).enumerate()
            {
                let code = element.iter().rev().fold(0, |code, b| code << 8 | usize::from(*b));
                assert!(code == pattern || value.is_nan(), "{dtype} {pattern:#06x}: {value}");
            }
        }
        for format in
            [MiniFloat::F16, MiniFloat::BF16, MiniFloat::E4M3, MiniFloat::E5M2, MiniFloat::E2M1]
        {
            for code in 0..=u16::MAX >> (16 - format.bits) {
                let magnitude = code & !(1 << (format.bits - 1));
                if magnitude <= format.code(format.largest) {
                    assert_eq!(format.code(format.value(code)), code, "{format:?} {code:#06x}");
                }
            }
        }
    }

    /// Codes that PyPI `ml_dtypes` 0.6 gives, but for what lies below the middle of 2^-127 and 2^-126, which it rounds up.
    #[test]
    fn casts_without_a_negative_zero_and_to_powers_of_two() {
        let code = |dtype, value: f32| {
            let mut code = [0];
            encode_f32(dtype, &[value], &mut code).unwrap();
            code[0]
        };
        for (value, e4m3, e5m2) in [
            (-0.0, 0x00, 0x00),
            (-1.0, 0xc0, 0xc0),
            (0.75, 0x3c, 0x3e),
            (240.0, 0x7f, 0x60),
            (247.99, 0x7f, 0x60),
            (-248.0, 0x80, 0xe0),
            // Half the smallest E4M3 number, and a little more.
            (-1.0 / 2048.0, 0x00, 0x94),
            (-1.01 / 2048.0, 0x81, 0x94),
            (61_439.0, 0x80, 0x7f),
            (-61_440.0, 0x80, 0x80),
            (f32::INFINITY, 0x80, 0x80),
            (f32::NAN, 0x80, 0x80),
        ] {
            let codes = [DType::F8E4M3Fnuz, DType::F8E5M2Fnuz].map(|dtype| code(dtype, value));
            assert_eq!(codes, [e4m3, e5m2], "{value:e}");
        }
        for (bits, power) in [
            (0, 0xff),
            (0x8000_0000, 0xff),
            (1, 0),
            (0x5f_ffff, 0),
            (0x60_0000, 1),
            (0x80_0000, 1),
            (0xbf_ffff, 1),
            (0xc0_0000, 2),
            (0x3fc0_0000, 0x80),
            (0x4040_0000, 0x81),
            (0x7f3f_ffff, 0xfe),
            (0x7f40_0000, 0xff),
            (0x7f80_0000, 0xff),
            (0x7fc0_0000, 0xff),
            (0xbf80_0000, 0xff),
        ] {
            assert_eq!(code(DType::F8E8M0, f32::from_bits(bits)), power, "{bits:#010x}");
        }
    }

    #[test]
    fn what_cannot_be_encoded_is_an_error() {
        let error = encode_f32(DType::I8, &[1.0], &mut [0]).unwrap_err();
        assert_eq!(error.to_string(), "weights cannot be cast to I8");
        let error = encode_f32(DType::F16, &[1.0], &mut [0]).unwrap_err();
        assert_eq!(error.to_string(), "1 bytes for 1 elements of F16, which need 2");
    }
}
