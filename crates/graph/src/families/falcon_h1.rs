//! Falcon-H1: attention and a Mamba-2, side by side in every block.

use weightscope_core::{Role, Stack};

use super::{llama, mamba2};
use crate::family::{Blocks, Dim, Family, Need, Row};

const BIAS: Need = Need::Flag("attention_bias");
const MLP_BIAS: Need = Need::Flag("mlp_bias");

pub(super) const FAMILY: Family = Family {
    name: "falcon_h1",
    model_types: &["falcon_h1"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.mamba.in_proj.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS, MIXER],
};

const ROWS: &[Row] = &[
    llama::EMBEDDING,
    llama::HEAD,
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden),
    Row::linear("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query, Dim::Hidden)
        .bias(BIAS),
    Row::linear("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue, Dim::Hidden)
        .bias(BIAS),
    Row::linear("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue, Dim::Hidden)
        .bias(BIAS),
    Row::linear("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .bias(BIAS),
    Row::norm("layers.{b}.pre_ff_layernorm", Dim::Hidden),
    Row::linear("layers.{b}.feed_forward.gate_proj", Role::MlpGate, Dim::Inner, Dim::Hidden)
        .bias(MLP_BIAS),
    Row::linear("layers.{b}.feed_forward.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden)
        .bias(MLP_BIAS),
    Row::linear("layers.{b}.feed_forward.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner)
        .bias(MLP_BIAS),
    Row::norm("final_layernorm", Dim::Hidden),
];

const MIXER: &[Row] = &mamba2::beside(Need::Always, Need::Flag("mamba_rms_norm"), Blocks::All);
