//! How many singular values stand out of noise of unknown level.
//!
//! Gavish & Donoho, "The optimal hard threshold for singular values is 4/sqrt 3" (arXiv 1305.5870), equations 11
//! and 12: of a low-rank matrix in white noise keep the singular values above `omega(beta)` times their median,
//!
//! ```text
//! omega(beta) = lambda(beta)/sqrt(mu(beta)),
//! lambda(beta) = sqrt(2 (beta + 1) + 8 beta/(beta + 1 + sqrt(beta^2 + 14 beta + 1)))
//! ```
//!
//! with mu the median of the Marchenko-Pastur law.

use crate::MarchenkoPastur;

/// omega: the threshold in units of the median singular value, 2.858 for a square matrix.
pub fn threshold(rows: f64, columns: f64) -> f64 {
    let (long, short) = (rows.max(columns), rows.min(columns));
    let beta = short / long;
    let root = (beta * beta + 14.0 * beta + 1.0).sqrt();
    let lambda = (2.0 * (beta + 1.0) + 8.0 * beta / (beta + 1.0 + root)).sqrt();
    lambda * long.sqrt() / MarchenkoPastur::new(rows, columns).median()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_and_integrated_values() {
        // By numerical integration of the density with scipy; the paper's table has four digits of them, and
        // 2.858 for a square matrix.
        for (beta, omega) in [
            (0.05, 1.519_340_959_6),
            (0.1, 1.608_771_557_4),
            (0.25, 1.836_865_791_1),
            (0.5, 2.171_185_348_5),
            (0.75, 2.501_429_736_4),
        ] {
            let found = threshold(1000.0, 1000.0 * beta);
            assert!((found - omega).abs() < 1e-9, "beta {beta}: {found} instead of {omega}");
        }
        assert!((threshold(768.0, 768.0) - 2.858).abs() < 1e-3);
    }
}
