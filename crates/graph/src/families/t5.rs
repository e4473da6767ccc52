//! T5, its gated successors, and mT5. Tokens are embedded once for both stacks; distances are scores of
//! attention, learned in the first block (in every block of UMT5).

use weightscope_core::{Part, Role, Stack};

use crate::family::{Blocks, Dim, Family, Need, Row, Shape};

const DECODER: Need = Need::Not(&Need::Architecture("EncoderModel"));
const GATED: Need = Need::Says("feed_forward_proj", "gated");
const PLAIN: Need = Need::Not(&GATED);

pub(super) const FAMILY: Family = Family {
    name: "t5",
    model_types: &["t5", "mt5", "umt5"],
    any_architecture: false,
    tied_by_default: &["t5"],
    telltales: &[
        "encoder.block.{b}.layer.0.SelfAttention.q.weight",
        "decoder.block.{b}.layer.0.SelfAttention.q.weight",
    ],
    prefixes: &["transformer.", ""],
    stacks: &[("encoder.", Stack::Encoder), ("decoder.", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, ENCODER_BLOCK, DECODER_BLOCK],
};

const FRAME: &[Row] = &[
    Row::table("shared", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::table("encoder.embed_tokens", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden)
        .optional()
        .copy_of("shared.weight"),
    Row::table("decoder.embed_tokens", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden)
        .optional()
        .copy_of("shared.weight"),
    Row::norm("encoder.final_layer_norm", Dim::Hidden),
    Row::norm("decoder.final_layer_norm", Dim::Hidden).when(DECODER),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("shared.weight")
        .outside(),
    Row::linear("classification_head.dense", Role::Head, Dim::Hidden, Dim::Hidden)
        .optional()
        .outside(),
    Row::linear("classification_head.out_proj", Role::Head, Dim::Any, Dim::Hidden)
        .optional()
        .outside(),
];

const ENCODER_BLOCK: &[Row] = &[
    distances("encoder.block.{b}.layer.0.SelfAttention.relative_attention_bias"),
    query_like("encoder.block.{b}.layer.0.SelfAttention.q", Role::AttentionQ),
    query_like("encoder.block.{b}.layer.0.SelfAttention.k", Role::AttentionK),
    query_like("encoder.block.{b}.layer.0.SelfAttention.v", Role::AttentionV),
    output("encoder.block.{b}.layer.0.SelfAttention.o"),
    Row::norm("encoder.block.{b}.layer.0.layer_norm", Dim::Hidden),
    up("encoder.block.{b}.layer.1.DenseReluDense.wi", Role::MlpUp).when(PLAIN),
    up("encoder.block.{b}.layer.1.DenseReluDense.wi_0", Role::MlpGate).when(GATED),
    up("encoder.block.{b}.layer.1.DenseReluDense.wi_1", Role::MlpUp).when(GATED),
    down("encoder.block.{b}.layer.1.DenseReluDense.wo"),
    Row::norm("encoder.block.{b}.layer.1.layer_norm", Dim::Hidden),
];

const DECODER_BLOCK: &[Row] = &[
    distances("decoder.block.{b}.layer.0.SelfAttention.relative_attention_bias").when(DECODER),
    query_like("decoder.block.{b}.layer.0.SelfAttention.q", Role::AttentionQ).when(DECODER),
    query_like("decoder.block.{b}.layer.0.SelfAttention.k", Role::AttentionK).when(DECODER),
    query_like("decoder.block.{b}.layer.0.SelfAttention.v", Role::AttentionV).when(DECODER),
    output("decoder.block.{b}.layer.0.SelfAttention.o").when(DECODER),
    Row::norm("decoder.block.{b}.layer.0.layer_norm", Dim::Hidden).when(DECODER),
    // What the encoder says.
    query_like("decoder.block.{b}.layer.1.EncDecAttention.q", Role::AttentionQ).when(DECODER),
    query_like("decoder.block.{b}.layer.1.EncDecAttention.k", Role::AttentionK).when(DECODER),
    query_like("decoder.block.{b}.layer.1.EncDecAttention.v", Role::AttentionV).when(DECODER),
    output("decoder.block.{b}.layer.1.EncDecAttention.o").when(DECODER),
    distances("decoder.block.{b}.layer.1.EncDecAttention.relative_attention_bias").optional(),
    Row::norm("decoder.block.{b}.layer.1.layer_norm", Dim::Hidden).when(DECODER),
    up("decoder.block.{b}.layer.2.DenseReluDense.wi", Role::MlpUp)
        .when(Need::AllOf(&[DECODER, PLAIN])),
    up("decoder.block.{b}.layer.2.DenseReluDense.wi_0", Role::MlpGate)
        .when(Need::AllOf(&[DECODER, GATED])),
    up("decoder.block.{b}.layer.2.DenseReluDense.wi_1", Role::MlpUp)
        .when(Need::AllOf(&[DECODER, GATED])),
    down("decoder.block.{b}.layer.2.DenseReluDense.wo").when(DECODER),
    Row::norm("decoder.block.{b}.layer.2.layer_norm", Dim::Hidden).when(DECODER),
];

// Buckets of distances by heads: no table of positions.
const fn distances(pattern: &'static str) -> Row {
    Row::table(pattern, Role::Other, Dim::Key("relative_attention_num_buckets"), Dim::Heads)
        .in_blocks(Blocks::First)
}

const fn query_like(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden)
}

const fn output(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::AttentionO, Dim::Hidden, Dim::Query)
}

const fn up(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Inner, Dim::Hidden)
}

const fn down(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, Dim::Inner)
}
