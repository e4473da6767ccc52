//! What is printed and written, and how wide.

use std::fs;

use crate::common::{command, fixture, folder, names, run, run_with, strict_json};

#[test]
fn every_format_on_stdout_and_in_files() {
    let folder = folder();
    let gpt2 = fixture("tiny-gpt2");
    let mut command = command();
    command.args(["scan", "--no-timings"]).arg(&gpt2);
    for name in ["r.json", "r.md", "r.csv", "r.txt", "R.MARKDOWN"] {
        command.arg("-o").arg(folder.path().join(name));
    }
    let table = run_with(&mut command).exits(0);
    assert_eq!(table.err, "");
    assert_eq!(names(folder.path()), ["R.MARKDOWN", "r.csv", "r.json", "r.md", "r.txt"]);
    let file = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let printed =
        |format: &str| run(&format!("scan --no-timings --format {format}"), &[&gpt2]).exits(0).out;
    assert!(printed("json") == file("r.json"));
    assert!(printed("csv") == file("r.csv"));
    assert!(printed("markdown") == file("r.md"));
    assert!(file("R.MARKDOWN") == file("r.md"));
    assert_eq!(printed("md"), printed("markdown"));
    assert_eq!(table.out, printed("table"));
    assert!(file("r.txt").starts_with(table.first_line()));

    let csv = file("r.csv");
    assert_eq!(csv.lines().count(), 161);
    assert!(csv.starts_with("name,role,part,"));
    assert!(csv.contains("\nh.0.attn.c_attn.weight,attention_qkv,weight,"));
    assert!(file("r.md").starts_with("## WeightScope: `"));
}

#[test]
fn quiet_prints_nothing_but_problems() {
    let folder = folder();
    let (gpt2, report) = (fixture("tiny-gpt2"), folder.path().join("r.json"));
    let mut quiet = command();
    quiet.args(["scan", "-q"]).arg(&gpt2).arg("-o").arg(&report);
    let run = run_with(&mut quiet).exits(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    crate::common::checked_report(&fs::read_to_string(&report).unwrap());
    let mut partial = command();
    partial.args(["scan", "-q", "--memory", "1000"]).arg(&gpt2);
    let run = run_with(&mut partial).exits(3);
    assert_eq!(run.out, "");
    assert_eq!(run.err.lines().count(), 21);
    assert!(run.err.ends_with("ws-cli: and 140 more errors\n"), "{}", run.err);
}

/// The answer fits a screen and says first and last how it stands; numbers and facts come on request.
#[test]
fn a_scan_answers_in_one_screen() {
    let gpt2 = fixture("tiny-gpt2");
    for width in ["80", "120"] {
        for line in ["scan", "scan --analyzers integrity"] {
            let mut command = command();
            command.args(line.split(' ')).arg(&gpt2).env("COLUMNS", width);
            let out = run_with(&mut command).exits(0).out;
            let lines: Vec<&str> = out.lines().collect();
            assert!(lines.len() <= 40, "{} lines: {out}", lines.len());
            let is_verdict = |line: &&&str| line.starts_with(['✓', '▲', '✗', '•']);
            let verdict = lines.iter().take(10).find(is_verdict).expect(&out);
            assert!(lines.iter().rev().take(2).any(|line| line == verdict), "{out}");
            assert!(!out.contains("──"), "{out}");
        }
    }
    assert!(run("scan --tables", &[&gpt2]).out.contains("\nspectral  "));
    assert!(run("scan -v", &[&gpt2]).out.contains("\nspectral  "));
    let all = run("scan --all", &[&gpt2]).exits(0).out;
    assert!(!all.contains("(--all") && !all.contains("--all adds"), "{all}");
}

#[test]
fn top_limits_rows_but_not_json() {
    let gpt2 = fixture("tiny-gpt2");
    let rows = |top: &str| {
        let out = run(&format!("scan --analyzers distribution --tables --top {top}"), &[&gpt2])
            .exits(0)
            .out;
        let table = out.split("\ndistribution ").nth(1).expect("the table").to_owned();
        table.lines().filter(|line| line.starts_with("  ") && line.contains(".weight")).count()
    };
    assert_eq!((rows("0"), rows("3"), rows("10")), (0, 3, 10));
    let json = |top: &str| {
        run(&format!("scan --no-timings --format json --top {top}"), &[&gpt2]).exits(0).out
    };
    assert!(json("1") == json("1000"));
    run("scan --top -1", &[&gpt2]).exits(2);
}

#[test]
fn no_line_is_wider_than_the_page() {
    for name in ["tiny-gpt2", "tiny-llama"] {
        for width in [40usize, 60, 80, 100, 200] {
            for words in ["scan", "info", "explain integrity siblings sibling_z", "analyzers"] {
                let mut command = command();
                command.args(words.split(' ')).env("COLUMNS", width.to_string());
                if words == "scan" || words == "info" {
                    command.arg(fixture(name).file_name().unwrap());
                    command.current_dir(fixture(name).parent().unwrap());
                }
                let run = run_with(&mut command).exits(0);
                for line in run.out.lines() {
                    assert!(line.chars().count() <= width, "{words} at {width}: {line:?}");
                    assert_eq!(line, line.trim_end(), "{words} at {width}");
                }
            }
        }
    }
}

#[test]
fn odd_widths_are_survived() {
    for width in ["", "0", "1", "-5", "x", "99999999999999999999", "100000"] {
        let mut command = command();
        command.arg("scan").arg(fixture("tiny-llama")).env("COLUMNS", width);
        run_with(&mut command).exits(0);
    }
}

#[test]
fn colour_is_for_terminals_or_on_request() {
    let gpt2 = fixture("tiny-gpt2");
    for line in ["scan", "info"] {
        assert!(!run(line, &[&gpt2]).out.contains('\u{1b}'));
        assert!(run(&format!("{line} --color always"), &[&gpt2]).out.contains('\u{1b}'));
    }
    // Files have none, whatever is asked for the terminal, and machines get none.
    let folder = folder();
    let report = folder.path().join("r.txt");
    let mut command = command();
    command.args(["scan", "--color", "always", "--format", "json"]).arg(&gpt2);
    let run = run_with(command.arg("-o").arg(&report)).exits(0);
    run.json();
    assert!(!fs::read_to_string(report).unwrap().contains('\u{1b}'));
}

#[test]
fn summary_thins_the_series_and_changes_no_number() {
    let gpt2 = fixture("tiny-gpt2");
    let scan = |series: &str| {
        run(&format!("scan --no-timings --format json --series {series}"), &[&gpt2]).exits(0)
    };
    let (full, summary) = (scan("full"), scan("summary"));
    assert!(summary.out.len() < full.out.len());
    let (full, summary) = (full.json(), summary.json());
    assert_eq!(summary["settings"]["series"], "summary");
    for key in ["weights", "findings", "conclusions", "totals", "models"] {
        assert!(full[key] == summary[key], "{key}");
    }
    let figures = |report: &serde_json::Value| report["figures"].as_array().unwrap().len();
    assert!(figures(&summary) < figures(&full));
}

#[test]
fn split_fused_measures_q_k_v_apart() {
    let gpt2 = fixture("tiny-gpt2");
    let report = run("scan --split-fused --format json", &[&gpt2]).exits(0).json();
    let weights = report["weights"].as_array().unwrap();
    let names: Vec<&str> = weights.iter().filter_map(|w| w["name"].as_str()).collect();
    for block in 0..12 {
        for part in ["q", "k", "v"] {
            let name = format!("h.{block}.attn.c_attn.weight#{part}");
            let weight = &weights[names.iter().position(|n| **n == name).expect(&name)];
            assert_eq!(weight["role"], format!("attention_{part}"));
            assert_eq!(weight["source_tensor"], format!("h.{block}.attn.c_attn.weight"));
            assert_eq!(weight["matrix"], serde_json::json!([80, 80]));
            assert_eq!(weight["status"], "ok");
        }
    }
    assert!(!names.contains(&"h.0.attn.c_attn.weight"));
    assert_eq!(report["models"][0]["parameters"], 959_840);
}

#[test]
fn info_says_what_a_checkpoint_is() {
    let gpt2 = run("info", &[&fixture("tiny-gpt2")]).exits(0);
    let lines = [
        "  family      gpt2",
        "  parameters  959.8 K (959,840)",
        "  size        4.036 MB in 160 tensors",
        "  layout      12 blocks, hidden 80, 5 heads of 16, vocabulary 256",
        "  stored as   F32",
    ];
    for line in lines {
        assert!(gpt2.out.lines().any(|l| l == line), "{line:?} is not in\n{}", gpt2.out);
    }
    let llama = run("info", &[&fixture("tiny-llama")]).exits(0);
    let lines = [
        "  family      llama",
        "  parameters  1.207 M (1,206,624)",
        "  size        2.413 MB in 110 tensors",
        "  layout      12 blocks, hidden 96, 6 heads of 16, 2 key-value heads, vocabulary 256",
        "  stored as   BF16",
    ];
    for line in lines {
        assert!(llama.out.lines().any(|l| l == line), "{line:?} is not in\n{}", llama.out);
    }
    assert!(llama.first_line().ends_with("safetensors, 2 files, 2.425 MB"));
    for (name, parameters, blocks, tensors) in
        [("tiny-gpt2", 959_840, 12, 160), ("tiny-llama", 1_206_624, 12, 110)]
    {
        let info = strict_json(&run("info --format json", &[&fixture(name)]).exits(0).out);
        assert_eq!(info["schema"]["name"], "weightscope-info");
        assert_eq!(info["model"]["parameters"], parameters);
        assert_eq!(info["model"]["blocks"], blocks);
        assert_eq!(info["weights"].as_array().unwrap().len(), tensors);
        let csv = run("info --format csv", &[&fixture(name)]).exits(0).out;
        assert_eq!(csv.lines().count(), tensors + 1);
        let quiet = run("info -q", &[&fixture(name)]).exits(0);
        assert_eq!(quiet.out + &quiet.err, "");
    }
}

#[test]
fn info_of_a_partial_checkpoint_is_3_and_says_so() {
    let folder = folder();
    crate::common::small().config("{").write(folder.path()).unwrap();
    let table = run("info", &[folder.path()]).exits(3);
    assert!(table.first_line().starts_with("PARTIAL"), "{}", table.out);
    assert!(table.out.contains("config.json"), "{}", table.out);
    run("info -q", &[folder.path()]).exits(3).says("config.json");
    let json = run("info --format json", &[folder.path()]).exits(3).says("config.json");
    assert_eq!(strict_json(&json.out)["errors"][0]["code"], "broken-config");
}
