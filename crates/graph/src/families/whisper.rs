//! Whisper. The encoder's positions are waves, stored all the same; the decoder's are learned. Keys have no
//! bias.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

const DECODER: Need = Need::Not(&Need::Architecture("AudioClassification"));

pub(super) const FAMILY: Family = Family {
    name: "whisper",
    model_types: &["whisper"],
    any_architecture: false,
    tied_by_default: &["whisper"],
    telltales: &["encoder.conv1.weight"],
    prefixes: &["model.", ""],
    stacks: &[("encoder.", Stack::Encoder), ("decoder.", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ENCODER, DECODER_ROWS, HEADS],
};

const ENCODER: &[Row] = &[
    Row::conv("encoder.conv1", &[Dim::Hidden, Dim::Key("num_mel_bins"), Dim::Exactly(3)]).biased(),
    Row::conv("encoder.conv2", &[Dim::Hidden, Dim::Hidden, Dim::Exactly(3)]).biased(),
    positions("encoder.embed_positions"),
    norm("encoder.layers.{b}.self_attn_layer_norm"),
    query_like("encoder.layers.{b}.self_attn.q_proj", Role::AttentionQ).biased(),
    query_like("encoder.layers.{b}.self_attn.k_proj", Role::AttentionK),
    query_like("encoder.layers.{b}.self_attn.v_proj", Role::AttentionV).biased(),
    output("encoder.layers.{b}.self_attn.out_proj"),
    norm("encoder.layers.{b}.final_layer_norm"),
    up("encoder.layers.{b}.fc1"),
    down("encoder.layers.{b}.fc2"),
    norm("encoder.layer_norm"),
];

const DECODER_ROWS: &[Row] = &[
    Row::table("decoder.embed_tokens", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden).when(DECODER),
    positions("decoder.embed_positions").when(DECODER),
    norm("decoder.layers.{b}.self_attn_layer_norm").when(DECODER).biased(),
    query_like("decoder.layers.{b}.self_attn.q_proj", Role::AttentionQ).when(DECODER).biased(),
    query_like("decoder.layers.{b}.self_attn.k_proj", Role::AttentionK).when(DECODER),
    query_like("decoder.layers.{b}.self_attn.v_proj", Role::AttentionV).when(DECODER).biased(),
    output("decoder.layers.{b}.self_attn.out_proj").when(DECODER).biased(),
    // What the encoder heard.
    norm("decoder.layers.{b}.encoder_attn_layer_norm").when(DECODER).biased(),
    query_like("decoder.layers.{b}.encoder_attn.q_proj", Role::AttentionQ).when(DECODER).biased(),
    query_like("decoder.layers.{b}.encoder_attn.k_proj", Role::AttentionK).when(DECODER),
    query_like("decoder.layers.{b}.encoder_attn.v_proj", Role::AttentionV).when(DECODER).biased(),
    output("decoder.layers.{b}.encoder_attn.out_proj").when(DECODER).biased(),
    norm("decoder.layers.{b}.final_layer_norm").when(DECODER).biased(),
    up("decoder.layers.{b}.fc1").when(DECODER).biased(),
    down("decoder.layers.{b}.fc2").when(DECODER).biased(),
    norm("decoder.layer_norm").when(DECODER).biased(),
];

const HEADS: &[Row] = &[
    Row::bare("proj_out.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("decoder.embed_tokens.weight")
        .outside(),
    Row::linear("projector", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
    Row::linear("classifier", Role::Head, Dim::Any, Dim::Any).optional().outside(),
];

const fn positions(pattern: &'static str) -> Row {
    Row::table(pattern, Role::PositionEmbedding, Dim::Positions, Dim::Hidden)
}

const fn norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Hidden).biased()
}

const fn query_like(pattern: &'static str, role: Role) -> Row {
    Row::linear(pattern, role, Dim::Query, Dim::Hidden)
}

const fn output(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::AttentionO, Dim::Hidden, Dim::Query).biased()
}

const fn up(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpUp, Dim::Inner, Dim::Hidden).biased()
}

const fn down(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, Dim::Inner).biased()
}
