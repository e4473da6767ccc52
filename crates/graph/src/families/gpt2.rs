//! GPT-2 and what took over its names. The published checkpoints store Conv1D matrices `[in, out]`; others
//! (nanoGPT) store the same names `[out, in]`, which the shapes tell.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Fused, Need, Row, Shape};

/// nanoGPT, which has no `model_type`, may go without biases.
const BIAS: Need = Need::For(&["gpt2"]);

pub(super) const FAMILY: Family = Family {
    name: "gpt2",
    model_types: &["gpt2"],
    any_architecture: false,
    tied_by_default: &["gpt2"],
    telltales: &["h.{b}.attn.c_attn.weight", "h.{b}.mlp.c_fc.weight"],
    prefixes: &["transformer.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: Some(4),
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("wte", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::table("wpe", Role::PositionEmbedding, Dim::Positions, Dim::Hidden),
    Row::norm("h.{b}.ln_1", Dim::Hidden).bias(BIAS),
    Row::conv1d("h.{b}.attn.c_attn", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .bias(BIAS)
        .fused(Fused::Qkv),
    Row::conv1d("h.{b}.attn.c_proj", Role::AttentionO, Dim::Hidden, Dim::Query).bias(BIAS),
    Row::buffer("h.{b}.attn.bias"),
    Row::buffer("h.{b}.attn.masked_bias"),
    Row::norm("h.{b}.ln_2", Dim::Hidden).bias(BIAS),
    Row::conv1d("h.{b}.mlp.c_fc", Role::MlpUp, Dim::Inner, Dim::Hidden).bias(BIAS),
    Row::conv1d("h.{b}.mlp.c_proj", Role::MlpDown, Dim::Hidden, Dim::Inner).bias(BIAS),
    Row::norm("ln_f", Dim::Hidden).bias(BIAS),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("wte.weight")
        .outside(),
    Row::linear("score", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];
