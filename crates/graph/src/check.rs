//! The stored tensors against what config.json and the family's table promise.
//!
//! config.json may claim any number of layers or experts, so nothing here counts up to them: gaps between
//! the blocks that are there are found from the stored names.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use weightscope_core::{ModelSummary, Role, ShapeMismatch, Stack, TensorEntry};

use crate::config::{Config, Sizes, Towers};
use crate::family::{Blocks, Dim, Family, Need, Shape};
use crate::found::Found;
use crate::index::{Model, Relation};
use crate::name::Names;
use crate::order::InOrder;
use crate::orient::Orientation;

/// How many missing tensors are named; the rest are counted.
const MAX_NAMED: usize = 200;

/// Fills `missing`, `unexpected` and `misshapen`. They stay empty without config.json, without a family, for
/// what is no model, and when `model_type` is one the family's table does not list completely.
pub(crate) fn check(
    tensors: InOrder<'_>,
    names: &Names,
    model: &Model,
    config: Config<'_>,
    sizes: &Towers<'_>,
    orientation: &Orientation<'_>,
    summary: &mut ModelSummary,
) {
    if !config.exists() || !config.is_of_model() {
        return;
    }
    let complete = |family: &&'static Family| match config.model_type() {
        Some(name) => family.model_types.contains(&name),
        None => !family.model_types.is_empty(),
    };
    let Some(family) = model.family().filter(complete) else {
        summary.missing = missing_head(tensors, config).into_iter().collect();
        return;
    };
    summary.misshapen = tensors
        .iter()
        .filter_map(|(_, entry, found)| misshapen(entry, found, sizes, orientation))
        .collect();
    summary.unexpected = unexpected(tensors, sizes);
    if tensors.found.iter().any(|found| found.slot.is_some()) {
        let present = Present::new(names, tensors.found, model);
        summary.missing = missing(&present, model, family, config, sizes);
        summary.missing.extend(missing_of_counted(names, tensors.found, model, family, config));
    }
}

/// The head of a language model that no table lists: config.json unties it from the token embedding, and besides that
/// no matrix has a row or a column for each token.
fn missing_head(tensors: InOrder<'_>, config: Config<'_>) -> Option<String> {
    if !config.promises_a_head() {
        return None;
    }
    let tokens = |entry: &TensorEntry| entry.shape.first().copied().filter(|n| *n > 1);
    let is_embedding =
        |found: &Found| found.role == Role::TokenEmbedding && found.part.is_parameter();
    let vocabulary = tensors.iter().find_map(|(_, entry, found)| {
        tokens(entry).filter(|_| is_embedding(found) && entry.shape.len() == 2)
    })?;
    let is_head = |entry: &TensorEntry, found: &Found| {
        found.role == Role::Head || (entry.shape.len() >= 2 && entry.shape.contains(&vocabulary))
    };
    let there =
        tensors.iter().any(|(_, entry, found)| !is_embedding(found) && is_head(entry, found));
    (!there).then(|| "lm_head.weight".to_owned())
}

fn misshapen(
    entry: &TensorEntry,
    found: &Found,
    sizes: &Towers<'_>,
    orientation: &Orientation<'_>,
) -> Option<ShapeMismatch> {
    // The shape of codes is not that of the weight.
    let is_unreadable = entry.stored.as_ref().is_some_and(|stored| stored.unreadable.is_some());
    let quantised = is_unreadable || entry.dtype.is_some_and(|dtype| !dtype.is_float());
    if found.slot.is_none() || quantised {
        return None;
    }
    let (turned, _) = orientation.of(found, entry);
    let dims = match found.shape {
        Shape::Any => return None,
        Shape::Vector(n) => vec![n],
        Shape::Matrix(out, input) if turned => vec![input, out],
        Shape::Matrix(out, input) => vec![out, input],
        Shape::Stacked(out, input) if turned => vec![Dim::Experts, input, out],
        Shape::Stacked(out, input) => vec![Dim::Experts, out, input],
        Shape::Tensor(dims) => dims.to_vec(),
    };
    let sizes = sizes.of(found.stack);
    // What config.json leaves open is as stored, provided the dimensions are as many.
    let same_rank = dims.len() == entry.shape.len();
    let expected: Vec<u64> = dims
        .iter()
        .enumerate()
        .map(|(i, dim)| sizes.of(*dim).or(entry.shape.get(i).copied().filter(|_| same_rank)))
        .collect::<Option<_>>()?;
    (expected != entry.shape).then(|| ShapeMismatch {
        name: entry.name.clone(),
        shape: entry.shape.clone(),
        expected,
    })
}

fn unexpected(tensors: InOrder<'_>, sizes: &Towers<'_>) -> Vec<String> {
    let is_unexpected = |entry: &TensorEntry, found: &Found| {
        let sizes = sizes.of(found.stack);
        let beyond = found.block.is_some_and(|block| {
            let end = sizes.layers.map(|layers| layers.saturating_add(sizes.extra_layers));
            end.is_some_and(|end| u64::from(block) >= end)
        });
        let adapter = found.role.is_factor() || crate::side::is_magnitude(&entry.name);
        found.part.is_parameter() && !adapter && (!found.known || beyond)
    };
    tensors
        .iter()
        .filter(|(_, entry, found)| is_unexpected(entry, found))
        .map(|(_, entry, _)| entry.name.clone())
        .collect()
}

/// Every trained tensor, for a configuration that is of another family altogether.
pub(crate) fn parameters(tensors: InOrder<'_>) -> Vec<String> {
    let trained = tensors.iter().filter(|(_, _, found)| found.part.is_parameter());
    trained.map(|(_, entry, _)| entry.name.clone()).collect()
}

/// Which tensors of the table are there.
struct Present {
    /// Outside of blocks, by slot.
    frame: HashSet<usize>,
    /// In blocks, sorted.
    blocks: Vec<InBlock>,
}

/// A tensor that is in a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct InBlock {
    stack: Option<Stack>,
    block: u32,
    slot: usize,
    expert: Option<u32>,
}

impl Present {
    fn new(names: &Names, found: &[Found], model: &Model) -> Self {
        let mut present = Self { frame: HashSet::new(), blocks: Vec::new() };
        for (parsed, found) in std::iter::zip(&names.parsed, found) {
            let Some(resolved) = model.resolved.get(parsed.template).and_then(Option::as_ref)
            else {
                continue;
            };
            let stands_for_it = match resolved.relation {
                Relation::Itself => true,
                // A quantised weight goes by another name.
                Relation::Side(side) => side.packed,
                Relation::Adapter(_) => false,
            };
            match found.block {
                _ if !stands_for_it => {}
                Some(block) => present.blocks.push(InBlock {
                    stack: found.stack,
                    block,
                    slot: resolved.slot.id,
                    expert: found.expert,
                }),
                None => {
                    present.frame.insert(resolved.slot.id);
                }
            }
        }
        present.blocks.sort_unstable();
        present.blocks.dedup();
        present
    }

    /// The tensors of each block of a tower below `layers`, by block.
    fn by_block(&self, stack: Option<Stack>, layers: u64) -> impl Iterator<Item = &[InBlock]> {
        let start = self.blocks.partition_point(|tensor| tensor.stack < stack);
        let end = self
            .blocks
            .partition_point(|tensor| (tensor.stack, u64::from(tensor.block)) < (stack, layers));
        self.blocks.get(start..end).unwrap_or_default().chunk_by(|a, b| a.block == b.block)
    }
}

/// A tensor that must be there.
struct Required {
    /// Its pattern.
    name: String,
    slot: usize,
    outside: bool,
    stack: Option<Stack>,
    /// The blocks it must be in.
    blocks: Blocks,
}

impl Required {
    /// The part of the name before the expert's number.
    fn experts(&self) -> Option<&str> {
        self.name.split_once("{e}").map(|(before, _)| before)
    }

    fn full_name(&self, model: &Model, block: u32, expert: u32) -> String {
        let prefix = if self.outside { "" } else { model.prefix(self.stack) };
        let name = self.name.replace("{b}", &block.to_string());
        format!("{prefix}{}", name.replace("{e}", &expert.to_string()))
    }
}

/// Names up to [`MAX_NAMED`], and a count.
#[derive(Default)]
struct Listing {
    names: Vec<String>,
    more: u64,
}

impl Listing {
    fn is_full(&self) -> bool {
        self.names.len() >= MAX_NAMED
    }

    fn push(&mut self, name: impl FnOnce() -> String) {
        if self.is_full() {
            self.more = self.more.saturating_add(1);
        } else {
            self.names.push(name());
        }
    }

    fn push_range(&mut self, range: Range<u64>, name: impl Fn(u32) -> String) {
        for (number, left) in range.clone().map(|n| (n, range.end - n)) {
            if self.is_full() {
                self.more = self.more.saturating_add(left);
                return;
            }
            self.push(|| name(u32::try_from(number).unwrap_or(u32::MAX)));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.names.push(format!("... and {} more", self.more));
        }
        self.names
    }
}

fn missing(
    present: &Present,
    model: &Model,
    family: &'static Family,
    config: Config<'_>,
    sizes: &Towers<'_>,
) -> Vec<String> {
    let mut listing = Listing::default();
    let required = required(model, family, config);
    let (in_blocks, frame): (Vec<_>, Vec<_>) =
        required.into_iter().partition(|required| required.name.contains("{b}"));
    for required in frame.iter().filter(|r| !present.frame.contains(&r.slot)) {
        listing.push(|| required.full_name(model, 0, 0));
    }
    let mut in_blocks: Vec<Required> = in_blocks;
    // Tower by tower, each in the order of the table.
    in_blocks.sort_by_key(|required| required.stack);
    for tower in in_blocks.chunk_by(|a, b| a.stack == b.stack) {
        missing_of_tower(&mut listing, tower, present, model, sizes);
    }
    listing.finish()
}

fn missing_of_tower(
    listing: &mut Listing,
    required: &[Required],
    present: &Present,
    model: &Model,
    sizes: &Towers<'_>,
) {
    let Some(first) = required.first() else { return };
    let sizes = sizes.of(first.stack);
    let Some((layers, (blocks, _))) = sizes.layers.zip(first.name.split_once("{b}")) else {
        return;
    };
    let absent = |range: Range<u64>| match range.end - range.start {
        1 => format!("block {} ({}{blocks}*)", range.start, model.prefix(first.stack)),
        _ => format!(
            "blocks {} to {} ({}{blocks}*)",
            range.start,
            range.end - 1,
            model.prefix(first.stack)
        ),
    };
    let mut next = 0;
    for tensors in present.by_block(first.stack, layers) {
        let Some(InBlock { block, .. }) = tensors.first() else { continue };
        if u64::from(*block) > next {
            listing.push(|| absent(next..u64::from(*block)));
        }
        next = u64::from(*block) + 1;
        missing_of_block(listing, *block, tensors, required, model, sizes);
    }
    if next < layers {
        listing.push(|| absent(next..layers));
    }
}

fn missing_of_block(
    listing: &mut Listing,
    block: u32,
    tensors: &[InBlock],
    required: &[Required],
    model: &Model,
    sizes: &Sizes<'_>,
) {
    let of_slot = |slot: usize| {
        let start = tensors.partition_point(|tensor| tensor.slot < slot);
        let end = tensors.partition_point(|tensor| tensor.slot <= slot);
        tensors.get(start..end).unwrap_or_default()
    };
    for tensor in required.iter().filter(|r| sizes.has_block(r.blocks, u64::from(block))) {
        let there = of_slot(tensor.slot);
        let Some(group) = tensor.experts() else {
            if there.is_empty() {
                listing.push(|| tensor.full_name(model, block, 0));
            }
            continue;
        };
        // Where a block has any of these experts, it has all of them.
        let used = required
            .iter()
            .any(|other| other.experts() == Some(group) && !of_slot(other.slot).is_empty());
        let Some(experts) = sizes.experts.filter(|_| used) else { continue };
        let mut next = 0;
        for InBlock { expert, .. } in there {
            let expert = u64::from(expert.unwrap_or(0)).min(experts);
            listing.push_range(next..expert, |n| tensor.full_name(model, block, n));
            next = next.max((expert + 1).min(experts));
        }
        listing.push_range(next..experts, |n| tensor.full_name(model, block, n));
    }
}

/// Of modules that are counted within their block, what the others with the same number lack.
fn missing_of_counted(
    names: &Names,
    found: &[Found],
    model: &Model,
    family: &'static Family,
    config: Config<'_>,
) -> Vec<String> {
    // By pattern up to the number, then by name up to it: the tensors that are there.
    let mut groups: BTreeMap<&str, BTreeMap<String, HashSet<usize>>> = BTreeMap::new();
    for (parsed, found) in std::iter::zip(&names.parsed, found) {
        let resolved = model.resolved.get(parsed.template).and_then(Option::as_ref);
        let template = names.templates.get(parsed.template).map(|template| template.text.as_str());
        let Some((resolved, template)) = resolved.zip(template) else { continue };
        let Some((group, _)) = counted(resolved.slot.row.pattern) else { continue };
        if matches!(resolved.relation, Relation::Adapter(_)) {
            continue;
        }
        let before = template.get(..resolved.prefix).unwrap_or_default().matches('.').count();
        let length = before + group.split('.').count();
        let mut name = template.split('.').take(length).collect::<Vec<_>>().join(".");
        if let Some(block) = found.block {
            name = name.replace("{b}", &block.to_string());
        }
        groups.entry(group).or_default().entry(name).or_default().insert(resolved.slot.id);
    }
    let mut listing = Listing::default();
    for row in family.rows() {
        let Some((group, rest)) = counted(row.pattern) else { continue };
        let config = config.of_tower(family.stack_of(row.pattern));
        for (end, part) in row.tensors() {
            let need = row.need(*part);
            let is_usual = ![".gamma", ".beta"].contains(end);
            let Some(slot) = model.slot(&format!("{}{end}", row.pattern)).filter(|_| is_usual)
            else {
                continue;
            };
            if !matches!(need, Need::Together) && !config.requires(need, family) {
                continue;
            }
            for (name, there) in groups.get(group).into_iter().flatten() {
                if !there.contains(&slot.id) {
                    listing.push(|| format!("{name}{rest}{end}"));
                }
            }
        }
    }
    listing.finish()
}

/// A pattern up to the last number that counts modules, and the rest.
fn counted(pattern: &'static str) -> Option<(&'static str, &'static str)> {
    pattern.rfind("{n}").and_then(|start| pattern.split_at_checked(start + "{n}".len()))
}

/// The tensors of a family that must be there, by their usual spelling.
fn required(model: &Model, family: &'static Family, config: Config<'_>) -> Vec<Required> {
    let mut all: Vec<Required> = Vec::new();
    for row in family.rows() {
        for (end, part) in row.tensors() {
            let name = format!("{}{end}", row.pattern);
            let Some(slot) = model.slot(&name) else { continue };
            // The usual spelling comes first.
            let seen = all.iter().rev().take(2).any(|other| other.slot == slot.id);
            let stack = family.stack_of(row.pattern);
            if !seen && config.of_tower(stack).requires(row.need(*part), family) {
                all.push(Required {
                    name,
                    slot: slot.id,
                    outside: row.outside,
                    stack,
                    blocks: row.blocks,
                });
            }
        }
    }
    all
}
