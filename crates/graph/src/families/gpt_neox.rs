//! GPT-NeoX and Pythia. The fused projection holds, head by head, its q, k and v.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Fused, Need, Row, Shape};

const ATTENTION_BIAS: Need = Need::Unless("attention_bias");

pub(super) const FAMILY: Family = Family {
    name: "gpt_neox",
    model_types: &["gpt_neox"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &[
        "layers.{b}.attention.query_key_value.weight",
        "layers.{b}.mlp.dense_4h_to_h.weight",
    ],
    prefixes: &["gpt_neox.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("embed_in", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden).biased(),
    Row::linear("layers.{b}.attention.query_key_value", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .bias(ATTENTION_BIAS)
        .fused(Fused::QkvPerHead),
    Row::linear("layers.{b}.attention.dense", Role::AttentionO, Dim::Hidden, Dim::Query)
        .bias(ATTENTION_BIAS),
    Row::buffer("layers.{b}.attention.bias"),
    Row::buffer("layers.{b}.attention.masked_bias"),
    Row::buffer("layers.{b}.attention.rotary_emb.inv_freq"),
    Row::norm("layers.{b}.post_attention_layernorm", Dim::Hidden).biased(),
    Row::linear("layers.{b}.mlp.dense_h_to_4h", Role::MlpUp, Dim::Inner, Dim::Hidden).biased(),
    Row::linear("layers.{b}.mlp.dense_4h_to_h", Role::MlpDown, Dim::Hidden, Dim::Inner).biased(),
    Row::norm("final_layer_norm", Dim::Hidden).biased(),
    Row::buffer("rotary_emb.inv_freq"),
    Row::bare("embed_out.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("embed_in.weight")
        .outside(),
    Row::linear("score", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];
