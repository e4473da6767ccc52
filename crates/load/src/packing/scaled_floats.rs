//! 8-bit floats with factors beside them, one for a tensor, an output channel or a block.
//!
//! Names: `weight_scale_inv` (DeepSeek), `weight_scale` (compressed-tensors, vLLM), `scale` (DeepSeek's own), each
//! multiplied. Source: transformers `integrations/finegrained_fp8.py`, compressed-tensors `float-quantized`.

use weightscope_core::DType;

use super::{Claim, Packing, Parts, Restore, RestoreError, Tensors, Tile};
use crate::container::StoredTensor;

/// Factors' names after the module, most telling first.
const FACTORS: &[&str] = &["weight_scale_inv", "weight_scale", "scale"];

/// The packing.
#[derive(Debug)]
pub(crate) struct ScaledFloats;

impl Packing for ScaledFloats {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        let dtype = lead.dtype().filter(|dtype| dtype.is_float() && dtype.bits() == 8)?;
        let module = lead.name.strip_suffix(".weight")?;
        let (factor, factors) = FACTORS.iter().find_map(|last| tensors.beside(module, last))?;
        let (index, _) = tensors.get(&lead.name)?;
        let [rows, columns] = lead.matrix();
        let block = block_of([rows, columns], factors)?;
        let scheme = match block {
            [r, c] if r >= rows && c >= columns => "fp8 per tensor".to_owned(),
            [1, c] if c >= columns => "fp8 per channel".to_owned(),
            [r, c] => format!("fp8 {r}x{c}"),
        };
        let across = columns.div_ceil(block[1].max(1)).max(1);
        Some(Claim {
            name: lead.name.clone(),
            shape: lead.shape.clone(),
            orientation: None,
            scheme,
            factor_block: Some(block),
            parts: vec![index, factor],
            values: Ok(Box::new(Scaled { dtype, columns, block, across })),
        })
    }
}

/// Rows and columns that share a factor; `None` when the shapes do not fit.
fn block_of([rows, columns]: [u64; 2], factors: &StoredTensor) -> Option<[u64; 2]> {
    if factors.elements == 1 {
        return Some([rows, columns]);
    }
    let [down, across] = factors.matrix();
    if factors.elements == rows {
        return Some([1, columns]);
    }
    // The usual 128 where the count fits it, because a short last block hides the size.
    let side = |length: u64, count: u64| {
        let even = (count > 0).then(|| length.div_ceil(count))?;
        let fits = |side: &u64| length.div_ceil(*side) == count;
        [128, even.next_power_of_two(), even].into_iter().find(|side| *side > 0 && fits(side))
    };
    Some([side(rows, down)?, side(columns, across)?])
}

/// Codes in part 0, factors in part 1.
#[derive(Debug)]
struct Scaled {
    dtype: DType,
    columns: u64,
    block: [u64; 2],
    /// Factors in a row of them.
    across: u64,
}

impl Scaled {
    /// Calls `visit` with the codes and the factor of every run that shares one.
    fn runs(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
        visit: impl Fn(&mut [f32], f32),
    ) -> Result<(), RestoreError> {
        let start = tile.rows.start.saturating_mul(self.columns).saturating_add(tile.columns.start);
        let codes = parts.floats(0, start..start.saturating_add(into.len() as u64))?;
        into.copy_from_slice(&codes);
        let [high, wide] = self.block.map(|side| side.max(1));
        let mut factors: (Option<u64>, Vec<f32>) = (None, Vec::new());
        for (row, line) in tile.rows.clone().zip(into.chunks_mut(tile.width().max(1))) {
            let band = row.checked_div(high).unwrap_or(0);
            if factors.0 != Some(band) {
                let first = band.saturating_mul(self.across);
                let values = parts.floats(1, first..first.saturating_add(self.across))?;
                factors = (Some(band), values);
            }
            let mut column = tile.columns.start;
            let mut rest = line;
            while !rest.is_empty() {
                let at = column.checked_div(wide).unwrap_or(0);
                let left = at.saturating_add(1).saturating_mul(wide).saturating_sub(column);
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (run, after) = rest.split_at_mut(count);
                let factor = usize::try_from(at).ok().and_then(|at| factors.1.get(at));
                let factor =
                    factor.ok_or_else(|| RestoreError::Broken("too few factors".into()))?;
                visit(run, *factor);
                column = column.saturating_add(count as u64);
                rest = after;
            }
        }
        Ok(())
    }
}

impl Restore for Scaled {
    fn values(&self, tile: &Tile, parts: &Parts<'_>, into: &mut [f32]) -> Result<(), RestoreError> {
        self.runs(tile, parts, into, |run, factor| {
            for value in run {
                *value *= factor;
            }
        })
    }

    fn rounding(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
    ) -> Result<(), RestoreError> {
        let dtype = self.dtype;
        self.runs(tile, parts, into, |run, factor| {
            for value in run {
                *value = super::float_rounding(dtype, *value) * factor.abs();
            }
        })
    }
}
