//! BART and the translators that kept its names: mBART, Marian, Pegasus, M2M-100 and NLLB, Blenderbot. Tokens are
//! embedded once for both stacks.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

/// A norm behind the embeddings.
const NORM_BEFORE: Need = Need::For(&["bart", "mbart", "plbart", "blenderbot-small"]);
/// A norm behind the last block.
const NORM_BEHIND: Need = Need::For(&["mbart", "pegasus", "m2m_100", "blenderbot"]);
/// Those that learn positions; the waves of the others are often not stored.
const LEARNED: Need = Need::For(&["bart", "mbart", "plbart", "blenderbot-small", "blenderbot"]);

pub(super) const FAMILY: Family = Family {
    name: "bart",
    model_types: TYPES,
    any_architecture: false,
    tied_by_default: TYPES,
    telltales: &["decoder.layers.{b}.encoder_attn.q_proj.weight"],
    prefixes: &["model.", ""],
    stacks: &[("encoder.", Stack::Encoder), ("decoder.", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, ENCODER_BLOCK, DECODER_BLOCK],
};

const TYPES: &[&str] =
    &["bart", "mbart", "marian", "pegasus", "m2m_100", "blenderbot", "blenderbot-small", "plbart"];

const FRAME: &[Row] = &[
    // Marian may have a vocabulary for each stack.
    Row::table("shared", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden)
        .when(Need::Unless("share_encoder_decoder_embeddings")),
    Row::table("encoder.embed_tokens", Role::TokenEmbedding, Dim::Any, Dim::Hidden)
        .optional()
        .tied_to("shared.weight"),
    Row::table("decoder.embed_tokens", Role::TokenEmbedding, Dim::Any, Dim::Hidden)
        .optional()
        .tied_to("shared.weight"),
    positions("encoder.embed_positions"),
    positions("decoder.embed_positions"),
    norm("encoder.layernorm_embedding").when(NORM_BEFORE).biased(),
    norm("decoder.layernorm_embedding").when(NORM_BEFORE).biased(),
    norm("encoder.layer_norm").when(NORM_BEHIND).biased(),
    norm("decoder.layer_norm").when(NORM_BEHIND).biased(),
    Row::buffer("final_logits_bias").outside(),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Any, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("shared.weight")
        .outside(),
    Row::linear("classification_head.dense", Role::Head, Dim::Hidden, Dim::Hidden)
        .optional()
        .outside(),
    Row::linear("classification_head.out_proj", Role::Head, Dim::Any, Dim::Hidden)
        .optional()
        .outside(),
    Row::linear("qa_outputs", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];

const ENCODER_BLOCK: &[Row] = &[
    query_like("encoder.layers.{b}.self_attn.q_proj", Role::AttentionQ),
    query_like("encoder.layers.{b}.self_attn.k_proj", Role::AttentionK),
    query_like("encoder.layers.{b}.self_attn.v_proj", Role::AttentionV),
    output("encoder.layers.{b}.self_attn.out_proj"),
    norm("encoder.layers.{b}.self_attn_layer_norm"),
    up("encoder.layers.{b}.fc1"),
    down("encoder.layers.{b}.fc2"),
    norm("encoder.layers.{b}.final_layer_norm"),
];

const DECODER_BLOCK: &[Row] = &[
    query_like("decoder.layers.{b}.self_attn.q_proj", Role::AttentionQ),
    query_like("decoder.layers.{b}.self_attn.k_proj", Role::AttentionK),
    query_like("decoder.layers.{b}.self_attn.v_proj", Role::AttentionV),
    output("decoder.layers.{b}.self_attn.out_proj"),
    norm("decoder.layers.{b}.self_attn_layer_norm"),
    // What the encoder says.
    query_like("decoder.layers.{b}.encoder_attn.q_proj", Role::AttentionQ),
    query_like("decoder.layers.{b}.encoder_attn.k_proj", Role::AttentionK),
    query_like("decoder.layers.{b}.encoder_attn.v_proj", Role::AttentionV),
    output("decoder.layers.{b}.encoder_attn.out_proj"),
    norm("decoder.layers.{b}.encoder_attn_layer_norm"),
    up("decoder.layers.{b}.fc1"),
    down("decoder.layers.{b}.fc2"),
    norm("decoder.layers.{b}.final_layer_norm"),
];

// BART leaves the first two unused.
const fn positions(pattern: &'static str) -> Row {
    Row::table(pattern, Role::PositionEmbedding, Dim::Any, Dim::Hidden).when(LEARNED)
}

const fn norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Hidden).biased()
}

const fn query_like(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden).biased()
}

const fn output(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::AttentionO, Dim::Hidden, Dim::Query).biased()
}

const fn up(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpUp, Dim::Inner, Dim::Hidden).biased()
}

const fn down(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, Dim::Inner).biased()
}
