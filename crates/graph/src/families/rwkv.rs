//! RWKV: in place of attention a sum that fades. Its receptance decides what is read, as queries do. The names of
//! transformers are of the fourth version; those of the authors go on to the seventh, with maps of low rank that are not
//! listed.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Blocks, Dim, Family, Need, Row, Shape};

const LISTED: Need = Need::For(&["rwkv"]);
const INNER: Dim = Dim::Key("attention_hidden_size");

pub(super) const FAMILY: Family = Family {
    name: "rwkv",
    model_types: &["rwkv"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["blocks.{b}.attention.receptance.weight", "blocks.{b}.att.receptance.weight"],
    prefixes: &["rwkv.", "model.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS, OWN],
};

const ROWS: &[Row] = &[
    Row::table("embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden).when(LISTED),
    norm("blocks.{b}.pre_ln").in_blocks(Blocks::First),
    norm("blocks.{b}.ln1"),
    norm("blocks.{b}.ln2"),
    to("blocks.{b}.attention.receptance", Role::AttentionQ, INNER, Dim::Hidden).when(LISTED),
    to("blocks.{b}.attention.key", Role::AttentionK, INNER, Dim::Hidden).when(LISTED),
    to("blocks.{b}.attention.value", Role::AttentionV, INNER, Dim::Hidden).when(LISTED),
    to("blocks.{b}.attention.output", Role::AttentionO, Dim::Hidden, INNER).when(LISTED),
    state("blocks.{b}.attention.time_decay", Shape::Vector(INNER)),
    state("blocks.{b}.attention.time_first", Shape::Vector(INNER)),
    state("blocks.{b}.attention.time_mix_key", MIX),
    state("blocks.{b}.attention.time_mix_value", MIX),
    state("blocks.{b}.attention.time_mix_receptance", MIX),
    to("blocks.{b}.feed_forward.key", Role::MlpUp, Dim::Inner, Dim::Hidden).when(LISTED),
    to("blocks.{b}.feed_forward.value", Role::MlpDown, Dim::Hidden, Dim::Inner).when(LISTED),
    to("blocks.{b}.feed_forward.receptance", Role::MlpGate, Dim::Hidden, Dim::Hidden).when(LISTED),
    state("blocks.{b}.feed_forward.time_mix_key", MIX),
    state("blocks.{b}.feed_forward.time_mix_receptance", MIX),
    norm("ln_out"),
    Row::bare("head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("embeddings.weight")
        .outside(),
];

/// The authors' names.
const OWN: &[Row] = &[
    Row::table("emb", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden).optional(),
    Row::norm("blocks.{b}.ln0", Dim::Hidden).optional(),
    to("blocks.{b}.att.receptance", Role::AttentionQ, Dim::Any, Dim::Hidden).optional(),
    to("blocks.{b}.att.key", Role::AttentionK, Dim::Any, Dim::Hidden).optional(),
    to("blocks.{b}.att.value", Role::AttentionV, Dim::Any, Dim::Hidden).optional(),
    to("blocks.{b}.att.gate", Role::Other, Dim::Any, Dim::Hidden).optional(),
    to("blocks.{b}.att.output", Role::AttentionO, Dim::Hidden, Dim::Any).optional(),
    Row::norm("blocks.{b}.att.ln_x", Dim::Any).optional(),
    to("blocks.{b}.ffn.key", Role::MlpUp, Dim::Any, Dim::Hidden).optional(),
    to("blocks.{b}.ffn.value", Role::MlpDown, Dim::Hidden, Dim::Any).optional(),
    to("blocks.{b}.ffn.receptance", Role::MlpGate, Dim::Hidden, Dim::Hidden).optional(),
];

/// How much of the token before.
const MIX: Shape = Shape::Tensor(&[Dim::Exactly(1), Dim::Exactly(1), Dim::Hidden]);

const fn norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Hidden).biased()
}

const fn to(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input)
}

const fn state(pattern: &'static str, shape: Shape) -> Row {
    Row::bare(pattern, Role::Ssm, Part::Weight, shape).when(LISTED)
}
