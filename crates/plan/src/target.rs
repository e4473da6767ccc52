//! The tools that a plan can be written for, and what they cannot do.
//!
//! A plan mixes formats, and no program reads every mixture. What may stand side by side, what is fused when it is
//! loaded and therefore has one format, and which shapes a format has: each rule below cites the code that enforces it.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use weightscope_core::{Report, Role};

use crate::tensor::{Stored, stored};
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
                    Some("left alone by llama-quantize")
                }
                _ if tensor.role == Role::TypeEmbedding => Some("left alone by llama-quantize"),
                _ if llama_cpp::name(tensor).is_none() => Some("no GGUF name is known"),
                _ => None,
            },
            Self::CompressedTensors | Self::BitsAndBytes => {
                if tensor.module().is_none() || tensor.dimensions != 2 {
                    Some("no Linear module")
                } else if self == Self::CompressedTensors && tensor.transposed {
                    Some("stored [in, out], so no Linear module")
                } else {
                    None
                }
            }
        }
    }

    /// Why it cannot store this tensor in a scheme; `None` where it can.
    ///
    /// * llama.cpp: a row is a whole number of blocks (`ggml_row_size` and `ggml_quantize_chunk` in ggml assert it), so
    ///   rows of the types here are multiples of 32.
    /// * compressed-tensors: groups divide rows (vLLM's `CompressedTensorsWNA16.create_weights` asserts it), and codes of
    ///   4 or 8 bits are packed into whole 32-bit words along a row, zero points along a column
    ///   (`pack_to_int32` in compressed-tensors, `PackedvLLMParameter` in vLLM).
    /// * compressed-tensors, experts: vLLM's fused kernels take symmetric integers and 4-bit floats only
    ///   ("Only symmetric quantization is supported for MoE" in `CompressedTensorsWNA16MarlinMoEMethod`; weight-only 8-bit
    ///   floats end in "Unsupported FusedMoe scheme" in `CompressedTensorsMoEMethod.get_moe_method`).
    /// * bitsandbytes: blocks run over the whole tensor and the last one may be short (`quantize_blockwise`).
    pub(crate) fn refuses(self, tensor: &Stored, scheme: Scheme) -> Option<String> {
        if self == Self::BitsAndBytes {
            return None;
        }
        let odd =
            |sizes: &[u64], unit: u64| sizes.iter().copied().find(|n| !n.is_multiple_of(unit));
        if let Some(width) = scheme.group().and_then(|group| odd(&tensor.widths, group)) {
            return Some(format!("rows of {width} do not fit {scheme}"));
        }
        if self == Self::LlamaCpp {
            return None;
        }
        let codes = match scheme {
            Scheme::Int8Channel => 4,
            Scheme::Int4Channel => 8,
            _ => 1,
        };
        if let Some(width) = odd(&tensor.widths, codes) {
            return Some(format!("rows of {width} do not fit {scheme}, packed by {codes}"));
        }
        let is_asymmetric = scheme == Scheme::Int4G128Asym;
        if let Some(height) = odd(&tensor.heights, 8).filter(|_| is_asymmetric) {
            return Some(format!(
                "{height} rows do not fit the zero points of {scheme}, packed by 8"
            ));
        }
        let is_fp8 = matches!(scheme, Scheme::Fp8E4m3Tensor | Scheme::Fp8E4m3Channel);
        (tensor.expert && (is_asymmetric || is_fp8))
            .then(|| format!("vLLM has no {scheme} for experts"))
    }

    /// Whether it can keep a quantised form as it is beside what is planned.
    ///
    /// A GGUF file holds any mixture of ggml's types. Every other checkpoint has one `quantization_config` in its
    /// config.json, of one tool: transformers refuses a second one ("The model is already quantized with ..., you cannot
    /// pass ..." in `quantizers/auto.py`), and vLLM reads one.
    pub(crate) fn holds(self, form: &str) -> bool {
        self == Self::LlamaCpp && llama_cpp::is_type(form)
    }

    /// The tool to plan for where nobody named one, and why.
    ///
    /// * llama.cpp: its files mix types freely, tensor by tensor, which is what a plan does.
    /// * A checkpoint that is quantised in a form that GGUF does not have stays with the tool that reads it: turning it
    ///   into a GGUF file would round twice what was rounded once, so that is done when it is asked for.
    /// * Where `schemes` were asked for, the first tool that has all of them; of two, the one named above.
    pub fn suggested(report: &Report, schemes: &[Scheme]) -> (Self, String) {
        let tensors = stored(report);
        let foreign = tensors.iter().filter_map(|tensor| tensor.quantised.as_deref());
        let foreign = foreign.filter(|form| !Self::LlamaCpp.holds(form)).max_by_key(|form| {
            let same = tensors.iter().filter(|t| t.quantised.as_deref() == Some(*form));
            same.map(|tensor| tensor.bytes).sum::<u64>()
        });
        let (usual, why) = match foreign {
            Some(form) => {
                let tool = if form.starts_with("bnb ") {
                    Self::BitsAndBytes
                } else {
                    Self::CompressedTensors
                };
                (tool, format!("stored as {form}, which no GGUF file holds"))
            }
            None => (Self::LlamaCpp, "its files mix types freely".to_owned()),
        };
        let has_all = |target: &Self| schemes.iter().all(|s| target.schemes().contains(s));
        if has_all(&usual) {
            return (usual, why);
        }
        match Self::ALL.into_iter().find(has_all) {
            Some(other) => (other, "it has the schemes asked for".to_owned()),
            None => (usual, why),
        }
    }

    /// Bits of an element that is kept, where the tool stores it in another type than the checkpoint.
    pub(crate) fn kept_bits(self, tensor: &Stored) -> Option<u64> {
        // GGUF converters store vectors, routers and position tables in F32, and no buffers.
        match (self, tensor.class) {
            (Self::LlamaCpp, Class::Buffer) => Some(0),
            (Self::LlamaCpp, Class::Norm | Class::Router | Class::Position) => Some(32),
            (Self::LlamaCpp, _) if tensor.role == Role::TypeEmbedding => Some(32),
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
