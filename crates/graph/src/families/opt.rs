//! OPT. Its learned positions begin at 2, and the smallest but one embeds in another width than it computes
//! in, with the norms behind attention and MLP.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

const BIAS: Need = Need::Unless("enable_bias");
const AFFINE: Need = Need::Unless("layer_norm_elementwise_affine");
/// Without norms before attention and MLP there is none at the end.
const FINAL_NORM: Need = Need::AllOf(&[
    AFFINE,
    Need::Unless("do_layer_norm_before"),
    Need::Not(&Need::Flag("_remove_final_layer_norm")),
]);
const EMBEDDING: Dim = Dim::Key("word_embed_proj_dim");

pub(super) const FAMILY: Family = Family {
    name: "opt",
    model_types: &["opt"],
    any_architecture: false,
    tied_by_default: &["opt"],
    telltales: &["decoder.final_layer_norm.weight", "decoder.project_in.weight"],
    prefixes: &["model.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("decoder.embed_tokens", Role::TokenEmbedding, Dim::Vocab, EMBEDDING),
    Row::table(
        "decoder.embed_positions",
        Role::PositionEmbedding,
        Dim::Sum(&[Dim::Positions, Dim::Exactly(2)]),
        Dim::Hidden,
    ),
    // They are there when the two widths differ.
    Row::linear("decoder.project_in", Role::Other, Dim::Hidden, EMBEDDING).optional(),
    Row::linear("decoder.project_out", Role::Other, EMBEDDING, Dim::Hidden).optional(),
    query_like("decoder.layers.{b}.self_attn.q_proj", Role::AttentionQ),
    query_like("decoder.layers.{b}.self_attn.k_proj", Role::AttentionK),
    query_like("decoder.layers.{b}.self_attn.v_proj", Role::AttentionV),
    Row::linear("decoder.layers.{b}.self_attn.out_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .bias(BIAS),
    norm("decoder.layers.{b}.self_attn_layer_norm", AFFINE),
    Row::linear("decoder.layers.{b}.fc1", Role::MlpUp, Dim::Inner, Dim::Hidden).bias(BIAS),
    Row::linear("decoder.layers.{b}.fc2", Role::MlpDown, Dim::Hidden, Dim::Inner).bias(BIAS),
    norm("decoder.layers.{b}.final_layer_norm", AFFINE),
    norm("decoder.final_layer_norm", FINAL_NORM),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, EMBEDDING))
        .when(Need::UntiedHead)
        .tied_to("decoder.embed_tokens.weight")
        .outside(),
    Row::linear("score", Role::Head, Dim::Any, EMBEDDING).optional().outside(),
];

const fn query_like(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden).bias(BIAS)
}

const fn norm(pattern: &'static str, need: Need) -> Row {
    Row::norm(pattern, Dim::Hidden).when(need).biased()
}
