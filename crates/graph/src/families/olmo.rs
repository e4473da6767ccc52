//! OLMo: at first Llama's names and norms without weights; from the second on norms behind attention and MLP, and over
//! all queries and all keys.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Need, Row};

const EXPERTS: Need = Need::For(&["olmoe"]);
const DENSE: Need = Need::For(&["olmo", "olmo2", "olmo3"]);
const NORMS: Need = Need::For(&["olmo2", "olmo3", "olmoe"]);

pub(super) const FAMILY: Family = Family {
    name: "olmo",
    model_types: &["olmo", "olmo2", "olmo3", "olmoe"],
    any_architecture: false,
    tied_by_default: &[],
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
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden).when(EXPERTS),
    query_like("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query),
    query_like("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue),
    query_like("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue),
    Row::norm("layers.{b}.self_attn.q_norm", Dim::Query).when(NORMS),
    Row::norm("layers.{b}.self_attn.k_norm", Dim::KeyValue).when(NORMS),
    Row::linear("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .bias(Need::Flag("attention_bias")),
    Row::norm("layers.{b}.post_attention_layernorm", Dim::Hidden).when(NORMS),
    Row::linear("layers.{b}.mlp.gate_proj", Role::MlpGate, Dim::Inner, Dim::Hidden).when(DENSE),
    Row::linear("layers.{b}.mlp.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden).when(DENSE),
    Row::linear("layers.{b}.mlp.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner).when(DENSE),
    Row::norm("layers.{b}.post_feedforward_layernorm", Dim::Hidden)
        .when(Need::For(&["olmo2", "olmo3"])),
    Row::linear("layers.{b}.mlp.gate", Role::Router, Dim::Experts, Dim::Hidden).when(EXPERTS),
    Row::linear("layers.{b}.mlp.experts.{e}.gate_proj", Role::MlpGate, Dim::Inner, Dim::Hidden),
    Row::linear("layers.{b}.mlp.experts.{e}.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden),
    Row::linear("layers.{b}.mlp.experts.{e}.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner),
    Row::norm("norm", Dim::Hidden).when(NORMS),
];

const fn query_like(pattern: &'static str, role: Role, out: Dim) -> Row {
    Row::linear(pattern, role, out, Dim::Hidden).bias(Need::Flag("attention_bias"))
}
