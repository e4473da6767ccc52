//! Language models with Llama's names that look through CLIP's or SigLIP's eyes: LLaVA, PaliGemma, Gemma 3, Idefics 3.
//! What lies between the two is a map or two.

use weightscope_core::{Part, Role, Stack};

use super::{clip, llama, siglip};
use crate::family::{Dim, Family, Need, Row, Shape, Storage};

const TWO_MAPS: Need =
    Need::For(&["llava", "llava_next", "llava_next_video", "vipllava", "llava_onevision"]);
const MAP_BIAS: Need = Need::AllOf(&[TWO_MAPS, Need::Unless("multimodal_projector_bias")]);
const GEMMA: Need = Need::For(&["gemma3"]);

pub(super) const FAMILY: Family = Family {
    name: "llava",
    model_types: &[
        "llava",
        "llava_next",
        "llava_next_video",
        "vipllava",
        "llava_onevision",
        "paligemma",
        "gemma3",
        "idefics3",
        "smolvlm",
    ],
    any_architecture: false,
    tied_by_default: &["paligemma", "gemma3"],
    telltales: &[
        "multi_modal_projector.linear_1.weight",
        "multi_modal_projector.linear.weight",
        "multi_modal_projector.mm_input_projection_weight",
        "connector.modality_projection.proj.weight",
    ],
    prefixes: &[
        "model.language_model.",
        "language_model.model.",
        "language_model.",
        "model.text_model.",
        "model.vision_tower.",
        "vision_tower.",
        "model.",
        "",
    ],
    stacks: &[("vision_model.", Stack::Vision), ("", Stack::Decoder)],
    inner_per_hidden: None,
    tables: &[
        llama::FRAME,
        llama::QKV,
        llama::MLP,
        clip::VISION_START,
        VISION_POSITIONS,
        clip::VISION_TOWER,
        siglip::VISION_HEAD,
        BETWEEN,
    ],
};

// One more in CLIP's than in SigLIP's.
const VISION_POSITIONS: &[Row] = &[Row::table(
    "vision_model.embeddings.position_embedding",
    Role::PositionEmbedding,
    Dim::Any,
    Dim::Hidden,
)];

const BETWEEN: &[Row] = &[
    map("multi_modal_projector.linear_1", Dim::Any).when(TWO_MAPS).bias(MAP_BIAS),
    map("multi_modal_projector.linear_2", Dim::Hidden).when(TWO_MAPS).bias(MAP_BIAS),
    map("multi_modal_projector.linear", Dim::Any).when(Need::For(&["paligemma"])).biased(),
    Row {
        storage: Storage::Conv1d,
        ..Row::bare(
            "multi_modal_projector.mm_input_projection_weight",
            Role::Other,
            Part::Weight,
            Shape::Matrix(Dim::Hidden, Dim::Any),
        )
        .when(GEMMA)
    },
    Row::norm("multi_modal_projector.mm_soft_emb_norm", Dim::Any).when(GEMMA),
    map("connector.modality_projection.proj", Dim::Any).when(Need::For(&["idefics3", "smolvlm"])),
    Row::bare("image_newline", Role::Other, Part::Weight, Shape::Vector(Dim::Hidden)),
];

const fn map(pattern: &'static str, input: Dim) -> Row {
    Row::linear(pattern, Role::Other, Dim::Hidden, input)
}
