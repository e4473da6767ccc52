//! Mean, central moments and sums, streamed.

use pulp::{Arch, NullaryFnOnce};

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
    lanes: PowerLanes,
}

/// The sums by lanes.
#[derive(Clone, Copy, Debug, Default)]
struct PowerLanes {
    finite: [u64; LANES],
    powers: [[f64; LANES]; 4],
    absolute: [f64; LANES],
    energy: [f64; LANES],
}

impl MomentSums {
    /// Empty sums about `centre`, which should be near the mean.
    pub fn new(centre: f64) -> Self {
        Self { centre, lanes: PowerLanes::default() }
    }

    /// Adds a run of values; non-finite ones are passed over.
    pub fn push<T: PrefixKey>(&mut self, values: &[T]) {
        Arch::new().dispatch(AddRun { lanes: &mut self.lanes, centre: self.centre, values });
    }

    /// The moments of everything pushed; `None` when nothing was finite.
    pub fn finish(&self) -> Option<Moments> {
        let lanes = &self.lanes;
        let count = lanes.finite.iter().sum::<u64>();
        if count == 0 {
            return None;
        }
        let n = count as f64;
        let total = |lanes: &[f64; LANES]| lanes.iter().sum::<f64>();
        let [d, s2, s3, s4] = lanes.powers.map(|power| total(&power) / n);
        Some(Moments {
            n: count,
            mean: self.centre + d,
            m2: (s2 - d * d).max(0.0),
            m3: s3 - 3.0 * d * s2 + 2.0 * d * d * d,
            m4: s4 - 4.0 * d * s3 + 6.0 * d * d * s2 - 3.0 * d.powi(4),
            mean_abs: total(&lanes.absolute) / n,
            energy: total(&lanes.energy),
        })
    }
}

/// Adds a run, compiled for each instruction set. Not a closure, which is not always inlined into pulp's
/// function and then does not get its instructions.
struct AddRun<'a, T> {
    lanes: &'a mut PowerLanes,
    centre: f64,
    values: &'a [T],
}

impl<T: PrefixKey> NullaryFnOnce for AddRun<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (chunks, rest) = self.values.as_chunks::<LANES>();
        // In a local, so that the sums stay in registers.
        let mut lanes = *self.lanes;
        for chunk in chunks {
            lanes.add(self.centre, chunk);
        }
        if !rest.is_empty() {
            let mut last = [T::NAN; LANES];
            last[..rest.len()].copy_from_slice(rest);
            lanes.add(self.centre, &last);
        }
        *self.lanes = lanes;
    }
}

impl PowerLanes {
    /// Eight values, whole arrays at a time, so that each step is one vector operation.
    #[inline(always)]
    fn add<T: PrefixKey>(&mut self, centre: f64, values: &[T; LANES]) {
        let (mut x, mut d, mut square) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            x[lane] = values[lane].into();
        }
        for lane in 0..LANES {
            let finite = x[lane].abs() < f64::INFINITY;
            self.finite[lane] += u64::from(finite);
            d[lane] = if finite { x[lane] - centre } else { 0.0 };
            x[lane] = if finite { x[lane] } else { 0.0 };
        }
        for lane in 0..LANES {
            square[lane] = d[lane] * d[lane];
        }
        for lane in 0..LANES {
            self.powers[0][lane] += d[lane];
        }
        for lane in 0..LANES {
            self.powers[1][lane] += square[lane];
        }
        for lane in 0..LANES {
            self.powers[2][lane] += square[lane] * d[lane];
        }
        for lane in 0..LANES {
            self.powers[3][lane] += square[lane] * square[lane];
        }
        for lane in 0..LANES {
            self.absolute[lane] += x[lane].abs();
        }
        for lane in 0..LANES {
            self.energy[lane] += x[lane] * x[lane];
        }
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
