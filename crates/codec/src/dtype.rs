//! The element types a checkpoint can hold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Type of one stored element, spelled as safetensors spells it.
///
/// Sizes are in bits because formats below one byte exist; everything listed here is whole bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 binary64.
    #[serde(rename = "F64")]
    F64,
    /// IEEE 754 binary32.
    #[serde(rename = "F32")]
    F32,
    /// IEEE 754 binary16.
    #[serde(rename = "F16")]
    F16,
    /// bfloat16: the upper half of a binary32.
    #[serde(rename = "BF16")]
    BF16,
    /// 8-bit float, 4 exponent and 3 mantissa bits, bias 7, no infinity, NaN is S.1111.111 (OCP OFP8 "E4M3").
    #[serde(rename = "F8_E4M3")]
    F8E4M3,
    /// 8-bit float, 5 exponent and 2 mantissa bits, IEEE-like infinity and NaN (OCP OFP8 "E5M2").
    #[serde(rename = "F8_E5M2")]
    F8E5M2,
    /// 8-bit power of two, 2^(code - 127): no sign, no zero, no infinity, NaN is 255 (OCP MX "E8M0", for scales).
    #[serde(rename = "F8_E8M0")]
    F8E8M0,
    /// 8-bit float, 4 exponent and 3 mantissa bits, bias 8, no infinity, no negative zero: its code is NaN
    /// (arXiv 2206.02915).
    #[serde(rename = "F8_E4M3FNUZ")]
    F8E4M3Fnuz,
    /// 8-bit float, 5 exponent and 2 mantissa bits, bias 16, no infinity, no negative zero: its code is NaN
    /// (arXiv 2206.02915).
    #[serde(rename = "F8_E5M2FNUZ")]
    F8E5M2Fnuz,
    /// Signed 64-bit integer.
    #[serde(rename = "I64")]
    I64,
    /// Signed 32-bit integer.
    #[serde(rename = "I32")]
    I32,
    /// Signed 16-bit integer.
    #[serde(rename = "I16")]
    I16,
    /// Signed 8-bit integer.
    #[serde(rename = "I8")]
    I8,
    /// Unsigned 64-bit integer.
    #[serde(rename = "U64")]
    U64,
    /// Unsigned 32-bit integer.
    #[serde(rename = "U32")]
    U32,
    /// Unsigned 16-bit integer.
    #[serde(rename = "U16")]
    U16,
    /// Unsigned 8-bit integer.
    #[serde(rename = "U8")]
    U8,
    /// One byte, zero is false and anything else is true.
    #[serde(rename = "BOOL")]
    Bool,
}

impl DType {
    /// Every type this crate decodes.
    pub const ALL: [Self; 18] = [
        Self::F64,
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::F8E4M3,
        Self::F8E5M2,
        Self::F8E8M0,
        Self::F8E4M3Fnuz,
        Self::F8E5M2Fnuz,
        Self::I64,
        Self::I32,
        Self::I16,
        Self::I8,
        Self::U64,
        Self::U32,
        Self::U16,
        Self::U8,
        Self::Bool,
    ];

    /// Name as safetensors writes it, for example `BF16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::F8E8M0 => "F8_E8M0",
            Self::F8E4M3Fnuz => "F8_E4M3FNUZ",
            Self::F8E5M2Fnuz => "F8_E5M2FNUZ",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U64 => "U64",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    /// Stored width of one element, in bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 64,
            Self::F32 | Self::I32 | Self::U32 => 32,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 16,
            Self::F8E4M3
            | Self::F8E5M2
            | Self::F8E8M0
            | Self::F8E4M3Fnuz
            | Self::F8E5M2Fnuz
            | Self::I8
            | Self::U8
            | Self::Bool => 8,
        }
    }

    /// Stored width of one element, in bytes (every present type is whole bytes).
    pub const fn bytes(self) -> usize {
        (self.bits() / 8) as usize
    }

    /// Whether this is a floating-point format.
    pub const fn is_float(self) -> bool {
        self.unit_roundoff().is_some()
    }

    /// Unit roundoff `u`: the largest relative error of rounding a normal number to this format to
    /// nearest. `None` for integers.
    pub const fn unit_roundoff(self) -> Option<f64> {
        // 2^-(stored mantissa bits + 1)
        match self {
            Self::F64 => Some(f64::EPSILON / 2.0),
            Self::F32 => Some(f32::EPSILON as f64 / 2.0),
            Self::F16 => Some(1.0 / 2048.0),
            Self::BF16 => Some(1.0 / 256.0),
            Self::F8E4M3 | Self::F8E4M3Fnuz => Some(1.0 / 16.0),
            Self::F8E5M2 | Self::F8E5M2Fnuz => Some(1.0 / 8.0),
            Self::F8E8M0 => Some(1.0 / 2.0),
            _ => None,
        }
    }

    /// Smallest positive normal number; non-zero values below it are subnormal. `None` for integers.
    pub const fn min_positive_normal(self) -> Option<f64> {
        match self {
            Self::F64 => Some(f64::MIN_POSITIVE),
            Self::F32 | Self::BF16 => Some(f32::MIN_POSITIVE as f64),
            Self::F16 | Self::F8E5M2 => Some(1.0 / 16_384.0),
            Self::F8E4M3 => Some(1.0 / 64.0),
            Self::F8E4M3Fnuz => Some(1.0 / 128.0),
            Self::F8E5M2Fnuz => Some(1.0 / 32_768.0),
            // 2^-127, the smallest there is.
            Self::F8E8M0 => Some(f32::MIN_POSITIVE as f64 / 2.0),
            _ => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A type name this crate does not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown element type {0:?}")]
pub struct UnknownDType(pub String);

impl FromStr for DType {
    type Err = UnknownDType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|d| d.name() == name)
            .ok_or_else(|| UnknownDType(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for dtype in DType::ALL {
            assert_eq!(dtype.name().parse::<DType>(), Ok(dtype));
        }
        assert!("Q4_K".parse::<DType>().is_err());
    }
}
