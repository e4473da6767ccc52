//! Jamba: a Mamba in most blocks and attention in some, an MLP in some and experts in the others, by turns.

use weightscope_core::{Part, Role, Stack};

use super::llama;
use crate::family::{Blocks, Dim, Family, Need, Row, Shape};

const ATTENTION: Blocks = Blocks::Every("attn_layer_period", "attn_layer_offset");
const MAMBA: Blocks = Blocks::Not(&ATTENTION);
const EXPERTS: Blocks = Blocks::Every("expert_layer_period", "expert_layer_offset");
const DENSE: Blocks = Blocks::Not(&EXPERTS);

const INNER: Dim = Dim::Product(&[Dim::Hidden, Dim::Key("mamba_expand")]);
const RANK: Dim = Dim::Key("mamba_dt_rank");
const STATE: Dim = Dim::Key("mamba_d_state");
const BIAS: Need = Need::Flag("mamba_proj_bias");

pub(super) const FAMILY: Family = Family {
    name: "jamba",
    model_types: &["jamba"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.mamba.dt_layernorm.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, MIXER, MLP],
};

const FRAME: &[Row] = &[
    llama::EMBEDDING,
    llama::HEAD,
    llama::SCORE,
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden),
    attention("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query, Dim::Hidden),
    attention("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue, Dim::Hidden),
    attention("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue, Dim::Hidden),
    attention("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query),
    Row::norm("layers.{b}.pre_ff_layernorm", Dim::Hidden),
    Row::norm("final_layernorm", Dim::Hidden),
];

const MIXER: &[Row] = &[
    Row::linear(
        "layers.{b}.mamba.in_proj",
        Role::Ssm,
        Dim::Product(&[Dim::Exactly(2), INNER]),
        Dim::Hidden,
    )
    .bias(BIAS)
    .in_blocks(MAMBA),
    Row::conv("layers.{b}.mamba.conv1d", &[INNER, Dim::Exactly(1), Dim::Key("mamba_d_conv")])
        .bias(Need::Unless("mamba_conv_bias"))
        .in_blocks(MAMBA),
    Row::linear("layers.{b}.mamba.x_proj", Role::Ssm, Dim::Sum(&[RANK, STATE, STATE]), INNER)
        .in_blocks(MAMBA),
    Row::linear("layers.{b}.mamba.dt_proj", Role::Ssm, INNER, RANK).biased().in_blocks(MAMBA),
    Row::norm("layers.{b}.mamba.dt_layernorm", RANK).in_blocks(MAMBA),
    Row::norm("layers.{b}.mamba.b_layernorm", STATE).in_blocks(MAMBA),
    Row::norm("layers.{b}.mamba.c_layernorm", STATE).in_blocks(MAMBA),
    Row::bare("layers.{b}.mamba.A_log", Role::Ssm, Part::Buffer, Shape::Tensor(&[INNER, STATE]))
        .when(Need::Always)
        .in_blocks(MAMBA),
    Row::bare("layers.{b}.mamba.D", Role::Ssm, Part::Weight, Shape::Vector(INNER))
        .when(Need::Always)
        .in_blocks(MAMBA),
    Row::linear("layers.{b}.mamba.out_proj", Role::Ssm, Dim::Hidden, INNER)
        .bias(BIAS)
        .in_blocks(MAMBA),
];

const MLP: &[Row] = &[
    up("layers.{b}.feed_forward.gate_proj", Role::MlpGate).in_blocks(DENSE),
    up("layers.{b}.feed_forward.up_proj", Role::MlpUp).in_blocks(DENSE),
    down("layers.{b}.feed_forward.down_proj").in_blocks(DENSE),
    Row::linear("layers.{b}.feed_forward.router", Role::Router, Dim::Experts, Dim::Hidden)
        .in_blocks(EXPERTS),
    up("layers.{b}.feed_forward.experts.{e}.gate_proj", Role::MlpGate),
    up("layers.{b}.feed_forward.experts.{e}.up_proj", Role::MlpUp),
    down("layers.{b}.feed_forward.experts.{e}.down_proj"),
];

const fn attention(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).in_blocks(ATTENTION)
}

const fn up(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Inner, Dim::Hidden)
}

const fn down(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, Dim::Inner)
}
