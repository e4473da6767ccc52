//! Names that want to be more than names.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use weightscope::DType;
use weightscope_testkit::checkpoint::TestCheckpoint;

use crate::common::{assert_inert, command, folder, numbers, run, run_with, with};

fn hostile_names() -> Vec<String> {
    let names = [
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[H",
        "\u{9b}31m\u{85}\u{90}",
        "bell\u{7}back\u{8}del\u{7f}nul\u{0}",
        "line\nfeed\rreturn\ttab",
        "bidi\u{202e}txt.exe\u{2066}\u{200f}\u{61c}",
        "zero\u{200b}\u{200d}\u{2060}\u{feff}width\u{2028}\u{2029}",
        "tags\u{e0041}\u{e007f}",
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "`code` **bold** | pipe | [link](http://x.test) @team #1",
        "=cmd|' /C calc'!A0",
        "layer.weight",
        "Layer.weight",
        "LAYER.WEIGHT",
        "e\u{301}",
        "\u{e9}",
        "a\u{0}b",
        "a\\u0000b",
        "../../etc/passwd",
        "h.18446744073709551616.attn.c_attn.weight",
        "h.99999999.mlp.c_fc.weight#0",
        "",
        " ",
    ];
    let mut names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    names.push("long".repeat(2500));
    names.push(format!("{}\u{1b}[31m", "ü".repeat(5000)));
    names
}

/// All of them, one measured in vain, one of an unknown type, one not finite.
fn hostile() -> TestCheckpoint {
    let mut checkpoint = hostile_names()
        .iter()
        .fold(TestCheckpoint::new(), |checkpoint, name| with(checkpoint, name, &[16, 16]));
    checkpoint = checkpoint.tensor_of("odd\u{1b}[31m", "F\u{1b}[5m\u{202e}9", &[4], vec![0; 4]);
    let mut values = numbers(64 * 64, 9);
    values[5] = f32::NAN;
    checkpoint
        .values("nan\u{1b}]8;;http://x.test\u{7}", DType::F32, &[64, 64], &values)
        .values("zero\u{202e}\n", DType::F32, &[64, 64], &[0.0; 64 * 64])
        .config("{\"model_type\": \"gpt2\\u001b[31m\\n\", \"architectures\": [\"\\u202e\"]}")
}

#[test]
fn nothing_on_the_terminal_acts() {
    let folder = folder();
    let path = folder.path().join("evil\u{1b}[31m\n\u{202e}name");
    fs::create_dir(&path).unwrap();
    hostile().write(&path).unwrap();
    for format in ["table", "markdown", "csv", "json"] {
        // `run` checks both streams.
        for line in ["scan -v --top 50 --color never", "scan --split-fused"] {
            run(&format!("{line} --format {format}"), &[&path]).exits(3);
        }
        run(&format!("info --format {format}"), &[&path]).exits(0);
    }
    for (line, code) in [("scan --color always --top 50", 3), ("info --color always", 0)] {
        let run = run(line, &[&path]).exits(code);
        assert!(run.out.contains("\u{1b}["), "colour was asked for");
        assert_inert(&without_colour(&run.out));
        assert_inert(&run.err);
    }
    run("scan -q --memory 1000", &[&path]).exits(3);
    let absent = path.join("absent\u{1b}[2J\u{9b}m");
    for line in ["scan", "info", "scan --baseline", "scan x --config", "scan x -o"] {
        let run = run(line, &[&absent]);
        assert_ne!(run.code, 0);
        assert!(!run.err.is_empty());
    }
    run("explain", &[&absent]).exits(2);
    // What clap quotes is made harmless as well.
    let run = run_with(command().arg("scan").arg("--fo\u{1b}[31m\u{9b}").arg("x")).exits(2);
    assert!(run.err.contains("unexpected argument"), "{:?}", run.err);
}

/// Takes away the sequences that we write ourselves: colours and weights, nothing else.
fn without_colour(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (numbers, rest) = piece.split_once('m').expect("a colour ends with m");
        assert!(numbers.chars().all(|c| c.is_ascii_digit() || c == ';'), "{numbers:?}");
        plain.push_str(rest);
    }
    plain
}

#[test]
fn json_keeps_every_name_as_it_is_and_apart() {
    let folder = folder();
    let file = hostile().write(folder.path()).unwrap();
    for (line, code) in [("scan --format json", 3), ("info --format json", 0)] {
        let run = run(line, &[&file]).exits(code);
        let report = crate::common::strict_json(&run.out);
        let weights = report["weights"].as_array().unwrap();
        let names: BTreeSet<&str> = weights.iter().filter_map(|w| w["name"].as_str()).collect();
        let mut expected = hostile_names();
        expected.extend(
            ["odd\u{1b}[31m", "nan\u{1b}]8;;http://x.test\u{7}", "zero\u{202e}\n"]
                .map(str::to_owned),
        );
        assert_eq!(names, expected.iter().map(String::as_str).collect(), "{line}");
        assert_eq!(weights.len(), names.len());
        assert!(run.out.chars().all(|c| c == '\n' || !c.is_control()));
    }
    let report = run("scan --format json", &[&file]).json();
    let odd = report["errors"].as_array().unwrap().iter().find(|e| e["code"] == "unknown-dtype");
    assert_eq!(odd.map(|e| &e["name"]), Some(&Value::from("odd\u{1b}[31m")));
}

#[test]
fn names_differing_only_in_case_are_measured_apart() {
    let folder = folder();
    let file = hostile().write(folder.path()).unwrap();
    let report = run("scan --format json --include [lL]*", &[&file]).exits(0).json();
    let weights = report["weights"].as_array().unwrap();
    let of = |name: &str| {
        let weight = weights.iter().find(|w| w["name"] == name).expect(name);
        weight["analyses"]["integrity"]["content_hash"].as_str().unwrap().to_owned()
    };
    let hashes = BTreeSet::from([of("layer.weight"), of("Layer.weight")]);
    assert_eq!(hashes.len(), 2);
    assert!(weights.iter().any(|w| w["name"] == "LAYER.WEIGHT"));
}

#[test]
fn markup_in_names_stays_text() {
    let folder = folder();
    let file = hostile().write(folder.path()).unwrap();
    let markdown = run("scan --format markdown --top 50", &[&file]).exits(3).out;
    // Within code it is only text.
    for line in markdown.lines() {
        let outside: String = line.split('`').step_by(2).collect();
        assert!(!outside.contains("<script") && !outside.contains("<img"), "{line}");
        assert_eq!(line.matches('`').count() % 2, 0, "{line}");
    }
    let csv = run("scan --format csv", &[&file]).exits(3).out;
    assert!(!csv.lines().any(|line| line.starts_with("=cmd") || line.starts_with("\"=cmd")));
    let rows = hostile_names().len() + 3;
    assert_eq!(csv.lines().count(), rows + 1, "a row each, whatever the names hold");
}

#[test]
fn the_same_name_twice_is_reported() {
    let folder = folder();
    let file = with(with(TestCheckpoint::new(), "a", &[16, 16]), "a", &[16, 16])
        .write(folder.path())
        .unwrap();
    let report = run("scan --format json", &[&file]).exits(3).json();
    assert_eq!(report["errors"][0]["code"], "duplicate-name");
}
