//! DINOv2: ViT's frame with a learned factor behind attention and MLP.

use weightscope_core::{Part, Role, Stack};

use super::vit;
use crate::family::{Dim, Family, Fused, Need, Row, Shape};

const GATED: Need = Need::Flag("use_swiglu_ffn");
const PLAIN: Need = Need::Not(&GATED);
const INNER: Dim = Dim::Product(&[Dim::Hidden, Dim::Key("mlp_ratio")]);

pub(super) const FAMILY: Family = Family {
    name: "dinov2",
    model_types: &["dinov2", "dinov2_with_registers"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["encoder.layer.{b}.layer_scale1.lambda1"],
    prefixes: &["dinov2.", "dinov2_with_registers.", ""],
    stacks: &[("", Stack::Vision)],
    inner_per_hidden: None,
    tables: &[START, vit::ATTENTION, BLOCK, END],
};

const START: &[Row] = &[
    vit::PATCHES,
    vit::token("embeddings.cls_token").when(Need::Always),
    Row::bare(
        "embeddings.mask_token",
        Role::Other,
        Part::Weight,
        Shape::Tensor(&[Dim::Exactly(1), Dim::Hidden]),
    ),
    Row::bare(
        "embeddings.register_tokens",
        Role::Other,
        Part::Weight,
        Shape::Tensor(&[Dim::Exactly(1), Dim::Key("num_register_tokens"), Dim::Hidden]),
    )
    .when(Need::For(&["dinov2_with_registers"])),
    // Of the size it was trained with, which is stretched.
    Row::positions("embeddings.position_embeddings", &[Dim::Exactly(1), Dim::Any, Dim::Hidden]),
];

const BLOCK: &[Row] = &[
    Row::norm("encoder.layer.{b}.norm1", Dim::Hidden).biased(),
    scale("encoder.layer.{b}.layer_scale1.lambda1"),
    Row::norm("encoder.layer.{b}.norm2", Dim::Hidden).biased(),
    Row::linear("encoder.layer.{b}.mlp.fc1", Role::MlpUp, INNER, Dim::Hidden).when(PLAIN).biased(),
    Row::linear("encoder.layer.{b}.mlp.fc2", Role::MlpDown, Dim::Hidden, INNER)
        .when(PLAIN)
        .biased(),
    Row::linear("encoder.layer.{b}.mlp.weights_in", Role::MlpGateUp, Dim::Any, Dim::Hidden)
        .when(GATED)
        .biased()
        .fused(Fused::GateUp),
    Row::linear("encoder.layer.{b}.mlp.weights_out", Role::MlpDown, Dim::Hidden, Dim::Any)
        .when(GATED)
        .biased(),
    scale("encoder.layer.{b}.layer_scale2.lambda1"),
];

const END: &[Row] = &[Row::norm("layernorm", Dim::Hidden).biased(), vit::head("classifier")];

const fn scale(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Other, Part::Weight, Shape::Vector(Dim::Hidden)).when(Need::Always)
}
