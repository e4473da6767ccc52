//! What is found, and how it is said.

use weightscope_core::{Analyzer, Finding, ReferenceKind, Report, Severity, Verdicts};
use weightscope_quantization::Quantization;
use weightscope_testkit::{Random, model_of, report_of};

const NAME: &str = "block.0.mlp.down_proj.weight";

fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..count).map(|_| 0.02 * random.normal() as f32).collect()
}

/// One line for the model stands beside a finding that one scale for the tensor is too coarse for, too.
const PER_TENSOR: [&str; 4] = [
    "info",
    "quantization.int8-unsafe",
    "1 of 1 matrix needs per-channel or group scales: one int8 scale for the tensor keeps less than 30 dB",
    "quantise with a scale for every output unit or group, as all common tools do",
];

fn judged(values: Vec<f32>, shape: [u64; 2], parameters: &[(&'static str, f64)]) -> Vec<Finding> {
    let model = model_of(&[(NAME, &shape, values)]);
    let mut report: Report = report_of(&[&Quantization], &model);
    for (key, value) in parameters {
        report.settings.parameters.set("quantization", *key, *value);
    }
    let mut verdicts = Verdicts::default();
    Quantization.judge(&report, &mut verdicts);
    verdicts.findings
}

/// Findings as they are read: severity, code, message, advice.
fn told(findings: &[Finding]) -> Vec<[&str; 4]> {
    let severity = |severity| match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    findings.iter().map(|f| [severity(f.severity), &*f.code, &*f.message, &*f.advice]).collect()
}

#[test]
fn normal_weights_have_nothing() {
    for shape in [[64, 64], [256, 300], [4096, 16]] {
        let values = normal((shape[0] * shape[1]) as usize, 1);
        assert_eq!(judged(values, shape, &[]), []);
    }
}

#[test]
fn a_super_weight() {
    let mut values = normal(128 * 256, 2);
    values[100 * 256 + 31] = -4.0;
    values[5 * 256] = 0.5;
    let findings = judged(values, [128, 256], &[]);
    assert_eq!(
        told(&findings),
        [
            [
                "info",
                "quantization.super-weight",
                "w[100, 31] is the largest value, 134 rms and 8.0 x the next one: it sets the scale of per-tensor formats",
                "hold it out there; scales for rows or groups hardly notice it"
            ],
            PER_TENSOR
        ]
    );
}

#[test]
fn the_largest_value_is_told_where_it_stands_alone() {
    let told = |next: f32| {
        let mut values = normal(512 * 512, 2);
        values[100 * 512 + 31] = -8.0;
        values[5 * 512] = next;
        let findings = judged(values, [512, 512], &[]);
        findings.iter().any(|f| f.code == "quantization.super-weight")
    };
    assert_eq!((told(3.0), told(5.0)), (true, false));
}

/// A gated MLP in three blocks; blocks in `raised` have neuron 7 far above the others, written to feature 5.
fn spiked(raised: &[usize]) -> (Report, Vec<Finding>) {
    let names: Vec<String> = (0..3)
        .flat_map(|b| {
            ["gate", "up", "down"].map(|m| format!("model.layers.{b}.mlp.{m}_proj.weight"))
        })
        .collect();
    let tensors: Vec<(&str, &[u64], Vec<f32>)> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let mut values = normal(128 * 64, index as u64);
            let is_raised = raised.contains(&(index / 3));
            match index % 3 {
                // Gate and up of the neuron point the same way: their product does not average out.
                0 | 1 if is_raised => values[7 * 64..8 * 64].fill(0.1),
                2 if is_raised => values[5 * 128 + 7] = 0.6,
                _ => {}
            }
            let shape: &[u64] = if index % 3 == 2 { &[64, 128] } else { &[128, 64] };
            (name.as_str(), shape, values)
        })
        .collect();
    let mut report: Report = report_of(&[&Quantization], &model_of(&tensors));
    let mut verdicts = Verdicts::default();
    Quantization.judge(&report, &mut verdicts);
    report.findings.clear();
    (report, verdicts.findings)
}

#[test]
fn a_neuron_that_raises_one_feature_far_above_the_rest() {
    let spikes = |findings: &[Finding]| -> Vec<String> {
        let spikes = findings.iter().filter(|f| f.code == "quantization.mlp-spike");
        spikes.map(|f| f.message.clone()).collect()
    };
    assert_eq!(spikes(&spiked(&[]).1), Vec::<String>::new());
    let (report, findings) = spiked(&[1]);
    let said = spikes(&findings);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("w[5, 7], ") && said[0].contains("no other block"), "{said:?}");
    let of = |name: &str| {
        let weight = report.weights.iter().find(|w| w.name.contains(name)).unwrap();
        weight.metric("quantization", "mlp_spike").cloned()
    };
    let spike = of("1.mlp.down").unwrap();
    let number = |key: &str| spike.get(key).unwrap().as_f64().unwrap();
    assert_eq!((number("row"), number("unit")), (5.0, 7.0));
    assert!(number("rms") > 20.0 && number("ratio") > 500.0, "{spike:?}");
    // It stands with the down matrix alone.
    assert_eq!((of("1.mlp.gate"), of("1.mlp.up")), (None, None));
    let said = spikes(&spiked(&[0, 2]).1);
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|s| s.ends_with("one other block has one in row 5, too")), "{said:?}");
}

#[test]
fn outlier_columns() {
    let mut values = normal(128 * 256, 3);
    for row in values.chunks_mut(256) {
        row[17] *= 18.0;
        row[200] *= 10.0;
    }
    let findings = judged(values, [128, 256], &[]);
    assert_eq!(
        told(&findings),
        [
            [
                "warning",
                "quantization.outlier-columns",
                "column 17 has 15.1 x the median norm, and one more above 8 x: input feature 17 is massive",
                "rotate, or hold the 2 columns out at 8 or more bits"
            ],
            PER_TENSOR
        ]
    );
    let reference = findings[0].reference.as_ref().unwrap();
    assert_eq!(reference.kind, ReferenceKind::Gaussian);
    assert!((1.1..1.3).contains(&reference.value.unwrap()), "{reference:?}");
}

/// Student's t with three degrees of freedom.
fn heavy(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut draw = || {
        let chi: f64 = (0..3).map(|_| random.normal().powi(2)).sum();
        (0.01 * random.normal() / (chi / 3.0).sqrt()) as f32
    };
    (0..count).map(|_| draw()).collect()
}

/// The same without values above 20 of its root mean squares, of which one may stand alone.
fn cut(count: usize, seed: u64) -> Vec<f32> {
    heavy(count, seed).into_iter().map(|w| w.clamp(-0.35, 0.35)).collect()
}

#[test]
fn outliers() {
    let findings = judged(heavy(256 * 256, 4), [256, 256], &[]);
    assert_eq!(
        told(&findings),
        [
            [
                "warning",
                "quantization.outliers",
                "1.3 % of the values lie beyond 3 interquartile ranges, and int4 in groups of 128 loses 5.5 dB more than with normal weights",
                "gguf_q5_0 makes up for it (23.7 dB)"
            ],
            PER_TENSOR
        ]
    );
    // Rows shorter than a group of 128 are held against their own scale.
    let findings = judged(cut(1024 * 64, 5), [1024, 64], &[]);
    assert_eq!(findings[0].code, "quantization.outliers");
    assert!(findings[0].message.contains(", and per-channel int8 loses "), "{findings:#?}");
    // Lines are parameters.
    assert_eq!(
        judged(heavy(256 * 256, 4), [256, 256], &[("outlier_share", 0.05), ("int8_db", 5.0)]),
        []
    );
}

#[test]
fn int8_unsafe() {
    // Every row has a few values that are larger than all the others together, each elsewhere.
    let mut values = normal(64 * 512, 6);
    for (place, row) in values.chunks_mut(512).enumerate() {
        (0..4).for_each(|k| row[(97 * place + 131 * k) % 512] *= 100.0);
    }
    let findings = judged(values, [64, 512], &[]);
    assert_eq!(
        told(&findings),
        [
            [
                "warning",
                "quantization.int8-unsafe",
                "per-channel int8 keeps 27.9 dB (normal rows of 512: 42.6)",
                "keep it at 16 bits; fp8_e4m3_tensor keeps 32.3 dB"
            ],
            PER_TENSOR
        ]
    );
}

#[test]
fn absolute_lines_know_no_shape() {
    let asked = [("absolute_lines", 1.0)];
    // Per tensor, normal weights are at 39.8 dB here.
    let findings = judged(normal(256 * 512, 7), [256, 512], &asked);
    assert_eq!(
        told(&findings),
        [[
            "warning",
            "quantization.int8-unsafe",
            "one int8 scale for the tensor keeps 39.8 dB, below 40",
            "an absolute line: compare it with what normal weights of the shape have"
        ]]
    );
    let findings = judged(heavy(256 * 512, 8), [256, 512], &asked);
    let codes: Vec<_> =
        told(&findings).iter().map(|[severity, code, ..]| [*severity, *code]).collect();
    let expected = [["critical", "quantization.int8-unsafe"], ["warning", "quantization.outliers"]];
    assert_eq!(codes, expected);
    assert_eq!(findings[1].message, "1.32 % of the values lie beyond 3 interquartile ranges");
    let parameters = [
        ("absolute_lines", 1.0),
        ("absolute_int8_db", 20.0),
        ("absolute_int8_db_critical", 10.0),
        ("outlier_share", 0.5),
    ];
    let findings = judged(heavy(256 * 512, 8), [256, 512], &parameters);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(
        (&*findings[0].code, findings[0].severity),
        ("quantization.outliers", Severity::Info)
    );
}
