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
    shape: Stored,
    values: Vec<f64>,
}

/// How columns of a band are stored.
#[derive(Clone, Copy, Debug)]
struct Stored {
    /// Values per column.
    column: usize,
    /// Place of the diagonal entry among them.
    diagonal: usize,
}

/// The values of a band, ready to be cut into windows.
#[derive(Debug)]
pub(crate) struct Windows<'a> {
    /// Width of the band.
    pub(crate) width: usize,
    shape: Stored,
    values: &'a mut [f64],
}

impl Band {
    fn zeros(size: usize, width: usize, above: usize, below: usize) -> Self {
        let shape = Stored { column: SLACK + above + 1 + below, diagonal: SLACK + above };
        let values = vec![0.0; (size + MARGIN * width) * shape.column];
        Self { size, width, shape, values }
    }

    /// The symmetric band in the lower triangle of `a`, with room for bulges below it.
    pub(crate) fn lower(a: MatRef<'_, f64>, width: usize) -> Self {
        let size = a.ncols();
        let mut band = Self::zeros(size, width, 0, 2 * width);
        let mut windows = band.whole();
        for column in 0..size {
            let end = size.min(column + width + 1);
            for (row, value) in (column..end).zip(windows.window(column, column)) {
                *value = a[(row, column)];
            }
        }
        band
    }

    /// The upper band of `a`, with room for bulges on both sides.
    pub(crate) fn upper(a: MatRef<'_, f64>, width: usize) -> Self {
        let size = a.ncols();
        let mut band = Self::zeros(size, width, 2 * width, width);
        let mut windows = band.whole();
        for column in 0..size {
            let first = column.saturating_sub(width);
            for (row, value) in (first..=column).zip(windows.window(first, column)) {
                *value = a[(row, column)];
            }
        }
        band
    }

    /// Its values as windows.
    pub(crate) fn whole(&mut self) -> Windows<'_> {
        let Self { width, shape, values, .. } = self;
        Windows { width: *width, shape: *shape, values }
    }

    fn entry(&self, row: usize, column: usize) -> f64 {
        self.values[column * self.shape.column + self.shape.diagonal + row - column]
    }

    /// Entries (j, j).
    pub(crate) fn diagonal(&self) -> Vec<f64> {
        (0..self.size).map(|j| self.entry(j, j)).collect()
    }

    /// Entries (j + 1, j).
    pub(crate) fn subdiagonal(&self) -> Vec<f64> {
        (1..self.size).map(|j| self.entry(j, j - 1)).collect()
    }

    /// Entries (j, j + 1).
    pub(crate) fn superdiagonal(&self) -> Vec<f64> {
        (1..self.size).map(|j| self.entry(j - 1, j)).collect()
    }
}

impl Windows<'_> {
    /// The values from entry (`row`, `column`) on: the window that begins there, column-major with
    /// [`Windows::stride`].
    #[inline(always)]
    pub(crate) fn window(&mut self, row: usize, column: usize) -> &mut [f64] {
        let start = column * self.shape.column + self.shape.diagonal;
        &mut self.values[start + row - column..]
    }

    /// The same for a diagonal window, with the values before it: where its first entry is among them.
    #[inline(always)]
    pub(crate) fn diagonal_window(&mut self, row: usize) -> (&mut [f64], usize) {
        let start = row * self.shape.column;
        (&mut self.values[start..], self.shape.diagonal)
    }

    /// Distance of a window's columns.
    #[inline(always)]
    pub(crate) fn stride(&self) -> usize {
        self.shape.column - 1
    }
}
