//! A dense symmetric matrix to a band of width b, by orthogonal similarity: values only.
//!
//! Blocked Householder reduction (Bischof, Lang and Sun, ACM TOMS 26, 2000): each panel of b columns below
//! the band is factored, and its reflectors are applied from both sides as one update of rank 2b of the
//! lower triangle. k x k: 4/3 k^3 flops, half of them the product of the trailing matrix with b columns,
//! which reads only its lower triangle; about 16 k^3/(3 b) bytes of memory traffic.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::band::Band;
use crate::panel_qr::PanelQr;
use crate::{Monitor, parallelism};

/// Edge of the diagonal blocks that are mirrored for the symmetric product.
const MIRROR: usize = 256;

/// Reduces the symmetric matrix in the lower triangle of `a`, which is destroyed, to a band of width
/// `width`. `None` when the monitor stops it.
pub(crate) fn reduce(mut a: MatMut<'_, f64>, width: usize, monitor: &dyn Monitor) -> Option<Band> {
    let size = a.ncols();
    let mut qr = PanelQr::new();
    let mut mirror = Mat::zeros(MIRROR.min(size), MIRROR.min(size));
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
        update(trailing, &qr, mirror.as_mut(), parallelism(monitor));
        let m = (size - next) as f64;
        if !monitor.advance(4.0 * m * m * width as f64) {
            return None;
        }
    }
    Some(Band::lower(a.as_ref(), width))
}

/// `a <- Q^T a Q` for `Q = I - V T V^T`, lower triangle: `a - V X^T - X V^T` with `Z = V T`, `Y = a Z`,
/// `X = Y - 1/2 V (T^T V^T Y)`.
fn update(a: MatMut<'_, f64>, qr: &PanelQr, mirror: MatMut<'_, f64>, par: Par) {
    let (m, r) = (a.ncols(), qr.reflectors());
    let v = qr.v();
    let mut z = Mat::zeros(m, r);
    matmul(z.as_mut(), Accum::Replace, v, qr.t(), 1.0, par);
    // [V X] and [X V] side by side make the two updates of rank r one of rank 2r.
    let (mut left, mut right) = (Mat::zeros(m, 2 * r), Mat::zeros(m, 2 * r));
    let mut x = left.as_mut().subcols_mut(r, r);
    symmetric_product(a.as_ref(), z.as_ref(), x.as_mut(), mirror, par);
    let mut s = Mat::zeros(r, r);
    matmul(s.as_mut(), Accum::Replace, z.transpose(), x.as_ref(), 1.0, par);
    matmul(x.as_mut(), Accum::Add, v, s.as_ref(), -0.5, par);
    right.as_mut().subcols_mut(0, r).copy_from(left.as_ref().subcols(r, r));
    right.as_mut().subcols_mut(r, r).copy_from(v);
    left.as_mut().subcols_mut(0, r).copy_from(v);
    let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    triangular::matmul(
        a,
        lower,
        Accum::Add,
        left.as_ref(),
        full,
        right.transpose(),
        full,
        -1.0,
        par,
    );
}

/// `y = a z` for the symmetric matrix in the lower triangle of `a`.
fn symmetric_product(
    a: MatRef<'_, f64>,
    z: MatRef<'_, f64>,
    mut y: MatMut<'_, f64>,
    mut mirror: MatMut<'_, f64>,
    par: Par,
) {
    let size = a.ncols();
    y.fill(0.0);
    for first in (0..size).step_by(MIRROR) {
        let edge = MIRROR.min(size - first);
        let next = first + edge;
        let diagonal = a.submatrix(first, first, edge, edge);
        let mut mirror = mirror.as_mut().submatrix_mut(0, 0, edge, edge);
        for column in 0..edge {
            for row in column..edge {
                let value = diagonal[(row, column)];
                mirror[(row, column)] = value;
                mirror[(column, row)] = value;
            }
        }
        let (mut y_here, mut y_below) =
            y.as_mut().subrows_mut(first, size - first).split_at_row_mut(edge);
        let (z_here, z_below) = z.subrows(first, size - first).split_at_row(edge);
        matmul(y_here.as_mut(), Accum::Add, mirror.as_ref(), z_here, 1.0, par);
        if next < size {
            let below = a.submatrix(next, first, size - next, edge);
            matmul(y_below.as_mut(), Accum::Add, below, z_here, 1.0, par);
            matmul(y_here.as_mut(), Accum::Add, below.transpose(), z_below, 1.0, par);
        }
    }
}
