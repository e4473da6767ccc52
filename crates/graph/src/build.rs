//! Making weights of stored tensors.

use weightscope_core::{
    Confidence, EntryId, FusedPart, Heads, Layout, Part, TensorEntry, Weight, element_count,
};

use crate::WalkOptions;
use crate::adapter::Adapters;
use crate::config::Towers;
use crate::family::{Fused, Storage};
use crate::found::{Found, rank_agrees};
use crate::orient::Orientation;
use crate::split::{self, Cut, Outputs};

/// More experts than this in one tensor are no experts.
const MAX_EXPERTS: u64 = 4096;

/// How many weights and row ranges cutting tensors may add in all, so that a header of a few megabytes
/// cannot ask for gigabytes of them. The largest models need about 50,000.
const MAX_PIECES: u64 = 1 << 18;

/// Turns entries into weights, in the order they are added.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    /// What came out.
    pub(crate) weights: Vec<Weight>,
    options: WalkOptions,
    sizes: &'a Towers<'a>,
    orientation: &'a Orientation<'a>,
    adapters: &'a Adapters,
    pieces_left: u64,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        options: WalkOptions,
        sizes: &'a Towers<'a>,
        orientation: &'a Orientation<'a>,
        adapters: &'a Adapters,
    ) -> Self {
        Self { weights: Vec::new(), options, sizes, orientation, adapters, pieces_left: MAX_PIECES }
    }

    /// Adds the weight or weights of an entry.
    pub(crate) fn add(&mut self, index: usize, entry: &TensorEntry, found: &Found) {
        let Ok(id) = u32::try_from(index) else { return };
        let mut weight = self.whole(EntryId(id), entry, found);
        if let Some(experts) = self.experts(&weight, found) {
            for expert in experts {
                match self.expert_parts(&expert, found) {
                    Some(parts) => self.weights.extend(parts),
                    None => self.weights.push(expert),
                }
            }
        } else if let Some(parts) = self.parts(&weight, found) {
            self.weights.extend(parts);
        } else {
            weight.fused = self.fused(&weight, found).unwrap_or_default();
            self.weights.push(weight);
        }
    }

    /// The whole stored tensor as one weight.
    fn whole(&self, id: EntryId, entry: &TensorEntry, found: &Found) -> Weight {
        let (mut transposed, oriented) = self.orientation.of(found, entry);
        let placed = self.adapters.of(id);
        if let Some(placed) = placed {
            transposed = placed.turned;
        }
        let [rows, columns] = match entry.shape.as_slice() {
            // A table for a batch of one.
            [1, table @ ..] if found.storage == Storage::Table => stored_dimensions(table),
            shape => stored_dimensions(shape),
        };
        let matrix = match entry.shape.len() {
            // Biases of stacked experts have two dimensions, and packed values not those of the matrix.
            _ if found.part == Part::Bias || found.packed => None,
            0 | 1 => None,
            _ => Some(oriented_matrix([rows, columns], transposed && !found.stacked)),
        };
        let confidence = match oriented {
            Confidence::Known if !rank_agrees(found, &entry.shape) => Confidence::Assumed,
            confidence => confidence,
        };
        Weight {
            name: entry.name.clone(),
            entry: id,
            source_tensor: entry.name.clone(),
            role: found.role,
            part: found.part,
            stack: found.stack,
            block: found.block,
            expert: found.expert,
            dtype: entry.dtype,
            shape: entry.shape.clone(),
            layout: Layout::whole(rows, columns),
            matrix,
            transposed,
            heads: self.heads(found, matrix),
            fused: Vec::new(),
            from_one: false,
            factor: placed.map(|placed| placed.factor.clone()),
            confidence,
        }
    }

    /// The experts of a stack; `None` when it is none.
    fn experts(&mut self, whole: &Weight, found: &Found) -> Option<Vec<Weight>> {
        let shape: [u64; 3] = whole.shape.as_slice().try_into().ok().filter(|_| found.stacked)?;
        let [count, a, b] = shape;
        let expert_count = u32::try_from(count).ok().filter(|_| count <= MAX_EXPERTS)?;
        // With no columns the number of rows may be anything.
        count.checked_mul(a)?;
        // Every expert carries the name.
        self.take_pieces(count.checked_mul(1 + whole.name.len() as u64 / 128)?)?;
        let expert = |number: u32| {
            let start = u64::from(number) * a;
            let rows = start..start + a;
            Weight {
                name: format!("{}#{number}", whole.source_tensor),
                expert: Some(number),
                shape: vec![a, b],
                layout: Layout { stored_columns: b, row_ranges: vec![rows], column_range: 0..b },
                matrix: Some(oriented_matrix([a, b], whole.transposed)),
                ..whole.clone()
            }
        };
        Some((0..expert_count).map(expert).collect())
    }

    /// Gate and up of one expert of a stack; `None` when it is to stay whole.
    fn expert_parts(&mut self, expert: &Weight, found: &Found) -> Option<Vec<Weight>> {
        let fused = found.fused.filter(|_| self.options.split_fused)?;
        let [outputs, input] = expert.matrix?;
        let parts = self.cuts(fused, outputs, found)?.into_iter().map(|cut| {
            let size = cut.size();
            let within = cut.ranges.first()?.clone();
            let mut layout = expert.layout.clone();
            let shape = if expert.transposed {
                layout.column_range = within;
                vec![input, size]
            } else {
                let rows = layout.row_ranges.first_mut()?;
                *rows = rows.start + within.start..rows.start + within.end;
                vec![size, input]
            };
            Some(Weight {
                name: format!("{}#{}", expert.name, cut.name),
                role: cut.role,
                shape,
                layout,
                matrix: Some([size, input]),
                ..expert.clone()
            })
        });
        parts.collect()
    }

    /// The parts of a fused tensor; `None` when it is to stay whole or cannot be cut.
    fn parts(&mut self, whole: &Weight, found: &Found) -> Option<Vec<Weight>> {
        let fused = found.fused.filter(|_| self.options.split_fused)?;
        let axis = match (whole.shape.as_slice(), whole.part) {
            ([_, _], Part::Weight) if whole.transposed => split::Axis::Columns,
            ([_, _], Part::Weight) => split::Axis::Rows,
            ([_], Part::Bias) => split::Axis::Bias,
            _ => return None,
        };
        let outputs = match whole.matrix {
            Some([outputs, _]) => outputs,
            None => *whole.shape.first()?,
        };
        self.cuts(fused, outputs, found)?
            .into_iter()
            .map(|cut| {
                let size = cut.size();
                let (layout, shape) = axis.layout(&whole.shape, cut.ranges)?;
                let matrix = whole.matrix.map(|[_, input]| [size, input]);
                Some(Weight {
                    name: format!("{}#{}", whole.source_tensor, cut.name),
                    role: cut.role,
                    shape,
                    layout,
                    matrix,
                    heads: self.heads(&Found { role: cut.role, ..found.clone() }, matrix),
                    ..whole.clone()
                })
            })
            .collect()
    }

    /// What a fused matrix that stays whole holds; `None` when it holds one thing or cannot be cut.
    fn fused(&mut self, whole: &Weight, found: &Found) -> Option<Vec<FusedPart>> {
        let (fused, [outputs, _]) = (found.fused?, whole.matrix?);
        let cuts = self.cuts(fused, outputs, found)?;
        Some(cuts.into_iter().map(|cut| FusedPart { role: cut.role, rows: cut.ranges }).collect())
    }

    fn cuts(&mut self, fused: Fused, count: u64, found: &Found) -> Option<Vec<Cut>> {
        let sizes = self.sizes.of(found.stack);
        let outputs = Outputs { count, heads: sizes.heads, hidden: sizes.hidden };
        let cuts = split::cut(fused, &outputs)?;
        self.take_pieces(cuts.iter().map(|cut| cut.ranges.len() as u64).sum())?;
        Some(cuts)
    }

    fn take_pieces(&mut self, count: u64) -> Option<()> {
        self.pieces_left = self.pieces_left.checked_sub(count)?;
        Some(())
    }

    /// The heads of an attention projection whose shape agrees with config.json.
    fn heads(&self, found: &Found, matrix: Option<[u64; 2]>) -> Option<Heads> {
        let matrix = matrix.filter(|_| found.part == Part::Weight)?;
        self.sizes.of(found.stack).heads_of(found.role, matrix)
    }
}

/// Rows and columns of a stored tensor seen as a matrix; `[0, 0]` when its size overflows.
fn stored_dimensions(shape: &[u64]) -> [u64; 2] {
    if element_count(shape).is_none() {
        return [0, 0];
    }
    match shape {
        [] => [1, 1],
        [n] => [1, *n],
        [rows, rest @ ..] => [*rows, element_count(rest).unwrap_or(0)],
    }
}

fn oriented_matrix([a, b]: [u64; 2], transposed: bool) -> [u64; 2] {
    if transposed { [b, a] } else { [a, b] }
}
