//! BLOOM. The fused projection holds, head by head, its q, k and v. Positions are slopes that nothing stores.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Fused, Need, Row, Shape};

pub(super) const FAMILY: Family = Family {
    name: "bloom",
    model_types: &["bloom"],
    any_architecture: false,
    tied_by_default: &["bloom"],
    telltales: &["word_embeddings_layernorm.weight"],
    prefixes: &["transformer.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: Some(4),
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("word_embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::norm("word_embeddings_layernorm", Dim::Hidden).biased(),
    Row::norm("h.{b}.input_layernorm", Dim::Hidden).biased(),
    Row::linear("h.{b}.self_attention.query_key_value", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .biased()
        .fused(Fused::QkvPerHead),
    Row::linear("h.{b}.self_attention.dense", Role::AttentionO, Dim::Hidden, Dim::Query).biased(),
    Row::norm("h.{b}.post_attention_layernorm", Dim::Hidden).biased(),
    Row::linear("h.{b}.mlp.dense_h_to_4h", Role::MlpUp, Dim::Inner, Dim::Hidden).biased(),
    Row::linear("h.{b}.mlp.dense_4h_to_h", Role::MlpDown, Dim::Hidden, Dim::Inner).biased(),
    Row::norm("ln_f", Dim::Hidden).biased(),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("word_embeddings.weight")
        .outside(),
    Row::linear("score", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];
