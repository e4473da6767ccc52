//! Numbers that can be had by hand.

use weightscope_core::{Cells, DType, FigureData, HeatMap, Metrics, Output, Role, Ticks, Value};
use weightscope_distribution::Distribution;
use weightscope_testkit::checkpoint::encode;
use weightscope_testkit::{Random, conformance, measure, portray_weight, weight_of};

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

/// Values `[out, in]` as stored.
fn stored(values: &[f32], [out, input]: [usize; 2], transposed: bool) -> ([u64; 2], Vec<f32>) {
    if transposed {
        let turned = (0..input).flat_map(|i| (0..out).map(move |o| values[o * input + i]));
        ([input as u64, out as u64], turned.collect())
    } else {
        ([out as u64, input as u64], values.to_vec())
    }
}

fn numbers(value: Option<&Value>) -> Vec<f64> {
    value.unwrap().items().iter().filter_map(Value::as_f64).collect()
}

/// Row variances of a matrix `[out, in]`, stored either way: quartiles, whiskers, low end, width and counts.
fn row_variance(values: &[f32], size: [usize; 2]) -> [Vec<f64>; 4] {
    let [plain, turned] = [false, true].map(|transposed| {
        let (shape, values) = stored(values, size, transposed);
        let out = measure(&Distribution, DType::F32, &shape, &values, transposed);
        let found = &out.metrics["row_variance"];
        let histogram = found.get("histogram").unwrap();
        let ends = ["low", "width"].map(|key| histogram.get(key).unwrap().as_f64().unwrap());
        let [quartiles, whiskers] = ["quartiles", "whiskers"].map(|key| numbers(found.get(key)));
        [quartiles, whiskers, ends.to_vec(), numbers(histogram.get("counts"))]
    });
    assert_eq!(plain, turned);
    plain
}

/// Rows -a, a, -a, a: variance a^2.
fn rows_of_variance(roots: &[f32]) -> Vec<f32> {
    roots.iter().flat_map(|a| [-a, *a, -a, *a]).collect()
}

#[test]
fn row_variances_by_hand() {
    // Variances 1, 4, 9, 16, 400: quartiles 4, 9, 16; what lies beyond 16 + 18 is outside of the whiskers.
    let values = rows_of_variance(&[3.0, 1.0, 20.0, 2.0, 4.0]);
    let [quartiles, whiskers, ends, counts] = row_variance(&values, [5, 4]);
    assert_eq!(quartiles, [4.0, 9.0, 16.0]);
    assert_eq!(whiskers, [1.0, 16.0]);
    assert_eq!(ends, [1.0, 399.0 / 24.0]);
    // Bins are 16.6 wide: four rows in the first, one in the last.
    assert_eq!((counts[0], counts[23], counts.iter().sum::<f64>()), (4.0, 1.0, 5.0));

    // The mean of a row does not count, and two columns of quartiles are interpolated.
    let values = [1.0, 3.0, 10.0, 14.0];
    let [quartiles, whiskers, ..] = row_variance(&values, [2, 2]);
    assert_eq!((quartiles, whiskers), (vec![1.75, 2.5, 3.25], vec![1.0, 4.0]));
}

#[test]
fn whiskers_end_at_the_box_at_least() {
    // Variances 1, 1, 1, 100: the upper quartile is 25.75, within reach of which only ones lie.
    let [quartiles, whiskers, ..] = row_variance(&rows_of_variance(&[1.0, 10.0, 1.0, 1.0]), [4, 4]);
    assert_eq!((quartiles, whiskers), (vec![1.0, 1.0, 25.75], vec![1.0, 25.75]));
    // Variances 0, 100, 100, 100.
    let [quartiles, whiskers, ..] =
        row_variance(&rows_of_variance(&[10.0, 10.0, 0.0, 10.0]), [4, 4]);
    assert_eq!((quartiles, whiskers), (vec![75.0, 100.0, 100.0], vec![75.0, 100.0]));
}

#[test]
fn equal_rows_and_rows_without_variance() {
    let [quartiles, whiskers, ends, counts] = row_variance(&rows_of_variance(&[2.0; 6]), [6, 4]);
    assert_eq!((quartiles, whiskers, ends), (vec![4.0; 3], vec![4.0; 2], vec![4.0, 0.0]));
    assert_eq!((counts[0], counts[1..].iter().sum::<f64>()), (6.0, 0.0));
    let [quartiles, ..] = row_variance(&[0.1; 12], [3, 4]);
    assert!(quartiles.iter().all(|v| (0.0..1e-17).contains(v)), "{quartiles:?}");

    let nan = measure(&Distribution, DType::F32, &[2, 2], &[1.0, f32::NAN, 2.0, 3.0], false);
    assert_eq!(reason(&nan, "row_variance"), "some rows have no finite variance");
    let vector = measure(&Distribution, DType::F32, &[4], &[1.0, 2.0, 3.0, 4.0], false);
    assert_eq!(reason(&vector, "row_variance"), "not a matrix");
}

/// How a matrix `[out, in]` of this role is drawn, stored either way.
fn drawn(role: Role, values: &[f32], size: [usize; 2]) -> HeatMap {
    let [plain, turned] = [false, true].map(|transposed| {
        let (shape, values) = stored(values, size, transposed);
        let bytes = encode(DType::F32, &values);
        let weight = weight_of(role, DType::F32, shape, bytes, transposed);
        let out = portray_weight(&Distribution, &weight).unwrap();
        let [figure] = out.figures.as_slice() else { panic!("{:?}", out.figures) };
        assert_eq!(figure.id, "distribution.heatmap");
        let FigureData::Heatmap(map) = figure.data.clone() else { panic!("{figure:?}") };
        map
    });
    assert_eq!(plain, turned);
    plain
}

/// The value that a cell's level stands for.
fn shown(map: &HeatMap, row: u64, column: u64) -> f64 {
    let Cells::Levels { levels, scale: [low, high], .. } = &map.cells else { panic!("{map:?}") };
    let level = levels[(row * map.size[1] + column) as usize];
    assert_ne!(level, Cells::MISSING);
    low + (high - low) * f64::from(level) / 254.0
}

fn steps(ticks: &Ticks) -> u64 {
    let Ticks::Lines { first: 0, step } = ticks else { panic!("{ticks:?}") };
    *step
}

#[test]
fn small_matrices_are_drawn_value_by_value() {
    let size = [5, 7];
    let mut values: Vec<f32> = (0..35).map(|i| (i as f32 - 12.0) / 4.0).collect();
    values[8] = f32::NAN;
    values[9] = f32::INFINITY;
    let map = drawn(Role::MlpUp, &values, size);
    assert_eq!((map.size, map.pooling.as_ref()), ([5, 7], ""));
    assert_eq!((steps(&map.rows), steps(&map.columns)), (1, 1));
    let Cells::Levels { levels, scale, clipped } = &map.cells else { panic!("{map:?}") };
    // Symmetric about 0, up to the largest of 5.5.
    assert_eq!((*scale, *clipped), ([-5.5, 5.5], 0));
    let missing: Vec<usize> = (0..35).filter(|i| levels[*i] == Cells::MISSING).collect();
    assert_eq!(missing, [8, 9]);
    assert_eq!((levels[12], levels[34]), (127, 254));
    for (index, value) in (0..).zip(&values).filter(|(_, v)| v.is_finite()) {
        let seen = shown(&map, index / 7, index % 7);
        assert!((seen - f64::from(*value)).abs() <= 5.5 / 254.0 + 1e-12, "{index}: {seen} {value}");
    }
}

#[test]
fn a_few_outliers_do_not_take_all_colours() {
    // One in 1024: the largest but one of a thousandth is the end of the scale.
    let mut random = Random::new(6);
    let mut values: Vec<f32> = (0..100 * 100).map(|_| random.uniform(1.0) as f32).collect();
    (0..9).for_each(|i| values[i * 977] = 1000.0);
    let Cells::Levels { scale, clipped, .. } = drawn(Role::MlpUp, &values, [100, 100]).cells else {
        panic!()
    };
    assert!(scale[1] <= 1.0 && scale[0] == -scale[1] && clipped == 9, "{scale:?} {clipped}");
    // As many as the share that colours may miss, and one more.
    values[4] = -1000.0;
    values[5] = -1000.0;
    let Cells::Levels { scale, clipped, .. } = drawn(Role::MlpUp, &values, [100, 100]).cells else {
        panic!()
    };
    assert_eq!((scale, clipped), ([-1000.0, 1000.0], 0));
}

#[test]
fn large_matrices_are_pooled() {
    // 600 x 300: cells of 3 x 2, and the rows of a cell are all 1 to 200, with alternating signs.
    let size = [600, 300];
    let value = |o: usize, i: usize| {
        (1 + o / 3) as f32 * if (o + i).is_multiple_of(2) { 1.0 } else { -1.0 }
    };
    let values: Vec<f32> = (0..600).flat_map(|o| (0..300).map(move |i| value(o, i))).collect();
    let map = drawn(Role::MlpUp, &values, size);
    assert_eq!((map.size, map.pooling.as_ref()), ([200, 150], "root mean square"));
    assert_eq!((steps(&map.rows), steps(&map.columns)), (3, 2));
    for row in 0..200 {
        for column in [0, 74, 149] {
            let expected = (1 + row) as f64;
            assert!((shown(&map, row, column) - expected).abs() <= 0.5, "{row} {column}");
        }
    }
    // A position table keeps its sign: means of a slow wave.
    let wave = |o: usize| (o as f32 / 50.0).sin();
    let values: Vec<f32> = (0..600).flat_map(|o| [wave(o); 300]).collect();
    let map = drawn(Role::PositionEmbedding, &values, size);
    assert_eq!((map.size, map.pooling.as_ref()), ([200, 150], "mean"));
    for row in 0..200 {
        let expected = (0..3).map(|i| f64::from(wave(3 * row + i))).sum::<f64>() / 3.0;
        assert!((shown(&map, row as u64, 149) - expected).abs() <= 0.005, "{row}");
    }
    // The last cells have what is left: 257 lines in steps of 2 are 129, the last of one.
    let map = drawn(Role::MlpUp, &vec![2.0; 257 * 259], [257, 259]);
    assert_eq!(map.size, [129, 130]);
    assert_eq!(shown(&map, 128, 129), 2.0);
}

#[test]
fn vectors_are_drawn_as_lines() {
    let line = |values: &[f32]| {
        let bytes = encode(DType::F32, values);
        let vector = weight_of(Role::Other, DType::F32, [1, values.len() as u64], bytes, false);
        portray_weight(&Distribution, &vector).unwrap().figures
    };
    let figures = line(&[1.0, f32::NAN, -3.0]);
    let FigureData::Line { series } = &figures[0].data else { panic!("{figures:?}") };
    assert_eq!(series[0].x, [0.0, 1.0, 2.0]);
    assert_eq!(series[0].y, [Some(1.0), None, Some(-3.0)]);
    assert_eq!(line(&vec![0.5; 2048]).len(), 1);
    assert_eq!(line(&vec![0.5; 2049]), []);
}
