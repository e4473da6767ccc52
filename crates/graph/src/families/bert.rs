//! BERT and its relatives: RoBERTa, MPNet, MiniLM, DistilBERT. Heads are optional, for the same body is
//! saved with and without.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

const BERT: Need = Need::For(&["bert", "roberta", "xlm-roberta", "camembert"]);
const BERT_LIKE: Need = Need::AnyOf(&[BERT, Need::For(&["electra"])]);
const MPNET: Need = Need::For(&["mpnet"]);
const DISTIL: Need = Need::For(&["distilbert"]);
const LAYERED: Need = Need::AnyOf(&[BERT_LIKE, MPNET]);

pub(super) const FAMILY: Family = Family {
    name: "bert",
    model_types: TYPES,
    any_architecture: false,
    tied_by_default: TYPES,
    telltales: &[
        "encoder.layer.{b}.attention.self.query.weight",
        "encoder.layer.{b}.attention.attn.q.weight",
        "transformer.layer.{b}.attention.q_lin.weight",
    ],
    prefixes: &["bert.", "roberta.", "mpnet.", "distilbert.", ""],
    stacks: &[("", Stack::Encoder)],
    inner_per_hidden: None,
    tables: &[EMBEDDINGS, BLOCK, MPNET_BLOCK, DISTIL_BLOCK, HEADS],
};

const TYPES: &[&str] = &["bert", "roberta", "xlm-roberta", "camembert", "mpnet", "distilbert"];

const EMBEDDINGS: &[Row] = &[
    Row::table("embeddings.word_embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::table(
        "embeddings.position_embeddings",
        Role::PositionEmbedding,
        Dim::Positions,
        Dim::Hidden,
    ),
    Row::table(
        "embeddings.token_type_embeddings",
        Role::TypeEmbedding,
        Dim::TokenTypes,
        Dim::Hidden,
    )
    .when(BERT),
    Row::norm("embeddings.LayerNorm", Dim::Hidden).biased(),
    Row::buffer("embeddings.position_ids"),
    Row::buffer("embeddings.token_type_ids"),
];

pub(super) const BLOCK: &[Row] = &[
    query_like("encoder.layer.{b}.attention.self.query", Role::AttentionQ, BERT_LIKE),
    query_like("encoder.layer.{b}.attention.self.key", Role::AttentionK, BERT_LIKE),
    query_like("encoder.layer.{b}.attention.self.value", Role::AttentionV, BERT_LIKE),
    Row::linear(
        "encoder.layer.{b}.attention.output.dense",
        Role::AttentionO,
        Dim::Hidden,
        Dim::Query,
    )
    .when(BERT_LIKE)
    .biased(),
    Row::norm("encoder.layer.{b}.attention.output.LayerNorm", Dim::Hidden).when(BERT_LIKE).biased(),
    Row::linear("encoder.layer.{b}.intermediate.dense", Role::MlpUp, Dim::Inner, Dim::Hidden)
        .when(LAYERED)
        .biased(),
    Row::linear("encoder.layer.{b}.output.dense", Role::MlpDown, Dim::Hidden, Dim::Inner)
        .when(LAYERED)
        .biased(),
    Row::norm("encoder.layer.{b}.output.LayerNorm", Dim::Hidden).when(LAYERED).biased(),
];

const MPNET_BLOCK: &[Row] = &[
    // Buckets of distances by heads: no table of positions.
    Row::table("encoder.relative_attention_bias", Role::Other, Dim::Any, Dim::Heads).when(MPNET),
    query_like("encoder.layer.{b}.attention.attn.q", Role::AttentionQ, MPNET),
    query_like("encoder.layer.{b}.attention.attn.k", Role::AttentionK, MPNET),
    query_like("encoder.layer.{b}.attention.attn.v", Role::AttentionV, MPNET),
    Row::linear("encoder.layer.{b}.attention.attn.o", Role::AttentionO, Dim::Hidden, Dim::Query)
        .when(MPNET)
        .biased(),
    Row::norm("encoder.layer.{b}.attention.LayerNorm", Dim::Hidden).when(MPNET).biased(),
];

const DISTIL_BLOCK: &[Row] = &[
    query_like("transformer.layer.{b}.attention.q_lin", Role::AttentionQ, DISTIL),
    query_like("transformer.layer.{b}.attention.k_lin", Role::AttentionK, DISTIL),
    query_like("transformer.layer.{b}.attention.v_lin", Role::AttentionV, DISTIL),
    Row::linear(
        "transformer.layer.{b}.attention.out_lin",
        Role::AttentionO,
        Dim::Hidden,
        Dim::Query,
    )
    .when(DISTIL)
    .biased(),
    Row::norm("transformer.layer.{b}.sa_layer_norm", Dim::Hidden).when(DISTIL).biased(),
    Row::linear("transformer.layer.{b}.ffn.lin1", Role::MlpUp, Dim::Inner, Dim::Hidden)
        .when(DISTIL)
        .biased(),
    Row::linear("transformer.layer.{b}.ffn.lin2", Role::MlpDown, Dim::Hidden, Dim::Inner)
        .when(DISTIL)
        .biased(),
    Row::norm("transformer.layer.{b}.output_layer_norm", Dim::Hidden).when(DISTIL).biased(),
];

const HEADS: &[Row] = &[
    Row::linear("pooler.dense", Role::Head, Dim::Hidden, Dim::Hidden).optional(),
    head("cls.predictions.transform.dense", Dim::Hidden),
    head_norm("cls.predictions.transform.LayerNorm"),
    decoder("cls.predictions.decoder.weight"),
    decoder_bias("cls.predictions.decoder.bias").tied_to("cls.predictions.bias"),
    decoder_bias("cls.predictions.bias"),
    head("cls.seq_relationship", Dim::Any),
    head("lm_head.dense", Dim::Hidden),
    head_norm("lm_head.layer_norm"),
    decoder("lm_head.decoder.weight"),
    decoder_bias("lm_head.decoder.bias").tied_to("lm_head.bias"),
    decoder_bias("lm_head.bias"),
    head("vocab_transform", Dim::Hidden),
    head_norm("vocab_layer_norm"),
    decoder("vocab_projector.weight"),
    decoder_bias("vocab_projector.bias"),
    head("pre_classifier", Dim::Hidden),
    head("classifier", Dim::Any),
    head("classifier.dense", Dim::Hidden),
    head("classifier.out_proj", Dim::Any),
    head("qa_outputs", Dim::Any),
];

const fn query_like(pattern: &'static str, role: Role, need: Need) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden).when(need).biased()
}

const fn head(pattern: &'static str, out: Dim) -> Row {
    Row::linear(pattern, Role::Head, out, Dim::Hidden).optional().outside()
}

const fn head_norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Hidden).optional().outside()
}

const fn decoder(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .tied_to("embeddings.word_embeddings.weight")
        .outside()
}

const fn decoder_bias(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Head, Part::Bias, Shape::Vector(Dim::Vocab)).outside()
}
