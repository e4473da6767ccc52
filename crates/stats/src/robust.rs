//! Medians, spreads and quantiles of short lists.

/// Median of the finite values, `None` when there are none. The mean of the middle two for even counts.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_sorted(&sorted, 0.5)
}

/// Median absolute deviation from `centre` of the finite values, not scaled.
///
/// Multiply by 1.4826 for a consistent estimate of a normal's standard deviation.
pub fn mad(values: &[f64], centre: f64) -> Option<f64> {
    let deviations: Vec<f64> = values.iter().map(|v| (v - centre).abs()).collect();
    median(&deviations)
}

/// Quantile `p` in `0..=1` of ascending values by linear interpolation, numpy's default method.
pub fn quantile_sorted(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let (below, above, weight) = rank(last as u64, p);
    Some(lerp(*sorted.get(below as usize)?, *sorted.get(above as usize)?, weight))
}

/// The two ranks that a quantile lies between and the weight of the upper one; `last` is the highest rank.
pub(crate) fn rank(last: u64, p: f64) -> (u64, u64, f64) {
    let position = p.clamp(0.0, 1.0) * last as f64;
    let below = (position.floor() as u64).min(last);
    (below, (below + 1).min(last), position - below as f64)
}

/// Linear interpolation as numpy does it: from the nearer end, so that it is exact at both.
pub(crate) fn lerp(a: f64, b: f64, t: f64) -> f64 {
    let difference = b - a;
    if t >= 0.5 { b - difference * (1.0 - t) } else { a + difference * t }
}

/// Robust z-scores of the logarithms of row or column norms: `(ln x - median) / scale` with
/// `scale = max(1.4826 MAD, 1/sqrt(2 length))`, where `length` is the number of entries behind each
/// norm (the second term is the spread of the log-norm of Gaussian entries).
///
/// Zero norms are left out. Empty when fewer than two norms are positive.
pub fn log_norm_z(norms: &[f64], length: u64) -> Vec<f64> {
    let logs: Vec<f64> = norms.iter().filter(|n| **n > 0.0).map(|n| n.ln()).collect();
    let Some(centre) = median(&logs).filter(|_| logs.len() >= 2) else { return Vec::new() };
    let spread = 1.4826 * mad(&logs, centre).unwrap_or(0.0);
    let scale = spread.max(1.0 / (2.0 * length.max(1) as f64).sqrt());
    logs.iter().map(|l| (l - centre) / scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f64::NAN, 3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(mad(&[1.0, 2.0, 3.0, 10.0], 2.0), Some(1.0));
    }

    #[test]
    fn numpy_linear_quantiles() {
        let v = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile_sorted(&v, 0.0), Some(1.0));
        assert_eq!(quantile_sorted(&v, 1.0), Some(8.0));
        assert_eq!(quantile_sorted(&v, 0.5), Some(3.0));
        assert!((quantile_sorted(&v, 0.95).unwrap() - 7.4).abs() < 1e-12);
    }
}
