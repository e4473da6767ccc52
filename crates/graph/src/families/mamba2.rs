//! Mamba-2: the state in heads, with one rate each. The first map gives the gate, the values, what writes and
//! reads the state, and the rates.

use weightscope_core::{Part, Role, Stack};

use super::mamba;
use crate::family::{Blocks, Dim, Family, Need, Row, Shape};

const BIAS: Need = Need::Flag("use_bias");
/// Heads by features of a head.
const INNER: Dim = Dim::Query;
const WRITE_AND_READ: Dim =
    Dim::Product(&[Dim::Exactly(2), Dim::Key("n_groups"), Dim::Key("state_size")]);
const MIXED: Dim = Dim::Sum(&[INNER, WRITE_AND_READ]);

pub(super) const FAMILY: Family = Family {
    name: "mamba2",
    model_types: &["mamba2"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.mixer.dt_bias"],
    prefixes: &["backbone.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[mamba::FRAME, MIXER],
};

const MIXER: &[Row] = &[
    Row::linear(
        "layers.{b}.mixer.in_proj",
        Role::Ssm,
        Dim::Sum(&[INNER, MIXED, Dim::Heads]),
        Dim::Hidden,
    )
    .bias(BIAS),
    Row::conv("layers.{b}.mixer.conv1d", &[MIXED, Dim::Exactly(1), Dim::Key("conv_kernel")])
        .bias(Need::Unless("use_conv_bias")),
    per_head("layers.{b}.mixer.A_log", Part::Buffer),
    per_head("layers.{b}.mixer.D", Part::Weight),
    per_head("layers.{b}.mixer.dt_bias", Part::Bias),
    Row::norm("layers.{b}.mixer.norm", INNER),
    Row::linear("layers.{b}.mixer.out_proj", Role::Ssm, Dim::Hidden, INNER).bias(BIAS),
];

const fn per_head(pattern: &'static str, part: Part) -> Row {
    Row::bare(pattern, Role::Ssm, part, Shape::Vector(Dim::Heads)).when(Need::Always)
}

/// The mixer of a model that also attends: which has it, which has a norm in it, and in which blocks.
pub(super) const fn beside(need: Need, norm: Need, blocks: Blocks) -> [Row; 8] {
    const INNER: Dim = Dim::Product(&[Dim::Key("mamba_n_heads"), Dim::Key("mamba_d_head")]);
    const HEADS: Dim = Dim::Key("mamba_n_heads");
    const WRITE_AND_READ: Dim =
        Dim::Product(&[Dim::Exactly(2), Dim::Key("mamba_n_groups"), Dim::Key("mamba_d_state")]);
    const MIXED: Dim = Dim::Sum(&[INNER, WRITE_AND_READ]);
    const OF_HEADS: Shape = Shape::Vector(HEADS);
    let bias = Need::Flag("mamba_proj_bias");
    [
        Row::linear(
            "layers.{b}.mamba.in_proj",
            Role::Ssm,
            Dim::Sum(&[INNER, MIXED, HEADS]),
            Dim::Hidden,
        )
        .when(need)
        .bias(bias)
        .in_blocks(blocks),
        Row::conv("layers.{b}.mamba.conv1d", &[MIXED, Dim::Exactly(1), Dim::Key("mamba_d_conv")])
            .when(need)
            .bias(Need::Flag("mamba_conv_bias"))
            .in_blocks(blocks),
        Row::bare("layers.{b}.mamba.A_log", Role::Ssm, Part::Buffer, OF_HEADS)
            .when(need)
            .in_blocks(blocks),
        Row::bare("layers.{b}.mamba.D", Role::Ssm, Part::Weight, OF_HEADS)
            .when(need)
            .in_blocks(blocks),
        Row::bare("layers.{b}.mamba.dt_bias", Role::Ssm, Part::Bias, OF_HEADS)
            .when(need)
            .in_blocks(blocks),
        Row::norm("layers.{b}.mamba.norm", INNER).when(norm).in_blocks(blocks),
        Row::linear("layers.{b}.mamba.out_proj", Role::Ssm, Dim::Hidden, INNER)
            .when(need)
            .bias(bias)
            .in_blocks(blocks),
        Row::buffer("layers.{b}.mamba.mup_vector"),
    ]
}
