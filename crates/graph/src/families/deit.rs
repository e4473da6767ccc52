//! DeiT: ViT with a second learned token, which listens to a teacher.

use weightscope_core::Stack;

use super::vit;
use crate::family::{Dim, Family, Need, Row};

pub(super) const FAMILY: Family = Family {
    name: "deit",
    model_types: &["deit"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["embeddings.distillation_token"],
    prefixes: &["deit.", ""],
    stacks: &[("", Stack::Vision)],
    inner_per_hidden: None,
    tables: &[EMBEDDINGS, vit::ATTENTION, vit::BLOCK, vit::END, HEADS],
};

const EMBEDDINGS: &[Row] = &[
    vit::PATCHES,
    vit::token("embeddings.cls_token").when(Need::Always),
    vit::token("embeddings.distillation_token").when(Need::Always),
    vit::token("embeddings.mask_token"),
    Row::positions(
        "embeddings.position_embeddings",
        &[Dim::Exactly(1), Dim::Sum(&[Dim::Patches, Dim::Exactly(2)]), Dim::Hidden],
    ),
];

const HEADS: &[Row] = &[vit::head("cls_classifier"), vit::head("distillation_classifier")];
