//! The Gram matrix of the short side, summed over panels of the long side.
//!
//! l x k with k the short side: l k^2 flops (the lower triangle only), one read of the matrix, and a panel
//! of [`PANEL`] x k values that is transposed while it is decoded, so that the products run along
//! contiguous memory. The lower triangle is cut into tiles: threads share tiles, never the summed
//! dimension, so that the result is the same for any number of them.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::{Matrix, Monitor, SpectrumError, reader::Reader};

/// Lines of the long side per panel. Not a power of two, so that columns of a panel do not fall on the
/// same cache sets; a multiple of every vector length.
pub(crate) const PANEL: usize = 504;
/// Edge of the tiles that threads share.
const TILE: usize = 512;

/// Adds the Gram matrix of the whole matrix to the lower triangle of `gram` (k x k).
pub(crate) fn gram<M: Matrix>(
    reader: &Reader<'_, M>,
    mut gram: MatMut<'_, f64>,
    monitor: &dyn Monitor,
) -> Result<(), SpectrumError<M::Error>> {
    let (long, short) = (reader.long(), reader.short());
    let mut panel = vec![0.0; PANEL.min(long) * short];
    for first in (0..long).step_by(PANEL) {
        let lines = PANEL.min(long - first);
        let panel = &mut panel[..lines * short];
        reader.read(first..first + lines, panel)?;
        let panel = MatRef::from_column_major_slice(panel, lines, short);
        add_product(panel, gram.as_mut(), monitor.threads());
        if !monitor.advance(lines as f64 * (short * short) as f64) {
            return Err(SpectrumError::Stopped);
        }
    }
    Ok(())
}

/// `gram += panel^T panel`, lower triangle.
fn add_product(panel: MatRef<'_, f64>, gram: MatMut<'_, f64>, threads: usize) {
    let mut tiles = Vec::new();
    cut(gram, &mut tiles, 0);
    let work = |(row, column, tile): (usize, usize, MatMut<'_, f64>)| {
        let left = panel.subcols(row, tile.nrows()).transpose();
        let right = panel.subcols(column, tile.ncols());
        if row == column {
            let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
            triangular::matmul(tile, lower, Accum::Add, left, full, right, full, 1.0, Par::Seq);
        } else {
            matmul(tile, Accum::Add, left, right, 1.0, Par::Seq);
        }
    };
    if threads > 1 {
        tiles.into_par_iter().with_max_len(1).for_each(work);
    } else {
        tiles.into_iter().for_each(work);
    }
}

/// Cuts the lower triangle into diagonal tiles and what is below them.
fn cut<'a>(gram: MatMut<'a, f64>, tiles: &mut Vec<(usize, usize, MatMut<'a, f64>)>, origin: usize) {
    let size = gram.ncols();
    if size == 0 {
        return;
    }
    let edge = TILE.min(size);
    let (corner, _, mut below, rest) = gram.split_at_mut(edge, edge);
    tiles.push((origin, origin, corner));
    let mut row = origin + edge;
    while below.nrows() > 0 {
        let height = TILE.min(below.nrows());
        let (tile, others) = below.split_at_row_mut(height);
        tiles.push((row, origin, tile));
        (below, row) = (others, row + height);
    }
    cut(rest, tiles, origin + edge);
}
