//! A quantized matrix: codes, and what they are multiplied with.

use super::block::Walk;
use super::{Block, Extent, Grain, LANES, Lanes, SPAN, Scheme, ShapeError};

/// A matrix in a [`Scheme`]: a code per value and a scale per grain. Codes are the format's bits (two's
/// complement of 8 bits for symmetric integers), not packed.
#[derive(Clone, Debug)]
pub struct Encoded {
    scheme: &'static Scheme,
    shape: [usize; 2],
    codes: Vec<u16>,
    grains: Vec<GrainScale>,
}

/// How the codes of one grain become values: `offset + step * point`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GrainScale {
    /// The step.
    pub step: f32,
    /// The value of the point zero.
    pub offset: f32,
    /// The code of the point zero, of integers with a zero point.
    pub zero_point: f32,
}

impl Encoded {
    pub(super) fn new(
        scheme: &'static Scheme,
        walk: &dyn Walk,
        values: &[f32],
        shape: [usize; 2],
    ) -> Result<Self, ShapeError> {
        let [rows, width] = shape;
        if rows.checked_mul(width) != Some(values.len()) {
            return Err(ShapeError { values: values.len(), shape });
        }
        let tensor = values.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
        let layout = Layout { grain: scheme.grain, width };
        let mut codes = vec![0; values.len()];
        let mut grains = vec![GrainScale::default(); layout.grains(rows)];
        let mut columns = vec![Lanes::default(); width];
        for first in (0..rows).step_by(LANES) {
            let count = LANES.min(rows - first);
            for (lane, row) in values[first * width..].chunks_exact(width).take(count).enumerate() {
                columns.iter_mut().zip(row).for_each(|(column, w)| column.0[lane] = *w);
            }
            let channel = Extent::of(&columns);
            for (left, columns) in (0..).step_by(SPAN).zip(columns.chunks(SPAN)) {
                let cells = Extent::cells(columns);
                let block = Block { columns, cells: &cells, channel: &channel, tensor };
                let mut scale =
                    |column: usize, lane: usize, [step, offset, zero_point]: [f32; 3]| {
                        if lane < count {
                            let grain = layout.grain_of(first + lane, left + column);
                            grains[grain] = GrainScale { step, offset, zero_point };
                        }
                    };
                let mut code = |column: usize, lane: usize, code: u16| {
                    if lane < count {
                        codes[(first + lane) * width + left + column] = code;
                    }
                };
                walk.encode(scheme.grain, &block, &mut scale, &mut code);
            }
        }
        Ok(Self { scheme, shape, codes, grains })
    }

    /// The scheme.
    pub fn scheme(&self) -> &'static Scheme {
        self.scheme
    }

    /// `[out, in]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// A code for every value, row after row.
    pub fn codes(&self) -> &[u16] {
        &self.codes
    }

    /// The scale of every grain, row after row; one for plain casts.
    pub fn grains(&self) -> &[GrainScale] {
        &self.grains
    }

    /// The restored values, row after row, with products in `f32`.
    pub fn decode(&self) -> Vec<f32> {
        let layout = Layout { grain: self.scheme.grain, width: self.shape[1] };
        let value = |(index, code): (usize, &u16)| {
            let width = layout.width.max(1);
            let grain = self.grains[layout.grain_of(index / width, index % width)];
            let scaled = self.scheme.walk.point(*code, grain.zero_point) * grain.step;
            if grain.offset == 0.0 { scaled } else { scaled + grain.offset }
        };
        self.codes.iter().enumerate().map(value).collect()
    }
}

/// Where grains lie.
#[derive(Clone, Copy)]
struct Layout {
    grain: Grain,
    width: usize,
}

impl Layout {
    fn grains(self, rows: usize) -> usize {
        match self.grain {
            Grain::Value | Grain::Tensor => 1,
            Grain::Channel => rows,
            Grain::Group(size) => rows * self.width.div_ceil(size as usize),
        }
    }

    fn grain_of(self, row: usize, column: usize) -> usize {
        match self.grain {
            Grain::Value | Grain::Tensor => 0,
            Grain::Channel => row,
            Grain::Group(size) => row * self.width.div_ceil(size as usize) + column / size as usize,
        }
    }
}
