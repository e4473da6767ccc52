//! What independent normal weights show: the yardstick of every signal-to-noise ratio.

use weightscope_codec::{Grain, Normal, Scheme};
use weightscope_core::stats::normal_cdf;

/// Signal-to-noise ratio in decibels of normal weights `[out, in]` of this root mean square in `scheme`.
///
/// For integers `10 log10(12 q^2/E[c^2])`, `c` the largest of `g` magnitudes, which itself is exact: the noise is
/// that of `g - 1` values. It agrees with simulation within 0.02 dB from 4 values on. For the others the table
/// of the scheme. `None` where the values that share a scale are fewer than the table begins with.
pub fn normal_db(scheme: &Scheme, [out, input]: [u64; 2], rms: f64) -> Option<f64> {
    let noise = |size: u64| Some(10f64.powf(-shared_db(&scheme.normal, size, rms)? / 10.0));
    let mean = match scheme.grain {
        Grain::Value => noise(1)?,
        Grain::Tensor => noise(out.saturating_mul(input))?,
        Grain::Channel => noise(input)?,
        Grain::Group(size) => {
            let size = u64::from(size);
            let (full, rest) = (input / size, input % size);
            // A group of one is exact, or nearly.
            let whole = if full > 0 { noise(size)? * (full * size) as f64 } else { 0.0 };
            let short = if rest > 1 { noise(rest)? * rest as f64 } else { 0.0 };
            (whole + short) / input.max(1) as f64
        }
    };
    (mean > 0.0).then(|| -10.0 * mean.log10())
}

/// The same where `size` values share a scale.
fn shared_db(normal: &Normal, size: u64, rms: f64) -> Option<f64> {
    if size < 2 && !matches!(normal, Normal::Cast(_)) {
        return None;
    }
    match normal {
        Normal::Symmetric { top } => {
            let values = size as f64;
            let noise = largest_square(values) / (12.0 * top * top) * (1.0 - 1.0 / values);
            Some(-10.0 * noise.log10())
        }
        Normal::Range { top } => {
            let (first, second) = largest_moments(size as f64);
            let range_square = 2.0 * second + 2.0 * first * first;
            Some(10.0 * (12.0 * top * top / range_square).log10())
        }
        Normal::Simulated(points) => at(points, size),
        Normal::ByFraction(points, by_fraction) => {
            let exponent = rms.log2();
            let place = (exponent - exponent.floor()) * by_fraction.len() as f64;
            let step = |offset: usize| {
                by_fraction.get((place as usize + offset) % by_fraction.len()).copied()
            };
            let (low, high, part) = (step(0)?, step(1)?, place.fract());
            Some(at(points, size)? + low + part * (high - low))
        }
        Normal::Cast(db) => Some(*db),
    }
}

/// Between points at 2, 4, 8 and so on, over the logarithm.
fn at(points: &[f64], size: u64) -> Option<f64> {
    let place = (size as f64).log2() - 1.0;
    let index = (place.max(0.0) as usize).min(points.len().checked_sub(1)?);
    let low = points.get(index)?;
    let high = points.get(index + 1).unwrap_or(low);
    Some(low + (high - low) * (place - index as f64).clamp(0.0, 1.0))
}

/// Steps of the integrals, and where the normal law ends for any number of values.
const STEPS: u32 = 512;
const END: f64 = 10.0;

/// Simpson's rule over 0 to [`END`].
fn integral(f: impl Fn(f64) -> f64) -> f64 {
    let step = END / f64::from(STEPS);
    let weight = |i: u32| match i {
        0 | STEPS => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    (0..=STEPS).map(|i| weight(i) * f(f64::from(i) * step)).sum::<f64>() * step / 3.0
}

/// The chance that at least one of `n` events of chance `p` comes true.
fn any(n: f64, p: f64) -> f64 {
    -(n * (-p).ln_1p()).exp_m1()
}

/// Expected square of the largest of `n` magnitudes: the integral of `2 c P(largest > c)`.
fn largest_square(n: f64) -> f64 {
    integral(|c| 2.0 * c * any(n, 2.0 * normal_cdf(-c)))
}

/// Expected value and square of the largest of `n` values and zero.
fn largest_moments(n: f64) -> (f64, f64) {
    let beyond = |c: f64| any(n, normal_cdf(-c));
    (integral(beyond), integral(|c| 2.0 * c * beyond(c)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weightscope_codec::SCHEMES;

    /// Simulated by numpy: `schemes` {name: [[values per scale, dB, standard error], ..]}.
    const SIMULATED: &str = include_str!("../../../fixtures/references/gaussian-sqnr.json");

    #[test]
    fn equals_simulation() {
        let simulated: serde_json::Value = serde_json::from_str(SIMULATED).unwrap();
        let mut compared = 0;
        for scheme in SCHEMES {
            for point in simulated["schemes"][scheme.name].as_array().unwrap() {
                let [size, db] = [&point[0], &point[1]].map(|x| x.as_f64().unwrap());
                let shape = match scheme.grain {
                    Grain::Tensor => [1, size as u64],
                    _ => [64, size as u64],
                };
                let Some(ours) = normal_db(scheme, shape, 1.0) else { panic!("{}", scheme.name) };
                // The range is not quite the sum of two independent extremes of few values.
                let tolerance =
                    if size < 8.0 && scheme.name.ends_with("asym") { 1.3 } else { 0.06 };
                assert!(
                    (ours - db).abs() < tolerance,
                    "{} of {size}: {ours:.3}, {db:.3}",
                    scheme.name
                );
                compared += 1;
            }
        }
        assert!(compared > 100, "{compared}");
    }

    #[test]
    fn published_figures() {
        for (name, db) in [
            ("nf4_b64", 20.7),
            ("gguf_q4_0", 21.3),
            ("gguf_q8_0", 45.4),
            ("mxfp4", 18.8),
            ("nvfp4", 20.4),
            ("int4_g128", 18.62),
            ("int4_g32", 20.27),
        ] {
            let ours = normal_db(Scheme::named(name).unwrap(), [4096, 4096], 1.0).unwrap();
            assert!((ours - db).abs() < 0.1, "{name}: {ours}");
        }
    }

    #[test]
    fn short_groups_share_less() {
        let scheme = Scheme::named("int4_g128").unwrap();
        let [full, short, mixed] = [128, 64, 192].map(|n| normal_db(scheme, [8, n], 1.0).unwrap());
        assert!(full < mixed && mixed < short);
        assert_eq!(normal_db(scheme, [8, 1], 1.0), None);
    }
}
