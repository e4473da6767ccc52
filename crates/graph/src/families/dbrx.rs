//! DBRX: q, k, v in one, and the experts of a block one below the other in one matrix.

use weightscope_core::{Part, Role, Stack};

use crate::family::{Dim, Family, Fused, Need, Row, Shape, Storage};

const EXPERTS: Dim = Dim::Key("ffn_config.moe_num_experts");
const INNER: Dim = Dim::Product(&[EXPERTS, Dim::Key("ffn_config.ffn_hidden_size")]);

pub(super) const FAMILY: Family = Family {
    name: "dbrx",
    model_types: &["dbrx"],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &["blocks.{b}.norm_attn_norm.attn.Wqkv.weight"],
    prefixes: &["transformer.", ""],
    stacks: &[("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[ROWS],
};

const ROWS: &[Row] = &[
    Row::table("wte", Role::TokenEmbedding, Dim::Vocab, Dim::Hidden),
    Row::norm("blocks.{b}.norm_attn_norm.norm_1", Dim::Hidden),
    Row::linear("blocks.{b}.norm_attn_norm.attn.Wqkv", Role::AttentionQkv, Dim::Qkv, Dim::Hidden)
        .fused(Fused::Qkv),
    Row::linear(
        "blocks.{b}.norm_attn_norm.attn.out_proj",
        Role::AttentionO,
        Dim::Hidden,
        Dim::Query,
    ),
    Row::norm("blocks.{b}.norm_attn_norm.norm_2", Dim::Hidden),
    Row::linear("blocks.{b}.ffn.router.layer", Role::Router, EXPERTS, Dim::Hidden),
    all_experts("blocks.{b}.ffn.experts.mlp.w1", Role::MlpGate, INNER, Dim::Hidden),
    all_experts("blocks.{b}.ffn.experts.mlp.v1", Role::MlpUp, INNER, Dim::Hidden),
    Row {
        storage: Storage::Conv1d,
        ..all_experts("blocks.{b}.ffn.experts.mlp.w2", Role::MlpDown, Dim::Hidden, INNER)
    },
    Row::norm("norm_f", Dim::Hidden),
    Row::bare("lm_head.weight", Role::Head, Part::Weight, Shape::Matrix(Dim::Vocab, Dim::Hidden))
        .when(Need::UntiedHead)
        .tied_to("wte.weight")
        .outside(),
];

const fn all_experts(pattern: &'static str, role: Role, out: Dim, input: Dim) -> Row {
    Row::bare(pattern, role, Part::Weight, Shape::Matrix(out, input)).when(Need::Always)
}
