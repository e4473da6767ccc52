//! Principal components: all variances, and the scores of the first few.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, Par};

use crate::gram::{PANEL, gram};
use crate::reader::Reader;
use crate::route::Square;
use crate::{Cost, Matrix, Monitor, SpectrumError};

/// The principal components of the rows of a matrix whose columns have mean 0.
#[derive(Clone, Debug, PartialEq)]
pub struct PrincipalComponents {
    /// Sum of squares along every component, min(rows, columns) of them, descending, never negative: the
    /// squared singular values.
    pub energies: Vec<f64>,
    /// Coordinates of the rows along the first components. Signs are free: the coordinate of largest magnitude
    /// is positive.
    pub scores: Vec<Vec<f64>>,
}

/// Principal components of the rows of `matrix`, with the coordinates along the first `components`.
///
/// * `matrix`: `[rows, columns]`, columns centred by the caller (and scaled, if they are to weigh the same).
/// * Cost: l k^2 flops for the Gram matrix of the short side k and about 9 k^3 for its eigenvectors; two
///   reads of the matrix when it is tall, one when it is wide. Scratch: [`principal_cost`].
/// * Accuracy: an energy to about 1e-15 of the largest one; a score to that over the gap to its neighbour.
/// * Threads share the products alone, and no result depends on them.
///
/// # Errors
/// [`SpectrumError`]: unreadable, not finite, no memory, or stopped.
pub fn principal_components<M: Matrix>(
    matrix: &M,
    components: usize,
    monitor: &dyn Monitor,
) -> Result<PrincipalComponents, SpectrumError<M::Error>> {
    let [rows, columns] = matrix.shape();
    let reader = Reader::new(matrix);
    let short = reader.short();
    let too_large = SpectrumError::TooLarge(rows, columns);
    let Some(mut square) = Square::new(short) else { return Err(too_large) };
    gram(&reader, square.as_mut(), monitor)?;

    let mut vectors = Mat::<f64>::zeros(short, short);
    let mut values = Diag::<f64>::zeros(short);
    // One thread: how faer shares this out would show in the last bits.
    let scratch = self_adjoint_evd_scratch::<f64>(
        short,
        ComputeEigenvectors::Yes,
        Par::Seq,
        faer::Spec::default(),
    );
    let Ok(mut buffer) = MemBuffer::try_new(scratch) else { return Err(too_large) };
    let solved = self_adjoint_evd(
        square.as_mut().as_ref(),
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut buffer),
        faer::Spec::default(),
    );
    if solved.is_err() {
        return Err(SpectrumError::NotFinite);
    }
    if !monitor.advance(9.0 * (short as f64).powi(3)) {
        return Err(SpectrumError::Stopped);
    }

    // Ascending as faer has them.
    let ascending = values.column_vector();
    let energies: Vec<f64> = ascending.iter().rev().map(|value| value.max(0.0)).collect();
    let count = components.min(short);
    let axes = (0..count).map(|i| vectors.col(short - 1 - i).iter().copied().collect());
    let mut scores: Vec<Vec<f64>> = if rows >= columns {
        projections(&reader, &axes.collect::<Vec<Vec<f64>>>())?
    } else {
        let scaled = |(axis, energy): (Vec<f64>, &f64)| {
            axis.into_iter().map(|x| x * energy.sqrt()).collect()
        };
        axes.zip(&energies).map(scaled).collect()
    };
    for score in &mut scores {
        let largest =
            score.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        let factor = largest.signum() / reader.scale();
        for x in score {
            *x *= factor;
        }
    }
    let unscaled = |energy: f64| energy / reader.scale() / reader.scale();
    Ok(PrincipalComponents { energies: energies.into_iter().map(unscaled).collect(), scores })
}

/// The scaled matrix times each axis.
fn projections<M: Matrix>(
    reader: &Reader<'_, M>,
    axes: &[Vec<f64>],
) -> Result<Vec<Vec<f64>>, SpectrumError<M::Error>> {
    let long = reader.long();
    let mut scores = vec![vec![0.0; long]; axes.len()];
    let mut panel = Vec::new();
    for first in (0..long).step_by(PANEL) {
        let lines = first..long.min(first + PANEL);
        panel.resize(lines.len() * reader.short(), 0.0);
        reader.read(lines.clone(), &mut panel)?;
        for (axis, score) in axes.iter().zip(&mut scores) {
            for (column, weight) in panel.chunks_exact(lines.len()).zip(axis) {
                for (target, value) in score[lines.clone()].iter_mut().zip(column) {
                    *target += weight * value;
                }
            }
        }
    }
    Ok(scores)
}

/// What [`principal_components`] takes for a matrix of this shape.
pub fn principal_cost(rows: usize, columns: usize) -> Cost {
    let (k, l) = (rows.min(columns) as f64, rows.max(columns) as f64);
    let panels = 2.0 * 8.0 * l.min(PANEL as f64) * k;
    Cost { flops: l * k * k + 9.0 * k.powi(3), bytes: (8.0 * 5.0 * k * k + panels + 1e5) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dense, Threads};

    #[test]
    fn points_on_a_line() {
        // Along (3, 4)/5 at -2, -1, 0, 3, each way round.
        let at = [-2.0, -1.0, 0.0, 3.0];
        let tall: Vec<f64> = at.iter().flat_map(|t| [0.6 * t, 0.8 * t]).collect();
        let matrix = Dense::new(&tall, 4, 2).unwrap();
        let found = principal_components(&matrix, 2, &Threads(1)).unwrap();
        assert!((found.energies[0] - 14.0).abs() < 1e-13 && found.energies[1] < 1e-13);
        for (score, t) in found.scores[0].iter().zip(at) {
            assert!((score - t).abs() < 1e-13, "{score} {t}");
        }
        let wide: Vec<f64> = [0.6, 0.8].iter().flat_map(|a| at.map(|t| a * t)).collect();
        let matrix = Dense::new(&wide, 2, 4).unwrap();
        let found = principal_components(&matrix, 1, &Threads(1)).unwrap();
        assert!((found.energies[0] - 14.0).abs() < 1e-13);
        // The two rows are 0.6 and 0.8 of one direction of length sqrt 14.
        for (score, share) in found.scores[0].iter().zip([0.6, 0.8]) {
            assert!((score - share * 14f64.sqrt()).abs() < 1e-13, "{score}");
        }
    }
}
