//! The Gram matrix of the short side, summed over panels of the long side.
//!
//! l x k with k the short side: l k^2 flops (the lower triangle only), one read of the matrix, and a panel
//! of [`PANEL`] x k values that is transposed while it is decoded, so that the products run along
//! contiguous memory. The lower triangle is cut into tiles: threads share tiles, never the summed
//! dimension, so that the result is the same for any number of them.

use faer::{MatMut, MatRef};

use crate::parallel::add_lower_product;
use crate::reader::Reader;
use crate::{Matrix, Monitor, SpectrumError};

/// Lines of the long side per panel. Not a power of two, so that columns of a panel do not fall on the
/// same cache sets; a multiple of every vector length.
pub(crate) const PANEL: usize = 504;

/// Adds the Gram matrix of the whole matrix to the lower triangle of `gram` (k x k).
pub(crate) fn gram<M: Matrix>(
    reader: &Reader<'_, M>,
    mut gram: MatMut<'_, f64>,
    monitor: &dyn Monitor,
) -> Result<(), SpectrumError<M::Error>> {
    let (long, short) = (reader.long(), reader.short());
    let count = PANEL.min(long) * short;
    let read = |first: usize, panel: &mut Vec<f64>| {
        let lines = first..long.min(first + PANEL);
        panel.resize(lines.len() * short, 0.0);
        reader.read(lines, panel)
    };
    let (mut panel, mut ahead) = (Vec::with_capacity(count), Vec::new());
    read(0, &mut panel)?;
    for first in (0..long).step_by(PANEL) {
        let lines = PANEL.min(long - first);
        let threads = monitor.threads();
        let mut add = || {
            let panel = MatRef::from_column_major_slice(&panel, lines, short);
            add_lower_product(gram.as_mut(), panel.transpose(), panel, 1.0, threads);
        };
        let next = first + PANEL;
        if next >= long {
            add();
        } else if threads > 1 {
            // One thread reads the next panel while the others multiply.
            rayon::join(add, || read(next, &mut ahead)).1?;
            std::mem::swap(&mut panel, &mut ahead);
        } else {
            add();
            read(next, &mut panel)?;
        }
        if !monitor.advance(lines as f64 * (short * short) as f64) {
            return Err(SpectrumError::Stopped);
        }
    }
    Ok(())
}
