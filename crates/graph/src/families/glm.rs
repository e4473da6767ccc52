//! GLM-4 with Llama's names: gate and up in one, and in the later ones norms behind attention and MLP.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Fused, Need, Row};

const SANDWICH: Need = Need::For(&["glm4"]);

pub(super) const FAMILY: Family = Family {
    name: "glm",
    model_types: &["glm", "glm4"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.mlp.gate_up_proj.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::QKV, llama::FRAME, ROWS],
};

const ROWS: &[Row] = &[
    Row::norm("layers.{b}.post_self_attn_layernorm", Dim::Hidden).when(SANDWICH),
    Row::linear("layers.{b}.mlp.gate_up_proj", Role::MlpGateUp, Dim::GateUp, Dim::Hidden)
        .fused(Fused::GateUp),
    Row::linear("layers.{b}.mlp.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner),
    Row::norm("layers.{b}.post_mlp_layernorm", Dim::Hidden).when(SANDWICH),
];
