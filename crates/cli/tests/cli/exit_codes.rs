//! What the exit code says, and what stands beside it.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use weightscope::DType;
use weightscope_testkit::checkpoint::{TestCheckpoint, raw_file, raw_file_claiming};

use crate::common::{Run, command, fixture, folder, names, run, run_with, small, with};

#[test]
fn complete_is_0() {
    for name in ["tiny-gpt2", "tiny-llama"] {
        let table = run("scan", &[&fixture(name)]).exits(0);
        assert_eq!(table.err, "");
        assert!(table.first_line().contains(name));
    }
    // No config.json is no fault.
    let folder = folder();
    let file = small().write(folder.path()).unwrap();
    run("scan", &[&file]).exits(0);
    run("scan", &[folder.path()]).exits(0);
}

#[test]
fn findings_are_1_from_the_severity_that_was_asked_for() {
    let gpt2 = fixture("tiny-gpt2");
    run("scan -q --fail-on info", &[&gpt2]).exits(1);
    run("scan -q --fail-on warning", &[&gpt2]).exits(1);
    run("scan -q --fail-on critical", &[&gpt2]).exits(0);
    let folder = folder();
    let mut values = crate::common::numbers(64 * 64, 3);
    values[77] = f32::NAN;
    let broken = TestCheckpoint::new().values("w", DType::F32, &[64, 64], &values);
    let broken = broken.write(folder.path()).unwrap();
    run("scan -q", &[&broken]).exits(0);
    run("scan -q --fail-on critical", &[&broken]).exits(1);
}

#[test]
fn usage_is_2_and_suggests_what_was_meant() {
    let folder = folder();
    let (gpt2, at) = (fixture("tiny-gpt2"), |name: &str| folder.path().join(name));
    let registry = weightscope::builtin_registry();
    let every: Vec<&str> =
        registry.descriptors().iter().filter(|d| !d.compares).map(|d| d.id).collect();
    let cases = [
        ("scan --treads 2", "'--threads'"),
        ("scna", "'scan'"),
        ("scan --analyzers sparsty", "did you mean \"sparsity\"?"),
        ("scan --analyzers sparsity,-integrity", "use one or the other"),
        (&format!("scan --analyzers -{}", every.join(",-")), "leaves no analyzer"),
        ("scan --format jsn", "did you mean \"json\"?"),
        ("scan --fail-on wrning", "'warning'"),
        ("scan --series sumary", "'summary'"),
        ("scan --color nevr", "'never'"),
        ("scan --memory 5x", "KiB, MiB, GiB"),
        ("scan --memory 0", "out of range"),
        ("scan --threads 0", "1..=1024"),
        ("scan --include [a", "glob \"[a\""),
        ("scan --exclude {a", "glob \"{a\""),
        ("scan --include nothing.*", "none of its 160 weights matches \"nothing.*\""),
        ("scan --exclude *", "all of its 160 weights are excluded by \"*\""),
        ("scan --resume", "--output"),
        ("scan -q -v", "cannot be used with"),
    ];
    for (line, words) in cases {
        let run = run(line, &[&gpt2]).exits(2);
        assert!(run.err.contains(words), "{line}: {words:?} is not in {:?}", run.err);
        assert_eq!(run.out, "", "{line}");
    }
    for line in ["scan", "info", "explain", "completions", ""] {
        let run = run(line, &[]).exits(2);
        assert!(run.err.contains("Usage: ws-cli"), "{line}: {:?}", run.err);
    }
    run("explain sparsity.dead-unit", &[]).exits(2).says("did you mean \"sparsity.dead-units\"?");
    run("explain hoyr", &[]).exits(2).says("did you mean \"sparsity.hoyer\"?");
    run("explain zzzzzzzzz", &[]).exits(2).says("ws-cli analyzers lists everything");
    run("completions zhs", &[]).exits(2);
    for (name, words) in [
        ("r.cvs", "did you mean .csv?"),
        ("r.jsn", "did you mean .json?"),
        ("report", "no ending says which format"),
        ("r.safetensors", "unknown ending; use ."),
    ] {
        let run = run_with(command().arg("scan").arg(&gpt2).arg("-o").arg(at(name)));
        let run = run.exits(2).says(words);
        assert_eq!(
            run.err.matches(&format!("/{name}")).count(),
            1,
            "the path stands there once: {:?}",
            run.err
        );
    }
    for verb in ["scan", "info"] {
        run(verb, &[&gpt2, &fixture("tiny-llama")]).exits(2).says("a folder goes alone");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_wrong_config_file_is_2_with_its_place() {
    let folder = folder();
    let path = folder.path().join("settings.toml");
    let scan = |path: &Path| {
        run_with(command().arg("scan").arg(fixture("tiny-gpt2")).arg("--config").arg(path))
    };
    let cases = [
        ("x = [", "unclosed array, expected `]` (line 1, column 6)"),
        ("\n\nfail-on = \"info\"", "did you mean `fail_on`? (line 3, column 1)"),
        ("fail_on = \"wrning\"", "did you mean `warning`? (line 1, column 11)"),
        ("[parameters.sparsity]\ndead_nrm = 1", "did you mean \"dead_norm\"?"),
        ("[parameters.sparsty]\ndead_norm = 1", "did you mean \"sparsity\"?"),
        ("[parameters.sparsity]\ndead_norm = nan", "neither zero nor a positive number"),
        ("[parameters.sparsity]\ndead_norm = -5", "neither zero nor a positive number"),
        ("[parameters.sparsity]\ndead_norm = \"x\"", "expected f64"),
        (
            "[[ignore]]\ncode = \"sparsity.prunible\"\nreason = \"r\"",
            "did you mean \"sparsity.prunable\"?",
        ),
        ("[[ignore]]\ncode = \"sparsity.prunable\"", "missing field `reason` (line 1, column 1)"),
        ("[[ignore]]\ncode = \"sparsity.prunable\"\nreason = \" \"", "needs a reason"),
        (
            "[[ignore]]\ncode = \"sparsity.prunable\"\nweight = \"[a\"\nreason = \"r\"",
            "glob \"[a\"",
        ),
        ("analyzers = [\"sparsty\"]", "did you mean \"sparsity\"?"),
    ];
    for (text, words) in cases {
        fs::write(&path, text).unwrap();
        scan(&path).exits(2).says(words);
    }
    fs::write(&path, b"\xff\xfe").unwrap();
    scan(&path).exits(2).says("settings.toml");
    scan(&folder.path().join("absent.toml")).exits(2).says("absent.toml");
    scan(folder.path()).exits(2);
}

#[test]
fn a_wrong_baseline_is_2() {
    let folder = folder();
    let path = folder.path().join("old.json");
    for (text, words) in [("{}", "not a WeightScope report"), ("{", "not JSON")] {
        fs::write(&path, text).unwrap();
        let gpt2 = fixture("tiny-gpt2");
        run_with(command().arg("scan").arg(gpt2).arg("--baseline").arg(&path)).exits(2).says(words);
    }
}

/// Runs a scan that must be partial in every format, and gives the table.
#[track_caller]
fn partial(path: &Path, measured: u64, code: &str) -> Run {
    let report = run("scan --format json", &[path]).exits(3).json();
    assert_eq!(report["status"], "partial");
    assert_eq!(report["totals"]["measured"], measured);
    let codes: Vec<&str> =
        report["errors"].as_array().unwrap().iter().filter_map(|e| e["code"].as_str()).collect();
    assert!(codes.contains(&code), "{code} is not among {codes:?}");
    // A finding changes nothing: what is not known cannot be clean.
    run("scan -q --fail-on info", &[path]).exits(3);
    let markdown = run("scan --format markdown", &[path]).exits(3);
    assert!(markdown.first_line().contains("PARTIAL"), "{}", markdown.out);
    let table = run("scan", &[path]).exits(3);
    assert!(table.first_line().starts_with("PARTIAL"), "{}", table.out);
    table
}

#[test]
fn partial_is_3_and_the_rest_is_measured() {
    let with_unknown = folder();
    small().tensor_of("odd", "F4_E2M1_NEW", &[8], vec![0; 8]).write(with_unknown.path()).unwrap();
    let table = partial(with_unknown.path(), 3, "unknown-dtype");
    assert!(table.out.contains("F4_E2M1_NEW"));

    let missing = folder();
    let shards = small().write_shards(missing.path(), 3).unwrap();
    fs::remove_file(&shards[1]).unwrap();
    let table = partial(missing.path(), 2, "missing-shard");
    assert!(table.out.contains("model-00002-of-00003.safetensors"));

    let broken = folder();
    let shards = small().write_shards(broken.path(), 3).unwrap();
    let bytes = fs::read(&shards[1]).unwrap();
    fs::write(&shards[1], &bytes[..bytes.len() - 5]).unwrap();
    partial(broken.path(), 2, "truncated");
    // The same when the shards are named one by one.
    let shards: Vec<&Path> = shards.iter().map(AsRef::as_ref).collect();
    run("scan -q", &shards).exits(3);

    for text in ["{", "[]", "{\"model_type\": nope}", "\u{1b}[31m"] {
        let config = folder();
        small().config(text).write(config.path()).unwrap();
        partial(config.path(), 3, "broken-config");
    }

    // An unreadable part and an unwritable report: the report wins.
    let mut command = command();
    command.arg("scan").arg(broken.path()).arg("-o").arg(broken.path().join("no/r.json"));
    run_with(&mut command).exits(5);
}

#[test]
fn a_weight_beyond_the_memory_says_what_it_needs() {
    let folder = folder();
    let file = with(small(), "wide.weight", &[32, 6000]).write(folder.path()).unwrap();
    let scan = |memory: u64| {
        let memory = memory.to_string();
        run_with(command().args(["scan", "--format", "json", "--memory", &memory]).arg(&file))
    };
    let report = scan(2_000_000).json();
    let needed = |report: &serde_json::Value| -> Vec<u64> {
        let errors = report["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| {
                assert_eq!(error["code"], "no-memory");
                let message = error["message"].as_str().unwrap();
                let number = message.split_whitespace().nth(1).unwrap();
                number.parse().unwrap_or_else(|_| panic!("{message}"))
            })
            .collect()
    };
    let most = needed(&report).into_iter().max().expect("something does not fit");
    assert!(most > 2_000_000);
    assert_eq!(report["status"], "partial");
    assert_eq!(report["weights"][3]["status"], "skipped");
    // The number is true: one byte less is too little, so much is enough.
    assert_eq!(needed(&scan(most - 1).exits(3).json()), [most]);
    scan(most).exits(0);
}

#[test]
fn rejected_is_4_in_one_line() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let whole = small().to_bytes();
    let entry = |shape: &str, begin: u64, end: u64| {
        format!("{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{begin},{end}]}}")
    };
    let overlap = format!("{{\"a\":{},\"b\":{}}}", entry("[2]", 0, 8), entry("[2]", 4, 12));
    let overflow = format!("{{\"a\":{}}}", entry("[4294967296,4294967296,2]", 0, 8));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "file has 0 bytes, header needs 8"),
        ("truncated", whole[..whole.len() - 1].to_vec(), "an incomplete download?"),
        ("long", raw_file_claiming(5000, b"{}", &[]), "file has 10 bytes, header needs 5008"),
        ("claim", raw_file_claiming(200_000_000, b"{}", &[]), "announce a header of 200000000"),
        ("wrap", raw_file_claiming(u64::MAX - 3, b"{}", &[]), "announce a header of"),
        ("overlap", raw_file(&overlap, &[0; 12]), "inside of tensor \"a\""),
        ("overflow", raw_file(&overflow, &[0; 8]), "more than 2^64 elements"),
        ("noise", b"\x12\x34 this is not it".to_vec(), "not a safetensors file?"),
        (
            "lfs",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(),
            "git lfs pull",
        ),
        ("page", b"<!DOCTYPE html><html>".to_vec(), "HTML page"),
    ];
    for (name, bytes, words) in cases {
        let path = at(&format!("{name}.safetensors"));
        fs::write(&path, bytes).unwrap();
        for line in ["scan", "scan -q --fail-on info", "info"] {
            let run = run(line, &[&path]).exits(4).says(words);
            assert!(run.err.contains(&format!("{name}.safetensors: ")), "{:?}", run.err);
            assert_eq!(run.out, "");
        }
        let report = run("scan --format json", &[&path]).exits(4).says(words).json();
        assert_eq!(report["status"], "rejected");
        fs::remove_file(path).unwrap();
    }
    fs::write(at("m.gguf"), b"whatever").unwrap();
    for path in [&at("m.gguf"), folder.path()] {
        run("scan", &[path]).exits(4).says("is named like GGUF and does not begin like it");
    }
    fs::remove_file(at("m.gguf")).unwrap();
    for (name, words) in [
        ("pytorch_model.bin", "is named like PyTorch and does not begin like it"),
        ("m.pt", "is named like PyTorch and does not begin like it"),
        ("m.npz", "is named like NumPy and does not begin like it"),
        ("m.onnx", "recognised as ONNX, which is not read; python -c"),
    ] {
        fs::write(at(name), b"whatever").unwrap();
        for path in [&at(name), folder.path()] {
            run("scan", &[path]).exits(4).says(words);
        }
        fs::remove_file(at(name)).unwrap();
    }
    run("scan", &[folder.path()]).exits(4).says("there is no model in this folder");
    run("scan", &[&at("absent")]).exits(4).says("no such file or folder");
    fs::create_dir(at("d.safetensors")).unwrap();
    run("scan", &[&at("d.safetensors")]).exits(4).says("there is no model in this folder");
    run("scan", &[folder.path()]).exits(4).says("a folder, not a regular file");
    let fifo = at("f.safetensors");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    run("scan", &[&fifo]).exits(4).says("is a FIFO, not a regular file");
}

#[test]
fn a_rejected_input_is_called_so_in_its_report() {
    let folder = folder();
    let file = folder.path().join("x.safetensors");
    fs::write(&file, b"").unwrap();
    let (text, markdown) = (folder.path().join("r.txt"), folder.path().join("r.md"));
    let mut command = command();
    command.arg("scan").arg(&file).arg("-o").arg(&text).arg("-o").arg(&markdown);
    run_with(&mut command).exits(4);
    assert!(fs::read_to_string(text).unwrap().starts_with("REJECTED"));
    let markdown = fs::read_to_string(markdown).unwrap();
    assert!(markdown.lines().next().unwrap().contains("REJECTED"), "{markdown}");
    assert_eq!(names(folder.path()), ["r.md", "r.txt", "x.safetensors"]);
}

#[test]
fn an_unwritable_report_is_5() {
    let folder = folder();
    let gpt2 = fixture("tiny-gpt2");
    let scan = |output: &Path| run_with(command().arg("scan").arg(&gpt2).arg("-o").arg(output));
    let missing = folder.path().join("no/r.json");
    scan(&missing).exits(5).says("there is no folder");
    let taken = folder.path().join("taken.json");
    fs::create_dir(&taken).unwrap();
    scan(&taken).exits(5).says("is a folder");
    let fifo = folder.path().join("fifo.json");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    scan(&fifo).exits(5).says("is not a regular file");
    assert_eq!(names(folder.path()), ["fifo.json", "taken.json"], "nothing was left");

    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = command();
    command.args(["scan", "--format", "json", "--fail-on", "info"]).arg(&gpt2).stdout(full);
    Run::of(&command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap())
        .exits(5)
        .says("standard output");
}

#[test]
fn a_limit_on_file_sizes_is_5_and_the_old_report_stays() {
    let folder = folder();
    let report = folder.path().join("r.json");
    fs::write(&report, "the old one").unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_ws-cli"), "scan"]);
    let run = run_with(shell.arg(fixture("tiny-gpt2")).arg("-o").arg(&report)).exits(5);
    assert!(run.err.contains("r.json"), "{:?}", run.err);
    assert_eq!(fs::read_to_string(&report).unwrap(), "the old one");
    assert!(!names(folder.path()).iter().any(|name| name.starts_with(".weightscope-")));
}

#[test]
fn a_report_never_lands_on_the_input() {
    let folder = folder();
    let file = small().config("{\"model_type\": \"x\"}").write(folder.path()).unwrap();
    let links = crate::common::folder();
    let at = |name: &str| links.path().join(name);
    std::os::unix::fs::symlink(folder.path().join("config.json"), at("config.json")).unwrap();
    std::os::unix::fs::symlink(&file, at("model.safetensors")).unwrap();
    std::os::unix::fs::symlink(&file, at("r.json")).unwrap();
    let before = (fs::read(&file).unwrap(), fs::read(folder.path().join("config.json")).unwrap());
    let cases = [
        (folder.path(), folder.path().join("config.json")),
        (&file, folder.path().join("config.json")),
        (folder.path(), folder.path().join("model.safetensors.index.json")),
        (folder.path(), at("config.json")),
        (folder.path(), at("r.json")),
        (links.path(), at("config.json")),
        (links.path(), folder.path().join("config.json")),
        (&at("model.safetensors"), at("r.json")),
    ];
    for (input, output) in cases {
        run_with(command().arg("scan").arg(input).arg("-o").arg(output))
            .exits(2)
            .says("is part of the checkpoint");
    }
    // Not even when its name is that of a journal.
    let odd = folder.path().join("r.json.journal");
    fs::copy(&file, &odd).unwrap();
    run_with(command().arg("scan").arg(&odd).arg("-o").arg(folder.path().join("r.json"))).exits(2);
    assert_eq!(fs::read(&odd).unwrap(), before.0);
    let after = (fs::read(&file).unwrap(), fs::read(folder.path().join("config.json")).unwrap());
    assert!(before == after);
    assert_eq!(names(folder.path()), ["config.json", "model.safetensors", "r.json.journal"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_0() {
    for line in
        ["scan --format json", "scan --no-timings", "info", "explain integrity", "analyzers"]
    {
        let mut command = command();
        command.args(line.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if line.starts_with("scan") || line == "info" {
            command.arg(fixture("tiny-gpt2"));
        }
        let mut child = command.spawn().unwrap();
        let mut start = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut start).unwrap();
        // The pipe is closed here.
        let run = Run::of(&child.wait_with_output().unwrap()).exits(0);
        assert_eq!(run.err, "", "{line}");
    }
}
