//! gpt-oss: Llama's frame with biases, a learned sink for each head, and experts stacked in one tensor.
//!
//! transformers holds the experts `[experts, in, out]`; the quantised files store them turned. Rows of gate and up
//! alternate.

use weightscope_core::{Part, Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Need, Row, Shape, Storage};

const OURS: Need = Need::For(&["gpt_oss"]);
const BIAS: Need = Need::AllOf(&[OURS, Need::Flag("attention_bias")]);

pub(super) const FAMILY: Family = Family {
    name: "gpt_oss",
    model_types: &["gpt_oss"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.self_attn.sinks"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::FRAME, ATTENTION, EXPERTS],
};

const ATTENTION: &[Row] = &[
    Row::linear("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query, Dim::Hidden)
        .bias(BIAS),
    Row::linear("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue, Dim::Hidden)
        .bias(BIAS),
    Row::linear("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue, Dim::Hidden)
        .bias(BIAS),
    Row::bare("layers.{b}.self_attn.sinks", Role::Other, Part::Weight, Shape::Vector(Dim::Heads))
        .when(OURS),
];

const EXPERTS: &[Row] = &[
    Row::linear("layers.{b}.mlp.router", Role::Router, Dim::Experts, Dim::Hidden)
        .when(OURS)
        .biased(),
    stacked("layers.{b}.mlp.experts.gate_up_proj", Role::MlpGateUp, Dim::ExpertGateUp, Dim::Hidden),
    bias(
        "layers.{b}.mlp.experts.gate_up_proj_bias",
        Role::MlpGateUp,
        &[Dim::Experts, Dim::ExpertGateUp],
    ),
    stacked("layers.{b}.mlp.experts.down_proj", Role::MlpDown, Dim::Hidden, Dim::ExpertInner),
    bias("layers.{b}.mlp.experts.down_proj_bias", Role::MlpDown, &[Dim::Experts, Dim::Hidden]),
];

const fn stacked(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    let row = Row::stacked(pattern, role, out, input).when(OURS);
    Row { storage: Storage::Conv1d, ..row }
}

const fn bias(pattern: &'static str, role: Role, shape: &'static [Dim]) -> Row {
    Row::bare(pattern, role, Part::Bias, Shape::Tensor(shape)).when(OURS)
}
