//! CLIP: a tower for images and one for text, and maps of both into one space. The eyes are also saved alone.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

const CLIP: Need = Need::For(&["clip", "clip_vision_model"]);
/// What has the blocks, whatever stands before and behind them.
const VISION: Need = Need::AnyOf(&[
    CLIP,
    Need::For(&["siglip", "siglip_vision_model", "idefics3_vision", "smolvlm_vision"]),
]);
const BOTH: Need = Need::For(&["clip"]);
const TEXT: Need = Need::For(&["clip", "siglip", "siglip_text_model"]);
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
    tables: &[VISION_START, VISION_POSITIONS, VISION_TOWER, TEXT_TOWER, MAPS],
};

/// What only CLIP's own eyes have.
pub(super) const VISION_START: &[Row] = &[
    Row::bare(
        "vision_model.embeddings.class_embedding",
        Role::Other,
        Part::Weight,
        Shape::Vector(Dim::Hidden),
    )
    .when(CLIP),
    // So spelled.
    norm("vision_model.pre_layrnorm", CLIP),
];

const VISION_POSITIONS: &[Row] = &[Row::table(
    "vision_model.embeddings.position_embedding",
    Role::PositionEmbedding,
    Dim::Sum(&[Dim::Patches, Dim::Exactly(1)]),
    Dim::Hidden,
)
.when(VISION)];

/// What SigLIP's eyes have too.
pub(super) const VISION_TOWER: &[Row] = &[
    Row::conv(
        "vision_model.embeddings.patch_embedding",
        &[Dim::Hidden, Dim::Key("num_channels"), Dim::Key("patch_size"), Dim::Key("patch_size")],
    )
    .when(VISION)
    .bias(Need::AllOf(&[VISION, Need::Not(&CLIP)])),
    Row::buffer("vision_model.embeddings.position_ids"),
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

/// What SigLIP has too.
pub(super) const TEXT_TOWER: &[Row] = &[
    Row::table(
        "text_model.embeddings.token_embedding",
        Role::TokenEmbedding,
        Dim::Vocab,
        Dim::Hidden,
    )
    .when(TEXT),
    Row::table(
        "text_model.embeddings.position_embedding",
        Role::PositionEmbedding,
        Dim::Positions,
        Dim::Hidden,
    )
    .when(TEXT),
    Row::buffer("text_model.embeddings.position_ids"),
    norm("text_model.encoder.layers.{b}.layer_norm1", TEXT),
    query_like("text_model.encoder.layers.{b}.self_attn.q_proj", Role::AttentionQ, TEXT),
    query_like("text_model.encoder.layers.{b}.self_attn.k_proj", Role::AttentionK, TEXT),
    query_like("text_model.encoder.layers.{b}.self_attn.v_proj", Role::AttentionV, TEXT),
    output("text_model.encoder.layers.{b}.self_attn.out_proj", TEXT),
    norm("text_model.encoder.layers.{b}.layer_norm2", TEXT),
    up("text_model.encoder.layers.{b}.mlp.fc1", TEXT),
    down("text_model.encoder.layers.{b}.mlp.fc2", TEXT),
    norm("text_model.final_layer_norm", TEXT),
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
