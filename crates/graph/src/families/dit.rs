//! Transformers of diffusers that draw: DiT, PixArt, Stable Diffusion 3, Flux. Pictures and text go through the same
//! blocks, each with maps of its own (`add_`, `_context`), or the text is attended to (`attn2`).

use weightscope_core::{Part, Role, Stack};

use crate::family::{Blocks, Dim, Family, Need, Row, Shape};

const DIT: Need = Need::For(&["DiTTransformer2DModel"]);
const PIXART: Need = Need::For(&["PixArtTransformer2DModel"]);
const SD3: Need = Need::For(&["SD3Transformer2DModel"]);
const FLUX: Need = Need::For(&["FluxTransformer2DModel"]);
const SINGLE_TEXT: Need = Need::AnyOf(&[DIT, PIXART]);
const BOTH: Need = Need::AnyOf(&[SD3, FLUX]);
const SQUARES: Need = Need::AnyOf(&[DIT, PIXART, SD3]);
const HEAD_NORM: Need = Need::AnyOf(&[FLUX, Need::AllOf(&[SD3, Need::Has("qk_norm")])]);

/// Of the MLPs.
const INNER: Dim = times(&[Dim::Exactly(4), Dim::Hidden]);
/// Waves of the step of time.
const WAVES: Dim = Dim::Exactly(256);
const TEXT: Dim = Dim::Key("joint_attention_dim");

pub(super) const FAMILY: Family = Family {
    name: "diffusion_transformer",
    model_types: &[
        "DiTTransformer2DModel",
        "PixArtTransformer2DModel",
        "SD3Transformer2DModel",
        "FluxTransformer2DModel",
    ],
    any_architecture: false,
    tied_by_default: &[],
    telltales: &[
        "transformer_blocks.{b}.attn1.to_q.weight",
        "transformer_blocks.{b}.attn.to_q.weight",
        "single_transformer_blocks.{b}.attn.to_q.weight",
    ],
    prefixes: &[""],
    // Flux goes on with blocks that treat pictures and text alike.
    stacks: &[("single_transformer_blocks.", Stack::Decoder), ("", Stack::Encoder)],
    inner_per_hidden: None,
    tables: &[FRAME, BLOCK, CONTEXT, SINGLE],
};

const FRAME: &[Row] = &[
    Row::conv(
        "pos_embed.proj",
        &[Dim::Hidden, Dim::Key("in_channels"), Dim::Key("patch_size"), Dim::Key("patch_size")],
    )
    .when(SQUARES)
    .biased(),
    // Waves, stored by some.
    Row::positions("pos_embed.pos_embed", &[Dim::Exactly(1), Dim::Any, Dim::Hidden]).when(SD3),
    map("x_embedder", Dim::Hidden, Dim::Key("in_channels")).when(FLUX).biased(),
    map("context_embedder", Dim::Hidden, TEXT).when(BOTH).biased(),
    map("caption_projection.linear_1", Dim::Hidden, Dim::Key("caption_channels"))
        .when(PIXART)
        .biased(),
    map("caption_projection.linear_2", Dim::Hidden, Dim::Hidden).when(PIXART).biased(),
    map("time_text_embed.timestep_embedder.linear_1", Dim::Hidden, WAVES).when(BOTH).biased(),
    map("time_text_embed.timestep_embedder.linear_2", Dim::Hidden, Dim::Hidden).when(BOTH).biased(),
    map("time_text_embed.guidance_embedder.linear_1", Dim::Hidden, WAVES).when(GUIDED).biased(),
    map("time_text_embed.guidance_embedder.linear_2", Dim::Hidden, Dim::Hidden)
        .when(GUIDED)
        .biased(),
    map("time_text_embed.text_embedder.linear_1", Dim::Hidden, Dim::Key("pooled_projection_dim"))
        .when(BOTH)
        .biased(),
    map("time_text_embed.text_embedder.linear_2", Dim::Hidden, Dim::Hidden).when(BOTH).biased(),
    map("adaln_single.emb.timestep_embedder.linear_1", Dim::Hidden, WAVES).when(PIXART).biased(),
    map("adaln_single.emb.timestep_embedder.linear_2", Dim::Hidden, Dim::Hidden)
        .when(PIXART)
        .biased(),
    map("adaln_single.emb.resolution_embedder.linear_1", Dim::Any, WAVES).optional(),
    map("adaln_single.emb.resolution_embedder.linear_2", Dim::Any, Dim::Any).optional(),
    map("adaln_single.emb.aspect_ratio_embedder.linear_1", Dim::Any, WAVES).optional(),
    map("adaln_single.emb.aspect_ratio_embedder.linear_2", Dim::Any, Dim::Any).optional(),
    map("adaln_single.linear", times(&[Dim::Exactly(6), Dim::Hidden]), Dim::Hidden)
        .when(PIXART)
        .biased(),
    shifts("scale_shift_table", &[Dim::Exactly(2), Dim::Hidden]).when(PIXART),
    map("norm_out.linear", times(&[Dim::Exactly(2), Dim::Hidden]), Dim::Hidden).when(BOTH).biased(),
    map("proj_out_1", times(&[Dim::Exactly(2), Dim::Hidden]), Dim::Hidden).when(DIT).biased(),
    Row::linear("proj_out_2", Role::Head, Dim::Any, Dim::Hidden).when(DIT).biased(),
    Row::linear("proj_out", Role::Head, Dim::Any, Dim::Hidden).when(Need::Not(&DIT)).biased(),
];

const GUIDED: Need = Need::AllOf(&[FLUX, Need::Flag("guidance_embeds")]);

const BLOCK: &[Row] = &[
    // Scales and shifts, from the step of time; six for each block, nine where it attends twice.
    map("transformer_blocks.{b}.norm1.linear", Dim::Any, Dim::Hidden)
        .when(Need::Not(&PIXART))
        .biased(),
    map("transformer_blocks.{b}.norm1.emb.timestep_embedder.linear_1", Dim::Hidden, WAVES)
        .when(DIT)
        .biased(),
    map("transformer_blocks.{b}.norm1.emb.timestep_embedder.linear_2", Dim::Hidden, Dim::Hidden)
        .when(DIT)
        .biased(),
    // The last class is none.
    Row::table(
        "transformer_blocks.{b}.norm1.emb.class_embedder.embedding_table",
        Role::TypeEmbedding,
        Dim::Sum(&[Dim::Key("num_embeds_ada_norm"), Dim::Exactly(1)]),
        Dim::Hidden,
    )
    .when(DIT),
    shifts("transformer_blocks.{b}.scale_shift_table", &[Dim::Exactly(6), Dim::Hidden])
        .when(PIXART),
    to("transformer_blocks.{b}.attn1.to_q", Role::AttentionQ, Dim::Hidden)
        .when(SINGLE_TEXT)
        .biased(),
    to("transformer_blocks.{b}.attn1.to_k", Role::AttentionK, Dim::Hidden)
        .when(SINGLE_TEXT)
        .biased(),
    to("transformer_blocks.{b}.attn1.to_v", Role::AttentionV, Dim::Hidden)
        .when(SINGLE_TEXT)
        .biased(),
    out("transformer_blocks.{b}.attn1.to_out.0").when(SINGLE_TEXT).biased(),
    to("transformer_blocks.{b}.attn.to_q", Role::AttentionQ, Dim::Hidden).when(BOTH).biased(),
    to("transformer_blocks.{b}.attn.to_k", Role::AttentionK, Dim::Hidden).when(BOTH).biased(),
    to("transformer_blocks.{b}.attn.to_v", Role::AttentionV, Dim::Hidden).when(BOTH).biased(),
    out("transformer_blocks.{b}.attn.to_out.0").when(BOTH).biased(),
    Row::norm("transformer_blocks.{b}.attn.norm_q", Dim::HeadWidth).when(HEAD_NORM),
    Row::norm("transformer_blocks.{b}.attn.norm_k", Dim::HeadWidth).when(HEAD_NORM),
    // To the text in PixArt; in some blocks of SD 3.5 a second time to the picture.
    to("transformer_blocks.{b}.attn2.to_q", Role::AttentionQ, Dim::Hidden).when(PIXART).biased(),
    to("transformer_blocks.{b}.attn2.to_k", Role::AttentionK, Dim::Any).when(PIXART).biased(),
    to("transformer_blocks.{b}.attn2.to_v", Role::AttentionV, Dim::Any).when(PIXART).biased(),
    out("transformer_blocks.{b}.attn2.to_out.0").when(PIXART).biased(),
    Row::norm("transformer_blocks.{b}.attn2.norm_q", Dim::HeadWidth).optional(),
    Row::norm("transformer_blocks.{b}.attn2.norm_k", Dim::HeadWidth).optional(),
    up("transformer_blocks.{b}.ff.net.0.proj"),
    down("transformer_blocks.{b}.ff.net.2"),
];

const CONTEXT: &[Row] = &[
    map("transformer_blocks.{b}.norm1_context.linear", Dim::Any, Dim::Hidden).when(BOTH).biased(),
    to("transformer_blocks.{b}.attn.add_q_proj", Role::AttentionQ, Dim::Hidden).when(BOTH).biased(),
    to("transformer_blocks.{b}.attn.add_k_proj", Role::AttentionK, Dim::Hidden).when(BOTH).biased(),
    to("transformer_blocks.{b}.attn.add_v_proj", Role::AttentionV, Dim::Hidden).when(BOTH).biased(),
    Row::norm("transformer_blocks.{b}.attn.norm_added_q", Dim::HeadWidth).when(HEAD_NORM),
    Row::norm("transformer_blocks.{b}.attn.norm_added_k", Dim::HeadWidth).when(HEAD_NORM),
    // Nobody reads what the last block of SD 3 would make of the text.
    in_all_but_last(out("transformer_blocks.{b}.attn.to_add_out")),
    in_all_but_last(up("transformer_blocks.{b}.ff_context.net.0.proj")),
    in_all_but_last(down("transformer_blocks.{b}.ff_context.net.2")),
];

const SINGLE: &[Row] = &[
    map(
        "single_transformer_blocks.{b}.norm.linear",
        times(&[Dim::Exactly(3), Dim::Hidden]),
        Dim::Hidden,
    )
    .when(FLUX)
    .biased(),
    to("single_transformer_blocks.{b}.attn.to_q", Role::AttentionQ, Dim::Hidden)
        .when(FLUX)
        .biased(),
    to("single_transformer_blocks.{b}.attn.to_k", Role::AttentionK, Dim::Hidden)
        .when(FLUX)
        .biased(),
    to("single_transformer_blocks.{b}.attn.to_v", Role::AttentionV, Dim::Hidden)
        .when(FLUX)
        .biased(),
    Row::norm("single_transformer_blocks.{b}.attn.norm_q", Dim::HeadWidth).when(FLUX),
    Row::norm("single_transformer_blocks.{b}.attn.norm_k", Dim::HeadWidth).when(FLUX),
    up("single_transformer_blocks.{b}.proj_mlp").when(FLUX).biased(),
    // Behind the heads and the MLP, which stand side by side.
    Row::linear(
        "single_transformer_blocks.{b}.proj_out",
        Role::MlpDown,
        Dim::Hidden,
        Dim::Sum(&[Dim::Hidden, INNER]),
    )
    .when(FLUX)
    .biased(),
];

const fn times(dims: &'static [Dim]) -> Dim {
    Dim::Product(dims)
}

const fn map(pattern: &'static str, out: Dim, input: Dim) -> Row {
    Row::linear(pattern, Role::Other, out, input)
}

const fn shifts(pattern: &'static str, shape: &'static [Dim]) -> Row {
    Row::bare(pattern, Role::Other, Part::Weight, Shape::Tensor(shape))
}

const fn to(pattern: &'static str, role: Role, input: Dim) -> Row {
    Row::linear(pattern, role, Dim::Query, input)
}

const fn out(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::AttentionO, Dim::Hidden, Dim::Query)
}

const fn up(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpUp, INNER, Dim::Hidden).biased()
}

const fn down(pattern: &'static str) -> Row {
    Row::linear(pattern, Role::MlpDown, Dim::Hidden, INNER).biased()
}

const fn in_all_but_last(row: Row) -> Row {
    row.when(BOTH).biased().in_blocks(Blocks::NotLast)
}
