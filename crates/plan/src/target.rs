//! The tools that a plan can be written for, and what they cannot do.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use weightscope_core::Role;

use crate::tensor::Stored;
use crate::{Class, Scheme, llama_cpp};

/// A tool that quantises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// llama-quantize of llama.cpp: a type for each tensor of a GGUF file.
    LlamaCpp,
    /// llm-compressor and the runtimes that read its checkpoints: weight-only schemes by module.
    CompressedTensors,
    /// bitsandbytes through transformers: one format, and modules that are left out.
    BitsAndBytes,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 3] = [Self::LlamaCpp, Self::CompressedTensors, Self::BitsAndBytes];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama.cpp",
            Self::CompressedTensors => "compressed-tensors",
            Self::BitsAndBytes => "bitsandbytes",
        }
    }

    /// The schemes that it can store.
    pub const fn schemes(self) -> &'static [Scheme] {
        match self {
            Self::LlamaCpp => &[
                Scheme::F16,
                Scheme::Bf16,
                Scheme::GgufQ8_0,
                Scheme::GgufQ4_0,
                Scheme::GgufQ4_1,
                Scheme::GgufQ5_0,
                Scheme::GgufQ5_1,
            ],
            Self::CompressedTensors => &[
                Scheme::Int8Channel,
                Scheme::Int4Channel,
                Scheme::Int4G128,
                Scheme::Int4G64,
                Scheme::Int4G32,
                Scheme::Int4G128Asym,
                Scheme::Fp8E4m3Tensor,
                Scheme::Fp8E4m3Channel,
                Scheme::Mxfp4,
                Scheme::Nvfp4,
            ],
            Self::BitsAndBytes => &[Scheme::Int8Channel, Scheme::Nf4B64],
        }
    }

    /// Why it cannot change this tensor at all.
    pub(crate) fn keeps(self, tensor: &Stored) -> Option<&'static str> {
        match self {
            Self::LlamaCpp => match tensor.class {
                Class::Router | Class::Position | Class::Norm => {
                    Some("llama-quantize leaves it as it is")
                }
                _ if tensor.role == Role::TypeEmbedding => {
                    Some("llama-quantize leaves it as it is")
                }
                _ if llama_cpp::name(tensor).is_none() => Some("no GGUF name is known for it"),
                _ => None,
            },
            Self::CompressedTensors | Self::BitsAndBytes => {
                if tensor.module().is_none() || tensor.dimensions != 2 {
                    Some("not a Linear module")
                } else if self == Self::CompressedTensors && tensor.transposed {
                    Some("stored [in, out], so not a Linear module")
                } else {
                    None
                }
            }
        }
    }

    /// Whether it can store a tensor with rows of these lengths in a scheme.
    pub(crate) fn stores(self, tensor: &Stored, scheme: Scheme) -> bool {
        let whole = |group: u64| tensor.widths.iter().all(|width| width.is_multiple_of(group));
        match self {
            // llama.cpp has no short blocks, and compressed-tensors no short groups.
            Self::LlamaCpp | Self::CompressedTensors => scheme.group().is_none_or(whole),
            Self::BitsAndBytes => true,
        }
    }

    /// Whether it can store a quantised form as it is.
    pub(crate) fn holds(self, form: &str) -> bool {
        self != Self::LlamaCpp || llama_cpp::is_type(form)
    }

    /// Bits of an element that is kept, where the tool stores it in another type than the checkpoint.
    pub(crate) fn kept_bits(self, tensor: &Stored) -> Option<u64> {
        // GGUF converters store vectors, routers and position tables in F32, and no buffers.
        match (self, tensor.class) {
            (Self::LlamaCpp, Class::Buffer) => Some(0),
            (Self::LlamaCpp, Class::Norm | Class::Router | Class::Position) => Some(32),
            (Self::LlamaCpp, _) if tensor.role == Role::TypeEmbedding => Some(32),
            // The converter decodes what it cannot take over.
            (Self::LlamaCpp, _) if !self.holds(tensor.quantised.as_deref()?) => Some(16),
            _ => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// A name that is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no plans are written for \"{name}\"; there are {}", Target::ALL.map(Target::name).join(", "))]
pub struct UnknownTarget {
    /// The name asked for.
    pub name: String,
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Self, UnknownTarget> {
        let known = Self::ALL.into_iter().find(|target| target.name() == name);
        known.ok_or_else(|| UnknownTarget { name: name.to_owned() })
    }
}
