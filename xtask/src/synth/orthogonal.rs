//! Orthogonal matrices that take memory and time of no consequence.

use weightscope_testkit::Random;

/// Rounds of signs and transforms.
const ROUNDS: usize = 2;

/// A randomised Hadamard matrix of any size n, never formed.
///
/// One factor flips random signs and applies the normalised Walsh-Hadamard transform to the first p of n
/// places, p the largest power of two in n; the next does so to the last p. Two pairs of factors mix every
/// place with every other. Each is orthogonal, hence so is the product. Applying it costs O(n log n).
#[derive(Debug)]
pub(super) struct Orthogonal {
    size: usize,
    /// The signs of every factor.
    factors: Vec<Vec<f64>>,
}

impl Orthogonal {
    pub(super) fn new(size: usize, random: &mut Random) -> Self {
        let mut sign = || if random.next_u64() >> 63 == 0 { 1.0 } else { -1.0 };
        let factors = (0..2 * ROUNDS).map(|_| (0..size).map(|_| sign()).collect()).collect();
        Self { size, factors }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The product with a vector, in place.
    pub(super) fn apply(&self, vector: &mut [f64]) {
        for (index, signs) in self.factors.iter().enumerate() {
            flip(vector, signs);
            self.transform(index, vector);
        }
    }

    /// The product of the transpose with a vector, in place.
    pub(super) fn apply_transposed(&self, vector: &mut [f64]) {
        for (index, signs) in self.factors.iter().enumerate().rev() {
            self.transform(index, vector);
            flip(vector, signs);
        }
    }

    fn transform(&self, factor: usize, vector: &mut [f64]) {
        let power = 1 << self.size.max(1).ilog2();
        let begin = if factor.is_multiple_of(2) { 0 } else { self.size - power };
        walsh_hadamard(&mut vector[begin..begin + power]);
    }
}

fn flip(vector: &mut [f64], signs: &[f64]) {
    vector.iter_mut().zip(signs).for_each(|(value, sign)| *value *= sign);
}

/// The normalised, symmetric transform of a power of two of values.
fn walsh_hadamard(values: &mut [f64]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let norm = (values.len() as f64).sqrt().recip();
    for value in values {
        *value *= norm;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_orthonormal_and_dense() {
        for size in [1, 2, 7, 24, 64] {
            let q = Orthogonal::new(size, &mut Random::new(9));
            let column = |index: usize| {
                let mut unit = vec![0.0; size];
                unit[index] = 1.0;
                q.apply(&mut unit);
                unit
            };
            let columns: Vec<_> = (0..size).map(column).collect();
            for (i, a) in columns.iter().enumerate() {
                for (j, b) in columns.iter().enumerate() {
                    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    // A few roundings in each of some hundred sums of terms below 1.
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-13, "{size} {dot}");
                }
                let mut back = a.clone();
                q.apply_transposed(&mut back);
                assert!((back[i] - 1.0).abs() < 1e-13);
            }
        }
    }
}
