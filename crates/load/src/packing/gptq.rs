//! GPTQ: codes on a uniform grid, with a step and a zero point for a group of inputs of every output unit.
//!
//! `qweight` [in bits/32, out] holds the codes of a column of 32-bit words one after the other, `qzeros` [groups, out
//! bits/32] those of the zero points along a row, `scales` [groups, out] the steps, and `g_idx` [in], where there is
//! one, the group of every input. A value is (code - zero) step. What wrote the file either stored every zero point
//! less one (`gptq`, v1) or as it is (`gptq_v2`, `gptq_p`). Source: GPTQModel, AutoGPTQ; auto-round repacks the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use weightscope_core::{DType, Orientation};

use super::words::{Layout, Order, Piece};
use super::{Claim, Packing, Parts, Restore, RestoreError, Tensors, Tile};
use crate::container::StoredTensor;

/// Bytes of a word of codes.
const WORD_BYTES: u64 = 4;

/// Zero points that are looked at to tell how they are stored.
const ZEROS_LOOKED_AT: u64 = 4096;

/// The packing.
#[derive(Debug)]
pub(crate) struct Gptq;

impl Packing for Gptq {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        let module = lead.name.strip_suffix(".qweight")?;
        let (codes, _) = tensors.get(&lead.name)?;
        let (zeros, qzeros) = tensors.beside(module, "qzeros")?;
        let (steps, scales) = tensors.beside(module, "scales")?;
        let indices = tensors.beside(module, "g_idx");

        let [words, columns] = words_of(lead)?;
        let [groups, across] = words_of(qzeros)?;
        let is_float = scales.dtype().is_some_and(DType::is_float);
        if !is_float || scales.shape != [groups, columns] || groups == 0 || columns == 0 {
            return None;
        }
        // The zero points of a row have as many bits each as fill their words.
        let bits = across.checked_mul(32)?.checked_div(columns)?;
        let bits = u32::try_from(bits).ok().filter(|bits| (2..=8).contains(bits))?;
        let is_planar = label(tensors, "checkpoint_format") == Some("gptq_p");
        let order = if is_planar || matches!(bits, 5..=7) { Order::Planes } else { Order::Stream };
        let layout = Layout { order, bits };
        if layout.count(across)? != columns {
            return None;
        }
        let rows = layout.count(words)?;
        if indices
            .is_some_and(|(_, tensor)| tensor.dtype() != Some(DType::I32) || tensor.shape != [rows])
        {
            return None;
        }
        let is_act_order =
            |group| indices.is_some_and(|(_, tensor)| !follows(tensors, tensor, group));
        let (group, act_order) = match group_of(rows, groups, tensors) {
            Some(group) => (group, is_act_order(group)),
            None => (rows.div_ceil(groups), indices.is_some().then_some(true)?),
        };
        let zero_offset = i32::from(is_less_one(tensors, qzeros, layout, columns));

        let mut parts = vec![codes, zeros, steps];
        parts.extend(indices.map(|(index, _)| index));
        let per = if groups == 1 { "per channel".to_owned() } else { format!("g{group}") };
        let suffix = if act_order { " act-order" } else { "" };
        Some(Claim {
            name: format!("{module}.weight"),
            shape: vec![rows, columns],
            // A table of embeddings has its tokens where a layer has its inputs.
            orientation: (!is_table(module)).then_some(Orientation::InOut),
            scheme: format!("gptq int{bits} {per}{suffix}"),
            factor_block: (!act_order).then_some([group, 1]),
            parts,
            values: Ok(Box::new(Grid { layout, columns, group, groups, act_order, zero_offset })),
        })
    }
}

/// Whether a module looks rows up rather than multiplying.
fn is_table(module: &str) -> bool {
    let last = module.rsplit('.').next().unwrap_or(module);
    last.contains("embed") || last == "wte"
}

/// The shape of a matrix of 32-bit words.
pub(crate) fn words_of(tensor: &StoredTensor) -> Option<[u64; 2]> {
    let is_words = matches!(tensor.dtype(), Some(DType::I32 | DType::U32));
    let [rows, columns] = *tensor.shape else { return None };
    is_words.then_some([rows, columns])
}

/// A word of the configuration.
fn label<'a>(tensors: &Tensors<'a>, key: &str) -> Option<&'a str> {
    tensors.quantization()?.get(key)?.as_str()
}

/// How many inputs share a factor; `None` when their number cannot be told from the count of groups.
pub(crate) fn group_of(rows: u64, groups: u64, tensors: &Tensors<'_>) -> Option<u64> {
    if groups == 1 {
        return Some(rows);
    }
    let told = tensors.quantization().and_then(|value| value.get("group_size")?.as_u64());
    // A short last group hides the size, unless it is one of the usual ones.
    let even = rows.checked_div(groups).filter(|group| group.checked_mul(groups) == Some(rows));
    let fits = |group: &u64| *group > 0 && rows.div_ceil(*group) == groups;
    let usual = rows.div_ceil(groups).next_power_of_two();
    [told, even, Some(usual)].into_iter().flatten().find(fits)
}

/// Whether the group of every input is its number over the size of the groups.
fn follows(tensors: &Tensors<'_>, indices: &StoredTensor, group: u64) -> bool {
    let Some(bytes) = tensors.read(indices) else { return false };
    let (indices, _) = bytes.as_chunks::<4>();
    (0u64..).zip(indices).all(|(row, index)| {
        Some(u64::from(u32::from_le_bytes(*index))) == row.checked_div(group.max(1))
    })
}

/// Whether zero points are stored less one. The constant ones of a symmetric grid tell; else the label has to be
/// believed.
fn is_less_one(tensors: &Tensors<'_>, qzeros: &StoredTensor, layout: Layout, columns: u64) -> bool {
    let count = columns.min(ZEROS_LOOKED_AT);
    let constant = || {
        let bytes = layout.words(&(0..count)).end.saturating_mul(WORD_BYTES);
        let mut zeros = vec![0; usize::try_from(count).ok()?];
        layout.unpack(&tensors.head(qzeros, bytes)?, 0, &mut zeros).ok()?;
        let first = *zeros.first()?;
        zeros.iter().all(|zero| *zero == first).then_some(first)
    };
    let middle = 1u8.wrapping_shl(layout.bits.saturating_sub(1));
    if let Some(zero) = constant().filter(|zero| *zero == middle || *zero == middle.wrapping_sub(1))
    {
        return zero != middle;
    }
    if layout.order == Order::Planes {
        return false;
    }
    match (label(tensors, "checkpoint_format"), label(tensors, "packing_format")) {
        (Some(format), _) => format != "gptq_v2",
        // auto-round's own kernels take zero points as they are, its exports to AutoGPTQ do not.
        (None, Some(format)) => format.contains("auto_gptq"),
        (None, None) => true,
    }
}

/// Codes in part 0, zero points in part 1, steps in part 2, groups in part 3. Rows are inputs.
#[derive(Debug)]
struct Grid {
    layout: Layout,
    columns: u64,
    /// Inputs of a group.
    group: u64,
    groups: u64,
    /// Whether part 3 says which group an input is of.
    act_order: bool,
    /// What is missing from stored zero points.
    zero_offset: i32,
}

impl Grid {
    /// The group of every row.
    fn groups(&self, tile: &Tile, parts: &Parts<'_>) -> Result<Vec<u64>, RestoreError> {
        if !self.act_order {
            let group = |row: u64| row.checked_div(self.group.max(1)).unwrap_or(0);
            return Ok(tile.rows.clone().map(group).collect());
        }
        let bytes = |row: u64| row.saturating_mul(WORD_BYTES);
        let bytes = parts.bytes(3, bytes(tile.rows.start)..bytes(tile.rows.end))?;
        let (indices, _) = bytes.as_chunks::<4>();
        let group = |(row, index): (u64, &[u8; 4])| {
            let group = i64::from(i32::from_le_bytes(*index));
            u64::try_from(group).ok().filter(|group| *group < self.groups).ok_or_else(|| {
                let count = self.groups;
                RestoreError::Broken(format!("input {row} is of group {group} of {count}"))
            })
        };
        tile.rows.clone().zip(indices).map(group).collect()
    }

    /// Elements of a row of factors.
    fn span(&self, group: u64, tile: &Tile) -> std::ops::Range<u64> {
        let start = group.saturating_mul(self.columns);
        start.saturating_add(tile.columns.start)..start.saturating_add(tile.columns.end)
    }

    /// Zero points of the columns of a tile.
    fn zeros(&self, group: u64, tile: &Tile, parts: &Parts<'_>) -> Result<Vec<i32>, RestoreError> {
        let across = self.layout.words(&(0..self.columns)).end;
        let words = self.layout.whole_words(&tile.columns);
        let start = group.saturating_mul(across);
        let byte = |word: u64| start.saturating_add(word).saturating_mul(WORD_BYTES);
        let bytes = parts.bytes(1, byte(words.start)..byte(words.end))?;
        let mut stored = vec![0; tile.width()];
        self.layout.unpack(&bytes, tile.columns.start, &mut stored)?;
        let largest = 1i32.wrapping_shl(self.layout.bits).wrapping_sub(1);
        let zero = |stored| i32::from(stored).wrapping_add(self.zero_offset) & largest;
        Ok(stored.into_iter().map(zero).collect())
    }

    /// The words of the rows of a tile, and the row of words they begin with.
    fn codes(&self, tile: &Tile, parts: &Parts<'_>) -> Result<(u64, Vec<u8>), RestoreError> {
        let words = self.layout.words(&tile.rows);
        let byte = |word: u64, column: u64| {
            word.saturating_mul(self.columns).saturating_add(column).saturating_mul(WORD_BYTES)
        };
        if tile.columns == (0..self.columns) {
            return Ok((words.start, parts.bytes(0, byte(words.start, 0)..byte(words.end, 0))?));
        }
        let mut bytes = Vec::new();
        for word in words.clone() {
            let range = byte(word, tile.columns.start)..byte(word, tile.columns.end);
            bytes.extend(parts.bytes(0, range)?);
        }
        Ok((words.start, bytes))
    }
}

impl Restore for Grid {
    fn values(&self, tile: &Tile, parts: &Parts<'_>, into: &mut [f32]) -> Result<(), RestoreError> {
        let width = tile.width().max(1);
        let (first, bytes) = self.codes(tile, parts)?;
        let (words, _) = bytes.as_chunks::<4>();
        let mut factors: HashMap<u64, (Vec<i32>, Vec<f32>)> = HashMap::new();
        let mut codes = Vec::new();
        let groups = self.groups(tile, parts)?;
        for ((row, group), line) in tile.rows.clone().zip(groups).zip(into.chunks_mut(width)) {
            let (zeros, steps) = match factors.entry(group) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let steps = parts.floats(2, self.span(group, tile))?;
                    place.insert((self.zeros(group, tile, parts)?, steps))
                }
            };
            let words_of = |piece: &Piece| {
                let row = piece.word.checked_sub(first).and_then(|row| usize::try_from(row).ok());
                let start = row.and_then(|row| row.checked_mul(width));
                start
                    .and_then(|start| words.get(start..start.checked_add(width)?))
                    .ok_or_else(|| RestoreError::Broken("too few codes".into()))
            };
            let [whole, rest @ ..] = self.layout.pieces(row);
            let whole_words = words_of(&whole)?;
            if rest.iter().all(|piece| piece.mask == 0) {
                let factors = zeros.iter().zip(&*steps);
                for ((value, word), (zero, step)) in line.iter_mut().zip(whole_words).zip(factors) {
                    let code = whole.of(u32::from_le_bytes(*word)).cast_signed();
                    *value = code.wrapping_sub(*zero) as f32 * step;
                }
                continue;
            }
            codes.clear();
            codes.extend(whole_words.iter().map(|word| whole.of(u32::from_le_bytes(*word))));
            for piece in rest.iter().filter(|piece| piece.mask != 0) {
                for (code, word) in codes.iter_mut().zip(words_of(piece)?) {
                    *code |= piece.of(u32::from_le_bytes(*word));
                }
            }
            let factors = zeros.iter().zip(&*steps);
            for ((value, code), (zero, step)) in line.iter_mut().zip(&codes).zip(factors) {
                *value = code.cast_signed().wrapping_sub(*zero) as f32 * step;
            }
        }
        Ok(())
    }

    fn rounding(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
    ) -> Result<(), RestoreError> {
        let mut known: HashMap<u64, Vec<f32>> = HashMap::new();
        let groups = self.groups(tile, parts)?;
        for (group, line) in groups.into_iter().zip(into.chunks_mut(tile.width().max(1))) {
            let errors = match known.entry(group) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let mut steps = parts.floats(2, self.span(group, tile))?;
                    super::uniform_rounding(&mut steps);
                    place.insert(steps)
                }
            };
            for (value, error) in line.iter_mut().zip(errors) {
                *value = *error;
            }
        }
        Ok(())
    }
}
