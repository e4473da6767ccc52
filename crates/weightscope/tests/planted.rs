//! One defect planted in a sound model: the scan finds exactly that.

use std::fs;

use weightscope::Severity::{Critical, Info, Warning};
use weightscope::{
    Analyzer, DType, Finding, Report, ReportKind, Scan, Severity, Status, builtin_registry, rejudge,
};
use weightscope_testkit::models::{
    Architecture, Model, ModelSpec, ModelTensor, with_singular_values,
};
use weightscope_testkit::{Random, report_of};

/// A finding: severity, code, weight (empty for the model).
type Found = (Severity, String, String);

/// The blocks of the sound models: enough for siblings to be compared.
const BLOCKS: usize = 8;

/// What to plant defects in, with its tensors by what they do.
struct Subject {
    architecture: Architecture,
    embedding: &'static str,
    /// A square matrix of block 3, an MLP's first and last one, without `.weight`.
    attention: &'static str,
    up: &'static str,
    down: &'static str,
    /// The matrices of a block, with `{b}` for it.
    matrices: &'static [&'static str],
}

const GPT2: Subject = Subject {
    architecture: Architecture::Gpt2,
    embedding: "transformer.wte.weight",
    attention: "transformer.h.{b}.attn.c_proj.weight",
    up: "transformer.h.{b}.mlp.c_fc.weight",
    down: "transformer.h.{b}.mlp.c_proj.weight",
    matrices: &[
        "transformer.h.{b}.attn.c_attn.weight",
        "transformer.h.{b}.attn.c_proj.weight",
        "transformer.h.{b}.mlp.c_fc.weight",
        "transformer.h.{b}.mlp.c_proj.weight",
    ],
};

const LLAMA: Subject = Subject {
    architecture: Architecture::Llama,
    embedding: "model.embed_tokens.weight",
    attention: "model.layers.{b}.self_attn.q_proj.weight",
    up: "model.layers.{b}.mlp.up_proj.weight",
    down: "model.layers.{b}.mlp.down_proj.weight",
    matrices: &[
        "model.layers.{b}.self_attn.q_proj.weight",
        "model.layers.{b}.self_attn.k_proj.weight",
        "model.layers.{b}.self_attn.v_proj.weight",
        "model.layers.{b}.self_attn.o_proj.weight",
        "model.layers.{b}.mlp.gate_proj.weight",
        "model.layers.{b}.mlp.up_proj.weight",
        "model.layers.{b}.mlp.down_proj.weight",
    ],
};

const BERT: Subject = Subject {
    architecture: Architecture::Bert,
    embedding: "embeddings.word_embeddings.weight",
    attention: "encoder.layer.{b}.attention.self.query.weight",
    up: "encoder.layer.{b}.intermediate.dense.weight",
    down: "encoder.layer.{b}.output.dense.weight",
    matrices: &[
        "encoder.layer.{b}.attention.self.query.weight",
        "encoder.layer.{b}.attention.self.key.weight",
        "encoder.layer.{b}.attention.self.value.weight",
        "encoder.layer.{b}.attention.output.dense.weight",
        "encoder.layer.{b}.intermediate.dense.weight",
        "encoder.layer.{b}.output.dense.weight",
    ],
};

const SUBJECTS: [&Subject; 3] = [&GPT2, &LLAMA, &BERT];

impl Subject {
    fn spec(&self) -> ModelSpec {
        let dtype = if self.architecture == Architecture::Llama { DType::BF16 } else { DType::F32 };
        ModelSpec::new(self.architecture).blocks(BLOCKS).dtype(dtype).seed(11)
    }

    fn model(&self) -> Model {
        self.spec().build()
    }
}

/// A name with its block.
fn at(pattern: &str, block: usize) -> String {
    pattern.replace("{b}", &block.to_string())
}

fn scan(model: &Model) -> Report {
    let report = report_of(&builtin_registry().analyzers(), model);
    assert_eq!(report.errors, []);
    report
}

/// Which of its metrics stands out most from its siblings, and so whose finding it is, depends on chance.
const UNLIKE: &str = "*.unlike-siblings";

/// The findings of at least this severity. That the model as a whole was never trained is true of all that only have
/// their initial values, and left out.
fn found(report: &Report, least: Severity) -> Vec<Found> {
    let mut found: Vec<Found> = report
        .findings
        .iter()
        .filter(|f| f.severity >= least)
        .filter(|f| f.code != "integrity.untrained" || f.weight.is_some())
        .map(|f| {
            let unlike = f.code.ends_with(".unlike-siblings");
            let code = if unlike { UNLIKE.to_owned() } else { f.code.to_string() };
            (f.severity, code, f.weight.clone().unwrap_or_default())
        })
        .collect();
    found.sort();
    found
}

/// Plants in a sound model; the findings above info must be exactly these.
#[track_caller]
fn check(subject: &Subject, plant: impl FnOnce(&mut Model), expected: &[(Severity, &str, String)]) {
    let mut model = subject.model();
    plant(&mut model);
    check_model(&model, expected);
}

#[track_caller]
fn check_model(model: &Model, expected: &[(Severity, &str, String)]) -> Report {
    let report = scan(model);
    let mut expected: Vec<Found> =
        expected.iter().map(|(s, code, name)| (*s, (*code).to_owned(), name.clone())).collect();
    expected.sort();
    assert_eq!(found(&report, Warning), expected, "{:#?}", report.findings);
    report
}

/// The one finding or fact with this code.
#[track_caller]
fn message<'a>(report: &'a Report, code: &str) -> &'a str {
    let all = report.findings.iter().chain(&report.facts);
    let found: Vec<_> = all.filter(|f| f.code == code).collect();
    let [finding] = found.as_slice() else { panic!("{found:#?}") };
    &finding.message
}

/// Normal values with a few large ones, as training leaves them: never taken for initialised.
fn train(model: &mut Model) {
    let mut random = Random::new(5);
    for tensor in model.tensors.iter_mut().filter(|t| t.shape.len() == 2) {
        for value in &mut tensor.values {
            // Student's t with 8 degrees of freedom has an excess kurtosis of 1.5; with much fewer a single value
            // makes a small matrix unlike its siblings.
            let chi: f64 = (0..8).map(|_| random.normal().powi(2)).sum();
            *value *= (8.0 / chi).sqrt() as f32;
        }
    }
}

#[test]
fn sound_models_have_nothing() {
    for subject in SUBJECTS {
        check(subject, |_| {}, &[]);
        check(subject, train, &[]);
    }
}

#[test]
fn values_that_are_not_finite() {
    for subject in SUBJECTS {
        for pattern in [subject.attention, subject.down, subject.embedding] {
            let name = at(pattern, 3);
            for bad in [f32::NAN, f32::INFINITY] {
                let plant = |m: &mut Model| m.tensor_mut(&name).values[777] = bad;
                check(subject, plant, &[(Critical, "integrity.non-finite", name.clone())]);
            }
        }
    }
    let norm = "model.layers.2.input_layernorm.weight".to_owned();
    let plant = |m: &mut Model| m.tensor_mut(&norm).values[1] = f32::NAN;
    check(&LLAMA, plant, &[(Critical, "integrity.non-finite", norm.clone())]);
}

#[test]
fn infinities_in_a_mask_are_normal() {
    let mut model = GPT2.model();
    let mask = "transformer.h.3.attn.bias";
    model.tensor_mut(mask).values[1] = f32::NEG_INFINITY;
    let report = check_model(&model, &[]);
    let expected = (Info, "integrity.non-finite".to_owned(), mask.to_owned());
    assert_eq!(found(&report, Info), [expected]);
    model.tensor_mut(mask).values[1] = f32::NAN;
    check_model(&model, &[(Critical, "integrity.non-finite", mask.to_owned())]);
}

#[test]
fn zero_matrices() {
    for subject in SUBJECTS {
        for pattern in [subject.attention, subject.up, subject.down, subject.embedding] {
            let name = at(pattern, 3);
            let plant = |m: &mut Model| m.tensor_mut(&name).values.fill(0.0);
            check(subject, plant, &[(Critical, "integrity.all-zero", name.clone())]);
        }
    }
}

#[test]
fn a_role_that_is_zero_everywhere() {
    for subject in SUBJECTS {
        let names: Vec<String> = (0..BLOCKS).map(|b| at(subject.down, b)).collect();
        let plant = |m: &mut Model| {
            for name in &names {
                m.tensor_mut(name).values.fill(0.0);
            }
        };
        // Nothing but initialised: a zero-initialised projection.
        let mut model = subject.model();
        plant(&mut model);
        let report = check_model(&model, &[]);
        assert_eq!(
            report.findings.iter().filter(|f| f.code == "integrity.all-zero").count(),
            BLOCKS
        );
        // Trained: one that training never reached.
        train(&mut model);
        let expected: Vec<_> =
            names.iter().map(|n| (Warning, "integrity.all-zero", n.clone())).collect();
        check_model(&model, &expected);
    }
}

#[test]
fn dead_units() {
    for subject in SUBJECTS {
        for pattern in [subject.attention, subject.up, subject.down] {
            let name = at(pattern, 3);
            let expected = [(Warning, "sparsity.dead-units", name.clone())];
            check(subject, |m| m.tensor_mut(&name).scale_output(5, 1e-6), &expected);
            check(subject, |m| m.tensor_mut(&name).scale_input(9, 1e-6), &expected);
            let expected = [(Critical, "sparsity.dead-units", name.clone())];
            let many = |m: &mut Model| {
                let tensor = m.tensor_mut(&name);
                let outputs = tensor.outputs();
                (0..=outputs / 10).for_each(|unit| tensor.scale_output(unit, 1e-6));
            };
            check(subject, many, &expected);
        }
    }
}

#[test]
fn dead_units_are_named_as_outputs_and_inputs() {
    // Stored [in, out]: outputs are columns.
    let mut model = GPT2.model();
    model.tensor_mut("transformer.h.3.mlp.c_fc.weight").scale_output(5, 0.0);
    let told = scan(&model);
    let said = message(&told, "sparsity.dead-units");
    assert!(said.starts_with("1 of 256 output units are dead (number 5)"), "{said}");
    let mut model = LLAMA.model();
    model.tensor_mut("model.layers.3.mlp.up_proj.weight").scale_input(5, 0.0);
    let told = scan(&model);
    let said = message(&told, "sparsity.dead-units");
    assert!(said.starts_with("1 of 64 input features are dead (number 5)"), "{said}");
}

#[test]
fn a_dead_neuron_is_one_finding() {
    let [gate, up, down] =
        ["gate", "up", "down"].map(|part| format!("model.layers.3.mlp.{part}_proj.weight"));
    for factor in [0.0, 1e-6] {
        let mut model = LLAMA.model();
        model.tensor_mut(&gate).scale_output(17, factor);
        model.tensor_mut(&up).scale_output(17, factor);
        model.tensor_mut(&down).scale_input(17, factor);
        let report = check_model(&model, &[(Warning, "sparsity.dead-units", gate.clone())]);
        let said = message(&report, "sparsity.dead-units");
        assert!(said.starts_with("1 of 176 neurons are dead (number 17)"), "{said}");
    }
    // Another output of the gate alone is told on the gate.
    let mut model = LLAMA.model();
    model.tensor_mut(&down).scale_input(17, 0.0);
    check_model(&model, &[(Warning, "sparsity.dead-units", down)]);
}

#[test]
fn constant_matrices() {
    for subject in SUBJECTS {
        let name = at(subject.up, 3);
        let plant = |m: &mut Model| m.tensor_mut(&name).values.fill(0.5);
        check(subject, plant, &[(Warning, "integrity.constant", name.clone())]);
    }
}

#[test]
fn copies() {
    for subject in SUBJECTS {
        for pattern in [subject.attention, subject.up] {
            let copy = at(pattern, 3);
            let expected = [(Warning, "integrity.duplicate", copy.clone())];
            let same = |m: &mut Model| {
                m.tensor_mut(&copy).values = m.tensor_mut(&at(pattern, 1)).values.clone();
            };
            check(subject, same, &expected);
            // Cosine 0.97: the original and a quarter of noise. Then the same turned around.
            for sign in [1.0, -1.0] {
                let near = |m: &mut Model| {
                    let original = m.tensor_mut(&at(pattern, 1)).values.clone();
                    let noise = std::mem::take(&mut m.tensor_mut(&copy).values);
                    m.tensor_mut(&copy).values = std::iter::zip(original, noise)
                        .map(|(x, e)| sign * (0.97 * x + 0.243 * e))
                        .collect();
                };
                check(subject, near, &expected);
            }
        }
    }
}

#[test]
fn a_missing_shard() {
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let shards = subject.model().to_checkpoint().write_shards(folder.path(), 3).unwrap();
        fs::remove_file(&shards[1]).unwrap();
        let report = Scan::new([folder.path()]).run().unwrap();
        assert_eq!(report.status, Status::Partial);
        let expected = (Critical, "integrity.shard".to_owned(), String::new());
        assert_eq!(found(&report, Warning), [expected], "{:#?}", report.findings);
    }
}

#[test]
fn a_cut_shard() {
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let shards = subject.model().to_checkpoint().write_shards(folder.path(), 3).unwrap();
        let bytes = fs::read(&shards[1]).unwrap();
        fs::write(&shards[1], &bytes[..bytes.len() - 100]).unwrap();
        let report = Scan::new([folder.path()]).run().unwrap();
        assert_eq!(report.status, Status::Partial);
        let expected = (Critical, "integrity.truncated".to_owned(), String::new());
        assert_eq!(found(&report, Warning), [expected], "{:#?}", report.findings);
    }
}

#[test]
fn a_missing_tensor() {
    for subject in SUBJECTS {
        for pattern in [subject.up, subject.embedding] {
            let name = at(pattern, 3);
            let mut model = subject.model();
            model.remove(&name);
            let report = check_model(&model, &[(Critical, "integrity.missing", String::new())]);
            assert_eq!(message(&report, "integrity.missing"), format!("missing: {name}"));
        }
    }
}

#[test]
fn a_wrong_shape() {
    for subject in SUBJECTS {
        let name = at(subject.up, 3);
        let mut model = subject.model();
        let tensor = model.tensor_mut(&name);
        // A row less on the output side.
        let (outputs, axis) = (tensor.outputs(), usize::from(tensor.transposed));
        let keep = |index: usize| {
            let unit = if axis == 1 { index % outputs } else { index / 64 };
            unit < outputs - 1
        };
        tensor.values = std::mem::take(&mut tensor.values)
            .into_iter()
            .enumerate()
            .filter_map(|(index, v)| keep(index).then_some(v))
            .collect();
        tensor.shape[axis] -= 1;
        check_model(&model, &[(Critical, "integrity.shape", name)]);
    }
}

#[test]
fn values_above_f16() {
    for subject in SUBJECTS {
        // One such value among small ones is no weight: it is damage, and what follows from it are facts.
        for name in [at(subject.up, 3), subject.embedding.to_owned()] {
            let plant = |m: &mut Model| m.tensor_mut(&name).values[100] = -7e4;
            let mut model = subject.model();
            plant(&mut model);
            let report = check_model(&model, &[(Critical, "integrity.damaged", name.clone())]);
            let facts: Vec<&str> = report.facts.iter().map(|f| &*f.code).collect();
            assert!(facts.contains(&"integrity.f16-overflow"), "{facts:?}");
        }
        // All of a table are large.
        let name = subject.embedding.to_owned();
        let plant = |m: &mut Model| {
            m.tensor_mut(subject.embedding).values.iter_mut().for_each(|v| *v *= 1e6);
        };
        check(subject, plant, &[(Warning, "integrity.f16-overflow", name)]);
    }
    // Masks hold such values.
    check(&GPT2, |m| m.tensor_mut("transformer.h.0.attn.masked_bias").values[0] = -3.4e38, &[]);
}

#[test]
fn heads_that_should_be_tied_or_should_not() {
    for subject in [&GPT2, &LLAMA] {
        let mut model = subject.model();
        let head = "lm_head.weight";
        let expected = [(Warning, "integrity.tied-mismatch", head.to_owned())];
        // config.json unties them and they are one.
        model.tensor_mut(head).values = model.tensor_mut(subject.embedding).values.clone();
        check_model(&model, &expected);
        // It ties them and they are one.
        model.config =
            model.config.replace("\"tie_word_embeddings\":false", "\"tie_word_embeddings\":true");
        check_model(&model, &[]);
        // It ties them and they differ.
        model.tensor_mut(head).values[9] = 0.125;
        check_model(&model, &expected);
    }
}

#[test]
fn a_block_out_of_scale() {
    for subject in SUBJECTS {
        for factor in [10.0, 0.1] {
            let names: Vec<String> = subject.matrices.iter().map(|m| at(m, 3)).collect();
            let plant = |m: &mut Model| {
                for name in &names {
                    m.tensor_mut(name).scale(factor);
                }
            };
            let expected: Vec<_> =
                names.iter().map(|name| (Warning, UNLIKE, name.clone())).collect();
            check(subject, plant, &expected);
        }
    }
}

#[test]
fn padding_tokens() {
    for subject in SUBJECTS {
        let mut model = subject.model();
        let embedding = model.tensor_mut(subject.embedding);
        (0..3).for_each(|token| embedding.scale_output(token, 0.0));
        embedding.scale_output(7, 1e-5);
        let report = check_model(&model, &[]);
        let expected = (Info, "tokens.untrained".to_owned(), subject.embedding.to_owned());
        assert_eq!(found(&report, Info), [expected]);
        let said = message(&report, "tokens.untrained");
        assert!(
            said.starts_with("4 of 200 tokens") && said.contains("number 0, 1, 2, 7"),
            "{said}"
        );
    }
}

#[test]
fn two_of_four() {
    for subject in SUBJECTS {
        let name = at(subject.up, 3);
        let mut model = subject.model();
        let tensor = model.tensor_mut(&name);
        let stride = if tensor.transposed { tensor.shape[1] as usize } else { 1 };
        for (index, value) in tensor.values.iter_mut().enumerate() {
            let input = index / stride % 64;
            *value *= if input % 4 < 2 { 0.0 } else { 1.0 };
        }
        // Every other pair of inputs is dead, all over the matrix; that is a fact of its own.
        let report = check_model(&model, &[(Critical, "sparsity.dead-units", name.clone())]);
        assert!(message(&report, "sparsity.prunable").contains("2:4"));
        // Pruned by magnitude no input is dead.
        let mut model = subject.model();
        let tensor = model.tensor_mut(&name);
        for start in 0..tensor.values.len() {
            let is_first = start / stride % 4 == 0;
            if !is_first {
                continue;
            }
            let mut group: Vec<usize> = (0..4).map(|k| start + k * stride).collect();
            group.sort_by(|a, b| tensor.values[*a].abs().total_cmp(&tensor.values[*b].abs()));
            group[..2].iter().for_each(|index| tensor.values[*index] = 0.0);
        }
        let report = check_model(&model, &[]);
        let facts: Vec<_> = report.facts.iter().map(|f| (&*f.code, f.weight.as_deref())).collect();
        assert_eq!(facts, [("sparsity.prunable", Some(name.as_str()))]);
        assert!(message(&report, "sparsity.prunable").contains("2:4"));
    }
}

#[test]
fn scales_with_zeros() {
    let mut model = LLAMA.spec().blocks(2).build();
    for block in 0..2 {
        let name = at(LLAMA.down, block);
        let tensor = model.tensor_mut(&name);
        tensor.dtype = DType::F8E4M3;
        let mut scales = tensor.clone();
        let row = tensor.shape[1] as usize;
        scales.name = format!("{name}_scale");
        scales.dtype = DType::F32;
        scales.shape[1] = 1;
        scales.values.clear();
        for row in tensor.values.chunks_mut(row) {
            let scale = row.iter().fold(0.0f32, |m, v| m.max(v.abs())) / 448.0;
            for value in row.iter_mut() {
                *value /= scale;
            }
            scales.values.push(scale);
        }
        model.tensors.push(scales);
    }
    check_model(&model, &[]);
    let name = format!("{}_scale", at(LLAMA.down, 1));
    model.tensor_mut(&name).values[3] = 0.0;
    check_model(&model, &[(Warning, "integrity.zero-scale", name)]);
}

/// Too few blocks for siblings: every planted spectrum also stands apart from those of the other blocks.
fn without_siblings(subject: &Subject, dtype: DType) -> Model {
    subject.spec().blocks(5).dtype(dtype).build()
}

/// Replaces a matrix by one with these singular values (from the share of the way down) and the same size.
fn plant_spectrum(model: &mut Model, name: &str, sigma: impl Fn(f64) -> f64, rank: f64) {
    let tensor = model.tensor_mut(name);
    let [rows, columns] = [tensor.shape[0] as usize, tensor.shape[1] as usize];
    let count = (rank * rows.min(columns) as f64) as usize;
    let sigma: Vec<f64> = (0..count).map(|i| sigma(i as f64 / (count - 1) as f64)).collect();
    tensor.values = with_singular_values(&mut Random::new(7), rows, columns, &sigma, 0.02);
}

#[test]
fn a_geometric_spectrum() {
    for subject in SUBJECTS {
        for pattern in [subject.attention, subject.up, subject.down] {
            let name = at(pattern, 3);
            let geometric = |smallest: f64| move |share| smallest.powf(share);
            let mut model = without_siblings(subject, DType::F32);
            plant_spectrum(&mut model, &name, geometric(1e-7), 1.0);
            check_model(&model, &[(Critical, "spectral.ill-conditioned", name.clone())]);
            // BF16 holds three of nine decades.
            let mut model = without_siblings(subject, DType::BF16);
            plant_spectrum(&mut model, &name, geometric(1e-9), 1.0);
            check_model(&model, &[(Critical, "spectral.rank-deficient", name.clone())]);
        }
    }
}

#[test]
fn ranks_below_full_survive_rounding() {
    for subject in SUBJECTS {
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            for (rank, severity) in [(0.25, Critical), (0.75, Warning)] {
                for pattern in [subject.attention, subject.up] {
                    let name = at(pattern, 3);
                    let mut model = without_siblings(subject, dtype);
                    plant_spectrum(&mut model, &name, |share| 1.0 - 0.8 * share, rank);
                    let expected = [(severity, "spectral.rank-deficient", name.clone())];
                    let report = check_model(&model, &expected);
                    let said = message(&report, "spectral.rank-deficient");
                    // The noise is that of its edge, which strays by some percent in small matrices.
                    let kept = 64 * (4.0 * rank) as u64 / 4;
                    let words = [kept, kept + 1]
                        .map(|n| format!("{n} of 64 singular values are above what {dtype}"));
                    assert!(words.iter().any(|words| said.starts_with(words)), "{said}");
                }
            }
        }
    }
}

#[test]
fn a_dominant_direction() {
    // A stable rank of 2 % needs 50 times as much in a random matrix.
    for dtype in [DType::F32, DType::BF16] {
        let mut model =
            ModelSpec::new(Architecture::Bert).width(256).blocks(1).dtype(dtype).build();
        let name = at(BERT.up, 0);
        let mut random = Random::new(3);
        let tensor = model.tensor_mut(&name);
        let mut signs = |count: u64| -> Vec<f32> {
            (0..count).map(|_| if random.unit() < 0.5 { -0.04 } else { 0.04 }).collect()
        };
        let (rows, columns) = (signs(tensor.shape[0]), signs(tensor.shape[1]));
        for (row, u) in tensor.values.chunks_exact_mut(columns.len()).zip(rows) {
            row.iter_mut().zip(&columns).for_each(|(value, v)| *value += 25.0 * u * v);
        }
        let report = check_model(&model, &[(Warning, "spectral.dominant-direction", name)]);
        let said = message(&report, "spectral.dominant-direction");
        assert!(said.contains("one direction holds 80.1 % of the energy"), "{said}");
    }
}

#[test]
fn one_tiny_singular_value_of_a_square_matrix_is_no_defect() {
    for (subject, name) in [(&GPT2, at(GPT2.attention, 3)), (&BERT, at(BERT.attention, 3))] {
        for (smallest, words) in [
            (1e-6, "as square ones often do"),
            (1e-7, "one direction alone says little"),
            (1e-12, "below what F32 stores"),
        ] {
            let mut model = without_siblings(subject, DType::F32);
            let spectrum = |share: f64| if share == 1.0 { smallest } else { 1.0 - 0.9 * share };
            plant_spectrum(&mut model, &name, spectrum, 1.0);
            let report = check_model(&model, &[]);
            let said = message(&report, "spectral.ill-conditioned");
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
fn a_matrix_that_training_never_touched() {
    for subject in SUBJECTS {
        let name = at(subject.up, 3);
        let mut model = subject.model();
        let untouched = model.tensor_mut(&name).values.clone();
        train(&mut model);
        model.tensor_mut(&name).values = untouched;
        check_model(&model, &[(Warning, "integrity.untrained", name)]);
    }
}

#[test]
fn a_spectrum_unlike_its_siblings() {
    let name = at(BERT.attention, 3);
    let plant = |m: &mut Model| plant_spectrum(m, &name, |share| 1.0 - 0.8 * share, 0.25);
    let expected =
        [(Critical, "spectral.rank-deficient", name.clone()), (Warning, UNLIKE, name.clone())];
    check(&BERT, plant, &expected);
}

/// Where a weight is stored.
fn entry(tensor: &mut ModelTensor, [row, column]: [usize; 2]) -> &mut f32 {
    let length = tensor.shape[1] as usize;
    let [line, place] = if tensor.transposed { [column, row] } else { [row, column] };
    &mut tensor.values[line * length + place]
}

fn rms(values: &[f32]) -> f32 {
    let energy: f64 = values.iter().map(|w| f64::from(*w).powi(2)).sum();
    (energy / values.len() as f64).sqrt() as f32
}

#[test]
fn outlier_columns() {
    for subject in SUBJECTS {
        for pattern in [subject.attention, subject.up, subject.down, subject.embedding] {
            let name = at(pattern, 3);
            let expected = [(Warning, "quantization.outlier-columns", name.clone())];
            for factor in [10.0, 20.0] {
                let mut model = subject.spec().blocks(5).build();
                model.tensor_mut(&name).scale_input(9, factor);
                let report = check_model(&model, &expected);
                let said = message(&report, "quantization.outlier-columns");
                assert!(said.starts_with("column 9 has "), "{said}");
                let ratio: f32 = said[13..].split(' ').next().unwrap().parse().unwrap();
                assert!((ratio / factor - 1.0).abs() < 0.25, "{said}");
                assert!(said.ends_with(" x the median norm: input feature 9 is massive"), "{said}");
            }
        }
    }
}

#[test]
fn several_outlier_columns_are_one_finding() {
    for subject in SUBJECTS {
        let name = at(subject.down, 3);
        let mut model = subject.spec().blocks(5).build();
        for column in [30, 31, 77] {
            model.tensor_mut(&name).scale_input(column, 10.0);
        }
        let report =
            check_model(&model, &[(Warning, "quantization.outlier-columns", name.clone())]);
        let said = message(&report, "quantization.outlier-columns");
        assert!(said.contains(", and 2 more above 8 x: input feature "), "{said}");
    }
}

#[test]
fn an_outlier_column_stands_apart_from_siblings() {
    for subject in SUBJECTS {
        for pattern in [subject.attention, subject.up, subject.down] {
            let name = at(pattern, 3);
            for factor in [10.0, 20.0] {
                // In matrices this small it is the largest direction by far, too.
                let expected = [
                    (Warning, "quantization.outlier-columns", name.clone()),
                    (Warning, UNLIKE, name.clone()),
                ];
                check(subject, |m| m.tensor_mut(&name).scale_input(9, factor), &expected);
            }
        }
        // Embeddings have no siblings.
        let name = subject.embedding.to_owned();
        let expected = [(Warning, "quantization.outlier-columns", name.clone())];
        check(subject, |m| m.tensor_mut(&name).scale_input(9, 20.0), &expected);
    }
}

/// What one huge value does to matrices this small: to the scales of rows, and to the reach of its neuron.
const MAY_FOLLOW: [&str; 2] = ["quantization.int8-unsafe", "quantization.mlp-spike"];

#[test]
fn a_super_weight() {
    for subject in SUBJECTS {
        for pattern in [subject.attention, subject.up, subject.down, subject.embedding] {
            let name = at(pattern, 3);
            for size in [100.0, -300.0] {
                let plant = |m: &mut Model| {
                    let tensor = m.tensor_mut(&name);
                    let value = size * rms(&tensor.values);
                    *entry(tensor, [51, 17]) = value;
                };
                let mut model = subject.spec().blocks(5).build();
                plant(&mut model);
                let report = scan(&model);
                let said = message(&report, "quantization.super-weight");
                assert!(said.starts_with("w[51, 17] is "), "{said}");
                assert!(said.ends_with("it sets the scale of per-tensor formats"), "{said}");
                let mut worse = found(&report, Warning);
                worse.retain(|(_, code, _)| !MAY_FOLLOW.contains(&code.as_str()));
                assert_eq!(worse, []);
                // One value is a direction of its own, far above those of other blocks.
                let mut model = subject.model();
                plant(&mut model);
                let mut worse = found(&scan(&model), Warning);
                worse.retain(|(_, code, _)| !MAY_FOLLOW.contains(&code.as_str()));
                let unlike = (Warning, UNLIKE.to_owned(), name.clone());
                let judged = pattern != subject.embedding;
                assert_eq!(worse, if judged { vec![unlike] } else { Vec::new() });
            }
        }
    }
}

/// Replaces values by others of the same root mean square.
fn redraw(tensor: &mut ModelTensor, mut draw: impl FnMut() -> f64) {
    let before = rms(&tensor.values);
    tensor.values.iter_mut().for_each(|value| *value = draw() as f32);
    tensor.scale(before / rms(&tensor.values));
}

/// Student's t with three degrees of freedom.
fn student(random: &mut Random) -> f64 {
    let chi: f64 = (0..3).map(|_| random.normal().powi(2)).sum();
    random.normal() / (chi / 3.0).sqrt()
}

fn laplace(random: &mut Random) -> f64 {
    random.unit().ln() * if random.unit() < 0.5 { -1.0 } else { 1.0 }
}

#[test]
fn heavy_tails() {
    for subject in SUBJECTS {
        for pattern in [subject.up, subject.down] {
            let name = at(pattern, 3);
            let mut random = Random::new(21);
            let plant = |m: &mut Model| redraw(m.tensor_mut(&name), || student(&mut random));
            check(subject, plant, &[(Warning, "quantization.outliers", name.clone())]);
        }
    }
}

#[test]
fn laplacian_weights_are_no_defect() {
    for subject in SUBJECTS {
        for pattern in [subject.attention, subject.up, subject.down, subject.embedding] {
            let mut random = Random::new(22);
            let plant = |m: &mut Model| {
                redraw(m.tensor_mut(&at(pattern, 3)), || laplace(&mut random));
            };
            check(subject, plant, &[]);
        }
        let mut random = Random::new(23);
        let plant = |m: &mut Model| {
            for tensor in m.tensors.iter_mut().filter(|t| t.shape.len() == 2) {
                if rms(&tensor.values) > 0.0 && tensor.dtype.is_float() {
                    redraw(tensor, || laplace(&mut random));
                }
            }
        };
        check(subject, plant, &[]);
    }
}

/// Findings and facts of some analyzers, as they read, with their causes, without what the reports have beside them.
fn said_by(report: &Report, prefix: &str) -> Vec<String> {
    let all = report.findings.iter().chain(&report.facts);
    // Siblings are held against each other in the metrics of all that were asked for.
    let own = all.filter(|f| f.code.starts_with(prefix) && !f.code.ends_with("unlike-siblings"));
    own.map(|f| {
        format!("{:?} {} {:?}: {}, {:?}", f.severity, f.code, f.weight, f.message, f.caused_by)
    })
    .collect()
}

#[test]
fn verdicts_do_not_depend_on_which_others_were_asked_for() {
    let mut model = BERT.model();
    let padded = at(BERT.attention, 3);
    for unit in 40..64 {
        model.tensor_mut(&padded).scale_output(unit, 0.0);
    }
    model.tensor_mut(&at(BERT.up, 2)).values[77] = 60.0;
    plant_spectrum(&mut model, &at(BERT.down, 5), |share| 1.0 - 0.8 * share, 0.25);
    // One value of 1,000 times the others makes a spectrum of one direction, and scales that serve nothing else.
    let huge = at(BERT.down, 1);
    model.tensor_mut(&huge).values[99] = 2000.0;
    let folder = tempfile::tempdir().unwrap();
    model.to_checkpoint().write(folder.path()).unwrap();
    let scan = |choice: &[&str]| {
        Scan::new([folder.path()]).analyzers(choice.iter().copied()).run().unwrap()
    };
    let full = scan(&[]);
    assert!(said_by(&full, "spectral.").len() >= 2, "{:#?}", full.findings);
    for id in ["spectral", "sparsity", "quantization", "distribution", "attention"] {
        let alone = scan(&[id]);
        let prefix = format!("{id}.");
        assert_eq!(said_by(&alone, &prefix), said_by(&full, &prefix), "{id}");
        // Those that came along say what explains something, and are not among those that were asked for.
        let is_own = |code: &str| code.starts_with(&prefix) || code.starts_with("tokens.");
        for finding in alone.findings.iter().filter(|f| !is_own(&f.code)) {
            let follow =
                |f: &&Finding| f.caused_by.as_ref().is_some_and(|c| c.code == finding.code);
            let facts: Vec<&Finding> = alone.facts.iter().filter(follow).collect();
            assert!(!facts.is_empty() && finding.explains == facts.len() as u64, "{finding:#?}");
            assert!(facts.iter().all(|f| is_own(&f.code)), "{facts:#?}");
        }
        assert!(alone.facts.iter().all(|f| is_own(&f.code)), "{:#?}", alone.facts);
        assert!(alone.conclusions.iter().all(|c| c.analyzer == id), "{:#?}", alone.conclusions);
        let ids: Vec<&str> = alone.settings.analyzers.keys().map(AsRef::as_ref).collect();
        assert_eq!(ids, [id]);
    }
    assert!(said_by(&scan(&["-sparsity"]), "sparsity.").is_empty());
    // For the sake of a position table not everything is measured.
    let measured = |report: &Report| report.totals.measured;
    assert_eq!((measured(&scan(&["position"])), measured(&scan(&["sparsity"])) > 1), (1, true));
    // What a damaged value explains is told as its consequence by one analyzer alone, too.
    for id in ["spectral", "quantization", "distribution"] {
        let alone = scan(&[id]);
        let about: Vec<_> = alone.findings.iter().filter(|f| f.is_about(&huge)).collect();
        let [cause] = about.as_slice() else { panic!("{id}: {about:#?}") };
        assert_eq!((&*cause.code, cause.explains > 0), ("integrity.damaged", true));
        // Judged anew it is the same report.
        let registry = builtin_registry();
        let mut analyzers = registry.choose(ReportKind::Scan, &[id.to_owned()]).unwrap();
        let companions = registry.companions(&analyzers);
        analyzers.extend(companions.iter().map(|c| c as &dyn Analyzer));
        let mut again = alone.clone();
        rejudge(&mut again, &analyzers);
        assert_eq!((again.findings, again.facts), (alone.findings, alone.facts), "{id}");
    }
}

#[test]
fn copied_positions_are_told_once() {
    let mut model = GPT2.model();
    let table = model.tensors.iter_mut().find(|t| t.name.ends_with("wpe.weight")).unwrap();
    let (rows, part) = (table.shape[0], table.values.len() / 4);
    let name = table.name.clone();
    let first = table.values[..part].to_vec();
    table.values = first.repeat(4);
    let report = scan(&model);
    let about: Vec<_> = report.findings.iter().filter(|f| f.is_about(&name)).collect();
    let [finding] = about.as_slice() else { panic!("{about:#?}") };
    assert_eq!(&*finding.code, "position.repeats");
    let words = format!("positions 0 to {} of {rows} repeat after every {}:", rows - 1, rows / 4);
    assert!(finding.message.starts_with(&words), "{}", finding.message);
    // Equal positions side by side were filled in.
    let table = model.tensors.iter_mut().find(|t| t.name == name).unwrap();
    let width = table.values.len() / rows as usize;
    for row in table.values.chunks_mut(width).skip(rows as usize - 8) {
        row.copy_from_slice(&first[..width]);
    }
    let codes: Vec<String> = scan(&model).findings.iter().map(|f| f.code.to_string()).collect();
    assert!(codes.contains(&"integrity.equal-rows".to_owned()), "{codes:?}");
}

#[test]
fn numbers_in_names_may_be_any() {
    for number in [u32::MAX.to_string(), u64::MAX.to_string(), "99999999999999999999999".to_owned()]
    {
        for subject in SUBJECTS {
            let mut model = subject.spec().blocks(6).build();
            for tensor in &mut model.tensors {
                tensor.name = tensor.name.replace(".5.", &format!(".{number}."));
            }
            scan(&model);
        }
        let weights = [
            format!("model.layers.{number}.w"),
            format!("model.layers.{number}.mlp.experts.{number}.down_proj.weight"),
            format!("model.layers.0.mlp.experts.{number}.up_proj.weight"),
            "model.layers.0.self_attn.q_proj.weight".to_owned(),
        ];
        let values = || (0..64 * 64).map(|i| (i as f32).sin()).collect();
        let tensors: Vec<(&str, &[u64], Vec<f32>)> =
            weights.iter().map(|name| (name.as_str(), &[64, 64][..], values())).collect();
        scan(&weightscope_testkit::model_of(&tensors));
    }
}
