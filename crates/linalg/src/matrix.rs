//! Where the values come from: blocks on demand, so that no matrix is ever held whole for being stored.

use std::ops::Range;

/// How a block's values follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Row after row.
    RowMajor,
    /// Column after column.
    ColumnMajor,
}

/// A matrix that is read in blocks, whatever format it is stored in.
pub trait Matrix: Sync {
    /// Why a block could not be read.
    type Error: Send;

    /// `[rows, columns]`, tall or wide.
    fn shape(&self) -> [usize; 2];

    /// The largest absolute value, or anything within a factor of 2^400 above or below it.
    ///
    /// Values are multiplied by a power of two near its inverse, so that squares neither overflow nor
    /// vanish. 1 does for every format narrower than `f64`.
    fn magnitude(&self) -> f64 {
        1.0
    }

    /// Decodes a block into `into`, which has `rows.len() * columns.len()` places.
    ///
    /// # Errors
    /// When the values cannot be had; [`crate::singular_values`] stops and hands the error on.
    fn read(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        order: Order,
        into: &mut [f64],
    ) -> Result<(), Self::Error>;
}

/// Rows that are turned at a time.
const STRIP: usize = 8;

/// A matrix in memory, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Dense<'a> {
    values: &'a [f64],
    shape: [usize; 2],
}

impl<'a> Dense<'a> {
    /// `values` as `rows` rows of `columns` values; `None` when their number is not `rows * columns`.
    pub fn new(values: &'a [f64], rows: usize, columns: usize) -> Option<Self> {
        (rows.checked_mul(columns) == Some(values.len()))
            .then_some(Self { values, shape: [rows, columns] })
    }
}

impl Matrix for Dense<'_> {
    type Error = std::convert::Infallible;

    fn shape(&self) -> [usize; 2] {
        self.shape
    }

    fn magnitude(&self) -> f64 {
        self.values.iter().fold(0.0, |largest, x| x.abs().max(largest))
    }

    fn read(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        order: Order,
        into: &mut [f64],
    ) -> Result<(), Self::Error> {
        let width = self.shape[1];
        match order {
            Order::RowMajor => {
                for (row, target) in rows.zip(into.chunks_exact_mut(columns.len().max(1))) {
                    target.copy_from_slice(&self.values[row * width..][columns.clone()]);
                }
            }
            Order::ColumnMajor => {
                // A few rows at a time, so that both sides are touched by whole cache lines.
                let height = rows.len().max(1);
                for first in rows.clone().step_by(STRIP) {
                    let strip = first..rows.end.min(first + STRIP);
                    let targets = into.chunks_exact_mut(height);
                    for (column, target) in columns.clone().zip(targets) {
                        let target = &mut target[first - rows.start..][..strip.len()];
                        for (row, value) in strip.clone().zip(target) {
                            *value = self.values[row * width + column];
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
