//! Falcon. The fused projection holds, for each key-value head, its queries, its key and its value: of the 7B
//! there is one such head, of the 40B and 180B there are eight, and of the first ones (`falcon-rw`) each
//! query has its own.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Fused, Need, Row, Shape};

const BIAS: Need = Need::Flag("bias");
const GROUPED: Need = Need::Flag("new_decoder_architecture");
/// Falcon 2 has the grouped heads and one norm.
const ONE_NORM: Need = Need::AnyOf(&[Need::Not(&GROUPED), Need::Is("num_ln_in_parallel_attn", 1)]);

pub(super) const FAMILY: Family = Family {
    name: "falcon",
    model_types: &["falcon"],
    any_architecture: false,
    tied_by_default: &["falcon"],
    telltales: &["h.{b}.self_attention.query_key_value.weight"],
    prefixes: &["transformer.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: Some(4),
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("word_embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    norm("h.{b}.input_layernorm", ONE_NORM),
    norm("h.{b}.ln_attn", Need::Not(&ONE_NORM)),
    norm("h.{b}.ln_mlp", Need::Not(&ONE_NORM)),
    Row::linear("h.{b}.self_attention.query_key_value", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .bias(BIAS)
        .fused(Fused::QkvPerHead),
    Row::linear("h.{b}.self_attention.dense", Role::AttentionO, Dim::Hidden, Dim::Query).bias(BIAS),
    Row::buffer("h.{b}.self_attention.rotary_emb.inv_freq"),
    // Where attention and MLP stand one behind the other.
    norm(
        "h.{b}.post_attention_layernorm",
        Need::AllOf(&[Need::Not(&GROUPED), Need::Not(&Need::Unless("parallel_attn"))]),
    ),
    Row::linear("h.{b}.mlp.dense_h_to_4h", Role::MlpUp, Dim::Inner, Dim::Hidden).bias(BIAS),
    Row::linear("h.{b}.mlp.dense_4h_to_h", Role::MlpDown, Dim::Hidden, Dim::Inner).bias(BIAS),
    norm("ln_f", Need::Always),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("word_embeddings.weight")
        .outside(),
    Row::linear("score", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];

const fn norm(pattern: &'static str, need: Need) -> Row {
    Row::norm(pattern, Dim::Hidden).when(need).biased()
}
