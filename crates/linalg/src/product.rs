//! Singular values of a product of two thin matrices, without the product.
//!
//! With `L = Q_l R_l` and `R^T = Q_r R_r` the product `L R` is `Q_l (R_l R_r^T) Q_r^T`, and orthonormal columns change no
//! singular value: those of the small core are all that there are, the others are zero. A side that is no longer than the
//! rank needs no factorisation. With rank k: 2 l k^2 flops for each long side l, one read of both.

use faer::{Mat, MatMut, MatRef};

use crate::parallel::add_product;
use crate::reader::Reader;
use crate::{
    Cost, Dense, Matrix, Monitor, Options, Order, SpectrumError, cost, singular_values, tall,
};

/// What is known of a product.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// min(rows, rank, columns) singular values, descending; all others are zero.
    pub singular_values: Vec<f64>,
    /// The largest singular value of either factor.
    pub norms: [f64; 2],
}

/// The singular values of `left right`, of shapes `[rows, k]` and `[k, columns]`.
///
/// * Accuracy: a few units of the last place of the product of both factors' largest singular values.
/// * Cost and scratch memory: [`product_cost`]. Threads and stopping: `monitor`. Results are the same for any number of
///   threads.
///
/// # Errors
/// [`SpectrumError`]: unreadable, not finite, no memory, or stopped.
///
/// # Panics
/// When `left` has not as many columns as `right` has rows.
pub fn product_singular_values<L: Matrix, R: Matrix<Error = L::Error>>(
    left: &L,
    right: &R,
    monitor: &dyn Monitor,
) -> Result<Product, SpectrumError<L::Error>> {
    let ([rows, inner], [others, columns]) = (left.shape(), right.shape());
    assert_eq!(inner, others, "the factors fit together");
    if rows.min(inner).min(columns) == 0 {
        return Ok(Product { singular_values: Vec::new(), norms: [0.0; 2] });
    }
    let exact = Options { exact: true };
    let largest = |small: &Small| -> Result<f64, SpectrumError<L::Error>> {
        let values = small.singular_values(exact, monitor)?;
        Ok(values.first().copied().unwrap_or(0.0))
    };
    let left = Small::left(left, monitor)?;
    let left_norm = largest(&left)?;
    let right = Small::right(right, monitor)?;
    let right_norm = largest(&right)?;
    let mut core = Mat::<f64>::zeros(left.values.nrows(), right.values.ncols());
    let (a, b) = (left.values.as_ref(), right.values.as_ref());
    add_product(core.as_mut(), a, b, 1.0, monitor.threads());
    // One after the other: the product of both scales may be out of range where each is not.
    let unscaled = |s: f64| s / left.scale / right.scale;
    let core = Small { values: core, scale: 1.0 };
    let values: Vec<f64> =
        core.singular_values(exact, monitor)?.into_iter().map(unscaled).collect();
    if values.iter().any(|s| !s.is_finite()) {
        return Err(SpectrumError::NotFinite);
    }
    Ok(Product {
        singular_values: values,
        norms: [left_norm / left.scale, right_norm / right.scale],
    })
}

/// What [`product_singular_values`] takes for `[rows, rank]` times `[rank, columns]`.
pub fn product_cost(rows: usize, rank: usize, columns: usize) -> Cost {
    let exact = Options { exact: true };
    let (p, q) = (rows.min(rank), columns.min(rank));
    let parts = [cost(p, rank, &exact), cost(rank, q, &exact), cost(p, q, &exact)];
    // Few columns take as long as a block of them.
    let width = 2.0 * rank as f64 * rank.max(64) as f64;
    let core = 2.0 * p as f64 * rank as f64 * q as f64;
    let held = 8 * (p.saturating_mul(rank) + rank.saturating_mul(q) + p.saturating_mul(q)) as u64;
    let panel = 8 * 2 * 512 * rank as u64;
    Cost {
        flops: width * (rows + columns) as f64 + core + parts.iter().map(|c| c.flops).sum::<f64>(),
        bytes: held.saturating_add(panel) + parts.iter().map(|c| c.bytes).max().unwrap_or_default(),
    }
}

/// A factor, or its triangle, times a power of two.
struct Small {
    values: Mat<f64>,
    scale: f64,
}

impl Small {
    /// `left`, or R of it.
    fn left<M: Matrix>(matrix: &M, monitor: &dyn Monitor) -> Result<Self, SpectrumError<M::Error>> {
        let [rows, columns] = matrix.shape();
        if rows > columns { Self::triangle(matrix, monitor) } else { Self::whole(matrix) }
    }

    /// `right`, or the transpose of R of its transpose.
    fn right<M: Matrix>(
        matrix: &M,
        monitor: &dyn Monitor,
    ) -> Result<Self, SpectrumError<M::Error>> {
        let [rows, columns] = matrix.shape();
        if columns <= rows {
            return Self::whole(matrix);
        }
        let Self { values, scale } = Self::triangle(matrix, monitor)?;
        Ok(Self { values: values.transpose().to_owned(), scale })
    }

    /// R of the matrix with its long side for rows.
    fn triangle<M: Matrix>(
        matrix: &M,
        monitor: &dyn Monitor,
    ) -> Result<Self, SpectrumError<M::Error>> {
        let reader = Reader::new(matrix);
        let side = reader.short();
        let mut values = square(side).ok_or(SpectrumError::TooLarge(reader.long(), side))?;
        let target = MatMut::from_column_major_slice_mut(&mut values, side, side);
        tall::triangle(&reader, target, monitor)?;
        let values = MatRef::from_column_major_slice(&values, side, side).to_owned();
        Ok(Self { values, scale: reader.scale() })
    }

    fn whole<M: Matrix>(matrix: &M) -> Result<Self, SpectrumError<M::Error>> {
        let [rows, columns] = matrix.shape();
        let too_large = || SpectrumError::TooLarge(rows, columns);
        let count = rows.checked_mul(columns).ok_or_else(too_large)?;
        let mut values = zeros(count).ok_or_else(too_large)?;
        matrix
            .read(0..rows, 0..columns, Order::ColumnMajor, &mut values)
            .map_err(SpectrumError::Read)?;
        let scale = Reader::new(matrix).scale();
        for value in &mut values {
            *value *= scale;
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(SpectrumError::NotFinite);
        }
        let values = MatRef::from_column_major_slice(&values, rows, columns).to_owned();
        Ok(Self { values, scale })
    }

    /// Of what is held, times the scale.
    fn singular_values<E: Send>(
        &self,
        options: Options,
        monitor: &dyn Monitor,
    ) -> Result<Vec<f64>, SpectrumError<E>> {
        let (rows, columns) = self.values.shape();
        let values: Vec<f64> = (0..rows)
            .flat_map(|i| self.values.row(i).iter().copied().collect::<Vec<f64>>())
            .collect();
        let Some(dense) = Dense::new(&values, rows, columns) else { return Ok(Vec::new()) };
        match singular_values(&dense, &options, monitor) {
            Ok(spectrum) => Ok(spectrum.singular_values),
            Err(SpectrumError::Stopped) => Err(SpectrumError::Stopped),
            Err(SpectrumError::NotFinite) => Err(SpectrumError::NotFinite),
            Err(_) => Err(SpectrumError::TooLarge(rows, columns)),
        }
    }
}

fn square(side: usize) -> Option<Vec<f64>> {
    zeros(side.checked_mul(side)?)
}

/// So many zeros; `None` when there is no memory for them.
fn zeros(count: usize) -> Option<Vec<f64>> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).ok()?;
    values.resize(count, 0.0);
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Threads;

    fn values(rows: usize, columns: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        (0..rows * columns).map(|_| next()).collect()
    }

    fn product(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for l in 0..k {
                for j in 0..n {
                    c[i * n + j] += a[i * k + l] * b[l * n + j];
                }
            }
        }
        c
    }

    #[test]
    fn values_are_those_of_the_product() {
        for shape in [
            [60, 8, 40],
            [600, 16, 1200],
            [5, 8, 40],
            [40, 8, 5],
            [3, 8, 4],
            [8, 8, 8],
            [1, 1, 1],
            [700, 1, 3],
            [300, 100, 200],
        ] {
            let [m, k, n] = shape;
            let (a, b) = (values(m, k, 1), values(k, n, 2));
            let whole = product(&a, &b, shape);
            let whole = Dense::new(&whole, m, n).unwrap();
            let expected = singular_values(&whole, &Options { exact: true }, &Threads(1)).unwrap();
            let (a, b) = (Dense::new(&a, m, k).unwrap(), Dense::new(&b, k, n).unwrap());
            let found = product_singular_values(&a, &b, &Threads(1)).unwrap();
            assert_eq!(found.singular_values.len(), m.min(k).min(n), "{shape:?}");
            let largest = expected.singular_values[0];
            for (s, t) in found.singular_values.iter().zip(&expected.singular_values) {
                assert!((s - t).abs() < 1e-13 * largest, "{shape:?}: {s} {t}");
            }
            for (matrix, norm) in [&a, &b].into_iter().zip(found.norms) {
                let own = singular_values(matrix, &Options { exact: true }, &Threads(1)).unwrap();
                assert!((own.singular_values[0] - norm).abs() < 1e-13 * norm, "{shape:?}");
            }
        }
    }

    #[test]
    fn zeros_threads_and_extremes() {
        let zero = [0.0; 12];
        let one = values(3, 5, 3);
        let zeros = Dense::new(&zero, 4, 3).unwrap();
        let right = Dense::new(&one, 3, 5).unwrap();
        let found = product_singular_values(&zeros, &right, &Threads(1)).unwrap();
        assert_eq!(found.singular_values, [0.0; 3]);
        // Squares that overflow, and some that vanish.
        let large: Vec<f64> = values(40, 3, 4).iter().map(|x| x * 1e200).collect();
        let small: Vec<f64> = values(3, 50, 5).iter().map(|x| x * 1e-200).collect();
        let (large, small) =
            (Dense::new(&large, 40, 3).unwrap(), Dense::new(&small, 3, 50).unwrap());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let found = product_singular_values(&large, &small, &Threads(1)).unwrap();
        let shared = pool.install(|| product_singular_values(&large, &small, &Threads(3)).unwrap());
        assert_eq!(found, shared);
        let plain = product_singular_values(
            &Dense::new(&values(40, 3, 4), 40, 3).unwrap(),
            &Dense::new(&values(3, 50, 5), 3, 50).unwrap(),
            &Threads(1),
        );
        for (s, t) in found.singular_values.iter().zip(plain.unwrap().singular_values) {
            assert!((s - t).abs() < 1e-13 * t);
        }
        let broken = [f64::NAN, 1.0, 1.0];
        let broken = Dense::new(&broken, 1, 3).unwrap();
        let error = product_singular_values(&broken, &right, &Threads(1));
        assert_eq!(error, Err(SpectrumError::NotFinite));
    }
}
