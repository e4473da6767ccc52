//! ELECTRA: BERT's blocks behind embeddings that may be narrower.

use weightscope_core::{Part, Role, Stack};

use super::bert;
use crate::family::{Dim, Family, Row, Shape};

const NARROW: Dim = Dim::Key("embedding_size");

pub(super) const FAMILY: Family = Family {
    name: "electra",
    model_types: &["electra"],
    any_architecture: false,
    tied_by_default: &["electra"],
    telltales: &["discriminator_predictions.dense.weight", "generator_predictions.dense.weight"],
    prefixes: &["electra.", ""],
    stacks: &[("", Stack::Encoder)],
    inner_per_hidden: None,
    tables: &[EMBEDDINGS, bert::BLOCK, HEADS],
};

const EMBEDDINGS: &[Row] = &[
    Row::table("embeddings.word_embeddings", Role::TokenEmbedding, Dim::Vocab, NARROW),
    Row::table("embeddings.position_embeddings", Role::PositionEmbedding, Dim::Positions, NARROW),
    Row::table("embeddings.token_type_embeddings", Role::TypeEmbedding, Dim::TokenTypes, NARROW),
    Row::norm("embeddings.LayerNorm", NARROW).biased(),
    Row::buffer("embeddings.position_ids"),
    // Where they are as wide as the blocks there is none.
    Row::linear("embeddings_project", Role::Other, Dim::Hidden, NARROW).optional(),
];

const HEADS: &[Row] = &[
    head("discriminator_predictions.dense", Dim::Hidden, Dim::Hidden),
    head("discriminator_predictions.dense_prediction", Dim::Exactly(1), Dim::Hidden),
    head("generator_predictions.dense", NARROW, Dim::Hidden),
    Row::norm("generator_predictions.LayerNorm", NARROW).optional().outside(),
    Row::bare(
        "generator_lm_head.weight",
        Role::Head,
        Part::Weight,
        Shape::Matrix(Dim::Vocab, NARROW),
    )
    .tied_to("embeddings.word_embeddings.weight")
    .outside(),
    Row::bare("generator_lm_head.bias", Role::Head, Part::Bias, Shape::Vector(Dim::Vocab))
        .outside(),
    head("classifier", Dim::Any, Dim::Hidden),
    head("classifier.dense", Dim::Hidden, Dim::Hidden),
    head("classifier.out_proj", Dim::Any, Dim::Hidden),
    head("qa_outputs", Dim::Any, Dim::Hidden),
];

const fn head(pattern: &'static str, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, Role::Head, out, input).optional().outside()
}
