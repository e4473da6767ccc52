//! BitNet b1.58: ternary codes, four to a byte, and one factor.
//!
//! `weight` U8 [out/4, in]: the lowest two bits are the first quarter of the output units, the next two the second
//! quarter, and so on; a code is the value plus one. `weight_scale` is divided by, or, for the layer class
//! `autobitlinear`, multiplied by. Source: transformers `integrations/bitnet.py`.

use weightscope_core::{DType, Orientation};

use super::{Claim, Packing, Parts, Restore, RestoreError, Tensors, Tile};
use crate::container::StoredTensor;

/// Output units of a byte.
const QUARTERS: u64 = 4;

/// The packing.
#[derive(Debug)]
pub(crate) struct BitNet;

impl Packing for BitNet {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        if tensors.method() != Some("bitnet") || lead.dtype() != Some(DType::U8) {
            return None;
        }
        let module = lead.name.strip_suffix(".weight")?;
        let (codes, _) = tensors.get(&lead.name)?;
        let (factor, scale) = tensors.beside(module, "weight_scale")?;
        let [quarter, columns] = *lead.shape else { return None };
        if scale.elements != 1 || !scale.dtype().is_some_and(DType::is_float) {
            return None;
        }
        let class = tensors.quantization().and_then(|value| value.get("linear_class")?.as_str());
        let rows = quarter.checked_mul(QUARTERS)?;
        Some(Claim {
            name: lead.name.clone(),
            shape: vec![rows, columns],
            orientation: Some(Orientation::OutIn),
            scheme: "bitnet ternary per tensor".to_owned(),
            factor_block: Some([rows, columns]),
            parts: vec![codes, factor],
            values: Ok(Box::new(Ternary {
                quarter,
                columns,
                multiplies: class == Some("autobitlinear"),
            })),
        })
    }
}

/// Codes in part 0, the factor in part 1.
#[derive(Debug)]
struct Ternary {
    /// Rows of bytes.
    quarter: u64,
    columns: u64,
    multiplies: bool,
}

impl Ternary {
    /// The value of every code.
    fn table(&self, parts: &Parts<'_>) -> Result<[f32; 4], RestoreError> {
        let factor = parts.floats(1, 0..1)?.first().copied().unwrap_or(f32::NAN);
        let codes = [-1.0f32, 0.0, 1.0, 2.0];
        Ok(codes.map(|code| if self.multiplies { code * factor } else { code / factor }))
    }
}

impl Restore for Ternary {
    fn values(&self, tile: &Tile, parts: &Parts<'_>, into: &mut [f32]) -> Result<(), RestoreError> {
        let table = self.table(parts)?;
        let height = self.quarter.max(1);
        let (mut row, mut rest) = (tile.rows.start, into);
        while row < tile.rows.end {
            let quarter = row.checked_div(height).unwrap_or(0);
            let end = quarter.saturating_add(1).saturating_mul(height).min(tile.rows.end);
            let count = usize::try_from(end.saturating_sub(row)).unwrap_or(usize::MAX);
            let count = count.saturating_mul(tile.width()).min(rest.len());
            let (now, after) = rest.split_at_mut(count);
            let stored = row.saturating_sub(quarter.saturating_mul(height));
            let start = stored.saturating_mul(self.columns).saturating_add(tile.columns.start);
            let bytes = parts.bytes(0, start..start.saturating_add(count as u64))?;
            let shift = u32::try_from(quarter).unwrap_or(0).wrapping_mul(2);
            for (value, byte) in now.iter_mut().zip(&bytes) {
                let code = usize::from(byte.wrapping_shr(shift) & 3);
                *value = table.get(code).copied().unwrap_or(f32::NAN);
            }
            (row, rest) = (end, after);
        }
        Ok(())
    }

    fn rounding(
        &self,
        _tile: &Tile,
        parts: &Parts<'_>,
        into: &mut [f32],
    ) -> Result<(), RestoreError> {
        let [_, _, mut step, _] = self.table(parts)?;
        super::uniform_rounding(std::slice::from_mut(&mut step));
        into.fill(step);
        Ok(())
    }
}
