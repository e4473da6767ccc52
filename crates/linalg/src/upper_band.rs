//! A dense square matrix to an upper band of width b, by orthogonal transformations from both sides.
//!
//! Each step factors a panel of b columns from the left and the panel of b rows that it leaves from the
//! right; both reach the trailing matrix as one update of rank 2b, so that it is read twice and written
//! once per step (Grosser and Lang, Parallel Computing 25, 1999). k x k: 8/3 k^3 flops.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, Par};

use crate::Monitor;
use crate::band::Band;
use crate::panel_qr::PanelQr;
use crate::parallel::add_product;

/// Reduces `a`, which is destroyed, to an upper band of width `width`. `None` when the monitor stops it.
pub(crate) fn reduce(mut a: MatMut<'_, f64>, width: usize, monitor: &dyn Monitor) -> Option<Band> {
    let size = a.ncols();
    let (mut left, mut right) = (PanelQr::new(), PanelQr::new());
    for first in (0..size).step_by(width) {
        let columns = width.min(size - first);
        let (mut panel, rest) = a
            .as_mut()
            .submatrix_mut(first, first, size - first, size - first)
            .split_at_col_mut(columns);
        left.factor(panel.as_ref());
        for column in 0..columns {
            for row in 0..columns {
                panel[(row, column)] = left.r(row, column);
            }
        }
        if rest.ncols() > 0 {
            update(rest, &left, &mut right, monitor.threads());
        }
        let m = (size - first) as f64;
        if !monitor.advance(8.0 * m * m * columns as f64) {
            return None;
        }
    }
    Some(Band::upper(a.as_ref(), width))
}

/// Applies the panel's reflectors `I - V T V^T` to `c` from the left, factors the transpose of its first
/// rows into `I - U S U^T`, and applies that from the right: with `Z = c^T V T` the first rows are
/// `c - V Z^T`, and the others, `c2`, become `c2 - V2 Z^T - Y U^T` with `Y = (c2 U - V2 (Z^T U)) S`.
fn update(c: MatMut<'_, f64>, left: &PanelQr, right: &mut PanelQr, threads: usize) {
    let (m, n, r) = (c.nrows(), c.ncols(), left.reflectors());
    let v = left.v();
    // Transposed: a product along c's contiguous columns is the fastest one.
    let mut product = Mat::zeros(r, n);
    add_product(product.as_mut(), v.transpose(), c.as_ref(), 1.0, threads);
    // [V2 Y] and [Z U] side by side.
    let (mut tall, mut wide) = (Mat::zeros(m - r, 2 * r), Mat::zeros(n, 2 * r));
    let (mut z, u) = wide.as_mut().split_at_col_mut(r);
    add_product(z.as_mut(), product.transpose(), left.t(), 1.0, threads);
    let (v_top, v_below) = v.split_at_row(r);
    let (mut top, below) = c.split_at_row_mut(r);
    add_product(top.as_mut(), v_top, z.as_ref().transpose(), -1.0, threads);
    right.factor(top.as_ref().transpose());
    let s = right.reflectors();
    for column in 0..n {
        for row in 0..r {
            // Its transpose's R; nothing is left of the row behind it.
            top[(row, column)] = if column < s { right.r(column, row) } else { 0.0 };
        }
    }
    let mut u = u.subcols_mut(0, s);
    u.copy_from(right.v());
    let (mut v_copy, y) = tall.as_mut().split_at_col_mut(r);
    v_copy.copy_from(v_below);
    let mut y = y.subcols_mut(0, s);
    let (mut cu, mut zu) = (Mat::zeros(m - r, s), Mat::zeros(r, s));
    add_product(cu.as_mut(), below.as_ref(), u.as_ref(), 1.0, threads);
    matmul(zu.as_mut(), Accum::Replace, z.as_ref().transpose(), u.as_ref(), 1.0, Par::Seq);
    add_product(cu.as_mut(), v_below, zu.as_ref(), -1.0, threads);
    add_product(y.as_mut(), cu.as_ref(), right.t(), 1.0, threads);
    let (tall, wide) = (tall.as_ref().subcols(0, r + s), wide.as_ref().subcols(0, r + s));
    add_product(below, tall, wide.transpose(), -1.0, threads);
}
