//! A saved report: in other formats, judged anew, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{Run, command, fixture, folder, names, run, run_with, small};

/// A scan whose report was saved.
struct Saved {
    folder: tempfile::TempDir,
    report: PathBuf,
}

impl Saved {
    fn of(model: &str, more: &[&str]) -> Self {
        let folder = folder();
        let report = folder.path().join("r.json");
        let mut command = command();
        command.args(["scan", "-q", "--no-timings"]).arg(fixture(model));
        run_with(command.arg("-o").arg(&report).args(more)).exits(0);
        Self { folder, report }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `report r.json` and more.
    fn report(&self, more: &[&str]) -> Run {
        run_with(command().arg("report").arg(&self.report).args(more))
    }

    /// The same with a configuration of this text.
    fn judged(&self, config: &str, more: &[&str]) -> Run {
        let path = self.at("settings.toml");
        fs::write(&path, config).unwrap();
        run_with(command().arg("report").arg(&self.report).arg("--config").arg(&path).args(more))
    }
}

fn count(report: &Value, code: &str) -> usize {
    let lists = ["findings", "facts"].map(|list| report[list].as_array().unwrap());
    lists.iter().flat_map(|list| list.iter()).filter(|f| f["code"] == code).count()
}

#[test]
fn every_format_is_that_of_the_scan() {
    let saved = Saved::of("tiny-gpt2", &[]);
    let model = fixture("tiny-gpt2");
    let endings = ["json", "md", "csv", "txt"];
    let mut scan = command();
    scan.args(["scan", "-q", "--no-timings"]).arg(&model);
    let mut report = command();
    report.arg("report").arg(&saved.report);
    for ending in endings {
        scan.arg("-o").arg(saved.at(&format!("scan.{ending}")));
        report.arg("-o").arg(saved.at(&format!("report.{ending}")));
    }
    run_with(&mut scan).exits(0);
    // With a file nothing is printed, unless a format is asked for.
    assert_eq!(run_with(&mut report).exits(0).out, "");
    for ending in endings {
        let read = |who: &str| fs::read_to_string(saved.at(&format!("{who}.{ending}"))).unwrap();
        assert!(read("scan") == read("report"), "{ending} differs");
    }
    for format in ["table", "json", "markdown", "csv"] {
        let printed = saved.report(&["--format", format]).exits(0);
        let scanned = run(&format!("scan --no-timings --format {format}"), &[&model]).exits(0);
        // Figures are measured for those formats that hold them.
        assert!(printed.out == scanned.out, "{format} differs");
    }
    assert_eq!(saved.report(&[]).out, saved.report(&["--format", "table"]).out);
    let both = saved.at("both.csv");
    let both = saved.report(&["--format", "md", "-o", both.to_str().unwrap()]).exits(0);
    assert!(both.out.starts_with("## WeightScope"), "{}", both.out);
    assert_eq!(saved.report(&["-q"]).exits(0).out, "");
    let short = saved.report(&["--tables", "--top", "1"]).out;
    assert!(short.lines().count() < saved.report(&["--tables"]).out.lines().count());
    assert!(saved.report(&["--color", "always"]).out.contains("\u{1b}["));
}

#[test]
fn judging_anew_is_as_a_scan_with_that_file() {
    let saved = Saved::of("tiny-gpt2", &[]);
    let config = "
        [parameters.sparsity]
        prunable_share = 0.65
        [parameters.siblings]
        sibling_z = 20
        [[ignore]]
        code = \"sparsity.prunable\"
        weight = \"h.6.*\"
        reason = \"known\"";
    let output = saved.at("judged.json");
    let run = saved.judged(config, &["-o", output.to_str().unwrap()]).exits(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    let settings = saved.at("settings.toml");
    let scanned = saved.at("scanned.json");
    let mut scan = command();
    scan.args(["scan", "-q", "--no-timings", "--config"]).arg(&settings);
    run_with(scan.arg(fixture("tiny-gpt2")).arg("-o").arg(&scanned)).exits(0);
    let read = |path: &Path| -> Value {
        let mut report = crate::common::checked_report(&fs::read_to_string(path).unwrap());
        // Portraits are drawn of weights with findings while the weights are at hand.
        report["figures"] = Value::Null;
        report
    };
    assert!(read(&output) == read(&scanned), "the reports differ");
    assert!(
        count(&read(&output), "sparsity.prunable")
            < count(&read(&saved.report), "sparsity.prunable")
    );

    // An empty file judges as a scan without one, whatever the report was judged by before.
    let again = run_with(
        command()
            .arg("report")
            .arg(&output)
            .args(["--format", "json", "--config"])
            .arg("/dev/null"),
    );
    let mut again = again.exits(0).json();
    again["figures"] = Value::Null;
    assert!(again == read(&saved.report), "it is not as it was");
}

#[test]
fn lines_and_known_findings_can_change() {
    let saved = Saved::of("tiny-gpt2", &[]);
    let json = |run: Run| run.exits(0).json();
    let plain = json(saved.report(&["--format", "json"]));
    let absolute = json(saved.report(&["--format", "json", "--thresholds", "absolute"]));
    let code = "spectral.ill-conditioned";
    assert!(count(&absolute, code) > count(&plain, code) + 10);

    saved.report(&["-q", "--fail-on", "warning"]).exits(1);
    saved.report(&["-q", "--fail-on", "critical"]).exits(0);
    saved.judged("fail_on = \"info\"", &["-q"]).exits(1);
    saved.judged("fail_on = \"info\"", &["-q", "--fail-on", "critical"]).exits(0);
    let base = saved.at("base.json");
    fs::copy(&saved.report, &base).unwrap();
    let base = base.to_str().unwrap();
    saved.report(&["-q", "--fail-on", "info", "--baseline", base]).exits(0);
    // What a baseline knew stays known.
    let known = saved.at("known.json");
    saved.report(&["--baseline", base, "-o", known.to_str().unwrap()]).exits(0);
    let line = ["-q", "--fail-on", "info", "--config", "/dev/null"];
    run_with(command().arg("report").arg(&known).args(line)).exits(0);
}

#[test]
fn what_changes_the_measuring_is_named_and_left() {
    let saved = Saved::of("tiny-gpt2", &["--exclude", "h.*"]);
    let judged = saved.judged(
        "analyzers = [\"sparsity\"]\ninclude = [\"h.*\"]\n[parameters.sparsity]\ndead_norm = 0.5\n[parameters.spectral]\nexact = 0\nseed = 3",
        &["--format", "json"],
    );
    let report = judged.json();
    let judged = judged.exits(0);
    let said: Vec<&str> = judged.err.lines().collect();
    assert_eq!(said.len(), 4, "{said:#?}");
    for (line, words) in said.iter().zip([
        "sparsity.dead_norm = 0.5 changes what is measured; the report was measured with 0.001",
        "spectral.seed = 3 changes",
        "analyzers says what is measured",
        "include says what is measured",
    ]) {
        assert!(line.starts_with("ws-cli: ") && line.contains(words), "{line}");
    }
    assert_eq!(report["settings"]["parameters"]["sparsity"]["dead_norm"], 0.001);
    assert_eq!(report["settings"]["exclude"], serde_json::json!(["h.*"]));
}

#[test]
fn a_folder_is_no_report_and_says_what_makes_one() {
    let model = fixture("tiny-gpt2");
    run("report", &[&model]).exits(4).says("-o report.json writes one");
}

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let saved = Saved::of("tiny-gpt2", &[]);
    let text = fs::read_to_string(&saved.report).unwrap();
    let major = text.replacen("\"major\":1", "\"major\":9", 1);
    assert_ne!(major, text);
    let bad = saved.at("bad.json");
    let cases: [(&[u8], &str); 8] = [
        (b"{", "not JSON"),
        (b"{}", "not a WeightScope report"),
        (b"[1]", "not a WeightScope report"),
        (b"", "not JSON"),
        (b"\x12\x00\x00\x00\x00\x00\x00\x00{}", "give what -o report.json wrote"),
        (b"{\"a\": \"\xff\"}", "not UTF-8"),
        (major.as_bytes(), "version 9"),
        (&text.as_bytes()[..text.len() / 2], "not JSON"),
    ];
    for (bytes, words) in cases {
        fs::write(&bad, bytes).unwrap();
        run("report", &[&bad]).exits(4).says(words);
    }
    run("report", &[&saved.at("absent.json")]).exits(4).says("absent.json");
    run("report", &[saved.folder.path()]).exits(4).says("is a folder, not a saved report");
    run("report", &[]).exits(2);
    for line in ["--format jsn", "--fail-on wrning", "--top many"] {
        saved.report(&line.split(' ').collect::<Vec<_>>()).exits(2);
    }
    saved.judged("[parameters.sparsity]\ndead_nrm = 1", &[]).exits(2).says("\"dead_norm\"?");
    let glob = "[[ignore]]\ncode = \"sparsity.prunable\"\nweight = \"[a\"\nreason = \"r\"";
    saved.judged(glob, &[]).exits(2).says("glob \"[a\"");
    // Numbers of an analyzer that is not here, or of another version of it, cannot be judged.
    for (old, new) in [("\"sparsity\":2", "\"sparsity\":7"), ("\"sparsity\":2", "\"scarcity\":1")] {
        let changed = text.replacen(old, new, 1);
        assert_ne!(changed, text);
        fs::write(&bad, changed).unwrap();
        run("report -q", &[&bad]).exits(0);
        run("report -q --config /dev/null", &[&bad]).exits(2).says("cannot be judged anew");
    }
}

#[test]
fn the_saved_report_is_never_written_onto() {
    let saved = Saved::of("tiny-gpt2", &[]);
    let before = fs::read(&saved.report).unwrap();
    let path = saved.report.to_str().unwrap();
    let link = saved.at("link.json");
    std::os::unix::fs::symlink(&saved.report, &link).unwrap();
    for output in [path, link.to_str().unwrap()] {
        saved.report(&["-o", output]).exits(2).says("is read, the new report needs another name");
    }
    saved.report(&["-o", saved.at("no/r.md").to_str().unwrap()]).exits(5).says("no folder");
    saved.report(&["-o", saved.at("r.cvs").to_str().unwrap()]).exits(2).says("did you mean .csv?");
    assert!(fs::read(&saved.report).unwrap() == before);
    assert_eq!(names(saved.folder.path()), ["link.json", "r.json"]);
}

#[test]
fn a_partial_or_rejected_report_stays_what_it_is() {
    let folder = folder();
    let report = folder.path().join("r.json");
    let file = small().tensor_of("odd", "F4_E2M1_NEW", &[8], vec![0; 8]);
    let file = file.write(folder.path()).unwrap();
    run_with(command().args(["scan", "-q"]).arg(&file).arg("-o").arg(&report)).exits(3);
    for line in ["report -q", "report -q --fail-on info", "report -q --config /dev/null"] {
        run(line, &[&report]).exits(3);
    }
    assert!(run("report", &[&report]).exits(3).first_line().starts_with("PARTIAL"));
    fs::write(&file, b"").unwrap();
    run_with(command().args(["scan", "-q"]).arg(&file).arg("-o").arg(&report)).exits(4);
    run("report -q", &[&report]).exits(4);
}

#[cfg(feature = "tui")]
#[test]
fn browsing_needs_a_terminal() {
    let saved = Saved::of("tiny-gpt2", &[]);
    let words = "browsing needs a terminal";
    let browse = run("browse", &[&saved.report]).exits(2).says(words);
    assert_eq!(browse.out, "");
    // Nothing is scanned first.
    let output = saved.at("late.json");
    let mut scan = command();
    scan.args(["scan", "--browse"]).arg(fixture("tiny-gpt2")).arg("-o").arg(&output);
    run_with(&mut scan).exits(2).says(words);
    assert!(!output.exists());
}
