//! How matrices are stored, `[out, in]` or `[in, out]`, decided by shapes.
//!
//! In most modules exactly one side is as wide as the residual stream, and which one is in the family's
//! table. So a non-square matrix tells how it is stored, and the non-square ones of a block vote for its
//! square ones.

use std::collections::{BTreeMap, HashMap};

use weightscope_core::{Confidence, Part, Role, Stack, TensorEntry};

use crate::config::Towers;
use crate::family::{Dim, Shape, Storage};
use crate::found::{Found, table_matrix};

/// The width of the residual stream that most norms (and the token embedding) of a tower have, or of the
/// whole model; `None` when nothing tells. config.json is not asked.
pub(crate) fn observed_hidden(
    entries: &[TensorEntry],
    found: &[Found],
    stack: Option<Stack>,
) -> Option<u64> {
    let within = |found: &Found| stack.is_none() || found.stack == stack;
    most_common(entries, found, within, |found, shape| match (found.shape, shape) {
        (Shape::Vector(Dim::Hidden), [n]) if found.part == Part::Weight => Some(*n),
        (Shape::Matrix(_, Dim::Hidden), [_, n]) if found.role == Role::TokenEmbedding => Some(*n),
        _ => None,
    })
    // A shard with neither: the short side of a fused projection.
    .or_else(|| {
        most_common(entries, found, within, |found, shape| match (found.shape, shape) {
            (Shape::Matrix(Dim::Qkv, Dim::Hidden), [a, b]) if a != b => Some(*a.min(b)),
            _ => None,
        })
    })
}

fn most_common(
    entries: &[TensorEntry],
    found: &[Found],
    within: impl Fn(&Found) -> bool,
    width: impl Fn(&Found, &[u64]) -> Option<u64>,
) -> Option<u64> {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for (entry, found) in std::iter::zip(entries, found).filter(|(_, found)| within(found)) {
        if let Some(n) = width(found, &entry.shape).filter(|n| *n > 0) {
            *counts.entry(n).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(n, _)| n)
}

/// Votes of the non-square matrices.
#[derive(Debug)]
pub(crate) struct Orientation<'a> {
    sizes: &'a Towers<'a>,
    /// Votes for `[in, out]` less votes for `[out, in]`.
    blocks: HashMap<(Option<Stack>, u32, Storage), i64>,
    model: HashMap<Storage, i64>,
}

impl<'a> Orientation<'a> {
    /// Counts the votes.
    pub(crate) fn new(entries: &[TensorEntry], found: &[Found], sizes: &'a Towers<'a>) -> Self {
        let mut votes = Self { sizes, blocks: HashMap::new(), model: HashMap::new() };
        for (entry, found) in std::iter::zip(entries, found) {
            // A format that fixes it says nothing of the others.
            let Some(block) = found.block.filter(|_| entry.orientation.is_none()) else {
                continue;
            };
            let Some(turned) = votes.evidence(found, &entry.shape) else { continue };
            let vote = if turned { 1 } else { -1 };
            *votes.blocks.entry((found.stack, block, found.storage)).or_default() += vote;
            *votes.model.entry(found.storage).or_default() += vote;
        }
        votes
    }

    /// Whether a tensor's matrix is stored `[in, out]`, and how sure that is.
    pub(crate) fn of(&self, found: &Found, entry: &TensorEntry) -> (bool, Confidence) {
        let shape = entry.shape.as_slice();
        if let Some(orientation) = entry.orientation {
            let confidence = if found.known { Confidence::Known } else { Confidence::Guessed };
            return (orientation == weightscope_core::Orientation::InOut, confidence);
        }
        if !found.known {
            return (false, Confidence::Guessed);
        }
        let Some([a, b]) = found.stored_matrix(shape) else { return (false, Confidence::Known) };
        if found.storage == Storage::Table || table_matrix(found).is_none() {
            return (false, Confidence::Known);
        }
        if let Some(turned) = self.evidence(found, shape) {
            return (turned, Confidence::Known);
        }
        let siblings = found
            .block
            .and_then(|block| self.blocks.get(&(found.stack, block, found.storage)))
            .filter(|votes| **votes != 0)
            .or_else(|| self.model.get(&found.storage).filter(|votes| **votes != 0));
        match siblings {
            // Not square, and yet neither side is right: the shape contradicts the table.
            Some(votes) if a != b && has_hidden(found) => (*votes > 0, Confidence::Assumed),
            Some(votes) => (*votes > 0, Confidence::Known),
            None => (found.storage == Storage::Conv1d, Confidence::Assumed),
        }
    }

    /// What a matrix says by itself: whether it is stored `[in, out]`.
    fn evidence(&self, found: &Found, shape: &[u64]) -> Option<bool> {
        let sizes = self.sizes.of(found.stack);
        let [a, b] = found.stored_matrix(shape)?;
        let [out, input] = table_matrix(found)?;
        if !has_hidden(found) {
            // Between two widths that only config.json knows.
            let [out, input] = [sizes.of(out)?, sizes.of(input)?];
            let [straight, turned] = [[out, input], [input, out]].map(|sides| sides == [a, b]);
            return (straight != turned).then_some(turned);
        }
        let hidden = sizes.hidden?;
        let hidden_first = match [out, input] {
            [Dim::Hidden, Dim::Hidden] => return None,
            [first, _] => first == Dim::Hidden,
        };
        match (a == hidden, b == hidden) {
            (true, false) => Some(!hidden_first),
            (false, true) => Some(hidden_first),
            _ => None,
        }
    }
}

/// Whether a side is as wide as the residual stream.
fn has_hidden(found: &Found) -> bool {
    table_matrix(found).is_some_and(|sides| sides.contains(&Dim::Hidden))
}
