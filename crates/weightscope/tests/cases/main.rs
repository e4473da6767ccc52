//! What people bring: checkpoints with one fault each, as bug reports describe them, and healthy ones of unusual
//! making. One finding names the cause, what follows from it is a fact, and the healthy ones stay silent.

#![expect(clippy::needless_for_each, reason = "a change of all values is one line")]

mod adapters;
mod comparisons;
mod composed;
mod parts;
mod trained;

use std::collections::BTreeMap;

use weightscope::{DType, Finding, Report, Scan, Severity};
use weightscope_testkit::Random;
use weightscope_testkit::checkpoint::TestCheckpoint;

const HIDDEN: usize = 64;
const INNER: usize = 160;
const VOCAB: usize = 256;
const BLOCKS: usize = 6;

const CONFIG: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
"intermediate_size": 160, "num_attention_heads": 4, "head_dim": 16, "num_key_value_heads": 2,
"num_hidden_layers": 6, "vocab_size": 256, "tie_word_embeddings": false}"#;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Noise, and a few strong directions as training leaves them.
fn matrix(random: &mut Random, out: usize, input: usize, std: f64) -> (Vec<usize>, Vec<f32>) {
    let rank = out.min(input) / 8;
    let edge = std * ((out as f64).sqrt() + (input as f64).sqrt());
    let mut values: Vec<f64> = (0..out * input).map(|_| std * random.normal()).collect();
    for direction in 0..rank {
        let strength = edge * (2.2 - 1.6 * direction as f64 / rank.max(2) as f64);
        let left: Vec<f64> = (0..out).map(|_| random.normal() / (out as f64).sqrt()).collect();
        let right: Vec<f64> = (0..input).map(|_| random.normal() / (input as f64).sqrt()).collect();
        for (row, l) in values.chunks_mut(input).zip(&left) {
            row.iter_mut().zip(&right).for_each(|(value, r)| *value += strength * l * r);
        }
    }
    (vec![out, input], values.into_iter().map(|v| v as f32).collect())
}

fn gains(random: &mut Random, count: usize) -> (Vec<usize>, Vec<f32>) {
    (vec![count], (0..count).map(|_| (1.0 + 0.1 * random.normal()) as f32).collect())
}

/// A Llama with grouped-query attention that looks trained.
fn llama(seed: u64) -> Tensors {
    let mut random = Random::new(seed);
    let mut tensors = Tensors::new();
    let mut add = |name: String, tensor| tensors.insert(name, tensor);
    add("model.embed_tokens.weight".into(), matrix(&mut random, VOCAB, HIDDEN, 0.03));
    add("model.norm.weight".into(), gains(&mut random, HIDDEN));
    for block in 0..BLOCKS {
        let place = format!("model.layers.{block}");
        for (name, out, input) in [
            ("self_attn.q", HIDDEN, HIDDEN),
            ("self_attn.k", HIDDEN / 2, HIDDEN),
            ("self_attn.v", HIDDEN / 2, HIDDEN),
            ("self_attn.o", HIDDEN, HIDDEN),
            ("mlp.gate", INNER, HIDDEN),
            ("mlp.up", INNER, HIDDEN),
            ("mlp.down", HIDDEN, INNER),
        ] {
            let tensor = matrix(&mut random, out, input, 0.02);
            add(format!("{place}.{name}_proj.weight"), tensor);
        }
        for name in ["input", "post_attention"] {
            add(format!("{place}.{name}_layernorm.weight"), gains(&mut random, HIDDEN));
        }
    }
    add("lm_head.weight".into(), matrix(&mut random, VOCAB, HIDDEN, 0.03));
    tensors
}

fn checkpoint_of(tensors: &Tensors, dtype: DType, config: Option<&str>) -> TestCheckpoint {
    let mut checkpoint = TestCheckpoint::new();
    for (name, (shape, values)) in tensors {
        let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
        checkpoint = checkpoint.values(name, dtype, &shape, values);
    }
    if let Some(config) = config {
        checkpoint = checkpoint.config(config);
    }
    checkpoint
}

fn scan_as(tensors: &Tensors, dtype: DType, config: Option<&str>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    checkpoint_of(tensors, dtype, config).write(folder.path()).unwrap();
    Scan::new([folder.path()]).run().unwrap()
}

fn scan(tensors: &Tensors) -> Report {
    scan_as(tensors, DType::BF16, Some(CONFIG))
}

/// Code and weight of all findings above info.
fn told(report: &Report) -> Vec<(&str, Option<&str>)> {
    let above = report.findings.iter().filter(|f| f.severity > Severity::Info);
    above.map(|f| (&*f.code, f.weight.as_deref())).collect()
}

fn only<'a>(report: &'a Report, code: &str) -> &'a Finding {
    assert_eq!(told(report).len(), 1, "{:#?}", report.findings);
    let finding = report.findings.iter().find(|f| f.code == code);
    finding.unwrap_or_else(|| panic!("no {code} in {:#?}", report.findings))
}

fn values<'a>(tensors: &'a mut Tensors, name: &str) -> &'a mut Vec<f32> {
    &mut tensors.get_mut(name).unwrap_or_else(|| panic!("no {name}")).1
}

const UP: &str = "model.layers.3.mlp.up_proj.weight";

#[test]
fn a_healthy_model_is_silent() {
    for dtype in [DType::BF16, DType::F16, DType::F32] {
        let report = scan_as(&llama(1), dtype, Some(CONFIG));
        assert_eq!(told(&report), [], "{dtype}");
        assert!(report.findings.iter().all(|f| f.code != "integrity.untrained"));
    }
}

#[test]
fn damaged_bytes_are_one_finding_that_explains_the_rest() {
    let mut tensors = llama(2);
    let bytes = [6.1e-5, 4211.0, 1.9e-4, 5770.0, 51230.0, 6304.0, 29870.0, 4.4e-5, 7713.0, 0.0];
    values(&mut tensors, UP)[3000..3010].copy_from_slice(&bytes);
    let report = scan_as(&tensors, DType::F16, Some(CONFIG));
    let finding = only(&report, "integrity.damaged");
    assert_eq!((finding.severity, finding.weight.as_deref()), (Severity::Critical, Some(UP)));
    assert!(finding.message.contains("flat index 3001 to 3008"), "{}", finding.message);
    assert!(finding.explains >= 2, "{finding:?}");
    // Nothing advises to keep or to prune what is damage.
    let about = |f: &&Finding| f.weight.as_deref() == Some(UP);
    assert_eq!(report.findings.iter().filter(about).count(), 1);
    let caused = |f: &&Finding| f.caused_by.as_ref().is_some_and(|c| c.code == "integrity.damaged");
    assert_eq!(report.facts.iter().filter(caused).count() as u64, finding.explains);
}

#[test]
fn damage_is_seen_in_any_order_of_the_file_and_once_for_each_tensor() {
    // Stored [in, out], as GPT-2 does: neighbours in the file are in one column of [out, in].
    let mut tensors = llama(3);
    values(&mut tensors, UP)[777] = 3.0e9;
    values(&mut tensors, UP)[801] = -2.0e9;
    values(&mut tensors, "model.layers.4.mlp.up_proj.weight")[5] = 8.0e8;
    let report = scan(&tensors);
    assert_eq!(
        told(&report),
        [
            ("integrity.damaged", Some(UP)),
            ("integrity.damaged", Some("model.layers.4.mlp.up_proj.weight"))
        ]
    );
}

#[test]
fn a_super_weight_is_no_damage() {
    let mut tensors = llama(4);
    values(&mut tensors, "model.layers.2.mlp.down_proj.weight")[1000] = 9.0;
    let report = scan(&tensors);
    assert!(report.findings.iter().all(|f| f.code != "integrity.damaged"), "{:?}", told(&report));
}

#[test]
fn a_hole_in_the_file_is_damage_and_units_of_zeros_are_not() {
    let mut tensors = llama(18);
    // 3,000 zeros, the first in the middle of a row.
    values(&mut tensors, UP)[2080..5080].fill(0.0);
    let report = scan(&tensors);
    let finding = only(&report, "integrity.damaged");
    assert!(finding.message.contains("flat index 2,080 to 5,079"), "{}", finding.message);
    let mut tensors = llama(18);
    values(&mut tensors, UP)[20 * HIDDEN..30 * HIDDEN].fill(0.0);
    assert!(told(&scan(&tensors)).iter().all(|(code, _)| *code != "integrity.damaged"));
}

#[test]
fn one_weight_with_values_that_are_not_finite_hides_nothing_else() {
    let mut tensors = llama(19);
    values(&mut tensors, "model.layers.1.post_attention_layernorm.weight")[3] = f32::NAN;
    values(&mut tensors, UP)[70] = f32::INFINITY;
    values(&mut tensors, "model.layers.5.mlp.down_proj.weight").fill(0.25);
    assert_eq!(
        told(&scan(&tensors)),
        [
            ("integrity.non-finite", Some("model.layers.1.post_attention_layernorm.weight")),
            ("integrity.non-finite", Some(UP)),
            ("integrity.constant", Some("model.layers.5.mlp.down_proj.weight")),
        ]
    );
}

#[test]
fn norms_of_zeros_are_critical() {
    for name in ["model.layers.3.input_layernorm.weight", "model.norm.weight"] {
        let mut tensors = llama(5);
        values(&mut tensors, name).fill(0.0);
        let report = scan(&tensors);
        let finding = only(&report, "integrity.all-zero");
        assert_eq!((finding.severity, finding.weight.as_deref()), (Severity::Critical, Some(name)));
    }
}

#[test]
fn zeros_are_where_norms_of_one_plus_w_begin() {
    let mut tensors = llama(6);
    let norms: Vec<String> = tensors.keys().filter(|name| name.contains("norm")).cloned().collect();
    for name in &norms {
        values(&mut tensors, name).iter_mut().for_each(|gain| *gain -= 1.0);
    }
    values(&mut tensors, "model.layers.3.input_layernorm.weight").fill(0.0);
    let config = CONFIG.replace(r#""llama""#, r#""gemma""#);
    assert_eq!(told(&scan_as(&tensors, DType::BF16, Some(&config))), []);
}

#[test]
fn gains_unlike_those_of_other_blocks_are_told() {
    for (factor, word) in [(300.0, "larger"), (1.0 / 300.0, "smaller")] {
        let mut tensors = llama(7);
        let name = "model.layers.2.post_attention_layernorm.weight";
        values(&mut tensors, name).iter_mut().for_each(|gain| *gain *= factor);
        let report = scan(&tensors);
        let finding = only(&report, "integrity.unlike-siblings");
        assert_eq!(finding.weight.as_deref(), Some(name));
        assert!(finding.message.contains(word), "{}", finding.message);
    }
}

#[test]
fn a_norm_that_was_reset_is_told_and_norms_of_ones_are_not() {
    let mut tensors = llama(8);
    let name = "model.layers.2.input_layernorm.weight";
    values(&mut tensors, name).fill(1.0);
    let report = scan(&tensors);
    assert_eq!(only(&report, "integrity.constant").weight.as_deref(), Some(name));
    // A merge may leave all of them at one.
    let norms: Vec<String> = tensors.keys().filter(|name| name.contains("norm")).cloned().collect();
    norms.iter().for_each(|name| values(&mut tensors, name).fill(1.0));
    assert_eq!(told(&scan(&tensors)), []);
}

#[test]
fn a_partitioned_save_is_one_finding() {
    for config in [Some(CONFIG), None] {
        let mut tensors = llama(9);
        let names: Vec<String> =
            tensors.keys().filter(|name| name.contains("_proj")).step_by(2).cloned().collect();
        for name in &names {
            tensors.insert(name.clone(), (vec![0], Vec::new()));
        }
        let report = scan_as(&tensors, DType::BF16, config);
        let finding = only(&report, "integrity.empty");
        assert_eq!(finding.severity, Severity::Critical);
        let count = format!("{} of {} tensors are empty", names.len(), tensors.len());
        assert!(finding.message.starts_with(&count), "{}", finding.message);
        assert_eq!(finding.weights.len(), names.len());
    }
}

#[test]
fn one_rank_of_a_tensor_parallel_model_is_one_finding() {
    let mut tensors = llama(10);
    for (name, (shape, values)) in &mut tensors {
        let by_rows = ["q_proj", "k_proj", "v_proj", "gate", "up_proj", "embed", "lm_head"];
        if by_rows.iter().any(|part| name.contains(part)) {
            shape[0] /= 2;
            values.truncate(shape[0] * shape[1]);
        } else if name.contains("_proj") {
            let width = shape[1];
            shape[1] /= 2;
            *values = values.chunks(width).flat_map(|row| row[..width / 2].to_vec()).collect();
        }
    }
    let report = scan(&tensors);
    let finding = only(&report, "integrity.slice");
    assert!(finding.message.contains("1/2"), "{}", finding.message);
}

#[test]
fn a_missing_head_is_told_for_any_model_that_promises_one() {
    let mut tensors = Tensors::new();
    for (name, tensor) in llama(11) {
        if name != "lm_head.weight" {
            tensors.insert(name.replacen("model.", "model.language_model.", 1), tensor);
        }
    }
    let mut random = Random::new(11);
    for block in 0..3 {
        for (name, out, input) in [
            ("attn.qkv", 144, 48),
            ("attn.proj", 48, 48),
            ("mlp.linear_fc1", 192, 48),
            ("mlp.linear_fc2", 48, 192),
        ] {
            let name = format!("model.visual.blocks.{block}.{name}.weight");
            tensors.insert(name, matrix(&mut random, out, input, 0.02));
        }
    }
    let config = r#"{"architectures": ["Glm4vForConditionalGeneration"], "model_type": "glm4v",
        "tie_word_embeddings": false,
        "text_config": {"model_type": "glm4v_text", "hidden_size": 64, "intermediate_size": 160,
            "num_attention_heads": 4, "head_dim": 16, "num_key_value_heads": 2,
            "num_hidden_layers": 6, "vocab_size": 256},
        "vision_config": {"hidden_size": 48, "depth": 3, "num_heads": 3, "intermediate_size": 192}}"#;
    let report = scan_as(&tensors, DType::BF16, Some(config));
    assert_eq!(only(&report, "integrity.missing").message, "missing: lm_head.weight");
    let model = &report.models[0];
    assert_eq!((model.family.as_str(), model.rules_of.as_deref()), ("glm4v", Some("qwen_vl")));
    let towers: Vec<_> =
        model.towers.iter().map(|t| (t.name.as_str(), t.blocks, t.hidden_size, t.heads)).collect();
    assert_eq!(towers, [("text", 6, Some(64), Some(4)), ("vision", 3, Some(48), Some(3))]);
    // Tied, it needs none.
    let tied = config.replace(r#""tie_word_embeddings": false"#, r#""tie_word_embeddings": true"#);
    assert_eq!(told(&scan_as(&tensors, DType::BF16, Some(&tied))), []);
    // Without the eyes that config.json declares.
    tensors.retain(|name, _| !name.contains("visual"));
    let report = scan_as(&tensors, DType::BF16, Some(&tied));
    assert!(only(&report, "integrity.missing-tower").message.contains("vision_config"));
}

#[test]
fn rows_that_were_added_and_never_trained_are_told() {
    let mut tensors = llama(12);
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        let (shape, values) = tensors.get_mut(name).unwrap();
        let mean: Vec<f32> = (0..HIDDEN)
            .map(|column| values.iter().skip(column).step_by(HIDDEN).sum::<f32>() / VOCAB as f32)
            .collect();
        (0..24).for_each(|_| values.extend(&mean));
        shape[0] += 24;
    }
    let config = CONFIG.replace(r#""vocab_size": 256"#, r#""vocab_size": 280"#);
    let report = scan_as(&tensors, DType::BF16, Some(&config));
    assert_eq!(told(&report), []);
    let rows: Vec<&Finding> =
        report.findings.iter().filter(|f| f.code == "integrity.equal-rows").collect();
    assert_eq!(rows.len(), 2);
    for finding in rows {
        assert!(finding.message.contains("the mean of the others (256 to 279)"), "{finding:?}");
    }
}

#[test]
fn values_that_f16_would_lose_are_told_with_their_columns() {
    let mut tensors = llama(13);
    for row in values(&mut tensors, UP).chunks_mut(HIDDEN) {
        row[HIDDEN / 2..].iter_mut().for_each(|value| *value *= 1.5e-6);
    }
    let report = scan(&tensors);
    let finding = report.findings.iter().find(|f| f.code == "integrity.f16-underflow").unwrap();
    assert_eq!((finding.severity, finding.weight.as_deref()), (Severity::Warning, Some(UP)));
    assert!(finding.message.contains("columns 32 to 63"), "{}", finding.message);
    // Stored as F16 they are gone already.
    let report = scan_as(&tensors, DType::F16, Some(CONFIG));
    assert!(report.findings.iter().all(|f| f.code != "integrity.f16-underflow"));
}

#[test]
fn a_model_that_was_never_trained_is_said_so_in_one_line() {
    let mut random = Random::new(14);
    let mut tensors = llama(14);
    for (name, (_, values)) in &mut tensors {
        let norm = name.contains("norm");
        values
            .iter_mut()
            .for_each(|v| *v = if norm { 1.0 } else { (0.02 * random.normal()) as f32 });
    }
    let report = scan(&tensors);
    assert_eq!(told(&report), []);
    let lines: Vec<&Finding> =
        report.findings.iter().filter(|f| f.code == "integrity.untrained").collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].weight, None);
    assert!(lines[0].message.contains("never trained"));
}

#[test]
fn a_block_that_was_initialised_anew_is_one_finding() {
    let mut random = Random::new(15);
    let mut tensors = llama(15);
    for (name, (_, values)) in &mut tensors {
        if name.contains("layers.4.") && name.contains("_proj") {
            values.iter_mut().for_each(|v| *v = (0.02 * random.normal()) as f32);
        }
    }
    let report = scan(&tensors);
    let finding = only(&report, "integrity.reinitialised");
    assert!(finding.message.contains("block 4"), "{}", finding.message);
}

#[test]
fn two_blocks_that_were_initialised_anew_are_two_findings() {
    let mut random = Random::new(24);
    let mut tensors = llama(24);
    for (name, (_, values)) in &mut tensors {
        let fresh = name.contains("layers.1.") || name.contains("layers.4.");
        if fresh && name.contains("_proj") {
            values.iter_mut().for_each(|v| *v = (0.02 * random.normal()) as f32);
        }
    }
    let report = scan(&tensors);
    assert_eq!(told(&report), [("integrity.reinitialised", None); 2]);
}

#[test]
fn one_heavy_column_makes_no_copies() {
    let mut random = Random::new(16);
    let mut tensors = Tensors::new();
    for block in 0..48 {
        let mut values: Vec<f32> = (0..64 * 64).map(|_| random.normal() as f32).collect();
        values.iter_mut().skip(7).step_by(64).for_each(|value| *value *= 60.0);
        tensors.insert(format!("model.layers.{block}.mlp.up_proj.weight"), (vec![64, 64], values));
    }
    let report = scan_as(&tensors, DType::F32, None);
    assert!(report.findings.iter().all(|f| f.code != "integrity.duplicate"), "{:?}", told(&report));
    // A copy that was trained on a little is one.
    let copy = tensors["model.layers.5.mlp.up_proj.weight"].1.clone();
    let trained: Vec<f32> = copy.iter().map(|v| v + (0.1 * random.normal()) as f32).collect();
    tensors.insert("model.layers.9.mlp.up_proj.weight".into(), (vec![64, 64], trained));
    let report = scan_as(&tensors, DType::F32, None);
    let copies: Vec<&Finding> =
        report.findings.iter().filter(|f| f.code == "integrity.duplicate").collect();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].weight.as_deref(), Some("model.layers.9.mlp.up_proj.weight"));
}

#[test]
fn a_running_average_beside_the_model_is_a_second_copy() {
    let mut tensors = llama(17);
    let mut random = Random::new(17);
    let averages: Tensors = tensors
        .iter()
        .map(|(name, (shape, values))| {
            let near = values.iter().map(|v| v + (1e-4 * random.normal()) as f32).collect();
            (format!("ema.{}", name.trim_start_matches("model.")), (shape.clone(), near))
        })
        .collect();
    tensors.extend(averages);
    let report = scan_as(&tensors, DType::BF16, None);
    let copy = report.findings.iter().find(|f| f.code == "integrity.second-copy").unwrap();
    assert_eq!(copy.severity, Severity::Info);
    assert!(copy.message.contains("\"ema\""), "{}", copy.message);
}

type Change<'a> = &'a dyn Fn(&mut Tensors);

/// Healthy models of unusual making.
#[test]
fn unusual_models_are_silent() {
    let check = |what: &str, change: Change<'_>, config: &str| {
        let mut tensors = llama(20);
        change(&mut tensors);
        let report = scan_as(&tensors, DType::BF16, Some(config));
        assert_eq!(told(&report), [], "{what}");
    };
    let scaled = |tensors: &mut Tensors, part: &str, factor: f32| {
        for (name, (_, values)) in tensors {
            if name.contains(part) {
                values.iter_mut().for_each(|value| *value *= factor);
            }
        }
    };
    check("scaled embeddings", &|t| scaled(t, "embed_tokens", 40.0), CONFIG);
    check("small residual projections", &|t| scaled(t, "o_proj", 0.2), CONFIG);
    check("large gains everywhere", &|t| scaled(t, "layernorm", 12.0), CONFIG);
    check(
        "a tied head",
        &|t| {
            t.remove("lm_head.weight");
        },
        &CONFIG.replace("false", "true"),
    );
    check(
        "rows of zeros that pad the vocabulary",
        &|t| {
            for name in ["model.embed_tokens.weight", "lm_head.weight"] {
                values(t, name)[250 * HIDDEN..].fill(0.0);
            }
        },
        CONFIG,
    );
    check(
        "pruned by magnitude",
        &|t| {
            for (name, (_, values)) in t {
                if name.contains("_proj") {
                    values.iter_mut().filter(|v| v.abs() < 0.012).for_each(|v| *v = 0.0);
                }
            }
        },
        CONFIG,
    );
    check(
        "a merge of two models",
        &|t| {
            let other = llama(21);
            for (name, (_, values)) in t {
                values.iter_mut().zip(&other[name].1).for_each(|(a, b)| *a = 0.5 * (*a + b));
            }
        },
        CONFIG,
    );
    check(
        "a checkpoint that was F16 once",
        &|t| {
            for (_, values) in t.values_mut() {
                for value in values {
                    // Eleven bits of the significand.
                    *value = f32::from_bits((value.to_bits() + 0x0fff) & !0x1fff);
                }
            }
        },
        CONFIG,
    );
    check(
        "a low-rank change merged into some matrices",
        &|t| {
            let mut random = Random::new(22);
            for (name, (shape, values)) in t {
                if name.contains("q_proj") || name.contains("v_proj") {
                    let left: Vec<f64> = (0..shape[0]).map(|_| random.normal()).collect();
                    let right: Vec<f64> = (0..shape[1]).map(|_| 0.01 * random.normal()).collect();
                    for (row, l) in values.chunks_mut(shape[1]).zip(&left) {
                        row.iter_mut().zip(&right).for_each(|(v, r)| *v += (l * r) as f32);
                    }
                }
            }
        },
        CONFIG,
    );
    check(
        "biases, most of them never moved",
        &|t| {
            for block in 0..BLOCKS {
                for (name, count) in [("q", HIDDEN), ("k", HIDDEN / 2), ("v", HIDDEN / 2)] {
                    let name = format!("model.layers.{block}.self_attn.{name}_proj.bias");
                    t.insert(name, (vec![count], vec![0.0; count]));
                }
            }
        },
        &CONFIG.replace(r#""model_type": "llama""#, r#""model_type": "qwen2""#),
    );
    check(
        "a norm of queries and keys",
        &|t| {
            let mut random = Random::new(23);
            for block in 0..BLOCKS {
                for name in ["q_norm", "k_norm"] {
                    let name = format!("model.layers.{block}.self_attn.{name}.weight");
                    t.insert(name, gains(&mut random, 16));
                }
            }
        },
        &CONFIG.replace(r#""model_type": "llama""#, r#""model_type": "qwen3""#),
    );
    check(
        "gains that grow a hundredfold with depth",
        &|t| {
            for (name, (_, values)) in t {
                let block = (0..BLOCKS).find(|b| name.contains(&format!("layers.{b}.")));
                if let Some(block) = block.filter(|_| name.contains("layernorm")) {
                    values.iter_mut().for_each(|v| *v *= 2.5f32.powi(block as i32));
                }
            }
        },
        CONFIG,
    );
    check(
        "tokens that share an embedding",
        &|t| {
            let table = values(t, "model.embed_tokens.weight");
            table.copy_within(10 * HIDDEN..11 * HIDDEN, 50 * HIDDEN);
        },
        CONFIG,
    );
}
