//! DeBERTa 2 and 3: BERT's blocks with scores of distances from a table that all blocks share.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

/// Some have maps for the table's queries and keys of their own.
const OWN_MAPS: Need = Need::Not(&Need::Flag("share_att_key"));

pub(super) const FAMILY: Family = Family {
    name: "deberta-v2",
    model_types: &["deberta-v2"],
    any_architecture: false,
    tied_by_default: &["deberta-v2"],
    telltales: &["encoder.layer.{b}.attention.self.query_proj.weight"],
    prefixes: &["deberta.", ""],
    stacks: &[("", Stack::Encoder)],
    inner_per_hidden: None,
    tables: &[EMBEDDINGS, BLOCK, HEADS],
};

const EMBEDDINGS: &[Row] = &[
    Row::table("embeddings.word_embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Any),
    Row::table("embeddings.position_embeddings", Role::PositionEmbedding, Dim::Positions, Dim::Any)
        .when(Need::Flag("position_biased_input")),
    Row::table("embeddings.token_type_embeddings", Role::TypeEmbedding, Dim::TokenTypes, Dim::Any)
        .when(Need::Has("type_vocab_size")),
    Row::linear("embeddings.embed_proj", Role::Other, Dim::Hidden, Dim::Any).optional(),
    Row::norm("embeddings.LayerNorm", Dim::Hidden).biased(),
    Row::buffer("embeddings.position_ids"),
    Row::table("encoder.rel_embeddings", Role::PositionEmbedding, Dim::Any, Dim::Hidden)
        .when(Need::Flag("relative_attention")),
    Row::norm("encoder.LayerNorm", Dim::Hidden)
        .when(Need::Says("norm_rel_ebd", "layer_norm"))
        .biased(),
    // The largest of the second mix neighbours.
    Row::conv("encoder.conv.conv", &[Dim::Hidden, Dim::Hidden, Dim::Key("conv_kernel_size")])
        .when(Need::Has("conv_kernel_size"))
        .biased(),
    Row::norm("encoder.conv.LayerNorm", Dim::Hidden).when(Need::Has("conv_kernel_size")).biased(),
];

const BLOCK: &[Row] = &[
    query_like("encoder.layer.{b}.attention.self.query_proj", Role::AttentionQ),
    query_like("encoder.layer.{b}.attention.self.key_proj", Role::AttentionK),
    query_like("encoder.layer.{b}.attention.self.value_proj", Role::AttentionV),
    query_like("encoder.layer.{b}.attention.self.pos_query_proj", Role::AttentionQ)
        .when(Need::AllOf(&[OWN_MAPS, Need::Says("pos_att_type", "p2c")]))
        .biased(),
    query_like("encoder.layer.{b}.attention.self.pos_key_proj", Role::AttentionK)
        .when(Need::AllOf(&[OWN_MAPS, Need::Says("pos_att_type", "c2p")]))
        .biased(),
    Row::linear(
        "encoder.layer.{b}.attention.output.dense",
        Role::AttentionO,
        Dim::Hidden,
        Dim::Query,
    )
    .biased(),
    Row::norm("encoder.layer.{b}.attention.output.LayerNorm", Dim::Hidden).biased(),
    Row::linear("encoder.layer.{b}.intermediate.dense", Role::MlpUp, Dim::Inner, Dim::Hidden)
        .biased(),
    Row::linear("encoder.layer.{b}.output.dense", Role::MlpDown, Dim::Hidden, Dim::Inner).biased(),
    Row::norm("encoder.layer.{b}.output.LayerNorm", Dim::Hidden).biased(),
];

const HEADS: &[Row] = &[
    head("pooler.dense", Dim::Hidden),
    head("cls.predictions.transform.dense", Dim::Any),
    head_norm("cls.predictions.transform.LayerNorm"),
    decoder("cls.predictions.decoder.weight"),
    decoder_bias("cls.predictions.decoder.bias").tied_to("cls.predictions.bias"),
    decoder_bias("cls.predictions.bias"),
    // As the authors save them.
    head("lm_predictions.lm_head.dense", Dim::Any),
    head_norm("lm_predictions.lm_head.LayerNorm"),
    decoder_bias("lm_predictions.lm_head.bias"),
    head("mask_predictions.dense", Dim::Any),
    head_norm("mask_predictions.LayerNorm"),
    head("mask_predictions.classifier", Dim::Any),
    head("classifier", Dim::Any),
    head("qa_outputs", Dim::Any),
];

const fn query_like(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden).biased()
}

const fn head(pattern: &'static str, out: Dim) -> Row {
    Row::linear(pattern, Role::Head, out, Dim::Hidden).optional().outside()
}

const fn head_norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Any).optional().outside()
}

const fn decoder(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Any))
        .tied_to("embeddings.word_embeddings.weight")
        .outside()
}

const fn decoder_bias(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Head, Part::Bias, Shape::Vector(Dim::Vocab)).outside()
}
