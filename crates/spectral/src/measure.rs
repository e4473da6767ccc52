//! Every number that a list of singular values has.

use weightscope_core::StorageGrid;
use weightscope_linalg::{Spectrum, SpectrumShape, above, independent_norm, storage_noise, sum};

use crate::power_law::{self, PowerLaw};
use crate::{MarchenkoPastur, condition, gavish_donoho};

/// What [`measure`] finds. Dimensionless unless said otherwise; lambda is sigma squared, M the number of singular
/// values.
#[derive(Clone, Debug, PartialEq)]
pub struct SpectralMetrics {
    /// Largest singular value, in units of the weights.
    pub spectral_norm: f64,
    /// Smallest singular value, in units of the weights.
    pub min_singular_value: f64,
    /// Number of singular values above `sigma_1 N 2^-52`, numpy's rule.
    pub numerical_rank: u64,
    /// Whether that is less than M.
    pub rank_deficient: bool,
    /// `sigma_1/sigma_M`; `None` when rank deficient.
    pub condition_number: Option<f64>,
    /// Root of the sum of squares, in units of the weights.
    pub frobenius_norm: f64,
    /// Sum of the singular values, in units of the weights.
    pub nuclear_norm: f64,
    /// Number of singular values above 1 % of the largest.
    pub rank_1pct: u64,
    /// Largest relative error of the smallest singular value; `None` when that is 0.
    pub sigma_min_relative_error_bound: Option<f64>,
    /// About the spectral norm of the rounding error of storing the matrix, in units of the weights.
    pub storage_noise: f64,
    /// Number of singular values above it.
    pub rank_above_storage_noise: u64,
    /// `sigma_1/storage_noise`; `None` without noise.
    pub condition_number_resolvable: Option<f64>,
    /// What needs an energy above zero; `None` for a zero matrix.
    pub shape: Option<SpectrumShape>,
    /// What the condition number of chance is.
    pub condition: ConditionReference,
    /// Where the bulk of a random matrix would end; `None` when half of the singular values are zero.
    pub bulk: Option<Bulk>,
    /// The power law in the tail of lambda; `None` with fewer than two different values above zero.
    pub power_law: Option<PowerLaw>,
}

/// The condition number against chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConditionReference {
    /// Median of random matrices of the shape.
    pub null_median: f64,
    /// Chance that a random matrix exceeds the condition number; `None` when there is none.
    pub p_value: Option<f64>,
    /// `sigma_1/sigma_(M-d)`, [`trimmed`] being d; `None` for M <= d, and where that value is zero.
    pub trimmed: Option<f64>,
}

/// A random matrix with the same median singular value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bulk {
    /// Standard deviation of its entries.
    pub deviation: f64,
    /// Its smallest singular value.
    pub low: f64,
    /// Its largest singular value.
    pub high: f64,
    /// Number of singular values above that by more than it strays ([`MarchenkoPastur::edge_width`]).
    pub spikes: u64,
    /// Number of singular values above the threshold of Gavish and Donoho.
    pub gavish_donoho_rank: u64,
}

impl Bulk {
    /// Of singular values, descending, of a matrix with these sides; `None` when half of them are at most
    /// `negligible`.
    pub(crate) fn of(
        sigma: &[f64],
        law: MarchenkoPastur,
        omega: f64,
        negligible: f64,
    ) -> Option<Self> {
        let median = median(sigma).filter(|median| *median > negligible)?;
        let deviation = median / law.median();
        let (low, high) = law.edges();
        let line = deviation * (high + law.edge_width());
        Some(Self {
            deviation,
            low: deviation * low,
            high: deviation * high,
            spikes: above(sigma, line),
            gavish_donoho_rank: above(sigma, omega * median),
        })
    }
}

/// How many of the smallest of `count` singular values the trimmed condition number leaves out: a twentieth, three
/// at least.
pub fn trimmed(count: usize) -> usize {
    (count / 20).max(3)
}

/// The largest value that counts as zero beside `largest` in a matrix of this longer side: numpy's rule.
pub(crate) fn negligible(largest: f64, long: f64) -> f64 {
    largest * long * f64::EPSILON
}

/// Median of a descending list.
pub(crate) fn median(sigma: &[f64]) -> Option<f64> {
    let middle = *sigma.get(sigma.len() / 2)?;
    if sigma.len() % 2 == 1 {
        return Some(middle);
    }
    Some(0.5 * (middle + sigma.get(sigma.len() / 2 - 1)?))
}

/// About the spectral norm of the rounding errors of a matrix with this root mean square, stored in this way.
pub(crate) fn grid_noise(grid: StorageGrid, rms: f64, [rows, columns]: [f64; 2]) -> f64 {
    match grid {
        StorageGrid::Float(dtype) => {
            storage_noise(dtype.unit_roundoff().unwrap_or(0.0), rms, rows, columns)
        }
        StorageGrid::Steps { rms } => independent_norm(rms, rows, columns),
    }
}

/// Measures a spectrum.
///
/// * Input: all singular values of a matrix of this `shape` (either order), and what its values were rounded to.
/// * A zero matrix has norms and ranks of 0, and nothing else.
/// * Cost: O(M log M), and the power law's O(M^2/64).
pub fn measure(spectrum: &Spectrum, shape: [u64; 2], grid: StorageGrid) -> SpectralMetrics {
    let sigma = spectrum.singular_values.as_slice();
    let [rows, columns] = shape.map(|side| side as f64);
    let largest = sigma.first().copied().unwrap_or(0.0);
    let smallest = sigma.last().copied().unwrap_or(0.0);
    let negligible = negligible(largest, rows.max(columns));
    let numerical_rank = above(sigma, negligible);
    let rank_deficient = numerical_rank < sigma.len() as u64;
    let condition_number = (!rank_deficient).then(|| largest / smallest);
    // Squares relative to the largest neither overflow nor vanish all.
    let relative = sum(sigma, |s| if largest > 0.0 { (s / largest).powi(2) } else { 0.0 });
    let frobenius_norm = largest * relative.sqrt();
    let noise = grid_noise(grid, frobenius_norm / (rows * columns).sqrt(), [rows, columns]);
    let law = MarchenkoPastur::new(rows, columns);
    let bound = spectrum.error_bound(sigma.len().saturating_sub(1));
    SpectralMetrics {
        spectral_norm: largest,
        min_singular_value: smallest,
        numerical_rank,
        rank_deficient,
        condition_number,
        frobenius_norm,
        nuclear_norm: sum(sigma, |s| s),
        rank_1pct: above(sigma, 0.01 * largest),
        sigma_min_relative_error_bound: (smallest > 0.0).then(|| bound / smallest),
        storage_noise: noise,
        rank_above_storage_noise: above(sigma, noise),
        condition_number_resolvable: (noise > 0.0).then(|| largest / noise),
        shape: SpectrumShape::of(sigma, numerical_rank),
        condition: ConditionReference {
            null_median: condition::median(rows, columns),
            p_value: condition_number.map(|kappa| condition::exceedance(rows, columns, kappa)),
            trimmed: sigma
                .len()
                .checked_sub(trimmed(sigma.len()) + 1)
                .and_then(|index| sigma.get(index))
                .filter(|s| **s > negligible)
                .map(|s| largest / s),
        },
        bulk: Bulk::of(sigma, law, gavish_donoho::threshold(rows, columns), negligible),
        power_law: power_law::fit(&logs(sigma, numerical_rank)),
    }
}

/// Natural logarithms of the eigenvalues that count, ascending.
pub(crate) fn logs(sigma: &[f64], numerical_rank: u64) -> Vec<f64> {
    sigma.iter().take(numerical_rank as usize).rev().map(|s| 2.0 * s.ln()).collect()
}

impl SpectralMetrics {
    /// `alpha log10 lambda_1`, WeightWatcher's weighted alpha.
    pub fn alpha_weighted(&self) -> Option<f64> {
        Some(self.power_law?.alpha * 2.0 * self.spectral_norm.log10())
    }

    /// `log10 sum lambda^alpha` over these singular values.
    pub fn log_alpha_norm(&self, sigma: &[f64]) -> Option<f64> {
        let alpha = self.power_law?.alpha;
        let relative = sum(sigma, |s| (s / self.spectral_norm).powf(2.0 * alpha));
        Some(2.0 * alpha * self.spectral_norm.log10() + relative.log10())
    }
}

#[cfg(test)]
mod tests {
    use weightscope_linalg::Route;

    use super::*;

    fn of(sigma: &[f64], shape: [u64; 2]) -> SpectralMetrics {
        let spectrum = Spectrum { singular_values: sigma.to_vec(), route: Route::Direct };
        measure(&spectrum, shape, StorageGrid::Steps { rms: 0.0 })
    }

    #[test]
    fn three_values() {
        let m = of(&[4.0, 2.0, 1.0], [3, 5]);
        assert_eq!(
            (m.spectral_norm, m.min_singular_value, m.condition_number),
            (4.0, 1.0, Some(4.0))
        );
        assert_eq!((m.numerical_rank, m.rank_deficient, m.nuclear_norm), (3, false, 7.0));
        assert_eq!(m.frobenius_norm, 21f64.sqrt());
        let shape = m.shape.unwrap();
        assert_eq!(shape.stable_rank, 21.0 / 16.0);
        assert!((shape.participation_ratio - 441.0 / 273.0).abs() < 1e-15);
        // 16, 20 and 21 of 21.
        assert_eq!(shape.energy_ranks, [1, 2, 2, 3]);
        assert_eq!((m.condition_number_resolvable, m.condition.trimmed), (None, None));
    }

    #[test]
    fn equal_values() {
        let m = of(&[0.5; 100], [100, 100]);
        let shape = m.shape.unwrap();
        assert!((shape.effective_rank - 100.0).abs() < 1e-10);
        assert!((shape.matrix_entropy.unwrap() - 1.0).abs() < 1e-13);
        assert_eq!((shape.stable_rank, shape.energy_ranks), (100.0, [50, 90, 95, 99]));
        assert_eq!((m.condition_number, m.condition.trimmed), (Some(1.0), Some(1.0)));
        assert_eq!(m.power_law, None);
    }

    #[test]
    fn zero_and_deficient_matrices() {
        let m = of(&[0.0; 3], [3, 4]);
        assert_eq!((m.numerical_rank, m.rank_deficient, m.frobenius_norm), (0, true, 0.0));
        assert!(m.shape.is_none() && m.bulk.is_none() && m.power_law.is_none());
        let m = of(&[1.0, 1e-16, 0.0], [3, 4]);
        assert_eq!((m.numerical_rank, m.rank_deficient), (1, true));
        assert!(m.condition_number.is_none() && m.condition.p_value.is_none());
        assert_eq!(m.shape.unwrap().matrix_entropy, None);
        assert_eq!((m.bulk, m.sigma_min_relative_error_bound), (None, None));
    }

    #[test]
    fn huge_and_tiny_values() {
        for scale in [1e300, 1e-300] {
            let (m, plain) = (of(&[2.0 * scale, scale], [2, 2]), of(&[2.0, 1.0], [2, 2]));
            assert_eq!(m.shape.unwrap().stable_rank, plain.shape.unwrap().stable_rank);
            let norm = m.shape.unwrap().log_norm - 2.0 * scale.log10();
            assert!((norm - plain.shape.unwrap().log_norm).abs() < 1e-12);
            assert!((m.frobenius_norm / scale - 5f64.sqrt()).abs() < 1e-12);
        }
    }
}
