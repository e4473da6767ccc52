//! Cohere's Command: Llama's names with attention and MLP side by side behind one norm, which has no bias; in the larger
//! ones a norm of its own for each head.

use weightscope_core::{Part, Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Need, Row, Shape};

pub(super) const FAMILY: Family = Family {
    name: "cohere",
    model_types: &["cohere", "cohere2"],
    any_architecture: false,
    tied_by_default: &["cohere", "cohere2"],
    telltales: &["layers.{b}.self_attn.q_proj.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    llama::EMBEDDING,
    llama::HEAD,
    llama::SCORE,
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden),
    query_like("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query),
    query_like("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue),
    query_like("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue),
    head_norm("layers.{b}.self_attn.q_norm.weight", &[Dim::Heads, Dim::HeadWidth]),
    head_norm("layers.{b}.self_attn.k_norm.weight", &[Dim::KeyHeads, Dim::HeadWidth]),
    Row::linear("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .bias(Need::Flag("attention_bias")),
    Row::linear("layers.{b}.mlp.gate_proj", Role::MlpGate, Dim::Inner, Dim::Hidden),
    Row::linear("layers.{b}.mlp.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden),
    Row::linear("layers.{b}.mlp.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner),
    Row::norm("norm", Dim::Hidden),
];

const fn query_like(pattern: &'static str, role: Role, out: Dim) -> Row {
    Row::linear(pattern, role, out, Dim::Hidden).bias(Need::Flag("attention_bias"))
}

const fn head_norm(pattern: &'static str, shape: &'static [Dim]) -> Row {
    Row::bare(pattern, Role::Norm, Part::Weight, Shape::Tensor(shape))
        .when(Need::Flag("use_qk_norm"))
}
