//! bitsandbytes in 4 bits: entries of a codebook (nf4, fp4) times a factor for every block of the flattened weight.
//!
//! The codes lie two to a byte, the high nibble first, in a tensor of bytes (or of a wider type that only carries the
//! bytes). Beside it: `.absmax`, the factors; `.quant_map`, the codebook; `.quant_state.bitsandbytes__<kind>`, a JSON
//! text with shape and block sizes. Nested factors are 8-bit codes themselves: of `.nested_quant_map`, times
//! `.nested_absmax` for a block of factors, plus the offset of the JSON. Source: bitsandbytes `functional.py`.

use std::ops::Range;

use weightscope_core::{DType, Orientation, Value, element_count};

use super::{Claim, Packing, Parts, Restore, RestoreError, Tensors, Tile};
use crate::container::StoredTensor;
use crate::json;

/// What the JSON text's name ends with.
const KINDS: [&str; 2] = ["nf4", "fp4"];

/// The largest text that is parsed.
const MAX_STATE_BYTES: u64 = 64 << 10;

/// Entries of the codebook of 4 bits, and of 8.
const BOOK: u64 = 16;
const NESTED_BOOK: u64 = 256;

/// The packing.
#[derive(Debug)]
pub(crate) struct Bnb4;

impl Packing for Bnb4 {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        let side = |last: &str| tensors.beside(&lead.name, last);
        let (kind, state, text) = KINDS.iter().find_map(|kind| {
            let (index, tensor) = side(&format!("quant_state.bitsandbytes__{kind}"))?;
            Some((*kind, index, tensor))
        })?;
        let (codes, _) = tensors.get(&lead.name)?;
        let (factors, absmax) = side("absmax")?;
        let nested = side("nested_absmax").zip(side("nested_quant_map"));
        let (book, quant_map) = side("quant_map")?;
        let mut parts = vec![codes, factors, book];
        if let Some(((absmax, _), (book, _))) = nested {
            parts.extend([absmax, book]);
        }
        parts.push(state);

        let unknown = |reason: &str| Claim {
            name: lead.name.clone(),
            shape: lead.shape.clone(),
            orientation: None,
            scheme: format!("bnb {kind}"),
            factor_block: None,
            parts: parts.clone(),
            values: Err(format!("4-bit codes (bitsandbytes) {reason}")),
        };
        let Some(state) = read_state(text, tensors) else {
            return Some(unknown("without a readable quant_state"));
        };
        let State { shape, block, nested_block, offset } = state;
        let is_fitting = || {
            let count = element_count(&shape)?;
            // The bytes of a wider type are whole elements of it.
            let least = count.div_ceil(2);
            let width = lead.dtype()?.bytes() as u64;
            let is_whole = (least..least.checked_add(width)?).contains(&lead.bytes);
            let blocks = count.div_ceil(block);
            let is_book = quant_map.elements == BOOK && quant_map.dtype() == Some(DType::F32);
            let has_factors = match nested {
                None => absmax.dtype().is_some_and(DType::is_float),
                Some(((_, factors), (_, book))) => {
                    absmax.dtype() == Some(DType::U8)
                        && book.elements == NESTED_BOOK
                        && book.dtype() == Some(DType::F32)
                        && factors.dtype().is_some_and(DType::is_float)
                        && factors.elements == blocks.div_ceil(nested_block)
                }
            };
            Some(is_whole && is_book && absmax.elements == blocks && has_factors)
        };
        let rms = tensors.floats(quant_map).map(|map| distance_to(&map));
        let (Some(true), Some(columns), Some(rms)) = (is_fitting(), shape.last().copied(), rms)
        else {
            return Some(unknown("whose parts do not fit"));
        };
        let suffix = if nested.is_some() { " nested" } else { "" };
        // Linear layers alone are stored so, those of Conv1D turned before.
        let is_linear = lead.name.ends_with(".weight") && shape.len() == 2;
        Some(Claim {
            name: lead.name.clone(),
            orientation: is_linear.then_some(Orientation::OutIn),
            scheme: format!("bnb {kind} b{block}{suffix}"),
            factor_block: matrix_block(&shape, block),
            parts: parts.clone(),
            values: Ok(Box::new(Flat {
                columns,
                block,
                nested: nested.is_some().then_some((nested_block, offset)),
                rms,
            })),
            shape,
        })
    }
}

/// What the JSON text says.
struct State {
    shape: Vec<u64>,
    block: u64,
    nested_block: u64,
    offset: f32,
}

fn read_state(text: &StoredTensor, tensors: &Tensors<'_>) -> Option<State> {
    let small = Some(text).filter(|text| text.bytes <= MAX_STATE_BYTES)?;
    let value = json::parse(&tensors.read(small)?).ok()?.value;
    let size = |key: &str| value.get(key).and_then(Value::as_u64).filter(|size| *size > 0);
    let shape: Option<Vec<u64>> = value.get("shape")?.items().iter().map(Value::as_u64).collect();
    // It is stored as a number of f32.
    #[expect(clippy::cast_possible_truncation, reason = "it was an f32")]
    let offset = value.get("nested_offset").and_then(Value::as_f64).unwrap_or(0.0) as f32;
    Some(State {
        shape: shape.filter(|shape| !shape.is_empty() && shape.len() <= 8)?,
        block: size("blocksize")?,
        nested_block: size("nested_blocksize").unwrap_or(256),
        offset,
    })
}

/// Blocks of the flattened weight as blocks of the matrix, where they are some.
fn matrix_block(shape: &[u64], block: u64) -> Option<[u64; 2]> {
    let (columns, rest) = shape.split_last()?;
    let rows = element_count(rest)?;
    if *columns > 0 && columns.is_multiple_of(block) {
        return Some([1, block]);
    }
    let high = block.checked_div(*columns)?;
    let is_whole = block.is_multiple_of(*columns) && rows.is_multiple_of(high.max(1));
    (is_whole && high > 0).then_some([high, *columns])
}

/// The rms distance of a value spread evenly over the range of a codebook to its nearest entry: every gap adds its
/// cube over 12, over the whole range.
fn distance_to(book: &[f32]) -> f32 {
    let mut points: Vec<f64> = book.iter().map(|x| f64::from(*x)).collect();
    points.sort_by(f64::total_cmp);
    let gaps = points.windows(2).map(|pair| match pair {
        [low, high] => high - low,
        _ => 0.0,
    });
    let (cubes, range) =
        gaps.fold((0.0, 0.0), |(cubes, range), gap| (cubes + gap * gap * gap, range + gap));
    if range == 0.0 {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
    let rms = (cubes / 12.0 / range).sqrt() as f32;
    rms
}

/// Codes in part 0, factors in part 1, codebook in part 2; factors of factors and their codebook in parts 3 and 4.
#[derive(Debug)]
struct Flat {
    columns: u64,
    /// Values that share a factor.
    block: u64,
    /// Factors that share one in turn, and what is added to each.
    nested: Option<(u64, f32)>,
    /// Of a value spread evenly over the codebook's range.
    rms: f32,
}

impl Flat {
    /// The flattened places of a tile: whole rows, or a piece of one, are one run.
    fn first(&self, tile: &Tile) -> u64 {
        tile.rows.start.saturating_mul(self.columns).saturating_add(tile.columns.start)
    }

    /// Factors of blocks.
    fn factors(&self, blocks: Range<u64>, parts: &Parts<'_>) -> Result<Vec<f32>, RestoreError> {
        let Some((size, offset)) = self.nested else { return parts.floats(1, blocks) };
        let codes = parts.bytes(1, blocks.clone())?;
        let group = |block: u64| block.checked_div(size).unwrap_or(0);
        let first = group(blocks.start);
        let outer = parts.floats(3, first..blocks.end.div_ceil(size.max(1)))?;
        let book = parts.floats(4, 0..NESTED_BOOK)?;
        let factor = |(block, code): (u64, &u8)| {
            let at = usize::try_from(group(block).saturating_sub(first)).ok()?;
            Some(book.get(usize::from(*code))? * outer.get(at)? + offset)
        };
        let factors: Option<Vec<f32>> = blocks.zip(&codes).map(factor).collect();
        factors.ok_or_else(|| RestoreError::Broken("too few factors of factors".into()))
    }

    /// Calls `visit` for the runs that share a factor: the place, the values and the factor.
    fn runs(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
        mut visit: impl FnMut(u64, &mut [f32], f32),
    ) -> Result<(), RestoreError> {
        let size = self.block.max(1);
        let first = self.first(tile);
        let end = first.saturating_add(into.len() as u64);
        let blocks = first.checked_div(size).unwrap_or(0)..end.div_ceil(size);
        let factors = self.factors(blocks.clone(), parts)?;
        let (mut at, mut rest) = (first, into);
        for (block, factor) in blocks.zip(factors) {
            let left = block.saturating_add(1).saturating_mul(size).saturating_sub(at);
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let (run, after) = rest.split_at_mut(count);
            visit(at, run, factor);
            at = at.saturating_add(count as u64);
            rest = after;
        }
        Ok(())
    }
}

impl Restore for Flat {
    fn values(&self, tile: &Tile, parts: &Parts<'_>, into: &mut [f32]) -> Result<(), RestoreError> {
        let first = self.first(tile);
        let start = first.checked_div(2).unwrap_or(0);
        let end = first.saturating_add(into.len() as u64).div_ceil(2);
        let bytes = parts.bytes(0, start..end)?;
        let book: [f32; 16] = parts
            .floats(2, 0..BOOK)?
            .try_into()
            .map_err(|_| RestoreError::Broken("too small a codebook".into()))?;
        let entry = |code: u8| book.get(usize::from(code & 15)).copied().unwrap_or(0.0);
        self.runs(tile, parts, into, |at, run, factor| {
            let skip = at.checked_div(2).unwrap_or(0).saturating_sub(start);
            let mut bytes = usize::try_from(skip)
                .ok()
                .and_then(|skip| bytes.get(skip..))
                .unwrap_or_default()
                .iter();
            // A run that begins within a byte has its low half first.
            let (odd, run) = run.split_at_mut(usize::from(!at.is_multiple_of(2)).min(run.len()));
            for (value, byte) in odd.iter_mut().zip(&mut bytes) {
                *value = entry(*byte) * factor;
            }
            let (pairs, last) = run.as_chunks_mut::<2>();
            for ([high, low], byte) in pairs.iter_mut().zip(&mut bytes) {
                *high = entry(*byte >> 4) * factor;
                *low = entry(*byte) * factor;
            }
            if let (Some(value), Some(byte)) = (last.first_mut(), bytes.next()) {
                *value = entry(*byte >> 4) * factor;
            }
        })
    }

    fn rounding(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
    ) -> Result<(), RestoreError> {
        self.runs(tile, parts, into, |_, run, factor| run.fill(self.rms * factor.abs()))
    }
}
