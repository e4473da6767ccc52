//! A power law in the tail of the eigenvalues.
//!
//! Clauset, Shalizi & Newman, "Power-law distributions in empirical data" (arXiv 0706.1062): for a lower end xmin
//! the exponent is `alpha = 1 + n/sum ln(x/xmin)` (equation 3.1) over the n values from xmin on; every value but the
//! largest is tried as xmin, and the one with the least Kolmogorov-Smirnov distance is taken (section 3.3). The
//! distance compares `1 - (x/xmin)^(1 - alpha)` with k/n of the k values below x, as the packages `powerlaw` and
//! `weightwatcher` do. Goodness of fit is their semi-parametric bootstrap (section 4.1).
//!
//! M values have M candidates with up to M distances each. Nearly all candidates are dropped after a look at
//! every 32nd value, because one of those is already further away than the best distance so far.

/// A power law fitted to the largest values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerLaw {
    /// Exponent of the density, above 1.
    pub alpha: f64,
    /// Natural logarithm of the value where the tail begins.
    pub log_xmin: f64,
    /// Kolmogorov-Smirnov distance between the tail and the fit.
    pub distance: f64,
    /// Number of values from xmin on.
    pub tail: usize,
}

impl PowerLaw {
    /// Standard error of the exponent, `(alpha - 1)/sqrt n`.
    pub fn sigma(&self) -> f64 {
        (self.alpha - 1.0) / (self.tail as f64).sqrt()
    }
}

/// A distance is first measured at every so many values.
const STRIDE: usize = 32;
/// Candidates that are tried first, so that the rest meets a good bound: every so many.
const FIRST: usize = 32;

/// Fits a power law to values given by their natural logarithms, ascending and finite.
///
/// `None` when there are fewer than two different values.
///
/// Cost: about M^2/64 exponentials of M values.
pub fn fit(logs: &[f64]) -> Option<PowerLaw> {
    let candidates = Candidates::new(logs);
    let mut best: Option<(usize, PowerLaw)> = None;
    let last = logs.len().checked_sub(1)?;
    for start in (0..last).step_by(FIRST).chain((0..last).filter(|i| i % FIRST != 0)) {
        let Some(rate) = candidates.rate(start) else { continue };
        // Of equal distances the longest tail wins, in whatever order they are tried.
        let bound =
            best.map_or(
                f64::INFINITY,
                |(i, b)| {
                    if start < i { b.distance } else { b.distance.next_down() }
                },
            );
        if let Some(distance) = candidates.distance(start, rate, bound) {
            let law = PowerLaw {
                alpha: 1.0 + rate,
                log_xmin: *logs.get(start)?,
                distance,
                tail: logs.len() - start,
            };
            best = Some((start, law));
        }
    }
    best.map(|(_, law)| law)
}

/// Logarithms with the sums of their tails.
struct Candidates<'a> {
    logs: &'a [f64],
    /// Sum over the tail from each value on of how far below the largest its logarithms are.
    below_largest: Vec<f64>,
}

impl<'a> Candidates<'a> {
    fn new(logs: &'a [f64]) -> Self {
        let largest = logs.last().copied().unwrap_or(0.0);
        // Relative to the largest, so that a common scale costs no digits.
        let mut sum = 0.0;
        let mut below_largest: Vec<f64> = logs
            .iter()
            .rev()
            .map(|l| {
                sum += largest - l;
                sum
            })
            .collect();
        below_largest.reverse();
        Self { logs, below_largest }
    }

    /// alpha - 1 of the tail from `start` on; `None` when all its values are equal.
    fn rate(&self, start: usize) -> Option<f64> {
        let n = (self.logs.len() - start) as f64;
        let spread = self.logs.last()? - self.logs.get(start)?;
        let sum = n * spread - self.below_largest.get(start)?;
        (spread > 0.0 && sum > 0.0).then(|| n / sum)
    }

    /// Distance of the tail from `start` on to the law with this rate; `None` when it is above `bound`.
    fn distance(&self, start: usize, rate: f64, bound: f64) -> Option<f64> {
        let tail = self.logs.get(start..)?;
        let first = *tail.first()?;
        let step = (tail.len() as f64).recip();
        let at = |k: usize, log: f64| {
            let fitted = 1.0 - (-rate * (log - first)).exp();
            (fitted - k as f64 * step).abs()
        };
        if tail.iter().enumerate().step_by(STRIDE).any(|(k, log)| at(k, *log) > bound) {
            return None;
        }
        let mut largest = 0.0f64;
        for (index, part) in tail.chunks(STRIDE).enumerate() {
            for (k, log) in part.iter().enumerate() {
                largest = largest.max(at(index * STRIDE + k, *log));
            }
            if largest > bound {
                return None;
            }
        }
        Some(largest)
    }
}

/// Share of `samples` random data sets that follow the fitted law (and the values below it as they are) and yet
/// are further from their own fit than the data: below 0.1 the data are no power law.
///
/// The same seed gives the same share. `go_on` is asked before every sample; `None` when it says no, for no
/// samples, and for no values.
pub fn goodness_of_fit(
    logs: &[f64],
    law: &PowerLaw,
    samples: u32,
    seed: u64,
    mut go_on: impl FnMut() -> bool,
) -> Option<f64> {
    let below = logs.get(..logs.len().checked_sub(law.tail)?)?;
    let mut random = Random(seed);
    let mut drawn = Vec::with_capacity(logs.len());
    let mut further = 0u32;
    for _ in 0..samples {
        if !go_on() {
            return None;
        }
        drawn.clear();
        for _ in logs {
            // As many in the tail as there are, on average.
            let place = (random.unit() * logs.len() as f64) as usize;
            drawn.push(match below.get(place) {
                Some(log) => *log,
                // The logarithm of a power law is exponential.
                None => law.log_xmin - random.unit().ln() / (law.alpha - 1.0),
            });
        }
        drawn.sort_by(f64::total_cmp);
        further += u32::from(fit(&drawn).is_some_and(|own| own.distance >= law.distance));
    }
    (samples > 0 && !logs.is_empty()).then(|| f64::from(further) / f64::from(samples))
}

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    /// Uniform in the open interval from 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power_law(count: usize, alpha: f64, seed: u64) -> Vec<f64> {
        let mut random = Random(seed);
        let mut logs: Vec<f64> = (0..count).map(|_| -random.unit().ln() / (alpha - 1.0)).collect();
        logs.sort_by(f64::total_cmp);
        logs
    }

    /// Every candidate with every distance, as the papers write it.
    fn plainly(logs: &[f64]) -> PowerLaw {
        let mut best = PowerLaw { alpha: 0.0, log_xmin: 0.0, distance: f64::INFINITY, tail: 0 };
        for start in 0..logs.len() - 1 {
            let tail = &logs[start..];
            let n = tail.len() as f64;
            let rate = n / tail.iter().map(|l| l - tail[0]).sum::<f64>();
            let distance = (0..tail.len())
                .map(|k| (1.0 - (-rate * (tail[k] - tail[0])).exp() - k as f64 / n).abs())
                .fold(0.0, f64::max);
            if distance < best.distance {
                best =
                    PowerLaw { alpha: 1.0 + rate, log_xmin: tail[0], distance, tail: tail.len() };
            }
        }
        best
    }

    #[test]
    fn shortcuts_change_nothing() {
        for (count, alpha, seed) in [(2, 2.0, 1), (40, 3.0, 2), (500, 2.5, 3), (1000, 8.0, 4)] {
            // Half a power law, half something else.
            let mut logs = power_law(count, alpha, seed);
            for (index, log) in logs.iter_mut().enumerate().take(count / 2) {
                *log = -(index as f64 * 0.01).sin().abs();
            }
            logs.sort_by(f64::total_cmp);
            let (fast, slow) = (fit(&logs).unwrap(), plainly(&logs));
            assert_eq!((fast.tail, fast.log_xmin), (slow.tail, slow.log_xmin), "{count}");
            assert!((fast.alpha / slow.alpha - 1.0).abs() < 1e-12, "{count}");
            assert!((fast.distance - slow.distance).abs() < 1e-12, "{count}");
        }
    }

    #[test]
    fn finds_the_exponent() {
        let law = fit(&power_law(4096, 2.5, 9)).unwrap();
        assert!((law.alpha - 2.5).abs() < 4.0 * law.sigma(), "{law:?}");
    }

    #[test]
    fn nothing_to_fit() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&[1.0]), None);
        assert_eq!(fit(&[1.0; 20]), None);
        // The larger value alone cannot be the start.
        assert_eq!(fit(&[0.0, 1.0]).unwrap().tail, 2);
    }

    #[test]
    fn goodness_tells_a_power_law_from_a_bulk() {
        let sample =
            |logs: &[f64]| goodness_of_fit(logs, &fit(logs).unwrap(), 100, 1, || true).unwrap();
        let logs = power_law(300, 3.0, 5);
        assert!(sample(&logs) > 0.1, "{}", sample(&logs));
        assert_eq!(sample(&logs), sample(&logs));
        // Clusters far apart follow no power law.
        let clusters: Vec<f64> =
            (0..300).map(|i| f64::from(i / 30) + 1e-3 * f64::from(i % 30)).collect();
        assert!(sample(&clusters) < 0.1, "{}", sample(&clusters));
        assert_eq!(goodness_of_fit(&logs, &fit(&logs).unwrap(), 100, 1, || false), None);
        assert_eq!(goodness_of_fit(&logs, &fit(&logs).unwrap(), 0, 1, || true), None);
    }
}
