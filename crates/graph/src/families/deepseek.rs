//! DeepSeek V2 and V3: attention through low-rank maps that heads share, and experts of which some see every
//! token. V3 goes on after the last block with one that predicts the token after the next.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Blocks, Dim, Family, Need, Row, Shape};

/// The smaller ones compress no queries.
const QUERY_RANK: Need = Need::Has("q_lora_rank");
const BIAS: Need = Need::Flag("attention_bias");
const CORRECTED: Need = Need::For(&["deepseek_v3", "glm4_moe"]);
const EXPERTS: Blocks = Blocks::From("first_k_dense_replace");
const DENSE: Blocks = Blocks::Below("first_k_dense_replace");

const KEY_RANK: Dim = Dim::Key("kv_lora_rank");
const VALUES: Dim = Dim::Product(&[Dim::Heads, Dim::Key("v_head_dim")]);
const SHARED: Dim = Dim::Product(&[Dim::ExpertInner, Dim::Key("n_shared_experts")]);

pub(super) const FAMILY: Family = Family {
    name: "deepseek",
    model_types: &["deepseek_v2", "deepseek_v3"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["layers.{b}.self_attn.kv_a_proj_with_mqa.weight"],
    prefixes: &["model.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, ATTENTION, MLP, NEXT],
};

const FRAME: &[Row] = &[
    Row::table("embed_tokens", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden),
    Row::norm("layers.{b}.post_attention_layernorm", Dim::Hidden),
    Row::norm("norm", Dim::Hidden),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("embed_tokens.weight")
        .outside(),
    Row::linear("score", Role::Head, Dim::Any, Dim::Hidden).optional().outside(),
];

const ATTENTION: &[Row] = &[
    Row::linear("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query, Dim::Hidden)
        .when(Need::Not(&QUERY_RANK)),
    Row::linear(
        "layers.{b}.self_attn.q_a_proj",
        Role::AttentionQDown,
        Dim::Key("q_lora_rank"),
        Dim::Hidden,
    )
    .when(QUERY_RANK)
    .bias(Need::AllOf(&[QUERY_RANK, BIAS])),
    Row::norm("layers.{b}.self_attn.q_a_layernorm", Dim::Key("q_lora_rank")).when(QUERY_RANK),
    Row::linear(
        "layers.{b}.self_attn.q_b_proj",
        Role::AttentionQUp,
        Dim::Query,
        Dim::Key("q_lora_rank"),
    )
    .when(QUERY_RANK),
    // Behind the compressed keys and values stands the one key that is turned by the position.
    Row::linear(
        "layers.{b}.self_attn.kv_a_proj_with_mqa",
        Role::AttentionKvDown,
        Dim::Sum(&[KEY_RANK, Dim::Key("qk_rope_head_dim")]),
        Dim::Hidden,
    )
    .bias(BIAS),
    Row::norm("layers.{b}.self_attn.kv_a_layernorm", KEY_RANK),
    Row::linear(
        "layers.{b}.self_attn.kv_b_proj",
        Role::AttentionKvUp,
        Dim::Sum(&[Dim::Product(&[Dim::Heads, Dim::Key("qk_nope_head_dim")]), VALUES]),
        KEY_RANK,
    ),
    Row::linear("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, VALUES).bias(BIAS),
    Row::buffer("layers.{b}.self_attn.rotary_emb.inv_freq"),
];

// Experts are required by number: where a block has some of them, it must have all.
pub(super) const MLP: &[Row] = &[
    Row::linear("layers.{b}.mlp.gate_proj", Role::MlpGate, Dim::Inner, Dim::Hidden)
        .in_blocks(DENSE),
    Row::linear("layers.{b}.mlp.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden).in_blocks(DENSE),
    Row::linear("layers.{b}.mlp.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner)
        .in_blocks(DENSE),
    Row::linear("layers.{b}.mlp.gate", Role::Router, Dim::Experts, Dim::Hidden).in_blocks(EXPERTS),
    Row::bare(
        "layers.{b}.mlp.gate.e_score_correction_bias",
        Role::Router,
        Part::Bias,
        Shape::Vector(Dim::Experts),
    )
    .when(CORRECTED)
    .in_blocks(EXPERTS),
    Row::linear(
        "layers.{b}.mlp.experts.{e}.gate_proj",
        Role::MlpGate,
        Dim::ExpertInner,
        Dim::Hidden,
    ),
    Row::linear("layers.{b}.mlp.experts.{e}.up_proj", Role::MlpUp, Dim::ExpertInner, Dim::Hidden),
    Row::linear(
        "layers.{b}.mlp.experts.{e}.down_proj",
        Role::MlpDown,
        Dim::Hidden,
        Dim::ExpertInner,
    ),
    shared("layers.{b}.mlp.shared_experts.gate_proj", Role::MlpGate, SHARED, Dim::Hidden),
    shared("layers.{b}.mlp.shared_experts.up_proj", Role::MlpUp, SHARED, Dim::Hidden),
    shared("layers.{b}.mlp.shared_experts.down_proj", Role::MlpDown, Dim::Hidden, SHARED),
];

// What a block that predicts one token further has beside the rest. It is often left out when saving.
pub(super) const NEXT: &[Row] = &[
    Row::table("layers.{b}.embed_tokens", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden).optional(),
    Row::norm("layers.{b}.enorm", Dim::Hidden).optional(),
    Row::norm("layers.{b}.hnorm", Dim::Hidden).optional(),
    Row::linear(
        "layers.{b}.eh_proj",
        Role::Other,
        Dim::Hidden,
        Dim::Product(&[Dim::Exactly(2), Dim::Hidden]),
    )
    .optional(),
    Row::norm("layers.{b}.shared_head.norm", Dim::Hidden).optional(),
    Row::linear("layers.{b}.shared_head.head", Role::Head, Dim::Vocab, Dim::Hidden).optional(),
];

const fn shared(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).when(Need::Has("n_shared_experts")).in_blocks(EXPERTS)
}
