//! The order of a report: embeddings, blocks by depth, final norm and head, everything else by name.

use weightscope_core::{Role, Stack, TensorEntry};

use crate::found::Found;
use crate::name::by_number;

/// Where a tensor stands; compared before names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// With tokens before positions before types before their norm.
    Embedding(Role),
    Block(Option<Stack>, u32),
    /// With the norm before the head.
    End(Role),
    Rest,
}

/// The stored tensors in report order. Whatever is listed or picked goes through this, so that the order of
/// the file does not show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InOrder<'a> {
    pub(crate) entries: &'a [TensorEntry],
    pub(crate) found: &'a [Found],
    /// Indices of both.
    pub(crate) order: &'a [usize],
}

impl<'a> InOrder<'a> {
    /// Index, entry and what was found of it.
    pub(crate) fn iter(self) -> impl Iterator<Item = (usize, &'a TensorEntry, &'a Found)> {
        self.order.iter().filter_map(move |index| {
            Some((*index, self.entries.get(*index)?, self.found.get(*index)?))
        })
    }
}

/// Indices of `entries` in report order.
pub(crate) fn report_order(entries: &[TensorEntry], found: &[Found]) -> Vec<usize> {
    let mut order: Vec<(Place, &str, usize)> = std::iter::zip(entries, found)
        .enumerate()
        .map(|(index, (entry, found))| (place(&entry.name, found), entry.name.as_str(), index))
        .collect();
    order.sort_unstable_by(|(place_a, name_a, index_a), (place_b, name_b, index_b)| {
        place_a
            .cmp(place_b)
            .then_with(|| by_number(name_a, name_b))
            .then_with(|| index_a.cmp(index_b))
    });
    order.into_iter().map(|(_, _, index)| index).collect()
}

fn place(name: &str, found: &Found) -> Place {
    if let Some(block) = found.block {
        return Place::Block(found.stack, block);
    }
    match found.role {
        _ if !found.part.is_parameter() => Place::Rest,
        Role::TokenEmbedding | Role::PositionEmbedding | Role::TypeEmbedding => {
            Place::Embedding(found.role)
        }
        Role::Norm if name.contains("embed") => Place::Embedding(found.role),
        Role::Norm | Role::Head => Place::End(found.role),
        _ => Place::Rest,
    }
}
