//! The exact distribution of the two-sided Kolmogorov-Smirnov statistic.

use std::f64::consts::PI;

/// `P(D_n >= d)`: how likely `n` values drawn from a fully specified continuous distribution show a
/// two-sided Kolmogorov-Smirnov distance of at least `d`. Absolute error below 1e-6 (measured against
/// `scipy.stats.kstwo.sf`), 1 for `n = 0`.
///
/// * `n <= 140`: the matrix power of Marsaglia, Tsang & Wang (2003), exact, and twice the exact one-sided
///   probability in the tail, where both sides at once are impossible or below 1e-6.
/// * larger `n`: the same two in the far body and tail, between them the expansion of Pelz & Good
///   (1976), following Simard & L'Ecuyer (2011); beyond n = 10 000 it also serves most of the tail.
///
/// When the reference's parameters were fitted to the same values, as in a test of normality with the
/// sample's own mean and deviation, the result is optimistic (too large).
pub fn kolmogorov_sf(n: u64, d: f64) -> f64 {
    if n == 0 || d <= 0.5 / n as f64 {
        return 1.0;
    }
    if d >= 1.0 {
        return 0.0;
    }
    let size = n as f64;
    let t = size * d * d;
    let sf = if t >= 370.0 {
        0.0
    } else if (n <= 140 && t >= 4.0)
        || (n > 140 && t >= 2.2 && (n <= SUMMED || t >= 9.0))
        || d >= 0.5
    {
        2.0 * one_sided_sf(n, d)
    } else if n <= 140 || (n <= 100_000 && size * d.powf(1.5) <= 1.4) {
        1.0 - matrix_cdf(n, d)
    } else {
        1.0 - pelz_good_cdf(size, d)
    };
    sf.clamp(0.0, 1.0)
}

/// Largest n for which the one-sided probability is summed term by term.
const SUMMED: u64 = 10_000;

/// `P(D+ >= d)`. Exact sum of Birnbaum & Tingey (1951) up to n = 10 000, then the expansion of Maag and
/// Dicaire (1971), whose relative error is of order 1/n.
fn one_sided_sf(n: u64, d: f64) -> f64 {
    let size = n as f64;
    if n > SUMMED {
        return (-(6.0 * size * d + 1.0).powi(2) / (18.0 * size)).exp();
    }
    let log_factorial = libm::lgamma(size + 1.0);
    let last = (size * (1.0 - d)).floor() as u64;
    (0..=last)
        .map(|j| {
            let j = j as f64;
            let rest = 1.0 - d - j / size;
            if rest <= 0.0 {
                return if j == size { d * (d + 1.0).powf(j - 1.0) } else { 0.0 };
            }
            let log_choose = log_factorial - libm::lgamma(j + 1.0) - libm::lgamma(size - j + 1.0);
            (log_choose + d.ln() + (j - 1.0) * (d + j / size).ln() + (size - j) * rest.ln()).exp()
        })
        .sum::<f64>()
        .min(1.0)
}

/// `P(D_n < d)` as `n!/n^n` times an entry of the n-th power of a (2k-1) square matrix, k = ceil(n d).
fn matrix_cdf(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let k = (size * d).floor() as usize + 1;
    let m = 2 * k - 1;
    let h = k as f64 - size * d;
    let mut base = vec![0.0; m * m];
    for i in 0..m {
        for j in 0..m.min(i + 2) {
            base[i * m + j] = 1.0;
        }
    }
    for i in 0..m {
        base[i * m] -= h.powi(i as i32 + 1);
        base[(m - 1) * m + i] -= h.powi((m - i) as i32);
    }
    if h > 0.5 {
        base[(m - 1) * m] += (2.0 * h - 1.0).powi(m as i32);
    }
    for i in 0..m {
        for j in 0..m.min(i + 1) {
            for g in 1..=(i + 1 - j) {
                base[i * m + j] /= g as f64;
            }
        }
    }
    let (power, exponent) = matrix_power(&base, m, n);
    let mut value = power[(k - 1) * m + k - 1].ln() + f64::from(exponent) * std::f64::consts::LN_2;
    value += libm::lgamma(size + 1.0) - size * size.ln();
    value.exp()
}

/// `base^n` as a matrix and a power of two that scales it.
fn matrix_power(base: &[f64], m: usize, n: u64) -> (Vec<f64>, i32) {
    let multiply = |a: &[f64], b: &[f64]| {
        let mut out = vec![0.0; m * m];
        for i in 0..m {
            for k in 0..m {
                let factor = a[i * m + k];
                for j in 0..m {
                    out[i * m + j] += factor * b[k * m + j];
                }
            }
        }
        out
    };
    let normalise = |matrix: &mut Vec<f64>, exponent: &mut i32| {
        if matrix[(m / 2) * m + m / 2] > 1e140 {
            let shift = 2f64.powi(-400);
            for v in matrix.iter_mut() {
                *v *= shift;
            }
            *exponent += 400;
        }
    };
    let mut result: Vec<f64> = (0..m * m).map(|i| f64::from(u8::from(i / m == i % m))).collect();
    let (mut square, mut result_exponent, mut square_exponent) = (base.to_vec(), 0, 0);
    let mut left = n;
    while left > 0 {
        if left & 1 == 1 {
            result = multiply(&result, &square);
            result_exponent += square_exponent;
            normalise(&mut result, &mut result_exponent);
        }
        left >>= 1;
        if left > 0 {
            square = multiply(&square, &square);
            square_exponent *= 2;
            normalise(&mut square, &mut square_exponent);
        }
    }
    (result, result_exponent)
}

/// `P(D_n < d)` by the expansion in `n^(-1/2)` of Pelz & Good, equations as in Simard & L'Ecuyer (2011).
fn pelz_good_cdf(n: f64, d: f64) -> f64 {
    let z = n.sqrt() * d;
    let (z2, z3, z4, z6, z7, z8, z10) =
        (z.powi(2), z.powi(3), z.powi(4), z.powi(6), z.powi(7), z.powi(8), z.powi(10));
    let (p2, p4, p6) = (PI.powi(2), PI.powi(4), PI.powi(6));
    let terms = (16.0 * z / PI).ceil() as i32 + 4;
    let (mut k0, mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0, 0.0);
    for k in 1..=terms {
        let m2 = f64::from(2 * k - 1).powi(2);
        let (m4, m6) = (m2 * m2, m2 * m2 * m2);
        let weight = (-p2 * m2 / (8.0 * z2)).exp();
        k0 += weight;
        k1 += weight * (p2 / 4.0 * m2 - z2);
        k2 += weight
            * (6.0 * z6
                + 2.0 * z4
                + p2 * (2.0 * z4 - 5.0 * z2) / 4.0 * m2
                + p4 * (1.0 - 2.0 * z2) / 16.0 * m4);
        k3 += weight
            * (-30.0 * z6 - 90.0 * z8
                + p2 * (135.0 * z4 - 96.0 * z6) / 4.0 * m2
                + p4 * (212.0 * z4 - 60.0 * z2) / 16.0 * m4
                + p6 * (5.0 - 30.0 * z2) / 64.0 * m6);
    }
    let (mut k2_even, mut k3_even) = (0.0, 0.0);
    for k in 1..=terms {
        let square = f64::from(k).powi(2);
        let weight = square * (-p2 * square / (2.0 * z2)).exp();
        k2_even += weight;
        k3_even += weight * (3.0 * z2 - p2 * square);
    }
    let root = (2.0 * PI).sqrt();
    let k0 = root / z * k0;
    let k1 = root / (6.0 * z4) * k1;
    let k2 = root / (72.0 * z7) * k2 - root * p2 / (36.0 * z3) * k2_even;
    let k3 = root / (6480.0 * z10) * k3 + root * p2 / (216.0 * z6) * k3_even;
    k0 + k1 / n.sqrt() + k2 / n + k3 / n.powf(1.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert_eq!(kolmogorov_sf(0, 0.3), 1.0);
        assert_eq!(kolmogorov_sf(10, 1.0), 0.0);
        assert_eq!(kolmogorov_sf(10, 0.05), 1.0);
        // One value: D is at least 1/2, and P(D >= d) = 2 (1 - d).
        assert!((kolmogorov_sf(1, 0.75) - 0.5).abs() < 1e-12);
    }

    /// Reference: scipy.stats.kstwo.sf, see fixtures/references/kstwo.py.
    #[test]
    fn equals_scipy() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/references/kstwo.json");
        let text = std::fs::read_to_string(path).unwrap();
        let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut compared = 0;
        for group in reference["grid"].as_array().unwrap() {
            let n = group["n"].as_u64().unwrap();
            for row in group["rows"].as_array().unwrap() {
                let (d, sf) = (row[0].as_f64().unwrap(), row[1].as_f64().unwrap());
                let ours = kolmogorov_sf(n, d);
                assert!((ours - sf).abs() < 1e-6, "n {n} d {d}: {ours} instead of {sf}");
                compared += 1;
            }
        }
        assert!(compared > 100);
    }
}
