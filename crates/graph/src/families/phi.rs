//! Phi-1, 1.5 and 2: attention and MLP side by side behind one norm, with biases everywhere.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

const HEAD_NORM: Need = Need::Flag("qk_layernorm");

pub(super) const FAMILY: Family = Family {
    name: "phi",
    model_types: &["phi"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.self_attn.dense.weight"],
    prefixes: &["model.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: Some(4),
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("embed_tokens", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden).biased(),
    Row::linear("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query, Dim::Hidden).biased(),
    Row::linear("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue, Dim::Hidden)
        .biased(),
    Row::linear("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue, Dim::Hidden)
        .biased(),
    Row::linear("layers.{b}.self_attn.dense", Role::AttentionO, Dim::Hidden, Dim::Query).biased(),
    Row::norm("layers.{b}.self_attn.q_layernorm", Dim::HeadWidth).when(HEAD_NORM).biased(),
    Row::norm("layers.{b}.self_attn.k_layernorm", Dim::HeadWidth).when(HEAD_NORM).biased(),
    Row::buffer("layers.{b}.self_attn.rotary_emb.inv_freq"),
    Row::linear("layers.{b}.mlp.fc1", Role::MlpUp, Dim::Inner, Dim::Hidden).biased(),
    Row::linear("layers.{b}.mlp.fc2", Role::MlpDown, Dim::Hidden, Dim::Inner).biased(),
    Row::norm("final_layernorm", Dim::Hidden).biased(),
    Row::buffer("rotary_emb.inv_freq"),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("embed_tokens.weight")
        .outside(),
    Row::bare("lm_head.bias", Role::Head, Part::Bias, Shape::Vector(Dim::Vocab))
        .when(Need::UntiedHead)
        .outside(),
    Row::linear("score", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];
