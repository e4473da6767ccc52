//! Blocks of NVFP4 in a GGUF whose factor for the whole tensor, or for each of its experts, stands beside them.
//!
//! The scales of NVFP4's blocks are floats of 8 bits and do not reach far; llama.cpp keeps the rest of the scale in
//! `<module>.scale` and multiplies. Source: its `conversion/base.py` (`_repack_nvfp4`) and `src/llama-model.cpp`.

use weightscope_codec::BlockFormat;

use super::{Claim, Packing, Parts, Restore, RestoreError, Tensors, Tile};
use crate::container::{Encoding, StoredTensor};
use crate::row_order::RowOrder;

const SCALED: &str = "NVFP4";

/// The packing.
#[derive(Debug)]
pub(crate) struct ScaledBlocks;

impl Packing for ScaledBlocks {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        let Encoding::Blocks(format) = lead.encoding else { return None };
        let module = lead.name.strip_suffix(".weight").filter(|_| format.name() == SCALED)?;
        let (factor, factors) = tensors.beside(module, "scale")?;
        let (index, _) = tensors.get(&lead.name)?;
        let [rows, columns] = lead.matrix();
        let is_for_each = lead.shape.len() == 3 && lead.shape.first() == Some(&factors.elements);
        if factors.elements != 1 && !is_for_each {
            return None;
        }
        let values = Scaled {
            format,
            columns,
            order: lead.row_order,
            share: rows.checked_div(factors.elements)?.max(1),
        };
        Some(Claim {
            name: lead.name.clone(),
            shape: lead.shape.clone(),
            orientation: lead.orientation,
            scheme: format!("{SCALED} with a scale"),
            factor_block: Some([1, format.values() as u64]),
            parts: vec![index, factor],
            values: Ok(Box::new(values)),
        })
    }
}

/// Blocks in part 0, factors in part 1.
#[derive(Debug)]
struct Scaled {
    format: &'static BlockFormat,
    columns: u64,
    order: Option<RowOrder>,
    /// Rows that share a factor.
    share: u64,
}

impl Scaled {
    /// Calls `visit` with the blocks that hold a row of the tile, how many values of the first are before it, the row,
    /// and its factor.
    fn rows(
        &self,
        tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
        visit: impl Fn(&[u8], usize, &mut [f32], f32) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let (values, size) = (self.format.values() as u64, self.format.bytes() as u64);
        let mut factor = (None, 0.0);
        for (row, line) in tile.rows.clone().zip(into.chunks_mut(tile.width().max(1))) {
            let at = row.checked_div(self.share).unwrap_or(0);
            if factor.0 != Some(at) {
                let one = parts.floats(1, at..at.saturating_add(1))?;
                factor = (Some(at), one.first().copied().unwrap_or(0.0));
            }
            let stored = self.order.map_or(row, |order| order.stored(row));
            let start = stored.saturating_mul(self.columns).saturating_add(tile.columns.start);
            let first = start.checked_div(values).unwrap_or(0);
            let end = start.saturating_add(line.len() as u64).div_ceil(values.max(1));
            let range = first.saturating_mul(size)..end.saturating_mul(size);
            let skip = start.saturating_sub(first.saturating_mul(values));
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            visit(&parts.bytes(0, range)?, skip, line, factor.1)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an estimate needs no more")]
fn single(error: f64) -> f32 {
    error as f32
}

impl Restore for Scaled {
    fn values(&self, tile: &Tile, parts: &Parts<'_>, into: &mut [f32]) -> Result<(), RestoreError> {
        self.rows(tile, parts, into, |blocks, skip, line, factor| {
            self.format.decode_part(blocks, skip, line)?;
            for value in line {
                *value *= factor;
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
        let values = self.format.values();
        self.rows(tile, parts, into, |blocks, skip, line, factor| {
            let mut rest = line;
            let mut skip = skip;
            for block in blocks.chunks_exact(self.format.bytes().max(1)) {
                let energy = self.format.rounding_energy(block) / values as f64;
                let error = energy.sqrt() * f64::from(factor.abs());
                let count = values.saturating_sub(skip).min(rest.len());
                let (now, after) = rest.split_at_mut(count);
                now.fill(single(error));
                (rest, skip) = (after, 0);
            }
            Ok(())
        })
    }
}
