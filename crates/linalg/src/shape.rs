//! What a finished list of singular values says: effective numbers of directions, and what rounding leaves of them.

/// Means and effective numbers of directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpectrumShape {
    /// `sum lambda/lambda_1`, 1 to M.
    pub stable_rank: f64,
    /// `exp(-sum p ln p)`, `p = sigma/sum sigma`, 1 to M (Roy & Vetterli 2007).
    pub effective_rank: f64,
    /// `-sum p ln p/ln rank`, `p = lambda/sum lambda`, 0 to 1; `None` for rank 1.
    pub matrix_entropy: Option<f64>,
    /// `(sum lambda)^2/sum lambda^2`, 1 to M.
    pub participation_ratio: f64,
    /// Fewest singular values that hold 50, 90, 95 and 99 % of the energy.
    pub energy_ranks: [u64; 4],
    /// `log10 sum lambda`.
    pub log_norm: f64,
}

impl SpectrumShape {
    /// Of singular values, descending, of which so many are not zero; `None` when all are.
    pub fn of(sigma: &[f64], rank: u64) -> Option<Self> {
        let largest = sigma.first().copied().filter(|largest| *largest > 0.0)?;
        let square = |s: f64| (s / largest).powi(2);
        let energy = sum(sigma, square);
        let nuclear = sum(sigma, |s| s / largest);
        let information = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
        let entropy = sum(sigma, |s| information(square(s) / energy));
        Some(Self {
            stable_rank: energy,
            effective_rank: sum(sigma, |s| information(s / largest / nuclear)).exp(),
            matrix_entropy: (rank > 1).then(|| entropy / (rank as f64).ln()),
            participation_ratio: energy * energy / sum(sigma, |s| square(s).powi(2)),
            energy_ranks: [0.5, 0.9, 0.95, 0.99].map(|share| energy_rank(sigma, share, energy)),
            log_norm: 2.0 * largest.log10() + energy.log10(),
        })
    }
}

/// Fewest of the largest values with a share of the energy (which is in units of the largest squared).
fn energy_rank(sigma: &[f64], share: f64, energy: f64) -> u64 {
    let largest = sigma.first().copied().unwrap_or(0.0);
    let mut held = 0.0;
    let missing = sigma.iter().take_while(|s| {
        held += (**s / largest).powi(2);
        held < share * energy
    });
    (missing.count() as u64 + 1).min(sigma.len() as u64)
}

/// Number of values above `line` in a descending list.
pub fn above(sigma: &[f64], line: f64) -> u64 {
    sigma.partition_point(|s| *s > line) as u64
}

/// Ranks from 1 to `count`, at most `points` and one, evenly spaced on a logarithmic axis, each once: what a curve of
/// singular values is thinned to.
pub fn spread_ranks(count: usize, points: usize) -> Vec<usize> {
    let step = (count as f64).ln() / points.saturating_sub(1).max(1) as f64;
    let mut ranks: Vec<usize> = (0..points)
        .map(|i| ((step * i as f64).exp().round() as usize).clamp(1, count.max(1)))
        .chain(std::iter::once(count))
        .collect();
    ranks.dedup();
    ranks
}

/// Sum of `f` over a descending list, smallest terms first.
pub fn sum(sigma: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    sigma.iter().rev().map(|s| f(*s)).sum()
}

/// About the spectral norm of the rounding that storing a matrix with this root mean square once cost:
/// `0.43 u rms (sqrt out + sqrt in)`, u the unit roundoff of the format.
///
/// Rounding errors are near to independent, with a root mean square of 0.43 u rms for values whose mantissas are
/// spread as those of a normal are; a matrix of such errors has its edge there (the one of Marchenko and Pastur).
/// Within 2 % of what rounding Gaussian matrices to BF16 and F16 shows.
pub fn storage_noise(unit_roundoff: f64, rms: f64, rows: f64, columns: f64) -> f64 {
    rounding_norm(unit_roundoff, rms * columns.sqrt(), rms * rows.sqrt())
}

/// The same of a matrix whose rows and columns differ in size: `0.43 u (largest row norm + largest column norm)`, which
/// independent errors stay near or below (Bandeira & van Handel 2016, theorem 1.1).
pub fn rounding_norm(unit_roundoff: f64, largest_row: f64, largest_column: f64) -> f64 {
    0.43 * unit_roundoff * (largest_row + largest_column)
}

/// The spectral norm of a matrix of independent errors with this root mean square: `rms (sqrt out + sqrt in)`, its edge
/// by Marchenko and Pastur. The rounding of weights whose steps are known.
pub fn independent_norm(rms: f64, rows: f64, columns: f64) -> f64 {
    rms * (rows.sqrt() + columns.sqrt())
}
