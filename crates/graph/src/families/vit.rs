//! ViT: images as squares, with a learned token before them.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

const QKV_BIAS: Need = Need::Unless("qkv_bias");

pub(super) const FAMILY: Family = Family {
    name: "vit",
    model_types: &["vit"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["embeddings.patch_embeddings.projection.weight"],
    prefixes: &["vit.", ""],
    stacks: &[("", Stack::Vision)],
    inner_per_hidden: None,
    tables: &[EMBEDDINGS, ATTENTION, BLOCK, END],
};

const EMBEDDINGS: &[Row] = &[
    PATCHES,
    token("embeddings.cls_token").when(Need::Always),
    // In place of what pre-training hides.
    token("embeddings.mask_token"),
    Row::positions(
        "embeddings.position_embeddings",
        &[Dim::Exactly(1), Dim::Sum(&[Dim::Patches, Dim::Exactly(1)]), Dim::Hidden],
    ),
];

pub(super) const PATCHES: Row = Row::conv(
    "embeddings.patch_embeddings.projection",
    &[Dim::Hidden, Dim::Key("num_channels"), Dim::Key("patch_size"), Dim::Key("patch_size")],
)
.biased();

pub(super) const ATTENTION: &[Row] = &[
    query_like("encoder.layer.{b}.attention.attention.query", Role::AttentionQ),
    query_like("encoder.layer.{b}.attention.attention.key", Role::AttentionK),
    query_like("encoder.layer.{b}.attention.attention.value", Role::AttentionV),
    Row::linear(
        "encoder.layer.{b}.attention.output.dense",
        Role::AttentionO,
        Dim::Hidden,
        Dim::Query,
    )
    .biased(),
];

pub(super) const BLOCK: &[Row] = &[
    Row::norm("encoder.layer.{b}.layernorm_before", Dim::Hidden).biased(),
    Row::norm("encoder.layer.{b}.layernorm_after", Dim::Hidden).biased(),
    Row::linear("encoder.layer.{b}.intermediate.dense", Role::MlpUp, Dim::Inner, Dim::Hidden)
        .biased(),
    Row::linear("encoder.layer.{b}.output.dense", Role::MlpDown, Dim::Hidden, Dim::Inner).biased(),
];

pub(super) const END: &[Row] = &[
    Row::norm("layernorm", Dim::Hidden).biased(),
    Row::linear("pooler.dense", Role::Head, Dim::Any, Dim::Hidden).optional(),
    head("classifier"),
];

pub(super) const fn token(pattern: &'static str) -> Row {
    let shape = Shape::Tensor(&[Dim::Exactly(1), Dim::Exactly(1), Dim::Hidden]);
    Row::bare(pattern, Role::Other, Part::Weight, shape)
}

const fn query_like(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden).bias(QKV_BIAS)
}

pub(super) const fn head(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::Head, Dim::Any, Dim::Hidden).optional().outside()
}
