//! Weights that are stored in blocks and codes: what is said of them, and of what is not decoded.

use std::fs;
use std::path::Path;

use serde_json::Value;
use weightscope::DType;
use weightscope_testkit::checkpoint::TestCheckpoint;

use crate::common::{command, folder, numbers, run, run_with, strict_json};

/// A matrix of plain numbers, and codes that nothing decodes.
fn with_codes(folder: &Path) {
    TestCheckpoint::new()
        .values("model.layers.0.mlp.up_proj.weight", DType::F16, &[32, 64], &numbers(2048, 1))
        .tensor("model.layers.0.mlp.down_proj.qweight", DType::I32, &[8, 64], vec![0x77; 2048])
        .write(folder)
        .unwrap();
}

/// The same two matrices, of which `scaled` has one in 8-bit floats with a factor for each block.
fn pair(plain: &Path, scaled: &Path) {
    let up = numbers(256 * 128, 1);
    let name = "model.layers.0.mlp.up_proj.weight";
    let norm = |checkpoint: TestCheckpoint| {
        checkpoint.values("model.norm.weight", DType::F32, &[128], &numbers(128, 2))
    };
    norm(TestCheckpoint::new()).values(name, DType::BF16, &[256, 128], &up).write(plain).unwrap();
    let codes: Vec<f32> = up.iter().map(|x| x * 64.0).collect();
    norm(TestCheckpoint::new())
        .values(name, DType::F8E4M3, &[256, 128], &codes)
        .values(
            "model.layers.0.mlp.up_proj.weight_scale_inv",
            DType::F32,
            &[2, 1],
            &[1.0 / 64.0, 1.0 / 64.0],
        )
        .write(scaled)
        .unwrap();
}

#[test]
fn what_is_not_decoded_is_said_first_and_exits_with_3() {
    let folder = folder();
    with_codes(folder.path());
    let scope = "at least 20 % of the parameters were not measured (1 tensor): codes of type I32 without what decodes them";
    let rest = "in what was measured, at most 80 % of the parameters";
    let table = run("scan --analyzers integrity --tables", &[folder.path()]).exits(3);
    let at = |words: &str| {
        table.out.find(words).unwrap_or_else(|| panic!("{words:?} is not in {}", table.out))
    };
    let joined = table.out.replace('\n', " ");
    assert!(joined.contains(scope), "{}", table.out);
    assert!(at("20 % of the parameters") < at("family"));
    assert!(at("family") < at(&format!("no findings {rest}")));
    assert!(at("stored as   F16 80.0 %, I32 codes 20.0 %") > 0);
    assert!(table.out.contains("the one measured weight is finite; 1 was not looked into"));
    assert!(!table.out.contains("all 2 weights"));

    let markdown = run("scan --analyzers integrity --format markdown", &[folder.path()]).exits(3);
    assert!(markdown.out.contains(&format!("**{scope}**")), "{}", markdown.out);
    assert!(markdown.out.contains(&format!("**no findings {rest}**")), "{}", markdown.out);

    let report = run("scan --format json --no-timings", &[folder.path()]).exits(3).json();
    assert_eq!(report["status"], "partial");
    let group = &report["totals"]["not_measured"][0];
    assert_eq!((&group["tensors"], &group["parameters"]), (&1.into(), &512.into()));
    assert_eq!(group["share"], 0.2);
    assert_eq!(report["errors"][0]["code"], "not-decoded");
    let codes = report["weights"].as_array().unwrap().iter().find(|w| w["dtype"] == "codes");
    assert_eq!(codes.unwrap()["status"], "skipped");

    // What the user leaves out is not missed.
    run("scan -q --exclude *.qweight", &[folder.path()]).exits(0);
}

#[test]
fn stored_forms_are_named_in_every_format() {
    let (plain, scaled) = (folder(), folder());
    pair(plain.path(), scaled.path());
    let path = scaled.path();
    let mut wide = command();
    wide.args(["scan", "--tables", "--analyzers", "distribution"]).arg(path).env("COLUMNS", "200");
    let table = run_with(&mut wide).exits(0).out;
    let line = "stored as   fp8 128x128 99.6 %, F32 0.39 %; 8.10 bits a weight";
    assert!(table.contains(line), "{table}");
    let row = table.lines().find(|line| line.contains("up_proj")).unwrap();
    assert!(row.contains("fp8 128x128"), "{row}");

    let report = run("scan --analyzers distribution --format json", &[path]).exits(0).json();
    let weight = &report["weights"].as_array().unwrap()[0];
    assert_eq!(
        (weight["dtype"].as_str(), weight["parameters"].as_u64()),
        (Some("F32"), Some(32768))
    );
    assert_eq!(weight["stored"]["scheme"], "fp8 128x128");
    assert_eq!(weight["stored"]["bytes"], 32768 + 8);
    assert_eq!(weight["stored"]["parts"].as_array().unwrap().len(), 2);
    let model = &report["models"][0];
    assert_eq!(model["bytes"], 32768 + 8 + 512);
    assert_eq!(model["categories"][0]["bytes"], 32768 + 8);
    assert_eq!(model["stored_as"][0]["type"], "fp8 128x128");

    for command in ["scan --analyzers distribution", "info"] {
        let csv = run(&format!("{command} --format csv"), &[path]).exits(0).out;
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let titles = lines.next().unwrap();
        let row = lines.find(|cells| cells[0].contains("up_proj")).unwrap();
        let cell = |title: &str| row[titles.iter().position(|t| *t == title).unwrap()];
        assert_eq!((cell("dtype"), cell("stored_scheme")), ("F32", "fp8 128x128"));
        assert_eq!(cell("stored_bytes"), "32776");
        assert!((cell("stored_bits_per_weight").parse::<f64>().unwrap() - 8.001_953).abs() < 1e-6);
    }

    let info = run("info", &[path]).exits(0).out;
    assert!(info.contains(line) && info.contains("bits a weight"), "{info}");
    assert!(!info.contains("weight_scale_inv"), "{info}");
    let info = run("info -v", &[path]).exits(0).out;
    assert!(info.contains("up_proj.weight_scale_inv"), "{info}");
    let info = strict_json(&run("info --format json", &[path]).exits(0).out);
    assert_eq!(info["weights"][0]["stored"]["parts"].as_array().unwrap().len(), 2);
}

#[test]
fn each_side_of_a_comparison_is_stored_as_itself() {
    let (plain, scaled) = (folder(), folder());
    pair(plain.path(), scaled.path());
    let table = run("compare", &[plain.path(), scaled.path()]).exits(0).out;
    let sides = table.lines().find(|line| line.contains("stored as")).unwrap();
    let (base, tuned) = sides.split_once(" → ").unwrap();
    assert!(base.ends_with("BF16 99.6 %, F32 0.39 %"), "{base}");
    assert!(tuned.contains("fp8 128x128 99.6 %"), "{tuned}");
}

#[test]
fn a_plan_says_what_is_already_quantised() {
    let (plain, scaled) = (folder(), folder());
    pair(plain.path(), scaled.path());
    let text = run("plan quantize --target-bpw 9", &[scaled.path()]).exits(0).out;
    assert!(
        text.contains("already quantised: 1 matrix as fp8 128x128, 8.0 bits a weight"),
        "{text}"
    );
    assert!(text.contains("nothing to plan"), "{text}");
    let error = run("plan quantize --target-bpw 4.5", &[scaled.path()]).exits(1).err;
    assert!(error.contains("stored=auto plans them anew"), "{error}");
    let anew = "plan quantize --target-bpw 4.8 --rule stored=auto -o";
    let path = scaled.path().join("plan.out.json");
    run(&format!("{anew} {} -q", path.display()), &[scaled.path()]).exits(0);
    let plan: Value = strict_json(&fs::read_to_string(path).unwrap());
    assert_eq!(plan["already_quantized"][0]["form"], "fp8 128x128");
    assert_eq!(plan["before"]["bytes"], 32768 + 8 + 512);
    assert!(plan["notes"][0].as_str().unwrap().contains("planned anew"), "{plan}");
}
