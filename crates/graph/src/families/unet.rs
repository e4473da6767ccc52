//! UNet2DConditionModel of diffusers: convolutions on the way down and up again, with attention to itself and to the text
//! between them. Which blocks attend, and how wide they are, is up to config.json; what a counted module has is not.

use weightscope_core::{Role, Stack};

use crate::family::{Dim, Family, Fused, Need, Row, Shape};

pub(super) const FAMILY: Family = Family {
    name: "UNet2DConditionModel",
    model_types: &["UNet2DConditionModel"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["down_blocks.{b}.resnets.{n}.time_emb_proj.weight"],
    prefixes: &[""],
    stacks: &[("down_blocks.", Stack::Encoder), ("up_blocks.", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, DOWN, DOWN_ATTENTION, MIDDLE, MIDDLE_ATTENTION, UP, UP_ATTENTION, BETWEEN],
};

const FRAME: &[Row] = &[
    conv("conv_in").when(Need::Always).biased(),
    plain("time_embedding.linear_1", Role::Other).when(Need::Always).biased(),
    plain("time_embedding.linear_2", Role::Other).when(Need::Always).biased(),
    plain("time_embedding.cond_proj", Role::Other).optional(),
    // Sizes of the picture and the text as a whole, in the XL.
    plain("add_embedding.linear_1", Role::Other).when(Need::Has("addition_embed_type")).biased(),
    plain("add_embedding.linear_2", Role::Other).when(Need::Has("addition_embed_type")).biased(),
    plain("class_embedding.linear_1", Role::Other).optional(),
    plain("class_embedding.linear_2", Role::Other).optional(),
    plain("encoder_hid_proj", Role::Other).optional(),
    Row::norm("conv_norm_out", Dim::Any).biased(),
    conv("conv_out").when(Need::Always).biased(),
];

/// Convolutions behind norms, in pairs with a way around them.
macro_rules! residual {
    ($at:literal) => {
        [
            norm(concat!($at, ".resnets.{n}.norm1")),
            conv(concat!($at, ".resnets.{n}.conv1")).biased(),
            norm(concat!($at, ".resnets.{n}.norm2")),
            conv(concat!($at, ".resnets.{n}.conv2")).biased(),
            conv(concat!($at, ".resnets.{n}.conv_shortcut")).optional(),
        ]
    };
}
pub(super) use residual;

macro_rules! attention {
    ($at:literal) => {
        [
            norm(concat!($at, ".attentions.{n}.norm")),
            plain(concat!($at, ".attentions.{n}.proj_in"), Role::Other).biased(),
            norm(concat!($at, ".attentions.{n}.transformer_blocks.{n}.norm1")),
            plain(
                concat!($at, ".attentions.{n}.transformer_blocks.{n}.attn1.to_q"),
                Role::AttentionQ,
            ),
            plain(
                concat!($at, ".attentions.{n}.transformer_blocks.{n}.attn1.to_k"),
                Role::AttentionK,
            ),
            plain(
                concat!($at, ".attentions.{n}.transformer_blocks.{n}.attn1.to_v"),
                Role::AttentionV,
            ),
            plain(
                concat!($at, ".attentions.{n}.transformer_blocks.{n}.attn1.to_out.0"),
                Role::AttentionO,
            )
            .biased(),
            norm(concat!($at, ".attentions.{n}.transformer_blocks.{n}.norm2")),
            plain(
                concat!($at, ".attentions.{n}.transformer_blocks.{n}.attn2.to_q"),
                Role::AttentionQ,
            ),
            plain(
                concat!($at, ".attentions.{n}.transformer_blocks.{n}.attn2.to_k"),
                Role::AttentionK,
            ),
            plain(
                concat!($at, ".attentions.{n}.transformer_blocks.{n}.attn2.to_v"),
                Role::AttentionV,
            ),
            plain(
                concat!($at, ".attentions.{n}.transformer_blocks.{n}.attn2.to_out.0"),
                Role::AttentionO,
            )
            .biased(),
            norm(concat!($at, ".attentions.{n}.transformer_blocks.{n}.norm3")),
            plain(
                concat!($at, ".attentions.{n}.transformer_blocks.{n}.ff.net.0.proj"),
                Role::MlpGateUp,
            )
            .biased()
            .fused(Fused::UpGate),
            plain(concat!($at, ".attentions.{n}.transformer_blocks.{n}.ff.net.2"), Role::MlpDown)
                .biased(),
            plain(concat!($at, ".attentions.{n}.proj_out"), Role::Other).biased(),
        ]
    };
}

const DOWN: &[Row] = &residual!("down_blocks.{b}");
const DOWN_ATTENTION: &[Row] = &attention!("down_blocks.{b}");
const MIDDLE: &[Row] = &residual!("mid_block");
const MIDDLE_ATTENTION: &[Row] = &attention!("mid_block");
const UP: &[Row] = &residual!("up_blocks.{b}");
const UP_ATTENTION: &[Row] = &attention!("up_blocks.{b}");
const BETWEEN: &[Row] = &[
    plain("down_blocks.{b}.resnets.{n}.time_emb_proj", Role::Other).biased(),
    plain("mid_block.resnets.{n}.time_emb_proj", Role::Other).biased(),
    plain("up_blocks.{b}.resnets.{n}.time_emb_proj", Role::Other).biased(),
    conv("down_blocks.{b}.downsamplers.{n}.conv").biased(),
    conv("up_blocks.{b}.upsamplers.{n}.conv").biased(),
];

/// A map whose width depends on the block: `[out, in]`, or a convolution of single pixels.
pub(super) const fn plain(pattern: &'static str, role: Role) -> Row {
    let row = Row::linear(pattern, role, Dim::Any, Dim::Any);
    Row { shape: Shape::Any, ..row.when(Need::Together) }
}

pub(super) const fn conv(pattern: &'static str) -> Row {
    plain(pattern, Role::Conv)
}

pub(super) const fn norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Any).when(Need::Together).biased()
}
