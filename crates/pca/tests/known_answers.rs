//! Matrices whose principal components are known.

use weightscope_core::{Analyzer, DType, Output, Parameters, Role, Value};
use weightscope_pca::Pca;
use weightscope_testkit::checkpoint::encode;
use weightscope_testkit::{Random, conformance, measure_weight, weight_of};

#[test]
fn conforms() {
    conformance(&Pca);
}

/// Of an attention matrix with these rows, however it is stored.
fn measure_with(rows: &[Vec<f32>], transposed: bool, parameters: &Parameters) -> Output {
    let [out, input] = [rows.len(), rows[0].len()];
    let (shape, values) = if transposed {
        let turned = (0..input).flat_map(|i| rows.iter().map(move |row| row[i])).collect();
        ([input as u64, out as u64], turned)
    } else {
        ([out as u64, input as u64], rows.concat())
    };
    let bytes = encode(DType::F32, &values);
    let weight = weight_of(Role::AttentionO, DType::F32, shape, bytes, transposed);
    measure_weight(&Pca, &weight, parameters).unwrap()
}

fn measure(rows: &[Vec<f32>]) -> Output {
    let [plain, turned] = [false, true].map(|t| measure_with(rows, t, &Parameters::default()));
    assert_eq!(plain.undefined, turned.undefined);
    assert_close(&ratios(&plain), &ratios(&turned), 1e-14);
    assert_eq!(plain.metrics["components_90"], turned.metrics["components_90"]);
    plain
}

fn numbers(value: &Value) -> Vec<f64> {
    value.items().iter().filter_map(Value::as_f64).collect()
}

fn ratios(out: &Output) -> Vec<f64> {
    numbers(&out.metrics["explained_variance_ratio"])
}

/// The scores along component 1 or 2.
fn scores(out: &Output, component: u64) -> Vec<f64> {
    let found = out.metrics["scores"].items().iter();
    let mut with = found.filter(|s| s.get("component").unwrap().as_u64() == Some(component));
    numbers(with.next().unwrap().get("values").unwrap())
}

fn assert_close(found: &[f64], expected: &[f64], allowed: f64) {
    assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= allowed, "{found:?} {expected:?}");
    }
}

fn reason<'a>(out: &'a Output, key: &str) -> &'a str {
    out.undefined.iter().find(|(k, _)| *k == key).map_or("defined", |(_, why)| why)
}

/// Uncorrelated columns of eight rows: Hadamard's, without the first.
fn uncorrelated(column: u32) -> impl Fn(usize) -> f32 {
    move |row| if (row as u32 & column).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
}

#[test]
fn tall_with_known_correlations() {
    let [a, b, c] = [uncorrelated(1), uncorrelated(2), uncorrelated(4)];
    // Scale and offset are taken out: three columns are one direction, two another, one a third.
    let row =
        |i: usize| vec![a(i), 5.0 * a(i) + 3.0, -0.5 * a(i), b(i), 100.0 * b(i) - 7.0, 0.25 * c(i)];
    let rows: Vec<Vec<f32>> = (0..8).map(row).collect();
    let out = measure(&rows);
    assert_close(&ratios(&out), &[3.0 / 6.0, 2.0 / 6.0, 1.0 / 6.0, 0.0, 0.0, 0.0], 1e-14);
    // A half, five sixths, all.
    assert_eq!(out.metrics["components_90"], Value::Integer(3));
    for (component, size, direction) in
        [(1, 3f64.sqrt(), &a as &dyn Fn(usize) -> f32), (2, 2f64.sqrt(), &b)]
    {
        let found = scores(&out, component);
        // All are equally large; the sign is that of the first one in size.
        let sign = found[0].signum() * f64::from(direction(0));
        let expected: Vec<f64> = (0..8).map(|i| sign * size * f64::from(direction(i))).collect();
        assert_close(&found, &expected, 1e-13);
    }
    assert_eq!(out.figures.len(), 2);
}

#[test]
fn the_largest_score_is_positive() {
    // One direction at -3, 1, 2 (mean 0, variance 14/3).
    for sign in [1.0, -1.0] {
        let out = measure(&[-3.0, 1.0, 2.0].map(|t: f32| vec![sign * t, 2.0 * sign * t]));
        let scale = 2f64.sqrt() / (14.0 / 3.0f64).sqrt();
        assert_close(&scores(&out, 1), &[3.0 * scale, -scale, -2.0 * scale], 1e-14);
        assert_eq!(out.metrics["components_90"], Value::Integer(1));
    }
}

#[test]
fn wide_ones_have_as_many_components_as_rows() {
    // Two rows differ in every column but the third: all variance is in one direction, at +-sqrt(columns).
    let out = measure(&[vec![1.0, 2.0, 0.5, -1.0, 9.0], vec![3.0, -2.0, 0.5, 1.0, 8.0]]);
    assert_close(&ratios(&out), &[1.0, 0.0], 1e-14);
    let found = scores(&out, 1);
    assert!((found[0].abs() - 2.0).abs() < 1e-14 && found[0] == -found[1], "{found:?}");
    assert_eq!(out.metrics["components_90"], Value::Integer(1));

    // Of random ones the last direction is the mean that was taken out.
    let mut random = Random::new(4);
    let mut row = |_| (0..300).map(|_| random.normal() as f32).collect();
    let rows: Vec<Vec<f32>> = (0..20).map(&mut row).collect();
    let found = ratios(&measure(&rows));
    assert_eq!(found.len(), 20);
    assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-14 && found[19] < 1e-14);
    assert!(found.is_sorted_by(|a, b| a >= b) && found[18] > 0.02, "{found:?}");
}

#[test]
fn a_constant_column_adds_nothing() {
    let [a, b] = [uncorrelated(1), uncorrelated(2)];
    for constant in [0.0, 0.1, -1e30, 1e-30] {
        let row = |i: usize| vec![a(i), constant, b(i), a(i), constant];
        let out = measure(&(0..8).map(row).collect::<Vec<_>>());
        assert_close(&ratios(&out), &[2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0, 0.0], 1e-14);
        assert_eq!(out.metrics["components_90"], Value::Integer(2));
    }
}

#[test]
fn equal_rows_have_no_components() {
    for rows in [3, 10, 41] {
        let out = measure(&vec![vec![0.1, -3.3, 0.0, 1e20, 7e-9]; rows]);
        for metric in Pca.descriptor().metrics {
            assert_eq!(reason(&out, metric.key), "all rows are equal", "{}", metric.key);
        }
        assert!(out.figures.is_empty());
    }
}

#[test]
fn no_components_of_values_that_are_not_finite() {
    let mut rows = vec![vec![0.5; 8]; 9];
    rows[3][3] = f32::NAN;
    let out = measure(&rows);
    assert_eq!(out.metrics.len(), 3);
    assert!(reason(&out, "scores").starts_with("some values are NaN or infinite"));
}

#[test]
fn above_max_side_there_is_a_reason_instead() {
    let mut random = Random::new(4);
    let mut row = |_| (0..30).map(|_| random.normal() as f32).collect();
    let rows: Vec<Vec<f32>> = (0..20).map(&mut row).collect();
    let mut parameters = Parameters::default();
    parameters.set("pca", "max_side", 19.0);
    for transposed in [false, true] {
        let out = measure_with(&rows, transposed, &parameters);
        for metric in Pca.descriptor().metrics {
            let why = "the smaller side is above pca.max_side = 19";
            assert_eq!(reason(&out, metric.key), why, "{}", metric.key);
        }
        assert!(out.figures.is_empty());
    }
    parameters.set("pca", "max_side", 20.0);
    assert_eq!(measure_with(&rows, false, &parameters).undefined, []);
    // A saved report cannot have it changed.
    assert_eq!(Pca.measuring_parameters(), ["max_side"]);
}

#[test]
fn scores_of_very_many_rows_are_left_out() {
    let tall: Vec<Vec<f32>> = (0..=1 << 16).map(|i| vec![(i % 7) as f32, (i % 5) as f32]).collect();
    let out = measure_with(&tall, false, &Parameters::default());
    assert_eq!(reason(&out, "scores"), "more than 65536 rows");
    assert_eq!(ratios(&out).len(), 2);
    assert!(out.figures.iter().all(|figure| figure.id != "pca.scores"));
}
