//! Work that threads share: independent pieces of an output, never parts of a sum, so that results are the
//! same for any number of threads.

use std::iter;
use std::sync::{Mutex, PoisonError};

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatMut, MatRef, Par};

/// Does `work` on every item, on `threads` threads of the rayon pool that this is called in. Threads take items
/// in order: put long ones first. With one, rayon is left alone: outside of a pool it would start its global
/// one.
pub(crate) fn for_each<T: Send>(items: Vec<T>, threads: usize, work: impl Fn(T) + Send + Sync) {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.into_iter().for_each(work);
    }
    let queue = Mutex::new(items.into_iter());
    // A panic while the lock is held cannot be: `next` does not panic.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    rayon::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| iter::from_fn(next).for_each(&work));
        }
        iter::from_fn(next).for_each(&work);
    });
}

/// Blocks of `width` columns, each with the index of its first one.
pub(crate) fn column_blocks(mut a: MatMut<'_, f64>, width: usize) -> Vec<(usize, MatMut<'_, f64>)> {
    let mut blocks = Vec::with_capacity(a.ncols().div_ceil(width));
    let mut first = 0;
    while a.ncols() > 0 {
        let (block, rest) = {
            let width = width.min(a.ncols());
            a.split_at_col_mut(width)
        };
        let next = first + block.ncols();
        blocks.push((first, block));
        (a, first) = (rest, next);
    }
    blocks
}

/// Blocks of `height` rows, each with the index of its first one.
pub(crate) fn row_blocks(a: MatMut<'_, f64>, height: usize) -> Vec<(usize, MatMut<'_, f64>)> {
    let blocks = column_blocks(a.transpose_mut(), height);
    blocks.into_iter().map(|(first, block)| (first, block.transpose_mut())).collect()
}

/// Edge of the tiles that large products are cut into: a multiple of faer's register blocks, small enough
/// that threads share them evenly.
const TILE: usize = 768;

/// A part of a matrix, with its place.
pub(crate) struct Tile<'a> {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) values: MatMut<'a, f64>,
}

/// Tiles of the whole matrix.
pub(crate) fn tiles(a: MatMut<'_, f64>) -> Vec<Tile<'_>> {
    tiles_below(a, |_| 0)
}

/// Tiles of the lower triangle; those with `row == column` lie on the diagonal.
pub(crate) fn lower_tiles(a: MatMut<'_, f64>) -> Vec<Tile<'_>> {
    tiles_below(a, |column| column)
}

fn tiles_below(a: MatMut<'_, f64>, top: impl Fn(usize) -> usize) -> Vec<Tile<'_>> {
    let rows = a.nrows();
    let strips = column_blocks(a, TILE).into_iter().flat_map(|(column, strip)| {
        let top = top(column);
        let blocks = row_blocks(strip.subrows_mut(top, rows - top), TILE);
        blocks.into_iter().map(move |(row, values)| Tile { row: top + row, column, values })
    });
    strips.collect()
}

/// `target += factor * left * right`, lower triangle.
pub(crate) fn add_lower_product(
    target: MatMut<'_, f64>,
    left: MatRef<'_, f64>,
    right: MatRef<'_, f64>,
    factor: f64,
    threads: usize,
) {
    for_each(lower_tiles(target), threads, |Tile { row, column, values }| {
        let left = left.subrows(row, values.nrows());
        let right = right.subcols(column, values.ncols());
        if row == column {
            let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
            let add = Accum::Add;
            triangular::matmul(values, lower, add, left, full, right, full, factor, Par::Seq);
        } else {
            matmul(values, Accum::Add, left, right, factor, Par::Seq);
        }
    });
}

/// `target += factor * left * right`.
pub(crate) fn add_product(
    target: MatMut<'_, f64>,
    left: MatRef<'_, f64>,
    right: MatRef<'_, f64>,
    factor: f64,
    threads: usize,
) {
    for_each(tiles(target), threads, |Tile { row, column, values }| {
        let left = left.subrows(row, values.nrows());
        let right = right.subcols(column, values.ncols());
        matmul(values, Accum::Add, left, right, factor, Par::Seq);
    });
}
