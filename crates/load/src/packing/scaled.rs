//! Values that are codes times factors: what most packings come down to.
//!
//! A value is `(code - zero) * factor + offset`. Codes and zero points are small integers or floats of a few bits, so
//! that their difference is exact in `f32`; a factor of two levels is made in `f64`, and the product (with the offset,
//! where there is one) is rounded to `f32` once.

use weightscope_core::DType;

use super::codes::{Codes, Words};
use super::grid::{Grid, Window};
use super::{Parts, Restore, RestoreError, Tensors, Tile};
use crate::container::{Encoding, StoredTensor};

/// Codes in part 0, factors in part 1, and what there is beside them.
#[derive(Debug)]
pub(super) struct Scaled {
    pub(super) codes: Codes,
    /// Stored bytes of a row of codes.
    pub(super) row_bytes: u64,
    /// Where the factors, zero points and offsets belong.
    pub(super) grid: Grid,
    /// Type of the factors.
    pub(super) factor: DType,
    /// What all factors of a tensor, or of a matrix of a stack, are multiplied with.
    pub(super) common: Option<Common>,
    pub(super) zeros: Option<Zeros>,
    /// Part and type of the numbers that are added.
    pub(super) offsets: Option<(usize, DType)>,
    /// The column of factors that each column of the weights has, where they do not follow each other.
    pub(super) groups: Option<Box<[u32]>>,
}

/// The second level of factors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) part: usize,
    pub(super) dtype: DType,
    /// Whether each matrix of a stack has its own.
    pub(super) is_by_matrix: bool,
    /// Whether the first level is divided by it.
    pub(super) divides: bool,
}

/// What is subtracted from codes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Zeros {
    /// As many as factors, in a part of its own.
    Plain(usize, DType),
    /// Packed along the rows of each matrix: words of 32 bits for each column of factors, `words` rows of them.
    Packed { part: usize, bits: u32, layout: Words, offset: u8, words: u64 },
}

/// The type that factors are read as: bytes are exponents.
pub(super) fn factor_type(factors: &StoredTensor) -> Option<DType> {
    match factors.encoding {
        Encoding::Plain(DType::U8) => Some(DType::F8E8M0),
        Encoding::Plain(dtype) if dtype.is_float() => Some(dtype),
        _ => None,
    }
}

/// Side tensors that speak of activations: not needed for the weights, but part of how they are stored. `stem` is what
/// stands before them, with its dot or underscore.
pub(super) fn beside_activations(stem: &str, tensors: &Tensors<'_>) -> Vec<usize> {
    let found = ACTIVATIONS.iter().filter_map(|last| tensors.get(&format!("{stem}{last}")));
    found.filter(|(_, tensor)| tensor.dtype().is_some()).map(|(index, _)| index).collect()
}

/// Names of side tensors for activations.
const ACTIVATIONS: &[&str] = &[
    "input_scale",
    "input_scale_inv",
    "input_zero_point",
    "input_global_scale",
    "activation_scale",
    "activation_scale_inv",
    "qscale_act",
    "scale_input",
];

impl Scaled {
    /// Codes, factors and no more.
    pub(super) fn new(codes: Codes, row_bytes: u64, grid: Grid, factor: DType) -> Self {
        Self {
            codes,
            row_bytes,
            grid,
            factor,
            common: None,
            zeros: None,
            offsets: None,
            groups: None,
        }
    }

    /// The factors of a window, their second level applied.
    fn factors(&self, window: &Window, parts: &Parts<'_>) -> Result<Vec<f64>, RestoreError> {
        let mut factors = numbers(parts, 1, self.factor, window.elements(self.grid.across()))?;
        let Some(common) = self.common else { return Ok(factors) };
        let matrix = |band: u64| {
            let of = band.checked_div(self.grid.down()).unwrap_or(0);
            if common.is_by_matrix { of } else { 0 }
        };
        let first = matrix(window.bands.start);
        let last = matrix(window.bands.end.saturating_sub(1));
        let levels = numbers(parts, common.part, common.dtype, first..last.saturating_add(1))?;
        for (band, row) in window.bands.clone().zip(factors.chunks_mut(window.width().max(1))) {
            let at = usize::try_from(matrix(band).saturating_sub(first)).ok();
            let level = at.and_then(|at| levels.get(at)).copied().ok_or_else(too_few)?;
            for factor in row {
                *factor = if common.divides { *factor / level } else { *factor * level };
            }
        }
        Ok(factors)
    }

    /// The zero points of a window, in the order of its factors.
    fn zeros(
        &self,
        zeros: Zeros,
        window: &Window,
        parts: &Parts<'_>,
    ) -> Result<Vec<f32>, RestoreError> {
        let across = self.grid.across();
        let (part, bits, layout, offset, words) = match zeros {
            Zeros::Plain(part, dtype) => {
                let zeros = numbers(parts, part, dtype, window.elements(across))?;
                return Ok(zeros.into_iter().map(narrowed).collect());
            }
            Zeros::Packed { part, bits, layout, offset, words } => {
                (part, bits, layout, offset, words)
            }
        };
        // Where the zero point of a row begins: its row of words, and the bit of these.
        let place = |band: u64| {
            let matrix = band.checked_div(self.grid.matrix_rows()).unwrap_or(0);
            let row = band.checked_rem(self.grid.matrix_rows()).unwrap_or(0);
            let (word, bit) = match layout {
                Words::Dense => {
                    let bit = row.saturating_mul(u64::from(bits));
                    (bit.checked_div(32), bit.checked_rem(32))
                }
                Words::Whole => {
                    let in_a_word = u64::from(32u32.checked_div(bits).unwrap_or(1));
                    let at = row.checked_rem(in_a_word).unwrap_or(0);
                    (row.checked_div(in_a_word), at.checked_mul(u64::from(bits)))
                }
            };
            let bit = bit.and_then(|bit| u32::try_from(bit).ok()).unwrap_or(0);
            (matrix.saturating_mul(words).saturating_add(word.unwrap_or(0)), bit)
        };
        let crosses = |bit: u32| bit.saturating_add(bits) > 32;
        let (first, _) = place(window.bands.start);
        let (last, bit) = place(window.bands.end.saturating_sub(1));
        let end = last.saturating_add(if crosses(bit) { 2 } else { 1 });
        let start = first.saturating_mul(across).saturating_mul(4);
        let bytes = parts.bytes(part, start..end.saturating_mul(across).saturating_mul(4))?;
        let (stored, _) = bytes.as_chunks::<4>();
        let row_of = |word: u64| {
            let from = word.saturating_sub(first).saturating_mul(across);
            let from = usize::try_from(from.saturating_add(window.columns.start)).ok()?;
            stored.get(from..from.checked_add(window.width())?)
        };
        let mask = 1u64.wrapping_shl(bits).wrapping_sub(1);
        let mut found = Vec::with_capacity(
            usize::try_from(window.bands.end.saturating_sub(window.bands.start))
                .unwrap_or(0)
                .saturating_mul(window.width()),
        );
        for band in window.bands.clone() {
            let (word, bit) = place(band);
            let low = row_of(word).ok_or_else(too_few)?;
            let high = if crosses(bit) {
                row_of(word.saturating_add(1)).ok_or_else(too_few)?
            } else {
                low
            };
            found.extend(low.iter().zip(high).map(|(low, high)| {
                let both = u64::from(u32::from_le_bytes(*high)) << 32
                    | u64::from(u32::from_le_bytes(*low));
                let [code, ..] = (both.wrapping_shr(bit) & mask).to_le_bytes();
                f32::from(code) - f32::from(offset)
            }));
        }
        Ok(found)
    }

    /// Calls `visit` with every run of a tile that shares a factor, and the number of the factor in the window.
    fn runs(
        &self,
        tile: &Tile,
        window: &Window,
        into: &mut [f32],
        mut visit: impl FnMut(&mut [f32], usize),
    ) -> Result<(), RestoreError> {
        let [_, wide] = self.grid.block();
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        // Values of the first factor of a row.
        let head = wide.saturating_sub(tile.columns.start.checked_rem(wide.max(1)).unwrap_or(0));
        let (head, wide) = (size(head).max(1), size(wide).max(1));
        let groups = match &self.groups {
            Some(groups) => {
                let range = size(tile.columns.start)..size(tile.columns.end);
                Some(groups.get(range).ok_or_else(too_few)?)
            }
            None => None,
        };
        for (row, line) in tile.rows.clone().zip(into.chunks_mut(tile.width().max(1))) {
            let band = self.grid.band(row).saturating_sub(window.bands.start);
            let mut at = size(band).saturating_mul(window.width());
            if let Some(groups) = groups {
                for (value, group) in line.iter_mut().zip(groups) {
                    visit(std::slice::from_mut(value), at.saturating_add(*group as usize));
                }
                continue;
            }
            let (first, rest) = line.split_at_mut(head.min(line.len()));
            visit(first, at);
            for run in rest.chunks_mut(wide) {
                at = at.saturating_add(1);
                visit(run, at);
            }
        }
        Ok(())
    }

    /// The factors that a tile touches. With a group index it may touch any of its rows.
    fn window(&self, tile: &Tile) -> Window {
        let window = self.grid.window(tile);
        if self.groups.is_some() {
            Window { columns: 0..self.grid.across(), ..window }
        } else {
            window
        }
    }
}

/// Elements of a part read as numbers of a type that may not be its own.
fn numbers(
    parts: &Parts<'_>,
    part: usize,
    dtype: DType,
    elements: std::ops::Range<u64>,
) -> Result<Vec<f64>, RestoreError> {
    let width = dtype.bytes() as u64;
    let range = elements.start.saturating_mul(width)..elements.end.saturating_mul(width);
    let bytes = parts.bytes(part, range)?;
    let mut values = vec![0.0; bytes.len().checked_div(dtype.bytes()).unwrap_or(0)];
    weightscope_codec::decode_f64(dtype, &bytes, &mut values)?;
    Ok(values)
}

fn too_few() -> RestoreError {
    RestoreError::Broken("too few factors".into())
}

/// Rounded to nearest.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "beyond the range it becomes infinite")]
fn narrowed(value: f64) -> f32 {
    value as f32
}

/// Multiplies a run with a factor, rounding once.
#[inline(always)]
fn multiply(run: &mut [f32], factor: f64) {
    let narrow = narrowed(factor);
    if f64::from(narrow) == factor {
        for value in run {
            *value *= narrow;
        }
    } else {
        for value in run {
            *value = narrowed(f64::from(*value) * factor);
        }
    }
}

impl Restore for Scaled {
    fn values(&self, tile: &Tile, parts: &Parts<'_>, into: &mut [f32]) -> Result<(), RestoreError> {
        let window = self.window(tile);
        let factors = self.factors(&window, parts)?;
        self.codes.numbers(tile, self.row_bytes, parts, into)?;
        let factor = |at: usize| factors.get(at).copied().unwrap_or(f64::NAN);
        if let Some((part, dtype)) = self.offsets {
            let offsets = numbers(parts, part, dtype, window.elements(self.grid.across()))?;
            return self.runs(tile, &window, into, |run, at| {
                let (factor, offset) = (factor(at), offsets.get(at).copied().unwrap_or(f64::NAN));
                for value in run {
                    *value = narrowed(f64::from(*value) * factor + offset);
                }
            });
        }
        if let Some(zeros) = self.zeros {
            let zeros = self.zeros(zeros, &window, parts)?;
            return self.runs(tile, &window, into, |run, at| {
                let zero = zeros.get(at).copied().unwrap_or(f32::NAN);
                for value in &mut *run {
                    *value -= zero;
                }
                multiply(run, factor(at));
            });
        }
        self.runs(tile, &window, into, |run, at| multiply(run, factor(at)))
    }

    fn rounding(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
    ) -> Result<(), RestoreError> {
        let window = self.window(tile);
        let factors = self.factors(&window, parts)?;
        let factor = |at: usize| factors.get(at).copied().unwrap_or(f64::NAN).abs();
        match (self.codes, self.codes.noise()) {
            (Codes::Plain(dtype), None) => {
                self.codes.numbers(tile, self.row_bytes, parts, into)?;
                self.runs(tile, &window, into, |run, at| {
                    for value in run {
                        let error = f64::from(super::float_rounding(dtype, *value));
                        *value = narrowed(error * factor(at));
                    }
                })
            }
            (_, noise) => {
                let noise = noise.unwrap_or(0.0);
                self.runs(tile, &window, into, |run, at| run.fill(narrowed(noise * factor(at))))
            }
        }
    }
}
