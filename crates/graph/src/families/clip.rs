//! CLIP: a tower for images and one for text, and maps of both into one space. The eyes are also saved alone.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

const VISION: Need = Need::For(&["clip", "clip_vision_model"]);
const BOTH: Need = Need::For(&["clip"]);
const VISION_MAP: Need = Need::AnyOf(&[BOTH, Need::Architecture("CLIPVisionModelWithProjection")]);
const COMMON: Dim = Dim::Key("projection_dim");

pub(super) const FAMILY: Family = Family {
    name: "clip",
    model_types: &["clip", "clip_vision_model"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &[
        "vision_model.encoder.layers.{b}.self_attn.q_proj.weight",
        "text_model.encoder.layers.{b}.self_attn.q_proj.weight",
    ],
    prefixes: &["clip.", ""],
    stacks: &[
        ("vision_model.", Stack::Vision),
        ("visual_projection", Stack::Vision),
        ("text_model.", Stack::Text),
        ("text_projection", Stack::Text),
    ],
    inner_per_hidden: None,
    tables: &[VISION_TOWER, TEXT_TOWER, MAPS],
};

const VISION_TOWER: &[Row] = &[
    Row::bare(
        "vision_model.embeddings.class_embedding",
        Role::Other,
        Part::Weight,
        Shape::Vector(Dim::Hidden),
    )
    .when(VISION),
    Row::conv(
        "vision_model.embeddings.patch_embedding",
        &[Dim::Hidden, Dim::Key("num_channels"), Dim::Key("patch_size"), Dim::Key("patch_size")],
    )
    .when(VISION),
    Row::table(
        "vision_model.embeddings.position_embedding",
        Role::PositionEmbedding,
        Dim::Sum(&[Dim::Patches, Dim::Exactly(1)]),
        Dim::Hidden,
    )
    .when(VISION),
    Row::buffer("vision_model.embeddings.position_ids"),
    // So spelled.
    norm("vision_model.pre_layrnorm", VISION),
    norm("vision_model.encoder.layers.{b}.layer_norm1", VISION),
    query_like("vision_model.encoder.layers.{b}.self_attn.q_proj", Role::AttentionQ, VISION),
    query_like("vision_model.encoder.layers.{b}.self_attn.k_proj", Role::AttentionK, VISION),
    query_like("vision_model.encoder.layers.{b}.self_attn.v_proj", Role::AttentionV, VISION),
    output("vision_model.encoder.layers.{b}.self_attn.out_proj", VISION),
    norm("vision_model.encoder.layers.{b}.layer_norm2", VISION),
    up("vision_model.encoder.layers.{b}.mlp.fc1", VISION),
    down("vision_model.encoder.layers.{b}.mlp.fc2", VISION),
    norm("vision_model.post_layernorm", VISION),
];

const TEXT_TOWER: &[Row] = &[
    Row::table(
        "text_model.embeddings.token_embedding",
        Role::TokenEmbedding,
        Dim::Vocab,
        Dim::Hidden,
    )
    .when(BOTH),
    Row::table(
        "text_model.embeddings.position_embedding",
        Role::PositionEmbedding,
        Dim::Positions,
        Dim::Hidden,
    )
    .when(BOTH),
    Row::buffer("text_model.embeddings.position_ids"),
    norm("text_model.encoder.layers.{b}.layer_norm1", BOTH),
    query_like("text_model.encoder.layers.{b}.self_attn.q_proj", Role::AttentionQ, BOTH),
    query_like("text_model.encoder.layers.{b}.self_attn.k_proj", Role::AttentionK, BOTH),
    query_like("text_model.encoder.layers.{b}.self_attn.v_proj", Role::AttentionV, BOTH),
    output("text_model.encoder.layers.{b}.self_attn.out_proj", BOTH),
    norm("text_model.encoder.layers.{b}.layer_norm2", BOTH),
    up("text_model.encoder.layers.{b}.mlp.fc1", BOTH),
    down("text_model.encoder.layers.{b}.mlp.fc2", BOTH),
    norm("text_model.final_layer_norm", BOTH),
];

const MAPS: &[Row] = &[
    Row::linear("visual_projection", Role::Head, COMMON, Dim::Hidden).when(VISION_MAP),
    Row::linear("text_projection", Role::Head, COMMON, Dim::Hidden).when(BOTH),
    Row::bare("logit_scale", Role::Other, Part::Weight, Shape::Any).when(BOTH),
    Row::linear("classifier", Role::Head, Dim::Any, Dim::Any).optional(),
];

const fn norm(pattern: &'static str, need: Need) -> Row {
    Row::norm(pattern, Dim::Hidden).when(need).biased()
}

const fn query_like(pattern: &'static str, role: Role, need: Need) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden).when(need).biased()
}

const fn output(pattern: &'static str, need: Need) -> Row {
    Row::linear(pattern, Role::AttentionO, Dim::Hidden, Dim::Query).when(need).biased()
}

const fn up(pattern: &'static str, need: Need) -> Row {
    Row::linear(pattern, Role::MlpUp, Dim::Inner, Dim::Hidden).when(need).biased()
}

const fn down(pattern: &'static str, need: Need) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, Dim::Inner).when(need).biased()
}
