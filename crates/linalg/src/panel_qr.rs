//! QR of a tall panel in compact form: `Q = I - V T V^T`.
//!
//! Recursive over columns (Elmroth and Gustavson, IBM J. Res. Dev. 44, 2000): all but leaves of a few
//! columns is matrix products. m x b: 2 m b^2 flops, the panel stays in cache.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::vector::{add_multiple, dot, reflect};

/// Columns that are factored one reflector at a time.
const LEAF: usize = 8;

/// A panel while and after it is factored.
#[derive(Debug)]
pub(crate) struct PanelQr {
    rows: usize,
    columns: usize,
    /// The panel, column-major; afterwards its first min(rows, columns) rows are R.
    panel: Vec<f64>,
    /// Reflectors with their ones and zeros, column-major, rows x min(rows, columns).
    v: Vec<f64>,
    /// Upper triangular, min(rows, columns) square.
    t: Mat<f64>,
}

impl PanelQr {
    /// Empty buffers.
    pub(crate) fn new() -> Self {
        Self { rows: 0, columns: 0, panel: Vec::new(), v: Vec::new(), t: Mat::new() }
    }

    /// Copies and factors `panel`, whose size may differ from call to call on the same buffers.
    pub(crate) fn factor(&mut self, panel: MatRef<'_, f64>) {
        (self.rows, self.columns) = panel.shape();
        self.panel.clear();
        for column in panel.col_iter() {
            self.panel.extend(column.iter());
        }
        let reflectors = self.reflectors();
        self.v.clear();
        self.v.resize(self.rows * reflectors, 0.0);
        self.t = Mat::zeros(reflectors, reflectors);
        factor(&mut self.panel, &mut self.v, self.rows, 0, self.t.as_mut());
        let (done, rest) = self.panel.split_at_mut(self.rows * reflectors);
        if !rest.is_empty() && !done.is_empty() {
            // Wider than tall: the columns behind the square part only follow.
            let v = MatRef::from_column_major_slice(&self.v, self.rows, reflectors);
            let rest =
                MatMut::from_column_major_slice_mut(rest, self.rows, self.columns - reflectors);
            apply(v, self.t.as_ref(), rest);
        }
    }

    /// How many reflectors there are: min(rows, columns).
    pub(crate) fn reflectors(&self) -> usize {
        self.rows.min(self.columns)
    }

    /// V, rows x reflectors.
    pub(crate) fn v(&self) -> MatRef<'_, f64> {
        MatRef::from_column_major_slice(&self.v, self.rows, self.reflectors())
    }

    /// T, reflectors square.
    pub(crate) fn t(&self) -> MatRef<'_, f64> {
        self.t.as_ref()
    }

    /// R at `row`, `column`; zero below the diagonal.
    pub(crate) fn r(&self, row: usize, column: usize) -> f64 {
        if row <= column { self.panel[column * self.rows + row] } else { 0.0 }
    }
}

/// `a -= V T^T V^T a`, that is `Q^T a`.
fn apply(v: MatRef<'_, f64>, t: MatRef<'_, f64>, mut a: MatMut<'_, f64>) {
    let (reflectors, columns) = (v.ncols(), a.ncols());
    let mut w = Mat::zeros(reflectors, columns);
    let mut tw = Mat::zeros(reflectors, columns);
    matmul(w.as_mut(), Accum::Replace, v.transpose(), a.as_ref(), 1.0, Par::Seq);
    matmul(tw.as_mut(), Accum::Replace, t.transpose(), w.as_ref(), 1.0, Par::Seq);
    matmul(a.as_mut(), Accum::Add, v, tw.as_ref(), -1.0, Par::Seq);
}

/// Factors the columns of `t.ncols()` reflectors; rows above `top` are not touched. `panel` and `v` begin
/// at the first of them.
fn factor(panel: &mut [f64], v: &mut [f64], rows: usize, top: usize, mut t: MatMut<'_, f64>) {
    let columns = t.ncols();
    if columns <= LEAF {
        return leaf(&mut panel[..rows * columns], v, rows, top, t);
    }
    let half = (columns / 2).next_multiple_of(LEAF).min(columns - 1);
    let (left, right) = panel.split_at_mut(rows * half);
    let (v_left, v_right) = v.split_at_mut(rows * half);
    let (mut t_left, mut t_corner, _, mut t_right) = t.as_mut().split_at_mut(half, half);
    factor(left, v_left, rows, top, t_left.as_mut());
    let v_left = MatRef::from_column_major_slice(v_left, rows, half).subrows(top, rows - top);
    let others = columns - half;
    let target = MatMut::from_column_major_slice_mut(&mut right[..rows * others], rows, others);
    apply(v_left, t_left.as_ref(), target.subrows_mut(top, rows - top));
    factor(right, v_right, rows, top + half, t_right.as_mut());
    // T of both: the corner is -T1 (V1^T V2) T2.
    let v_right = MatRef::from_column_major_slice(&v_right[..rows * others], rows, others);
    let v_right = v_right.subrows(top, rows - top);
    let (mut overlap, mut product) = (Mat::zeros(half, others), Mat::zeros(half, others));
    matmul(overlap.as_mut(), Accum::Replace, v_left.transpose(), v_right, 1.0, Par::Seq);
    matmul(product.as_mut(), Accum::Replace, t_left.as_ref(), overlap.as_ref(), -1.0, Par::Seq);
    matmul(t_corner.as_mut(), Accum::Replace, product.as_ref(), t_right.as_ref(), 1.0, Par::Seq);
}

/// One reflector after the other.
fn leaf(panel: &mut [f64], v: &mut [f64], rows: usize, top: usize, mut t: MatMut<'_, f64>) {
    for column in 0..t.ncols() {
        let row = top + column;
        let (done, rest) = panel.split_at_mut(rows * (column + 1));
        let x = &mut done[rows * column + row..];
        let (earlier, own) = v.split_at_mut(rows * column);
        let reflector = &mut own[row..rows];
        reflector.copy_from_slice(x);
        let (tau, beta) = reflect(reflector);
        x.fill(0.0);
        x[0] = beta;
        for other in rest.chunks_exact_mut(rows) {
            let other = &mut other[row..];
            let factor = -tau * dot(reflector, other);
            add_multiple(factor, reflector, other);
        }
        let overlaps = earlier.chunks_exact(rows).map(|v| dot(&v[row..], reflector));
        extend(t.as_mut(), column, tau, overlaps);
    }
}

/// Fills T's column `column`: tau on the diagonal and -tau T (V^T v) above it, V^T v being `overlaps`.
pub(crate) fn extend(
    mut t: MatMut<'_, f64>,
    column: usize,
    tau: f64,
    overlaps: impl Iterator<Item = f64>,
) {
    for (i, overlap) in overlaps.enumerate() {
        for k in 0..=i {
            t[(k, column)] -= tau * t[(k, i)] * overlap;
        }
    }
    t[(column, column)] = tau;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_times_r_is_the_panel() {
        for (rows, columns) in [(1, 1), (3, 3), (5, 2), (40, 17), (70, 64), (9, 20), (1, 7)] {
            let a = Mat::from_fn(rows, columns, |i, j| ((i * 37 + j * j * 11) % 23) as f64 - 9.0);
            let mut qr = PanelQr::new();
            qr.factor(a.as_ref());
            let (v, t) = (qr.v(), qr.t());
            let q = Mat::<f64>::identity(rows, rows) - v * t * v.transpose();
            let r =
                Mat::from_fn(
                    rows,
                    columns,
                    |i, j| if i < rows.min(columns) { qr.r(i, j) } else { 0.0 },
                );
            let difference = &q * &r - &a;
            assert!(difference.norm_max() < 1e-12, "{rows} x {columns}");
            let orthogonal = q.transpose() * &q - Mat::<f64>::identity(rows, rows);
            assert!(orthogonal.norm_max() < 1e-13, "{rows} x {columns}");
        }
    }
}
