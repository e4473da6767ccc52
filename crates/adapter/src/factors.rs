//! The two factors of a module, and several of them side by side, as matrices that `weightscope-linalg` reads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use weightscope_core::{AnalyzeError, ModelGraph, Role, WeightId, WeightView};
use weightscope_linalg::{Matrix, Order, SpectrumError};

/// A and B of every product, in the order of the A's; only those whose shapes fit.
pub(crate) fn pairs(graph: &ModelGraph) -> Vec<[WeightId; 2]> {
    let mut found: BTreeMap<_, [Option<WeightId>; 2]> = BTreeMap::new();
    for (id, weight) in (0..).map(WeightId).zip(&graph.weights) {
        let Some(factor) = weight.factor.as_ref().filter(|_| weight.dtype.is_some()) else {
            continue;
        };
        // The same module of two checkpoints is two.
        let place = (Arc::as_ptr(factor), weight.expert);
        let is_b = usize::from(weight.role == Role::AdapterB);
        if let Some(slot) = found.entry(place).or_default().get_mut(is_b) {
            slot.get_or_insert(id);
        }
    }
    let size = |id: WeightId| graph.weights.get(id.0 as usize).and_then(|weight| weight.matrix);
    let mut pairs: Vec<[WeightId; 2]> = found
        .into_values()
        .filter_map(|[a, b]| Some([a?, b?]))
        .filter(|[a, b]| {
            let inner = |[rank, _]: [u64; 2]| size(*b).is_some_and(|[_, other]| other == rank);
            size(*a).is_some_and(inner)
        })
        .collect();
    pairs.sort_unstable();
    pairs
}

/// Which side of a product a factor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A, `[r, in]`.
    A,
    /// B, `[out, r]`.
    B,
}

/// One expert's part of a stored factor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) view: WeightView<'a>,
    /// How many experts there are and which of them it is: A's rows are cut into as many runs, B's columns are dealt
    /// out in turn.
    pub(crate) experts: u64,
    pub(crate) expert: u64,
    /// What the values are multiplied with.
    pub(crate) scale: f64,
    /// The largest magnitude of its values.
    pub(crate) magnitude: f64,
}

impl Part<'_> {
    fn shape(&self, side: Side) -> [usize; 2] {
        let [rows, columns] = self.view.size();
        let experts = self.experts.max(1);
        let shape = match side {
            Side::A => [rows / experts, columns],
            Side::B => [rows, columns / experts],
        };
        shape.map(|n| n as usize)
    }

    fn read(
        &self,
        side: Side,
        rows: Range<u64>,
        columns: Range<u64>,
        order: Order,
        into: &mut [f64],
    ) -> Result<(), AnalyzeError> {
        let stored = match order {
            Order::RowMajor => weightscope_core::Order::RowMajor,
            Order::ColumnMajor => weightscope_core::Order::ColumnMajor,
        };
        match side {
            _ if self.experts <= 1 => self.view.block(rows, columns, stored, into)?,
            Side::A => {
                let first = self.expert * self.shape(side)[0] as u64;
                self.view.block(first + rows.start..first + rows.end, columns, stored, into)?;
            }
            Side::B => {
                let (height, width) = (rows.end - rows.start, columns.end - columns.start);
                let target = Target { size: [height as usize, width as usize], order };
                let mut line = vec![0.0; height as usize];
                for (place, column) in columns.enumerate() {
                    let column = column * self.experts + self.expert;
                    self.view.block(rows.clone(), column..column + 1, stored, &mut line)?;
                    target.put(into, &line, [0, place], [height as usize, 1]);
                }
            }
        }
        for value in into {
            *value *= self.scale;
        }
        Ok(())
    }
}

/// Where blocks are put together.
struct Target {
    size: [usize; 2],
    order: Order,
}

impl Target {
    /// Copies a block of this size, laid out in the same order, to the place where it begins.
    fn put(&self, into: &mut [f64], block: &[f64], [row, column]: [usize; 2], size: [usize; 2]) {
        let ([height, width], [rows, columns]) = (self.size, size);
        let (stride, first, lines, length) = match self.order {
            Order::RowMajor => (width, row * width + column, rows, columns),
            Order::ColumnMajor => (height, column * height + row, columns, rows),
        };
        for (line, source) in (0..lines).zip(block.chunks_exact(length.max(1))) {
            let start = first + line * stride;
            if let Some(target) = into.get_mut(start..start + length) {
                target.copy_from_slice(source);
            }
        }
    }
}

/// A factor, or the same factor of several adapters side by side: B's columns after each other, and A's rows.
#[derive(Clone, Debug)]
pub(crate) struct Factors<'a> {
    pub(crate) side: Side,
    pub(crate) parts: Vec<Part<'a>>,
}

impl Matrix for Factors<'_> {
    type Error = AnalyzeError;

    fn shape(&self) -> [usize; 2] {
        let shapes = self.parts.iter().map(|part| part.shape(self.side));
        shapes.fold([0, 0], |[rows, columns], [m, n]| match self.side {
            Side::A => [rows + m, n],
            Side::B => [m, columns + n],
        })
    }

    fn magnitude(&self) -> f64 {
        self.parts.iter().fold(0.0, |most, part| most.max(part.magnitude * part.scale.abs()))
    }

    fn read(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        order: Order,
        into: &mut [f64],
    ) -> Result<(), AnalyzeError> {
        let wide = |range: &Range<usize>| range.start as u64..range.end as u64;
        if let [part] = &self.parts[..] {
            return part.read(self.side, wide(&rows), wide(&columns), order, into);
        }
        let target = Target { size: [rows.len(), columns.len()], order };
        let mut before = 0;
        for part in &self.parts {
            let [height, width] = part.shape(self.side);
            let (along, length) = match self.side {
                Side::A => (&rows, height),
                Side::B => (&columns, width),
            };
            let own = along.start.max(before)..along.end.min(before + length);
            if !own.is_empty() {
                let place = own.start - along.start;
                let within = (own.start - before) as u64..(own.end - before) as u64;
                let (own_rows, own_columns, place, size) = match self.side {
                    Side::A => (within, wide(&columns), [place, 0], [own.len(), columns.len()]),
                    Side::B => (wide(&rows), within, [0, place], [rows.len(), own.len()]),
                };
                let mut block = vec![0.0; size[0] * size[1]];
                part.read(self.side, own_rows, own_columns, order, &mut block)?;
                target.put(into, &block, place, size);
            }
            before += length;
        }
        Ok(())
    }
}

/// What the engine is told.
pub(crate) fn analyze_error(error: SpectrumError<AnalyzeError>) -> AnalyzeError {
    match error {
        SpectrumError::Read(error) => error,
        SpectrumError::Stopped => AnalyzeError::Cancelled,
        other => AnalyzeError::Other(other.to_string().into()),
    }
}
