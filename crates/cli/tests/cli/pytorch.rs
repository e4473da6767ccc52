//! Files of torch.save, from the file to the sentence.

use std::fs;
use std::path::{Path, PathBuf};

use weightscope_testkit::torch::{TestTorch, dict, pickle, tensor};

use crate::common::{assert_inert, run};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/references/pytorch").join(name)
}

#[test]
fn a_training_state_is_scanned_and_what_is_left_is_told() {
    let text = run("scan", &[&reference("training.pt")]).exits(0).out;
    assert!(
        text.contains("the tensors under \"state_dict\" are read; not read: \"ema\""),
        "{text}"
    );
    let report = run("scan --format json", &[&reference("training.pt")]).exits(0).json();
    let twin = run("scan --format json", &[&reference("training.safetensors")]).exits(0).json();
    let names = |report: &serde_json::Value| {
        let weights = report["weights"].as_array().unwrap().clone();
        weights
            .into_iter()
            .map(|w| (w["name"].clone(), w["analyses"]["distribution"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&report), names(&twin), "the same numbers as of its twin");
    assert_eq!(report["sources"][0]["globals"][0]["danger"], "inert");
}

#[test]
fn what_a_file_would_run_is_said_and_nothing_of_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("was-run");
    let call = format!(
        "cos\nsy\u{1b}[2Jstem\n(S'touch {0}'\ntR0cos\nsystem\n(S'touch {0}'\ntR",
        flag.display()
    );
    let weight = tensor("FloatStorage", "0", 4, 0, &[2, 2], &[2, 1]);
    let value = dict(&[("w", weight), ("x", call.into_bytes())]);
    let file = TestTorch::new(&pickle(&value)).member("m/data/0", &[0, 0, 128, 63].repeat(4));
    let path = folder.path().join("m.pt");
    fs::write(&path, file.to_bytes()).unwrap();
    for format in ["scan", "info", "scan --format markdown"] {
        let text = run(format, &[&path]).exits(0).out;
        assert!(text.contains("os.system"), "{format}: {text}");
        assert_inert(&text);
    }
    run("scan -q --fail-on critical", &[&path]).exits(1);
    let report = run("scan --format json", &[&path]).exits(0).json();
    assert_eq!(report["findings"][0]["code"], "integrity.unsafe-pickle");
    assert_eq!(report["findings"][0]["severity"], "critical");
    assert!(!flag.exists(), "it was run");
}
