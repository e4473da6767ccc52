//! Folders of folders, several layouts of one model side by side, and indexes of other files.

use std::path::Path;

use weightscope::load::LoadError;
use weightscope::{DType, Registry, Report, Scan, ScanError, Severity, builtin_registry, rejudge};

use crate::{CONFIG, Tensors, checkpoint_of, llama, told};

fn scan(folder: &Path) -> Report {
    Scan::new([folder]).run().unwrap()
}

fn put(tensors: &Tensors, folder: &Path, name: &str, config: Option<&str>) {
    std::fs::create_dir_all(folder).unwrap();
    let own = tempfile::tempdir().unwrap();
    let written = checkpoint_of(tensors, DType::BF16, None).write(own.path()).unwrap();
    std::fs::copy(written, folder.join(name)).unwrap();
    if let Some(config) = config {
        std::fs::write(folder.join("config.json"), config).unwrap();
    }
}

fn one(name: &str, shape: [usize; 2], value: impl Fn(usize) -> f32) -> Tensors {
    let values = (0..shape[0] * shape[1]).map(value).collect();
    Tensors::from([(name.to_owned(), (shape.to_vec(), values))])
}

/// A sentence encoder whose projection lies in a folder of its own.
fn sentence_encoder(folder: &Path, value: impl Fn(usize) -> f32) {
    put(&llama(60), folder, "model.safetensors", Some(CONFIG));
    put(&one("linear.weight", [80, 64], value), &folder.join("2_Dense"), "model.safetensors", None);
    let modules = r#"[{"idx": 0, "path": "", "type": "Transformer"}, {"idx": 1, "path": "1_Pooling"},
        {"idx": 2, "path": "2_Dense"}, {"idx": 3, "path": "../elsewhere"}]"#;
    std::fs::write(folder.join("modules.json"), modules).unwrap();
}

#[test]
fn parts_that_a_list_names_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let wave = |i: usize| if i == 77 { f32::NAN } else { (i as f32 * 0.37).sin() * 0.1 };
    sentence_encoder(folder.path(), wave);
    let report = scan(folder.path());
    let parts: Vec<Option<&str>> = report.sources.iter().map(|s| s.part.as_deref()).collect();
    assert_eq!(parts, [Some(""), Some("2_Dense")]);
    assert_eq!(report.models[0].family, "llama");
    assert_eq!(report.models[1].parameters, 80 * 64);
    assert_eq!(told(&report), [("integrity.non-finite", Some("2_Dense/linear.weight"))]);
    let weight = report.weights.iter().find(|w| w.name == "2_Dense/linear.weight").unwrap();
    assert_eq!((weight.model, weight.source_tensor.as_str()), (1, "linear.weight"));
    assert_eq!(report.totals.declared, report.weights.len() as u64);

    // Judged anew from the saved report, part by part.
    let text = serde_json::to_string(&report).unwrap();
    let mut again: Report = serde_json::from_str(&text).unwrap();
    let registry: Registry = builtin_registry();
    rejudge(&mut again, &registry.analyzers());
    assert_eq!((&again.findings, &again.facts), (&report.findings, &report.facts));
    assert_eq!(again.totals, report.totals);
}

#[test]
fn a_pipeline_is_read_part_by_part_and_variants_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let index = r#"{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet"],
        "text_encoder": ["transformers", "CLIPTextModel"], "scheduler": ["diffusers", "DDIM"]}"#;
    std::fs::write(folder.path().join("model_index.json"), index).unwrap();
    let unet = one("down_blocks.0.attn.to_q.weight", [64, 64], |i| (i as f32 * 0.7).sin());
    let name = "diffusion_pytorch_model";
    put(&unet, &folder.path().join("unet"), &format!("{name}.safetensors"), None);
    put(&unet, &folder.path().join("unet"), &format!("{name}.fp16.safetensors"), None);
    put(&llama(61), &folder.path().join("text_encoder"), "model.safetensors", Some(CONFIG));
    put(&unet, &folder.path().join("old"), "model.safetensors", None);
    let report = scan(folder.path());
    let mut parts: Vec<&str> = report.sources.iter().filter_map(|s| s.part.as_deref()).collect();
    parts.sort_unstable();
    assert_eq!(parts, ["text_encoder", "unet"]);
    let unread = report.findings.iter().find(|f| f.code == "integrity.unread-file").unwrap();
    assert_eq!(unread.severity, Severity::Info);
    assert!(unread.message.starts_with("unet: 1 file with weights is"), "{}", unread.message);
    assert!(unread.message.contains("fp16.safetensors"), "{}", unread.message);
}

#[test]
fn other_weights_in_the_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = llama(62);
    put(&model, folder.path(), "model-00001-of-00001.safetensors", Some(CONFIG));
    put(&model, folder.path(), "consolidated.safetensors", None);
    put(&model, &folder.path().join("extra/deep"), "head.safetensors", None);
    let report = scan(folder.path());
    assert_eq!((report.sources.len(), report.errors.len()), (1, 0));
    assert_eq!(report.models[0].tensors, model.len() as u64);
    let unread = report.findings.iter().find(|f| f.code == "integrity.unread-file").unwrap();
    for name in ["2 files", "consolidated.safetensors", "extra/deep/head.safetensors"] {
        assert!(unread.message.contains(name), "{}", unread.message);
    }
}

#[test]
fn an_index_of_other_shards_is_told_and_what_is_there_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let model = llama(63);
    let names: Vec<&String> = model.keys().collect();
    let map: Vec<String> = (0..)
        .zip(&names)
        .map(|(i, name)| format!("\"{name}\": \"model-{:05}-of-00008.safetensors\"", i % 8 + 1))
        .collect();
    let index = format!("{{\"metadata\": {{}}, \"weight_map\": {{{}}}}}", map.join(", "));
    for (shard, part) in (1..).zip(names.chunks(names.len().div_ceil(4))) {
        let part = part.iter().map(|name| ((*name).clone(), model[*name].clone())).collect();
        let name = format!("model-{shard:05}-of-00004.safetensors");
        put(&part, folder.path(), &name, Some(CONFIG));
    }
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let report = scan(folder.path());
    assert_eq!(report.models[0].tensors, model.len() as u64);
    assert_eq!(report.status, weightscope::Status::Partial);
    let finding = crate::only(&report, "integrity.stale-index");
    assert_eq!(finding.severity, Severity::Critical);
    let all = format!("{0} of the index's {0} tensors", model.len());
    assert!(finding.message.contains("names 8 files and none is here"), "{}", finding.message);
    assert!(finding.message.contains(&all), "{}", finding.message);
}

#[test]
fn the_states_of_a_training_run_are_no_parts() {
    let folder = tempfile::tempdir().unwrap();
    for step in [500, 1000] {
        let inner = folder.path().join(format!("checkpoint-{step}"));
        put(&llama(64), &inner, "model.safetensors", Some(CONFIG));
    }
    let error = Scan::new([folder.path()]).run().unwrap_err();
    let ScanError::Load(error @ LoadError::SeveralModels { .. }) = error else {
        panic!("{error}");
    };
    let said = error.to_string();
    assert!(said.contains("2 separate models") && said.contains("checkpoint-500"), "{said}");
    // One alone is what was meant.
    std::fs::remove_dir_all(folder.path().join("checkpoint-500")).unwrap();
    assert_eq!(scan(folder.path()).models[0].family, "llama");
}

#[test]
fn a_part_that_cannot_be_opened_is_an_error_and_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    put(&llama(65), &folder.path().join("text_encoder"), "model.safetensors", Some(CONFIG));
    put(
        &one("a.weight", [64, 64], |i| (i as f32).sin()),
        &folder.path().join("vae"),
        "model.safetensors",
        None,
    );
    std::fs::write(folder.path().join("vae/model.safetensors"), b"cut").unwrap();
    let mut report = scan(folder.path());
    let [error] = report.errors.as_slice() else { panic!("{:#?}", report.errors) };
    assert_eq!((error.name.as_str(), report.status), ("vae/", weightscope::Status::Partial));
    // Judged anew, nothing of that is lost, and no time is counted twice.
    let before = report.clone();
    rejudge(&mut report, &builtin_registry().analyzers());
    assert_eq!((&report.errors, report.status), (&before.errors, before.status));
    assert_eq!(report.timings, before.timings);
    assert_eq!(report.findings, before.findings);
}
