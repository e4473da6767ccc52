//! Heads cut from every kind of projection, heads that do nothing or the same, and no numbers where none are.

use weightscope_attention::Attention;
use weightscope_core::{
    Analyzer, DType, Figure, FigureData, Finding, FusedPart, Heads, Layout, MemorySource, Output,
    Parameters, Role, Severity, Value, Weight,
};
use weightscope_testkit::checkpoint::encode;
use weightscope_testkit::models::{Architecture, Model, ModelSpec};
use weightscope_testkit::{
    Random, conformance, measure_weight, portray_weight, report_of, weight_of,
};

#[test]
fn conforms() {
    conformance(&Attention);
}

/// Four queries in two groups, three features each, more inputs than are read at a time.
const HEADS: Heads = Heads { query: 4, key_value: 2, head_dim: 3 };
const INPUT: u64 = 70;

/// A projection of these output units, stored as it is or turned.
fn projection(role: Role, rows: &[Vec<f32>], transposed: bool) -> (MemorySource, Weight) {
    let (out, input) = (rows.len() as u64, rows[0].len() as u64);
    let values: Vec<f32> = if transposed {
        (0..rows[0].len()).flat_map(|i| rows.iter().map(move |row| row[i])).collect()
    } else {
        rows.concat()
    };
    let shape = if transposed { [input, out] } else { [out, input] };
    let bytes = encode(DType::F32, &values);
    let (source, weight) = weight_of(role, DType::F32, shape, bytes, transposed);
    (source, Weight { heads: Some(HEADS), ..weight })
}

fn analyze(weight: &(MemorySource, Weight)) -> Output {
    measure_weight(&Attention, weight, &Parameters::default()).unwrap()
}

fn rows(count: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random::new(seed);
    let mut row = || (0..INPUT).map(|_| 0.02 * random.normal() as f32).collect();
    (0..count).map(|_| row()).collect()
}

fn reason<'a>(out: &'a Output, key: &str) -> &'a str {
    out.undefined.iter().find(|(k, _)| *k == key).map_or("defined", |(_, why)| why)
}

/// Equal but for rounding in another order.
fn assert_near(a: &Value, b: &Value, place: &str) {
    match (a, b) {
        (Value::List(a), Value::List(b)) => {
            assert_eq!(a.len(), b.len(), "{place}");
            a.iter().zip(b).for_each(|(a, b)| assert_near(a, b, place));
        }
        (Value::Map(a), Value::Map(b)) => {
            assert!(a.keys().eq(b.keys()), "{place}");
            a.values().zip(b.values()).for_each(|(a, b)| assert_near(a, b, place));
        }
        (Value::Number(a), Value::Number(b)) => {
            assert!((a - b).abs() <= 1e-13 * a.abs().max(1.0), "{place}: {a} {b}");
        }
        _ => assert_eq!(a, b, "{place}"),
    }
}

#[test]
fn a_head_is_the_same_however_it_is_stored() {
    let (q, k, v) = (rows(12, 1), rows(6, 2), rows(6, 3));
    let split = [(Role::AttentionQ, &q), (Role::AttentionK, &k), (Role::AttentionV, &v)]
        .map(|(role, rows)| analyze(&projection(role, rows, false)));
    // Queries, then keys, then values; and for each group its two queries, its key and its value.
    let in_turn = [&q[..], &k[..], &v[..]].concat();
    let grouped = [&q[..6], &k[..3], &v[..3], &q[6..], &k[3..], &v[3..]].concat();
    let cuts = |q: &[[u64; 2]], k: &[[u64; 2]], v: &[[u64; 2]]| {
        let ranges = |ends: &[[u64; 2]]| ends.iter().map(|[start, end]| *start..*end).collect();
        [(Role::AttentionQ, q), (Role::AttentionK, k), (Role::AttentionV, v)]
            .map(|(role, ends)| FusedPart { role, rows: ranges(ends) })
            .to_vec()
    };
    let storages = [
        (&in_turn, cuts(&[[0, 12]], &[[12, 18]], &[[18, 24]])),
        (&grouped, cuts(&[[0, 6], [12, 18]], &[[6, 9], [18, 21]], &[[9, 12], [21, 24]])),
    ];
    for (rows, fused) in storages {
        for transposed in [false, true] {
            let (source, mut weight) = projection(Role::AttentionQkv, rows, transposed);
            weight.fused.clone_from(&fused);
            let whole = analyze(&(source.clone(), weight.clone()));
            for metric in ["heads", "head_similarity", "head_linkage"] {
                let expected: Vec<Value> =
                    split.iter().flat_map(|out| out.metrics[metric].items().to_vec()).collect();
                let place = format!("{metric}, {fused:?}, transposed {transposed}");
                assert_near(&whole.metrics[metric], &Value::List(expected), &place);
            }
            let mean = split.iter().map(|o| o.metrics["head_dissimilarity"].as_f64().unwrap());
            let mean = Value::Number(mean.sum::<f64>() / 3.0);
            assert_near(&whole.metrics["head_dissimilarity"], &mean, "head_dissimilarity");

            // A part of its own, as it is with fused tensors cut; columns are cut in one piece only.
            for (part, alone) in fused.iter().zip(&split) {
                let layout = if transposed {
                    let [range] = part.rows.as_slice() else { continue };
                    Layout { column_range: range.clone(), ..Layout::whole(INPUT, 24) }
                } else {
                    Layout { row_ranges: part.rows.clone(), ..Layout::whole(24, INPUT) }
                };
                let count = part.rows.iter().map(|r| r.end - r.start).sum();
                let cut = Weight {
                    role: part.role,
                    layout,
                    matrix: Some([count, INPUT]),
                    fused: Vec::new(),
                    from_one: false,
                    factor: None,
                    ..weight.clone()
                };
                let found = analyze(&(source.clone(), cut));
                for (metric, value) in &alone.metrics {
                    assert_near(&found.metrics[metric], value, metric);
                }
            }
        }
    }
}

#[test]
fn heads_by_hand() {
    // Four heads of three equal rows: norms sqrt 3 times those of the rows, means the rows.
    let head = |values: [f32; 2]| vec![values.to_vec(); 3];
    let lines = [head([3.0, 4.0]), head([4.0, -3.0]), head([6.0, 8.0]), head([0.0, 2.0])].concat();
    for transposed in [false, true] {
        let out = analyze(&projection(Role::AttentionQ, &lines, transposed));
        let norms = out.metrics["heads"].items().iter().map(|h| h.get("norm").unwrap());
        for (norm, expected) in norms.zip([5.0, 5.0, 10.0, 2.0]) {
            assert!((norm.as_f64().unwrap() - expected * 3f64.sqrt()).abs() < 1e-13);
        }
        let matrix = out.metrics["head_similarity"].items()[0].get("matrix").unwrap();
        let expected = [
            [1.0, 0.0, 1.0, 0.8],
            [0.0, 1.0, 0.0, -0.6],
            [1.0, 0.0, 1.0, 0.8],
            [0.8, -0.6, 0.8, 1.0],
        ];
        for (row, expected) in matrix.items().iter().zip(expected) {
            for (cosine, expected) in row.items().iter().zip(expected) {
                assert!((cosine.as_f64().unwrap() - expected).abs() < 1e-14);
            }
        }
        // One minus the six cosines: 1, 0, 0.2, 1, 1.6, 0.2.
        let dissimilarity = out.metrics["head_dissimilarity"].as_f64().unwrap();
        assert!((dissimilarity - 4.0 / 6.0).abs() < 1e-14);
        // Heads 0 and 3 are sqrt 13 apart, closest of all; head 2 then joins them: its distance to their mean
        // (1.5, 3) squared is 45.25, times 2 * 1 * 2/3.
        let merges = out.metrics["head_linkage"].items()[0].get("merges").unwrap().items();
        let merge = |i: usize| -> Vec<f64> {
            merges[i].items().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        assert_eq!(merge(0), [0.0, 3.0, 13f64.sqrt(), 2.0]);
        // Head 1 is (2.5, -6) from that mean, 42.25 squared.
        let second = merge(1);
        assert_eq!([second[0], second[1], second[3]], [1.0, 4.0, 3.0]);
        assert!((second[2] - (42.25 * 4.0 / 3.0f64).sqrt()).abs() < 1e-13);
        assert_eq!(out.metrics["duplicate_heads"].items().len(), 1);
        assert_eq!(out.metrics["dead_heads"].items().len(), 0);
    }
}

#[test]
fn a_zero_matrix_has_heads_without_directions() {
    let out = analyze(&projection(Role::AttentionK, &vec![vec![0.0; 8]; 6], false));
    for head in out.metrics["heads"].items() {
        assert_eq!(head.get("norm").unwrap().as_f64(), Some(0.0));
    }
    let matrix = out.metrics["head_similarity"].items()[0].get("matrix").unwrap();
    assert!(matrix.items().iter().all(|row| row.items().iter().all(Value::is_null)));
    let merges = out.metrics["head_linkage"].items()[0].get("merges").unwrap();
    assert_eq!(merges.items()[0].items()[2].as_f64(), Some(0.0));
    assert_eq!(reason(&out, "head_dissimilarity"), "fewer than two heads that are not zero");
    for metric in ["duplicate_heads", "dead_heads"] {
        assert_eq!(out.metrics[metric].items(), [], "{metric}");
    }
}

#[test]
fn one_head_has_no_others() {
    let out = analyze(&projection(Role::AttentionV, &rows(3, 9), false));
    assert_eq!(out.metrics["head_linkage"].items()[0].get("merges").unwrap().items(), []);
    assert_eq!(reason(&out, "head_dissimilarity"), "fewer than two heads that are not zero");
}

#[test]
fn no_heads_of_values_that_are_not_finite() {
    for bad in [f32::NAN, f32::INFINITY] {
        for transposed in [false, true] {
            let mut lines = rows(12, 4);
            lines[7][3] = bad;
            let planted = projection(Role::AttentionQ, &lines, transposed);
            let out = analyze(&planted);
            assert_eq!(out.metrics.len(), Attention.descriptor().metrics.len());
            assert!(out.metrics.values().all(Value::is_null));
            assert_eq!(reason(&out, "heads"), "some values are NaN or infinite");
            // The rest can be drawn, and what is drawn can be written and read.
            for figure in portray_weight(&Attention, &planted).unwrap().figures {
                let text = serde_json::to_string(&figure).unwrap();
                let back: Result<Figure, _> = serde_json::from_str(&text);
                assert_eq!(back.ok().as_ref(), Some(&figure), "{bad}: {text}");
            }
        }
    }
}

#[test]
fn squares_beyond_f64_are_no_panic() {
    for size in [1e160f64, 1e300, 1e-300] {
        let mut random = Random::new(2);
        let bytes = (0..12 * 8).flat_map(|_| (size * random.normal()).to_le_bytes()).collect();
        let (source, weight) = weight_of(Role::AttentionQ, DType::F64, [12, 8], bytes, false);
        let weight = Weight { heads: Some(HEADS), ..weight };
        let out = analyze(&(source, weight));
        assert_eq!(out.metrics.len(), Attention.descriptor().metrics.len(), "{size:e}");
        // Distances are taken at a better scale.
        let merges = out.metrics["head_linkage"].items()[0].get("merges").unwrap().items();
        let heights: Vec<f64> = merges.iter().filter_map(|m| m.items()[2].as_f64()).collect();
        assert_eq!(heights.len(), 3);
        assert!(heights.iter().all(|h| (size..20.0 * size).contains(h)), "{heights:?}");
    }
}

#[test]
fn mean_rows_are_drawn_one_head_a_line() {
    let drawn = portray_weight(&Attention, &projection(Role::AttentionQ, &rows(12, 5), true));
    let out = drawn.unwrap();
    let [figure] = out.figures.as_slice() else { panic!("{:?}", out.figures) };
    let FigureData::Heatmap(map) = &figure.data else { panic!("{figure:?}") };
    assert_eq!((figure.id.as_ref(), map.size), ("attention.heads.q", [4, INPUT]));
    assert_eq!(map.cells.len() as u64, 4 * INPUT);
}

/// The sound model, with something planted, and what the analyzer finds in it.
fn findings(architecture: Architecture, plant: impl Fn(&mut Model)) -> Vec<Finding> {
    let mut model = ModelSpec::new(architecture).blocks(4).seed(21).build();
    plant(&mut model);
    let report = report_of(&[&Attention], &model);
    assert_eq!(report.errors, []);
    report.findings
}

/// A projection, first output units of two of its heads, features per head, and how the heads are called.
type Place = (Architecture, &'static str, [usize; 2], usize, [&'static str; 2]);

const PLACES: [Place; 7] = [
    (Architecture::Llama, "model.layers.2.self_attn.q_proj.weight", [0, 96], 32, ["q0", "q3"]),
    (Architecture::Llama, "model.layers.2.self_attn.k_proj.weight", [0, 32], 32, ["k0", "k1"]),
    (Architecture::Bert, "encoder.layer.1.attention.self.query.weight", [16, 48], 16, ["q1", "q3"]),
    (Architecture::Bert, "encoder.layer.1.attention.self.value.weight", [0, 32], 16, ["v0", "v2"]),
    (Architecture::Gpt2, "transformer.h.3.attn.c_attn.weight", [0, 48], 16, ["q0", "q3"]),
    (Architecture::Gpt2, "transformer.h.3.attn.c_attn.weight", [64, 96], 16, ["k0", "k2"]),
    (Architecture::Gpt2, "transformer.h.3.attn.c_attn.weight", [144, 176], 16, ["v1", "v3"]),
];

/// Where the weight of an output unit and an input lies.
fn place(tensor: &weightscope_testkit::models::ModelTensor, unit: usize, input: usize) -> usize {
    let columns = tensor.shape[1] as usize;
    if tensor.transposed { input * columns + unit } else { unit * columns + input }
}

#[test]
fn a_planted_copy_of_a_head_is_the_only_finding() {
    for (architecture, name, [a, b], head_dim, [a_name, b_name]) in PLACES {
        // The copy is scaled and has a tenth of noise, cosine 0.995; then it is turned around; then it is too far.
        for (sign, noise, is_found) in
            [(2.0, 0.0, true), (0.5, 0.1, true), (-1.0, 0.0, false), (1.0, 0.3, false)]
        {
            let plant = |model: &mut Model| {
                let mut random = Random::new(8);
                let tensor = model.tensor_mut(name);
                for (unit, input) in (0..head_dim).flat_map(|u| (0..64).map(move |i| (u, i))) {
                    let value = tensor.values[place(tensor, a + unit, input)];
                    let copy = place(tensor, b + unit, input);
                    tensor.values[copy] = sign * (value + noise * 0.02 * random.normal() as f32);
                }
            };
            let found = findings(architecture, plant);
            let expected: Vec<&str> =
                if is_found { vec!["attention.duplicate-heads"] } else { Vec::new() };
            let codes: Vec<&str> = found.iter().map(|f| f.code.as_ref()).collect();
            assert_eq!(codes, expected, "{name} {sign} {noise}");
            let Some(finding) = found.first() else { continue };
            let (severity, are) = if noise > 0.0 {
                (Severity::Info, "nearly the same")
            } else {
                (Severity::Warning, "copies of each other")
            };
            assert_eq!((finding.severity, finding.weight.as_deref()), (severity, Some(name)));
            let words = format!("1 pair of heads are {are}: {a_name} and {b_name} (");
            assert!(finding.message.starts_with(&words), "{}", finding.message);
            assert!(finding.value.unwrap() > 0.99);
        }
    }
}

#[test]
fn a_planted_dead_head_is_the_only_finding() {
    for (architecture, name, [_, b], head_dim, [_, b_name]) in PLACES {
        for (factor, is_found) in [(0.0, true), (1e-4, true), (0.01, false)] {
            let plant = |model: &mut Model| {
                let tensor = model.tensor_mut(name);
                (b..b + head_dim).for_each(|unit| tensor.scale_output(unit, factor));
            };
            let found = findings(architecture, plant);
            let expected: Vec<&str> =
                if is_found { vec!["attention.dead-heads"] } else { Vec::new() };
            let codes: Vec<&str> = found.iter().map(|f| f.code.as_ref()).collect();
            assert_eq!(codes, expected, "{name} {factor}");
            let Some(finding) = found.first() else { continue };
            assert_eq!(
                (finding.severity, finding.weight.as_deref()),
                (Severity::Warning, Some(name))
            );
            let words = format!("1 head with a norm of at most 0.001 of the median: {b_name}");
            assert_eq!(finding.message, words);
            assert!(finding.value.unwrap() <= finding.threshold.unwrap());
        }
    }
}

#[test]
fn a_sound_model_has_no_findings() {
    for architecture in Architecture::ALL {
        assert_eq!(findings(architecture, |_| {}), [], "{architecture:?}");
    }
}
