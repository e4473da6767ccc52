//! Qwen2-VL to Qwen3-VL: Qwen's language model, and eyes with q, k, v in one whose neighbouring patches are merged.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Fused, Need, Row};

const FIRST: Need = Need::For(&["qwen2_vl"]);
const SECOND: Need = Need::For(&["qwen2_5_vl"]);
const THIRD: Need = Need::For(&["qwen3_vl"]);
const EARLIER: Need = Need::Not(&THIRD);

/// Patches that become one token, side by side.
const MERGED: Dim =
    Dim::Product(&[Dim::Hidden, Dim::Key("spatial_merge_size"), Dim::Key("spatial_merge_size")]);
const RATIO: Dim = Dim::Product(&[Dim::Hidden, Dim::Key("mlp_ratio")]);
const HANDED_ON: Dim = Dim::Key("out_hidden_size");

pub(super) const FAMILY: Family = Family {
    name: "qwen_vl",
    model_types: &["qwen2_vl", "qwen2_5_vl", "qwen3_vl"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["visual.blocks.{b}.attn.qkv.weight"],
    prefixes: &["model.language_model.", "language_model.model.", "language_model.", "model.", ""],
    stacks: &[("visual.", Stack::Vision), ("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::FRAME, llama::QKV, llama::MLP, EYES, MERGER],
};

const EYES: &[Row] = &[
    Row::conv(
        "visual.patch_embed.proj",
        &[
            Dim::Hidden,
            Dim::Any,
            Dim::Key("temporal_patch_size"),
            Dim::Key("patch_size"),
            Dim::Key("patch_size"),
        ],
    )
    .bias(THIRD),
    Row::table(
        "visual.pos_embed",
        Role::PositionEmbedding,
        Dim::Key("num_position_embeddings"),
        Dim::Hidden,
    )
    .when(THIRD),
    Row::norm("visual.blocks.{b}.norm1", Dim::Hidden).bias(Need::Not(&SECOND)),
    Row::linear("visual.blocks.{b}.attn.qkv", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .biased()
        .fused(Fused::Qkv),
    Row::linear("visual.blocks.{b}.attn.proj", Role::AttentionO, Dim::Hidden, Dim::Query).biased(),
    Row::norm("visual.blocks.{b}.norm2", Dim::Hidden).bias(Need::Not(&SECOND)),
    Row::linear("visual.blocks.{b}.mlp.fc1", Role::MlpUp, RATIO, Dim::Hidden).when(FIRST).biased(),
    Row::linear("visual.blocks.{b}.mlp.fc2", Role::MlpDown, Dim::Hidden, RATIO)
        .when(FIRST)
        .biased(),
    wide("visual.blocks.{b}.mlp.gate_proj", Role::MlpGate).when(SECOND).biased(),
    wide("visual.blocks.{b}.mlp.up_proj", Role::MlpUp).when(SECOND).biased(),
    narrow("visual.blocks.{b}.mlp.down_proj").when(SECOND).biased(),
    wide("visual.blocks.{b}.mlp.linear_fc1", Role::MlpUp).when(THIRD).biased(),
    narrow("visual.blocks.{b}.mlp.linear_fc2").when(THIRD).biased(),
];

const MERGER: &[Row] = &[
    Row::norm("visual.merger.ln_q", Dim::Hidden).when(EARLIER).bias(FIRST),
    merge("visual.merger.mlp.0", MERGED).when(EARLIER).biased(),
    // The first says it by another name.
    merge("visual.merger.mlp.2", Dim::Any).when(EARLIER).biased(),
    Row::norm("visual.merger.norm", Dim::Hidden).when(THIRD).biased(),
    merge("visual.merger.linear_fc1", MERGED).when(THIRD).biased(),
    merge("visual.merger.linear_fc2", HANDED_ON).when(THIRD).biased(),
    // What the middle blocks see goes to the text's first blocks.
    Row::norm("visual.deepstack_merger_list.{n}.norm", MERGED).optional(),
    merge("visual.deepstack_merger_list.{n}.linear_fc1", MERGED).optional(),
    merge("visual.deepstack_merger_list.{n}.linear_fc2", HANDED_ON).optional(),
];

const fn wide(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Inner, Dim::Hidden)
}

const fn narrow(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, Dim::Inner)
}

const fn merge(pattern: &'static str, out: Dim) -> Row {
    Row::linear(pattern, Role::Other, out, MERGED)
}
