//! InternLM 2: Llama with names of its own, and q, k, v in one: for each key-value head its queries, its key and its value.

use weightscope_core::{Part, Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Fused, Need, Row, Shape};

const BIAS: Need = Need::Flag("bias");

pub(super) const FAMILY: Family = Family {
    name: "internlm2",
    model_types: &["internlm2"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.attention.wqkv.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("tok_embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::norm("layers.{b}.attention_norm", Dim::Hidden),
    Row::linear("layers.{b}.attention.wqkv", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .bias(BIAS)
        .fused(Fused::QkvPerHead),
    Row::linear("layers.{b}.attention.wo", Role::AttentionO, Dim::Hidden, Dim::Query).bias(BIAS),
    Row::buffer("layers.{b}.attention.rotary_emb.inv_freq"),
    Row::norm("layers.{b}.ffn_norm", Dim::Hidden),
    Row::linear("layers.{b}.feed_forward.w1", Role::MlpGate, Dim::Inner, Dim::Hidden),
    Row::linear("layers.{b}.feed_forward.w3", Role::MlpUp, Dim::Inner, Dim::Hidden),
    Row::linear("layers.{b}.feed_forward.w2", Role::MlpDown, Dim::Hidden, Dim::Inner),
    Row::norm("norm", Dim::Hidden),
    Row::bare("output.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("tok_embeddings.weight")
        .outside(),
    Row::linear("v_head", Role::Head, Dim::Exactly(1), Dim::Hidden).optional().outside(),
];
