//! The first Qwen: GPT-2's names for attention, with a gated MLP whose output is `c_proj(w1(x) * silu(w2(x)))`.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Fused, Need, Row, Shape};

pub(super) const FAMILY: Family = Family {
    name: "qwen",
    model_types: &["qwen"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["h.{b}.mlp.w1.weight", "h.{b}.mlp.w2.weight"],
    prefixes: &["transformer.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("wte", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::norm("h.{b}.ln_1", Dim::Hidden),
    Row::linear("h.{b}.attn.c_attn", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .biased()
        .fused(Fused::Qkv),
    Row::linear("h.{b}.attn.c_proj", Role::AttentionO, Dim::Hidden, Dim::Query),
    Row::norm("h.{b}.ln_2", Dim::Hidden),
    Row::linear("h.{b}.mlp.w1", Role::MlpUp, Dim::HalfInner, Dim::Hidden),
    Row::linear("h.{b}.mlp.w2", Role::MlpGate, Dim::HalfInner, Dim::Hidden),
    Row::linear("h.{b}.mlp.c_proj", Role::MlpDown, Dim::Hidden, Dim::HalfInner),
    Row::norm("ln_f", Dim::Hidden),
    Row::buffer("rotary_emb.inv_freq"),
    Row::buffer("h.{b}.attn.rotary_emb.inv_freq"),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("wte.weight")
        .outside(),
];
