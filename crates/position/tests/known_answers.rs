//! Tables whose waves, neighbours and untrained ends are known.

use weightscope_core::{Analyzer, DType, Finding, Output, Parameters, Role, Severity, Value};
use weightscope_position::Position;
use weightscope_testkit::models::{Architecture, Model, ModelSpec};
use weightscope_testkit::{Random, conformance, measure_weight, report_of, weight_of};

#[test]
fn conforms() {
    conformance(&Position);
}

const NAME: &str = "transformer.wpe.weight";

/// A GPT-2 with this table of positions.
fn model(rows: usize, values: Vec<f32>) -> Model {
    let mut model = ModelSpec::new(Architecture::Gpt2).blocks(1).build();
    let table = model.tensor_mut(NAME);
    table.shape = vec![rows as u64, (values.len() / rows) as u64];
    table.values = values;
    model
}

/// What is measured on a table, and what is found.
fn measured(rows: usize, values: Vec<f32>) -> (Output, Vec<Finding>) {
    let report = report_of(&[&Position], &model(rows, values));
    assert_eq!(report.errors, []);
    let weight = report.weights.iter().find(|w| w.name == NAME).unwrap();
    let mut out = Output::default();
    for (key, value) in weight.analyses.get("position").into_iter().flatten() {
        out.metrics.insert(key.clone(), value.clone());
    }
    for (key, why) in &weight.undefined {
        let mut metrics = Position.descriptor().metrics.iter();
        let spec = metrics.find(|m| key.ends_with(&format!(".{}", m.key))).unwrap();
        out.undefined.push((spec.key, why.clone()));
    }
    (out, report.findings)
}

fn number(out: &Output, key: &str) -> f64 {
    out.metrics[key].as_f64().unwrap_or_else(|| panic!("{key} is {:?}", out.metrics[key]))
}

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value.items().iter().map(Value::as_f64).collect()
}

fn reason<'a>(out: &'a Output, key: &str) -> &'a str {
    out.undefined.iter().find(|(k, _)| *k == key).map_or("defined", |(_, why)| why)
}

fn tail(out: &Output) -> [u64; 2] {
    ["count", "first"].map(|key| out.metrics["untrained_tail"].get(key).unwrap().as_u64().unwrap())
}

/// Sines and cosines in turn, of `waves` whole waves over the table each.
fn sinusoids(rows: usize, waves: &[usize]) -> Vec<f32> {
    let row = |t: usize| {
        waves.iter().flat_map(move |w| {
            let angle = std::f64::consts::TAU * (w * t) as f64 / rows as f64;
            [angle.sin() as f32, angle.cos() as f32]
        })
    };
    (0..rows).flat_map(row).collect()
}

fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| 0.02 * random.normal() as f32).collect()
}

#[test]
fn waves_of_a_sinusoidal_table() {
    let waves = [1, 2, 3, 5, 8, 13, 21, 31];
    for rows in [64, 96, 75] {
        let (out, findings) = measured(rows, sinusoids(rows, &waves));
        let expected: Vec<Option<f64>> =
            waves.iter().flat_map(|w| [Some(rows as f64 / *w as f64); 2]).collect();
        assert_eq!(numbers(&out.metrics["dominant_period"]), expected, "{rows} rows");
        // Products of positions are sums of cosines of their distance. F32 leaves 1e-8 of every value.
        assert!((number(&out, "toeplitz_r2") - 1.0).abs() < 1e-12);
        assert!((number(&out, "dominant_share") - 1.0).abs() < 1e-12);
        // Sixteen waves of one size, each with a half of the squares.
        assert!((number(&out, "effective_rank") - 16.0).abs() < 1e-6);
        let variance = out.metrics["dimension_variance"].get("values").unwrap();
        assert!(numbers(variance).iter().all(|v| (v.unwrap() - 0.5).abs() < 1e-7));
        assert_eq!(tail(&out), [0, rows as u64]);
        assert_eq!(findings, []);
    }
}

#[test]
fn the_highest_frequency_counts_once() {
    // Half the values of an alternating dimension are +1, half -1: variance 1, all of it at period 2. The slow one
    // has variance 1/2, and of the third the half at period 4 is nowhere near its 9/2 at period 8.
    let angle = |period: usize, t: usize| std::f64::consts::TAU * t as f64 / period as f64;
    let row = |t: usize| {
        let alternating = if t.is_multiple_of(2) { 1.0 } else { -1.0 };
        let both = 3.0 * angle(8, t).cos() + angle(4, t).sin();
        [alternating, angle(16, t).sin() as f32, both as f32]
    };
    let (out, _) = measured(16, (0..16).flat_map(row).collect());
    assert_eq!(numbers(&out.metrics["dominant_period"]), [Some(2.0), Some(16.0), Some(8.0)]);
    let share = (1.0 + 0.5 + 4.5) / (1.0 + 0.5 + 4.5 + 0.5);
    assert!((number(&out, "dominant_share") - share).abs() < 1e-7);
    let variance = &out.metrics["dimension_variance"];
    let picked = ["lowest", "middle", "highest"].map(|key| {
        let one = variance.get(key).unwrap();
        let value = one.get("variance").unwrap().as_f64().unwrap();
        (one.get("dimension").unwrap().as_u64().unwrap(), (value * 1e6).round() / 1e6)
    });
    assert_eq!(picked, [(1, 0.5), (0, 1.0), (2, 5.0)]);
}

#[test]
fn a_random_table_has_no_order() {
    let (rows, width) = (128, 96);
    let (out, findings) = measured(rows, normal(rows * width, 3));
    let correlations = numbers(&out.metrics["neighbour_correlation"]);
    assert_eq!(correlations.len(), rows - 1);
    // Five standard errors of 1/sqrt 96.
    assert!(correlations.iter().all(|r| r.unwrap().abs() < 0.51));
    assert!(number(&out, "neighbour_correlation_median").abs() < 0.05);
    // The diagonal stands out, and that alone: n w^2 of about n w^2 + n^2 w.
    let share = width as f64 / (width + rows) as f64;
    assert!((number(&out, "toeplitz_r2") - share).abs() < 0.1, "{:?}", out.metrics["toeplitz_r2"]);
    let share = 2.0 * (rows as f64 / 2.0).ln() / rows as f64;
    assert!((number(&out, "dominant_share") / share - 1.0).abs() < 0.3);
    assert_eq!((tail(&out), findings), ([0, rows as u64], Vec::new()));
}

#[test]
fn an_untrained_tail_is_found_with_its_length() {
    let (rows, width) = (64, 128);
    // A slow wave in every dimension, with a phase of its own.
    let mut random = Random::new(5);
    let phases: Vec<f64> = (0..width).map(|_| random.uniform(3.0)).collect();
    let smooth: Vec<f32> = (0..rows)
        .flat_map(|t| phases.iter().map(move |p| (p + 0.1 * t as f64).sin() as f32))
        .collect();
    for (count, is_found) in [(0, false), (1, false), (2, true), (13, true), (31, true)] {
        let mut values = smooth.clone();
        let first = rows - count;
        values[first * width..].copy_from_slice(&normal(count * width, 7));
        let (out, findings) = measured(rows, values.clone());
        assert_eq!(tail(&out), [count as u64, first as u64]);
        let codes: Vec<_> = findings.iter().map(|f| (f.severity, f.code.as_ref())).collect();
        let expected: &[_] =
            if is_found { &[(Severity::Info, "position.untrained-tail")] } else { &[] };
        assert_eq!(codes, expected, "{count}");
        if let Some(finding) = findings.first() {
            assert_eq!(finding.weight.as_deref(), Some(NAME));
            let words =
                format!("the last {count} of 64 positions (from {first} on) look initialised");
            assert!(finding.message.starts_with(&words), "{}", finding.message);
        }
        // Rows of zeros correlate with nothing.
        values[first * width..].fill(0.0);
        let (out, _) = measured(rows, values);
        assert_eq!(tail(&out), [count as u64, first as u64]);
        let missing =
            numbers(&out.metrics["neighbour_correlation"]).iter().filter(|r| r.is_none()).count();
        assert_eq!(missing, count);
    }
}

#[test]
fn two_rows_are_no_table() {
    let (out, findings) = measured(2, normal(2 * 64, 1));
    assert!(out.metrics.is_empty() && findings.is_empty());
    // Of three there is little to say, but all of it.
    let (out, _) = measured(3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9.0, 8.0, 7.0]);
    let correlations = numbers(&out.metrics["neighbour_correlation"]);
    assert!((correlations[0].unwrap() - 1.0).abs() < 1e-15);
    assert!((correlations[1].unwrap() + 1.0).abs() < 1e-15);
    assert_eq!(numbers(&out.metrics["dominant_period"]), [Some(3.0); 3]);
    assert!((number(&out, "dominant_share") - 1.0).abs() < 1e-14);
}

#[test]
fn a_zero_table() {
    let (out, findings) = measured(16, vec![0.0; 16 * 8]);
    assert!(numbers(&out.metrics["neighbour_correlation"]).iter().all(Option::is_none));
    assert!(numbers(&out.metrics["dominant_period"]).iter().all(Option::is_none));
    assert_eq!(reason(&out, "neighbour_correlation_median"), "every position is constant");
    assert_eq!(reason(&out, "dominant_share"), "all positions are equal");
    assert_eq!(reason(&out, "toeplitz_r2"), "all inner products are equal");
    assert_eq!(reason(&out, "effective_rank"), "the table is zero");
    assert_eq!((tail(&out), findings), ([0, 16], Vec::new()));
}

#[test]
fn constant_tables() {
    for rows in [3, 7, 16, 40, 129] {
        for width in [3, 10, 33] {
            // All values are equal, or all rows are: then neighbours are the same, and nothing varies.
            for (kind, value) in [0.1f32, 1.0, 3.3, -1e-3, 1e20].into_iter().enumerate() {
                let row = |j: usize| if kind % 2 == 0 { value } else { value * (j + 1) as f32 };
                let values = (0..rows).flat_map(|_| (0..width).map(row)).collect();
                let (out, findings) = measured(rows, values);
                let place = format!("{rows} x {width} of {value}, {:?}", out.metrics);
                let constant = kind % 2 == 0;
                for r in numbers(&out.metrics["neighbour_correlation"]) {
                    assert_eq!(r.is_none(), constant, "{place}");
                    assert!(r.is_none_or(|r| (r - 1.0).abs() < 1e-14), "{place}");
                }
                assert!(
                    numbers(&out.metrics["dominant_period"]).iter().all(Option::is_none),
                    "{place}"
                );
                assert_eq!(reason(&out, "dominant_share"), "all positions are equal", "{place}");
                assert_eq!(reason(&out, "toeplitz_r2"), "all inner products are equal", "{place}");
                assert!((number(&out, "effective_rank") - 1.0).abs() < 1e-6, "{place}");
                let variance = out.metrics["dimension_variance"].get("highest").unwrap();
                assert_eq!(variance.get("variance").unwrap().as_f64(), Some(0.0), "{place}");
                assert_eq!(findings, [], "{place}");
            }
        }
    }
}

#[test]
fn a_constant_dimension_has_no_period() {
    // In F64 the mean of equal numbers need not be that number.
    for value in [0.1f64, 1.0 / 3.0, 1e17 / 7.0] {
        for rows in [5usize, 40, 1000] {
            let mut random = Random::new(1);
            let row = |_| [value, random.normal(), random.normal()];
            let bytes = (0..rows).flat_map(row).flat_map(f64::to_le_bytes).collect();
            let table =
                weight_of(Role::PositionEmbedding, DType::F64, [rows as u64, 3], bytes, false);
            let out = measure_weight(&Position, &table, &Parameters::default()).unwrap();
            let periods = numbers(&out.metrics["dominant_period"]);
            assert!(periods[0].is_none() && periods[1].is_some(), "{value} {rows} {periods:?}");
            let lowest = out.metrics["dimension_variance"].get("lowest").unwrap();
            assert_eq!(lowest.get("dimension").unwrap().as_u64(), Some(0));
            assert_eq!(lowest.get("variance").unwrap().as_f64(), Some(0.0), "{value} {rows}");
        }
    }
}

#[test]
fn no_waves_of_values_that_are_not_finite() {
    for bad in [f32::NAN, f32::NEG_INFINITY] {
        let mut values = normal(16 * 64, 1);
        values[77] = bad;
        let (out, findings) = measured(16, values);
        assert!(out.metrics.values().all(Value::is_null));
        assert_eq!(reason(&out, "toeplitz_r2"), "some values are NaN or infinite");
        assert_eq!(findings, []);
    }
}

#[test]
fn a_model_without_a_table_is_said_to_have_none() {
    let none = |architecture| {
        let model = ModelSpec::new(architecture).blocks(2).build();
        let report = report_of(&[&Position], &model);
        report.conclusions.iter().filter(|c| c.code == "position.none").count()
    };
    assert_eq!(none(Architecture::Llama), 1);
    assert_eq!((none(Architecture::Gpt2), none(Architecture::Bert)), (0, 0));
}
