//! Qwen3-Next: attention that is linear in the length in most blocks, gated attention in the others, and Qwen's experts.

use weightscope_core::{Part, Role, Stack};

use super::llama;
use crate::family::{Blocks, Dim, Family, Need, Row, Shape};

const LINEAR: Blocks = Blocks::Called("layer_types", "linear_attention");
const FULL: Blocks = Blocks::Called("layer_types", "full_attention");
const BIAS: Need = Need::Flag("attention_bias");
/// Which blocks have experts is up to two keys of config.json; by default all.
const EXPERTS: Need = Need::AllOf(&[
    Need::AnyOf(&[
        Need::Is("decoder_sparse_step", 1),
        Need::Not(&Need::Has("decoder_sparse_step")),
    ]),
    Need::Not(&Need::Has("mlp_only_layers")),
]);

const KEYS: Dim =
    Dim::Product(&[Dim::Key("linear_num_key_heads"), Dim::Key("linear_key_head_dim")]);
const HEADS: Dim = Dim::Key("linear_num_value_heads");
const VALUES: Dim = Dim::Product(&[HEADS, Dim::Key("linear_value_head_dim")]);

pub(super) const FAMILY: Family = Family {
    name: "qwen3_next",
    model_types: &["qwen3_next"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.linear_attn.in_proj_qkvz.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, LINEAR_ATTENTION, MLP],
};

const FRAME: &[Row] = &[
    llama::EMBEDDING,
    llama::HEAD,
    llama::SCORE,
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden),
    // Queries, each with the gate of its head.
    attention(
        "layers.{b}.self_attn.q_proj",
        Role::AttentionQ,
        Dim::Product(&[Dim::Exactly(2), Dim::Query]),
        Dim::Hidden,
    ),
    attention("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue, Dim::Hidden),
    attention("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue, Dim::Hidden),
    attention("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query),
    Row::norm("layers.{b}.self_attn.q_norm", Dim::HeadWidth).in_blocks(FULL),
    Row::norm("layers.{b}.self_attn.k_norm", Dim::HeadWidth).in_blocks(FULL),
    Row::norm("layers.{b}.post_attention_layernorm", Dim::Hidden),
    Row::norm("norm", Dim::Hidden),
];

const LINEAR_ATTENTION: &[Row] = &[
    Row::linear(
        "layers.{b}.linear_attn.in_proj_qkvz",
        Role::Ssm,
        Dim::Sum(&[KEYS, KEYS, VALUES, VALUES]),
        Dim::Hidden,
    )
    .in_blocks(LINEAR),
    Row::linear(
        "layers.{b}.linear_attn.in_proj_ba",
        Role::Ssm,
        Dim::Sum(&[HEADS, HEADS]),
        Dim::Hidden,
    )
    .in_blocks(LINEAR),
    Row::conv(
        "layers.{b}.linear_attn.conv1d",
        &[Dim::Sum(&[KEYS, KEYS, VALUES]), Dim::Exactly(1), Dim::Key("linear_conv_kernel_dim")],
    )
    .in_blocks(LINEAR),
    Row::bare("layers.{b}.linear_attn.A_log", Role::Ssm, Part::Buffer, Shape::Vector(HEADS))
        .when(Need::Always)
        .in_blocks(LINEAR),
    Row::bare("layers.{b}.linear_attn.dt_bias", Role::Ssm, Part::Bias, Shape::Vector(HEADS))
        .when(Need::Always)
        .in_blocks(LINEAR),
    Row::norm("layers.{b}.linear_attn.norm", Dim::Key("linear_value_head_dim")).in_blocks(LINEAR),
    Row::linear("layers.{b}.linear_attn.out_proj", Role::Ssm, Dim::Hidden, VALUES)
        .in_blocks(LINEAR),
];

const MLP: &[Row] = &[
    Row::linear("layers.{b}.mlp.gate", Role::Router, Dim::Experts, Dim::Hidden).when(EXPERTS),
    up("layers.{b}.mlp.experts.{e}.gate_proj", Role::MlpGate, Dim::ExpertInner),
    up("layers.{b}.mlp.experts.{e}.up_proj", Role::MlpUp, Dim::ExpertInner),
    down("layers.{b}.mlp.experts.{e}.down_proj", Dim::ExpertInner),
    Row::linear("layers.{b}.mlp.shared_expert_gate", Role::Router, Dim::Exactly(1), Dim::Hidden)
        .when(EXPERTS),
    up("layers.{b}.mlp.shared_expert.gate_proj", Role::MlpGate, Dim::SharedInner).when(EXPERTS),
    up("layers.{b}.mlp.shared_expert.up_proj", Role::MlpUp, Dim::SharedInner).when(EXPERTS),
    down("layers.{b}.mlp.shared_expert.down_proj", Dim::SharedInner).when(EXPERTS),
    up("layers.{b}.mlp.gate_proj", Role::MlpGate, Dim::Inner).optional(),
    up("layers.{b}.mlp.up_proj", Role::MlpUp, Dim::Inner).optional(),
    down("layers.{b}.mlp.down_proj", Dim::Inner).optional(),
];

const fn attention(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).bias(BIAS).in_blocks(FULL)
}

const fn up(pattern: &'static str, role: Role, out: Dim) -> Row {
    Row::linear(pattern, role, out, Dim::Hidden)
}

const fn down(pattern: &'static str, input: Dim) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, input)
}
