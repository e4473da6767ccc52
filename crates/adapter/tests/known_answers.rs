//! Products against numpy's and against dense ones, scales by every rule, and what cannot be measured.
//!
//! The reference comes from fixtures/references/adapter.py.

use std::path::Path;

use weightscope_adapter::{Adapter, AdapterChange};
use weightscope_core::{
    DType, MemorySource, Metadata, PairSource, Report, Role, Settings, TensorSource, Value,
    WeightRecord,
};
use weightscope_engine::{RunOptions, scan};
use weightscope_graph::{WalkOptions, pair, walk};
use weightscope_linalg::{Dense, Options, Threads, singular_values};
use weightscope_testkit::{Random, conformance, report_of_source};

#[test]
fn conforms() {
    conformance(&Adapter);
    conformance(&AdapterChange);
}

const MODULE: &str = "model.layers.3.self_attn.q_proj";

/// The reference's formula.
fn factor(rows: usize, columns: usize, seed: u64) -> Vec<f64> {
    let value = |p: u64| (((p * p * seed) % 10007) as f64 - 5003.0) / 4096.0;
    (1..=(rows * columns) as u64).map(value).collect()
}

fn bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn config(text: &str) -> Metadata {
    let config: Value = serde_json::from_str(text).unwrap();
    Metadata { adapter_config: Some(config), ..Metadata::default() }
}

/// Tensors of F64 under these names.
fn source(metadata: Metadata, tensors: &[(&str, &[usize], Vec<f64>)]) -> MemorySource {
    let mut source = MemorySource::new(metadata);
    for (name, shape, values) in tensors {
        let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
        source.push(name, DType::F64, &shape, bytes(values)).unwrap();
    }
    source
}

/// An adapter of one module as PEFT saves it.
fn peft(text: &str, [out, rank, input]: [usize; 3], a: Vec<f64>, b: Vec<f64>) -> MemorySource {
    let name = |factor: &str| format!("base_model.model.{MODULE}.{factor}.weight");
    let tensors =
        [(&*name("lora_A"), &[rank, input][..], a), (&*name("lora_B"), &[out, rank][..], b)];
    source(config(text), &tensors)
}

fn record(report: &Report, role: Role) -> &WeightRecord {
    report.weights.iter().find(|w| w.role == role).unwrap()
}

fn measured(source: &dyn TensorSource) -> WeightRecord {
    record(&report_of_source(&[&Adapter], source, 1), Role::AdapterA).clone()
}

fn number(record: &WeightRecord, analyzer: &str, metric: &str) -> f64 {
    record.number(analyzer, metric).unwrap_or_else(|| panic!("{metric} of {}", record.name))
}

fn sigma(record: &WeightRecord) -> Vec<f64> {
    let list = record.metric("adapter", "singular_values").unwrap();
    list.items().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[track_caller]
fn near(found: f64, expected: f64, size: f64) {
    assert!((found - expected).abs() <= 1e-9 * size, "{found} {expected}");
}

fn reference() -> serde_json::Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/references/adapter.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn products_are_numpys() {
    let reference = reference();
    let cases = reference["products"].as_array().unwrap();
    assert!(cases.len() >= 6);
    for case in cases {
        let size = |key: &str| case[key].as_u64().unwrap() as usize;
        let (out, rank, input) = (size("out"), size("rank"), size("in"));
        let (scale, decay) = (case["scale"].as_f64().unwrap(), case["decay"].as_f64().unwrap());
        let mut b = factor(out, rank, 11);
        for (index, value) in b.iter_mut().enumerate() {
            *value *= (-decay * (index % rank) as f64).exp2();
        }
        let alpha = scale * rank as f64;
        let text = format!(r#"{{"peft_type": "LORA", "r": {rank}, "lora_alpha": {alpha}}}"#);
        let found = measured(&peft(&text, [out, rank, input], factor(rank, input, 7), b));
        let largest = case["spectral_norm"].as_f64().unwrap();
        let expected = case["singular_values"].as_array().unwrap();
        assert_eq!(sigma(&found).len(), expected.len());
        for (s, t) in sigma(&found).iter().zip(expected) {
            near(*s, t.as_f64().unwrap(), largest);
        }
        for metric in
            ["spectral_norm", "frobenius_norm", "stable_rank", "effective_rank", "share_of_first"]
        {
            let expected = case[metric].as_f64().unwrap();
            near(number(&found, "adapter", metric), expected, expected);
        }
        let count = number(&found, "adapter", "energy_rank_90");
        assert_eq!(count, case["energy_rank_90"].as_f64().unwrap());
        assert_eq!(number(&found, "adapter", "scale"), scale);
    }
}

/// `[m, k]` times `[k, n]`.
fn product(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for (row, target) in a.chunks(k).zip(c.chunks_mut(n)) {
        for (x, line) in row.iter().zip(b.chunks(n)) {
            target.iter_mut().zip(line).for_each(|(c, y)| *c += x * y);
        }
    }
    c
}

#[test]
fn large_products_are_the_dense_ones_on_any_number_of_threads() {
    for shape in [[8192, 256, 300], [40, 64, 8192], [600, 128, 500]] {
        let [out, rank, input] = shape;
        let mut random = Random::new(out as u64);
        let mut draw = |count: usize| (0..count).map(|_| random.normal()).collect::<Vec<f64>>();
        let (a, b) = (draw(rank * input), draw(out * rank));
        let dense = product(&b, &a, shape);
        let dense = Dense::new(&dense, out, input).unwrap();
        let expected = singular_values(&dense, &Options { exact: true }, &Threads(1)).unwrap();
        let text = format!(r#"{{"peft_type": "LORA", "r": {rank}, "lora_alpha": {rank}}}"#);
        let source = peft(&text, shape, a, b);
        let [one, three] = [1, 3].map(|threads| report_of_source(&[&Adapter], &source, threads));
        assert_eq!(one.weights, three.weights, "{shape:?}");
        let found = sigma(record(&one, Role::AdapterA));
        let largest = expected.singular_values[0];
        assert!(found.len() >= rank.min(out).min(input));
        for (s, t) in found.iter().zip(&expected.singular_values) {
            near(*s, *t, largest);
        }
    }
}

/// Rank 4 for 6 outputs and 10 inputs.
fn small(text: &str) -> WeightRecord {
    measured(&peft(text, [6, 4, 10], factor(4, 10, 3), factor(6, 4, 5)))
}

#[test]
fn scales_follow_every_rule_of_peft() {
    let check = |rest: &str, scale: f64| {
        let found = small(&format!(r#"{{"peft_type": "LORA", "r": 4, {rest}}}"#));
        near(number(&found, "adapter", "scale"), scale, scale);
        let plain = small(r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 4}"#);
        let norm = |record| number(record, "adapter", "frobenius_norm");
        near(norm(&found), scale * norm(&plain), scale * norm(&plain));
    };
    check(r#""lora_alpha": 16"#, 4.0);
    check(r#""lora_alpha": 16, "use_rslora": true"#, 8.0);
    check(r#""lora_alpha": 16, "alpha_pattern": {"q_proj": 2}"#, 0.5);
    check(r#""lora_alpha": 16, "alpha_pattern": {"k_proj": 2}"#, 4.0);
    check(r#""lora_alpha": 16, "alpha_pattern": {"layers\\.[0-3]\\..*": 6}"#, 1.5);
    // The first pattern counts; a rank pattern that agrees with the tensors changes nothing.
    check(
        r#""alpha_pattern": {"self_attn.q_proj": 1, "q_proj": 9}, "rank_pattern": {"q_proj": 4}"#,
        0.25,
    );
    // LoraConfig's own alpha.
    check(r#""lora_dropout": 0.0"#, 2.0);
    let unknown = small("{}");
    assert_eq!(number(&unknown, "adapter", "scale"), 1.0);
    assert_eq!(unknown.undefined["adapter.scale_from"], "no configuration says alpha or a scale");
}

#[test]
fn other_tools_names_and_layouts_give_the_same_product() {
    let (a, b) = (factor(4, 10, 3), factor(6, 4, 5));
    let turned = |values: &[f64], columns: usize| -> Vec<f64> {
        (0..columns)
            .flat_map(|j| values.iter().skip(j).step_by(columns).copied().collect::<Vec<f64>>())
            .collect()
    };
    let expected = sigma(&small(r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8}"#));
    let check = |metadata: Metadata, tensors: &[(&str, &[usize], Vec<f64>)]| {
        let found = sigma(&measured(&source(metadata, tensors)));
        assert_eq!(found.len(), expected.len(), "{}", tensors[0].0);
        for (s, t) in found.iter().zip(&expected) {
            near(*s, *t, expected[0]);
        }
    };
    let text = r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8}"#;
    check(
        config(text),
        &[
            ("a.q_proj.lora_A.default.weight", &[4, 10], a.clone()),
            ("a.q_proj.lora_B.default.weight", &[6, 4], b.clone()),
        ],
    );
    check(
        config(text),
        &[
            ("base_model.model.wte.lora_embedding_A", &[4, 10], a.clone()),
            ("base_model.model.wte.lora_embedding_B", &[6, 4], b.clone()),
        ],
    );
    check(
        config(text),
        &[
            ("features.conv.lora_A.weight", &[4, 5, 1, 2], a.clone()),
            ("features.conv.lora_B.weight", &[6, 4, 1, 1], b.clone()),
        ],
    );
    check(
        config(r#"{"fine_tune_type": "lora", "lora_parameters": {"rank": 4, "scale": 2.0}}"#),
        &[
            ("model.layers.0.self_attn.q_proj.lora_a", &[10, 4], turned(&a, 10)),
            ("model.layers.0.self_attn.q_proj.lora_b", &[4, 6], turned(&b, 4)),
        ],
    );
    let gguf: Value =
        serde_json::from_str(r#"{"gguf": {"type": "adapter", "adapter_alpha": 8.0}}"#).unwrap();
    check(
        Metadata { config: Some(gguf), ..Metadata::default() },
        &[("blk.0.attn_q.weight.lora_a", &[4, 10], a), ("blk.0.attn_q.weight.lora_b", &[6, 4], b)],
    );
}

#[test]
fn experts_in_one_tensor_are_products_of_their_own() {
    let (experts, rank, out, input) = (3, 2, 6, 10);
    let a = factor(experts * rank, input, 3);
    let b = factor(out, rank * experts, 5);
    let mut expected = Vec::new();
    for expert in 0..experts {
        let own_a = &a[expert * rank * input..(expert + 1) * rank * input];
        // B's columns: one rank after the other, and of each the experts.
        let own_b: Vec<f64> = (0..out * rank)
            .map(|place| b[place / rank * rank * experts + place % rank * experts + expert])
            .collect();
        let dense = product(&own_b, own_a, [out, rank, input]);
        let dense = Dense::new(&dense, out, input).unwrap();
        let all = singular_values(&dense, &Options { exact: true }, &Threads(1)).unwrap();
        expected.extend(all.singular_values.into_iter().take(rank));
    }
    expected.sort_by(|x, y| y.total_cmp(x));
    let text = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_parameters": ["mlp.experts.down_proj"]}"#;
    let tensors = [
        (
            "base_model.model.model.layers.0.mlp.experts.lora_A.weight",
            &[experts * rank, input][..],
            a,
        ),
        (
            "base_model.model.model.layers.0.mlp.experts.lora_B.weight",
            &[out, rank * experts][..],
            b,
        ),
    ];
    let found = measured(&source(config(text), &tensors));
    assert_eq!(number(&found, "adapter", "experts"), 3.0);
    assert_eq!(number(&found, "adapter", "rank"), 2.0);
    assert_eq!(sigma(&found).len(), 6);
    for (s, t) in sigma(&found).iter().zip(&expected) {
        near(*s, *t, expected[0]);
    }
}

#[test]
fn factors_that_are_zero_or_not_finite() {
    let text = r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8}"#;
    let zero = measured(&peft(text, [6, 4, 10], factor(4, 10, 3), vec![0.0; 24]));
    assert_eq!(number(&zero, "adapter", "frobenius_norm"), 0.0);
    assert_eq!(number(&zero, "adapter", "b_norm"), 0.0);
    assert_eq!(zero.number("adapter", "stable_rank"), None);
    assert_eq!(zero.undefined["adapter.stable_rank"], "the product is zero");
    let mut a = factor(4, 10, 3);
    a[17] = f64::NAN;
    let broken = measured(&peft(text, [6, 4, 10], a, factor(6, 4, 5)));
    assert_eq!(number(&broken, "adapter", "rank"), 4.0);
    assert_eq!(broken.number("adapter", "spectral_norm"), None);
    let reason = &broken.undefined["adapter.spectral_norm"];
    assert_eq!(reason, "some values of the factors are NaN or infinite");
}

#[test]
fn directions_below_the_rounding_of_the_factors_are_not_used() {
    // Rank 4 of which two directions are rounding: B's last columns are combinations of the first.
    let mut random = Random::new(5);
    let a: Vec<f64> = (0..4 * 40).map(|_| random.normal()).collect();
    let mut b: Vec<f64> = (0..60 * 4).map(|_| random.normal()).collect();
    for row in b.chunks_mut(4) {
        row[2] = row[0] + row[1];
        row[3] = row[0] - 2.0 * row[1];
    }
    let f32s = |values: &[f64]| -> Vec<u8> {
        values.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect()
    };
    let mut source = MemorySource::new(config(r#"{"peft_type": "LORA", "r": 4, "lora_alpha": 8}"#));
    source.push("q_proj.lora_A.weight", DType::F32, &[4, 40], f32s(&a)).unwrap();
    source.push("q_proj.lora_B.weight", DType::F32, &[60, 4], f32s(&b)).unwrap();
    let found = measured(&source);
    assert_eq!(number(&found, "adapter", "rank_used"), 2.0);
    assert_eq!(number(&found, "adapter", "rank_used_share"), 0.5);
}

/// The comparison of two adapters.
fn compared(base: &MemorySource, tuned: &MemorySource) -> Report {
    let walked =
        |source: &MemorySource| walk(source.entries(), source.metadata(), &WalkOptions::default());
    let graph = pair(&walked(base), &walked(tuned), base.entries().len());
    let both = PairSource::new(base, tuned);
    let options = RunOptions { threads: 1, timings: false, ..RunOptions::default() };
    scan(&both, &graph, &[&AdapterChange], &Settings::default(), &options, &mut |_| {}).unwrap()
}

#[test]
fn changes_of_products_are_numpys_also_of_different_ranks() {
    let reference = reference();
    let cases = reference["changes"].as_array().unwrap();
    assert!(cases.len() >= 3);
    for case in cases {
        let (out, input) =
            (case["out"].as_u64().unwrap() as usize, case["in"].as_u64().unwrap() as usize);
        let side = |index: usize| {
            let rank = case["ranks"][index].as_u64().unwrap() as usize;
            let alpha = case["scales"][index].as_f64().unwrap() * rank as f64;
            let text = format!(r#"{{"peft_type": "LORA", "r": {rank}, "lora_alpha": {alpha}}}"#);
            let seed = rank as u64;
            let (a, b) = (factor(rank, input, 7 + seed), factor(out, rank, 11 + seed));
            peft(&text, [out, rank, input], a, b)
        };
        let report = compared(&side(0), &side(1));
        let found = record(&report, Role::AdapterA);
        let size = case["product_norm"].as_f64().unwrap();
        for metric in ["product_norm", "other_product_norm", "product_distance"] {
            near(number(found, "adapter_change", metric), case[metric].as_f64().unwrap(), size);
        }
        for metric in ["product_relative_l2", "product_cosine"] {
            near(number(found, "adapter_change", metric), case[metric].as_f64().unwrap(), 1.0);
        }
    }
}

#[test]
fn a_change_of_basis_is_no_change() {
    let text = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 2}"#;
    let (a, b) = (factor(2, 9, 3), factor(7, 2, 5));
    let base = peft(text, [7, 2, 9], a.clone(), b.clone());
    // A's rows change places and grow, B's columns follow.
    let other_a: Vec<f64> =
        a[9..].iter().map(|x| 4.0 * x).chain(a[..9].iter().map(|x| -0.5 * x)).collect();
    let other_b: Vec<f64> = b.chunks(2).flat_map(|row| [row[1] / 4.0, -2.0 * row[0]]).collect();
    let report = compared(&base, &peft(text, [7, 2, 9], other_a, other_b));
    let found = record(&report, Role::AdapterA);
    assert_eq!(number(found, "adapter_change", "product_distance"), 0.0);
    let codes: Vec<&str> = report.conclusions.iter().map(|c| &*c.code).collect();
    assert_eq!(codes, ["adapter_change.same"]);
}
