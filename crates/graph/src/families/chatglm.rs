//! ChatGLM 2 and 3, and GLM-4 as first published: all queries, then the few keys and values, in one map.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Fused, Need, Row, Shape};

const BIAS: Need = Need::Flag("add_bias_linear");

pub(super) const FAMILY: Family = Family {
    name: "chatglm",
    model_types: &["chatglm"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["encoder.layers.{b}.self_attention.query_key_value.weight"],
    prefixes: &["transformer.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("embedding.word_embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::norm("encoder.layers.{b}.input_layernorm", Dim::Hidden),
    Row::linear(
        "encoder.layers.{b}.self_attention.query_key_value",
        Role::AttentionQkv,
        Dim::Qkv,
        Dim::Hidden,
    )
    .bias(Need::AnyOf(&[Need::Flag("add_qkv_bias"), BIAS]))
    .fused(Fused::Qkv),
    Row::linear(
        "encoder.layers.{b}.self_attention.dense",
        Role::AttentionO,
        Dim::Hidden,
        Dim::Query,
    )
    .bias(BIAS),
    Row::norm("encoder.layers.{b}.post_attention_layernorm", Dim::Hidden),
    Row::linear("encoder.layers.{b}.mlp.dense_h_to_4h", Role::MlpGateUp, Dim::GateUp, Dim::Hidden)
        .bias(BIAS)
        .fused(Fused::GateUp),
    Row::linear("encoder.layers.{b}.mlp.dense_4h_to_h", Role::MlpDown, Dim::Hidden, Dim::Inner)
        .bias(BIAS),
    Row::norm("encoder.final_layernorm", Dim::Hidden).when(Need::Unless("post_layer_norm")),
    Row::buffer("rotary_pos_emb.inv_freq"),
    Row::bare(
        "output_layer.weight",
        Role::Head,
        Part::Weight,
        Shape::Matrix(Dim::Vocab, Dim::Hidden),
    )
    .when(Need::Not(&Need::Flag("tie_word_embeddings")))
    .tied_to("embedding.word_embeddings.weight"),
];
