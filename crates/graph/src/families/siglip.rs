//! SigLIP: CLIP's towers without a token for the whole image; attention with one learned query pools what the eyes see.

use weightscope_core::{Part, Role, Stack};

use super::{clip, vit};
use crate::family::{Dim, Family, Fused, Need, Row, Shape};

const BOTH: Need = Need::For(&["siglip"]);
/// Eyes of language models often go without.
const POOLS: Need =
    Need::AllOf(&[Need::For(&["siglip", "siglip_vision_model"]), Need::Unless("vision_use_head")]);

pub(super) const FAMILY: Family = Family {
    name: "siglip",
    model_types: &["siglip", "siglip_vision_model"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["vision_model.head.probe", "text_model.head.weight"],
    prefixes: &[""],
    stacks: &[("vision_model.", Stack::Vision), ("text_model.", Stack::Text)],
    inner_per_hidden: None,
    tables: &[VISION_POSITIONS, clip::VISION_TOWER, VISION_HEAD, clip::TEXT_TOWER, MAPS],
};

const VISION_POSITIONS: &[Row] = &[Row::table(
    "vision_model.embeddings.position_embedding",
    Role::PositionEmbedding,
    Dim::Patches,
    Dim::Hidden,
)];

pub(super) const VISION_HEAD: &[Row] = &[
    vit::token("vision_model.head.probe").when(POOLS),
    Row::bare(
        "vision_model.head.attention.in_proj_weight",
        Role::AttentionQkv,
        Part::Weight,
        Shape::Matrix(Dim::Qkv, Dim::Hidden),
    )
    .when(POOLS)
    .fused(Fused::Qkv),
    Row::bare(
        "vision_model.head.attention.in_proj_bias",
        Role::AttentionQkv,
        Part::Bias,
        Shape::Vector(Dim::Qkv),
    )
    .when(POOLS)
    .fused(Fused::Qkv),
    Row::linear("vision_model.head.attention.out_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .when(POOLS)
        .biased(),
    Row::norm("vision_model.head.layernorm", Dim::Hidden).when(POOLS).biased(),
    Row::linear("vision_model.head.mlp.fc1", Role::MlpUp, Dim::Inner, Dim::Hidden)
        .when(POOLS)
        .biased(),
    Row::linear("vision_model.head.mlp.fc2", Role::MlpDown, Dim::Hidden, Dim::Inner)
        .when(POOLS)
        .biased(),
];

const MAPS: &[Row] = &[
    Row::linear("text_model.head", Role::Head, Dim::Key("projection_size"), Dim::Hidden)
        .when(BOTH)
        .biased(),
    Row::bare("logit_scale", Role::Other, Part::Weight, Shape::Any).when(BOTH),
    Row::bare("logit_bias", Role::Other, Part::Bias, Shape::Any).when(BOTH),
    Row::linear("classifier", Role::Head, Dim::Any, Dim::Any).optional(),
];
