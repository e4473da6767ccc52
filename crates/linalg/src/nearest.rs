//! Which rows of a matrix point the same way as given vectors.

use faer::{Mat, MatRef};

use crate::parallel::add_product;
use crate::{Matrix, Monitor, Order, SpectrumError};

/// Rows that are read at a time.
const PANEL: usize = 504;

/// A row and the cosine of its angle to a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Index of the row.
    pub row: usize,
    /// Cosine, in -1 to 1 but for rounding.
    pub cosine: f64,
}

/// For each of some vectors the row of `matrix` with the largest cosine; `None` where there is none, because the
/// vector or every row is zero.
///
/// * `vectors`: one after the other, each as long as the rows. Of equal cosines the first row wins.
/// * Cost: 2 rows vectors columns flops and one read. Scratch: [`nearest_bytes`]. Threads share products, and no result
///   depends on them.
///
/// # Errors
/// [`SpectrumError`]: unreadable, not finite, or stopped.
pub fn nearest_rows<M: Matrix>(
    vectors: &[f64],
    matrix: &M,
    monitor: &dyn Monitor,
) -> Result<Vec<Option<Nearest>>, SpectrumError<M::Error>> {
    let [rows, columns] = matrix.shape();
    if columns == 0 {
        return Ok(Vec::new());
    }
    let count = vectors.len() / columns;
    let lengths: Vec<f64> = vectors.chunks_exact(columns).map(norm).collect();
    if lengths.iter().any(|length| !length.is_finite()) {
        return Err(SpectrumError::NotFinite);
    }
    let vectors = MatRef::from_row_major_slice(&vectors[..count * columns], count, columns);
    let mut best: Vec<Option<Nearest>> = vec![None; count];
    let mut panel = Vec::new();
    for first in (0..rows).step_by(PANEL) {
        let lines = first..rows.min(first + PANEL);
        panel.resize(lines.len() * columns, 0.0);
        matrix
            .read(lines.clone(), 0..columns, Order::RowMajor, &mut panel)
            .map_err(SpectrumError::Read)?;
        let norms: Vec<f64> = panel.chunks_exact(columns).map(norm).collect();
        if norms.iter().any(|norm| !norm.is_finite()) {
            return Err(SpectrumError::NotFinite);
        }
        let mut products = Mat::<f64>::zeros(lines.len(), count);
        let rows = MatRef::from_row_major_slice(&panel, lines.len(), columns);
        add_product(products.as_mut(), rows, vectors.transpose(), 1.0, monitor.threads());
        for (vector, (best, length)) in best.iter_mut().zip(&lengths).enumerate() {
            for (place, norm) in norms.iter().enumerate() {
                let cosine = products[(place, vector)] / (norm * length);
                if cosine.is_finite() && best.is_none_or(|best| cosine > best.cosine) {
                    *best = Some(Nearest { row: first + place, cosine });
                }
            }
        }
        if !monitor.advance(2.0 * (lines.len() * columns) as f64 * count as f64) {
            return Err(SpectrumError::Stopped);
        }
    }
    Ok(best)
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Peak scratch of [`nearest_rows`] beside the vectors themselves, in bytes.
pub fn nearest_bytes(columns: usize, vectors: usize) -> u64 {
    8 * PANEL as u64 * (columns as u64 + vectors as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dense, Threads};

    #[test]
    fn directions_count_and_lengths_do_not() {
        let rows = [1.0, 0.0, 0.0, 5.0, 0.0, 0.0, -1.0, -1.0, 3.0, 3.0];
        let matrix = Dense::new(&rows, 5, 2).unwrap();
        let vectors = [0.1, 0.0, 1.0, 2.0, -7.0, -6.0, 0.0, 0.0];
        let found = nearest_rows(&vectors, &matrix, &Threads(1)).unwrap();
        let places: Vec<_> = found.iter().map(|n| n.map(|n| n.row)).collect();
        assert_eq!(places, [Some(0), Some(4), Some(3), None]);
        assert!((found[0].unwrap().cosine - 1.0).abs() < 1e-15);
    }

    #[test]
    fn panels_do_not_show() {
        let (rows, columns) = (2 * PANEL + 7, 3);
        let values: Vec<f64> = (0..rows * columns).map(|i| ((i * i) as f64 * 0.37).sin()).collect();
        let matrix = Dense::new(&values, rows, columns).unwrap();
        let found = nearest_rows(&values, &matrix, &Threads(1)).unwrap();
        assert!(found.iter().enumerate().all(|(i, n)| n.unwrap().row == i));
        let error = nearest_rows(&[f64::NAN, 0.0, 0.0], &matrix, &Threads(1));
        assert!(matches!(error, Err(SpectrumError::NotFinite)));
    }
}
