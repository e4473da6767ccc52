//! Matrices whose errors follow from the definition, in every layout that is measured in a way of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use weightscope_codec::{SCHEMES, Scheme};
use weightscope_core::{
    AnalyzeError, Analyzer, Cancel, DType, Output, Role, Shared, Value, WeightView,
};
use weightscope_quantization::{LargeValue, Measured, Quantization, Run, SchemeErrors};
use weightscope_testkit::checkpoint::encode;
use weightscope_testkit::{Random, conformance, measure, measure_bytes, weight_of};

#[test]
fn conforms() {
    conformance(&Quantization);
}

struct Threads(usize);

impl Run for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn advance(&self, _: u64) -> Result<(), AnalyzeError> {
        Ok(())
    }
}

fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| 0.02 * random.normal() as f32).collect()
}

/// `[rows, columns]` as `[columns, rows]`.
fn turned(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

/// A matrix `[out, in]`, stored so or across.
fn measured(
    dtype: DType,
    values: &[f32],
    [out, input]: [usize; 2],
    is_turned: bool,
    run: &dyn Run,
) -> Result<Measured, AnalyzeError> {
    let shape = if is_turned { [input, out] } else { [out, input] };
    let stored = if is_turned { turned(values, [out, input]) } else { values.to_vec() };
    let (source, weight) =
        weight_of(Role::MlpDown, dtype, shape.map(|n| n as u64), encode(dtype, &stored), is_turned);
    let (shared, cancel) = (Shared::default(), Cancel::default());
    let view = WeightView::new(&weight, &source, &shared, &cancel);
    weightscope_quantization::measure(&view, true, run)
}

/// What a value of this element type is.
fn stored(dtype: DType, values: &[f32]) -> Vec<f32> {
    let mut decoded = values.to_vec();
    if dtype == DType::BF16 {
        let bytes = encode(dtype, values);
        for (value, bytes) in decoded.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *value = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
        }
    }
    decoded
}

/// Every number that depends on where values lie, against codes and scales written out.
#[track_caller]
fn check(dtype: DType, values: &[f32], shape: [usize; 2], is_turned: bool) {
    let found = measured(dtype, values, shape, is_turned, &Threads(2)).unwrap();
    let values = stored(dtype, values);
    let energy: f64 = values.iter().map(|w| f64::from(*w).powi(2)).sum();
    assert_eq!(found.schemes.len(), SCHEMES.len());
    for (row, scheme) in found.schemes.iter().zip(SCHEMES) {
        assert_eq!(row.scheme.name, scheme.name);
        let restored = scheme.encode(&values, shape).unwrap().decode();
        let (mut squares, mut products, mut largest) = (0.0, 0.0, 0.0f64);
        for (w, restored) in values.iter().zip(restored) {
            let (w, e) = (f64::from(*w), f64::from(*w) - f64::from(restored));
            squares += e * e;
            products += w * e;
            largest = largest.max(e.abs());
        }
        // Restored values are rounded to f32, which errors are not.
        let near = |found: f64, want: f64, within: f64| (found - want).abs() <= within;
        let (name, rounding) = (scheme.name, 1e-12 * energy);
        let is_near = near(
            row.energy,
            squares,
            2e-6 * squares + 1.2e-7 * (squares * energy).sqrt() + 4e-15 * energy,
        ) && near(row.cross, products, 2e-6 * squares + rounding * 1e5)
            && near(row.largest, largest, 1e-6 * largest + 2e-7 * f64::from(abs_max(&values)));
        assert!(
            is_near,
            "{name} of {dtype} {shape:?}: {row:?} instead of {squares:e}, {products:e}, {largest:e}"
        );
    }
    let rows: Vec<f32> = values.chunks(shape[1]).map(abs_max).collect();
    assert_eq!(found.channel_abs_max, rows, "{dtype} {shape:?}");
}

fn abs_max(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |a, w| a.max(w.abs()))
}

#[test]
fn awkward_shapes() {
    for shape in [
        [1, 1],
        [1, 200],
        [17, 1],
        [16, 16],
        [17, 130],
        [5, 33],
        [15, 127],
        [33, 129],
        [64, 257],
        [3, 300],
    ] {
        let values = normal(shape[0] * shape[1], 1);
        for dtype in [DType::F32, DType::BF16] {
            for is_turned in [false, true] {
                check(dtype, &values, shape, is_turned);
            }
        }
    }
}

#[test]
fn rows_too_long_to_be_decoded_at_once() {
    // The scale of a row follows from parts that are not in memory any more.
    let mut values = normal(17 * 80_000, 2);
    values[79_000] = 0.5;
    values[80_001] = -0.4;
    check(DType::F32, &values, [17, 80_000], false);
    check(DType::BF16, &values, [17, 80_000], false);
    let mut values = normal(40 * 70_000, 3);
    values[70_000 * 7 + 69_990] = 0.5;
    check(DType::BF16, &values, [40, 70_000], true);
}

#[test]
fn int8_by_its_definition() {
    for (shape, is_turned) in [([17, 80_000], false), ([300, 130], true)] {
        let values = normal(shape[0] * shape[1], 4);
        let found = measured(DType::F32, &values, shape, is_turned, &Threads(1)).unwrap();
        let error = |row: &[f32], top: f32| {
            let step = f64::from(top) / 127.0;
            let errors = row.iter().map(|w| {
                let w = f64::from(*w);
                w - (w / step).round_ties_even() * step
            });
            errors.map(|e| e * e).sum::<f64>()
        };
        let of_channels: f64 = values.chunks(shape[1]).map(|row| error(row, abs_max(row))).sum();
        let of_tensor = error(&values, abs_max(&values));
        for (name, want) in [("int8_channel", of_channels), ("int8_tensor", of_tensor)] {
            let found = named(&found, name).energy;
            assert!((found / want - 1.0).abs() < 1e-7, "{name}: {found:e} instead of {want:e}");
        }
    }
}

fn named<'a>(measured: &'a Measured, name: &str) -> &'a SchemeErrors {
    measured.schemes.iter().find(|row| row.scheme.name == name).unwrap()
}

#[test]
fn threads_change_no_bit() {
    for (shape, is_turned) in [
        ([1000, 1040], false),
        ([4200, 100], true),
        // Read twice.
        ([40, 70_000], false),
        ([2100, 600], true),
    ] {
        let mut values = normal(shape[0] * shape[1], 5);
        for (place, value) in values.iter_mut().step_by(9973).enumerate() {
            *value = [1.0, -1.0, 0.9][place % 3];
        }
        for dtype in [DType::F32, DType::BF16] {
            let on = |threads| {
                let found = measured(dtype, &values, shape, is_turned, &Threads(threads)).unwrap();
                format!("{found:?}")
            };
            let one = on(1);
            for threads in [2, 3] {
                assert!(one == on(threads), "{dtype} {shape:?} on {threads} threads");
            }
        }
    }
}

/// Equal, but for sums that are taken in another order.
#[track_caller]
fn near(place: &str, a: &Value, b: &Value) {
    match (a, b) {
        (Value::Map(a), Value::Map(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|((key, a), (_, b))| near(&format!("{place}.{key}"), a, b));
        }
        (Value::List(a), Value::List(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| near(place, a, b));
        }
        (Value::Number(x), Value::Number(y)) => {
            // Differences of decibels are as good as these.
            let least = if place.ends_with("_db") { 100.0 } else { 0.0 };
            let allowed = 1e-12 * x.abs().max(y.abs()).max(least);
            assert!((x - y).abs() <= allowed, "{place}: {x:e} and {y:e}");
        }
        _ => assert_eq!(a, b, "{place}"),
    }
}

#[test]
fn as_stored_and_across_are_the_same() {
    for shape in [[96, 150], [16, 70_000], [2100, 520], [1, 40], [40, 1]] {
        let [out, input] = shape;
        let mut values = normal(out * input, 6);
        values[out * input / 2] = -0.9;
        for dtype in [DType::F32, DType::BF16] {
            let [rows, columns] = shape.map(|n| n as u64);
            let plain = measure(&Quantization, dtype, &[rows, columns], &values, false);
            let across =
                measure(&Quantization, dtype, &[columns, rows], &turned(&values, shape), true);
            assert_eq!(plain.undefined, across.undefined);
            for (key, value) in &plain.metrics {
                near(&format!("{dtype} {shape:?} {key}"), value, &across.metrics[key]);
            }
        }
    }
}

fn reason<'a>(out: &'a Output, key: &str) -> &'a str {
    out.undefined.iter().find(|(k, _)| *k == key).map_or("defined", |(_, why)| why)
}

fn number(out: &Output, key: &str) -> f64 {
    out.metrics[key].as_f64().unwrap_or_else(|| panic!("{key} is {:?}", out.metrics[key]))
}

fn row<'a>(out: &'a Output, scheme: &str) -> &'a Value {
    let mut rows = out.metrics["schemes"].items().iter();
    rows.find(|row| row.get("scheme").and_then(Value::as_str) == Some(scheme)).unwrap()
}

fn names(out: &Output) -> Vec<&str> {
    let rows = out.metrics["schemes"].items().iter();
    rows.filter_map(|row| row.get("scheme")?.as_str()).collect()
}

const OF_MATRICES: [&str; 4] =
    ["outlier_columns", "super_weights", "largest_over_second", "channel_abs_max"];

#[test]
fn vectors_have_no_rows() {
    let of_vectors = ["int8_tensor", "fp8_e4m3_tensor", "fp8_e5m2_tensor", "f16", "bf16"];
    for (dtype, count) in [(DType::F32, 200), (DType::BF16, 200), (DType::F32, 50_000)] {
        let out = measure(&Quantization, dtype, &[count], &normal(count as usize, 7), false);
        assert_eq!(names(&out), of_vectors);
        assert!(OF_MATRICES.iter().all(|key| reason(&out, key) == "not a matrix"));
        assert_eq!(row(&out, "int8_tensor").get("bits_per_weight").unwrap().as_f64().unwrap(), {
            8.0 + 32.0 / count as f64
        });
    }
    let matrix = measure(&Quantization, DType::F32, &[1, 200], &normal(200, 7), false);
    assert_eq!(names(&matrix), SCHEMES.iter().map(|s| s.name).collect::<Vec<_>>());
}

#[test]
fn values_that_are_not_finite() {
    for (bad, why) in [
        (vec![f32::NAN], "1 value is NaN or infinite"),
        (vec![f32::INFINITY, f32::NEG_INFINITY], "2 values are NaN or infinite"),
    ] {
        let mut values = normal(64 * 80, 8);
        values[..bad.len()].copy_from_slice(&bad);
        let out = measure(&Quantization, DType::F32, &[64, 80], &values, false);
        for key in ["schemes", "super_weights", "largest_over_second", "channel_abs_max"] {
            assert_eq!(reason(&out, key), why);
        }
        // What the finite ones say is said.
        assert!((3.0..5.0).contains(&number(&out, "crest_factor")));
        assert!((0.0..0.01).contains(&number(&out, "outliers_3sigma")));
        assert_eq!(out.figures, []);
    }
}

#[test]
fn what_f32_does_not_hold() {
    let bytes = [1e-300f64, -3e-280].repeat(32).into_iter().flat_map(f64::to_le_bytes).collect();
    let out = measure_bytes(&Quantization, DType::F64, &[8, 8], bytes, false);
    assert_eq!(reason(&out, "schemes"), "all values are zero as F32");
}

#[test]
fn zeros() {
    let out = measure(&Quantization, DType::BF16, &[64, 80], &vec![0.0; 64 * 80], false);
    for key in ["dynamic_range", "crest_factor", "schemes", "super_weights", "channel_abs_max"] {
        assert_eq!(reason(&out, key), "all values are zero", "{key}");
    }
    assert_eq!(reason(&out, "outlier_columns"), "the median column is zero");
    assert_eq!(number(&out, "outliers_iqr_3"), 0.0);
}

#[test]
fn a_constant_is_exact_where_the_scale_is_its_own() {
    let out = measure(&Quantization, DType::F32, &[20, 50], &[0.3; 1000], false);
    let notes = out.metrics["schemes"].items().iter();
    let exact: Vec<&str> = notes
        .filter(|row| row.get("note").and_then(Value::as_str) == Some("lossless"))
        .map(|row| row.get("scheme").unwrap().as_str().unwrap())
        .collect();
    // Others round the scale, or the value.
    let expected = [
        "int8_tensor",
        "int8_channel",
        "int4_channel",
        "int4_g128",
        "int4_g64",
        "int4_g32",
        "int4_g128_asym",
        "fp8_e4m3_tensor",
        "fp8_e4m3_channel",
        "fp8_e5m2_tensor",
        "nf4_b64",
    ];
    assert_eq!(exact, expected);
    let int8 = row(&out, "int8_channel");
    for (key, want) in [("mse", 0.0), ("max_abs_error", 0.0), ("cosine", 1.0)] {
        assert_eq!(int8.get(key).unwrap().as_f64(), Some(want));
    }
    assert!(int8.get("sqnr_db").unwrap().is_null() && int8.get("excess_db").unwrap().is_null());
    for key in ["dynamic_range", "largest_over_second"] {
        assert_eq!(number(&out, key), 1.0);
    }
    assert!((number(&out, "crest_factor") - 1.0).abs() < 1e-12);
    for key in ["outliers_3sigma", "outliers_6sigma", "outliers_iqr_1_5", "outliers_iqr_3"] {
        assert_eq!(number(&out, key), 0.0, "{key}");
    }
}

#[test]
fn a_cast_that_overflows() {
    for count in [4096, 40_000] {
        let mut values = normal(count, 9);
        values[5] = 7e4;
        values[77] = -1e5;
        let shape = [16, count as u64 / 16];
        let out = measure(&Quantization, DType::F32, &shape, &values, false);
        let f16 = row(&out, "f16");
        assert_eq!(f16.get("note").unwrap().as_str(), Some("2 values beyond 65504"));
        for key in ["sqnr_db", "mse", "max_abs_error", "cosine", "excess_db"] {
            assert!(f16.get(key).unwrap().is_null(), "{key}");
        }
        assert!(row(&out, "bf16").get("note").is_none());
        assert!(row(&out, "int8_channel").get("sqnr_db").unwrap().as_f64().is_some());
    }
}

#[test]
fn double_precision() {
    let of = |values: &[f64]| {
        let bytes = values.iter().flat_map(|w| w.to_le_bytes()).collect();
        measure_bytes(&Quantization, DType::F64, &[16, values.len() as u64 / 16], bytes, false)
    };
    let singles = normal(16 * 40, 10);
    let wide: Vec<f64> = singles.iter().map(|w| f64::from(*w)).collect();
    // A rounding to F32 comes first.
    let shaken: Vec<f64> = wide.iter().map(|w| w * (1.0 + 1e-12)).collect();
    let single = measure(&Quantization, DType::F32, &[16, 40], &singles, false);
    for values in [&wide, &shaken] {
        let out = of(values);
        for scheme in SCHEMES {
            let error = |out: &Output| row(out, scheme.name).get("mse").unwrap().as_f64().unwrap();
            let (ours, theirs) = (error(&out), error(&single));
            assert!((ours - theirs).abs() <= 1e-12 * theirs, "{}", scheme.name);
        }
    }
    let mut beyond = wide;
    beyond[3] = 1e39;
    let out = of(&beyond);
    for key in ["schemes", "super_weights", "channel_abs_max"] {
        assert_eq!(reason(&out, key), "some values are beyond the range of F32");
    }
}

struct Stopping {
    told: AtomicU64,
    after: u64,
}

impl Run for Stopping {
    fn threads(&self) -> usize {
        2
    }

    fn advance(&self, values: u64) -> Result<(), AnalyzeError> {
        let before = self.told.fetch_add(values, Ordering::Relaxed);
        if before >= self.after { Err(AnalyzeError::Cancelled) } else { Ok(()) }
    }
}

#[test]
fn a_run_can_be_stopped() {
    let values = normal(4000 * 512, 11);
    let run = Stopping { told: AtomicU64::new(0), after: u64::MAX };
    measured(DType::BF16, &values, [4000, 512], false, &run).unwrap();
    // Every value is told once.
    assert_eq!(run.told.into_inner(), 4000 * 512);
    let run = Stopping { told: AtomicU64::new(0), after: 1 };
    let stopped = measured(DType::BF16, &values, [4000, 512], false, &run);
    assert!(matches!(stopped, Err(AnalyzeError::Cancelled)), "{stopped:?}");
    assert!(run.told.into_inner() < 4000 * 512);
}

#[test]
fn the_largest_values_come_first_and_ties_in_order() {
    let [out, input] = [600usize, 1000];
    let mut values = normal(out * input, 12);
    // Many of three magnitudes, and one that is larger: more than are listed.
    for (place, index) in (0..out * input).rev().step_by(26_003).enumerate() {
        values[index] = [3.0, -3.0, 2.0, -4.0, 3.0][place % 5];
    }
    values[599_998] = -4.5;
    let mut expected: Vec<LargeValue> = (0u64..)
        .zip(&values)
        .filter(|(_, w)| w.abs() > 1.0)
        .map(|(at, w)| LargeValue { row: at / input as u64, column: at % input as u64, value: *w })
        .collect();
    assert!(expected.len() > 20);
    expected.sort_by(|a, b| {
        let key = |v: &LargeValue| (v.row, v.column);
        b.value.abs().total_cmp(&a.value.abs()).then(key(a).cmp(&key(b)))
    });
    for is_turned in [false, true] {
        for threads in [1, 3] {
            let run = Threads(threads);
            let found = measured(DType::F32, &values, [out, input], is_turned, &run).unwrap();
            let listed: Vec<LargeValue> = found.largest.above_line().copied().collect();
            assert_eq!(listed, expected[..16], "{threads} threads, turned {is_turned}");
            assert_eq!(found.largest.over_second(), Some(4.5 / 4.0));
        }
    }
    // Listed are those above 30 root mean squares, in these.
    let shape = [out as u64, input as u64];
    let metric = measure(&Quantization, DType::F32, &shape, &values, false);
    let first = &metric.metrics["super_weights"].items()[0];
    let place = |key| first.get(key).and_then(Value::as_u64);
    assert_eq!((place("row"), place("column")), (Some(599), Some(998)));
    let (value, ratio) = (first.get("value").unwrap().as_f64(), first.get("ratio").unwrap());
    assert_eq!(value, Some(-4.5));
    assert!((ratio.as_f64().unwrap() - number(&metric, "crest_factor")).abs() < 1e-9);
}

#[test]
fn the_two_largest_are_known_below_the_line() {
    let mut values = normal(64 * 100, 13);
    values[333] = 0.2;
    values[6300] = -0.16;
    let out = measure(&Quantization, DType::F32, &[64, 100], &values, false);
    let expected = f64::from(0.2f32) / f64::from(0.16f32);
    assert!((number(&out, "largest_over_second") - expected).abs() < 1e-12);
    assert_eq!(out.metrics["super_weights"], Value::List(vec![]));
    // Occurring twice, in another row and with another sign.
    values[6300] = -0.2;
    let out = measure(&Quantization, DType::F32, &[64, 100], &values, false);
    assert_eq!(number(&out, "largest_over_second"), 1.0);
    let single = measure(&Quantization, DType::F32, &[1, 1], &[2.0], false);
    assert_eq!(reason(&single, "largest_over_second"), "there is no second one");
}

/// Shares beyond the four fences, by counting.
fn shares(values: &[f32]) -> [f64; 4] {
    let mut sorted: Vec<f64> = values.iter().map(|w| f64::from(*w)).collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / count;
    let std = (sorted.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / count).sqrt();
    let quartile = |p: f64| {
        let place = p * (count - 1.0);
        let (low, high) = (sorted[place as usize], sorted[place.ceil() as usize]);
        low + place.fract() * (high - low)
    };
    let (low, high) = (quartile(0.25), quartile(0.75));
    let beyond = |low: f64, high: f64| {
        sorted.iter().filter(|w| **w < low || **w > high).count() as f64 / count
    };
    let fence = |k: f64| beyond(low - k * (high - low), high + k * (high - low));
    let around = |k: f64| beyond(mean - k * std, mean + k * std);
    [around(3.0), around(6.0), fence(1.5), fence(3.0)]
}

#[test]
fn outliers_are_counted() {
    let mut random = Random::new(14);
    let heavy: Vec<f32> =
        (0..300 * 401).map(|_| (random.normal().powi(3) * 0.01 + 0.002) as f32).collect();
    // 16,384 values are sorted, more are not; of F32 no counts of values exist then.
    for (out, input) in [(16, 64), (128, 128), (300, 401), (17, 130)] {
        let values = &heavy[..out * input];
        for is_turned in [false, true] {
            let stored = if is_turned { turned(values, [out, input]) } else { values.to_vec() };
            let shape = if is_turned { [input, out] } else { [out, input] };
            let shape = shape.map(|n| n as u64);
            let found = measure(&Quantization, DType::F32, &shape, &stored, is_turned);
            let keys = ["outliers_3sigma", "outliers_6sigma", "outliers_iqr_1_5", "outliers_iqr_3"];
            assert_eq!(keys.map(|key| number(&found, key)), shares(values), "{out}x{input}");
        }
    }
    let vector = measure(&Quantization, DType::F32, &[120_300], &heavy, false);
    assert_eq!(number(&vector, "outliers_iqr_3"), shares(&heavy)[3]);
}

#[test]
fn outlier_columns_and_channels() {
    let (out, input) = (64usize, 100usize);
    let mut values = normal(out * input, 15);
    for row in values.chunks_mut(input) {
        row[7] *= 9.5;
        row[42] *= 20.0;
        row[50] *= 5.0;
    }
    values[30 * input + 42] = -2.4;
    let found = measure(&Quantization, DType::F32, &[64, 100], &values, false);
    let columns = &found.metrics["outlier_columns"];
    let first: Vec<u64> =
        columns.get("first").unwrap().items().iter().filter_map(Value::as_u64).collect();
    assert_eq!((columns.get("count").unwrap().as_u64(), first), (Some(2), vec![7, 42]));
    assert_eq!(columns.get("above_3").unwrap().as_u64(), Some(3));
    let largest = columns.get("largest").unwrap();
    assert_eq!(largest.get("column").unwrap().as_u64(), Some(42));
    assert!((18.0..32.0).contains(&largest.get("ratio").unwrap().as_f64().unwrap()));
    let channels = &found.metrics["channel_abs_max"];
    assert_eq!(channels.get("largest").unwrap().get("row").unwrap().as_u64(), Some(30));
    let quartiles = channels.get("quartiles").unwrap().items().iter().filter_map(Value::as_f64);
    let tops: Vec<f64> = values.chunks(input).map(|row| f64::from(abs_max(row))).collect();
    let below = |line: f64| tops.iter().filter(|top| **top <= line).count();
    assert_eq!(quartiles.map(below).collect::<Vec<_>>(), [16, 32, 48]);
}

#[test]
fn every_scheme_and_metric_is_there() {
    let out = measure(&Quantization, DType::F32, &[64, 256], &normal(64 * 256, 16), false);
    // All but the one that takes a whole MLP.
    assert_eq!(out.metrics.len(), Quantization.descriptor().metrics.len() - 1);
    assert!(!out.metrics.contains_key("mlp_spike"));
    assert_eq!(out.undefined, []);
    assert_eq!(names(&out), SCHEMES.iter().map(|s| s.name).collect::<Vec<_>>());
    for (name, bits) in [
        ("int8_channel", 8.0625),
        ("int4_g128", 4.125),
        ("int4_g32", 4.5),
        ("nf4_b64", 4.5),
        ("gguf_q4_0", 4.5),
        ("gguf_q5_1", 6.0),
    ] {
        assert_eq!(row(&out, name).get("bits_per_weight").unwrap().as_f64(), Some(bits), "{name}");
    }
    // Normal weights are what they are held against.
    for entry in out.metrics["schemes"].items() {
        let name = entry.get("scheme").unwrap().as_str().unwrap();
        let excess = entry.get("excess_db").unwrap().as_f64().unwrap();
        // With one scale for the tensor one value decides.
        let within = if name == "int8_tensor" { 2.0 } else { 0.3 };
        assert!(excess.abs() < within, "{name}: {excess}");
    }
    let ids: Vec<&str> = out.figures.iter().map(|figure| &*figure.id).collect();
    assert_eq!(ids, ["quantization.channels", "quantization.schemes"]);
    assert!(Scheme::named("int4_g128").is_some());
}
