//! Mistral 3: Llama's names, and eyes that are a Llama of their own over patches of any number.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Need, Row};

const BIAS: Need = Need::Flag("multimodal_projector_bias");
/// The width of the eyes, which is not that of the text.
const MERGED: Dim = Dim::Any;

pub(super) const FAMILY: Family = Family {
    name: "mistral3",
    model_types: &["mistral3"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["vision_tower.transformer.layers.{b}.attention.q_proj.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("vision_tower.", Stack::Vision), ("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::FRAME, llama::QKV, llama::MLP, VISION, BETWEEN],
};

const VISION: &[Row] = &[
    Row::conv(
        "vision_tower.patch_conv",
        &[Dim::Hidden, Dim::Key("num_channels"), Dim::Key("patch_size"), Dim::Key("patch_size")],
    ),
    Row::norm("vision_tower.ln_pre", Dim::Hidden),
    Row::norm("vision_tower.transformer.layers.{b}.attention_norm", Dim::Hidden),
    linear("vision_tower.transformer.layers.{b}.attention.q_proj", Role::AttentionQ, Dim::Query),
    linear("vision_tower.transformer.layers.{b}.attention.k_proj", Role::AttentionK, Dim::KeyValue),
    linear("vision_tower.transformer.layers.{b}.attention.v_proj", Role::AttentionV, Dim::KeyValue),
    Row::linear(
        "vision_tower.transformer.layers.{b}.attention.o_proj",
        Role::AttentionO,
        Dim::Hidden,
        Dim::Query,
    ),
    Row::norm("vision_tower.transformer.layers.{b}.ffn_norm", Dim::Hidden),
    linear("vision_tower.transformer.layers.{b}.feed_forward.gate_proj", Role::MlpGate, Dim::Inner),
    linear("vision_tower.transformer.layers.{b}.feed_forward.up_proj", Role::MlpUp, Dim::Inner),
    Row::linear(
        "vision_tower.transformer.layers.{b}.feed_forward.down_proj",
        Role::MlpDown,
        Dim::Hidden,
        Dim::Inner,
    ),
];

const BETWEEN: &[Row] = &[
    Row::norm("multi_modal_projector.norm", MERGED),
    Row::linear("multi_modal_projector.patch_merger.merging_layer", Role::Other, MERGED, MERGED),
    Row::linear("multi_modal_projector.linear_1", Role::Other, Dim::Hidden, MERGED).bias(BIAS),
    Row::linear("multi_modal_projector.linear_2", Role::Other, Dim::Hidden, Dim::Hidden).bias(BIAS),
];

const fn linear(pattern: &'static str, role: Role, out: Dim) -> Row {
    Row::linear(pattern, role, out, Dim::Hidden)
}
