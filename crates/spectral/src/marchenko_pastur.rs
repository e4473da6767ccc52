//! The singular values of a random matrix: the Marchenko-Pastur law.
//!
//! A matrix N x M (N >= M, beta = M/N) of independent entries with variance 1 has eigenvalues of W^T W/N that
//! fill `(1 - sqrt beta)^2 ..= (1 + sqrt beta)^2` with the density
//! `sqrt((b - t)(t - a))/(2 pi beta t)` (Marchenko & Pastur 1967; Bai & Silverstein 2010, section 3.1), whatever
//! the law of the entries. With `t = 1 + beta - 2 sqrt(beta) cos phi` the distribution has the closed form
//!
//! ```text
//! F = ((1 + beta) phi + 2 sqrt(beta) sin phi - 2 (1 - beta) atan(r tan(phi/2)))/(2 pi beta),
//! r = (1 + sqrt beta)/(1 - sqrt beta)
//! ```
//!
//! and the energy in the smallest values up to phi is the share `(phi - sin phi cos phi)/pi`, for every shape.

use std::f64::consts::PI;

/// Singular values of a random matrix with entries of variance 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarchenkoPastur {
    long: f64,
    short: f64,
}

impl MarchenkoPastur {
    /// The law of a matrix with these sides, in either order; both at least 1.
    pub fn new(rows: f64, columns: f64) -> Self {
        Self { long: rows.max(columns), short: rows.min(columns) }
    }

    /// sqrt beta.
    fn ratio(self) -> f64 {
        (self.short / self.long).sqrt()
    }

    /// Smallest and largest singular value: `sqrt N - sqrt M` and `sqrt N + sqrt M`.
    pub fn edges(self) -> (f64, f64) {
        (self.long.sqrt() - self.short.sqrt(), self.long.sqrt() + self.short.sqrt())
    }

    /// How far the largest singular value of one matrix strays about the upper edge: half of
    /// `(1/sqrt N + 1/sqrt M)^(1/3)`, since eigenvalues do by `(sqrt N + sqrt M)` times that (Johnstone 2001,
    /// theorem 1.1).
    pub fn edge_width(self) -> f64 {
        0.5 * (self.long.sqrt().recip() + self.short.sqrt().recip()).cbrt()
    }

    fn sigma(self, phi: f64) -> f64 {
        let (root, half) = (self.ratio(), (phi / 2.0).sin());
        (self.long * ((1.0 - root).powi(2) + 4.0 * root * half * half)).sqrt()
    }

    /// The angle of a singular value; 0 below the bulk and pi above it.
    fn phi(self, sigma: f64) -> f64 {
        // By the half angle: near the lower edge of a square matrix the cosine itself would have no digits left.
        let root = self.ratio();
        let above = sigma * sigma / self.long - (1.0 - root).powi(2);
        2.0 * (above.max(0.0) / (4.0 * root)).sqrt().min(1.0).asin()
    }

    fn share_at(self, phi: f64) -> f64 {
        let root = self.ratio();
        let beta = root * root;
        let (sine, cosine) = (phi / 2.0).sin_cos();
        let inner = ((1.0 + root) * sine).atan2((1.0 - root) * cosine);
        let sum = (1.0 + beta) * phi + 2.0 * root * phi.sin() - 2.0 * (1.0 - beta) * inner;
        (sum / (2.0 * PI * beta)).clamp(0.0, 1.0)
    }

    /// Share of the singular values up to `sigma`, 0 to 1.
    pub fn share_below(self, sigma: f64) -> f64 {
        self.share_at(self.phi(sigma))
    }

    /// The singular value that a `share` (0 to 1) of them does not exceed.
    pub fn quantile(self, share: f64) -> f64 {
        self.sigma(solve(|phi| self.share_at(phi), share))
    }

    /// The median singular value.
    pub fn median(self) -> f64 {
        self.quantile(0.5)
    }

    /// Density of the singular values at `sigma`; its integral is 1.
    pub fn density(self, sigma: f64) -> f64 {
        let (low, high) = self.edges();
        if sigma <= low || sigma >= high {
            return 0.0;
        }
        let [s, a, b] = [sigma, low, high].map(|x| x * x);
        ((b - s) * (s - a)).sqrt() / (PI * self.short * sigma)
    }

    /// Share of the singular values, largest first, that hold a `share` of the energy.
    pub fn rank_share_of_energy(self, share: f64) -> f64 {
        let energy_below = |phi: f64| (phi - phi.sin() * phi.cos()) / PI;
        1.0 - self.share_at(solve(energy_below, 1.0 - share))
    }
}

/// Where a function that grows over 0..pi takes a value.
fn solve(f: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, PI);
    // 60 halvings leave less than the rounding of pi.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if f(middle) < value {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_half() {
        for (n, m) in [(64.0, 64.0), (65.0, 64.0), (256.0, 64.0), (151_936.0, 4096.0), (1e6, 2.0)] {
            let law = MarchenkoPastur::new(m, n);
            let (low, high) = law.edges();
            assert!(
                law.share_below(low * 0.999) < 1e-9 && law.share_below(high * 1.001) > 1.0 - 1e-9
            );
            for share in [0.01, 0.3, 0.5, 0.99] {
                let back = law.share_below(law.quantile(share));
                assert!((back - share).abs() < 1e-8, "{n} x {m}: {back} instead of {share}");
            }
        }
    }

    #[test]
    fn density_is_the_derivative() {
        for (n, m) in [(64.0, 64.0), (256.0, 64.0), (768.0, 512.0)] {
            let law = MarchenkoPastur::new(n, m);
            for share in [0.1, 0.5, 0.9] {
                let (sigma, h) = (law.quantile(share), 1e-4);
                let slope = (law.share_below(sigma + h) - law.share_below(sigma - h)) / (2.0 * h);
                assert!((slope / law.density(sigma) - 1.0).abs() < 1e-6, "{n} x {m} at {share}");
            }
        }
    }

    #[test]
    fn integrated_values() {
        // Median eigenvalue and directions for 99 % of the energy, by integration of the density with scipy.
        for (beta, median, rank) in [
            (0.001, 0.999_666_656_8, 0.989_364_421_1),
            (0.1, 0.966_565_147_4, 0.979_681_950_8),
            (0.25, 0.916_004_070_7, 0.965_311_136_4),
            (0.5, 0.830_465_881_6, 0.926_904_504_3),
            (0.75, 0.742_948_487_0, 0.860_916_590_7),
        ] {
            let law = MarchenkoPastur::new(1000.0, 1000.0 * beta);
            let found = law.median().powi(2) / 1000.0;
            assert!((found - median).abs() < 1e-9, "beta {beta}: {found}");
            let found = law.rank_share_of_energy(0.99);
            assert!((found - rank).abs() < 1e-9, "beta {beta}: {found}");
        }
    }
}
