//! Mixtures of experts with Llama's attention: Mixtral (`block_sparse_moe`), Qwen (`mlp.experts`), and
//! experts stacked in one tensor.

use weightscope_core::{Part, Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Fused, Need, Row, Shape};

pub(super) const FAMILY: Family = Family {
    name: "mixtral",
    model_types: &["mixtral", "qwen2_moe", "qwen3_moe"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &[
        "layers.{b}.block_sparse_moe.gate.weight",
        "layers.{b}.block_sparse_moe.experts.{e}.w1.weight",
        "layers.{b}.mlp.gate.weight",
        "layers.{b}.mlp.experts.{e}.gate_proj.weight",
        "layers.{b}.mlp.experts.gate_up_proj",
        "layers.{b}.feed_forward.experts.gate_up_proj",
    ],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::FRAME, llama::QKV, MIXTRAL, QWEN, STACKED],
};

const MIXTRAL_ONLY: Need = Need::For(&["mixtral"]);

// Experts are required by number: where a block has some of them, it must have all.
const MIXTRAL: &[Row] = &[
    Row::linear("layers.{b}.block_sparse_moe.gate", Role::Router, Dim::Experts, Dim::Hidden)
        .when(MIXTRAL_ONLY),
    expert("layers.{b}.block_sparse_moe.experts.{e}.w1", Role::MlpGate),
    expert("layers.{b}.block_sparse_moe.experts.{e}.w3", Role::MlpUp),
    expert_down("layers.{b}.block_sparse_moe.experts.{e}.w2"),
];

/// Which of Qwen's blocks have experts and which a plain MLP is up to two keys of config.json; by default all
/// have experts.
const QWEN_EXPERTS: Need = Need::AllOf(&[
    Need::For(&["qwen2_moe", "qwen3_moe"]),
    Need::AnyOf(&[
        Need::Is("decoder_sparse_step", 1),
        Need::Not(&Need::Has("decoder_sparse_step")),
    ]),
    Need::Not(&Need::Has("mlp_only_layers")),
]);
const QWEN_SHARED: Need = Need::AllOf(&[QWEN_EXPERTS, Need::For(&["qwen2_moe"])]);

const QWEN: &[Row] = &[
    Row::linear("layers.{b}.mlp.gate", Role::Router, Dim::Experts, Dim::Hidden).when(QWEN_EXPERTS),
    expert("layers.{b}.mlp.experts.{e}.gate_proj", Role::MlpGate),
    expert("layers.{b}.mlp.experts.{e}.up_proj", Role::MlpUp),
    expert_down("layers.{b}.mlp.experts.{e}.down_proj"),
    Row::linear("layers.{b}.mlp.shared_expert_gate", Role::Router, Dim::Exactly(1), Dim::Hidden)
        .when(QWEN_SHARED),
    shared("layers.{b}.mlp.shared_expert.gate_proj", Role::MlpGate, Dim::SharedInner, Dim::Hidden),
    shared("layers.{b}.mlp.shared_expert.up_proj", Role::MlpUp, Dim::SharedInner, Dim::Hidden),
    shared("layers.{b}.mlp.shared_expert.down_proj", Role::MlpDown, Dim::Hidden, Dim::SharedInner),
    Row::linear("layers.{b}.mlp.gate_proj", Role::MlpGate, Dim::Inner, Dim::Hidden).optional(),
    Row::linear("layers.{b}.mlp.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden).optional(),
    Row::linear("layers.{b}.mlp.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner).optional(),
];

const STACKED: &[Row] = &[
    Row::linear("layers.{b}.mlp.router", Role::Router, Dim::Experts, Dim::Hidden).optional(),
    stacked_up("layers.{b}.mlp.experts.gate_up_proj"),
    stacked_down("layers.{b}.mlp.experts.down_proj"),
    stacked_bias("layers.{b}.mlp.experts.gate_up_proj_bias", Role::MlpGateUp),
    stacked_bias("layers.{b}.mlp.experts.down_proj_bias", Role::MlpDown),
    Row::bare("layers.{b}.self_attn.sinks", Role::Other, Part::Weight, Shape::Vector(Dim::Heads)),
    Row::linear("layers.{b}.feed_forward.router", Role::Router, Dim::Experts, Dim::Hidden)
        .optional(),
    stacked_up("layers.{b}.feed_forward.experts.gate_up_proj"),
    stacked_down("layers.{b}.feed_forward.experts.down_proj"),
];

const fn expert(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::ExpertInner, Dim::Hidden)
}

const fn expert_down(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, Dim::ExpertInner)
}

const fn shared(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).when(QWEN_SHARED)
}

const fn stacked_up(pattern: &'static str) -> Row {
    Row::stacked(pattern, Role::MlpGateUp, Dim::ExpertGateUp, Dim::Hidden).fused(Fused::GateUp)
}

const fn stacked_down(pattern: &'static str) -> Row {
    Row::stacked(pattern, Role::MlpDown, Dim::Hidden, Dim::ExpertInner)
}

const fn stacked_bias(pattern: &'static str, role: Role) -> Row {
    Row::bare(pattern, role, Part::Bias, Shape::Any)
}
