//! Llama 4: experts stacked `[experts, in, out]` in some blocks beside one that sees every token, a plain MLP in the others.

use weightscope_core::{Role, Stack};

use super::llama;
use crate::family::{Blocks, Dim, Family, Fused, Need, Row, Storage};

const EXPERTS: Blocks = Blocks::Listed("moe_layers");
const DENSE: Blocks = Blocks::Not(&EXPERTS);
const DENSE_INNER: Dim = Dim::Key("intermediate_size_mlp");

pub(super) const FAMILY: Family = Family {
    name: "llama4",
    model_types: &["llama4_text"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.feed_forward.experts.gate_up_proj"],
    prefixes: llama::PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[llama::FRAME, llama::QKV, MLP],
};

const MLP: &[Row] = &[
    Row::linear("layers.{b}.feed_forward.router", Role::Router, Dim::Experts, Dim::Hidden)
        .in_blocks(EXPERTS),
    stacked(
        Row::stacked(
            "layers.{b}.feed_forward.experts.gate_up_proj",
            Role::MlpGateUp,
            Dim::ExpertGateUp,
            Dim::Hidden,
        )
        .fused(Fused::GateUp),
    ),
    stacked(Row::stacked(
        "layers.{b}.feed_forward.experts.down_proj",
        Role::MlpDown,
        Dim::Hidden,
        Dim::ExpertInner,
    )),
    up("layers.{b}.feed_forward.shared_expert.gate_proj", Role::MlpGate, Dim::Inner)
        .in_blocks(EXPERTS),
    up("layers.{b}.feed_forward.shared_expert.up_proj", Role::MlpUp, Dim::Inner).in_blocks(EXPERTS),
    down("layers.{b}.feed_forward.shared_expert.down_proj", Dim::Inner).in_blocks(EXPERTS),
    up("layers.{b}.feed_forward.gate_proj", Role::MlpGate, DENSE_INNER).in_blocks(DENSE),
    up("layers.{b}.feed_forward.up_proj", Role::MlpUp, DENSE_INNER).in_blocks(DENSE),
    down("layers.{b}.feed_forward.down_proj", DENSE_INNER).in_blocks(DENSE),
];

const fn stacked(row: Row) -> Row {
    Row { storage: Storage::Conv1d, ..row.when(Need::Always).in_blocks(EXPERTS) }
}

const fn up(pattern: &'static str, role: Role, out: Dim) -> Row {
    Row::linear(pattern, role, out, Dim::Hidden)
}

const fn down(pattern: &'static str, input: Dim) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, input)
}
