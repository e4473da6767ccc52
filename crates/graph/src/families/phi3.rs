//! Phi-3 and 4: Llama's names with fused q, k, v and fused gate and up.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Fused, Row};

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    model_types: &["phi3"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.self_attn.qkv_proj.weight", "layers.{b}.mlp.gate_up_proj.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::FRAME, ROWS],
};

const ROWS: &[Row] = &[
    Row::linear("layers.{b}.self_attn.qkv_proj", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .fused(Fused::Qkv),
    Row::linear("layers.{b}.mlp.gate_up_proj", Role::MlpGateUp, Dim::GateUp, Dim::Hidden)
        .fused(Fused::GateUp),
    Row::linear("layers.{b}.mlp.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner),
];
