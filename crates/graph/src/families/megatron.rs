//! Megatron Core's names, as NeMo and other trainers save them. The fused projection holds, group by group, the queries
//! of one key-value head, its key and its value; norms are part of the linear map behind them where that is fused
//! (`megatron/core/transformer`, `megatron/core/models/gpt`).

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Fused, Need, Row, Shape};

pub(super) const FAMILY: Family = Family {
    name: "megatron",
    model_types: &["megatron"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &[
        "decoder.layers.{b}.self_attention.linear_qkv.weight",
        "decoder.layers.{b}.mlp.linear_fc1.weight",
    ],
    prefixes: &["module.", "model.", "language_model.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("embedding.word_embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::table(
        "embedding.position_embeddings",
        Role::PositionEmbedding,
        Dim::Positions,
        Dim::Hidden,
    )
    .optional(),
    Row::norm("decoder.layers.{b}.input_layernorm", Dim::Hidden).optional(),
    map("decoder.layers.{b}.self_attention.linear_qkv", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .fused(Fused::QkvPerHead),
    gain("decoder.layers.{b}.self_attention.linear_qkv.layer_norm_weight"),
    offset("decoder.layers.{b}.self_attention.linear_qkv.layer_norm_bias"),
    Row::norm("decoder.layers.{b}.self_attention.q_layernorm", Dim::HeadWidth).optional(),
    Row::norm("decoder.layers.{b}.self_attention.k_layernorm", Dim::HeadWidth).optional(),
    map("decoder.layers.{b}.self_attention.linear_proj", Role::AttentionO, Dim::Hidden, Dim::Query),
    Row::norm("decoder.layers.{b}.pre_mlp_layernorm", Dim::Hidden).optional(),
    map("decoder.layers.{b}.mlp.linear_fc1", Role::MlpGateUp, Dim::Any, Dim::Hidden)
        .fused(Fused::GateUp),
    gain("decoder.layers.{b}.mlp.linear_fc1.layer_norm_weight"),
    offset("decoder.layers.{b}.mlp.linear_fc1.layer_norm_bias"),
    map("decoder.layers.{b}.mlp.linear_fc2", Role::MlpDown, Dim::Hidden, Dim::Any),
    map("decoder.layers.{b}.mlp.router", Role::Router, Dim::Experts, Dim::Hidden),
    map(
        "decoder.layers.{b}.mlp.experts.local_experts.{e}.linear_fc1",
        Role::MlpGateUp,
        Dim::Any,
        Dim::Hidden,
    )
    .fused(Fused::GateUp),
    map(
        "decoder.layers.{b}.mlp.experts.local_experts.{e}.linear_fc2",
        Role::MlpDown,
        Dim::Hidden,
        Dim::Any,
    ),
    map("decoder.layers.{b}.mlp.shared_experts.linear_fc1", Role::MlpGateUp, Dim::Any, Dim::Hidden)
        .fused(Fused::GateUp),
    map("decoder.layers.{b}.mlp.shared_experts.linear_fc2", Role::MlpDown, Dim::Hidden, Dim::Any),
    Row::norm("decoder.final_layernorm", Dim::Hidden).biased(),
    Row::linear("output_layer", Role::Head, Dim::Vocab, Dim::Hidden)
        .when(Need::UntiedHead)
        .tied_to("embedding.word_embeddings.weight"),
];

/// A linear map that some models have, perhaps with a bias.
const fn map(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).optional()
}

/// The gain of a norm that is part of a linear map.
const fn gain(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Norm, Part::Weight, Shape::Vector(Dim::Hidden))
}

const fn offset(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Norm, Part::Bias, Shape::Vector(Dim::Hidden))
}
