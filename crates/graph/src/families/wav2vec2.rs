//! wav2vec 2.0, HuBERT and WavLM: convolutions over the waveform, one for positions, and an encoder.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Blocks, Dim, Family, Need, Row, Shape};

const CTC: Need = Need::Architecture("ForCTC");
const DISTANCES: Need = Need::For(&["wavlm"]);
const EVERY_NORM: Need = Need::Says("feat_extract_norm", "layer");

pub(super) const FAMILY: Family = Family {
    name: "wav2vec2",
    model_types: &["wav2vec2", "hubert", "wavlm"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["encoder.layers.{b}.feed_forward.intermediate_dense.weight"],
    prefixes: &["wav2vec2.", "hubert.", "wavlm.", ""],
    stacks: &[("", Stack::Encoder)],
    inner_per_hidden: None,
    tables: &[EARS, ENCODER, HEADS],
};

const EARS: &[Row] = &[
    Row::conv("feature_extractor.conv_layers.{n}.conv", &[Dim::Any, Dim::Any, Dim::Any])
        .bias(Need::Flag("conv_bias")),
    // In the first layer or in all of them.
    Row::norm("feature_extractor.conv_layers.{n}.layer_norm", Dim::Any).when(EVERY_NORM).biased(),
    Row::norm("feature_projection.layer_norm", Dim::Any)
        .when(Need::Unless("feat_proj_layer_norm"))
        .biased(),
    Row::linear("feature_projection.projection", Role::Other, Dim::Hidden, Dim::Any).biased(),
    // In place of what training hides.
    Row::bare("masked_spec_embed", Role::Other, Part::Weight, Shape::Vector(Dim::Hidden)),
    Row::bare(
        "encoder.pos_conv_embed.conv.bias",
        Role::Conv,
        Part::Bias,
        Shape::Vector(Dim::Hidden),
    )
    .when(Need::Always),
    // A direction and its length, in the two spellings of PyTorch.
    position_conv("encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    position_conv("encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    position_conv("encoder.pos_conv_embed.conv.weight_g"),
    position_conv("encoder.pos_conv_embed.conv.weight_v"),
    Row::norm("encoder.layer_norm", Dim::Hidden).biased(),
];

const ENCODER: &[Row] = &[
    query_like("encoder.layers.{b}.attention.q_proj", Role::AttentionQ),
    query_like("encoder.layers.{b}.attention.k_proj", Role::AttentionK),
    query_like("encoder.layers.{b}.attention.v_proj", Role::AttentionV),
    Row::linear("encoder.layers.{b}.attention.out_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .biased(),
    // WavLM: scores of distances, from buckets and a gate.
    Row::table(
        "encoder.layers.{b}.attention.rel_attn_embed",
        Role::Other,
        Dim::Key("num_buckets"),
        Dim::Heads,
    )
    .when(DISTANCES)
    .in_blocks(Blocks::First),
    Row::bare(
        "encoder.layers.{b}.attention.gru_rel_pos_const",
        Role::Other,
        Part::Weight,
        Shape::Tensor(&[Dim::Exactly(1), Dim::Heads, Dim::Exactly(1), Dim::Exactly(1)]),
    )
    .when(DISTANCES),
    Row::linear(
        "encoder.layers.{b}.attention.gru_rel_pos_linear",
        Role::Other,
        Dim::Exactly(8),
        Dim::HeadWidth,
    )
    .when(DISTANCES)
    .biased(),
    Row::norm("encoder.layers.{b}.layer_norm", Dim::Hidden).biased(),
    Row::linear(
        "encoder.layers.{b}.feed_forward.intermediate_dense",
        Role::MlpUp,
        Dim::Inner,
        Dim::Hidden,
    )
    .biased(),
    Row::linear(
        "encoder.layers.{b}.feed_forward.output_dense",
        Role::MlpDown,
        Dim::Hidden,
        Dim::Inner,
    )
    .biased(),
    Row::norm("encoder.layers.{b}.final_layer_norm", Dim::Hidden).biased(),
    // A language of its own, in the multilingual ones.
    Row::norm("encoder.layers.{b}.adapter_layer.norm", Dim::Hidden).optional(),
    Row::linear("encoder.layers.{b}.adapter_layer.linear_1", Role::MlpUp, Dim::Any, Dim::Hidden)
        .optional(),
    Row::linear("encoder.layers.{b}.adapter_layer.linear_2", Role::MlpDown, Dim::Hidden, Dim::Any)
        .optional(),
];

const HEADS: &[Row] = &[
    Row::linear("lm_head", Role::Head, Dim::Vocab, Dim::Any).when(CTC).biased().outside(),
    Row::linear("projector", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
    Row::linear("classifier", Role::Head, Dim::Any, Dim::Any).optional().outside(),
    // What it is trained with.
    Row::bare("quantizer.codevectors", Role::Other, Part::Weight, Shape::Any).outside(),
    Row::linear("quantizer.weight_proj", Role::Other, Dim::Any, Dim::Any).optional().outside(),
    Row::linear("project_q", Role::Head, Dim::Any, Dim::Any).optional().outside(),
    Row::linear("project_hid", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];

const fn position_conv(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Conv, Part::Weight, Shape::Any)
}

const fn query_like(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden).biased()
}
