//! Nemotron: Llama's names with an MLP that has no gate, and norms with a bias that multiply by 1 + w.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Need, Row};

const BIAS: Need = Need::Flag("mlp_bias");

pub(super) const FAMILY: Family = Family {
    name: "nemotron",
    model_types: &["nemotron", "arcee"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.input_layernorm.bias"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::QKV, ROWS],
};

const ROWS: &[Row] = &[
    llama::EMBEDDING,
    llama::HEAD,
    llama::SCORE,
    norm("layers.{b}.input_layernorm"),
    Row::linear("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .bias(Need::Flag("attention_bias")),
    norm("layers.{b}.post_attention_layernorm"),
    Row::linear("layers.{b}.mlp.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden).bias(BIAS),
    Row::linear("layers.{b}.mlp.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner).bias(BIAS),
    norm("norm"),
];

const fn norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Hidden).bias(Need::For(&["nemotron"]))
}
