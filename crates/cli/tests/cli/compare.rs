//! Two checkpoints held against each other.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weightscope::DType;
use weightscope_testkit::checkpoint::TestCheckpoint;

use crate::common::{Run, command, fixture, folder, names, numbers, run, run_with, small, with};

fn compare(line: &str, base: &Path, tuned: &Path) -> Run {
    run(&format!("compare --no-timings {line}"), &[base, tuned])
}

/// Those of pairs that were measured.
fn changes(report: &Value) -> Vec<&Value> {
    let weights = report["weights"].as_array().unwrap().iter();
    weights.filter(|w| w["status"] == "ok").map(|w| &w["analyses"]["compare"]).collect()
}

/// Writes a checkpoint into a folder of its own.
fn written(checkpoint: &TestCheckpoint) -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let path = checkpoint.write(folder.path()).unwrap();
    (folder, path)
}

#[test]
fn a_checkpoint_does_not_differ_from_itself() {
    let model = fixture("tiny-gpt2");
    let run = compare("--format json --fail-on-change 0", &model, &model).exits(0);
    assert_eq!(run.err, "");
    let report = run.json();
    assert_eq!((&report["kind"], &report["status"]), (&"compare".into(), &"complete".into()));
    let changes = changes(&report);
    assert_eq!(changes.len() as u64, report["totals"]["declared"].as_u64().unwrap());
    for change in changes {
        assert_eq!(
            (&change["changed_fraction"], &change["relative_l2"]),
            (&0.0.into(), &0.0.into())
        );
    }
    let table = compare("--tables", &model, &model).exits(0).out;
    assert!(table.contains("none of 160 weights changed"), "{table}");
}

#[test]
fn a_folder_is_compared_with_a_file() {
    let model = fixture("tiny-gpt2");
    let file = model.join("model.safetensors");
    let report = compare("--format json --fail-on-change 0", &model, &file).exits(0).json();
    let path = |i: usize| Path::new(report["sources"][i]["path"].as_str().unwrap()).to_owned();
    assert_eq!((path(0), path(1)), (model, file));
}

#[test]
fn too_much_change_is_1_and_says_where() {
    let (base, tuned) = (fixture("tiny-gpt2"), fixture("tiny-gpt2-lora"));
    let report = compare("--format json", &base, &tuned).exits(0).json();
    let weights = report["weights"].as_array().unwrap();
    let change = |w: &&Value| w["analyses"]["compare"]["relative_l2"].as_f64().unwrap();
    let worst = weights.iter().max_by(|a, b| change(a).total_cmp(&change(b))).unwrap();
    let above = weights.iter().filter(|w| change(w) > 0.01).count();
    let run = compare("-q --fail-on-change 0.01", &base, &tuned).exits(1);
    let name = worst["name"].as_str().unwrap();
    let words = format!("above --fail-on-change 0.01 (and {} more)", above - 1);
    assert!(run.err.starts_with(&format!("ws-cli: {name} changed by 0.")), "{}", run.err);
    run.says(&words);
    compare("-q --fail-on-change 1e9", &base, &tuned).exits(0);
    // The line itself is not above it, however it is rounded.
    let most = change(&worst);
    compare(&format!("-q --fail-on-change {most}"), &base, &tuned).exits(0);
    let below = f64::from_bits(most.to_bits() - 1);
    compare(&format!("-q --fail-on-change {below}"), &base, &tuned)
        .exits(1)
        .says(&format!("changed by {most}, above --fail-on-change {below}"));
    let only = format!("-q --fail-on-change 0 --include {name}");
    assert!(compare(&only, &base, &tuned).exits(1).err.ends_with("--fail-on-change 0\n"));
}

#[test]
fn lines_that_make_no_sense_are_2() {
    let model = fixture("tiny-gpt2");
    for line in ["-1", "nan", "inf", "1e999", "much"] {
        let run = compare(&format!("--fail-on-change {line}"), &model, &model).exits(2);
        assert!(run.err.contains("neither zero nor a positive number"), "{}", run.err);
    }
    let run = compare("--spectral --no-spectra", &model, &model).exits(2);
    assert!(run.err.contains("cannot be used with"), "{}", run.err);
    compare("--analyzers lineage --fail-on-change 0", &model, &model)
        .exits(2)
        .says("needs the analyzer compare");
    compare("--analyzers spectral", &model, &model).exits(2).says("measures one checkpoint");
    run_with(command().arg("compare").arg(&model)).exits(2);
    compare("--include nothing*", &model, &model).exits(2).says("none of their 320 weights");
}

#[test]
fn what_has_no_counterpart_says_why() {
    let base = fixture("tiny-gpt2");
    // Of what hardly pairs nothing can be said: partial.
    let run = compare("--format json", &base, &fixture("tiny-llama")).exits(3);
    assert_eq!(run.err, "");
    let report = run.json();
    assert!(report["totals"]["skipped"].as_u64().unwrap() > 20);
    compare("", &base, &fixture("tiny-llama")).exits(3);
    let checkpoint = with(small(), "d.weight", &[8, 8]);
    let (more, less) = (written(&checkpoint), written(&small()));
    for (base, tuned) in [(&more.1, &less.1), (&less.1, &more.1)] {
        compare("-q", base, tuned).exits(0);
        compare("-q --fail-on-change 9", base, tuned)
            .exits(1)
            .says("--fail-on-change: d.weight cannot be compared: ");
    }
}

#[test]
fn rows_of_one_side_are_changes() {
    let table = |rows: usize| {
        let values: Vec<f32> = (0..rows * 8).map(|i| (i as f32 * 0.7).sin()).collect();
        let shape = [rows as u64, 8];
        written(&small().values("embed_tokens.weight", DType::F32, &shape, &values))
    };
    let (long, short) = (table(40), table(32));
    for (base, tuned) in [(&long.1, &short.1), (&short.1, &long.1)] {
        compare("-q", base, tuned).exits(0);
        compare("-q --fail-on-change 9", base, tuned).exits(1).says("rows 32 to 39");
    }
}

#[test]
fn a_missing_checkpoint_is_4_and_named() {
    let (model, folder) = (fixture("tiny-gpt2"), folder());
    let gone = folder.path().join("gone");
    let report = folder.path().join("r.json");
    for (base, tuned) in [(&model, &gone), (&gone, &model)] {
        let line = format!("-o {}", report.display());
        compare(&line, base, tuned).exits(4).says(&format!("{}: there is no", gone.display()));
        let rejected = crate::common::checked_report(&fs::read_to_string(&report).unwrap());
        assert_eq!(
            (&rejected["kind"], &rejected["status"]),
            (&"compare".into(), &"rejected".into())
        );
        assert_eq!(rejected["errors"][0]["name"], gone.to_str().unwrap());
        assert_eq!(rejected["sources"][1]["path"], tuned.to_str().unwrap());
    }
    let empty = written(&TestCheckpoint::new());
    compare("--fail-on-change 0", &model, &empty.1).exits(4).says("holds no tensors");
}

#[test]
fn reports_are_written_and_come_back_the_same() {
    let (base, tuned, folder) = (fixture("tiny-gpt2"), fixture("tiny-gpt2-lora"), folder());
    let at = |name: &str| folder.path().join(name);
    let endings = ["json", "md", "csv", "txt", "html"];
    let (mut first, mut again) = (command(), command());
    first.args(["compare", "-q", "--no-timings"]).args([&base, &tuned]);
    again.arg("report").arg(at("first.json"));
    for ending in endings {
        first.arg("-o").arg(at(&format!("first.{ending}")));
        again.arg("-o").arg(at(&format!("again.{ending}")));
    }
    run_with(&mut first).exits(0);
    run_with(&mut again).exits(0);
    for ending in endings {
        let read = |who: &str| fs::read_to_string(at(&format!("{who}.{ending}"))).unwrap();
        assert!(read("first") == read("again"), "{ending} differs");
    }
    let csv = fs::read_to_string(at("first.csv")).unwrap();
    assert!(csv.starts_with("name,other,role,"), "{}", csv.lines().next().unwrap());
    let scan = run("scan --format csv --analyzers integrity", &[&base]).exits(0);
    assert!(scan.first_line().starts_with("name,role,"), "{}", scan.first_line());

    // Judged anew by nothing, it stays what it is.
    let empty = at("empty.toml");
    fs::write(&empty, "").unwrap();
    let mut judged = command();
    judged.arg("report").arg(at("first.json")).arg("--config").arg(&empty);
    run_with(judged.arg("-o").arg(at("judged.json"))).exits(0);
    let read = |name: &str| fs::read_to_string(at(name)).unwrap();
    assert!(read("judged.json") == read("first.json"), "judging anew changed it");

    run("plan quantize --target-bpw 5", &[&at("first.json")])
        .exits(2)
        .says("a plan needs the report of a scan");
}

#[test]
fn a_cut_journal_goes_on_to_the_same_bytes() {
    let (base, tuned, folder) = (fixture("tiny-gpt2"), fixture("tiny-gpt2-lora"), folder());
    let (report, journal) = (folder.path().join("r.json"), folder.path().join("r.json.journal"));
    let line = format!("-q -o {}", report.display());
    // A second report that cannot be written keeps the journal.
    let long = folder.path().join(format!("{}.md", "x".repeat(300)));
    let run = compare(&format!("{line} -o {}", long.display()), &base, &tuned).exits(5);
    assert!(run.err.contains("--resume takes it over"), "{}", run.err);
    let whole = fs::read_to_string(&report).unwrap();
    let kept = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = kept.split_inclusive('\n').collect();
    assert!(lines.len() > 170, "{} lines: two rounds", lines.len());
    for keep in [1, 7, 161, 165, lines.len()] {
        fs::remove_file(&report).unwrap();
        fs::write(&journal, lines[..keep].concat()).unwrap();
        compare(&format!("{line} --resume"), &base, &tuned).exits(0);
        assert!(fs::read_to_string(&report).unwrap() == whole, "{keep} lines: the bytes differ");
        assert_eq!(names(folder.path()), ["r.json"]);
    }
    fs::write(&journal, &kept).unwrap();
    for other in [&base, &fixture("tiny-llama")] {
        compare(&format!("{line} --resume"), &base, other).exits(2).says("cannot resume");
    }
    let spectra = format!("{line} --resume --no-spectra");
    compare(&spectra, &base, &tuned).exits(2).says("a setting changed");
}

#[test]
fn values_that_are_no_numbers_leave_the_reason() {
    let mut values = numbers(24 * 16, 3);
    let base = written(&TestCheckpoint::new().values("a.weight", DType::F32, &[24, 16], &values));
    values[5] = f32::NAN;
    let tuned = written(&TestCheckpoint::new().values("a.weight", DType::F32, &[24, 16], &values));
    let report = compare("--format json", &base.1, &tuned.1).exits(0).json();
    let weight = &report["weights"][0];
    assert!(weight["analyses"]["compare"]["relative_l2"].is_null());
    let why = weight["undefined"]["compare.relative_l2"].as_str().unwrap();
    assert!(why.contains("0 of BASE, 1 of TUNED"), "{why}");
    compare("-q --fail-on-change 9", &base.1, &tuned.1)
        .exits(1)
        .says("a.weight cannot be compared: values that are NaN or infinite");
    // What holds no number at all is partial, and that outranks the change.
    let rest = TestCheckpoint::new().tensor_of("a.weight", "F99", &[4], vec![0; 4]);
    let odd = written(&rest);
    compare("-q --fail-on-change 0", &base.1, &odd.1).exits(3);
}

#[test]
fn a_report_never_lands_on_either_input() {
    let (base, tuned) = (written(&small()), written(&small().config("{}")));
    for input in [&base.1, &tuned.1, &tuned.0.path().join("config.json")] {
        for inputs in [[&base.1, &tuned.1], [&tuned.1, &base.1]] {
            run_with(command().arg("compare").args(inputs).arg("-o").arg(input).arg("-q")).exits(2);
        }
    }
    let link = base.0.path().join("r.json");
    std::os::unix::fs::symlink(&tuned.1, &link).unwrap();
    let mut onto = command();
    onto.arg("compare").args([&base.1, &tuned.1]).arg("-o").arg(&link);
    run_with(&mut onto).exits(2).says("is part of the checkpoint");
    let as_folder = tuned.0.path().join("model.safetensors.index.json");
    let mut onto = command();
    onto.arg("compare").args([&base.1, &tuned.0.path().to_owned()]).arg("-o").arg(&as_folder);
    run_with(&mut onto).exits(2).says("is part of the checkpoint");
}

#[test]
fn threads_and_maps_change_no_byte() {
    let (base, tuned) = (fixture("tiny-gpt2"), fixture("tiny-gpt2-lora"));
    let one = compare("--format json --spectral --threads 1", &base, &tuned).exits(0).out;
    for more in ["--threads 3", "--mmap --memory 64MiB"] {
        let other = compare(&format!("--format json --spectral {more}"), &base, &tuned).exits(0);
        assert!(other.out == one, "{more}: the bytes differ");
    }
    let spectra = |line: &str| {
        let report = compare(&format!("--format json {line}"), &base, &tuned).exits(0).json();
        let has = |key: &str| changes(&report).iter().any(|w| w[key].is_number());
        (has("delta_stable_rank"), has("spectral_shift"))
    };
    assert_eq!(spectra(""), (true, false));
    assert_eq!(spectra("--spectral"), (true, true));
    assert_eq!(spectra("--no-spectra"), (false, false));
}
