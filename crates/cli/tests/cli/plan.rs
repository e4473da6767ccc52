//! `ws-cli plan quantize`: from a report to a plan and its files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{
    Run, assert_inert, command, fixture, folder, names, run, run_with, strict_json,
};

/// A report of tiny-llama with the errors that numpy and gguf measured of it.
fn report(folder: &Path) -> PathBuf {
    let path = folder.join("report.json");
    let model = fixture("tiny-llama");
    let line = format!("scan --analyzers integrity --no-timings -q -o {}", path.display());
    run(&line, &[&model]).exits(0);
    let read = |path: &Path| strict_json(&fs::read_to_string(path).unwrap());
    let (mut report, measured) =
        (read(&path), read(&fixture("references/tiny-llama-quantization.json")));
    for weight in report["weights"].as_array_mut().unwrap() {
        let name = weight["name"].as_str().unwrap().to_owned();
        weight["analyses"]["quantization"] = measured["weights"][&name].clone();
    }
    report["settings"]["analyzers"]["quantization"] = 1.into();
    fs::write(&path, report.to_string()).unwrap();
    path
}

fn plan(report: &Path, line: &str) -> Run {
    let mut command = command();
    command.args(["plan", "quantize"]).arg(report).args(line.split_whitespace());
    run_with(command.env("COLUMNS", "80"))
}

#[test]
fn a_plan_is_printed_in_eighty_columns() {
    let folder = folder();
    let report = report(folder.path());
    let plain = plan(&report, "--target-bpw 5").exits(0);
    assert_eq!(plain.err, "");
    assert!(plain.out.lines().all(|line| line.chars().count() <= 80), "{}", plain.out);
    for words in ["this plan", "One scheme for all", "Roles", "Depth", "block 11", "norm=keep"] {
        assert!(plain.out.contains(words), "{words} is not in {}", plain.out);
    }
    assert_eq!(plan(&report, "--target-bpw 5 -q").exits(0).out, "");
    let colored = plan(&report, "--target-bpw 5 --color always").exits(0);
    assert!(colored.out.contains("\x1b[1m"));
}

#[test]
fn checkpoints_are_scanned_first() {
    let folder = folder();
    let json = |path: &Path, from: &Path| {
        plan(from, &format!("--target-bpw 6 -q -o {}", path.display())).exits(0);
        strict_json(&fs::read_to_string(path).unwrap())
    };
    let measured = json(&folder.path().join("a.json"), &fixture("tiny-llama"));
    let reference = json(&folder.path().join("b.json"), &report(folder.path()));
    let schemes = |plan: &Value| -> Vec<Value> {
        plan["tensors"].as_array().unwrap().iter().map(|t| t["scheme"].clone()).collect()
    };
    assert_eq!(schemes(&measured), schemes(&reference));
    assert_eq!(measured["after"], reference["after"]);
}

#[test]
fn every_file_is_written_and_equal_runs_give_equal_bytes() {
    let folder = folder();
    let report = report(folder.path());
    let files = |into: &Path| {
        fs::create_dir(into).unwrap();
        let write = |tool: &str, option: &str, name: &str| {
            let path = into.join(name);
            let line = format!("--target-bpw 6 -q --for {tool} {option} {}", path.display());
            let done = plan(&report, &line).exits(0);
            assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
            fs::read_to_string(path).unwrap()
        };
        [
            write("llama.cpp", "-o", "plan.json"),
            write("llama.cpp", "-o", "plan.html"),
            write("llama.cpp", "-o", "plan.txt"),
            write("llama.cpp", "--write", "types.txt"),
            write("llama.cpp", "--write", "quantize.sh"),
            write("compressed-tensors", "--write", "recipe.yaml"),
            write("compressed-tensors", "--write", "config.json"),
            write("bitsandbytes", "--write", "kwargs.json"),
        ]
    };
    let first = files(&folder.path().join("one"));
    assert_eq!(first, files(&folder.path().join("two")));
    let [json, html, text, types, script, recipe, config, kwargs] = first;
    let json = strict_json(&json);
    assert_eq!(json["target"], "llama.cpp");
    assert!(json["after"]["bytes"].as_u64() <= json["budget"].as_u64());
    assert!(json["error"].as_f64() >= json["bound"].as_f64());
    assert!(html.starts_with("<!doctype html>") || html.starts_with("<!DOCTYPE html>"));
    assert_inert(&text);
    assert!(types.lines().all(|line| line.starts_with('^')) && script.starts_with("#!/bin/sh"));
    assert!(recipe.contains("QuantizationModifier"));
    assert_eq!(strict_json(&config)["quant_method"], "compressed-tensors");
    assert_eq!(strict_json(&kwargs)["load_in_4bit"], Value::Bool(true));
}

#[test]
fn what_cannot_be_met_is_one() {
    let folder = folder();
    let report = report(folder.path());
    plan(&report, "--target-size 100kB")
        .exits(1)
        .says("100.0 kB cannot be reached, ")
        .says("kept by rule `norm=keep`: 9.600 kB");
    // What is named as the nearest can be had.
    let run = plan(&report, "--target-bpw 2").exits(1);
    let (_, nearest) = run.err.split_once("can be reached is --target-bpw ").unwrap();
    plan(&report, &format!("-q --target-bpw {}", nearest.trim())).exits(0);
}

#[test]
fn a_plan_of_a_broken_checkpoint_says_so() {
    let folder = folder();
    let path = report(folder.path());
    assert!(!plan(&path, "-q --target-bpw 6").exits(0).err.contains("critical"));
    let mut broken: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let finding = |weight: &str| {
        serde_json::json!({
            "code": "integrity.non-finite", "severity": "critical", "weight": weight,
            "metric": "nan_count", "value": 3.0, "threshold": 0.0, "reference": null,
            "message": "3 values are NaN", "advice": "reload it"
        })
    };
    broken["findings"] = serde_json::json!([finding("wte.weight"), finding("wpe.weight")]);
    fs::write(&path, broken.to_string()).unwrap();
    let page = folder.path().join("plan.html");
    let words = "integrity.non-finite (wte.weight: 3 values are NaN), and one more";
    for line in ["-q --target-bpw 6".to_owned(), format!("--target-bpw 6 -o {}", page.display())] {
        plan(&path, &line).exits(0).says(words);
    }
    assert!(fs::read_to_string(&page).unwrap().contains(words));
    let shown = plan(&path, "--target-bpw 6").exits(0).out;
    let second = shown.lines().nth(1).unwrap();
    assert!(second.starts_with("critical findings, and a plan mends none of them"), "{shown}");

    broken["findings"][1]["code"] = "integrity.damaged".into();
    fs::write(&path, broken.to_string()).unwrap();
    let refused = plan(&path, "-q --target-bpw 6").exits(4);
    let words =
        "before this is mended: integrity.damaged (wpe.weight: 3 values are NaN), and one more";
    assert!(refused.err.contains(words) && refused.err.contains("--force"), "{}", refused.err);
    plan(&path, "-q --target-bpw 6 --force").exits(0).says("integrity.damaged (wpe.weight");
}

#[test]
fn a_plan_is_for_a_tool_unless_any_is_asked_for() {
    let folder = folder();
    let report = report(folder.path());
    let shown = |line: &str| plan(&report, line).exits(0).out;
    let usual = shown("--target-bpw 6");
    assert!(usual.contains("llama.cpp: its files mix types freely"), "{usual}");
    assert!(!usual.contains("int8_channel") && !usual.contains("loads a mixture"), "{usual}");
    let any = shown("--target-bpw 6 --for any");
    assert!(any.contains("no program: none loads a mixture of these schemes"), "{any}");
    assert!(any.contains("nf4_b64"), "{any}");
    let by_scheme = shown("--target-bpw 6 --schemes nf4_b64");
    assert!(by_scheme.contains("bitsandbytes: it has the schemes asked for"), "{by_scheme}");
    assert!(usual.contains("badly which weight"), "{usual}");
}

#[test]
fn slips_are_usage() {
    let folder = folder();
    let report = report(folder.path());
    let usage = |line: &str, words: &str| {
        let run = plan(&report, line).exits(2);
        assert!(run.err.contains(words), "{words:?} is not in {:?}", run.err);
    };
    usage("", "--target-size");
    usage("--target-bpw 4 --min-sqnr 20", "cannot be used with");
    usage("--target-bpw 0", "0 is no number of bits");
    usage("--target-bpw 4 --for ollama", "there are llama.cpp, compressed-tensors, bitsandbytes");
    usage("--target-bpw 4 --schemes q4", "\"q4\" is no scheme");
    usage("--target-bpw 4 --for llama.cpp --schemes mxfp4", "llama.cpp cannot store mxfp4");
    usage("--target-bpw 4 --rule norm", "write WHAT=HOW");
    usage("--target-bpw 4 -o plan.yaml", "a plan is written as .json, .html or .txt");
    usage("--target-bpw 4 --write plan.sh", "--for");
    usage("--target-bpw 4 --for any --write plan.sh", "--for any is for none");
    usage("--target-bpw 4 --schemes nf4_b64,gguf_q4_0", "--for any has every scheme");
    usage("--target-bpw 4 --for llama.cpp --write plan.yaml", "ends with .sh or .txt");
    usage("--target-bpw 4 -o x.json -o x.json", "two files cannot have one name");
    let onto = format!("--target-bpw 6 -o {}", report.display());
    usage(&onto, "the report needs another name");
    assert_eq!(names(folder.path()), ["report.json"]);
}

#[test]
fn reports_without_measurements_are_unusable() {
    let folder = folder();
    let path = folder.path().join("report.json");
    let line = format!("scan --analyzers integrity -q -o {}", path.display());
    run(&line, &[&fixture("tiny-llama")]).exits(0);
    plan(&path, "--target-bpw 5").exits(4).says("the report has no quantization measurements");
    plan(&folder.path().join("none.json"), "--target-bpw 5").exits(4);
}
