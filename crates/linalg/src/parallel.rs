//! Work that threads share: independent pieces of an output, never parts of a sum, so that results are the
//! same for any number of threads.

use faer::MatMut;
use rayon::prelude::*;

/// Does `work` on every item, on `threads` threads of the rayon pool that this is called in. With one, rayon
/// is left alone: outside of a pool it would start its global one.
pub(crate) fn for_each<T: Send>(items: Vec<T>, threads: usize, work: impl Fn(T) + Send + Sync) {
    if threads > 1 {
        items.into_par_iter().with_max_len(1).for_each(work);
    } else {
        items.into_iter().for_each(work);
    }
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
