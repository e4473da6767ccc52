//! The model in numbers: parameters, categories, sizes, tied tensors.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use weightscope_core::{
    AdapterRecord, Category, CategoryRecord, ModelSummary, Role, StoredShare, TensorEntry,
    WrapperRecord,
};

use crate::config::{Config, Towers};
use crate::found::Found;
use crate::index::Model;
use crate::name::Names;
use crate::order::InOrder;

/// Everything but the lists of `check`.
pub(crate) fn summarize(
    tensors: InOrder<'_>,
    model: &Model,
    names: &Names,
    config: Config<'_>,
    sizes: &Towers<'_>,
    shared: &[(String, String)],
    adapter: Option<AdapterRecord>,
) -> ModelSummary {
    let tie = config.ties_embeddings(model.family());
    let mut tied = tied(tensors, model, tie == Some(true));
    add_shared(&mut tied, tensors, shared);
    let copies: HashSet<usize> = tied.iter().map(|(copy, _)| *copy).collect();

    let heads = sizes.common(|sizes| sizes.heads);
    let mut summary = ModelSummary {
        family: family_name(model, config),
        rules_of: rules_of(model, config),
        norms_add_one: config.norms_add_one(),
        tensors: tensors.entries.len() as u64,
        heads: heads.map(|heads| u64::from(heads.query)),
        kv_heads: heads.map(|heads| u64::from(heads.key_value)),
        head_dim: heads.map(|heads| u64::from(heads.head_dim)),
        hidden_size: sizes.common(|sizes| sizes.hidden),
        vocab_size: sizes.of(None).vocab,
        tie_word_embeddings: tie,
        stored_as: stored_as(tensors.entries),
        wrappers: wrappers(names),
        adapter,
        ..ModelSummary::default()
    };
    let lies_on_weights = summary.adapter_on_weights().is_some();
    let empty = |category: &Category| CategoryRecord {
        category: *category,
        tensors: 0,
        parameters: 0,
        bytes: 0,
    };
    let mut categories: Vec<CategoryRecord> = Category::ALL.iter().map(empty).collect();
    let mut blocks = BTreeSet::new();
    let mut embedding_seen = false;
    for (index, entry, found) in tensors.iter() {
        // Headers with overlapping tensors could make the sums overflow.
        summary.bytes = summary.bytes.saturating_add(entry.bytes);
        if let Some(block) = found.block {
            blocks.insert((found.stack, block));
        }
        if found.role == Role::TokenEmbedding && found.part.is_parameter() && !embedding_seen {
            embedding_seen = true;
            summary.vocab_size = entry.shape.first().copied().or(summary.vocab_size);
        }
        if names.parsed.get(index).is_some_and(|parsed| parsed.is_replaced) {
            summary.replaced.push(entry.name.clone());
            summary.replaced_parameters =
                summary.replaced_parameters.saturating_add(entry.elements);
        }
        if !found.part.is_parameter() || found.role.is_factor() && lies_on_weights {
            continue;
        }
        let copy = copies.contains(&index);
        let counted = |n: u64| if copy { 0 } else { n };
        let add = |sum: &mut u64, n: u64| *sum = sum.saturating_add(n);
        add(&mut summary.parameters_with_tied_copies, entry.elements);
        add(&mut summary.parameters, counted(entry.elements));
        let category = found.role.category();
        if let Some(record) = categories.iter_mut().find(|record| record.category == category) {
            record.tensors += 1;
            add(&mut record.parameters, counted(entry.elements));
            add(&mut record.bytes, counted(entry.bytes));
        }
    }
    summary.blocks = blocks.len() as u64;
    categories.retain(|record| record.tensors > 0);
    summary.categories = categories;
    let name = |index: usize| tensors.entries.get(index).map(|entry| entry.name.clone());
    summary.tied =
        tied.into_iter().filter_map(|(copy, original)| name(copy).zip(name(original))).collect();
    summary
}

fn wrappers(names: &Names) -> Vec<WrapperRecord> {
    let record = |(name, tensors): (&&'static str, &u64)| WrapperRecord {
        name: (*name).to_owned(),
        tensors: *tensors,
    };
    names.wrappers.iter().map(record).collect()
}

/// How tensors are stored, the form of the most elements first.
fn stored_as(entries: &[TensorEntry]) -> Vec<StoredShare> {
    let mut shares: BTreeMap<String, StoredShare> = BTreeMap::new();
    for entry in entries {
        let name = entry.stored_type();
        let share = shares.entry(name.clone().into_owned()).or_insert_with(|| StoredShare {
            name: name.into_owned(),
            tensors: 0,
            elements: 0,
            bytes: 0,
            bits_per_weight: None,
        });
        share.tensors += 1;
        share.elements = share.elements.saturating_add(entry.elements);
        share.bytes = share.bytes.saturating_add(entry.bytes);
        if entry.dtype.is_some() {
            let elements = share.elements.max(1) as f64;
            share.bits_per_weight = Some(8.0 * share.bytes as f64 / elements);
        }
    }
    let mut shares: Vec<StoredShare> = shares.into_values().collect();
    shares.sort_by(|a, b| b.elements.cmp(&a.elements).then_with(|| a.name.cmp(&b.name)));
    shares
}

/// config.json's `model_type`, else the family that the names belong to.
fn family_name(model: &Model, config: Config<'_>) -> String {
    let own = || model.family().map_or("generic", |family| family.name);
    config.model_type().unwrap_or_else(own).to_owned()
}

/// The family whose rules were used for another one that has none of its own.
fn rules_of(model: &Model, config: Config<'_>) -> Option<String> {
    let name = config.model_type()?;
    let Some(family) = model.family() else { return Some("generic".to_owned()) };
    let is_covered = family.any_architecture || family.model_types.contains(&name);
    (!is_covered && name != family.name).then(|| family.name.to_owned())
}

/// Entries that are one parameter under two names: (copy, original).
fn tied(tensors: InOrder<'_>, model: &Model, embeddings: bool) -> Vec<(usize, usize)> {
    let originals = Originals::new(tensors);
    let mut pairs = Vec::new();
    for (index, entry, found) in tensors.iter() {
        let original = match (model.family(), found.slot) {
            (Some(_), Some(slot)) => slot
                .row
                .tied_to
                .filter(|_| embeddings || slot.row.always_tied)
                .and_then(|pattern| model.slot(pattern))
                .and_then(|slot| originals.by_slot.get(&slot.id).copied()),
            (None, _) if embeddings && is_language_model_head(entry, found) => originals.embedding,
            _ => None,
        };
        let same_shape = |original: &usize| {
            *original != index
                && tensors.entries.get(*original).is_some_and(|o| o.shape == entry.shape)
        };
        if let Some(original) = original.filter(same_shape) {
            pairs.push((index, original));
        }
    }
    pairs
}

/// Adds what is one parameter because its bytes are shared, whatever the configuration says.
fn add_shared(tied: &mut Vec<(usize, usize)>, tensors: InOrder<'_>, shared: &[(String, String)]) {
    if shared.is_empty() {
        return;
    }
    let by_name: HashMap<&str, usize> =
        tensors.iter().map(|(index, entry, _)| (entry.name.as_str(), index)).collect();
    let mut copies: HashSet<usize> = tied.iter().map(|(copy, _)| *copy).collect();
    for (copy, original) in shared {
        let pair = by_name.get(copy.as_str()).zip(by_name.get(original.as_str()));
        let Some((copy, original)) = pair else { continue };
        // The configuration may call the other one of the two the copy.
        let is_known = copies.contains(copy) || tied.contains(&(*original, *copy));
        if !is_known && copies.insert(*copy) {
            tied.push((*copy, *original));
        }
    }
}

fn is_language_model_head(entry: &TensorEntry, found: &Found) -> bool {
    found.role == Role::Head
        && ["lm_head.weight", "embed_out.weight", "output.weight"]
            .iter()
            .any(|end| entry.name.ends_with(end))
}

/// Tensors that others may be copies of.
struct Originals {
    by_slot: HashMap<usize, usize>,
    /// The first token embedding, for checkpoints of no known family.
    embedding: Option<usize>,
}

impl Originals {
    fn new(tensors: InOrder<'_>) -> Self {
        let mut by_slot = HashMap::new();
        let mut embedding = None;
        for (index, _, found) in tensors.iter() {
            if let Some(slot) = found.slot.filter(|_| found.block.is_none()) {
                by_slot.entry(slot.id).or_insert(index);
            }
            if found.role == Role::TokenEmbedding && found.part.is_parameter() {
                embedding = embedding.or(Some(index));
            }
        }
        Self { by_slot, embedding }
    }
}
