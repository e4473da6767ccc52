//! The names of GGUF, which are the same for all architectures. What belongs to which is told by `model_type`, and by
//! what the loader says of the tensors where converters have a choice (`has_fused_attention`, `has_stacked_experts`,
//! `has_gated_mlp`).
//!
//! Source: llama.cpp's gguf-py `constants.py` (`TENSOR_NAMES`) and `tensor_mapping.py`, and for what must be there the
//! models of its `src/models`.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Blocks, Dim, Family, Fused, Need, Row, Shape};

/// Models that predict the next token.
pub(super) const DECODER: Family = Family {
    name: "gguf",
    model_types: &[
        "llama",
        "mistral",
        "mixtral",
        "qwen",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "gemma",
        "gemma2",
        "gemma3_text",
        "smollm3",
        "gpt2",
        "gpt_neox",
        "bloom",
        "falcon",
        "phi",
        "deepseek_v2",
        "deepseek_v3",
        "mamba",
        "mamba2",
    ],
    any_architecture: true,
    tied_by_default: &[],
    telltales: &[
        "blk.{b}.attn_norm.weight",
        "blk.{b}.attn_q.weight",
        "blk.{b}.attn_qkv.weight",
        "blk.{b}.attn_output.weight",
        "blk.{b}.ffn_up.weight",
        "blk.{b}.ffn_up_exps.weight",
        "blk.{b}.ssm_in.weight",
        "token_embd.weight",
    ],
    prefixes: &[""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[FRAME, ATTENTION, LATENT, MLP, EXPERTS, STATE, NEXT, RARE],
};

/// Phi-3 and others whose gate and up are one.
pub(super) const JOINED: Family = Family {
    model_types: &["phi3", "glm4", "chatglm"],
    telltales: &[],
    tables: &[FRAME, ATTENTION, JOINED_MLP, RARE],
    ..DECODER
};

/// BERT and its relatives.
pub(super) const ENCODER: Family = Family {
    model_types: &["bert", "nomic_bert"],
    telltales: &["blk.{b}.attn_output_norm.weight", "token_types.weight"],
    stacks: &[("", Stack::Encoder)],
    tables: &[BERT, RARE],
    ..DECODER
};

/// T5.
pub(super) const TWO_STACKS: Family = Family {
    model_types: &["t5"],
    telltales: &["enc.blk.{b}.attn_q.weight", "dec.blk.{b}.attn_q.weight"],
    stacks: &[("enc.", Stack::Encoder), ("dec.", Stack::Decoder)],
    tables: &[T5],
    ..DECODER
};

/// The eyes of a model, which are a file of their own. There are too many for the table to be complete.
pub(super) const EYES: Family = Family {
    model_types: &[],
    telltales: &["v.blk.{b}.attn_q.weight", "v.blk.{b}.attn_qkv.weight", "v.patch_embd.weight"],
    stacks: &[("v.", Stack::Vision)],
    tables: &[VISION],
    ..DECODER
};

// What some models have and others do not.

const LAYER_NORM: Need = Need::For(&["gpt2", "gpt_neox", "bloom", "falcon", "phi"]);
const HEAD_NORM: Need = Need::For(&["qwen3", "qwen3_moe", "gemma3_text"]);
const DOUBLE_NORM: Need = Need::For(&["gemma2", "gemma3_text"]);
const STATE_ONLY: Need = Need::For(&["mamba", "mamba2"]);
const DEEPSEEK: Need = Need::For(&["deepseek_v2", "deepseek_v3"]);
const JOINED_QKV: Need = Need::Flag("has_fused_attention");

/// Attention as most have it.
const ATTENDS: Need = Need::Not(&STATE_ONLY);
const SEPARATE: Need = Need::AllOf(&[ATTENDS, Need::Not(&JOINED_QKV), Need::Not(&DEEPSEEK)]);
/// Falcon's and Phi's MLPs share the norm of attention.
const SECOND_NORM: Need = Need::AllOf(&[ATTENDS, Need::Not(&Need::For(&["falcon", "phi"]))]);
const QKV_BIAS: Need = Need::AnyOf(&[
    Need::For(&["gpt2", "gpt_neox", "bloom", "phi", "qwen", "qwen2", "qwen2_moe"]),
    Need::Flag("attention_bias"),
]);
const SEPARATE_BIAS: Need = Need::AllOf(&[SEPARATE, QKV_BIAS]);
const LINEAR_BIAS: Need = Need::For(&["gpt2", "gpt_neox", "bloom", "phi"]);

const MIXED: Need = Need::For(&["mixtral", "qwen2_moe", "qwen3_moe"]);
const DENSE: Need = Need::AllOf(&[ATTENDS, Need::Not(&Need::AnyOf(&[MIXED, DEEPSEEK]))]);
const GATED: Need = Need::AllOf(&[DENSE, Need::Not(&LAYER_NORM)]);
/// DeepSeek's first blocks have none.
const LATER: Blocks = Blocks::From("first_k_dense_replace");
const STACKED: Need =
    Need::AllOf(&[Need::AnyOf(&[MIXED, DEEPSEEK]), Need::Flag("has_stacked_experts")]);

const TWICE_HIDDEN: Dim = Dim::Product(&[Dim::Exactly(2), Dim::Hidden]);

const FRAME: &[Row] = &[
    Row::table("token_embd", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    norm("token_embd_norm").when(Need::For(&["bloom"])).biased(),
    Row::table("position_embd", Role::PositionEmbedding, Dim::Positions, Dim::Hidden)
        .when(Need::For(&["gpt2"])),
    norm("output_norm").bias(LAYER_NORM),
    // Where it is absent, the token embedding is the head: the loader says which.
    Row::linear("output", Role::Head, Dim::Vocab, Dim::Hidden)
        .when(Need::Not(&Need::Unless("tie_word_embeddings")))
        .bias(Need::For(&["phi"])),
    Row::buffer("rope_freqs.weight"),
    Row::buffer("rope_factors_long.weight"),
    Row::buffer("rope_factors_short.weight"),
    Row::buffer("blk.{b}.rope_freqs.weight"),
    Row::buffer("blk.{b}.attn_rot_embd.weight"),
];

const ATTENTION: &[Row] = &[
    norm("blk.{b}.attn_norm").bias(LAYER_NORM),
    norm("blk.{b}.attn_norm_2").optional(),
    Row::linear("blk.{b}.attn_qkv", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .when(Need::AllOf(&[ATTENDS, JOINED_QKV]))
        .bias(Need::AllOf(&[JOINED_QKV, QKV_BIAS]))
        // Converters put all of q before all of k, whatever the original does.
        .fused(Fused::Qkv),
    Row::linear("blk.{b}.attn_q", Role::AttentionQ, Dim::Query, Dim::Hidden)
        .when(Need::AnyOf(&[
            SEPARATE,
            Need::AllOf(&[DEEPSEEK, Need::Not(&Need::Has("q_lora_rank"))]),
        ]))
        .bias(SEPARATE_BIAS),
    Row::linear("blk.{b}.attn_k", Role::AttentionK, Dim::KeyValue, Dim::Hidden)
        .when(SEPARATE)
        .bias(SEPARATE_BIAS),
    Row::linear("blk.{b}.attn_v", Role::AttentionV, Dim::KeyValue, Dim::Hidden)
        .when(SEPARATE)
        .bias(SEPARATE_BIAS),
    Row::linear("blk.{b}.attn_output", Role::AttentionO, Dim::Hidden, Dim::Values)
        .when(ATTENDS)
        .bias(LINEAR_BIAS),
    Row::norm("blk.{b}.attn_q_norm", Dim::HeadWidth).when(HEAD_NORM),
    Row::norm("blk.{b}.attn_k_norm", Dim::HeadWidth).when(HEAD_NORM),
    Row::bare("blk.{b}.attn_sinks.weight", Role::Other, Part::Weight, Shape::Vector(Dim::Heads)),
    norm("blk.{b}.post_attention_norm").when(DOUBLE_NORM),
    norm("blk.{b}.ffn_norm").when(SECOND_NORM).bias(Need::AllOf(&[SECOND_NORM, LAYER_NORM])),
    norm("blk.{b}.post_ffw_norm").when(DOUBLE_NORM),
];

const KEY_RANK: Dim = Dim::Key("kv_lora_rank");
const QUERY_RANK: Dim = Dim::Key("q_lora_rank");
const COMPRESSED: Need = Need::AllOf(&[DEEPSEEK, Need::Has("q_lora_rank")]);

/// DeepSeek's low-rank maps. The one of keys and values is cut in two in newer files, a matrix for each head.
const LATENT: &[Row] = &[
    Row::linear("blk.{b}.attn_q_a", Role::AttentionQDown, QUERY_RANK, Dim::Hidden).when(COMPRESSED),
    Row::norm("blk.{b}.attn_q_a_norm", QUERY_RANK).when(COMPRESSED),
    Row::linear("blk.{b}.attn_q_b", Role::AttentionQUp, Dim::Query, QUERY_RANK).when(COMPRESSED),
    Row::linear(
        "blk.{b}.attn_kv_a_mqa",
        Role::AttentionKvDown,
        Dim::Sum(&[KEY_RANK, Dim::Key("qk_rope_head_dim")]),
        Dim::Hidden,
    )
    .when(DEEPSEEK),
    Row::norm("blk.{b}.attn_kv_a_norm", KEY_RANK).when(DEEPSEEK),
    Row::linear(
        "blk.{b}.attn_kv_b",
        Role::AttentionKvUp,
        Dim::Sum(&[Dim::Product(&[Dim::Heads, Dim::Key("qk_nope_head_dim")]), Dim::Values]),
        KEY_RANK,
    )
    .optional(),
    Row::bare("blk.{b}.attn_k_b.weight", Role::AttentionKvUp, Part::Weight, Shape::Any),
    Row::bare("blk.{b}.attn_v_b.weight", Role::AttentionKvUp, Part::Weight, Shape::Any),
];

const MLP: &[Row] = &[
    Row::linear("blk.{b}.ffn_gate", Role::MlpGate, Dim::Inner, Dim::Hidden).when(GATED),
    Row::linear("blk.{b}.ffn_up", Role::MlpUp, Dim::Inner, Dim::Hidden)
        .when(DENSE)
        .bias(LINEAR_BIAS),
    Row::linear("blk.{b}.ffn_down", Role::MlpDown, Dim::Hidden, Dim::Inner)
        .when(DENSE)
        .bias(LINEAR_BIAS),
    Row::bare("blk.{b}.ffn_act.scales", Role::Other, Part::Weight, Shape::Any),
];

const JOINED_MLP: &[Row] = &[
    Row::linear("blk.{b}.ffn_up", Role::MlpGateUp, Dim::GateUp, Dim::Hidden).fused(Fused::GateUp),
    Row::linear("blk.{b}.ffn_down", Role::MlpDown, Dim::Hidden, Dim::Inner),
];

const SHARED: Dim = Dim::Any;

// Old files of Mixtral have a tensor for each expert.
const EXPERTS: &[Row] = &[
    Row::linear("blk.{b}.ffn_gate_inp", Role::Router, Dim::Experts, Dim::Hidden)
        .when(Need::AnyOf(&[MIXED, DEEPSEEK]))
        .in_blocks(LATER),
    stacked("blk.{b}.ffn_gate_exps.weight", Role::MlpGate, Dim::ExpertInner, Dim::Hidden),
    stacked("blk.{b}.ffn_up_exps.weight", Role::MlpUp, Dim::ExpertInner, Dim::Hidden),
    stacked("blk.{b}.ffn_down_exps.weight", Role::MlpDown, Dim::Hidden, Dim::ExpertInner),
    Row::stacked(
        "blk.{b}.ffn_gate_up_exps.weight",
        Role::MlpGateUp,
        Dim::ExpertGateUp,
        Dim::Hidden,
    ),
    stacked_bias("blk.{b}.ffn_gate_exps.bias", Role::MlpGate),
    stacked_bias("blk.{b}.ffn_up_exps.bias", Role::MlpUp),
    stacked_bias("blk.{b}.ffn_down_exps.bias", Role::MlpDown),
    stacked_bias("blk.{b}.ffn_gate_up_exps.bias", Role::MlpGateUp),
    Row::linear("blk.{b}.ffn_gate.{e}", Role::MlpGate, Dim::ExpertInner, Dim::Hidden)
        .when(Need::For(&["mixtral"])),
    Row::linear("blk.{b}.ffn_up.{e}", Role::MlpUp, Dim::ExpertInner, Dim::Hidden)
        .when(Need::For(&["mixtral"])),
    Row::linear("blk.{b}.ffn_down.{e}", Role::MlpDown, Dim::Hidden, Dim::ExpertInner)
        .when(Need::For(&["mixtral"])),
    shared("blk.{b}.ffn_gate_shexp", Role::MlpGate, SHARED, Dim::Hidden),
    shared("blk.{b}.ffn_up_shexp", Role::MlpUp, SHARED, Dim::Hidden),
    shared("blk.{b}.ffn_down_shexp", Role::MlpDown, Dim::Hidden, SHARED),
    // One score for each token, stored as a vector.
    Row::bare("blk.{b}.ffn_gate_inp_shexp.weight", Role::Router, Part::Weight, Shape::Any)
        .when(Need::For(&["qwen2_moe"])),
    Row::bare("blk.{b}.exp_probs_b.bias", Role::Router, Part::Bias, Shape::Vector(Dim::Experts)),
    Row::bare("blk.{b}.exp_probs_b", Role::Router, Part::Bias, Shape::Vector(Dim::Experts)),
    Row::linear("blk.{b}.ffn_gate_chexps", Role::MlpGate, Dim::Any, Dim::Any).optional(),
    Row::linear("blk.{b}.ffn_up_chexps", Role::MlpUp, Dim::Any, Dim::Any).optional(),
    Row::linear("blk.{b}.ffn_down_chexps", Role::MlpDown, Dim::Any, Dim::Any).optional(),
    norm("blk.{b}.ffn_norm_exps").optional(),
];

const MAMBA: Need = Need::For(&["mamba"]);
const MAMBA2: Need = Need::For(&["mamba2"]);
const RANK: Dim = Dim::Key("time_step_rank");
const STATE_SIZE: Dim = Dim::Key("state_size");

/// Mamba's and what hybrids have of it. `ssm_a` is the rate itself, not its logarithm.
const STATE: &[Row] = &[
    Row::linear("blk.{b}.ssm_in", Role::Ssm, Dim::Any, Dim::Hidden).when(STATE_ONLY),
    Row::linear("blk.{b}.ssm_conv1d", Role::Conv, Dim::Any, Dim::Key("conv_kernel"))
        .when(STATE_ONLY)
        .bias(STATE_ONLY),
    Row::linear("blk.{b}.ssm_x", Role::Ssm, Dim::Sum(&[RANK, STATE_SIZE, STATE_SIZE]), Dim::Inner)
        .when(MAMBA),
    Row::linear("blk.{b}.ssm_dt", Role::Ssm, Dim::Any, RANK).when(MAMBA).bias(STATE_ONLY),
    Row::bare("blk.{b}.ssm_a", Role::Ssm, Part::Buffer, Shape::Any).when(STATE_ONLY),
    Row::bare("blk.{b}.ssm_d", Role::Ssm, Part::Weight, Shape::Any).when(STATE_ONLY),
    Row::linear("blk.{b}.ssm_out", Role::Ssm, Dim::Hidden, Dim::Inner).when(STATE_ONLY),
    Row::bare("blk.{b}.ssm_norm.weight", Role::Norm, Part::Weight, Shape::Any).when(MAMBA2),
    Row::norm("blk.{b}.ssm_dt_norm", Dim::Any).optional(),
    Row::norm("blk.{b}.ssm_b_norm", Dim::Any).optional(),
    Row::norm("blk.{b}.ssm_c_norm", Dim::Any).optional(),
    Row::linear("blk.{b}.ssm_alpha", Role::Ssm, Dim::Any, Dim::Any).optional(),
    Row::linear("blk.{b}.ssm_beta", Role::Ssm, Dim::Any, Dim::Any).optional(),
    Row::linear("blk.{b}.ssm_ba", Role::Ssm, Dim::Any, Dim::Hidden).optional(),
    Row::linear("blk.{b}.shortconv.in_proj", Role::Ssm, Dim::Any, Dim::Hidden).optional(),
    Row::linear("blk.{b}.shortconv.out_proj", Role::Ssm, Dim::Hidden, Dim::Any).optional(),
    Row::linear("blk.{b}.shortconv.conv", Role::Conv, Dim::Any, Dim::Any).optional(),
];

// What a block that predicts one token further has beside the rest.
const NEXT: &[Row] = &[
    Row::table("blk.{b}.nextn.embed_tokens", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden)
        .optional(),
    norm("blk.{b}.nextn.enorm").optional(),
    norm("blk.{b}.nextn.hnorm").optional(),
    Row::linear("blk.{b}.nextn.eh_proj", Role::Other, Dim::Hidden, TWICE_HIDDEN).optional(),
    norm("blk.{b}.nextn.shared_head_norm").optional(),
    Row::linear("blk.{b}.nextn.shared_head_head", Role::Head, Dim::Vocab, Dim::Hidden).optional(),
];

const BERT_ONLY: Need = Need::For(&["bert"]);
const BERT_SEPARATE: Need = Need::Not(&JOINED_QKV);
const BERT_SEPARATE_BIAS: Need = Need::AllOf(&[BERT_ONLY, BERT_SEPARATE]);

const BERT: &[Row] = &[
    Row::table("token_embd", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    norm("token_embd_norm").biased(),
    Row::table("position_embd", Role::PositionEmbedding, Dim::Positions, Dim::Hidden)
        .when(BERT_ONLY),
    Row::table("token_types", Role::TypeEmbedding, Dim::TokenTypes, Dim::Hidden).optional(),
    Row::linear("blk.{b}.attn_qkv", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .when(JOINED_QKV)
        .fused(Fused::Qkv),
    bert_part("blk.{b}.attn_q", Role::AttentionQ, Dim::Query),
    bert_part("blk.{b}.attn_k", Role::AttentionK, Dim::KeyValue),
    bert_part("blk.{b}.attn_v", Role::AttentionV, Dim::KeyValue),
    Row::linear("blk.{b}.attn_output", Role::AttentionO, Dim::Hidden, Dim::Query).bias(BERT_ONLY),
    norm("blk.{b}.attn_output_norm").biased(),
    norm("blk.{b}.attn_norm").optional(),
    norm("blk.{b}.attn_norm_2").optional(),
    norm("blk.{b}.attn_q_norm").optional(),
    norm("blk.{b}.attn_k_norm").optional(),
    norm("blk.{b}.ffn_norm").optional(),
    Row::linear("blk.{b}.ffn_gate", Role::MlpGate, Dim::Inner, Dim::Hidden)
        .when(Need::For(&["nomic_bert"])),
    Row::linear("blk.{b}.ffn_up", Role::MlpUp, Dim::Inner, Dim::Hidden).bias(BERT_ONLY),
    Row::linear("blk.{b}.ffn_down", Role::MlpDown, Dim::Hidden, Dim::Inner).bias(BERT_ONLY),
    norm("blk.{b}.layer_output_norm").biased(),
    Row::linear("blk.{b}.ffn_gate_inp", Role::Router, Dim::Experts, Dim::Hidden).optional(),
    Row::stacked("blk.{b}.ffn_up_exps.weight", Role::MlpUp, Dim::ExpertInner, Dim::Hidden),
    Row::stacked("blk.{b}.ffn_down_exps.weight", Role::MlpDown, Dim::Hidden, Dim::ExpertInner),
    norm("output_norm").optional(),
    Row::buffer("rope_freqs.weight"),
];

const T5_DECODER: Need = Need::Has("num_decoder_layers");
const T5_GATED: Need = Need::Flag("has_gated_mlp");
const DECODER_GATED: Need = Need::AllOf(&[T5_DECODER, T5_GATED]);

const T5: &[Row] = &[
    Row::table("token_embd", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    norm("enc.output_norm"),
    norm("dec.output_norm").when(T5_DECODER),
    Row::linear("output", Role::Head, Dim::Vocab, Dim::Hidden).optional(),
    norm("enc.blk.{b}.attn_norm"),
    distances("enc.blk.{b}.attn_rel_b.weight"),
    Row::linear("enc.blk.{b}.attn_q", Role::AttentionQ, Dim::Query, Dim::Hidden),
    Row::linear("enc.blk.{b}.attn_k", Role::AttentionK, Dim::Query, Dim::Hidden),
    Row::linear("enc.blk.{b}.attn_v", Role::AttentionV, Dim::Query, Dim::Hidden),
    Row::linear("enc.blk.{b}.attn_o", Role::AttentionO, Dim::Hidden, Dim::Query),
    norm("enc.blk.{b}.ffn_norm"),
    Row::linear("enc.blk.{b}.ffn_gate", Role::MlpGate, Dim::Inner, Dim::Hidden).when(T5_GATED),
    Row::linear("enc.blk.{b}.ffn_up", Role::MlpUp, Dim::Inner, Dim::Hidden),
    Row::linear("enc.blk.{b}.ffn_down", Role::MlpDown, Dim::Hidden, Dim::Inner),
    norm("dec.blk.{b}.attn_norm").when(T5_DECODER),
    distances("dec.blk.{b}.attn_rel_b.weight"),
    t5("dec.blk.{b}.attn_q", Role::AttentionQ, Dim::Query, Dim::Hidden),
    t5("dec.blk.{b}.attn_k", Role::AttentionK, Dim::Query, Dim::Hidden),
    t5("dec.blk.{b}.attn_v", Role::AttentionV, Dim::Query, Dim::Hidden),
    t5("dec.blk.{b}.attn_o", Role::AttentionO, Dim::Hidden, Dim::Query),
    // What the encoder says.
    norm("dec.blk.{b}.cross_attn_norm").when(T5_DECODER),
    distances("dec.blk.{b}.cross_attn_rel_b.weight"),
    t5("dec.blk.{b}.cross_attn_q", Role::AttentionQ, Dim::Query, Dim::Hidden),
    t5("dec.blk.{b}.cross_attn_k", Role::AttentionK, Dim::Query, Dim::Hidden),
    t5("dec.blk.{b}.cross_attn_v", Role::AttentionV, Dim::Query, Dim::Hidden),
    t5("dec.blk.{b}.cross_attn_o", Role::AttentionO, Dim::Hidden, Dim::Query),
    norm("dec.blk.{b}.ffn_norm").when(T5_DECODER),
    Row::linear("dec.blk.{b}.ffn_gate", Role::MlpGate, Dim::Inner, Dim::Hidden).when(DECODER_GATED),
    t5("dec.blk.{b}.ffn_up", Role::MlpUp, Dim::Inner, Dim::Hidden),
    t5("dec.blk.{b}.ffn_down", Role::MlpDown, Dim::Hidden, Dim::Inner),
];

const VISION: &[Row] = &[
    Row::bare("v.class_embd", Role::Other, Part::Weight, Shape::Any),
    Row::conv("v.patch_embd", &[Dim::Hidden, Dim::Any, Dim::Any, Dim::Any]).optional(),
    Row::bare("v.patch_embd.weight.1", Role::Conv, Part::Weight, Shape::Any),
    Row::table("v.position_embd", Role::PositionEmbedding, Dim::Any, Dim::Hidden).optional(),
    norm("v.pre_ln").optional(),
    norm("v.post_ln").optional(),
    norm("v.norm_embd").optional(),
    eyes("v.blk.{b}.attn_qkv", Role::AttentionQkv, Dim::Qkv, Dim::Hidden).fused(Fused::Qkv),
    eyes("v.blk.{b}.attn_q", Role::AttentionQ, Dim::Query, Dim::Hidden),
    eyes("v.blk.{b}.attn_k", Role::AttentionK, Dim::KeyValue, Dim::Hidden),
    eyes("v.blk.{b}.attn_v", Role::AttentionV, Dim::KeyValue, Dim::Hidden),
    eyes("v.blk.{b}.attn_out", Role::AttentionO, Dim::Hidden, Dim::Query),
    Row::norm("v.blk.{b}.attn_q_norm", Dim::Any).optional(),
    Row::norm("v.blk.{b}.attn_k_norm", Dim::Any).optional(),
    norm("v.blk.{b}.ln1").optional(),
    norm("v.blk.{b}.ln2").optional(),
    norm("v.blk.{b}.attn_out_norm").optional(),
    norm("v.blk.{b}.attn_post_norm").optional(),
    norm("v.blk.{b}.ffn_post_norm").optional(),
    eyes("v.blk.{b}.ffn_gate", Role::MlpGate, Dim::Inner, Dim::Hidden),
    // The first converters called up and down by each other's names.
    eyes("v.blk.{b}.ffn_up", Role::MlpUp, Dim::Any, Dim::Any),
    eyes("v.blk.{b}.ffn_down", Role::MlpDown, Dim::Any, Dim::Any),
    Row::bare("v.blk.{b}.ls1.weight", Role::Other, Part::Weight, Shape::Any),
    Row::bare("v.blk.{b}.ls2.weight", Role::Other, Part::Weight, Shape::Any),
    map("mm.0"),
    map("mm.1"),
    map("mm.2"),
    map("mm.3"),
    map("mm.4"),
    map("mm.model.fc"),
    map("mm.model.mlp.0"),
    map("mm.model.mlp.1"),
    map("mm.model.mlp.2"),
    map("mm.model.mlp.3"),
    map("mm.input_projection"),
    map("mm.up"),
    map("mm.down"),
    map("mm.gate"),
    Row::norm("mm.input_norm", Dim::Any).optional(),
    Row::norm("mm.soft_emb_norm", Dim::Any).optional(),
    Row::norm("mm.pre_norm", Dim::Any).optional(),
    Row::norm("mm.post_norm", Dim::Any).optional(),
];

// What only models have whose tables are not complete.
const RARE: &[Row] = &[
    norm("blk.{b}.attn_sub_norm").optional(),
    Row::norm("blk.{b}.ffn_sub_norm", Dim::Inner).optional(),
    norm("blk.{b}.post_ffw_norm_1").optional(),
    norm("blk.{b}.post_ffw_norm_2").optional(),
    norm("blk.{b}.pre_ffw_norm_2").optional(),
    Row::linear("blk.{b}.attn_gate", Role::Other, Dim::Any, Dim::Hidden).optional(),
    Row::table("per_layer_token_embd", Role::Other, Dim::Vocab, Dim::Any).optional(),
    Row::linear("per_layer_model_proj", Role::Other, Dim::Any, Dim::Hidden).optional(),
    Row::norm("per_layer_proj_norm", Dim::Any).optional(),
    Row::linear("cls", Role::Head, Dim::Any, Dim::Hidden).optional(),
    Row::linear("cls.output", Role::Head, Dim::Any, Dim::Any).optional(),
    Row::norm("cls.norm", Dim::Any).optional(),
];

const fn norm(pattern: &'static str) -> Row {
    Row::norm(pattern, Dim::Hidden)
}

const fn stacked(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::stacked(pattern, role, out, input).when(STACKED).in_blocks(LATER)
}

const fn stacked_bias(pattern: &'static str, role: Role) -> Row {
    Row::bare(pattern, role, Part::Bias, Shape::Any)
}

const fn shared(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input)
        .when(Need::AnyOf(&[
            Need::For(&["qwen2_moe"]),
            Need::AllOf(&[DEEPSEEK, Need::Has("n_shared_experts")]),
        ]))
        .in_blocks(LATER)
}

const fn bert_part(pattern: &'static str, role: Role, out: Dim) -> Row {
    Row::linear(pattern, role, out, Dim::Hidden).when(BERT_SEPARATE).bias(BERT_SEPARATE_BIAS)
}

const fn t5(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).when(T5_DECODER)
}

// Buckets of distances by heads: no table of positions.
const fn distances(pattern: &'static str) -> Row {
    Row::bare(pattern, Role::Other, Part::Weight, Shape::Any)
}

const fn eyes(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, role, out, input).optional()
}

const fn map(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::Head, Dim::Any, Dim::Any).optional()
}
