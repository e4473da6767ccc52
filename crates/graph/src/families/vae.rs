//! AutoencoderKL of diffusers: pictures to a small grid and back, by convolutions, with attention once in the middle.

use weightscope_core::{Role, Stack};

use super::unet::{conv, norm, plain, residual};
use crate::family::{Family, Need, Row};

pub(super) const FAMILY: Family = Family {
    name: "AutoencoderKL",
    model_types: &["AutoencoderKL"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["encoder.down_blocks.{b}.resnets.{n}.conv1.weight"],
    prefixes: &[""],
    stacks: &[("encoder.", Stack::Encoder), ("decoder.", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, DOWN, DOWN_MIDDLE, UP, UP_MIDDLE],
};

const FRAME: &[Row] = &[
    always("encoder.conv_in"),
    always("encoder.conv_out"),
    always("decoder.conv_in"),
    always("decoder.conv_out"),
    norm("encoder.conv_norm_out").when(Need::Always).biased(),
    norm("decoder.conv_norm_out").when(Need::Always).biased(),
    conv("quant_conv").when(Need::Unless("use_quant_conv")).biased(),
    conv("post_quant_conv").when(Need::Unless("use_post_quant_conv")).biased(),
    conv("encoder.down_blocks.{b}.downsamplers.{n}.conv").biased(),
    conv("decoder.up_blocks.{b}.upsamplers.{n}.conv").biased(),
    norm("encoder.mid_block.attentions.{n}.group_norm"),
    map("encoder.mid_block.attentions.{n}.to_q", Role::AttentionQ),
    map("encoder.mid_block.attentions.{n}.to_k", Role::AttentionK),
    map("encoder.mid_block.attentions.{n}.to_v", Role::AttentionV),
    map("encoder.mid_block.attentions.{n}.to_out.0", Role::AttentionO),
    norm("decoder.mid_block.attentions.{n}.group_norm"),
    map("decoder.mid_block.attentions.{n}.to_q", Role::AttentionQ),
    map("decoder.mid_block.attentions.{n}.to_k", Role::AttentionK),
    map("decoder.mid_block.attentions.{n}.to_v", Role::AttentionV),
    map("decoder.mid_block.attentions.{n}.to_out.0", Role::AttentionO),
];

const DOWN: &[Row] = &residual!("encoder.down_blocks.{b}");
const DOWN_MIDDLE: &[Row] = &residual!("encoder.mid_block");
const UP: &[Row] = &residual!("decoder.up_blocks.{b}");
const UP_MIDDLE: &[Row] = &residual!("decoder.mid_block");

const fn always(pattern: &'static str) -> Row {
    conv(pattern).when(Need::Always).biased()
}

const fn map(pattern: &'static str, role: Role) -> Row {
    plain(pattern, role).biased()
}
