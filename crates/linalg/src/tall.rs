//! A tall matrix to the square triangle R of its QR factorisation, panel by panel.
//!
//! Each panel of [`PANEL`] lines is annihilated against R (the "triangle on top of square" kernel of Buttari,
//! Langou, Kurzak and Dongarra, Parallel Computing 35, 2009): the reflectors are the identity on R's rows
//! and dense on the panel's, so that nothing but R is kept. l x k: 2 l k^2 flops and one read of the matrix.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, Par};

use crate::gram::PANEL;
use crate::panel_qr::extend;
use crate::parallel::add_product;
use crate::reader::Reader;
use crate::vector::{add_multiple, dot};
use crate::{Matrix, Monitor, SpectrumError};

/// Columns annihilated together.
const BLOCK: usize = 64;

/// Leaves R of the whole matrix in the upper triangle of `r` (k x k, zero on entry).
pub(crate) fn triangle<M: Matrix>(
    reader: &Reader<'_, M>,
    mut r: MatMut<'_, f64>,
    monitor: &dyn Monitor,
) -> Result<(), SpectrumError<M::Error>> {
    let (long, short) = (reader.long(), reader.short());
    let mut values = vec![0.0; PANEL.min(long) * short];
    for first in (0..long).step_by(PANEL) {
        let lines = PANEL.min(long - first);
        let values = &mut values[..lines * short];
        reader.read(first..first + lines, values)?;
        for column in (0..short).step_by(BLOCK) {
            annihilate(r.as_mut(), values, lines, column, monitor.threads());
            let done = 4.0 * lines as f64 * (BLOCK * (short - column)) as f64;
            if !monitor.advance(done) {
                return Err(SpectrumError::Stopped);
            }
        }
    }
    Ok(())
}

/// Annihilates columns `first..first + BLOCK` of the panel (`lines` rows, column-major) against R.
fn annihilate(r: MatMut<'_, f64>, panel: &mut [f64], lines: usize, first: usize, threads: usize) {
    let short = r.ncols();
    let width = BLOCK.min(short - first);
    let (own, rest) = panel[first * lines..].split_at_mut(width * lines);
    let mut r = r.submatrix_mut(first, first, width, short - first);
    let mut t = Mat::<f64>::zeros(width, width);
    for column in 0..width {
        let (done, behind) = own.split_at_mut((column + 1) * lines);
        let (earlier, x) = done.split_at_mut(column * lines);
        // The reflector is 1 on R's diagonal entry and x on the panel.
        let energy = dot(x, x);
        if energy == 0.0 {
            continue;
        }
        let alpha = r[(column, column)];
        let beta = -(alpha * alpha + energy).sqrt().copysign(alpha);
        let (tau, scale) = ((beta - alpha) / beta, 1.0 / (alpha - beta));
        for value in &mut *x {
            *value *= scale;
        }
        r[(column, column)] = beta;
        for (other, target) in (column + 1..width).zip(behind.chunks_exact_mut(lines)) {
            let w = tau * (r[(column, other)] + dot(x, target));
            r[(column, other)] -= w;
            add_multiple(-w, x, target);
        }
        let overlaps = earlier.chunks_exact(lines).map(|v| dot(v, x));
        extend(t.as_mut(), column, tau, overlaps);
    }
    let others = short - first - width;
    if others == 0 {
        return;
    }
    // W = T^T (R + V^T P); R -= W; P -= V W.
    let v = faer::MatRef::from_column_major_slice(&*own, lines, width);
    let mut panel = MatMut::from_column_major_slice_mut(rest, lines, others);
    let mut r = r.subcols_mut(width, others);
    let (mut sum, mut w) = (r.as_ref().to_owned(), Mat::zeros(width, others));
    add_product(sum.as_mut(), v.transpose(), panel.as_ref(), 1.0, threads);
    matmul(w.as_mut(), Accum::Replace, t.transpose(), sum.as_ref(), 1.0, Par::Seq);
    r -= &w;
    add_product(panel.as_mut(), v, w.as_ref(), -1.0, threads);
}
