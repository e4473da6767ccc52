//! GLM-4.5 and later: Llama's attention, and DeepSeek's experts.

use weightscope_core::Stack;

use super::{deepseek, llama};
use crate::family::Family;

pub(super) const FAMILY: Family = Family {
    name: "glm4_moe",
    model_types: &["glm4_moe"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.mlp.gate.e_score_correction_bias"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::FRAME, llama::QKV, deepseek::MLP, deepseek::NEXT],
};
