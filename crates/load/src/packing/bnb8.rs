//! bitsandbytes in 8 bits: `weight` I8 [out, in] and `SCB` [out], the largest magnitude of every row, that 127 stands
//! for. Source: bitsandbytes `functional.py` (`int8_vectorwise_dequant`).

use weightscope_core::{DType, Orientation};

use super::{Claim, Packing, Parts, Restore, RestoreError, Tensors, Tile};
use crate::container::StoredTensor;

/// The packing.
#[derive(Debug)]
pub(crate) struct Bnb8;

impl Packing for Bnb8 {
    fn claim(&self, lead: &StoredTensor, tensors: &Tensors<'_>) -> Option<Claim> {
        let module = lead.name.strip_suffix(".weight")?;
        let (factors, scb) = tensors.beside(module, "SCB")?;
        let (codes, _) = tensors.get(&lead.name)?;
        let [rows, columns] = *lead.shape else { return None };
        let is_int8 = lead.dtype() == Some(DType::I8);
        if !is_int8 || !scb.dtype().is_some_and(DType::is_float) || scb.elements != rows {
            return None;
        }
        let format = tensors.beside(module, "weight_format");
        // 0 is row by row; the others are tiles of particular GPUs, which only old versions stored.
        let is_tiled = format.is_some_and(|(_, tensor)| {
            tensors.read(tensor).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
        });
        let mut parts = vec![codes, factors];
        parts.extend(format.map(|(index, _)| index));
        Some(Claim {
            name: lead.name.clone(),
            shape: lead.shape.clone(),
            orientation: Some(Orientation::OutIn),
            scheme: "bnb int8 per channel".to_owned(),
            factor_block: Some([1, columns]),
            parts,
            values: if is_tiled {
                Err("8-bit codes in tiles of a GPU (bitsandbytes), not decoded".to_owned())
            } else {
                Ok(Box::new(Rows { columns }))
            },
        })
    }
}

/// Codes in part 0, factors in part 1.
#[derive(Debug)]
struct Rows {
    columns: u64,
}

impl Rows {
    fn factors(tile: &Tile, parts: &Parts<'_>) -> Result<Vec<f32>, RestoreError> {
        parts.floats(1, tile.rows.clone())
    }
}

impl Restore for Rows {
    fn values(&self, tile: &Tile, parts: &Parts<'_>, into: &mut [f32]) -> Result<(), RestoreError> {
        let start = tile.rows.start.saturating_mul(self.columns).saturating_add(tile.columns.start);
        let codes = parts.bytes(0, start..start.saturating_add(into.len() as u64))?;
        let width = tile.width().max(1);
        let lines = into.chunks_mut(width).zip(codes.chunks(width));
        for ((line, codes), factor) in lines.zip(Self::factors(tile, parts)?) {
            let factor = f64::from(factor);
            for (value, code) in line.iter_mut().zip(codes) {
                // f64, so that the quotient is rounded once.
                let exact = f64::from(code.cast_signed()) * factor / 127.0;
                #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
                let rounded = exact as f32;
                *value = rounded;
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
        let mut errors = Self::factors(tile, parts)?;
        for factor in &mut errors {
            *factor /= 127.0;
        }
        super::uniform_rounding(&mut errors);
        for (line, error) in into.chunks_mut(tile.width().max(1)).zip(errors) {
            line.fill(error);
        }
        Ok(())
    }
}
