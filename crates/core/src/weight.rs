//! A weight as a person means it, and the model it belongs to.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{DType, EntryId, Kind, ModelSummary, Part, Role, Stack, TensorEntry, WeightId};

/// One weight: a stored tensor, one expert of a stack, or one part of a fused tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// The tensor's name; `<tensor>#<expert>` or `<tensor>#q` for a part of it.
    pub name: String,
    /// The stored tensor it lies in.
    pub entry: EntryId,
    /// That tensor's name.
    pub source_tensor: String,
    /// What it does.
    pub role: Role,
    /// Which part of its module it is.
    pub part: Part,
    /// Which tower it belongs to.
    pub stack: Option<Stack>,
    /// Depth within the tower, from 0.
    pub block: Option<u32>,
    /// Expert number, from 0.
    pub expert: Option<u32>,
    /// Element type; `None` when unknown, and the weight is skipped.
    pub dtype: Option<DType>,
    /// Shape as stored (of the part, when it is one).
    pub shape: Vec<u64>,
    /// Where its elements lie in the stored tensor.
    pub layout: Layout,
    /// `[out, in]`, output units first, however it is stored; `None` with fewer than two dimensions.
    pub matrix: Option<[u64; 2]>,
    /// Whether it is stored `[in, out]`.
    pub transposed: bool,
    /// Attention heads, where known.
    pub heads: Option<Heads>,
    /// What a fused weight holds, where it is known how to cut it; empty for every other.
    pub fused: Vec<FusedPart>,
    /// Of a norm, whether it holds gains less one: what is multiplied with is 1 + w.
    pub from_one: bool,
    /// Of a factor of a low-rank adapter, what it is a factor of.
    pub factor: Option<Arc<Factor>>,
    /// How sure the graph walker is of role and orientation.
    pub confidence: Confidence,
}

impl Weight {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.layout.rows() * self.layout.columns()
    }

    /// Its shape and whether that is `[in, out]`, as reports tell them. Which way codes lie in a file is their packing's
    /// affair: what they decode to is told output units first. `entry` is the one it lies in.
    pub fn told_shape(&self, entry: Option<&TensorEntry>) -> (Cow<'_, [u64]>, bool) {
        let is_decoded = entry.is_some_and(|entry| entry.stored.is_some());
        match self.shape.as_slice() {
            [outer @ .., rows, columns] if is_decoded && self.transposed => {
                (Cow::Owned([outer, &[*columns, *rows]].concat()), false)
            }
            shape => (Cow::Borrowed(shape), self.transposed),
        }
    }

    /// How verdicts treat it.
    pub fn kind(&self) -> Kind {
        Kind::of(self.role, self.part, self.matrix)
    }
}

/// What a low-rank adapter adds to one module: `scale B A`. Both factors have the same one.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// The module that it is added to, without what wrappers put into names, as `model.layers.0.self_attn.q_proj`, and
    /// the name of the adapter where it has one: `q_proj (default)`.
    pub module: String,
    /// What the product is multiplied with; 1 where nothing tells.
    pub scale: f64,
    /// What the scale comes from, in words: `alpha 16 / rank 8`.
    pub scale_from: String,
    /// Products that lie in the two factors, A's rows one expert after the other and B's columns one rank after the
    /// other; 1 unless the module is a stack of experts.
    pub experts: u64,
    /// The rank that the configuration gives this module.
    pub configured_rank: Option<u64>,
}

/// Attention heads of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Heads {
    /// Query heads.
    pub query: u32,
    /// Key and value heads; fewer than query heads with grouped-query attention.
    pub key_value: u32,
    /// Features per head.
    pub head_dim: u32,
}

/// One part of a fused weight: q, k or v of a qkv, gate or up of a gate_up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FusedPart {
    /// What it does.
    pub role: Role,
    /// Its rows of the matrix `[out, in]`, ascending.
    pub rows: Vec<Range<u64>>,
}

/// How sure the graph walker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Confidence {
    /// A known family's name, with shapes that agree.
    Known,
    /// A known name, but the shapes left the orientation open; the family's usual one is assumed.
    Assumed,
    /// Guessed from words in the name.
    Guessed,
}

/// Which elements of a stored tensor make a weight: some of the rows, and a range of the columns, of the
/// tensor seen as a matrix with its last dimension (or, of more than two, all but the first) as columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Columns of the stored matrix.
    pub stored_columns: u64,
    /// Stored rows in order: one range for a whole tensor or an expert, one a head for interleaved qkv.
    pub row_ranges: Vec<Range<u64>>,
    /// Stored columns that belong to the weight.
    pub column_range: Range<u64>,
}

impl Layout {
    /// The whole of a `rows` x `columns` matrix.
    pub fn whole(rows: u64, columns: u64) -> Self {
        Self {
            stored_columns: columns,
            row_ranges: std::iter::once(0..rows).collect(),
            column_range: 0..columns,
        }
    }

    /// Rows of the weight as stored.
    pub fn rows(&self) -> u64 {
        self.row_ranges.iter().map(|r| r.end - r.start).sum()
    }

    /// Columns of the weight as stored.
    pub fn columns(&self) -> u64 {
        self.column_range.end - self.column_range.start
    }

    /// Where the columns `columns` of the weight's row `row` lie in the stored tensor, in elements.
    pub fn span(&self, row: u64, columns: Range<u64>) -> Option<Range<u64>> {
        let mut left = row;
        for range in &self.row_ranges {
            let count = range.end - range.start;
            if left < count {
                let start = (range.start + left) * self.stored_columns + self.column_range.start;
                return (columns.end <= self.columns())
                    .then(|| start + columns.start..start + columns.end);
            }
            left -= count;
        }
        None
    }

    /// How many rows from `row` on lie in one unbroken span with it (1 when columns are left out).
    pub fn unbroken_rows(&self, row: u64) -> u64 {
        if self.columns() != self.stored_columns {
            return 1;
        }
        let mut left = row;
        for range in &self.row_ranges {
            let count = range.end - range.start;
            if left < count {
                return count - left;
            }
            left -= count;
        }
        0
    }
}

/// A checkpoint as a model: its weights in report order and what their names and shapes say of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelGraph {
    /// Embeddings, blocks by depth, head; then by name. [`crate::WeightId`] indexes this.
    pub weights: Vec<Weight>,
    /// Family, sizes, categories, tied and missing tensors.
    pub summary: ModelSummary,
    /// In a comparison, which weights of the two checkpoints are the same; `None` in a scan.
    pub pairing: Option<Pairing>,
}

/// Two checkpoints weight by weight: BASE, and TUNED that is held against it.
///
/// The graph's weights are those of BASE, then those of TUNED, each in the order of its model. A weight of which only
/// a part has a counterpart (the common rows of two vocabularies) has the layout of that part and its own shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairing {
    /// BASE's weight and TUNED's, in the order of BASE.
    pub pairs: Vec<[WeightId; 2]>,
    /// Weights without a counterpart that can be compared, and why: BASE's, then TUNED's.
    pub unpaired: Vec<Unpaired>,
    /// What TUNED is; the graph's own summary is BASE's.
    pub tuned: ModelSummary,
}

/// A weight without a counterpart that it can be compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpaired {
    /// BASE's or TUNED's.
    pub weight: WeightId,
    /// The name of the counterpart, where there is one that does not fit.
    pub other: Option<String>,
    /// Why there is no comparison.
    pub reason: String,
    /// Whether that is an error of the file rather than a difference of the models.
    pub is_error: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_interleaved_rows() {
        // Two heads of (q, k, v) with two rows each: q is rows 0..2 and 6..8.
        let q = Layout { stored_columns: 4, row_ranges: vec![0..2, 6..8], column_range: 0..4 };
        assert_eq!((q.rows(), q.columns()), (4, 4));
        assert_eq!(q.span(2, 1..3), Some(25..27));
        assert_eq!((q.unbroken_rows(0), q.unbroken_rows(3)), (2, 1));
        assert_eq!((q.span(4, 0..4), q.span(0, 0..5)), (None, None));
    }

    #[test]
    fn spans_of_a_column_range() {
        let k = Layout {
            stored_columns: 12,
            row_ranges: std::iter::once(0..3).collect(),
            column_range: 4..8,
        };
        assert_eq!(k.span(2, 0..4), Some(28..32));
        assert_eq!(k.unbroken_rows(0), 1);
    }
}
