//! ViT with the names of timm and of DINO's, which have q, k, v in one. Too many variants share them for the
//! table to be complete.

use weightscope_core::{Part, Role, Stack};

use super::vit;
use crate::family::{Dim, Family, Fused, Row, Shape};

pub(super) const FAMILY: Family = Family {
    name: "vit_timm",
    model_types: &[],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["blocks.{b}.attn.qkv.weight"],
    prefixes: &[""],
    stacks: &[("", Stack::Vision)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::conv("patch_embed.proj", &[Dim::Hidden, Dim::Any, Dim::Any, Dim::Any]),
    vit::token("cls_token"),
    vit::token("dist_token"),
    vit::token("mask_token"),
    Row::bare(
        "reg_token",
        Role::Other,
        Part::Weight,
        Shape::Tensor(&[Dim::Exactly(1), Dim::Any, Dim::Hidden]),
    ),
    Row::positions("pos_embed", &[Dim::Exactly(1), Dim::Any, Dim::Hidden]),
    norm("norm_pre"),
    norm("blocks.{b}.norm1"),
    Row::linear("blocks.{b}.attn.qkv", Role::AttentionQkv, Dim::Qkv, Dim::Hidden).fused(Fused::Qkv),
    Row::norm("blocks.{b}.attn.q_norm", Dim::HeadWidth),
    Row::norm("blocks.{b}.attn.k_norm", Dim::HeadWidth),
    Row::linear("blocks.{b}.attn.proj", Role::AttentionO, Dim::Hidden, Dim::Query),
    Row::bare("blocks.{b}.ls1.gamma", Role::Other, Part::Weight, Shape::Vector(Dim::Hidden)),
    norm("blocks.{b}.norm2"),
    Row::linear("blocks.{b}.mlp.fc1", Role::MlpUp, Dim::Inner, Dim::Hidden),
    Row::linear("blocks.{b}.mlp.fc2", Role::MlpDown, Dim::Hidden, Dim::Inner),
    Row::bare("blocks.{b}.ls2.gamma", Role::Other, Part::Weight, Shape::Vector(Dim::Hidden)),
    norm("norm"),
    norm("fc_norm"),
    vit::head("head"),
    vit::head("head_dist"),
];

const fn norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Hidden)
}
