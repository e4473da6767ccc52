//! `ws-cli plot`: exact values, windows, and every picture of a model's usual tour.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use weightscope::DType;
use weightscope_testkit::checkpoint::TestCheckpoint;

use crate::common::{Run, command, fixture, folder, run_with, strict_json};

/// Plots into `name` of `folder`; the words of `line` come after the model.
fn plot(model: &Path, line: &str, file: &Path) -> Run {
    let mut command = command();
    command.arg("plot").arg(model).args(line.split_whitespace()).arg("-o").arg(file);
    run_with(&mut command)
}

fn figures(model: &Path, line: &str) -> Vec<Value> {
    let folder = folder();
    let file = folder.path().join("figure.json");
    let done = plot(model, line, &file).exits(0);
    assert_eq!((done.out.as_str(), done.err.as_str()), ("", ""));
    let json = strict_json(&fs::read_to_string(file).unwrap());
    json["figures"].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// A 6 x 8 matrix whose entries are 10 row + column.
fn ramp(folder: &Path) -> std::path::PathBuf {
    let values: Vec<f32> =
        (0..6u8).flat_map(|r| (0..8).map(move |c| f32::from(10 * r + c))).collect();
    TestCheckpoint::new()
        .values("table.weight", DType::F32, &[6, 8], &values)
        .write(folder)
        .unwrap()
}

#[test]
fn windows_hold_exactly_their_entries() {
    let folder = folder();
    let model = ramp(folder.path());
    let map = &figures(&model, "--weight table.weight --rows 2:5 --cols 3:7")[0];
    assert_eq!(map["kind"], "heatmap");
    assert_eq!(numbers(&map["data"]["size"]), [3.0, 4.0]);
    assert_eq!(map["data"]["rows"]["first"], 2);
    assert_eq!(map["data"]["columns"]["first"], 3);
    let expected: Vec<f64> =
        (2..5u8).flat_map(|r| (3..7).map(move |c| f64::from(10 * r + c))).collect();
    assert_eq!(numbers(&map["data"]["cells"]["values"]), expected);
    // Without an end, and by the end of the name.
    let map = &figures(&model, "--weight weight --rows 4: --cols :2")[0];
    assert_eq!(numbers(&map["data"]["cells"]["values"]), [40.0, 41.0, 50.0, 51.0]);
}

#[test]
fn traces_follow_columns() {
    let folder = folder();
    let model = ramp(folder.path());
    let trace = &figures(&model, "--weight table.weight --figure trace --dims 7,1 --rows 1:4")[0];
    let series = trace["data"]["series"].as_array().unwrap();
    assert_eq!(series[0]["name"], "dimension 7");
    assert_eq!(numbers(&series[0]["x"]), [1.0, 2.0, 3.0]);
    assert_eq!(numbers(&series[0]["y"]), [17.0, 27.0, 37.0]);
    assert_eq!(numbers(&series[1]["y"]), [11.0, 21.0, 31.0]);
}

#[test]
fn windows_are_measured_by_themselves() {
    let folder = folder();
    let model = ramp(folder.path());
    let figure =
        &figures(&model, "--weight table.weight --figure histogram --rows 0:2 --cols 0:4")[0];
    let box_lines = figure["data"]["statistics"].as_array().unwrap();
    // 0, 1, 2, 3, 10, 11, 12, 13.
    assert_eq!(box_lines[0][1], 6.5);
    let counts = numbers(&figure["data"]["counts"]);
    assert_eq!(counts.iter().sum::<f64>(), 8.0);
}

#[test]
fn conv1d_is_turned() {
    let gpt2 = fixture("tiny-gpt2");
    let whole = &figures(&gpt2, "--weight h.0.attn.c_attn.weight")[0];
    assert_eq!(numbers(&whole["data"]["size"]), [240.0, 80.0]);
    let part = &figures(&gpt2, "--weight h.0.attn.c_attn.weight --rows 100:103 --cols 7:9")[0];
    let (all, some) =
        (numbers(&whole["data"]["cells"]["values"]), numbers(&part["data"]["cells"]["values"]));
    let expected: Vec<f64> = (100..103).flat_map(|r| [all[r * 80 + 7], all[r * 80 + 8]]).collect();
    assert_eq!(some, expected);
    // k is the second third of the outputs.
    let k = &figures(&gpt2, "--weight h.0.attn.c_attn.weight#k --rows 20:23 --cols 7:9")[0];
    assert_eq!(numbers(&k["data"]["cells"]["values"]), expected);
}

#[test]
fn pages_stand_alone() {
    let folder = folder();
    let file = folder.path().join("figure.html");
    plot(&fixture("tiny-gpt2"), "--weight wpe.weight --figure position", &file).exits(0);
    let page = fs::read_to_string(file).unwrap();
    assert!(page.contains("Content-Security-Policy"));
    for id in ["position.traces", "position.variance_traces", "position.neighbour_correlation"] {
        assert!(page.contains(id), "{id}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let folder = folder();
    let (gpt2, file) = (fixture("tiny-gpt2"), folder.path().join("f.html"));
    plot(&gpt2, "--weight wpe.weigh", &file).exits(2).says("did you mean \"wpe.weight\"?");
    plot(&gpt2, "--weight c_attn.weight", &file).exits(2).says("12 weights end in");
    plot(&gpt2, "--weight wpe.weight --rows 0:900", &file).exits(2).says("which has 64");
    plot(&gpt2, "--weight wpe.weight --figure trace --dims 80", &file)
        .exits(2)
        .says("which has 80");
    plot(&gpt2, "--weight wpe.weight --figure spectra", &file).exits(2).says("there are: ");
    let nan = TestCheckpoint::new().values("w", DType::F32, &[2, 3], &[f32::NAN; 6]);
    let nan = nan.write(folder.path()).unwrap();
    plot(&nan, "--weight w --figure pca", &file).exits(3).says("w: some values are NaN");
    let text = folder.path().join("f.txt");
    plot(&gpt2, "--weight wpe.weight", &text).exits(2).says(".html or .json");
    plot(&folder.path().join("none"), "--weight wpe.weight", &file).exits(4);
    assert!(!file.exists() && !text.exists());
}

#[test]
fn the_report_has_every_picture_of_the_tour() {
    let folder = folder();
    let report = folder.path().join("report.json");
    let mut command = command();
    command.args(["scan", "-q"]).arg(fixture("tiny-gpt2")).arg("-o").arg(&report);
    run_with(&mut command).exits(0);
    let json = strict_json(&fs::read_to_string(report).unwrap());
    let of_weight = |name: &str| -> BTreeSet<String> {
        let figures = json["figures"].as_array().unwrap().iter();
        figures
            .filter(|f| f["weight"] == name)
            .map(|f| f["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let of_model: BTreeSet<&str> = json["figures"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["weight"].is_null())
        .map(|f| f["id"].as_str().unwrap())
        .collect();
    // The middle one of its role is shown whole.
    let attention = of_weight("h.6.attn.c_attn.weight");
    for id in [
        "distribution.heatmap",
        "distribution.histogram",
        "spectral.spectrum",
        "pca.explained_variance",
        "pca.scores",
        "attention.heads.q",
    ] {
        assert!(attention.contains(id), "{id} is not among {attention:?}");
    }
    let positions = of_weight("wpe.weight");
    for id in [
        "distribution.heatmap",
        "position.traces",
        "position.variance_traces",
        "position.neighbour_correlation",
    ] {
        assert!(positions.contains(id), "{id} is not among {positions:?}");
    }
    let trends = ["mean", "std", "max", "min"].map(|m| format!("trend.distribution.{m}.decoder"));
    let mut wanted: Vec<String> = trends.to_vec();
    wanted.extend(["model.categories", "model.layer_sizes"].map(str::to_owned));
    for kind in ["box", "violin"] {
        wanted.push(format!("distribution.row_variance.{kind}.decoder.attention_qkv"));
    }
    for block in 0..12 {
        wanted.push(format!("attention.linkage.h.{block}.attn.c_attn.weight.q"));
        wanted.push(format!("attention.similarity.h.{block}.attn.c_attn.weight.q"));
    }
    for id in wanted {
        assert!(of_model.contains(id.as_str()), "{id} is not among {of_model:?}");
    }
}
