//! AWQ: codes of 4 bits on a uniform grid, with a step and a zero point for a group of inputs of every output unit.
//!
//! `qweight` [in, out/8] holds eight output units to a 32-bit word, its nibbles, low ones first, those of columns 0, 2,
//! 4, 6, 1, 3, 5, 7; `qzeros` [groups, out/8] likewise; `scales` [groups, out]. A value is (code - zero) step. That is
//! the layout of the version `gemm`; others are recognised and not decoded. Source: AutoAWQ `packing_utils.py`.

use weightscope_core::{DType, Orientation};

use super::gptq::{group_of, words_of};
use super::{Claim, Packing, Parts, Restore, RestoreError, Tensors, Tile};
use crate::container::StoredTensor;

/// Columns of a word.
const COLUMNS: u64 = 8;

/// Where in a word the code of each column begins.
const SHIFTS: [u32; 8] = [0, 16, 4, 20, 8, 24, 12, 28];

/// The packing.
#[derive(Debug)]
pub(crate) struct Awq;

impl Packing for Awq {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        let module = lead.name.strip_suffix(".qweight")?;
        let (codes, _) = tensors.get(&lead.name)?;
        let (zeros, qzeros) = tensors.beside(module, "qzeros")?;
        let (steps, scales) = tensors.beside(module, "scales")?;

        let [rows, words] = words_of(lead)?;
        let [groups, across] = words_of(qzeros)?;
        let columns = words.checked_mul(COLUMNS)?;
        let is_float = scales.dtype().is_some_and(DType::is_float);
        if !is_float || scales.shape != [groups, columns] || across != words || groups == 0 {
            return None;
        }
        // ParoQuant stores the same and rotates pairs of inputs before.
        if tensors.beside(module, "theta").is_some() || tensors.beside(module, "pairs").is_some() {
            return None;
        }
        let version = tensors.quantization().and_then(|value| value.get("version")?.as_str());
        if version.is_some_and(|version| version.to_ascii_lowercase().contains("gemv")) {
            return None;
        }
        let group = group_of(rows, groups, tensors)?;
        let per = if groups == 1 { "per channel".to_owned() } else { format!("g{group}") };
        Some(Claim {
            name: format!("{module}.weight"),
            shape: vec![rows, columns],
            orientation: Some(Orientation::InOut),
            scheme: format!("awq int4 {per}"),
            factor_block: Some([group, 1]),
            parts: vec![codes, zeros, steps],
            values: Ok(Box::new(Grid { columns, group })),
        })
    }
}

/// Codes in part 0, zero points in part 1, steps in part 2. Rows are inputs.
#[derive(Debug)]
struct Grid {
    columns: u64,
    /// Inputs of a group.
    group: u64,
}

impl Grid {
    /// Codes or zero points of columns of rows, and how many of them come before the first column.
    fn unpacked(
        &self,
        part: usize,
        rows: std::ops::Range<u64>,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut Vec<i32>,
    ) -> Result<(usize, usize), RestoreError> {
        let across = self.columns.checked_div(COLUMNS).unwrap_or(0);
        let first = tile.columns.start.checked_div(COLUMNS).unwrap_or(0);
        let end = tile.columns.end.div_ceil(COLUMNS);
        let byte =
            |row: u64, word: u64| row.saturating_mul(across).saturating_add(word).saturating_mul(4);
        // Whole rows, or a piece of one: one run of bytes.
        let last = rows.end.saturating_sub(1);
        let bytes = parts.bytes(part, byte(rows.start, first)..byte(last, end))?;
        let (words, _) = bytes.as_chunks::<4>();
        into.clear();
        into.resize(words.len().saturating_mul(SHIFTS.len()), 0);
        for (codes, word) in into.chunks_exact_mut(SHIFTS.len()).zip(words) {
            let word = u32::from_le_bytes(*word);
            for (code, shift) in codes.iter_mut().zip(SHIFTS) {
                *code = (word.wrapping_shr(shift) & 15).cast_signed();
            }
        }
        let skip = tile.columns.start.saturating_sub(first.saturating_mul(COLUMNS));
        let width = end.saturating_sub(first).saturating_mul(COLUMNS);
        let size = |count| usize::try_from(count).unwrap_or(usize::MAX);
        Ok((size(skip), size(width)))
    }

    /// Calls `visit` with the rows of a group that a tile has: their range, their places, and the steps of its columns.
    fn groups(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
        mut visit: impl FnMut(std::ops::Range<u64>, &mut [f32], Vec<f32>) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let height = self.group.max(1);
        let (mut row, mut rest) = (tile.rows.start, into);
        while row < tile.rows.end {
            let group = row.checked_div(height).unwrap_or(0);
            let end = group.saturating_add(1).saturating_mul(height).min(tile.rows.end);
            let count = usize::try_from(end.saturating_sub(row)).unwrap_or(usize::MAX);
            let count = count.saturating_mul(tile.width());
            let (now, after) = rest.split_at_mut(count.min(rest.len()));
            let start = group.saturating_mul(self.columns);
            let steps =
                start.saturating_add(tile.columns.start)..start.saturating_add(tile.columns.end);
            visit(row..end, now, parts.floats(2, steps)?)?;
            (row, rest) = (end, after);
        }
        Ok(())
    }
}

impl Restore for Grid {
    fn values(&self, tile: &Tile, parts: &Parts<'_>, into: &mut [f32]) -> Result<(), RestoreError> {
        let (mut codes, mut zeros) = (Vec::new(), Vec::new());
        self.groups(tile, parts, into, |rows, into, steps| {
            let group = rows.start.checked_div(self.group.max(1)).unwrap_or(0);
            let group = group..group.saturating_add(1);
            let (skip, _) = self.unpacked(1, group, tile, parts, &mut zeros)?;
            let (_, width) = self.unpacked(0, rows, tile, parts, &mut codes)?;
            let zeros = zeros.get(skip..).unwrap_or_default();
            let lines = into.chunks_mut(tile.width().max(1));
            for (line, codes) in lines.zip(codes.chunks_exact(width.max(1))) {
                let codes = codes.get(skip..).unwrap_or_default();
                let factors = zeros.iter().zip(&steps);
                for ((value, code), (zero, step)) in line.iter_mut().zip(codes).zip(factors) {
                    *value = code.wrapping_sub(*zero) as f32 * step;
                }
            }
            Ok(())
        })
    }

    fn rounding(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
    ) -> Result<(), RestoreError> {
        self.groups(tile, parts, into, |_, into, mut steps| {
            super::uniform_rounding(&mut steps);
            for line in into.chunks_mut(tile.width().max(1)) {
                for (value, error) in line.iter_mut().zip(&steps) {
                    *value = *error;
                }
            }
            Ok(())
        })
    }
}
