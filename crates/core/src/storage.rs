//! What storing a weight once cost: the format that its values were rounded to.

use crate::{AnalyzeError, Axis, DType, WeightView};

/// Values looked at together, unless one line is longer.
const BLOCK_VALUES: u64 = 64 * 1024;

impl WeightView<'_> {
    /// The coarsest of BF16, F16, F32 and the stored type that holds every value: a checkpoint that was trained in BF16
    /// and saved as F32 resolves what BF16 does.
    ///
    /// Cost: one pass over the values where a coarser format holds them, one block where none does.
    ///
    /// # Errors
    /// When the bytes cannot be read or decoded, or the run is stopped.
    pub fn storage_grid(&self) -> Result<DType, AnalyzeError> {
        let stored = self.dtype()?;
        let own = stored.unit_roundoff().unwrap_or(0.0);
        let coarser = |format: &Format| format.dtype.unit_roundoff().is_some_and(|u| u > own);
        let mut formats: Vec<Format> = FORMATS.into_iter().filter(coarser).collect();
        let [out, input] = self.size();
        // Along the stored rows.
        let (axis, lines, length) = if self.weight().transposed {
            (Axis::Columns, input, out)
        } else {
            (Axis::Rows, out, input)
        };
        let block = (BLOCK_VALUES / length.max(1)).clamp(1, lines.max(1));
        let mut values = vec![0.0f64; (block * length) as usize];
        let mut first = 0;
        while first < lines && !formats.is_empty() {
            let end = lines.min(first + block);
            values.truncate(((end - first) * length) as usize);
            self.panel(axis, first..end, &mut values)?;
            formats.retain(|format| values.iter().all(|x| (format.holds)(*x)));
            first = end;
        }
        Ok(formats.first().map_or(stored, |format| format.dtype))
    }
}

/// A format and whether it holds a value exactly.
struct Format {
    dtype: DType,
    holds: fn(f64) -> bool,
}

/// Coarsest first.
const FORMATS: [Format; 3] = [
    Format { dtype: DType::BF16, holds: is_bf16 },
    Format { dtype: DType::F16, holds: is_f16 },
    Format { dtype: DType::F32, holds: is_f32 },
];

fn is_f32(x: f64) -> bool {
    f64::from(x as f32) == x
}

fn is_bf16(x: f64) -> bool {
    is_f32(x) && (x as f32).to_bits().trailing_zeros() >= 16
}

fn is_f16(x: f64) -> bool {
    // 11 significant bits, in steps of 2^-24 at least.
    x.abs() <= 65_504.0 && x.to_bits().trailing_zeros() >= 42 && (x * 16_777_216.0).fract() == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_hold_what_they_decode() {
        for (dtype, holds) in [(DType::BF16, is_bf16 as fn(f64) -> bool), (DType::F16, is_f16)] {
            let patterns: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let mut values = vec![0.0f64; 65_536];
            <f64 as crate::Scalar>::decode(dtype, &patterns, &mut values).unwrap();
            for x in values.into_iter().filter(|x| x.is_finite()) {
                assert!(holds(x), "{dtype} {x:e}");
                // Halfway to a neighbour.
                let between = x * (1.0 + dtype.unit_roundoff().unwrap() / 2.0);
                assert!(x == 0.0 || !holds(between), "{dtype} {between:e}");
            }
        }
        assert!(is_f32(0.1f32.into()) && !is_f32(0.1) && !is_f16(65_536.0) && is_bf16(65_536.0));
    }
}
