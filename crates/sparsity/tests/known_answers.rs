//! Numbers that can be had by hand.

use weightscope_core::{Analyzer, DType, Output, Report, Severity, Value, Verdicts};
use weightscope_sparsity::Sparsity;
use weightscope_testkit::{Random, conformance, measure, measure_bytes, model_of, report_of};

fn number(out: &Output, key: &str) -> f64 {
    out.metrics[key].as_f64().unwrap_or_else(|| panic!("{key} is {:?}", out.metrics[key]))
}

/// `{count, first}`.
fn counted(value: &Value) -> (u64, Vec<u64>) {
    let first = value.get("first").unwrap().items().iter().filter_map(Value::as_u64).collect();
    (value.get("count").unwrap().as_u64().unwrap(), first)
}

fn indices(out: &Output, key: &str) -> (u64, Vec<u64>) {
    counted(&out.metrics[key])
}

/// The column `key` of a list of maps.
fn column(out: &Output, metric: &str, key: &str) -> Vec<f64> {
    out.metrics[metric].items().iter().map(|row| row.get(key).unwrap().as_f64().unwrap()).collect()
}

fn reason<'a>(out: &'a Output, key: &str) -> &'a str {
    out.undefined.iter().find(|(k, _)| *k == key).map_or("defined", |(_, why)| why)
}

/// Of F64 values too large for F32.
fn measure_f64(values: &[f64]) -> Output {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    measure_bytes(&Sparsity, DType::F64, &[values.len() as u64], bytes, false)
}

#[test]
fn conforms() {
    conformance(&Sparsity);
}

/// Three outputs of four inputs; output 1 and input 2 are zero, output 2 is small.
const MATRIX: [f32; 12] = [
    3.0, -4.0, 0.0, 12.0, //
    0.0, 0.0, 0.0, 0.0, //
    1e-5, 0.0, 0.0, 0.0,
];

#[test]
fn rows_are_outputs_however_stored() {
    let turned: Vec<f32> = (0..12).map(|i| MATRIX[i % 3 * 4 + i / 3]).collect();
    for (shape, values, transposed) in [([3, 4], MATRIX.to_vec(), false), ([4, 3], turned, true)] {
        let out = measure(&Sparsity, DType::F32, &shape, &values, transposed);
        assert_eq!(number(&out, "zero_fraction"), 8.0 / 12.0);
        assert_eq!(indices(&out, "zero_rows"), (1, vec![1]));
        assert_eq!(indices(&out, "zero_columns"), (1, vec![2]));
        // Row norms 13, 0, 1e-5: both others are far below the largest.
        assert_eq!(indices(&out, "dead_rows"), (2, vec![1, 2]));
        // Column norms 3, 4, 0, 12.
        assert_eq!(indices(&out, "dead_columns"), (1, vec![2]));
        // Groups of four inputs: the first output has one zero, the others three and four.
        assert_eq!(number(&out, "nm_2_4_fraction"), 2.0 / 3.0);
        // Its two smallest are 0 and 3: 9 of 169; the other groups lose nothing.
        assert!((number(&out, "nm_2_4_energy_loss") - 9.0 / 169.0).abs() < 1e-12);
        // l1 = 19, l2 = 13, up to 1e-5.
        let root = 12f64.sqrt();
        assert!((number(&out, "hoyer") - (root - 19.0 / 13.0) / (root - 1.0)).abs() < 1e-6);
    }
}

#[test]
fn magnitudes_of_one_to_ten() {
    // Energies 1, 4, .. 100 add up to 385; 1 % of it is 3.85, which the smallest alone keeps to.
    let values: Vec<f32> =
        (1..=10).map(|i| if i % 2 == 0 { -i as f32 } else { i as f32 }).collect();
    let out = measure(&Sparsity, DType::F32, &[10], &values, false);
    assert_eq!(number(&out, "prunable"), 0.1);
    let kept = column(&out, "energy_kept_at", "kept");
    let lost = |n: usize| (1..=n).map(|i| (i * i) as f64).sum::<f64>() / 385.0;
    for (tenths, kept) in (1..).zip(kept) {
        assert!((kept - (1.0 - lost(tenths))).abs() < 1e-12, "{tenths}");
    }
    let quantiles = &out.metrics["magnitude_quantiles"];
    assert_eq!(quantiles.get("p50").unwrap().as_f64(), Some(5.5));
    assert_eq!(quantiles.get("p25").unwrap().as_f64(), Some(3.25));
    // The root mean square is 6.2: nothing is below a tenth of it.
    assert_eq!(column(&out, "below_rms", "fraction"), [0.0, 0.0, 0.0]);
    assert!(out.metrics.get("dead_rows").is_none(), "a vector has no rows");
}

#[test]
fn thresholds_are_exclusive() {
    let values = [0.0, 1e-6, 0.5, 0.015_625, 0.001, 0.002];
    let out = measure(&Sparsity, DType::F32, &[6], &values, false);
    // f32's 1e-6 lies below the number 1e-6, f32's 0.001 above 0.001.
    let expected = [1.0, 2.0, 2.0, 2.0, 4.0].map(|n| n / 6.0);
    assert_eq!(column(&out, "below", "fraction"), expected);
}

#[test]
fn nothing_has_no_shares() {
    let out = measure(&Sparsity, DType::F32, &[2, 4], &[0.0; 8], false);
    assert_eq!((number(&out, "zero_fraction"), number(&out, "nm_2_4_fraction")), (1.0, 1.0));
    for key in ["hoyer", "prunable", "energy_kept_at", "nm_2_4_energy_loss"] {
        assert_eq!(reason(&out, key), "all values are zero", "{key}");
    }
    let out = measure(&Sparsity, DType::F32, &[2, 4], &[f32::NAN; 8], false);
    assert_eq!(reason(&out, "zero_fraction"), "no finite values");
    assert_eq!(reason(&out, "dead_rows"), "no finite values");
    let out = measure(&Sparsity, DType::F32, &[1], &[3.0], false);
    assert_eq!(reason(&out, "hoyer"), "fewer than two values");
    // Squares of 1e300 are beyond F64.
    let out = measure_f64(&[1e300, -1e300, 0.0, 2e300]);
    for key in ["hoyer", "prunable", "energy_kept_at", "below_rms"] {
        assert_eq!(reason(&out, key), "the energy overflows", "{key}");
    }
    let out = measure(&Sparsity, DType::F32, &[0, 4], &[], false);
    assert_eq!(reason(&out, "zero_fraction"), "no finite values");
}

fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| random.normal() as f32).collect()
}

/// A gated MLP of `neurons` and 64 features; `factor` says what a neuron's line is multiplied with in gate, up and down.
fn scaled(neurons: usize, factor: impl Fn(usize, usize) -> f32) -> Report {
    let count = neurons * 64;
    let mut values = [noise(count, 1), noise(count, 2), noise(count, 3)];
    for (which, values) in values.iter_mut().enumerate() {
        for (index, value) in values.iter_mut().enumerate() {
            let neuron = if which == 2 { index % neurons } else { index / 64 };
            *value *= factor(which, neuron);
        }
    }
    let [gate, up, down] = values;
    let n = neurons as u64;
    let model = model_of(&[
        ("model.layers.0.mlp.gate_proj.weight", &[n, 64], gate),
        ("model.layers.0.mlp.up_proj.weight", &[n, 64], up),
        ("model.layers.0.mlp.down_proj.weight", &[64, n], down),
    ]);
    judged(report_of(&[&Sparsity], &model))
}

/// The same; `dead` lists lines to be zeroed in gate, up and down.
fn gated(neurons: usize, dead: [&[usize]; 3]) -> Report {
    scaled(neurons, |which, neuron| if dead[which].contains(&neuron) { 0.0 } else { 1.0 })
}

/// Judges with what is read of other analyzers: all values are finite.
fn judged(mut report: Report) -> Report {
    for weight in &mut report.weights {
        let integrity = weight.analyses.entry("integrity".into()).or_default();
        for key in ["nan_count", "inf_count"] {
            integrity.insert(key.into(), 0u64.into());
        }
    }
    let mut verdicts = Verdicts::default();
    Sparsity.judge(&report, &mut verdicts);
    (report.findings, report.facts) = (verdicts.findings, verdicts.facts);
    report
}

/// Severity, weight and metric of every finding.
fn found(report: &Report) -> Vec<(Severity, &str, &str)> {
    report
        .findings
        .iter()
        .map(|f| {
            let weight = f.weight.as_deref().unwrap_or("");
            let module = weight.trim_start_matches("model.layers.0.mlp.");
            (f.severity, module.trim_end_matches("_proj.weight"), &*f.metric)
        })
        .collect()
}

#[test]
fn neurons_are_counted_over_three_matrices() {
    let report = gated(100, [&[3, 40], &[3], &[3, 7]]);
    let gate = &report.weights.iter().find(|w| w.name.contains("gate")).unwrap();
    // A zero factor makes the product zero, whichever it is.
    let dead = gate.metric("sparsity", "coupled_dead").unwrap();
    assert_eq!(counted(dead), (3, vec![3, 7, 40]));
    assert_eq!(gate.metric("sparsity", "dead_rows").map(counted), Some((2, vec![3, 40])));
}

#[test]
fn a_neuron_is_told_once_and_a_lone_line_where_it_is() {
    use Severity::{Critical, Warning};
    assert_eq!(found(&gated(100, [&[], &[], &[]])), []);
    assert_eq!(
        found(&gated(100, [&[3, 9], &[3, 9], &[3, 9]])),
        [(Warning, "gate", "coupled_dead")]
    );
    assert_eq!(found(&gated(100, [&[], &[3], &[]])), [(Warning, "up", "dead_rows")]);
    assert_eq!(found(&gated(100, [&[], &[], &[3]])), [(Warning, "down", "dead_columns")]);
    // Above 5 % it is critical; at 5 % not yet.
    let five: Vec<usize> = (0..5).collect();
    let six: Vec<usize> = (0..6).collect();
    assert_eq!(found(&gated(100, [&five, &five, &five])), [(Warning, "gate", "coupled_dead")]);
    assert_eq!(found(&gated(100, [&six, &six, &six])), [(Critical, "gate", "coupled_dead")]);
    assert_eq!(found(&gated(100, [&six, &[], &[]])), [(Critical, "gate", "dead_rows")]);
}

#[test]
fn small_matrices_are_not_judged() {
    // 63 x 64 values are fewer than 4096. Zero lines make no matrix smaller.
    assert_eq!(found(&gated(63, [&[1], &[1], &[1]])), []);
    assert_eq!(found(&gated(64, [&[1], &[1], &[1]])).len(), 1);
}

#[test]
fn nothing_is_said_where_it_is_not_known_whether_all_is_finite() {
    let mut report = gated(100, [&[3], &[3], &[3]]);
    assert_eq!(report.findings.len(), 1);
    for weight in &mut report.weights {
        weight.analyses.shift_remove("integrity");
    }
    let mut verdicts = Verdicts::default();
    Sparsity.judge(&report, &mut verdicts);
    assert_eq!((verdicts.findings, verdicts.facts), (vec![], vec![]));
}

#[test]
fn a_median_that_is_dead_itself_hides_nothing() {
    use Severity::Critical;
    let most = |neuron: usize| neuron % 10 < 7;
    let report = scaled(100, |_, neuron| if most(neuron) { 1e-9 } else { 1.0 });
    assert_eq!(found(&report), [(Critical, "gate", "coupled_dead")]);
    assert!(report.findings[0].message.starts_with("70 of 100 neurons are dead (number 0, 1, "));
    let report = scaled(100, |which, neuron| if which == 1 && most(neuron) { 1e-9 } else { 1.0 });
    assert_eq!(found(&report), [(Critical, "up", "dead_rows")]);
}

#[test]
fn collapsed_neurons_stand_apart() {
    use Severity::{Info, Warning};
    // A fifth in each matrix: 0.8 % of the product.
    let some = |count: usize| scaled(100, move |_, neuron| if neuron < count { 0.2 } else { 1.0 });
    assert_eq!(found(&some(0)), []);
    assert_eq!(found(&some(5)), [(Info, "gate", "collapsed_units")]);
    let report = some(60);
    assert_eq!(found(&report), [(Warning, "gate", "collapsed_units")]);
    let said = &report.findings[0].message;
    assert!(said.starts_with("60 of 100 neurons are hardly there (number 0, 1, 2, 3"), "{said}");
    // Ever smaller neurons without a step.
    let smooth = scaled(100, |_, neuron| 0.93f32.powi(neuron as i32 / 2));
    assert_eq!(found(&smooth), []);
    // Of those that are weak in one matrix alone the product is what counts.
    assert_eq!(found(&scaled(100, |which, n| if which == 0 && n < 9 { 0.2 } else { 1.0 })), []);
}

#[test]
fn plain_mlps_have_neurons_too() {
    let n = 96u64;
    let (mut up, mut down) = (noise(96 * 64, 1), noise(96 * 64, 2));
    up[..10 * 64].iter_mut().for_each(|w| *w *= 0.01);
    for row in down.chunks_mut(96) {
        row[..10].iter_mut().for_each(|w| *w *= 0.1);
        row[20] = 0.0;
    }
    let model = model_of(&[
        ("model.layers.0.mlp.up_proj.weight", &[n, 64], up.clone()),
        ("model.layers.0.mlp.down_proj.weight", &[64, n], down.clone()),
    ]);
    let report = judged(report_of(&[&Sparsity], &model));
    let told: Vec<_> = report.findings.iter().map(|f| (&*f.metric, f.value.unwrap())).collect();
    assert_eq!(told, [("collapsed_units", 10.0), ("dead_columns", 1.0)]);
    assert!(report.findings[1].advice.contains("without loss"), "{:?}", report.findings[1]);
}

#[test]
fn advice_depends_on_the_place() {
    let mut values = noise(64 * 64, 4);
    values[64 * 7..64 * 8].fill(0.0);
    let advice = |name: &str| {
        let model = model_of(&[(name, &[64, 64], values.clone())]);
        let report = judged(report_of(&[&Sparsity], &model));
        assert_eq!(report.findings.len(), 1, "{name}");
        report.findings[0].advice.clone()
    };
    for module in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.down_proj"] {
        let said = advice(&format!("model.layers.0.{module}.weight"));
        assert!(said.contains("cannot be removed") && !said.contains("without loss"), "{said}");
    }
    assert!(advice("model.layers.0.mlp.gate_proj.weight").contains("without loss"));
}

#[test]
fn what_can_be_pruned_is_a_fact() {
    let mut values = noise(64 * 64, 5);
    values.iter_mut().step_by(4).for_each(|w| *w *= 100.0);
    let model = model_of(&[("model.layers.0.self_attn.q_proj.weight", &[64, 64], values)]);
    let report = judged(report_of(&[&Sparsity], &model));
    assert_eq!(report.findings, []);
    let [fact] = report.facts.as_slice() else { panic!("{:#?}", report.facts) };
    assert_eq!((&*fact.code, fact.severity), ("sparsity.prunable", Severity::Info));
    assert!(fact.message.ends_with(": energy, not function"), "{}", fact.message);
}
