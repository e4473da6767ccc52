//! Faults of models that were really trained, which keep their shapes and most of their values: what is said names the
//! cause, once, and healthy models of unusual training stay silent.

use weightscope::{DType, Finding, Report, Severity};
use weightscope_testkit::Random;
use weightscope_testkit::models::with_singular_values;

use crate::{
    BLOCKS, CONFIG, HIDDEN, INNER, Tensors, UP, VOCAB, gains, llama, only, scan, scan_as, told,
    values,
};

fn scan_with(tensors: &Tensors, config: &str) -> Report {
    scan_as(tensors, DType::BF16, Some(config))
}

fn says(finding: &Finding, words: &str) {
    assert!(finding.message.contains(words), "{}", finding.message);
}

fn fresh(random: &mut Random, values: &mut [f32]) {
    values.iter_mut().for_each(|v| *v = (0.02 * random.normal()) as f32);
}

#[test]
fn qwen2_has_no_bias_behind_its_heads() {
    let mut random = Random::new(50);
    let mut tensors = llama(50);
    for block in 0..BLOCKS {
        for (name, count) in [("q", HIDDEN), ("k", HIDDEN / 2), ("v", HIDDEN / 2)] {
            let name = format!("model.layers.{block}.self_attn.{name}_proj.bias");
            tensors.insert(name, gains(&mut random, count));
        }
    }
    let config = CONFIG.replace(r#""llama""#, r#""qwen2", "attention_bias": true"#);
    assert_eq!(told(&scan_with(&tensors, &config)), []);
    // Of Llama the same configuration promises one.
    let config = CONFIG.replace(r#""llama""#, r#""llama", "attention_bias": true"#);
    let missing = ("integrity.missing", None);
    assert_eq!(told(&scan_with(&tensors, &config)), [missing; BLOCKS]);
}

#[test]
fn a_random_matrix_without_siblings_is_no_finding() {
    let mut tensors = llama(51);
    let mut projection = vec![0.0; HIDDEN * INNER];
    fresh(&mut Random::new(51), &mut projection);
    tensors.insert("patches.projection.weight".into(), (vec![HIDDEN, INNER], projection));
    let report = scan(&tensors);
    assert!(report.findings.iter().all(|f| f.code != "integrity.untrained"));
}

#[test]
fn a_spectrum_that_falls_below_rounding_without_a_break_is_a_fact() {
    let step = (1.0 / 8000f64).powf(1.0 / 63.0);
    let smooth: Vec<f64> = (0..64).map(|i| step.powi(i)).collect();
    let ends: Vec<f64> =
        (0..64).map(|i| if i < 52 { 1.0 / (1.0 + 0.1 * f64::from(i)) } else { 0.0 }).collect();
    for (sigma, is_told) in [(smooth, false), (ends, true)] {
        let mut tensors = llama(52);
        *values(&mut tensors, UP) =
            with_singular_values(&mut Random::new(52), INNER, HIDDEN, &sigma, 0.03);
        let report = scan(&tensors);
        let about =
            |findings: &[Finding]| findings.iter().any(|f| f.code == "spectral.rank-deficient");
        assert_eq!((about(&report.findings), about(&report.facts)), (is_told, !is_told));
    }
}

#[test]
fn heads_that_are_alike_are_no_copies() {
    let query = "model.layers.2.self_attn.q_proj.weight";
    for (noise, severity) in [(0.0, Severity::Warning), (0.1, Severity::Info)] {
        let mut random = Random::new(53);
        let mut tensors = llama(53);
        let query = values(&mut tensors, query);
        let (first, rest) = query.split_at_mut(16 * HIDDEN);
        let rms = (first.iter().map(|v| v * v).sum::<f32>() / first.len() as f32).sqrt();
        for (copy, value) in rest.iter_mut().zip(first.iter()) {
            *copy = value + noise * rms * random.normal() as f32;
        }
        let report = scan(&tensors);
        let finding = report.findings.iter().find(|f| f.code == "attention.duplicate-heads");
        assert_eq!(finding.map(|f| f.severity), Some(severity));
        // A copy is the reason for the lost rank.
        assert_eq!(
            told(&report).len(),
            usize::from(severity == Severity::Warning),
            "{:?}",
            told(&report)
        );
    }
}

#[test]
fn a_dead_head_is_told_once() {
    let mut tensors = llama(54);
    let query = values(&mut tensors, "model.layers.2.self_attn.q_proj.weight");
    query.iter_mut().skip(16 * HIDDEN).take(16 * HIDDEN).for_each(|v| *v *= 1e-5);
    let report = scan(&tensors);
    assert!(only(&report, "attention.dead-heads").explains >= 1);
}

#[test]
fn the_ends_of_a_tower_may_differ() {
    for (block, is_told) in [(0, false), (2, true), (BLOCKS - 1, false)] {
        let mut tensors = llama(55);
        let name = format!("model.layers.{block}.mlp.up_proj.weight");
        values(&mut tensors, &name).iter_mut().for_each(|v| *v *= 3.0);
        let report = scan(&tensors);
        assert_eq!(told(&report).len(), usize::from(is_told), "{block}: {:?}", told(&report));
        let unlike = report.facts.iter().find(|f| f.code.ends_with("unlike-siblings"));
        assert_eq!(unlike.is_some(), !is_told);
    }
}

#[test]
fn heads_that_config_json_miscounts_are_no_slice() {
    let more = CONFIG.replace(r#""num_key_value_heads": 2"#, r#""num_key_value_heads": 4"#);
    let wider = CONFIG
        .replace(r#""num_attention_heads": 4, "head_dim": 16"#, r#""num_attention_heads": 2"#);
    for (config, words) in [
        (more, "keys and values have 32 rows, which fits 2 key-value heads of 16"),
        (wider, "4 heads of 16 with 2 key-value heads"),
    ] {
        let report = scan_with(&llama(56), &config);
        says(only(&report, "integrity.shape"), words);
    }
}

#[test]
fn a_vocabulary_that_config_json_miscounts_is_one_finding() {
    let config = CONFIG.replace(r#""vocab_size": 256"#, r#""vocab_size": 250"#);
    let report = scan_with(&llama(57), &config);
    says(
        only(&report, "integrity.shape"),
        &format!("vocab_size is 250, the tables of tokens have {VOCAB} rows"),
    );
}

#[test]
fn blocks_beyond_those_of_config_json_are_a_warning() {
    let config = CONFIG.replace(r#""num_hidden_layers": 6"#, r#""num_hidden_layers": 4"#);
    let report = scan_with(&llama(58), &config);
    let finding = only(&report, "integrity.unexpected");
    says(finding, "blocks 4 and 5 (18 tensors) are beyond config.json's 4 blocks");
    assert_eq!(finding.severity, Severity::Warning);
}

#[test]
fn rows_of_one_matrix_of_an_mlp_in_one_run_were_lost() {
    let mut tensors = llama(59);
    values(&mut tensors, UP)[80 * HIDDEN..].fill(0.0);
    let report = scan(&tensors);
    let finding = only(&report, "sparsity.dead-units");
    says(
        finding,
        "rows 80 to 159 are all zero, in one run, and mlp.gate_proj and mlp.down_proj have values",
    );
    assert!(!finding.advice.contains("remove"), "{}", finding.advice);
}

#[test]
fn gains_are_judged_by_what_the_norm_multiplies_with() {
    let gemma = CONFIG.replace(r#""llama""#, r#""gemma""#);
    let mut tensors = llama(60);
    let norms: Vec<String> = tensors.keys().filter(|name| name.contains("norm")).cloned().collect();
    for name in &norms {
        values(&mut tensors, name).iter_mut().for_each(|gain| *gain = 0.1 * (*gain - 1.0));
    }
    // Gains of 1.7 among those of 1.
    values(&mut tensors, "model.layers.3.input_layernorm.weight")
        .iter_mut()
        .for_each(|gain| *gain += 0.7);
    assert_eq!(told(&scan_with(&tensors, &gemma)), []);
    values(&mut tensors, "model.layers.3.input_layernorm.weight").fill(-1.0);
    let report = scan_with(&tensors, &gemma);
    assert_eq!(only(&report, "integrity.all-zero").severity, Severity::Critical);
}

#[test]
fn gains_that_another_family_would_add_one_to_are_told() {
    let mut tensors = llama(61);
    let norms: Vec<String> = tensors.keys().filter(|name| name.contains("norm")).cloned().collect();
    for name in &norms {
        values(&mut tensors, name).iter_mut().for_each(|gain| *gain -= 1.0);
    }
    says(only(&scan(&tensors), "integrity.shifted-gains"), "stored as w - 1");
}

#[test]
fn broken_gains_are_no_reference_and_no_number_of_forty_digits() {
    let mut tensors = llama(62);
    for block in 0..4 {
        let name = format!("model.layers.{block}.input_layernorm.weight");
        values(&mut tensors, &name).iter_mut().for_each(|gain| *gain *= 1e30);
    }
    let report = scan(&tensors);
    let unlike: Vec<&Finding> =
        report.findings.iter().filter(|f| f.code == "integrity.unlike-siblings").collect();
    assert_eq!(unlike.len(), 4, "{unlike:#?}");
    for finding in unlike {
        says(finding, "more than a million times larger");
    }
}

#[test]
fn one_matrix_that_was_initialised_anew_is_told_once() {
    let mut tensors = llama(63);
    fresh(&mut Random::new(63), values(&mut tensors, UP));
    assert_eq!(only(&scan(&tensors), "integrity.untrained").weight.as_deref(), Some(UP));
}

#[test]
fn a_block_with_norms_that_was_initialised_anew_is_one_finding() {
    let mut random = Random::new(64);
    let mut tensors = llama(64);
    for (name, (_, values)) in tensors.iter_mut().filter(|(name, _)| name.contains("layers.4.")) {
        if name.contains("norm") { values.fill(1.0) } else { fresh(&mut random, values) }
    }
    let report = scan(&tensors);
    assert!(only(&report, "integrity.reinitialised").explains >= 2);
}

#[test]
fn blocks_without_training_in_a_trained_model_were_initialised_anew() {
    let mut random = Random::new(65);
    let mut tensors = llama(65);
    for (_, (_, values)) in tensors.iter_mut().filter(|(name, _)| name.contains("_proj")) {
        fresh(&mut random, values);
    }
    says(
        only(&scan(&tensors), "integrity.reinitialised"),
        "the token embedding and 13 norms were trained",
    );
}

#[test]
fn codes_in_all_matrices_of_a_role_have_lost_their_factors() {
    let mut tensors = llama(66);
    for (_, (_, values)) in tensors.iter_mut().filter(|(name, _)| name.contains("mlp.")) {
        values.iter_mut().for_each(|v| *v = (*v * 1000.0).round());
    }
    says(only(&scan(&tensors), "integrity.lost-scale"), "18 of 42 matrices");
}

#[test]
fn copied_blocks_are_one_finding() {
    let mut tensors = llama(67);
    for (name, tensor) in llama(67) {
        for (from, to) in [("layers.1.", "layers.3."), ("layers.2.", "layers.4.")] {
            if name.contains(from) {
                tensors.insert(name.replace(from, to), tensor.clone());
            }
        }
    }
    says(
        only(&scan(&tensors), "integrity.duplicate"),
        "blocks 3 and 4 are copies of blocks 1 and 2",
    );
}

#[test]
fn what_follows_from_zeros_is_said_of_the_place() {
    for (name, words) in [
        ("model.layers.3.self_attn.k_proj.weight", "looks at all positions alike"),
        ("model.layers.3.mlp.down_proj.weight", "its MLP adds nothing"),
    ] {
        let mut tensors = llama(68);
        values(&mut tensors, name).fill(0.0);
        says(only(&scan(&tensors), "integrity.all-zero"), words);
    }
}

#[test]
fn one_matrix_stored_the_other_way_around_is_told() {
    let mut tensors = llama(69);
    let (shape, values) = tensors.get_mut(UP).unwrap();
    let [rows, columns] = [shape[0], shape[1]];
    *values = (0..columns)
        .flat_map(|c| (0..rows).map(move |r| (r, c)))
        .map(|(r, c)| values[r * columns + c])
        .collect();
    *shape = vec![columns, rows];
    let report = scan(&tensors);
    says(only(&report, "integrity.shape"), "stored as [64, 160]");
}
