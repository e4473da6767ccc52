//! The text tower of CLIP, saved alone.

use weightscope_core::{Role, Stack};

use crate::family::{Dim, Family, Need, Row};

pub(super) const FAMILY: Family = Family {
    name: "clip_text_model",
    model_types: &["clip_text_model"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["embeddings.token_embedding.weight"],
    prefixes: &["text_model.", ""],
    stacks: &[("", Stack::Text)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("embeddings.token_embedding", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::table(
        "embeddings.position_embedding",
        Role::PositionEmbedding,
        Dim::Positions,
        Dim::Hidden,
    ),
    Row::buffer("embeddings.position_ids"),
    Row::norm("encoder.layers.{b}.layer_norm1", Dim::Hidden).biased(),
    query_like("encoder.layers.{b}.self_attn.q_proj", Role::AttentionQ),
    query_like("encoder.layers.{b}.self_attn.k_proj", Role::AttentionK),
    query_like("encoder.layers.{b}.self_attn.v_proj", Role::AttentionV),
    Row::linear("encoder.layers.{b}.self_attn.out_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .biased(),
    Row::norm("encoder.layers.{b}.layer_norm2", Dim::Hidden).biased(),
    Row::linear("encoder.layers.{b}.mlp.fc1", Role::MlpUp, Dim::Inner, Dim::Hidden).biased(),
    Row::linear("encoder.layers.{b}.mlp.fc2", Role::MlpDown, Dim::Hidden, Dim::Inner).biased(),
    Row::norm("final_layer_norm", Dim::Hidden).biased(),
    Row::linear("text_projection", Role::Head, Dim::Key("projection_dim"), Dim::Hidden)
        .when(Need::Architecture("WithProjection"))
        .outside(),
];

const fn query_like(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden).biased()
}
