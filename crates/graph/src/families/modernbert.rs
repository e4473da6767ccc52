//! ModernBERT: q, k, v in one, gate and up in one, and no norm before the first attention, for the embeddings have one.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Blocks, Dim, Family, Fused, Need, Row, Shape};

const NORM_BIAS: Need = Need::Flag("norm_bias");
const BIAS: Need = Need::Flag("attention_bias");
const MLP_BIAS: Need = Need::Flag("mlp_bias");
const MASKED: Need = Need::Architecture("ForMaskedLM");

pub(super) const FAMILY: Family = Family {
    name: "modernbert",
    model_types: &["modernbert"],
    any_architecture: false,
    tied_by_default: &["modernbert"],
    telltales: &["layers.{b}.attn.Wqkv.weight"],
    prefixes: &["model.", ""],
    stacks: &[("", Stack::Encoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("embeddings.tok_embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    norm("embeddings.norm"),
    norm("layers.{b}.attn_norm").in_blocks(Blocks::Not(&Blocks::First)),
    Row::linear("layers.{b}.attn.Wqkv", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .bias(BIAS)
        .fused(Fused::Qkv),
    Row::linear("layers.{b}.attn.Wo", Role::AttentionO, Dim::Hidden, Dim::Query).bias(BIAS),
    norm("layers.{b}.mlp_norm"),
    Row::linear("layers.{b}.mlp.Wi", Role::MlpGateUp, Dim::GateUp, Dim::Hidden)
        .bias(MLP_BIAS)
        .fused(Fused::GateUp),
    Row::linear("layers.{b}.mlp.Wo", Role::MlpDown, Dim::Hidden, Dim::Inner).bias(MLP_BIAS),
    norm("final_norm"),
    Row::linear("head.dense", Role::Head, Dim::Hidden, Dim::Hidden)
        .when(MASKED)
        .bias(Need::Flag("classifier_bias"))
        .outside(),
    Row::norm("head.norm", Dim::Hidden)
        .when(MASKED)
        .bias(Need::AllOf(&[MASKED, NORM_BIAS]))
        .outside(),
    Row::bare("decoder.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .tied_to("embeddings.tok_embeddings.weight")
        .outside(),
    Row::bare("decoder.bias", Role::Head, Part::Bias, Shape::Vector(Dim::Vocab))
        .when(Need::AllOf(&[MASKED, Need::Unless("decoder_bias")]))
        .outside(),
    Row::linear("classifier", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];

const fn norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Hidden).bias(NORM_BIAS)
}
