//! Mean, central moments and sums, streamed.

use pulp::Arch;

use crate::PrefixKey;

/// Moments of finite values. Divisors are `n` (population moments).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Number of values.
    pub n: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Second central moment: the variance.
    pub m2: f64,
    /// Third central moment.
    pub m3: f64,
    /// Fourth central moment.
    pub m4: f64,
    /// Mean of the magnitudes.
    pub mean_abs: f64,
    /// Sum of the squares.
    pub energy: f64,
}

impl Moments {
    /// Population standard deviation.
    pub fn std(&self) -> f64 {
        self.m2.sqrt()
    }

    /// Root mean square.
    pub fn rms(&self) -> f64 {
        (self.energy / self.n as f64).sqrt()
    }

    /// Biased skewness g1 = m3/m2^1.5; `None` when all values are equal.
    pub fn skewness(&self) -> Option<f64> {
        self.spread().then(|| self.m3 / self.m2.powf(1.5))
    }

    /// Biased excess kurtosis m4/m2^2 - 3; `None` when all values are equal.
    pub fn excess_kurtosis(&self) -> Option<f64> {
        self.spread().then(|| self.m4 / (self.m2 * self.m2) - 3.0)
    }

    /// Whether the variance is more than the rounding of computing it, scipy's rule.
    fn spread(&self) -> bool {
        self.m2 > (f64::EPSILON * self.mean).powi(2)
    }
}

const LANES: usize = 8;

/// Power sums about a provisional centre, for formats too wide to count per bit pattern.
///
/// Call [`MomentSums::push`] with runs that do not depend on how the caller chunks (a row, or parts of it
/// at multiples of 8): sums then do not depend on it either. With the centre within a few standard
/// deviations of the mean, the moments keep about 13 digits.
#[derive(Clone, Debug)]
pub struct MomentSums {
    centre: f64,
    n: u64,
    powers: [[f64; LANES]; 4],
    absolute: [f64; LANES],
    energy: [f64; LANES],
}

impl MomentSums {
    /// Empty sums about `centre`, which should be near the mean.
    pub fn new(centre: f64) -> Self {
        Self {
            centre,
            n: 0,
            powers: [[0.0; LANES]; 4],
            absolute: [0.0; LANES],
            energy: [0.0; LANES],
        }
    }

    /// Adds a run of values; non-finite ones are passed over.
    pub fn push<T: PrefixKey>(&mut self, values: &[T]) {
        Arch::new().dispatch(
            #[inline(always)]
            || self.push_run(values),
        );
    }

    #[inline(always)]
    fn push_run<T: PrefixKey>(&mut self, values: &[T]) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let mut finite = [0u64; LANES];
        for chunk in chunks {
            for lane in 0..LANES {
                self.add(lane, chunk[lane], &mut finite[lane]);
            }
        }
        for (lane, value) in rest.iter().enumerate() {
            self.add(lane, *value, &mut finite[lane]);
        }
        self.n += finite.iter().sum::<u64>();
    }

    #[inline(always)]
    fn add<T: PrefixKey>(&mut self, lane: usize, value: T, finite: &mut u64) {
        let x: f64 = value.into();
        let keep = x.abs() < f64::INFINITY;
        let d = if keep { x - self.centre } else { 0.0 };
        let x = if keep { x } else { 0.0 };
        *finite += u64::from(keep);
        let square = d * d;
        self.powers[0][lane] += d;
        self.powers[1][lane] += square;
        self.powers[2][lane] += square * d;
        self.powers[3][lane] += square * square;
        self.absolute[lane] += x.abs();
        self.energy[lane] += x * x;
    }

    /// The moments of everything pushed; `None` when nothing was finite.
    pub fn finish(&self) -> Option<Moments> {
        if self.n == 0 {
            return None;
        }
        let n = self.n as f64;
        let total = |lanes: &[f64; LANES]| lanes.iter().sum::<f64>();
        let [d, s2, s3, s4] = [0, 1, 2, 3].map(|power| total(&self.powers[power]) / n);
        Some(Moments {
            n: self.n,
            mean: self.centre + d,
            m2: (s2 - d * d).max(0.0),
            m3: s3 - 3.0 * d * s2 + 2.0 * d * d * d,
            m4: s4 - 4.0 * d * s3 + 6.0 * d * d * s2 - 3.0 * d.powi(4),
            mean_abs: total(&self.absolute) / n,
            energy: total(&self.energy),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ladder;

    #[test]
    fn streamed_moments_equal_exact_ones() {
        let values: Vec<f64> = (0..1003).map(|i| (f64::from(i) * 0.7).sin() + 5.0).collect();
        let mut sums = MomentSums::new(values[0]);
        values.chunks(64).for_each(|chunk| sums.push(chunk));
        sums.push(&[f64::NAN]);
        let (a, b) = (sums.finish().unwrap(), Ladder::from_values(values).moments().unwrap());
        for (a, b) in [
            (a.mean, b.mean),
            (a.m2, b.m2),
            (a.m4, b.m4),
            (a.mean_abs, b.mean_abs),
            (a.energy, b.energy),
        ] {
            assert!((a / b - 1.0).abs() < 1e-13, "{a} {b}");
        }
        assert_eq!(a.n, 1003);
    }
}
