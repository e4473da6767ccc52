//! Mamba: in place of attention a state that every token changes. The first map gives values and their gate.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

const BIAS: Need = Need::Flag("use_bias");
const CONV_BIAS: Need = Need::Unless("use_conv_bias");
const STATE: Dim = Dim::Key("state_size");
const RANK: Dim = Dim::Key("time_step_rank");

pub(super) const FAMILY: Family = Family {
    name: "mamba",
    model_types: &["mamba", "falcon_mamba"],
    any_architecture: false,
    tied_by_default: &["mamba", "falcon_mamba"],
    telltales: &["layers.{b}.mixer.x_proj.weight"],
    prefixes: &["backbone.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: Some(2),
    tables: &[FRAME, MIXER],
};

/// As its authors save it, without a `model_type` and with tokens counted up to a multiple of 8.
const ORIGINAL: Need = Need::Not(&Need::For(&["mamba", "mamba2", "falcon_mamba"]));

pub(super) const FRAME: &[Row] = &[
    Row::table("embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden)
        .when(Need::Not(&ORIGINAL)),
    Row::table("embedding", Role::TokenEmbedding, Dim::Any, Dim::Hidden).when(ORIGINAL),
    Row::norm("layers.{b}.norm", Dim::Hidden),
    Row::norm("norm_f", Dim::Hidden),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Any, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("embeddings.weight")
        .outside(),
];

const MIXER: &[Row] = &[
    Row::linear(
        "layers.{b}.mixer.in_proj",
        Role::Ssm,
        Dim::Product(&[Dim::Exactly(2), Dim::Inner]),
        Dim::Hidden,
    )
    .bias(BIAS),
    Row::conv("layers.{b}.mixer.conv1d", &[Dim::Inner, Dim::Exactly(1), Dim::Key("conv_kernel")])
        .bias(CONV_BIAS),
    Row::linear("layers.{b}.mixer.x_proj", Role::Ssm, Dim::Sum(&[RANK, STATE, STATE]), Dim::Inner),
    Row::linear("layers.{b}.mixer.dt_proj", Role::Ssm, Dim::Inner, RANK).biased(),
    Row::bare(
        "layers.{b}.mixer.A_log",
        Role::Ssm,
        Part::Buffer,
        Shape::Tensor(&[Dim::Inner, STATE]),
    )
    .when(Need::Always),
    Row::bare("layers.{b}.mixer.D", Role::Ssm, Part::Weight, Shape::Vector(Dim::Inner))
        .when(Need::Always),
    Row::linear("layers.{b}.mixer.out_proj", Role::Ssm, Dim::Hidden, Dim::Inner).bias(BIAS),
];
