//! Numbers that can be had by hand.

use weightscope_core::{
    Analyzer, DType, Danger, ErrorRecord, ErrorScope, GlobalRecord, Output, Report, Severity,
    Verdicts,
};
use weightscope_integrity::Integrity;
use weightscope_testkit::models::{Architecture, ModelSpec};
use weightscope_testkit::{Random, conformance, measure, model_of, report_of};

fn count(out: &Output, key: &str) -> u64 {
    out.metrics[key].as_u64().unwrap_or_else(|| panic!("{key} is {:?}", out.metrics[key]))
}

fn number(out: &Output, key: &str) -> f64 {
    out.metrics[key].as_f64().unwrap_or_else(|| panic!("{key} is {:?}", out.metrics[key]))
}

#[test]
fn conforms() {
    conformance(&Integrity);
}

#[test]
fn special_values_are_counted() {
    let values = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.0,
        -0.0,
        1e-40,
        70_000.0,
        -500.0,
        65_504.0,
        1.0,
    ];
    let out = measure(&Integrity, DType::F32, &[2, 5], &values, false);
    let counts = [
        "nan_count",
        "inf_count",
        "zero_count",
        "subnormal_count",
        "f16_overflow_count",
        "f16_flush_count",
        "e4m3_overflow_count",
    ]
    .map(|key| count(&out, key));
    assert_eq!(counts, [1, 2, 2, 1, 1, 1, 3]);
    assert_eq!(out.metrics["constant"].as_bool(), Some(false));
}

#[test]
fn integers_have_zeros_and_a_hash() {
    let out = measure(&Integrity, DType::I64, &[4], &[0.0, 1.0, 2.0, 0.0], false);
    assert_eq!(count(&out, "zero_count"), 2);
    let keys: Vec<&str> = out.metrics.keys().map(AsRef::as_ref).collect();
    assert_eq!(keys, ["zero_count", "constant", "content_hash"]);
}

#[test]
fn constant_means_two_equal_finite_values() {
    let constant = |values: &[f32]| {
        let out = measure(&Integrity, DType::F32, &[values.len() as u64], values, false);
        out.metrics["constant"].as_bool().unwrap()
    };
    assert!(constant(&[2.0, 2.0]) && constant(&[0.0, -0.0, 0.0]));
    assert!(!constant(&[2.0]) && !constant(&[]) && !constant(&[2.0, 2.0, f32::NAN]));
}

#[test]
fn the_hash_is_of_the_stored_bytes() {
    let hash = |dtype, shape: &[u64], values: &[f32]| {
        let out = measure(&Integrity, dtype, shape, values, false);
        out.metrics["content_hash"].as_str().unwrap().to_owned()
    };
    let a = hash(DType::F32, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(a.len(), 32);
    assert_eq!(a, hash(DType::F32, &[6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    assert_ne!(a, hash(DType::BF16, &[6], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    assert_ne!(hash(DType::F32, &[1], &[0.0]), hash(DType::F32, &[1], &[-0.0]));
    // XXH3's 128 bits of nothing.
    assert_eq!(hash(DType::F32, &[0], &[]), "99aa06d3014798d86001c324468d497f");
}

#[test]
fn norm_scores_of_a_matrix_with_one_large_row() {
    // Rows 0..7 of ones and one of e^3: the median log-norm is ln sqrt 8, all deviations but one are 0, and
    // the scale is 1/sqrt(2 * 8) = 1/4. So z = 3 / (1/4) = 12. All columns are alike.
    let large = 3f32.exp();
    let values: Vec<f32> = (0..72).map(|i| if i / 8 == 5 { large } else { 1.0 }).collect();
    let turned: Vec<f32> = (0..72).map(|i| if i % 9 == 5 { large } else { 1.0 }).collect();
    for (shape, values, transposed) in [([9, 8], values, false), ([8, 9], turned, true)] {
        let out = measure(&Integrity, DType::F32, &shape, &values, transposed);
        assert!((number(&out, "row_norm_z") - 12.0).abs() < 1e-6);
        assert!(number(&out, "column_norm_z").abs() < 1e-9);
    }
}

/// Severity, code and weight of every finding.
fn found(report: &Report) -> Vec<(Severity, &str, &str)> {
    let findings = report.findings.iter();
    findings.map(|f| (f.severity, &*f.code, f.weight.as_deref().unwrap_or(""))).collect()
}

fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| random.normal() as f32).collect()
}

fn report(model: &weightscope_testkit::models::Model) -> Report {
    let analyzers: [&dyn Analyzer; 1] = [&Integrity];
    report_of(&analyzers, model)
}

#[test]
fn copies_are_told_on_the_later_one() {
    let (a, b) = (noise(4096, 1), noise(4096, 2));
    let model = model_of(&[
        ("layers.0.mlp.up_proj.weight", &[64, 64], a.clone()),
        ("layers.1.mlp.up_proj.weight", &[64, 64], b),
        ("layers.2.mlp.up_proj.weight", &[64, 64], a.clone()),
        ("layers.3.mlp.up_proj.weight", &[64, 64], a),
        ("layers.0.norm.weight", &[64], vec![1.0; 64]),
        ("layers.1.norm.weight", &[64], vec![1.0; 64]),
    ]);
    let expected = ["layers.2.mlp.up_proj.weight", "layers.3.mlp.up_proj.weight"]
        .map(|name| (Severity::Warning, "integrity.duplicate", name));
    assert_eq!(found(&report(&model)), expected);
}

#[test]
fn a_lone_zero_matrix_is_critical_and_two_of_two_are_not() {
    let name = |block: u32| format!("layers.{block}.mlp.down_proj.weight");
    let (first, second) = (name(0), name(1));
    let zeros = vec![0.0; 4096];
    let lone = model_of(&[
        (&first, &[64, 64], zeros.clone()),
        ("layers.0.mlp.up_proj.weight", &[64, 64], noise(4096, 3)),
    ]);
    let expected = (Severity::Critical, "integrity.all-zero", first.as_str());
    assert_eq!(found(&report(&lone)), [expected]);
    let both = model_of(&[
        (&first, &[64, 64], zeros.clone()),
        (&second, &[64, 64], zeros),
        ("layers.0.mlp.up_proj.weight", &[64, 64], noise(4096, 3)),
    ]);
    // Nothing was measured that tells an initialised model from a trained one.
    let severities: Vec<Severity> = report(&both).findings.iter().map(|f| f.severity).collect();
    assert_eq!(severities, [Severity::Warning; 2]);
}

#[test]
fn the_only_block_of_a_tower_has_the_other_tower_for_siblings() {
    let severities = |decoder: Vec<f32>| -> Vec<Severity> {
        let model = model_of(&[
            ("encoder.layers.0.fc1.weight", &[64, 64], noise(4096, 1)),
            ("encoder.layers.0.fc2.weight", &[64, 64], vec![0.0; 4096]),
            ("decoder.layers.0.fc2.weight", &[64, 64], decoder),
        ]);
        report(&model).findings.iter().map(|f| f.severity).collect()
    };
    assert_eq!(severities(vec![0.0; 4096]), [Severity::Warning; 2]);
    assert_eq!(severities(noise(4096, 2)), [Severity::Critical]);
}

#[test]
fn missing_tensors_are_named_and_many_are_counted() {
    let mut model = ModelSpec::new(Architecture::Llama).blocks(8).build();
    model.tensors.retain(|t| !t.name.contains("mlp"));
    let report = report(&model);
    let messages: Vec<&str> = report
        .findings
        .iter()
        .filter(|f| f.code == "integrity.missing")
        .map(|f| f.message.as_str())
        .collect();
    // Three matrices of eight blocks: 20 by name, 4 in one line.
    assert_eq!(messages.len(), 21, "{messages:#?}");
    assert!(messages[0].starts_with("missing: model.layers.0.mlp."));
    assert!(messages.contains(&"missing: 4 more"));
}

#[test]
fn what_a_pickle_would_run_is_told_by_what_it_could_do() {
    let global = |module: &str, name: &str, danger| GlobalRecord {
        module: module.to_owned(),
        name: name.to_owned(),
        danger,
        count: 1,
        file: "m.pt".to_owned(),
        place: "m/data.pkl".to_owned(),
    };
    let mut report =
        report_of(&[&Integrity], &ModelSpec::new(Architecture::Gpt2).blocks(1).seed(1).build());
    let told = |report: &Report| -> Vec<(Severity, String)> {
        let mut out = Verdicts::default();
        Integrity.judge(report, &mut out);
        let found = out.findings.into_iter().filter(|f| f.code == "integrity.unsafe-pickle");
        found.map(|f| (f.severity, f.message)).collect()
    };
    assert_eq!(told(&report), []);
    report.sources[0].globals = vec![
        global("os", "sys\u{1b}tem", Danger::Runs),
        global("builtins", "eval", Danger::Runs),
        global("mine", "Config", Danger::Unknown),
        global("argparse", "Namespace", Danger::Inert),
    ];
    report.errors.push(ErrorRecord {
        scope: ErrorScope::Shard,
        name: "m.pt".to_owned(),
        analyzer: None,
        code: "crc-mismatch".into(),
        message: "the checksum is wrong".to_owned(),
    });
    let found = told(&report);
    let severities: Vec<Severity> = found.iter().map(|(severity, _)| *severity).collect();
    assert_eq!(
        severities,
        [Severity::Critical, Severity::Warning, Severity::Info, Severity::Critical]
    );
    assert!(
        found[0]
            .1
            .starts_with("m.pt (m/data.pkl) would import builtins.eval, os.sys\\u{1b}tem when"),
        "{}",
        found[0].1
    );
    assert!(found[1].1.contains("mine.Config"));
    assert!(found[2].1.contains("argparse.Namespace"));
    assert_eq!(found[3].1, "m.pt: the checksum is wrong");
    let mut out = Verdicts::default();
    Integrity.judge(&report, &mut out);
    assert!(out.findings.iter().all(|f| f.code != "integrity.shard"), "told once");
}
