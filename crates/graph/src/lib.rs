//! From the names and shapes of a checkpoint's tensors, and its config.json, to a model: roles, blocks,
//! experts, orientation, heads, tied, missing and misshapen tensors.
//!
//! There is no I/O here and no weight is looked at. No name is ever refused: what no family's table knows is
//! guessed from words, and says so ([`Confidence::Guessed`](weightscope_core::Confidence::Guessed)).
//!
//! The way of a name: `name` turns it into a template (`h.{b}.attn.c_attn.weight`) and numbers; `index` finds
//! the family whose table knows most of the templates, `found` says what each tensor is, `orient` decides
//! from the shapes how matrices are stored, `build` and `split` cut tensors into weights, `check` and
//! `summary` hold the whole against config.json. A family is a table of data in `families`: adding one is
//! one file and one line in the list there.
//!
//! ```
//! use weightscope_core::{DType, Metadata, Role, TensorEntry};
//!
//! let entry = |name: &str, shape: &[u64]| TensorEntry::plain(name, DType::F32, shape);
//! let entries = [
//!     entry("transformer.wte.weight", &[100, 8]),
//!     entry("transformer.h.0.attn.c_attn.weight", &[8, 24]),
//! ];
//! let graph = weightscope_graph::walk(&entries, &Metadata::default(), &Default::default());
//! assert_eq!(graph.summary.family, "gpt2");
//! let qkv = &graph.weights[1];
//! assert_eq!((qkv.role, qkv.block), (Role::AttentionQkv, Some(0)));
//! assert_eq!((qkv.matrix, qkv.transposed), (Some([24, 8]), true));
//! ```
#![forbid(unsafe_code)]

mod adapter;
mod build;
mod check;
mod config;
mod families;
mod family;
mod found;
mod generic;
mod index;
mod name;
mod order;
mod orient;
mod pair;
mod pattern;
mod side;
mod split;
mod summary;
mod tower;
mod wrapper;

use weightscope_core::{Heads, Metadata, ModelGraph, Part, Role, Stack, TensorEntry, Weight};

pub use crate::pair::{pair, regrouping};

/// What the walker does beside naming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkOptions {
    /// Makes weights of the parts of fused tensors (`<tensor>#q`, `#k`, `#v`, `#gate`, `#up`) instead of the
    /// fused one, where a known family and the shapes say how to cut.
    pub split_fused: bool,
    /// Attention heads where no config.json says them, as the other checkpoint of a comparison has them.
    pub heads: Option<Heads>,
}

/// From names, shapes and config.json to a model.
///
/// * Result: one [`Weight`] per stored tensor, except that experts stacked in a
///   three-dimensional tensor become one each (`<tensor>#<expert>`), and fused tensors their parts with
///   [`WalkOptions::split_fused`]. Order: embeddings, blocks by depth, final norm and head, the rest by name.
/// * No name or shape is refused. A tensor whose element count overflows has an empty layout.
/// * Orientation comes from shapes: the non-square matrices of a block decide for its square ones.
/// * `summary.missing`, `unexpected` and `misshapen` are filled when config.json is there and its
///   `model_type` is one the family's table covers.
/// * Cost: linear in the tensors (times a sort); no number from a name or config.json bounds a loop.
pub fn walk(entries: &[TensorEntry], metadata: &Metadata, options: &WalkOptions) -> ModelGraph {
    let config = config::Config::new(metadata);
    let names = name::Names::parse(entries);
    let model = index::detect(&names, config);
    // A configuration of another family says nothing about these tensors, its sizes included.
    let is_foreign = model.family().is_some_and(|family| config.names_another(family));
    let config = if is_foreign { config::Config::default() } else { config };
    let mut found = found::find(entries, &names, &model);
    found::correct_ungated(entries, &mut found);
    let adapters = adapter::find(entries, &mut found, metadata);
    let is_adapter = adapters.record.as_ref().is_some_and(|record| record.alone);
    let config = if is_adapter { config.beside_adapter() } else { config };
    let sizes = config::Towers::new(config, model.family(), options.heads, |stack| {
        orient::observed_hidden(entries, &found, stack)
    });
    let orientation = orient::Orientation::new(entries, &found, &sizes);

    let order = order::report_order(entries, &found);
    let in_order = order::InOrder { entries, found: &found, order: &order };
    let mut builder = build::Builder::new(*options, &sizes, &orientation, &adapters);
    for (index, entry, found) in in_order.iter() {
        builder.add(index, entry, found);
    }
    let mut weights = builder.weights;
    if config.norms_add_one() {
        // The norm behind Qwen's linear attention is a plain one.
        let is_plain = |w: &Weight| {
            w.stack == Some(Stack::Vision) || w.source_tensor.contains(".linear_attn.")
        };
        for weight in weights.iter_mut().filter(|w| !is_plain(w)) {
            weight.from_one = weight.role == Role::Norm && weight.part == Part::Weight;
        }
    }

    let mut summary = summary::summarize(
        in_order,
        &model,
        &names,
        config,
        &sizes,
        &metadata.shared,
        adapters.record,
    );
    summary.towers = tower::towers(entries, &names, &found, &sizes);
    if config.is_of_model() {
        summary.missing_towers = tower::missing(config, &names);
    }
    check::check(in_order, &names, &model, config, &sizes, &orientation, &mut summary);
    if is_foreign {
        summary.unexpected = check::parameters(in_order);
    }
    ModelGraph { weights, summary, pairing: None }
}
