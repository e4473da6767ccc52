//! Seeded random numbers, so that tests need no further crate and say the same everywhere.

/// SplitMix64 (Steele, Lea & Flood 2014), with the laws that weights are drawn from.
///
/// ```
/// use weightscope_testkit::Random;
///
/// assert_eq!(Random::new(7).next_u64(), Random::new(7).next_u64());
/// ```
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    spare: Option<f64>,
}

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, spare: None }
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in the open interval from 0 to 1.
    pub fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Uniform in `-bound..bound`.
    pub fn uniform(&mut self, bound: f64) -> f64 {
        bound * (2.0 * self.unit() - 1.0)
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.unit().ln()).sqrt();
        let (sine, cosine) = (2.0 * std::f64::consts::PI * self.unit()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// Standard normal, drawn again until it lies within two deviations.
    pub fn truncated_normal(&mut self) -> f64 {
        loop {
            let value = self.normal();
            if value.abs() <= 2.0 {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..100_000).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64)
    }

    #[test]
    fn laws_have_their_moments() {
        let mut random = Random::new(1);
        // Four standard errors of 100,000 draws: 0.0127 for the mean of a normal, 0.018 for its variance.
        let (mean, variance) = moments(|| random.normal());
        assert!(mean.abs() < 0.0127 && (variance - 1.0).abs() < 0.018, "{mean} {variance}");
        let (mean, variance) = moments(|| random.uniform(1.0));
        assert!(mean.abs() < 0.0074 && (variance - 1.0 / 3.0).abs() < 0.004, "{mean} {variance}");
        // 1 - 4 phi(2) / (2 Phi(2) - 1) = 0.7737.
        let (mean, variance) = moments(|| random.truncated_normal());
        assert!(mean.abs() < 0.0112 && (variance - 0.7737).abs() < 0.01, "{mean} {variance}");
    }
}
