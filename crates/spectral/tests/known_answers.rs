//! Matrices whose spectra are known, and the verdicts on them.

use weightscope_core::{
    Analyzer, Cancel, DType, Finding, MemorySource, Metadata, Output, Parameters, Report, Severity,
    Shared, Unit, Value, Verdicts, Weight, WeightView,
};
use weightscope_spectral::Spectral;
use weightscope_testkit::models::with_singular_values;
use weightscope_testkit::{Random, conformance, measure, measure_bytes, model_of, report_of};

fn number(out: &Output, key: &str) -> f64 {
    out.metrics[key].as_f64().unwrap_or_else(|| panic!("{key} is {:?}", out.metrics[key]))
}

fn reason<'a>(out: &'a Output, key: &str) -> &'a str {
    out.undefined.iter().find(|(k, _)| *k == key).map_or("defined", |(_, why)| why)
}

fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| 0.02 * random.normal() as f32).collect()
}

#[test]
fn conforms() {
    conformance(&Spectral);
}

#[test]
fn a_diagonal_however_stored() {
    let values = [3.0, 0.0, 0.0, 0.0, -4.0, 0.0];
    let turned = [3.0, 0.0, 0.0, -4.0, 0.0, 0.0];
    for (shape, values, transposed) in [([2, 3], values, false), ([3, 2], turned, true)] {
        let out = measure(&Spectral, DType::F32, &shape, &values, transposed);
        let sigma: Vec<f64> =
            out.metrics["singular_values"].items().iter().filter_map(Value::as_f64).collect();
        assert!((sigma[0] - 4.0).abs() < 1e-12 && (sigma[1] - 3.0).abs() < 1e-12, "{sigma:?}");
        assert!((number(&out, "stable_rank") - 25.0 / 16.0).abs() < 1e-12);
        assert_eq!(out.metrics["numerical_rank"], Value::Integer(2));
        assert_eq!(reason(&out, "condition_number_trimmed"), "fewer than four singular values");
        assert_eq!(reason(&out, "alpha_gof_p"), "computed on request: parameter alpha_gof");
        assert_eq!(out.figures.len(), 2);
    }
}

#[test]
fn no_spectrum_of_values_that_are_not_finite() {
    let mut values = normal(64, 1);
    values[5] = f32::NAN;
    let out = measure(&Spectral, DType::F32, &[8, 8], &values, false);
    assert_eq!(out.metrics.len(), Spectral.descriptor().metrics.len());
    assert!(out.metrics.values().all(Value::is_null) && out.figures.is_empty());
    assert_eq!(reason(&out, "stable_rank"), "not every value is finite");
}

#[test]
fn a_zero_matrix() {
    let out = measure(&Spectral, DType::F32, &[8, 9], &[0.0; 72], false);
    assert_eq!((number(&out, "spectral_norm"), number(&out, "numerical_rank")), (0.0, 0.0));
    assert_eq!(out.metrics["rank_deficient"], Value::Bool(true));
    for metric in ["condition_number", "stable_rank", "mp_spikes", "alpha", "log_norm"] {
        assert_eq!(reason(&out, metric), "all values are zero", "{metric}");
    }
}

#[test]
fn exact_deficiency_is_said_and_gives_no_huge_number() {
    // The last row is the sum of the first two, in numbers that add up exactly.
    let mut random = Random::new(6);
    let mut values: Vec<f32> =
        (0..40 * 48).map(|_| (random.next_u64() % 101) as f32 - 50.0).collect();
    for column in 0..48 {
        values[39 * 48 + column] = values[column] + values[48 + column];
    }
    let out = measure(&Spectral, DType::F32, &[40, 48], &values, false);
    assert_eq!(number(&out, "numerical_rank"), 39.0);
    assert_eq!(out.metrics["rank_deficient"], Value::Bool(true));
    assert_eq!(reason(&out, "condition_number"), "rank deficient");
    assert_eq!(out.metrics["method"], Value::from("direct"));
}

#[test]
fn the_coarsest_grid_that_holds_the_values() {
    let half = normal(512, 3);
    let round = |dtype| -> Vec<f32> {
        let bytes = weightscope_testkit::checkpoint::encode(dtype, &half);
        let mut values = vec![0.0; half.len()];
        <f32 as weightscope_core::Scalar>::decode(dtype, &bytes, &mut values).unwrap();
        values
    };
    let mut random = Random::new(1);
    let fine: Vec<u8> = (0..512).flat_map(|_| random.normal().to_le_bytes()).collect();
    let grid = |dtype, values: &[f32]| {
        measure(&Spectral, dtype, &[16, 32], values, false).metrics["storage_grid"].clone()
    };
    assert_eq!(grid(DType::F32, &half), Value::from("F32"));
    assert_eq!(grid(DType::F64, &half), Value::from("F32"));
    assert_eq!(grid(DType::F32, &round(DType::BF16)), Value::from("BF16"));
    assert_eq!(grid(DType::F64, &round(DType::F16)), Value::from("F16"));
    assert_eq!(grid(DType::BF16, &half), Value::from("BF16"));
    let out = measure_bytes(&Spectral, DType::F64, &[16, 32], fine, false);
    assert_eq!(out.metrics["storage_grid"], Value::from("F64"));
}

#[test]
fn rank_above_the_noise_of_rounding() {
    let sigma: Vec<f64> = (0..48).map(|i| 1.0 - 0.01 * f64::from(i)).collect();
    let values = with_singular_values(&mut Random::new(2), 96, 128, &sigma, 0.02);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let out = measure(&Spectral, dtype, &[96, 128], &values, false);
        assert_eq!(number(&out, "rank_above_storage_noise"), 48.0, "{dtype}");
        assert_eq!(number(&out, "numerical_rank"), 96.0, "{dtype}");
    }
}

/// Measures with parameters of its own.
fn with_parameters(values: &[f32], shape: &[u64], parameters: &[(&'static str, f64)]) -> Output {
    let mut source = MemorySource::new(Metadata::default());
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    source.push("w.weight", DType::F32, shape, bytes).unwrap();
    let [rows, columns] = [shape[0], shape[1]];
    let weight = Weight {
        name: "w.weight".to_owned(),
        entry: weightscope_core::EntryId(0),
        source_tensor: "w.weight".to_owned(),
        role: weightscope_core::Role::Other,
        part: weightscope_core::Part::Weight,
        stack: None,
        block: None,
        expert: None,
        dtype: Some(DType::F32),
        shape: shape.to_vec(),
        layout: weightscope_core::Layout::whole(rows, columns),
        matrix: Some([rows, columns]),
        transposed: false,
        heads: None,
        fused: Vec::new(),
        from_one: false,
        factor: None,
        confidence: weightscope_core::Confidence::Guessed,
    };
    let mut settings = Parameters::default();
    for (key, value) in parameters {
        settings.set("spectral", *key, *value);
    }
    let (shared, cancel) = (Shared::default(), Cancel::default());
    let view = WeightView::new(&weight, &source, &shared, &cancel);
    let unit = Unit::new(vec![view], "spectral", &settings).unwrap();
    let mut out = Output::default();
    Spectral.analyze(&unit, &mut out).unwrap();
    out
}

#[test]
fn the_direct_route_and_the_bootstrap_on_request() {
    let values = normal(64 * 96, 4);
    let out = with_parameters(&values, &[64, 96], &[]);
    assert_eq!(out.metrics["method"], Value::from("gram"));
    let asked = [("exact", 1.0), ("alpha_gof", 50.0)];
    let exact = with_parameters(&values, &[64, 96], &asked);
    assert_eq!(exact.metrics["method"], Value::from("direct"));
    assert!((number(&exact, "spectral_norm") / number(&out, "spectral_norm") - 1.0).abs() < 1e-12);
    let p = number(&exact, "alpha_gof_p");
    assert!((0.0..=1.0).contains(&p));
    assert_eq!(number(&with_parameters(&values, &[64, 96], &asked), "alpha_gof_p"), p);
}

fn judged(values: Vec<f32>, shape: &[u64], parameters: &[(&'static str, f64)]) -> Vec<Finding> {
    all_judged(values, shape, parameters).findings
}

fn all_judged(values: Vec<f32>, shape: &[u64], parameters: &[(&'static str, f64)]) -> Verdicts {
    let largest = values.iter().fold(0f32, |largest, w| largest.max(w.abs()));
    let model = model_of(&[("block.0.mlp.weight", shape, values)]);
    let mut report: Report = report_of(&[&Spectral], &model);
    // What judging reads of others: no dead lines.
    assert_eq!(report.facts, []);
    assert_eq!(report.findings, [], "without them nothing is said");
    for weight in &mut report.weights {
        let none = Value::map([("count", 0u64.into())]);
        let sparsity = weight.analyses.entry("sparsity".into()).or_default();
        sparsity.insert("dead_rows".into(), none.clone());
        sparsity.insert("dead_columns".into(), none);
        let distribution = weight.analyses.entry("distribution".into()).or_default();
        distribution.insert("abs_max".into(), f64::from(largest).into());
    }
    for (key, value) in parameters {
        report.settings.parameters.set("spectral", *key, *value);
    }
    let mut verdicts = Verdicts::default();
    Spectral.judge(&report, &mut verdicts);
    verdicts
}

#[test]
fn absolute_lines_know_no_chance() {
    let values = normal(128 * 128, 9);
    assert_eq!(judged(values.clone(), &[128, 128], &[]), []);
    let findings = judged(values, &[128, 128], &[("absolute_lines", 1.0)]);
    let codes: Vec<_> = findings.iter().map(|f| (&*f.code, f.severity)).collect();
    // This one has a condition number of 36,870, as one random matrix of its shape in 144 has; and all have a
    // quarter of their rank as stable rank.
    let expected =
        [("spectral.ill-conditioned", Severity::Warning), ("spectral.low-rank", Severity::Warning)];
    assert_eq!(codes, expected, "{findings:#?}");
    // Singular: an infinite condition number.
    let mut values = normal(64 * 80, 9);
    let (first, last) = values.split_at_mut(63 * 80);
    last.copy_from_slice(&first[..80]);
    let findings = judged(values, &[64, 80], &[("absolute_lines", 1.0)]);
    assert_eq!(
        (&*findings[0].code, findings[0].severity),
        ("spectral.ill-conditioned", Severity::Critical)
    );
    assert!(findings[0].message.starts_with("singular: rank 63 of 64"), "{}", findings[0].message);
}

#[test]
fn a_copied_row_is_a_lost_direction() {
    let mut values = normal(64 * 80, 9);
    let (first, last) = values.split_at_mut(63 * 80);
    last.copy_from_slice(&first[..80]);
    let findings = judged(values, &[64, 80], &[]);
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((&*finding.code, finding.severity), ("spectral.rank-deficient", Severity::Warning));
    assert!(finding.message.starts_with("singular: rank 63 of 64"), "{}", finding.message);
}

#[test]
fn few_directions_with_the_energy_are_a_fact() {
    let sigma: Vec<f64> = (0..64).map(|i| if i < 12 { 1.0 } else { 0.01 }).collect();
    let values = with_singular_values(&mut Random::new(2), 64, 96, &sigma, 0.02);
    let Verdicts { findings, facts, .. } = all_judged(values, &[64, 96], &[]);
    assert_eq!(findings, []);
    let [fact] = facts.as_slice() else { panic!("{facts:#?}") };
    assert_eq!((&*fact.code, fact.severity), ("spectral.low-rank", Severity::Info));
    assert!(fact.message.starts_with("12 of 64 directions hold 99 %"), "{}", fact.message);
    assert!(fact.message.ends_with(": energy, not function"), "{}", fact.message);
}
