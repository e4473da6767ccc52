//! Granite's mixtures of experts, and Granite 4, where most blocks have a Mamba-2 in place of attention.

use weightscope_core::{Role, Stack};

use super::{llama, mamba2};
use crate::family::{Blocks, Dim, Family, Fused, Need, Row};

/// Without a list all attend.
const ATTENTION: Blocks = Blocks::Except(&MAMBA);
const MAMBA: Blocks = Blocks::Called("layer_types", "mamba");
const HYBRID: Need = Need::For(&["granitemoehybrid"]);
const EXPERTS: Need = Need::Has("num_local_experts");
const SHARED: Need = Need::Has("shared_intermediate_size");
const SHARED_INNER: Dim = Dim::Key("shared_intermediate_size");
const SHARED_GATE_UP: Dim = Dim::Product(&[Dim::Exactly(2), SHARED_INNER]);

pub(super) const FAMILY: Family = Family {
    name: "granitemoe",
    model_types: &["granitemoe", "granitemoeshared", "granitemoehybrid"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &[
        "layers.{b}.block_sparse_moe.input_linear.weight",
        "layers.{b}.shared_mlp.input_linear.weight",
    ],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, MIXER, MLP],
};

const FRAME: &[Row] = &[
    llama::EMBEDDING,
    llama::HEAD,
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden),
    attention("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query, Dim::Hidden),
    attention("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue, Dim::Hidden),
    attention("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue, Dim::Hidden),
    attention("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query),
    Row::norm("layers.{b}.post_attention_layernorm", Dim::Hidden),
    Row::norm("norm", Dim::Hidden),
];

const MIXER: &[Row] = &mamba2::beside(HYBRID, HYBRID, MAMBA);

const MLP: &[Row] = &[
    Row::linear(
        "layers.{b}.block_sparse_moe.router.layer",
        Role::Router,
        Dim::Experts,
        Dim::Hidden,
    )
    .when(EXPERTS),
    Row::stacked(
        "layers.{b}.block_sparse_moe.input_linear.weight",
        Role::MlpGateUp,
        Dim::GateUp,
        Dim::Hidden,
    )
    .when(EXPERTS)
    .fused(Fused::GateUp),
    Row::stacked(
        "layers.{b}.block_sparse_moe.output_linear.weight",
        Role::MlpDown,
        Dim::Hidden,
        Dim::Inner,
    )
    .when(EXPERTS),
    Row::linear("layers.{b}.shared_mlp.input_linear", Role::MlpGateUp, SHARED_GATE_UP, Dim::Hidden)
        .when(SHARED)
        .fused(Fused::GateUp),
    Row::linear("layers.{b}.shared_mlp.output_linear", Role::MlpDown, Dim::Hidden, SHARED_INNER)
        .when(SHARED),
];

const fn attention(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).bias(Need::Flag("attention_bias")).in_blocks(ATTENTION)
}
