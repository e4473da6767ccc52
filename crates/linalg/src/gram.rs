//! The Gram matrix of the short side, summed over panels of the long side.
//!
//! l x k with k the short side: l k^2 flops (the lower triangle only), one read of the matrix, and a panel
//! of [`PANEL`] x k values that is transposed while it is decoded, so that the products run along
//! contiguous memory. The lower triangle is cut into tiles: threads share tiles, never the summed
//! dimension, so that the result is the same for any number of them.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatMut, MatRef, Par};

use crate::parallel::{column_blocks, for_each, row_blocks};
use crate::reader::Reader;
use crate::{Matrix, Monitor, SpectrumError};

/// Lines of the long side per panel. Not a power of two, so that columns of a panel do not fall on the
/// same cache sets; a multiple of every vector length.
pub(crate) const PANEL: usize = 504;
/// Edge of the tiles that threads share.
const TILE: usize = 768;

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
    for (column, block) in column_blocks(gram, TILE) {
        let below = block.nrows() - column;
        let tiles_below = row_blocks(block.subrows_mut(column, below), TILE);
        tiles.extend(tiles_below.into_iter().map(|(row, tile)| (column + row, column, tile)));
    }
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
    for_each(tiles, threads, work);
}
