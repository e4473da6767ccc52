//! A dense symmetric matrix to a band of width b, by orthogonal similarity: values only.
//!
//! Blocked Householder reduction (Bischof, Lang and Sun, ACM TOMS 26, 2000): each panel of b columns below
//! the band is factored, and its reflectors are applied from both sides as one update of rank 2b of the
//! lower triangle. k x k: 4/3 k^3 flops, half of them the product of the trailing matrix with b columns,
//! which reads only its lower triangle; about 16 k^3/(3 b) bytes of memory traffic.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::Monitor;
use crate::band::Band;
use crate::panel_qr::PanelQr;
use crate::parallel::{add_lower_product, add_product, column_blocks, for_each, row_blocks};

/// Rows or columns of a block of the symmetric product: whole register blocks of faer's kernels, and no power
/// of two, whose columns would fall on the same cache sets.
const BLOCK: usize = 480;
/// Columns that are mirrored at a time.
const STRIP: usize = 8;

/// Reduces the symmetric matrix in the lower triangle of `a`, which is destroyed, to a band of width
/// `width`. `None` when the monitor stops it.
pub(crate) fn reduce(mut a: MatMut<'_, f64>, width: usize, monitor: &dyn Monitor) -> Option<Band> {
    let size = a.ncols();
    let mut qr = PanelQr::new();
    for first in (0..size).step_by(width) {
        let next = first + width;
        if next >= size {
            break;
        }
        let (_, _, mut panel, trailing) = a.as_mut().split_at_mut(next, next);
        let mut panel = panel.as_mut().subcols_mut(first, width);
        qr.factor(panel.as_ref());
        for column in 0..width {
            for row in 0..width.min(panel.nrows()) {
                panel[(row, column)] = qr.r(row, column);
            }
        }
        update(trailing, &qr, monitor);
        let m = (size - next) as f64;
        if !monitor.advance(4.0 * m * m * width as f64) {
            return None;
        }
    }
    Some(Band::lower(a.as_ref(), width))
}

/// `a <- Q^T a Q` for `Q = I - V T V^T`, lower triangle: `a - V X^T - X V^T` with `Z = V T`, `Y = a Z`,
/// `X = Y - 1/2 V (T^T V^T Y)`.
fn update(a: MatMut<'_, f64>, qr: &PanelQr, monitor: &dyn Monitor) {
    let (m, r) = (a.ncols(), qr.reflectors());
    let threads = monitor.threads();
    let v = qr.v();
    let mut z = Mat::zeros(m, r);
    add_product(z.as_mut(), v, qr.t(), 1.0, threads);
    // [V X] and [X V] side by side make the two updates of rank r one of rank 2r.
    let (mut left, mut right) = (Mat::zeros(m, 2 * r), Mat::zeros(m, 2 * r));
    let mut x = left.as_mut().subcols_mut(r, r);
    symmetric_product(a.as_ref(), z.as_ref(), x.as_mut(), threads);
    let mut s = Mat::zeros(r, r);
    matmul(s.as_mut(), Accum::Replace, z.transpose(), x.as_ref(), 1.0, Par::Seq);
    add_product(x, v, s.as_ref(), -0.5, threads);
    right.as_mut().subcols_mut(0, r).copy_from(left.as_ref().subcols(r, r));
    right.as_mut().subcols_mut(r, r).copy_from(v);
    left.as_mut().subcols_mut(0, r).copy_from(v);
    add_lower_product(a, left.as_ref(), right.transpose(), -1.0, threads);
}

/// `y = a z` for the symmetric matrix in the lower triangle of `a`.
///
/// Two sets of independent products: what each block of columns of `a`, transposed, gives to its rows of y,
/// and what each block of rows adds to that. Threads share blocks, never sums.
fn symmetric_product(a: MatRef<'_, f64>, z: MatRef<'_, f64>, y: MatMut<'_, f64>, threads: usize) {
    let (size, width) = z.shape();
    // Kept transposed: a product along a's contiguous columns is the fastest one.
    let mut across = Mat::zeros(width, size);
    for_each(column_blocks(across.as_mut(), BLOCK), threads, |(first, mut across)| {
        let (edge, next) = (across.ncols(), first + across.ncols());
        let (here, below) = (z.subrows(first, edge), z.subrows(next, size - next));
        let diagonal = mirrored(a.submatrix(first, first, edge, edge));
        let diagonal = MatRef::from_column_major_slice(&diagonal, edge, edge);
        let column = a.submatrix(next, first, size - next, edge);
        let across_diagonal = across.as_mut();
        matmul(across_diagonal, Accum::Replace, here.transpose(), diagonal, 1.0, Par::Seq);
        matmul(across, Accum::Add, below.transpose(), column, 1.0, Par::Seq);
    });
    // The last rows have the longest sums: they come first.
    let rows = row_blocks(y, BLOCK).into_iter().rev().collect();
    for_each(rows, threads, |(first, mut y): (usize, MatMut<'_, f64>)| {
        let edge = y.nrows();
        y.copy_from(across.as_ref().subcols(first, edge).transpose());
        let row = a.submatrix(first, 0, edge, first);
        matmul(y, Accum::Add, row, z.subrows(0, first), 1.0, Par::Seq);
    });
}

/// The whole matrix whose lower triangle is `lower`, column-major.
fn mirrored(lower: MatRef<'_, f64>) -> Vec<f64> {
    let edge = lower.ncols();
    let mut into = Vec::with_capacity(edge * edge);
    for (j, column) in lower.col_iter().enumerate() {
        into.resize(j * edge + j, 0.0);
        into.extend(column.iter().skip(j));
    }
    // A few columns at a time, so that rows are written in whole cache lines.
    for first in (0..edge).step_by(STRIP) {
        let end = edge.min(first + STRIP);
        for i in first + 1..edge {
            for j in first..end.min(i) {
                into[i * edge + j] = into[j * edge + i];
            }
        }
    }
    into
}
