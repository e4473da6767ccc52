//! The formats that a plan can choose from.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A format that weights can be stored in, by the name that the analyzer `quantization` reports it under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the analyzer, which documents them")]
pub enum Scheme {
    Int8Tensor,
    Int8Channel,
    Int4Channel,
    Int4G128,
    Int4G64,
    Int4G32,
    Int4G128Asym,
    Fp8E4m3Tensor,
    Fp8E4m3Channel,
    Fp8E5m2Tensor,
    F16,
    Bf16,
    Nf4B64,
    Mxfp4,
    Nvfp4,
    GgufQ8_0,
    GgufQ4_0,
    GgufQ4_1,
    GgufQ5_0,
    GgufQ5_1,
}

impl Scheme {
    /// Every scheme, in the order of reports.
    pub const ALL: [Self; 20] = [
        Self::Int8Tensor,
        Self::Int8Channel,
        Self::Int4Channel,
        Self::Int4G128,
        Self::Int4G64,
        Self::Int4G32,
        Self::Int4G128Asym,
        Self::Fp8E4m3Tensor,
        Self::Fp8E4m3Channel,
        Self::Fp8E5m2Tensor,
        Self::F16,
        Self::Bf16,
        Self::Nf4B64,
        Self::Mxfp4,
        Self::Nvfp4,
        Self::GgufQ8_0,
        Self::GgufQ4_0,
        Self::GgufQ4_1,
        Self::GgufQ5_0,
        Self::GgufQ5_1,
    ];

    /// Its name in reports and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8Tensor => "int8_tensor",
            Self::Int8Channel => "int8_channel",
            Self::Int4Channel => "int4_channel",
            Self::Int4G128 => "int4_g128",
            Self::Int4G64 => "int4_g64",
            Self::Int4G32 => "int4_g32",
            Self::Int4G128Asym => "int4_g128_asym",
            Self::Fp8E4m3Tensor => "fp8_e4m3_tensor",
            Self::Fp8E4m3Channel => "fp8_e4m3_channel",
            Self::Fp8E5m2Tensor => "fp8_e5m2_tensor",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Nf4B64 => "nf4_b64",
            Self::Mxfp4 => "mxfp4",
            Self::Nvfp4 => "nvfp4",
            Self::GgufQ8_0 => "gguf_q8_0",
            Self::GgufQ4_0 => "gguf_q4_0",
            Self::GgufQ4_1 => "gguf_q4_1",
            Self::GgufQ5_0 => "gguf_q5_0",
            Self::GgufQ5_1 => "gguf_q5_1",
        }
    }

    /// Values along `in` that share a scale; `None` when a row or the whole tensor does.
    pub const fn group(self) -> Option<u64> {
        match self {
            Self::Int4G128 | Self::Int4G128Asym => Some(128),
            Self::Int4G64 | Self::Nf4B64 => Some(64),
            Self::Int4G32
            | Self::Mxfp4
            | Self::GgufQ8_0
            | Self::GgufQ4_0
            | Self::GgufQ4_1
            | Self::GgufQ5_0
            | Self::GgufQ5_1 => Some(32),
            Self::Nvfp4 => Some(16),
            _ => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Scheme {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// A name that is no scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is no scheme; there are {}", Scheme::ALL.map(Scheme::name).join(", "))]
pub struct UnknownScheme {
    /// The name asked for.
    pub name: String,
}

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(name: &str) -> Result<Self, UnknownScheme> {
        let known = Self::ALL.into_iter().find(|scheme| scheme.name() == name);
        known.ok_or_else(|| UnknownScheme { name: name.to_owned() })
    }
}
