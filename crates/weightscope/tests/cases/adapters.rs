//! Adapters as people save them: half trained, other than their configuration says, and sound ones of every kind, about
//! which nothing is said.

use std::fmt::Write as _;
use std::path::Path;

use weightscope::{Compare, DType, Report, Scan, Severity};
use weightscope_testkit::Random;
use weightscope_testkit::checkpoint::TestCheckpoint;

use crate::{only, told};

const BLOCKS: usize = 8;
const WIDTH: usize = 128;

/// What an adapter is made of.
#[derive(Clone)]
struct Recipe {
    seed: u64,
    rank: usize,
    /// Kinds of modules with their outputs.
    targets: Vec<(&'static str, usize)>,
    /// Blocks whose B is zero.
    zero: Vec<usize>,
    config: String,
}

const CONFIG: &str =
    r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]}"#;

impl Recipe {
    fn new(config: &str) -> Self {
        let targets = vec![("self_attn.q_proj", WIDTH), ("self_attn.v_proj", 32)];
        Self { seed: 10, rank: 8, targets, zero: Vec::new(), config: config.to_owned() }
    }

    fn tensors(&self) -> Vec<(String, [usize; 2], Vec<f32>)> {
        let mut random = Random::new(self.seed);
        let mut draw = |rows: usize, columns: usize, size: f64| {
            let values = (0..rows * columns).map(|_| (size * random.normal()) as f32);
            values.collect::<Vec<f32>>()
        };
        let mut tensors = Vec::new();
        for block in 0..BLOCKS {
            for (target, out) in &self.targets {
                let module = format!("base_model.model.model.layers.{block}.{target}");
                let a = draw(self.rank, WIDTH, 0.05);
                let size = if self.zero.contains(&block) { 0.0 } else { 0.02 };
                let b = draw(*out, self.rank, size);
                tensors.push((format!("{module}.lora_A.weight"), [self.rank, WIDTH], a));
                tensors.push((format!("{module}.lora_B.weight"), [*out, self.rank], b));
            }
        }
        tensors
    }

    fn write(&self, folder: &Path) {
        let mut checkpoint = TestCheckpoint::new();
        for (name, [rows, columns], values) in self.tensors() {
            let shape = [rows as u64, columns as u64];
            checkpoint = checkpoint.values(&name, DType::F32, &shape, &values);
        }
        write(folder, &checkpoint, &self.config);
    }

    fn scan(&self) -> Report {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        Scan::new([folder.path()]).run().unwrap()
    }
}

fn write(folder: &Path, checkpoint: &TestCheckpoint, config: &str) {
    std::fs::write(folder.join("adapter_model.safetensors"), checkpoint.to_bytes()).unwrap();
    std::fs::write(folder.join("adapter_config.json"), config).unwrap();
}

fn adapter_of(report: &Report) -> String {
    report.models[0].adapter.as_ref().unwrap().told()
}

#[test]
fn a_sound_adapter_is_silent_and_is_told_in_words() {
    let config = r#"{"peft_type": "LORA", "base_model_name_or_path": "base/model", "r": 8,
        "lora_alpha": 16, "target_modules": ["v_proj", "q_proj"]}"#;
    let report = Recipe::new(config).scan();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.errors, []);
    let expected =
        "LoRA adapter, rank 8, alpha 16 (scale 2), 16 modules (q_proj, v_proj), of base/model";
    assert_eq!(adapter_of(&report), expected);
    assert!(report.models[0].missing.is_empty());
    assert!(report.figures.iter().any(|f| f.id == "adapter.norms"));
    assert!(report.figures.iter().any(|f| f.id == "adapter.spectrum"));
}

#[test]
fn modules_that_were_never_trained_are_one_warning() {
    let recipe = Recipe { zero: vec![5, 6, 7], ..Recipe::new(CONFIG) };
    let report = recipe.scan();
    let finding = only(&report, "adapter.untrained");
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(
        finding.message,
        "in blocks 5 to 7 the adapter adds nothing (B is zero): these modules were not trained"
    );
    assert_eq!(finding.weights.len(), 6);
    assert!(finding.weights.iter().all(|name| name.ends_with("lora_B.weight")));
}

#[test]
fn an_adapter_whose_training_has_not_begun_is_no_warning() {
    let report = Recipe { zero: (0..BLOCKS).collect(), ..Recipe::new(CONFIG) }.scan();
    assert_eq!(told(&report), []);
    let [finding] = &report.findings[..] else { panic!("{:#?}", report.findings) };
    assert_eq!((&*finding.code, finding.severity), ("adapter.untrained", Severity::Info));
    assert!(finding.message.starts_with("B is zero in all 16 modules"), "{}", finding.message);
}

#[test]
fn a_rank_that_the_configuration_does_not_have_is_critical() {
    let report = Recipe::new(&CONFIG.replace(r#""r": 8"#, r#""r": 16"#)).scan();
    let finding = only(&report, "adapter.rank-mismatch");
    assert_eq!(finding.severity, Severity::Critical);
    assert_eq!(
        finding.message,
        "adapter_config.json says r = 16, the tensors have 8: loading fails, or the scale alpha/r is half of what was trained"
    );
    // A pattern that speaks of some modules.
    let config = CONFIG.replace(r#""r": 8"#, r#""r": 8, "rank_pattern": {"v_proj": 4}"#);
    let report = Recipe::new(&config).scan();
    let finding = only(&report, "adapter.rank-mismatch");
    let expected = "says rank = 4, the tensors of 8 modules (v_proj) have 8";
    assert!(finding.message.contains(expected), "{}", finding.message);
    assert!(finding.message.ends_with("is twice what was trained"), "{}", finding.message);
}

#[test]
fn sound_adapters_of_every_kind_are_silent() {
    let rest = r#""r": 8, "target_modules": ["q_proj", "v_proj"]"#;
    for (more, expected) in [
        (
            r#""lora_alpha": 16, "use_rslora": true"#,
            "rsLoRA adapter, rank 8, alpha 16 (scale 5.6569)",
        ),
        (
            r#""lora_alpha": 16, "alpha_pattern": {"v_proj": 32}"#,
            "LoRA adapter, rank 8, alpha 16 to 32 (scale 2 to 4)",
        ),
        (r#""lora_alpha": 8, "fan_in_fan_out": true"#, "LoRA adapter, rank 8, alpha 8 (scale 1)"),
    ] {
        let report = Recipe::new(&format!(r#"{{"peft_type": "LORA", {rest}, {more}}}"#)).scan();
        assert_eq!(report.findings, [], "{more}");
        assert!(adapter_of(&report).starts_with(expected), "{}", adapter_of(&report));
    }
    for targets in [r#""all-linear""#, r#"".*self_attn\\.(q|v)_proj""#, "null"] {
        let config = format!(
            r#"{{"peft_type": "LORA", "r": 8, "lora_alpha": 8, "target_modules": {targets}}}"#
        );
        assert_eq!(Recipe::new(&config).scan().findings, [], "{targets}");
    }
}

#[test]
fn targets_that_are_not_there_and_factors_that_are_no_targets_are_told() {
    let config = CONFIG.replace(r#"["q_proj", "v_proj"]"#, r#"["q_proj", "o_proj"]"#);
    let report = Recipe::new(&config).scan();
    assert_eq!(told(&report), [("adapter.config", None); 2]);
    let all = report.findings.iter().fold(String::new(), |mut text, finding| {
        writeln!(text, "{}", finding.message).unwrap();
        text
    });
    assert!(all.contains("target_modules names o_proj, and there are no factors of it"), "{all}");
    assert!(
        all.contains("there are factors of v_proj (8 modules), which target_modules leaves out"),
        "{all}"
    );
}

#[test]
fn what_is_not_understood_of_a_configuration_is_said() {
    let config = CONFIG.replace(r#""r": 8"#, r#""r": 8, "alpha_pattern": {"(?!q)_proj": 4}"#);
    let finding = Recipe::new(&config).scan();
    let finding = only(&finding, "adapter.config");
    assert!(
        finding.message.contains(r#"alpha_pattern "(?!q)_proj" is not understood"#),
        "{}",
        finding.message
    );
}

/// A sound adapter with further tensors.
fn with(config: &str, more: &[(&str, &[u64])]) -> Report {
    let recipe = Recipe::new(config);
    let mut checkpoint = TestCheckpoint::new();
    for (name, [rows, columns], values) in recipe.tensors() {
        checkpoint = checkpoint.values(&name, DType::F32, &[rows as u64, columns as u64], &values);
    }
    let mut random = Random::new(3);
    for (name, shape) in more {
        let count = shape.iter().product::<u64>();
        let values: Vec<f32> = (0..count).map(|_| (0.5 + 0.1 * random.normal()) as f32).collect();
        checkpoint = checkpoint.values(name, DType::F32, shape, &values);
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &checkpoint, config);
    Scan::new([folder.path()]).run().unwrap()
}

#[test]
fn modules_that_were_trained_whole_stand_beside_the_factors() {
    let config = CONFIG.replace(r#""r": 8"#, r#""r": 8, "modules_to_save": ["lm_head"]"#);
    let report = with(&config, &[("base_model.model.lm_head.weight", &[40, 128])]);
    assert_eq!(told(&report), []);
    assert!(adapter_of(&report).contains("trained whole: lm_head"), "{}", adapter_of(&report));
    let report = with(&config, &[]);
    let finding = only(&report, "adapter.config");
    assert!(finding.message.starts_with("modules_to_save names lm_head"), "{}", finding.message);
}

#[test]
fn magnitudes_and_use_dora_belong_together() {
    let names: Vec<String> = (0..BLOCKS)
        .flat_map(|block| {
            let module = format!("base_model.model.model.layers.{block}.self_attn");
            ["q_proj", "v_proj"].map(|t| format!("{module}.{t}.lora_magnitude_vector.weight"))
        })
        .collect();
    let sizes: [&[u64]; 2] = [&[128], &[32]];
    let tensors: Vec<(&str, &[u64])> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), sizes[i % 2])).collect();
    let dora = CONFIG.replace(r#""r": 8"#, r#""r": 8, "use_dora": true"#);
    let report = with(&dora, &tensors);
    assert_eq!(told(&report), []);
    assert!(adapter_of(&report).starts_with("DoRA adapter"));
    assert!(report.conclusions.iter().any(|c| c.code == "adapter.magnitudes"));
    let finding = with(&dora, &tensors[..14]);
    let finding = only(&finding, "adapter.config");
    assert!(
        finding.message.contains("2 of 16 modules have no lora_magnitude_vector"),
        "{}",
        finding.message
    );
    let finding = with(CONFIG, &tensors);
    assert!(only(&finding, "adapter.config").message.contains("use_dora is not set"));
}

#[test]
fn a_factor_without_the_other_is_told() {
    let name = "base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight";
    let report = with(CONFIG, &[(name, &[8, 128])]);
    let finding = only(&report, "adapter.config");
    assert!(
        finding.message.contains("model.layers.0.self_attn.o_proj has lora_A alone"),
        "{}",
        finding.message
    );
}

#[test]
fn one_product_that_was_scaled_stands_apart_from_its_siblings() {
    let recipe = Recipe::new(CONFIG);
    let mut checkpoint = TestCheckpoint::new();
    for (name, [rows, columns], mut values) in recipe.tensors() {
        if name.contains("layers.4.self_attn.q_proj.lora_B") {
            values.iter_mut().for_each(|x| *x *= 20.0);
        }
        checkpoint = checkpoint.values(&name, DType::F32, &[rows as u64, columns as u64], &values);
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &checkpoint, CONFIG);
    let report = Scan::new([folder.path()]).run().unwrap();
    let finding = only(&report, "adapter.unlike-siblings");
    assert!(finding.weight.as_deref().unwrap().contains("layers.4.self_attn.q_proj.lora_A"));
}

#[test]
fn two_adapters_are_compared_in_what_they_add() {
    let base = Recipe::new(CONFIG);
    let other_rank = CONFIG.replace(r#""r": 8"#, r#""r": 4"#);
    let cases = [
        (
            Recipe { zero: vec![5, 6, 7], ..base.clone() },
            "adapter_change.changed",
            "differs in 6 of 16 modules",
        ),
        (
            Recipe { zero: vec![5, 6, 7], ..base.clone() },
            "adapter_change.changed",
            "TUNED adds nothing in 6 of them",
        ),
        (base.clone(), "adapter_change.same", "the products of all 16 modules are equal"),
        (
            Recipe { rank: 4, seed: 4, ..Recipe::new(&other_rank) },
            "adapter_change.changed",
            "rank 8 against 4",
        ),
    ];
    for (tuned, code, words) in cases {
        let folders = [&base, &tuned].map(|recipe| {
            let folder = tempfile::tempdir().unwrap();
            recipe.write(folder.path());
            folder
        });
        let report = Compare::new(folders[0].path(), folders[1].path()).run().unwrap();
        let codes: Vec<&str> = report.conclusions.iter().map(|c| &*c.code).collect();
        assert_eq!(codes, [code], "{:#?}", report.conclusions);
        let said = &report.conclusions[0].message;
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("LoraConfig"), "{said}");
    }
}

#[test]
fn a_configuration_of_the_whole_model_beside_an_adapter_promises_nothing() {
    let folder = tempfile::tempdir().unwrap();
    Recipe::new(CONFIG).write(folder.path());
    std::fs::write(folder.path().join("config.json"), crate::CONFIG).unwrap();
    let report = Scan::new([folder.path()]).run().unwrap();
    assert_eq!(told(&report), []);
    assert!(report.models[0].missing.is_empty(), "{:?}", report.models[0].missing);
    assert!(adapter_of(&report).contains("alpha 16 (scale 2)"), "{}", adapter_of(&report));
}
