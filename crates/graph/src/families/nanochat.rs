//! nanochat: GPT-2's frame with q, k, v apart, stored `[out, in]`, and norms that have no weights; and the same
//! model with Llama's names.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

const LLAMA_NAMES: Need = Need::For(&["nanochat"]);
const OWN_NAMES: Need = Need::Not(&LLAMA_NAMES);
const HEAD: Need = Need::AnyOf(&[OWN_NAMES, Need::UntiedHead]);

pub(super) const FAMILY: Family = Family {
    name: "nanochat",
    model_types: &["nanochat"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["h.{b}.attn.c_q.weight"],
    prefixes: &["transformer.", "model.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: Some(4),
    tables: &[OWN, FRAME, LLAMA],
};

// Tokens are counted up to a multiple of 64.
const OWN: &[Row] = &[
    Row::table("wte", Role::TokenEmbedding, Dim::Any, Dim::Hidden).when(OWN_NAMES),
    Row::linear("h.{b}.attn.c_q", Role::AttentionQ, Dim::Query, Dim::Hidden).when(OWN_NAMES),
    Row::linear("h.{b}.attn.c_k", Role::AttentionK, Dim::KeyValue, Dim::Hidden).when(OWN_NAMES),
    Row::linear("h.{b}.attn.c_v", Role::AttentionV, Dim::KeyValue, Dim::Hidden).when(OWN_NAMES),
    Row::linear("h.{b}.attn.c_proj", Role::AttentionO, Dim::Hidden, Dim::Query).when(OWN_NAMES),
    // How much of the embedded value each head takes.
    Row::linear("h.{b}.attn.ve_gate", Role::Other, Dim::Any, Dim::Any).optional(),
    Row::linear("h.{b}.mlp.c_fc", Role::MlpUp, Dim::Inner, Dim::Hidden).when(OWN_NAMES),
    Row::linear("h.{b}.mlp.c_proj", Role::MlpDown, Dim::Hidden, Dim::Inner).when(OWN_NAMES),
];

const FRAME: &[Row] = &[
    // Tokens as values, in some of the blocks.
    Row::table("value_embeds.{b}", Role::TokenEmbedding, Dim::Any, Dim::KeyValue)
        .optional()
        .outside(),
    lambdas("resid_lambdas"),
    lambdas("x0_lambdas"),
    Row::linear("smear_gate", Role::Other, Dim::Any, Dim::Any).optional().outside(),
    lambda("smear_lambda"),
    lambda("backout_lambda"),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Any, Dim::Hidden))
        .when(HEAD)
        .tied_to("wte.weight")
        .outside(),
];

const LLAMA: &[Row] = &[
    Row::table("embed_tokens", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden).when(LLAMA_NAMES),
    Row::linear("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query, Dim::Hidden)
        .when(LLAMA_NAMES),
    Row::linear("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue, Dim::Hidden)
        .when(LLAMA_NAMES),
    Row::linear("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue, Dim::Hidden)
        .when(LLAMA_NAMES),
    Row::linear("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .when(LLAMA_NAMES),
    Row::linear("layers.{b}.mlp.fc1", Role::MlpUp, Dim::Inner, Dim::Hidden).when(LLAMA_NAMES),
    Row::linear("layers.{b}.mlp.fc2", Role::MlpDown, Dim::Hidden, Dim::Inner).when(LLAMA_NAMES),
];

const fn lambdas(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Other, Part::Buffer, Shape::Any).outside()
}

const fn lambda(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Other, Part::Weight, Shape::Any).outside()
}
