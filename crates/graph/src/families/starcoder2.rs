//! StarCoder 2: Llama's frame with biases everywhere, and GPT-2's names in the MLP.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Need, Row};

const BIAS: Need = Need::Flag("use_bias");

pub(super) const FAMILY: Family = Family {
    name: "starcoder2",
    model_types: &["starcoder2"],
    any_architecture: false,
    tied_by_default: &["starcoder2"],
    telltales: &["layers.{b}.mlp.c_fc.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::QKV, ROWS],
};

const ROWS: &[Row] = &[
    llama::EMBEDDING,
    llama::HEAD,
    llama::SCORE,
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden).biased(),
    Row::linear("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .bias(BIAS),
    Row::norm("layers.{b}.post_attention_layernorm", Dim::Hidden).biased(),
    Row::linear("layers.{b}.mlp.c_fc", Role::MlpUp, Dim::Inner, Dim::Hidden).bias(BIAS),
    Row::linear("layers.{b}.mlp.c_proj", Role::MlpDown, Dim::Hidden, Dim::Inner).bias(BIAS),
    Row::norm("norm", Dim::Hidden).biased(),
];
