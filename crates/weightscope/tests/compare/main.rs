//! Two checkpoints: what must be found of copies, of other storage, of what does not fit, and of descendants.

mod verdicts;

use std::path::{Path, PathBuf};

use weightscope::report::{Format, RenderOptions, render};
use weightscope::{
    Compare, DType, EntryId, PairSource, Report, ReportKind, RunOptions, Settings, TensorSource,
    WalkOptions, WeightRecord, WeightStatus, builtin_registry, load, pair, walk,
};
use weightscope_compare::fisher;
use weightscope_core::stats::kolmogorov_sf;
use weightscope_testkit::checkpoint::encode;
use weightscope_testkit::models::{Architecture, Model, ModelSpec, ModelTensor};
use weightscope_testkit::{Random, model_of};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// A fixture of F32 tensors with the values of its file.
fn fixture(name: &str) -> Model {
    let folder = fixtures().join(name);
    let checkpoint = load::open(std::slice::from_ref(&folder)).unwrap();
    let tensors = checkpoint.entries().iter().zip(0..).map(|(entry, id)| {
        assert_eq!(entry.dtype, Some(DType::F32));
        let mut bytes = vec![0; entry.bytes as usize];
        checkpoint.read_at(EntryId(id), 0..entry.bytes, &mut bytes).unwrap();
        ModelTensor {
            name: entry.name.clone(),
            dtype: DType::F32,
            shape: entry.shape.clone(),
            values: bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            transposed: false,
        }
    });
    let tensors = tensors.collect();
    Model { tensors, config: std::fs::read_to_string(folder.join("config.json")).unwrap() }
}

/// The report of a comparison without files and times.
fn compared_by(choice: &[&str], base: &Model, tuned: &Model, threads: usize) -> Report {
    let sources = [base.to_source(), tuned.to_source()];
    let [a, b] =
        [0, 1].map(|i| walk(sources[i].entries(), sources[i].metadata(), &WalkOptions::default()));
    let graph = pair(&a, &b, sources[0].entries().len());
    let source = PairSource::new(&sources[0], &sources[1]);
    let registry = builtin_registry();
    let choice: Vec<String> = choice.iter().map(|id| (*id).to_owned()).collect();
    let analyzers = registry.choose(ReportKind::Compare, &choice).unwrap();
    let mut settings = Settings::default();
    settings.parameters.set("compare", "spectral", 1.0);
    let options = RunOptions { threads, timings: false, ..RunOptions::default() };
    weightscope_engine::scan(&source, &graph, &analyzers, &settings, &options, &mut |_| {}).unwrap()
}

fn compared(base: &Model, tuned: &Model) -> Report {
    compared_by(&[], base, tuned, 1)
}

/// The same where nothing may go wrong.
fn sound(base: &Model, tuned: &Model) -> Report {
    let report = compared(base, tuned);
    assert_eq!(report.errors, []);
    report
}

fn number(weight: &WeightRecord, metric: &str) -> f64 {
    let found = weight.number("compare", metric);
    found.unwrap_or_else(|| panic!("no {metric}: {weight:#?}"))
}

#[track_caller]
fn record<'a>(report: &'a Report, name: &str) -> &'a WeightRecord {
    let found = report.weights.iter().find(|w| w.name == name);
    found.unwrap_or_else(|| panic!("no {name} in the report"))
}

/// Why a metric of a weight has no value.
#[track_caller]
fn undefined<'a>(weight: &'a WeightRecord, metric: &str) -> &'a str {
    assert_eq!(weight.number("compare", metric), None, "{} {metric}", weight.name);
    let why = weight.undefined.get(format!("compare.{metric}").as_str());
    why.unwrap_or_else(|| panic!("no reason for {} {metric}", weight.name))
}

/// Every weight was measured and nothing changed.
#[track_caller]
fn check_unchanged<'a>(weights: impl IntoIterator<Item = &'a WeightRecord>) {
    for weight in weights {
        assert_eq!((weight.status, &weight.reason), (WeightStatus::Ok, &None), "{}", weight.name);
        for metric in ["l2_distance", "relative_l2", "changed_fraction", "sign_flip_fraction"] {
            assert_eq!(number(weight, metric), 0.0, "{} {metric}", weight.name);
        }
    }
}

fn small(architecture: Architecture) -> ModelSpec {
    ModelSpec::new(architecture).blocks(2).seed(1)
}

#[test]
fn a_copy_in_other_shards_with_a_prefix() {
    let mut copy = fixture("tiny-gpt2");
    for tensor in &mut copy.tensors {
        tensor.name.insert_str(0, "transformer.");
    }
    let folder = tempfile::tempdir().unwrap();
    copy.to_checkpoint().write_shards(folder.path(), 3).unwrap();
    let original = fixtures().join("tiny-gpt2");
    for turned in [false, true] {
        let paths = [original.as_path(), folder.path()];
        let report =
            Compare::new(paths[usize::from(turned)], paths[usize::from(!turned)]).run().unwrap();
        assert_eq!((report.kind, report.weights.len()), (ReportKind::Compare, 160));
        assert_eq!(report.errors, []);
        check_unchanged(&report.weights);
        for weight in &report.weights {
            let other = weight.other.as_deref().unwrap();
            let (short, long) =
                if turned { (other, &*weight.name) } else { (&*weight.name, other) };
            assert_eq!(long, format!("transformer.{short}"));
        }
    }
}

/// The model in another element type, its values rounded to it.
fn cast(model: &Model, dtype: DType) -> Model {
    let mut model = model.clone();
    for tensor in &mut model.tensors {
        tensor.dtype = dtype;
        if dtype == DType::F32 {
            continue;
        }
        let bytes = encode(dtype, &tensor.values);
        let values = values_of_patterns(dtype, &bytes);
        tensor.values = values;
    }
    model
}

/// Values of the bit patterns of a type of 16 bits.
fn values_of_patterns(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let patterns = bytes.as_chunks().0.iter().map(|x| u16::from_le_bytes(*x));
    let value = |bits: u16| match dtype {
        DType::BF16 => f32::from_bits(u32::from(bits) << 16),
        DType::F16 => {
            let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
            assert_ne!(exponent, 31, "neither infinite nor NaN");
            let magnitude = if exponent == 0 {
                mantissa * 2f32.powi(-24)
            } else {
                (1024.0 + mantissa) * 2f32.powi(exponent - 25)
            };
            if bits >> 15 == 1 { -magnitude } else { magnitude }
        }
        other => panic!("{other} has not 16 bits"),
    };
    patterns.map(value).collect()
}

#[test]
fn rounding_explains_a_cast() {
    let wide = fixture("tiny-gpt2");
    let [bf16, f16] = [DType::BF16, DType::F16].map(|dtype| cast(&wide, dtype));
    let [of_bf16, of_f16] = [cast(&bf16, DType::F16), cast(&f16, DType::BF16)];
    let pairs = [
        (&wide, &bf16, true),
        (&wide, &f16, true),
        (&bf16, &wide, true),
        (&f16, &wide, true),
        (&f16, &of_f16, true),
        // F16 holds values of BF16 unless they are small.
        (&bf16, &of_bf16, false),
    ];
    for (base, tuned, is_rounded) in pairs {
        let report = sound(base, tuned);
        assert_eq!(report.weights.len(), 160);
        let mut above = 0;
        for weight in &report.weights {
            assert_eq!(weight.status, WeightStatus::Ok);
            let place = format!("{} {:?}", weight.name, weight.metric("compare", "other_dtype"));
            assert_eq!(number(weight, "changed_fraction"), 0.0, "{place}");
            let (relative, floor) =
                (number(weight, "relative_l2"), number(weight, "rounding_floor"));
            assert!((relative - floor).abs() <= 1e-12 * floor, "{place}: {relative} {floor}");
            if floor > 0.0 {
                let ratio = number(weight, "above_floor");
                assert!((ratio - 1.0).abs() < 1e-12, "{place}: {ratio}");
                above += 1;
            } else {
                undefined(weight, "above_floor");
            }
        }
        // All but the masks.
        assert!(!is_rounded || above == 148, "{above}");
    }
}

#[test]
fn training_is_above_the_rounding_of_a_cast() {
    let [base, tuned] = ["tiny-gpt2", "tiny-gpt2-tuned"].map(fixture);
    let report = sound(&base, &cast(&tuned, DType::F16));
    let matrices = report.weights.iter().filter(|w| w.name.contains(".c_"));
    for weight in matrices.filter(|w| w.name.ends_with(".weight")) {
        assert!(number(weight, "above_floor") > 10.0, "{}", weight.name);
        assert!(number(weight, "changed_fraction") > 0.5, "{}", weight.name);
    }
    // Which was not trained.
    let frozen = record(&report, "wte.weight");
    assert_eq!(number(frozen, "changed_fraction"), 0.0);
    assert!((number(frozen, "above_floor") - 1.0).abs() < 1e-12);
}

/// Stores every Conv1D weight as a linear layer does.
fn turned(model: &Model) -> Model {
    let mut model = model.clone();
    for tensor in model.tensors.iter_mut().filter(|t| t.transposed) {
        let [rows, columns] = [tensor.shape[0] as usize, tensor.shape[1] as usize];
        let at = |index: usize| tensor.values[index % rows * columns + index / rows];
        tensor.values = (0..rows * columns).map(at).collect();
        tensor.shape.reverse();
        tensor.transposed = false;
    }
    model
}

#[test]
fn orientation_does_not_matter() {
    let conv1d = small(Architecture::Gpt2).build();
    let linear = turned(&conv1d);
    for (base, tuned) in [(&conv1d, &linear), (&linear, &conv1d)] {
        let report = sound(base, tuned);
        check_unchanged(&report.weights);
        assert!(report.weights.iter().any(|w| w.name.ends_with("attn.c_proj.weight")));
    }
    // Numbers of other values do not depend on it either, nor those of a cast.
    for dtype in [DType::F32, DType::BF16] {
        let other = small(Architecture::Gpt2).seed(2).dtype(dtype).build();
        let [straight, across] = [sound(&conv1d, &other), sound(&conv1d, &turned(&other))];
        for (a, b) in straight.weights.iter().zip(&across.weights) {
            // That they are stored in another way is all that may differ.
            let values = a.analyses["compare"].iter();
            for (metric, value) in values.filter(|(metric, _)| *metric != "stored_transposed") {
                let [x, y] = [Some(value), b.metric("compare", metric)]
                    .map(|value| value.and_then(weightscope::Value::as_f64));
                // The pieces that are added up have other shapes.
                let is_near = match (x, y) {
                    (Some(x), Some(y)) => (x - y).abs() <= 1e-12 * x.abs().max(1e-3),
                    (x, y) => x == y,
                };
                assert!(is_near, "{} {metric}: {x:?} {y:?}", a.name);
            }
        }
    }
}

/// Keeps the first rows of a table.
fn cut(model: &mut Model, name: &str, rows: u64) {
    let tensor = model.tensor_mut(name);
    tensor.values.truncate((rows * tensor.shape[1]) as usize);
    tensor.shape[0] = rows;
}

#[test]
fn common_rows_of_vocabularies() {
    let long = small(Architecture::Gpt2).build();
    let mut short = long.clone();
    let tables = [
        ("transformer.wte.weight", 150, 200),
        ("lm_head.weight", 199, 200),
        ("transformer.wpe.weight", 7, 40),
    ];
    for (name, rows, _) in tables {
        cut(&mut short, name, rows);
    }
    for (base, tuned) in [(&long, &short), (&short, &long)] {
        let report = sound(base, tuned);
        check_unchanged(&report.weights);
        for (name, rows, _) in tables {
            assert_eq!(number(record(&report, name), "compared_rows"), rows as f64, "{name}");
        }
        undefined(record(&report, "transformer.ln_f.weight"), "compared_rows");
    }
    // What lies behind them does not count, and what lies in them does.
    for (row, changes) in [(149, 1.0), (150, 0.0)] {
        let mut other = long.clone();
        other.tensor_mut("transformer.wte.weight").values[row * 64 + 63] += 1.0;
        let report = sound(&other, &short);
        let wte = record(&report, "transformer.wte.weight");
        assert!((number(wte, "l2_distance") - changes).abs() < 1e-6);
        assert_eq!(number(wte, "changed_fraction"), changes / (150.0 * 64.0));
        if changes > 0.0 {
            assert_eq!(number(wte, "delta_rank_above_rounding"), 1.0);
        }
    }
}

/// Names and reasons of weights that were not measured.
fn skipped(report: &Report) -> Vec<(&str, &str)> {
    let is_skipped = |w: &&WeightRecord| w.status == WeightStatus::Skipped;
    let skipped = report.weights.iter().filter(is_skipped);
    skipped.map(|w| (w.name.as_str(), w.reason.as_deref().unwrap())).collect()
}

#[test]
fn other_depths() {
    for architecture in Architecture::ALL {
        let [deep, shallow] = [3, 2].map(|blocks| small(architecture).blocks(blocks).build());
        let surplus = deep.tensors.len() - shallow.tensors.len();
        for (base, tuned, reason) in [
            (&deep, &shallow, "TUNED has no block 2: its last is 1"),
            (&shallow, &deep, "BASE has no block 2: its last is 1"),
        ] {
            let report = sound(base, tuned);
            assert_eq!(report.weights.len(), deep.tensors.len());
            let skipped = skipped(&report);
            assert_eq!(skipped.len(), surplus, "{architecture:?} {skipped:?}");
            for (name, why) in &skipped {
                assert!(name.contains(".2.") && *why == reason, "{name}: {why}");
            }
            assert!(report.weights.iter().all(|w| w.analyses.is_empty() == w.reason.is_some()));
        }
    }
}

#[test]
fn other_widths_pair_nothing() {
    let [narrow, wide] = [64, 128].map(|width| small(Architecture::Llama).width(width).build());
    let report = sound(&narrow, &wide);
    let skipped = skipped(&report);
    assert_eq!(skipped.len(), narrow.tensors.len());
    let down = record(&report, "model.layers.1.mlp.down_proj.weight");
    assert_eq!(down.reason.as_deref(), Some("shapes differ: [64, 176] against [128, 352]"));
    assert_eq!(down.other.as_deref(), Some("model.layers.1.mlp.down_proj.weight"));
}

#[test]
fn other_shapes_and_missing_tensors() {
    let base = small(Architecture::Llama).build();
    let mut tuned = base.clone();
    cut(&mut tuned, "model.layers.0.mlp.up_proj.weight", 100);
    tuned.remove("model.layers.1.self_attn.q_proj.weight");
    tuned.remove("model.norm.weight");
    let report = sound(&base, &tuned);
    let expected = [
        ("model.layers.0.mlp.up_proj.weight", "shapes differ: [176, 64] against [100, 64]"),
        ("model.layers.1.self_attn.q_proj.weight", "TUNED has no counterpart"),
        ("model.norm.weight", "TUNED has no counterpart"),
    ];
    let mut found = skipped(&report);
    found.sort_unstable();
    assert_eq!(found, expected);
    let is_measured = |w: &&WeightRecord| w.status == WeightStatus::Ok;
    check_unchanged(report.weights.iter().filter(is_measured));
    assert_eq!(report.weights.iter().filter(is_measured).count(), base.tensors.len() - 3);

    let report = sound(&tuned, &base);
    let found = skipped(&report);
    assert_eq!(found.len(), 3);
    assert!(found.contains(&("model.norm.weight", "BASE has no counterpart")));
}

#[test]
fn models_that_have_nothing_in_common() {
    for (a, b) in [
        (Architecture::Gpt2, Architecture::Seq2Seq),
        (Architecture::Bert, Architecture::Llama),
        (Architecture::Llama, Architecture::Gpt2),
    ] {
        let report = compared(&small(a).build(), &small(b).width(128).build());
        assert_eq!(report.errors, []);
        assert!(report.weights.iter().all(|w| !w.analyses.is_empty() || w.reason.is_some()));
    }
}

#[test]
fn values_that_are_not_finite() {
    let sane = small(Architecture::Llama).build();
    let names = ["model.layers.1.mlp.up_proj.weight", "model.layers.0.self_attn.k_proj.weight"];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut broken = sane.clone();
        for name in names {
            broken.tensor_mut(name).values[77] = bad;
        }
        for (base, tuned, counts) in [(&sane, &broken, [0, 1]), (&broken, &sane, [1, 0])] {
            let [of_base, of_tuned] = counts;
            let why =
                format!("values that are NaN or infinite: {of_base} of BASE, {of_tuned} of TUNED");
            let report = sound(base, tuned);
            for weight in &report.weights {
                if !names.contains(&weight.name.as_str()) {
                    check_unchanged([weight]);
                    continue;
                }
                assert_eq!(weight.status, WeightStatus::Ok);
                for metric in ["l2_distance", "relative_l2", "cosine_similarity", "above_floor"] {
                    assert_eq!(undefined(weight, metric), why);
                }
                for metric in ["delta_stable_rank", "delta_rank_above_rounding", "spectral_shift"] {
                    undefined(weight, metric);
                }
                let count: u64 = weight.shape.iter().product();
                assert_eq!(number(weight, "changed_fraction"), 1.0 / count as f64);
                let found = ["base_not_finite", "not_finite"].map(|metric| number(weight, metric));
                assert_eq!(found, counts.map(f64::from));
            }
        }
        // The same bytes are the same bytes.
        check_unchanged(&sound(&broken, &broken).weights);
    }
}

#[test]
fn neurons_that_are_not_finite_are_not_matched() {
    let sane = small(Architecture::Gpt2).build();
    let mut broken = sane.clone();
    broken.tensor_mut("transformer.h.1.mlp.c_fc.weight").values[77] = f32::NAN;
    for (base, tuned) in [(&sane, &broken), (&broken, &sane)] {
        let report = sound(base, tuned);
        let fc = record(&report, "transformer.h.1.mlp.c_fc.weight");
        assert_eq!(fc.number("lineage", "match_p_value"), None);
        assert!(fc.undefined.contains_key("lineage.match_p_value"), "{:?}", fc.undefined);
        let fc = record(&report, "transformer.h.0.mlp.c_fc.weight");
        assert!(fc.number("lineage", "match_p_value").unwrap() < 1e-30);
    }
}

#[test]
fn values_that_a_narrower_type_does_not_hold() {
    let base = model_of(&[("w", &[2, 2], vec![1.0, 2.0, 3.0, 4.0])]);
    let (mut wide, mut narrow) = (base.clone(), base);
    wide.tensors[0].values[0] = 1e5;
    narrow.tensors[0].dtype = DType::F16;
    let report = sound(&narrow, &wide);
    let weight = record(&report, "w");
    assert_eq!(number(weight, "l2_distance"), 1e5 - 1.0);
    assert_eq!(number(weight, "changed_fraction"), 0.25);
    for metric in ["rounding_floor", "above_floor"] {
        let why = undefined(weight, metric);
        assert_eq!(why, "values are beyond the range of the other element type");
    }
}

#[test]
fn an_all_zero_base() {
    let tuned = small(Architecture::Gpt2).build();
    let mut base = tuned.clone();
    for tensor in &mut base.tensors {
        tensor.values.fill(0.0);
    }
    let report = sound(&base, &tuned);
    for weight in &report.weights {
        let changed = number(weight, "changed_fraction");
        if changed == 0.0 {
            check_unchanged([weight]);
            continue;
        }
        assert_eq!(undefined(weight, "relative_l2"), "every value of BASE is zero");
        assert_eq!(undefined(weight, "cosine_similarity"), "one of the two is zero");
        assert!(number(weight, "l2_distance") > 0.0);
        assert_eq!(number(weight, "rounding_floor"), 0.0);
        assert_eq!(number(weight, "sign_flip_fraction"), 0.0);
    }
    let report = sound(&tuned, &base);
    let wte = record(&report, "transformer.wte.weight");
    assert_eq!(number(wte, "relative_l2"), 1.0);
    // Nothing is lost in storing zeros, and so every direction stands out.
    assert_eq!(number(wte, "delta_rank_above_rounding"), 64.0);
    assert_eq!(number(wte, "spectral_shift"), 1.0);
    check_unchanged(&sound(&base, &base).weights);
}

#[test]
fn empty_tensors_and_scalars() {
    let model = |x: f32| {
        model_of(&[
            ("a.weight", &[0, 8], vec![]),
            ("b.weight", &[0], vec![]),
            ("c.weight", &[8, 0], vec![]),
            ("d.weight", &[], vec![x]),
            ("e.weight", &[1, 1], vec![x]),
            ("f.weight", &[1, 3], vec![x, 1.0, 2.0]),
            ("g.weight", &[2, 0, 3], vec![]),
        ])
    };
    for dtype in [DType::F32, DType::BF16] {
        let mut tuned = model(2.0);
        tuned.tensors.iter_mut().for_each(|t| t.dtype = dtype);
        let report = sound(&model(1.0), &tuned);
        assert_eq!(report.weights.len(), 7);
        for weight in &report.weights {
            let is_changed = ["d.weight", "e.weight", "f.weight"].contains(&weight.name.as_str());
            assert_eq!(weight.status, WeightStatus::Ok, "{:?}", weight.reason);
            assert_eq!(number(weight, "l2_distance"), f64::from(u8::from(is_changed)));
            undefined(weight, "delta_stable_rank");
        }
    }
}

#[test]
fn integers_and_booleans() {
    let values = vec![1.0, 0.0, 5.0, 100.0];
    let mut base = model_of(&[
        ("a", &[2, 2], values.clone()),
        ("b", &[4], values.clone()),
        ("c", &[4], values),
    ]);
    for (tensor, dtype) in base.tensors.iter_mut().zip([DType::I32, DType::Bool, DType::I64]) {
        tensor.dtype = dtype;
    }
    check_unchanged(&sound(&base, &base.clone()).weights);
    let mut tuned = base.clone();
    tuned.tensors[0].values[2] = 8.0;
    tuned.tensors[1].values[1] = 1.0;
    // Another integer type with the same values.
    tuned.tensors[2].dtype = DType::U8;
    let report = sound(&base, &tuned);
    for (name, distance, changed) in [("a", 3.0, 0.25), ("b", 1.0, 0.25), ("c", 0.0, 0.0)] {
        let weight = record(&report, name);
        assert_eq!(number(weight, "l2_distance"), distance, "{name}");
        assert_eq!(number(weight, "changed_fraction"), changed, "{name}");
        assert_eq!(number(weight, "rounding_floor"), 0.0, "{name}");
        undefined(weight, "delta_stable_rank");
    }
    // And against floats.
    tuned.tensors.iter_mut().for_each(|t| t.dtype = DType::F32);
    let report = sound(&base, &tuned);
    for weight in &report.weights {
        assert_eq!(weight.status, WeightStatus::Ok, "{} {:?}", weight.name, weight.reason);
        assert_eq!(weight.other.as_deref(), Some(weight.name.as_str()));
    }
    assert_eq!(number(record(&report, "a"), "l2_distance"), 3.0);
    assert_eq!(number(record(&report, "a"), "changed_fraction"), 0.25);
    assert_eq!(number(record(&report, "c"), "changed_fraction"), 0.0);
}

#[test]
fn f64_against_f32() {
    let single = small(Architecture::Gpt2).build();
    let mut double = single.clone();
    double.tensors.iter_mut().for_each(|t| t.dtype = DType::F64);
    for (base, tuned) in [(&single, &double), (&double, &single)] {
        let report = sound(base, tuned);
        check_unchanged(&report.weights);
        assert!(report.weights.iter().all(|w| number(w, "rounding_floor") == 0.0));
    }
    let mut other = small(Architecture::Gpt2).seed(9).build();
    let want = sound(&single, &other);
    other.tensors.iter_mut().for_each(|t| t.dtype = DType::F64);
    let found = sound(&single, &other);
    for (a, b) in want.weights.iter().zip(&found.weights) {
        for metric in ["l2_distance", "max_abs_difference", "sign_flip_fraction"] {
            assert_eq!(number(a, metric), number(b, metric), "{} {metric}", a.name);
        }
    }
}

#[test]
fn threads_change_nothing() {
    let [base, tuned] = ["tiny-gpt2", "tiny-gpt2-tuned"].map(fixture);
    let json = |threads| {
        let report = compared_by(&[], &base, &tuned, threads);
        render(&report, Format::Json, &RenderOptions::default()).unwrap()
    };
    assert!(json(1) == json(3));
}

#[test]
fn a_merged_adapter_has_its_rank() {
    let paths = ["tiny-gpt2", "tiny-gpt2-lora"].map(|name| fixtures().join(name));
    let [base, tuned] = &paths;
    let report = Compare::new(base, tuned).run().unwrap();
    assert_eq!(report.errors, []);
    let (changed, same): (Vec<&WeightRecord>, Vec<&WeightRecord>) =
        report.weights.iter().partition(|w| w.name.ends_with("c_attn.weight"));
    assert_eq!((changed.len(), same.len()), (12, 148));
    check_unchanged(same);
    for weight in changed {
        assert!(number(weight, "changed_fraction") > 0.9, "{}", weight.name);
        assert_eq!(number(weight, "delta_rank_above_rounding"), 4.0, "{}", weight.name);
        assert!(number(weight, "delta_rank_gap") > 2.0, "{}", weight.name);
        assert!(number(weight, "delta_energy_rank_90") <= 4.0, "{}", weight.name);
    }
}

/// The p-values of the blocks.
fn match_p_values(report: &Report) -> Vec<f64> {
    report.weights.iter().filter_map(|w| w.number("lineage", "match_p_value")).collect()
}

/// Kolmogorov-Smirnov distance of some values from the uniform law.
fn distance_from_uniform(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let distances = values.iter().zip(0u32..).map(|(value, i)| {
        let i = f64::from(i);
        (value - i / n).max((i + 1.0) / n - value)
    });
    distances.fold(0.0, f64::max)
}

/// Chance of the combined p-values of pairs of models that were initialised apart, if they are uniform.
fn lineage_of_strangers(architecture: Architecture, pairs: u64) -> f64 {
    let combined = |n: u64| {
        let model = |seed| {
            let spec = ModelSpec::new(architecture).blocks(2).width(64).seed(seed);
            let mut model = spec.build();
            model.tensors.retain(|t| t.name.contains("mlp") || !t.name.contains(".1."));
            model
        };
        let report = compared_by(&["lineage"], &model(2 * n), &model(2 * n + 1), 1);
        assert_eq!(report.errors, []);
        let p_values = match_p_values(&report);
        assert_eq!(p_values.len(), 2);
        10f64.powf(fisher(&p_values).unwrap())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8) as u64;
    let values: Vec<f64> = std::thread::scope(|scope| {
        let share = |first| (first..pairs).step_by(threads as usize).map(combined).collect();
        let workers: Vec<_> =
            (0..threads).map(|first| scope.spawn(move || -> Vec<f64> { share(first) })).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(values.len() as u64, pairs);
    let p = kolmogorov_sf(pairs, distance_from_uniform(values));
    println!("{architecture:?}: {p}");
    p
}

#[test]
fn strangers_have_uniform_p_values() {
    for architecture in [Architecture::Gpt2, Architecture::Llama] {
        let p = lineage_of_strangers(architecture, 200);
        assert!(p > 0.01, "{architecture:?}: {p}");
    }
}

/// Puts the hidden neurons of every MLP into another order, which changes nothing of what the model computes.
fn shuffle_neurons(model: &mut Model, blocks: usize, seed: u64) {
    let mut random = Random::new(seed);
    for block in 0..blocks {
        let name = |part: &str| format!("h.{block}.mlp.{part}");
        let hidden = model.tensor_mut(&name("c_fc.bias")).values.len();
        let mut order: Vec<usize> = (0..hidden).collect();
        for last in (1..hidden).rev() {
            order.swap(last, random.next_u64() as usize % (last + 1));
        }
        for part in ["c_fc.weight", "c_fc.bias"] {
            let tensor = model.tensor_mut(&name(part));
            let old = tensor.values.clone();
            let rows = tensor.values.chunks_exact_mut(hidden).zip(old.chunks_exact(hidden));
            for (row, old) in rows {
                row.iter_mut().zip(&order).for_each(|(value, from)| *value = old[*from]);
            }
        }
        let tensor = model.tensor_mut(&name("c_proj.weight"));
        let (old, width) = (tensor.values.clone(), tensor.values.len() / hidden);
        for (row, from) in tensor.values.chunks_exact_mut(width).zip(&order) {
            row.copy_from_slice(&old[from * width..(from + 1) * width]);
        }
    }
}

#[test]
fn descendants_are_recognised() {
    let [base, tuned] = ["tiny-gpt2", "tiny-gpt2-tuned"].map(fixture);
    let mut shuffled = tuned.clone();
    shuffle_neurons(&mut shuffled, 12, 4);
    for (kind, tuned) in [("tuned", &tuned), ("shuffled", &shuffled)] {
        let report = compared_by(&["lineage"], &base, tuned, 0);
        assert_eq!(report.errors, []);
        let p_values = match_p_values(&report);
        assert_eq!(p_values.len(), 8, "{kind}");
        let combined = fisher(&p_values).unwrap();
        println!(
            "{kind}: 10^{combined:.1}, worst block {:e}",
            p_values.iter().copied().fold(0.0, f64::max)
        );
        assert!(combined < -10.0, "{kind}: 10^{combined}");
    }
    // In another order they are not the same values.
    let report = compared_by(&["compare"], &tuned, &shuffled, 0);
    assert!(number(record(&report, "h.5.mlp.c_fc.weight"), "relative_l2") > 1.0);
}
