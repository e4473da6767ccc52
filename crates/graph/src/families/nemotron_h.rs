//! Nemotron-H: each block is one thing, a Mamba-2 (`M`), attention (`*`), an MLP (`-`) or experts (`E`), as a text in
//! config.json says.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Blocks, Dim, Family, Need, Row, Shape};

const PLAN: &str = "hybrid_override_pattern";
const MAMBA: Blocks = Blocks::Called(PLAN, "M");
const ATTENTION: Blocks = Blocks::Called(PLAN, "*");
const MLP: Blocks = Blocks::Called(PLAN, "-");
const EXPERTS: Blocks = Blocks::Called(PLAN, "E");

const HEADS: Dim = Dim::Key("mamba_num_heads");
const INNER: Dim = Dim::Product(&[HEADS, Dim::Key("mamba_head_dim")]);
const WRITE_AND_READ: Dim =
    Dim::Product(&[Dim::Exactly(2), Dim::Key("n_groups"), Dim::Key("ssm_state_size")]);
const MIXED: Dim = Dim::Sum(&[INNER, WRITE_AND_READ]);
const SHARED: Dim = Dim::Key("moe_shared_expert_intermediate_size");

pub(super) const FAMILY: Family = Family {
    name: "nemotron_h",
    model_types: &["nemotron_h"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.mixer.q_proj.weight"],
    prefixes: &["backbone.", "model.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, STATE, ROWS],
};

const FRAME: &[Row] = &[
    Row::table("embeddings", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::norm("layers.{b}.norm", Dim::Hidden),
    Row::norm("norm_f", Dim::Hidden),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("embeddings.weight")
        .outside(),
];

const STATE: &[Row] = &[
    Row::linear(
        "layers.{b}.mixer.in_proj",
        Role::Ssm,
        Dim::Sum(&[INNER, MIXED, HEADS]),
        Dim::Hidden,
    )
    .bias(Need::Flag("mamba_proj_bias"))
    .in_blocks(MAMBA),
    Row::conv("layers.{b}.mixer.conv1d", &[MIXED, Dim::Exactly(1), Dim::Key("conv_kernel")])
        .bias(Need::Unless("use_conv_bias"))
        .in_blocks(MAMBA),
    per_head("layers.{b}.mixer.A_log", Part::Buffer),
    per_head("layers.{b}.mixer.D", Part::Weight),
    per_head("layers.{b}.mixer.dt_bias", Part::Bias),
    Row::norm("layers.{b}.mixer.norm", INNER).in_blocks(MAMBA),
    Row::linear("layers.{b}.mixer.out_proj", Role::Ssm, Dim::Hidden, INNER)
        .bias(Need::Flag("mamba_proj_bias"))
        .in_blocks(MAMBA),
];

const ROWS: &[Row] = &[
    attention("layers.{b}.mixer.q_proj", Role::AttentionQ, Dim::Query, Dim::Hidden),
    attention("layers.{b}.mixer.k_proj", Role::AttentionK, Dim::KeyValue, Dim::Hidden),
    attention("layers.{b}.mixer.v_proj", Role::AttentionV, Dim::KeyValue, Dim::Hidden),
    attention("layers.{b}.mixer.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query),
    mlp("layers.{b}.mixer.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden).in_blocks(MLP),
    mlp("layers.{b}.mixer.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner).in_blocks(MLP),
    Row::linear("layers.{b}.mixer.gate", Role::Router, Dim::Experts, Dim::Hidden)
        .in_blocks(EXPERTS),
    Row::bare(
        "layers.{b}.mixer.gate.e_score_correction_bias",
        Role::Router,
        Part::Bias,
        Shape::Vector(Dim::Experts),
    )
    .when(Need::Always)
    .in_blocks(EXPERTS),
    mlp("layers.{b}.mixer.experts.{e}.up_proj", Role::MlpUp, Dim::ExpertInner, Dim::Hidden),
    mlp("layers.{b}.mixer.experts.{e}.down_proj", Role::MlpDown, Dim::Hidden, Dim::ExpertInner),
    mlp("layers.{b}.mixer.shared_experts.up_proj", Role::MlpUp, SHARED, Dim::Hidden)
        .in_blocks(EXPERTS),
    mlp("layers.{b}.mixer.shared_experts.down_proj", Role::MlpDown, Dim::Hidden, SHARED)
        .in_blocks(EXPERTS),
];

const fn per_head(pattern: &'static str, part: Part) -> Row {
    Row::bare(pattern, Role::Ssm, part, Shape::Vector(HEADS)).when(Need::Always).in_blocks(MAMBA)
}

const fn attention(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).bias(Need::Flag("attention_bias")).in_blocks(ATTENTION)
}

const fn mlp(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).bias(Need::Flag("mlp_bias"))
}
