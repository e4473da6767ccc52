//! A matrix as tall panels, scaled and checked.

use std::ops::Range;

use crate::{Matrix, Order, SpectrumError};

/// Reads panels of lines of the long side. Whether the matrix is tall or wide makes no difference behind
/// this: transposing changes no singular value.
pub(crate) struct Reader<'a, M> {
    matrix: &'a M,
    /// Power of two that the values are multiplied by.
    scale: f64,
}

impl<'a, M: Matrix> Reader<'a, M> {
    pub(crate) fn new(matrix: &'a M) -> Self {
        Self { matrix, scale: power_of_two_below_inverse(matrix.magnitude()) }
    }

    /// What singular values have to be divided by.
    pub(crate) fn scale(&self) -> f64 {
        self.scale
    }

    /// max(rows, columns).
    pub(crate) fn long(&self) -> usize {
        let [rows, columns] = self.matrix.shape();
        rows.max(columns)
    }

    /// min(rows, columns).
    pub(crate) fn short(&self) -> usize {
        let [rows, columns] = self.matrix.shape();
        rows.min(columns)
    }

    /// Lines `lines` of the long side into `into` (lines x short side), column-major.
    pub(crate) fn read(
        &self,
        lines: Range<usize>,
        into: &mut [f64],
    ) -> Result<(), SpectrumError<M::Error>> {
        let [rows, columns] = self.matrix.shape();
        let read = if rows >= columns {
            self.matrix.read(lines, 0..columns, Order::ColumnMajor, into)
        } else {
            self.matrix.read(0..rows, lines, Order::RowMajor, into)
        };
        read.map_err(SpectrumError::Read)?;
        // Adding up 0 x finds NaN and infinities without a branch for each value.
        let mut poison = [0.0; 16];
        let (blocks, rest) = into.as_chunks_mut::<16>();
        for block in blocks {
            for (value, poison) in block.iter_mut().zip(&mut poison) {
                *value *= self.scale;
                *poison += *value * 0.0;
            }
        }
        for value in rest {
            *value *= self.scale;
            poison[0] += *value * 0.0;
        }
        if poison.iter().any(|p| *p != 0.0) {
            return Err(SpectrumError::NotFinite);
        }
        Ok(())
    }
}

/// The power of two that brings `magnitude` near 1, as far as `f64` has it.
fn power_of_two_below_inverse(magnitude: f64) -> f64 {
    if magnitude > 0.0 && magnitude.is_finite() {
        let exponent = magnitude.log2().floor().clamp(-1020.0, 1020.0) as i32;
        2f64.powi(-exponent)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_powers_of_two_near_the_inverse() {
        for magnitude in [1e-300, 3e-20, 0.02, 1.0, 7.0, 1e200, f64::MAX, f64::MIN_POSITIVE] {
            let scaled = magnitude * power_of_two_below_inverse(magnitude);
            assert!((0.25..=16.0).contains(&scaled), "{magnitude} {scaled}");
        }
        assert_eq!(power_of_two_below_inverse(0.0), 1.0);
        assert_eq!(power_of_two_below_inverse(f64::NAN), 1.0);
    }
}
