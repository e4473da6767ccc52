//! ALBERT: narrow embeddings that are widened, and blocks that the layers share: what is stored is one block for each
//! group of layers.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Row, Shape};

const NARROW: Dim = Dim::Key("embedding_size");

pub(super) const FAMILY: Family = Family {
    name: "albert",
    model_types: &["albert"],
    any_architecture: false,
    tied_by_default: &["albert"],
    telltales: &["encoder.albert_layer_groups.{b}.albert_layers.{n}.attention.query.weight"],
    prefixes: &["albert.", ""],
    stacks: &[("", Stack::Encoder)],
    inner_per_hidden: None,
    tables: &[EMBEDDINGS, BLOCK, HEADS],
};

const EMBEDDINGS: &[Row] = &[
    Row::table("embeddings.word_embeddings", Role::TokenEmbedding, Dim::Vocab, NARROW),
    Row::table("embeddings.position_embeddings", Role::PositionEmbedding, Dim::Positions, NARROW),
    Row::table("embeddings.token_type_embeddings", Role::TypeEmbedding, Dim::TokenTypes, NARROW),
    Row::norm("embeddings.LayerNorm", NARROW).biased(),
    Row::buffer("embeddings.position_ids"),
    Row::linear("encoder.embedding_hidden_mapping_in", Role::Other, Dim::Hidden, NARROW).biased(),
];

const BLOCK: &[Row] = &[
    query_like(
        "encoder.albert_layer_groups.{b}.albert_layers.{n}.attention.query",
        Role::AttentionQ,
    ),
    query_like("encoder.albert_layer_groups.{b}.albert_layers.{n}.attention.key", Role::AttentionK),
    query_like(
        "encoder.albert_layer_groups.{b}.albert_layers.{n}.attention.value",
        Role::AttentionV,
    ),
    Row::linear(
        "encoder.albert_layer_groups.{b}.albert_layers.{n}.attention.dense",
        Role::AttentionO,
        Dim::Hidden,
        Dim::Query,
    )
    .biased(),
    norm("encoder.albert_layer_groups.{b}.albert_layers.{n}.attention.LayerNorm"),
    Row::linear(
        "encoder.albert_layer_groups.{b}.albert_layers.{n}.ffn",
        Role::MlpUp,
        Dim::Inner,
        Dim::Hidden,
    )
    .biased(),
    Row::linear(
        "encoder.albert_layer_groups.{b}.albert_layers.{n}.ffn_output",
        Role::MlpDown,
        Dim::Hidden,
        Dim::Inner,
    )
    .biased(),
    norm("encoder.albert_layer_groups.{b}.albert_layers.{n}.full_layer_layer_norm"),
];

const HEADS: &[Row] = &[
    Row::linear("pooler", Role::Head, Dim::Hidden, Dim::Hidden).optional(),
    Row::linear("predictions.dense", Role::Head, NARROW, Dim::Hidden).optional().outside(),
    Row::norm("predictions.LayerNorm", NARROW).optional().outside(),
    Row::bare(
        "predictions.decoder.weight",
        Role::Head,
        Part::Weight,
        Shape::Matrix(Dim::Vocab, NARROW),
    )
    .tied_to("embeddings.word_embeddings.weight")
    .outside(),
    Row::bare("predictions.decoder.bias", Role::Head, Part::Bias, Shape::Vector(Dim::Vocab))
        .tied_to("predictions.bias")
        .outside(),
    Row::bare("predictions.bias", Role::Head, Part::Bias, Shape::Vector(Dim::Vocab)).outside(),
    Row::linear("sop_classifier.classifier", Role::Head, Dim::Any, Dim::Hidden)
        .optional()
        .outside(),
    Row::linear("classifier", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
    Row::linear("qa_outputs", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];

const fn query_like(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden).biased()
}

const fn norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Hidden).biased()
}
