//! What storing a weight once cost: the format or the steps that its values were rounded to.

use crate::{AnalyzeError, Axis, DType, WeightView};

/// Values looked at together, unless one line is longer.
const BLOCK_VALUES: u64 = 64 * 1024;

/// What the values of a weight were rounded to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StorageGrid {
    /// A number format: errors are relative to each value.
    Float(DType),
    /// Blocks of codes with scales: errors follow from the steps.
    Steps {
        /// Root mean square of the rounding errors to be expected, in units of the weight.
        rms: f64,
    },
}

impl StorageGrid {
    /// The number format, where there is one.
    pub fn dtype(self) -> Option<DType> {
        match self {
            Self::Float(dtype) => Some(dtype),
            Self::Steps { .. } => None,
        }
    }
}

impl WeightView<'_> {
    /// The coarsest of BF16, F16, F32 and the stored type that holds every value: a checkpoint that was trained in BF16
    /// and saved as F32 resolves what BF16 does. Of a weight in another stored form, its steps.
    ///
    /// Cost: one pass over the values where a coarser format holds them, one block where none does; one over the
    /// factors of another stored form.
    ///
    /// # Errors
    /// When the bytes cannot be read or decoded, or the run is stopped.
    pub fn storage_grid(&self) -> Result<StorageGrid, AnalyzeError> {
        let stored = self.dtype()?;
        if self.stored().is_some() {
            let rms = self.rounding_rms()?;
            return Ok(StorageGrid::Steps { rms });
        }
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
        Ok(StorageGrid::Float(formats.first().map_or(stored, |format| format.dtype)))
    }

    /// Root mean square of the rounding errors that the steps of another stored form leave; factors that are not
    /// finite are left out.
    fn rounding_rms(&self) -> Result<f64, AnalyzeError> {
        let (mut energy, mut count) = (0.0f64, 0u64);
        self.for_each_rounding(|_, errors| {
            for error in errors.iter().filter(|error| error.is_finite()) {
                energy += f64::from(*error) * f64::from(*error);
                count += 1;
            }
        })?;
        Ok((energy / count.max(1) as f64).sqrt())
    }

    /// Calls `visit` for pieces of the stored rows of a weight in another stored form, in order: the row (as stored),
    /// and the rounding error to be expected of each of its columns from the first on (see
    /// [`TensorSource::rounding_at`](crate::TensorSource::rounding_at)).
    ///
    /// # Errors
    /// When the bytes cannot be read or decoded, or the run is stopped.
    pub fn for_each_rounding(
        &self,
        mut visit: impl FnMut(u64, &[f32]),
    ) -> Result<(), AnalyzeError> {
        let layout = &self.weight().layout;
        let (rows, columns) = (layout.rows(), layout.columns());
        if columns == 0 {
            return Ok(());
        }
        let whole = columns == layout.stored_columns;
        let mut errors = Vec::new();
        let mut row = 0;
        while row < rows {
            self.check_cancelled()?;
            // Rows that lie one after the other are asked for together.
            let most = (BLOCK_VALUES / columns).max(1);
            let count = if whole { layout.unbroken_rows(row).clamp(1, most) } else { 1 };
            let span = layout
                .span(row, 0..columns)
                .ok_or_else(|| self.shape_error("row outside of the weight"))?;
            errors.resize((count * columns) as usize, 0.0f32);
            self.rounding_at(span.start, &mut errors)?;
            for (index, line) in (row..).zip(errors.chunks_exact(columns as usize)) {
                visit(index, line);
            }
            row += count;
        }
        Ok(())
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
