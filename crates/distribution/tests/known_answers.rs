//! Numbers that can be had by hand.

use weightscope_core::{DType, FigureData, Metrics, Output};
use weightscope_distribution::Distribution;
use weightscope_testkit::{conformance, measure};

fn number(metrics: &Metrics, key: &str) -> f64 {
    metrics[key].as_f64().unwrap_or_else(|| panic!("{key} is {:?}", metrics[key]))
}

fn close(out: &Output, key: &str, expected: f64) {
    let value = number(&out.metrics, key);
    assert!((value - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{key}: {value}");
}

fn reason<'a>(out: &'a Output, key: &str) -> &'a str {
    out.undefined.iter().find(|(k, _)| *k == key).map_or("defined", |(_, why)| why)
}

#[test]
fn conforms() {
    conformance(&Distribution);
}

#[test]
fn moments_and_quantiles_of_one_to_five() {
    // Mean 3, variance 2; fourth central moment (16 + 1 + 0 + 1 + 16)/5 = 6.8, so kurtosis 6.8/4 - 3.
    for (shape, transposed) in [(vec![5], false), (vec![1, 5], false), (vec![1, 5], true)] {
        let out =
            measure(&Distribution, DType::F32, &shape, &[5.0, 1.0, 4.0, 2.0, 3.0], transposed);
        close(&out, "mean", 3.0);
        close(&out, "std", 2f64.sqrt());
        close(&out, "min", 1.0);
        close(&out, "max", 5.0);
        close(&out, "abs_max", 5.0);
        close(&out, "mean_abs", 3.0);
        close(&out, "rms", 11f64.sqrt());
        close(&out, "l2_norm", 55f64.sqrt());
        close(&out, "skewness", 0.0);
        close(&out, "excess_kurtosis", -1.3);
        close(&out, "median", 3.0);
        close(&out, "q25", 2.0);
        // Numpy's rule: rank 0.05 * 4 = 0.2 between 1 and 2.
        close(&out, "q05", 1.2);
        close(&out, "q999", 4.996);
        // The steps of the distribution function at 1 and 5 are farthest from the normal's: 0.2 - Phi(-sqrt 2)
        // = 0.12135, at 2 it is 0.4 - Phi(-1/sqrt 2) = 0.16025.
        let ks = number(&out.metrics, "ks_statistic");
        assert!((ks - 0.160_249_938).abs() < 1e-8, "{ks}");
        assert_eq!(reason(&out, "unique_values"), "counted for 8- and 16-bit types only");
    }
}

#[test]
fn skewness_has_a_sign() {
    // 0, 0, 0, 4: m2 = 3, m3 = 6, so 6/3^1.5; m4 = 21, so 21/9 - 3.
    let out = measure(&Distribution, DType::BF16, &[2, 2], &[0.0, 0.0, 0.0, 4.0], false);
    close(&out, "skewness", 6.0 / 27f64.sqrt());
    close(&out, "excess_kurtosis", 21.0 / 9.0 - 3.0);
    assert_eq!(out.metrics["unique_values"].as_u64(), Some(2));
    let out = measure(&Distribution, DType::BF16, &[2, 2], &[0.0, 0.0, -0.0, -4.0], false);
    close(&out, "skewness", -6.0 / 27f64.sqrt());
    assert_eq!(out.metrics["unique_values"].as_u64(), Some(2), "both zeros are one value");
}

#[test]
fn values_that_are_not_finite_are_left_out() {
    let values = [1.0, f32::NAN, 3.0, f32::INFINITY];
    let out = measure(&Distribution, DType::F32, &[2, 2], &values, false);
    close(&out, "mean", 2.0);
    close(&out, "std", 1.0);
    close(&out, "max", 3.0);
    let out = measure(&Distribution, DType::F32, &[2], &[f32::NAN; 2], false);
    assert_eq!(reason(&out, "mean"), "no finite values");
    assert_eq!(reason(&out, "ks_statistic"), "no finite values");
    assert!(out.figures.is_empty());
}

#[test]
fn equal_values_have_no_shape() {
    let out = measure(&Distribution, DType::F32, &[4], &[0.1; 4], false);
    close(&out, "std", 0.0);
    for key in ["skewness", "excess_kurtosis", "ks_statistic", "ks_p_value"] {
        assert_eq!(reason(&out, key), "all values are equal", "{key}");
    }
    assert!(out.figures.is_empty());
}

#[test]
fn the_histogram_counts_everything_once() {
    // One value 20 deviations out, beyond the six that the bins cover.
    let mut values: Vec<f32> = (0..1000).map(|i| (i % 10) as f32).collect();
    values[0] = -1000.0;
    let out = measure(&Distribution, DType::F32, &[1000], &values, false);
    let [figure] = out.figures.as_slice() else { panic!("{:?}", out.figures) };
    let FigureData::Histogram { counts, below, above, low, width, normal, .. } = &figure.data
    else {
        panic!("{figure:?}")
    };
    assert_eq!((counts.len(), *below, *above), (101, 1, 0));
    assert_eq!(counts.iter().sum::<u64>() + below, 1000);
    let [mean, std] = normal.unwrap();
    assert!((low + 50.5 * width - mean).abs() < 1e-9 && (101.0 * width - 12.0 * std).abs() < 1e-9);
}
