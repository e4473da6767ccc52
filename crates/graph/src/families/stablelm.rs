//! StableLM: Llama's names with norms that have a bias, one of them where attention and MLP stand side by side.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Need, Row};

const HEAD_NORM: Need = Need::Flag("qk_layernorm");

pub(super) const FAMILY: Family = Family {
    name: "stablelm",
    model_types: &["stablelm"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.input_layernorm.bias"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    llama::EMBEDDING,
    llama::HEAD,
    llama::SCORE,
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden).biased(),
    query_like("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query),
    query_like("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue),
    query_like("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue),
    // A norm for each head.
    Row::norm("layers.{b}.self_attn.q_layernorm.norms.{n}", Dim::HeadWidth).when(HEAD_NORM),
    Row::norm("layers.{b}.self_attn.k_layernorm.norms.{n}", Dim::HeadWidth).when(HEAD_NORM),
    Row::linear("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query),
    Row::buffer("layers.{b}.self_attn.rotary_emb.inv_freq"),
    Row::norm("layers.{b}.post_attention_layernorm", Dim::Hidden)
        .when(Need::Not(&Need::Flag("use_parallel_residual")))
        .biased(),
    Row::linear("layers.{b}.mlp.gate_proj", Role::MlpGate, Dim::Inner, Dim::Hidden),
    Row::linear("layers.{b}.mlp.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden),
    Row::linear("layers.{b}.mlp.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner),
    Row::norm("norm", Dim::Hidden).biased(),
];

const fn query_like(pattern: &'static str, role: Role, out: Dim) -> Row {
    Row::linear(pattern, role, out, Dim::Hidden).bias(Need::Flag("use_qkv_bias"))
}
