//! Baichuan: Llama's names with q, k, v in one.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Dim, Family, Fused, Row};

pub(super) const FAMILY: Family = Family {
    name: "baichuan",
    model_types: &["baichuan"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.self_attn.W_pack.weight"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::FRAME, llama::MLP, ROWS],
};

const ROWS: &[Row] =
    &[Row::linear("layers.{b}.self_attn.W_pack", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .fused(Fused::Qkv)];
