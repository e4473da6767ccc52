//! Rank correlation.

use crate::normal_cdf;

/// Spearman's rank correlation and how likely chance alone makes one at least as strong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spearman {
    /// Correlation of the ranks, in `-1..=1`; ties get their mean rank.
    pub rho: f64,
    /// Two-sided p-value from `rho * sqrt(n - 1)` being about standard normal under independence
    /// (Kendall & Stuart); an approximation, conservative in the far tail for n below about 10.
    pub p_value: f64,
    /// Pairs used.
    pub n: usize,
}

/// Spearman's rho of the pairs whose both members are finite.
///
/// `None` with fewer than 3 pairs or when one side is constant. Cost: two sorts.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<Spearman> {
    let (x, y): (Vec<f64>, Vec<f64>) = x
        .iter()
        .zip(y)
        .filter(|(a, b)| a.is_finite() && b.is_finite())
        .map(|(a, b)| (*a, *b))
        .unzip();
    let n = x.len();
    if n < 3 {
        return None;
    }
    let (x, y) = (ranks(&x), ranks(&y));
    let mean = (n as f64 - 1.0) / 2.0;
    let product =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let scale = (product(&x, &x) * product(&y, &y)).sqrt();
    if scale == 0.0 {
        return None;
    }
    let rho = (product(&x, &y) / scale).clamp(-1.0, 1.0);
    let p_value = (2.0 * normal_cdf(-rho.abs() * (n as f64 - 1.0).sqrt())).min(1.0);
    Some(Spearman { rho, p_value, n })
}

/// Ranks from 0, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for run in order.chunk_by(|a, b| values[*a] == values[*b]).scan(0, |start, run| {
        let first = *start;
        *start += run.len();
        Some((first, run))
    }) {
        let (first, members) = run;
        let rank = first as f64 + (members.len() as f64 - 1.0) / 2.0;
        for member in members {
            ranks[*member] = rank;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let x = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(spearman(&x, &[2.0, 4.0, 8.0, 16.0]).unwrap().rho, 1.0);
        assert_eq!(spearman(&x, &[4.0, 3.0, 2.0, 1.0]).unwrap().rho, -1.0);
        // scipy.stats.spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]).statistic
        let tied = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]).unwrap();
        assert!((tied.rho - 0.820_782_681_668_123_3).abs() < 1e-15);
        assert_eq!(spearman(&x, &[1.0; 4]), None);
    }
}
