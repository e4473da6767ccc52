//! The largest singular values of a large matrix, by random projection.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use crate::parallel::add_product;
use crate::{Cost, Dense, Matrix, Monitor, Options, Order, SpectrumError, singular_values};

/// Rows that are read at a time.
const PANEL: usize = 504;

/// The `count` largest singular values, descending, of a matrix whose other ones are far smaller (Halko, Martinsson &
/// Tropp 2011, algorithm 5.1, without power iterations).
///
/// * A matrix of rank below `count` has its singular values to about the size of what is left out: an exact rank is
///   found exactly. Of a slowly falling spectrum the values are too small, never too large.
/// * `count` of at least the shorter side gives all of them. The projection is the same for every call with the same
///   shape and count.
/// * Cost: [`leading_cost`], two reads.
///
/// # Errors
/// [`SpectrumError`]: unreadable, not finite, or stopped.
pub fn leading_singular_values<M: Matrix>(
    matrix: &M,
    count: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<f64>, SpectrumError<M::Error>> {
    let [rows, columns] = matrix.shape();
    let count = count.min(rows).min(columns);
    let mut panel = Vec::new();
    let mut each = |visit: &mut dyn FnMut(usize, MatRef<'_, f64>)| {
        for first in (0..rows).step_by(PANEL) {
            let lines = first..rows.min(first + PANEL);
            panel.resize(lines.len() * columns, 0.0);
            matrix
                .read(lines.clone(), 0..columns, Order::RowMajor, &mut panel)
                .map_err(SpectrumError::Read)?;
            visit(first, MatRef::from_row_major_slice(&panel, lines.len(), columns));
            if !monitor.advance(2.0 * (lines.len() * columns) as f64 * count as f64) {
                return Err(SpectrumError::Stopped);
            }
        }
        Ok(())
    };
    // What the matrix makes of random vectors spans what it can make of any.
    let random = uniform(columns, count);
    let mut range = Mat::<f64>::zeros(rows, count);
    each(&mut |first, panel| {
        let target = range.as_mut().subrows_mut(first, panel.nrows());
        add_product(target, panel, random.as_ref(), 1.0, monitor.threads());
    })?;
    orthonormalise(&mut range);
    let mut small = Mat::<f64>::zeros(count, columns);
    each(&mut |first, panel| {
        let basis = range.as_ref().subrows(first, panel.nrows());
        matmul(small.as_mut(), Accum::Add, basis.transpose(), panel, 1.0, Par::Seq);
    })?;
    let values: Vec<f64> =
        (0..count).flat_map(|i| small.row(i).iter().copied().collect::<Vec<f64>>()).collect();
    if values.iter().any(|x| !x.is_finite()) {
        return Err(SpectrumError::NotFinite);
    }
    let Some(dense) = Dense::new(&values, count, columns) else { return Ok(Vec::new()) };
    match singular_values(&dense, &Options { exact: true }, monitor) {
        Ok(spectrum) => Ok(spectrum.singular_values),
        Err(SpectrumError::Stopped) => Err(SpectrumError::Stopped),
        Err(_) => Err(SpectrumError::TooLarge(count, columns)),
    }
}

/// What [`leading_singular_values`] takes for a matrix of this shape.
pub fn leading_cost(rows: usize, columns: usize, count: usize) -> Cost {
    let [l, n, k] = [rows, columns, count].map(|x| x as f64);
    Cost {
        flops: 4.0 * l * n * k,
        bytes: (8.0 * (PANEL as f64 * n + k * (l + 6.0 * n)) + 1e5) as u64,
    }
}

/// Independent uniform values from -0.5 to 0.5, the same every time (SplitMix64, Steele, Lea & Flood 2014).
fn uniform(rows: usize, columns: usize) -> Mat<f64> {
    let mut state = 0x5eed_u64;
    Mat::from_fn(rows, columns, |_, _| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    })
}

/// Makes the columns orthonormal; those that depend on earlier ones become zero. Gram and Schmidt, twice, which is
/// enough (Giraud et al. 2005).
fn orthonormalise(a: &mut Mat<f64>) {
    for j in 0..a.ncols() {
        let before = a.col(j).norm_l2();
        for _ in 0..2 {
            let (done, mut rest) = a.as_mut().split_at_col_mut(j);
            let mut column = rest.as_mut().col_mut(0).as_mat_mut();
            let done = done.as_ref();
            let mut shares = Mat::<f64>::zeros(j, 1);
            matmul(
                shares.as_mut(),
                Accum::Replace,
                done.transpose(),
                column.as_ref(),
                1.0,
                Par::Seq,
            );
            matmul(column.as_mut(), Accum::Add, done, shares.as_ref(), -1.0, Par::Seq);
        }
        let norm = a.col(j).norm_l2();
        let factor = if norm > before * 1e-14 && norm > 0.0 { 1.0 / norm } else { 0.0 };
        for x in a.col_mut(j).iter_mut() {
            *x *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Threads;

    /// A matrix of rank 3, and noise of this size.
    fn low_rank(rows: usize, columns: usize, noise: f64) -> Vec<f64> {
        let wave = |k: usize, i: usize| ((k + 1) as f64 * 0.7 * (i as f64 + 0.5)).sin();
        (0..rows * columns)
            .map(|place| {
                let (i, j) = (place / columns, place % columns);
                let value: f64 = (0..3).map(|k| wave(k, i) * wave(k + 3, j)).sum();
                value + noise * ((place * place % 7919) as f64 / 7919.0 - 0.5)
            })
            .collect()
    }

    #[test]
    fn low_ranks_are_exact() {
        for (rows, columns) in [(700, 90), (90, 700), (40, 40)] {
            let values = low_rank(rows, columns, 1e-6);
            let matrix = Dense::new(&values, rows, columns).unwrap();
            let exact = singular_values(&matrix, &Options { exact: true }, &Threads(1)).unwrap();
            let found = leading_singular_values(&matrix, 16, &Threads(1)).unwrap();
            assert_eq!(found.len(), 16);
            for (a, b) in found.iter().zip(&exact.singular_values).take(3) {
                assert!((a - b).abs() < 1e-9 * b, "{a} {b}");
            }
            // What is left is noise, and never more than there is.
            let noise = exact.singular_values[3];
            assert!(found[3] <= noise * (1.0 + 1e-9) && found[3] > 0.2 * noise);
        }
    }

    #[test]
    fn small_matrices_have_all_their_values() {
        let values = [3.0, 0.0, 0.0, 4.0, 0.0, 0.0];
        let matrix = Dense::new(&values, 3, 2).unwrap();
        let found = leading_singular_values(&matrix, 8, &Threads(1)).unwrap();
        assert!((found[0] - 4.0).abs() < 1e-12 && (found[1] - 3.0).abs() < 1e-12, "{found:?}");
        let zero = [0.0; 6];
        let matrix = Dense::new(&zero, 2, 3).unwrap();
        assert_eq!(leading_singular_values(&matrix, 8, &Threads(1)).unwrap(), [0.0, 0.0]);
    }
}
