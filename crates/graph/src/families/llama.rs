//! Llama and the many that kept its names: Mistral, Qwen 2 and 3, Gemma, SmolLM, Granite, EXAONE 4, Seed-OSS, Hunyuan.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Need, Row, Shape};

/// Gemma wraps attention and MLP in norms on both sides.
const DOUBLE_NORM: Need = Need::For(&["gemma2", "gemma3_text"]);
/// These have only the norms behind them.
const NORM_BEHIND: Need = Need::For(&["exaone4"]);
const HEAD_NORM: Need = Need::AnyOf(&[
    Need::For(&["qwen3", "qwen3_moe", "qwen3_vl", "gemma3_text", "exaone4"]),
    Need::AllOf(&[Need::For(&["glm4_moe"]), Need::Flag("use_qk_norm")]),
]);
const SPELT_OUT: Need = Need::For(&["hunyuan_v1_dense"]);
const ANY_BIAS: Need = Need::Flag("use_bias");
/// Queries, keys and values have a bias and what joins the heads has none, whatever config.json says.
const QWEN2: Need = Need::For(&[
    "qwen2",
    "qwen2_moe",
    "qwen2_vl",
    "qwen2_vl_text",
    "qwen2_5_vl",
    "qwen2_5_vl_text",
]);
/// The map behind the heads goes without in these; Seed-OSS says it apart.
const OUT_BIAS: Need = Need::AnyOf(&[
    Need::AllOf(&[
        Need::Flag("attention_bias"),
        Need::Not(&Need::For(&["seed_oss", "glm", "glm4", "glm4_moe"])),
        Need::Not(&QWEN2),
    ]),
    Need::Flag("attention_out_bias"),
    ANY_BIAS,
]);
const QKV_BIAS: Need = Need::AnyOf(&[Need::Flag("attention_bias"), ANY_BIAS, QWEN2]);
const MLP_BIAS: Need = Need::AnyOf(&[Need::Flag("mlp_bias"), ANY_BIAS]);

pub(super) const FAMILY: Family = Family {
    name: "llama",
    model_types: &[
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "gemma",
        "gemma2",
        "gemma3_text",
        "smollm3",
        "ministral",
        "granite",
        "exaone4",
        "seed_oss",
        "hunyuan_v1_dense",
        "ernie4_5",
        "helium",
    ],
    any_architecture: false,
    tied_by_default: &["gemma", "gemma2", "gemma3_text"],
    telltales: &["layers.{b}.self_attn.q_proj.weight", "layers.{b}.mlp.gate_proj.weight"],
    prefixes: PREFIXES,
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, QKV, MLP],
};

pub(super) const PREFIXES: &[&str] =
    &["model.", "model.language_model.", "language_model.model.", "language_model.", ""];

/// All but q, k, v and the MLP.
pub(super) const FRAME: &[Row] = &[
    EMBEDDING,
    Row::norm("layers.{b}.input_layernorm", Dim::Hidden).when(Need::Not(&NORM_BEHIND)),
    Row::linear("layers.{b}.self_attn.o_proj", Role::AttentionO, Dim::Hidden, Dim::Query)
        .bias(OUT_BIAS),
    Row::buffer("layers.{b}.self_attn.rotary_emb.inv_freq"),
    Row::norm("layers.{b}.post_attention_layernorm", Dim::Hidden),
    Row::norm("norm", Dim::Hidden),
    Row::buffer("rotary_emb.inv_freq"),
    HEAD,
    HEAD_BIAS,
    SCORE,
];

pub(super) const EMBEDDING: Row =
    Row::table("embed_tokens", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden);
pub(super) const HEAD: Row =
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("embed_tokens.weight")
        .outside();
pub(super) const HEAD_BIAS: Row =
    Row::bare("lm_head.bias", Role::Head, Part::Bias, Shape::Vector(Dim::Vocab)).outside();
pub(super) const SCORE: Row =
    Row::linear("score", Role::Head, Dim::Any, Dim::Hidden).optional().outside();

/// Attention with q, k, v apart.
pub(super) const QKV: &[Row] = &[
    Row::linear("layers.{b}.self_attn.q_proj", Role::AttentionQ, Dim::Query, Dim::Hidden)
        .bias(QKV_BIAS),
    Row::linear("layers.{b}.self_attn.k_proj", Role::AttentionK, Dim::KeyValue, Dim::Hidden)
        .bias(QKV_BIAS),
    Row::linear("layers.{b}.self_attn.v_proj", Role::AttentionV, Dim::KeyValue, Dim::Hidden)
        .bias(QKV_BIAS),
    Row::norm("layers.{b}.self_attn.q_norm", Dim::HeadWidth).when(HEAD_NORM),
    Row::norm("layers.{b}.self_attn.k_norm", Dim::HeadWidth).when(HEAD_NORM),
];

pub(super) const MLP: &[Row] = &[
    Row::linear("layers.{b}.mlp.gate_proj", Role::MlpGate, Dim::Inner, Dim::Hidden).bias(MLP_BIAS),
    Row::linear("layers.{b}.mlp.up_proj", Role::MlpUp, Dim::Inner, Dim::Hidden).bias(MLP_BIAS),
    Row::linear("layers.{b}.mlp.down_proj", Role::MlpDown, Dim::Hidden, Dim::Inner).bias(MLP_BIAS),
    Row::norm("layers.{b}.pre_feedforward_layernorm", Dim::Hidden).when(DOUBLE_NORM),
    Row::norm("layers.{b}.post_feedforward_layernorm", Dim::Hidden)
        .when(Need::AnyOf(&[DOUBLE_NORM, NORM_BEHIND])),
    Row::norm("layers.{b}.self_attn.query_layernorm", Dim::HeadWidth).when(SPELT_OUT),
    Row::norm("layers.{b}.self_attn.key_layernorm", Dim::HeadWidth).when(SPELT_OUT),
];
