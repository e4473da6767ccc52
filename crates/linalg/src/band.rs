//! Band matrices stored by columns, so that a window of one is an ordinary matrix.
//!
//! Column j of the band is `above + below + 1` consecutive values around its diagonal entry. A window that
//! begins at (i, j) is then a column-major matrix whose columns lie `stride - 1` apart, because the
//! diagonal moves down by one from column to column.

use faer::MatRef;

/// Columns of zeros behind the last one, in band widths: windows may reach over the end, where reflectors
/// of zeros change nothing, and no edge needs code of its own.
const MARGIN: usize = 3;
/// Values beside each column that vector loads may touch.
const SLACK: usize = 8;

/// A square band matrix with room for the bulges of a chase.
#[derive(Clone, Debug)]
pub(crate) struct Band {
    /// Rows and columns.
    pub(crate) size: usize,
    /// Width of the band: entries further from the diagonal are zero.
    pub(crate) width: usize,
    /// Distance from a diagonal entry to the next one.
    pub(crate) stride: usize,
    /// Where the first diagonal entry is.
    origin: usize,
    pub(crate) values: Vec<f64>,
}

impl Band {
    fn zeros(size: usize, width: usize, above: usize, below: usize) -> Self {
        let stride = above + below + SLACK;
        let origin = above + SLACK;
        let values = vec![0.0; origin + (size + MARGIN * width) * stride];
        Self { size, width, stride, origin, values }
    }

    /// The symmetric band in the lower triangle of `a`, with room for bulges below it.
    pub(crate) fn lower(a: MatRef<'_, f64>, width: usize) -> Self {
        let size = a.ncols();
        let mut band = Self::zeros(size, width, 0, 2 * width);
        for column in 0..size {
            for row in column..size.min(column + width + 1) {
                let index = band.index(row, column);
                band.values[index] = a[(row, column)];
            }
        }
        band
    }

    /// The upper band of `a`, with room for bulges on both sides.
    pub(crate) fn upper(a: MatRef<'_, f64>, width: usize) -> Self {
        let size = a.ncols();
        let mut band = Self::zeros(size, width, 2 * width, width);
        for column in 0..size {
            for row in column.saturating_sub(width)..=column {
                let index = band.index(row, column);
                band.values[index] = a[(row, column)];
            }
        }
        band
    }

    /// Where entry (`row`, `column`) is.
    pub(crate) fn index(&self, row: usize, column: usize) -> usize {
        self.origin + column * self.stride + row - column
    }

    /// Entries (j, j).
    pub(crate) fn diagonal(&self) -> Vec<f64> {
        (0..self.size).map(|j| self.values[self.index(j, j)]).collect()
    }

    /// Entries (j + 1, j).
    pub(crate) fn subdiagonal(&self) -> Vec<f64> {
        (1..self.size).map(|j| self.values[self.index(j, j - 1)]).collect()
    }

    /// Entries (j, j + 1).
    pub(crate) fn superdiagonal(&self) -> Vec<f64> {
        (1..self.size).map(|j| self.values[self.index(j - 1, j)]).collect()
    }
}
