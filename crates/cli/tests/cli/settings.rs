//! What is measured and what counts: analyzers, globs, parameters, ignored and known findings.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{Run, command, fixture, folder, run, run_with};

fn gpt2() -> std::path::PathBuf {
    fixture("tiny-gpt2")
}

fn analyzers(report: &Value) -> Vec<&str> {
    report["settings"]["analyzers"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn analyzers_can_be_listed_added_and_left_out() {
    let scan = |choice: &str| {
        let choice = choice.replace(' ', "");
        run(&format!("scan --format json {choice}"), &[&gpt2()]).exits(0).json()
    };
    let registry = weightscope::builtin_registry();
    let mut every: Vec<&str> =
        registry.descriptors().iter().filter(|d| !d.compares).map(|d| d.id).collect();
    every.sort_unstable();
    let without = |left_out: &[&str]| -> Vec<&str> {
        every.iter().copied().filter(|id| !left_out.contains(id)).collect()
    };
    for (choice, expected) in [
        ("", every.clone()),
        ("--analyzers=sparsity,integrity", vec!["integrity", "sparsity"]),
        ("--analyzers=-sparsity", without(&["sparsity"])),
        ("--analyzers=-sparsity,-integrity", without(&["sparsity", "integrity"])),
        ("--analyzers=+sparsity", every.clone()),
    ] {
        let report = scan(choice);
        assert_eq!(analyzers(&report), expected, "{choice}");
        // Some weights are nothing to some analyzers.
        let weights = report["weights"].as_array().unwrap();
        let measured: std::collections::BTreeSet<&str> = weights
            .iter()
            .flat_map(|w| w["analyses"].as_object().unwrap().keys().map(String::as_str))
            .collect();
        // What their judging reads is measured with them.
        // There is no adapter in it.
        let mut found = expected.iter().filter(|id| **id != "adapter");
        assert!(found.all(|id| measured.contains(id)), "{choice}");
        let more: Vec<&str> = measured.into_iter().filter(|id| !expected.contains(id)).collect();
        let all_read = ["attention", "distribution", "integrity", "sparsity"];
        assert!(more.iter().all(|id| all_read.contains(id)), "{choice}: {more:?}");
    }
    // A separate word that begins with a sign is no flag.
    run("scan -q --analyzers -sparsity", &[&gpt2()]).exits(0);
    run("scan -q --analyzers sparsity --analyzers integrity", &[&gpt2()]).exits(0);
}

#[test]
fn globs_choose_weights() {
    let scan = |more: &str| {
        let report = run(&format!("scan --format json {more}"), &[&gpt2()]).exits(0).json();
        let weights = report["weights"].as_array().unwrap();
        weights.iter().map(|w| w["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(scan("--include w?e.weight"), ["wte.weight", "wpe.weight"]);
    assert_eq!(scan("--include wte.* --include ln_f.*").len(), 3);
    assert_eq!(scan("--include h.0.* --exclude *.bias").len(), 6);
    assert_eq!(scan("--exclude h.*").len(), 4);
    assert_eq!(scan("--include h.{0,1}.mlp.c_fc.weight").len(), 2);
}

/// Writes `text` as a configuration and scans with it.
fn configured(folder: &Path, text: &str, more: &[&str]) -> Run {
    let config = folder.join("settings.toml");
    fs::write(&config, text).unwrap();
    run_with(command().arg("scan").arg(gpt2()).arg("--config").arg(config).args(more))
}

#[test]
fn a_config_file_sets_parameters_globs_and_the_line_of_failure() {
    let folder = folder();
    let scan = |text: &str, more: &[&str]| configured(folder.path(), text, more);
    let json = ["--format", "json"];
    let count = |run: Run| {
        let report = run.exits(0).json();
        let facts = report["facts"].as_array().unwrap();
        facts.iter().filter(|f| f["code"] == "sparsity.prunable").count()
    };
    assert_eq!(count(scan("", &json)), 14);
    // Whole numbers are numbers.
    let some = count(scan("[parameters.sparsity]\nprunable_share = 0.65", &json));
    assert!((1..14).contains(&some), "{some}");
    assert_eq!(count(scan("[parameters.sparsity]\nprunable_share = 1", &json)), 0);
    let lines = "[parameters.siblings]\nsibling_z = 9.5\n[parameters.sparsity]\ncollapsed_gap = 99";
    let report = scan(lines, &json).json();
    assert_eq!(report["settings"]["parameters"]["siblings"]["sibling_z"], 9.5);
    assert_eq!(report["totals"]["findings"]["warning"], 0);

    scan("fail_on = \"warning\"", &["-q"]).exits(1);
    scan("fail_on = \"warning\"", &["-q", "--fail-on", "critical"]).exits(0);
    let report = scan("include = [\"h.0.*\"]\nanalyzers = [\"sparsity\"]", &json).json();
    assert_eq!(analyzers(&report), ["sparsity"]);
    assert_eq!(report["totals"]["declared"], 13);
    // The command line chooses instead of the file, and excludes besides.
    let more = ["--format", "json", "--include", "h.1.*", "--exclude", "*.bias"];
    let report = scan("include = [\"h.0.*\"]\nexclude = [\"*.ln_*\"]", &more).json();
    assert_eq!(report["totals"]["declared"], 4);
}

#[test]
fn ignored_findings_need_a_reason_and_are_gone() {
    let folder = folder();
    let rule = |code: &str, weight: &str| {
        format!("[[ignore]]\ncode = \"{code}\"\n{weight}reason = \"known to be so\"\n")
    };
    let collapsed = rule("sparsity.collapsed-units", "weight = \"h.[2-8].*\"\n");
    configured(folder.path(), &collapsed, &["-q", "--fail-on", "warning"]).exits(1);
    let every = collapsed + &rule("sparsity.collapsed-units", "weight = \"h.1.*\"\n");
    configured(folder.path(), &every, &["-q", "--fail-on", "warning"]).exits(0);
    let report = configured(folder.path(), &every, &["--fail-on", "info", "--format", "json"]);
    let report = report.exits(0).json();
    assert_eq!(report["findings"].as_array().unwrap().len(), 0);
    assert_eq!(report["settings"]["ignore"][0]["reason"], "known to be so");
    let elsewhere = rule("sparsity.collapsed-units", "weight = \"*.attn.*\"\n");
    configured(folder.path(), &elsewhere, &["-q", "--fail-on", "info"]).exits(1);
    let there = rule("sparsity.collapsed-units", "weight = \"h.*.mlp.*\"\n");
    configured(folder.path(), &there, &["-q", "--fail-on", "info"]).exits(0);
}

#[test]
fn findings_are_ignored_by_a_flag() {
    let gpt2 = gpt2();
    let scan = |line: &str| run(&format!("scan -q --fail-on warning {line}"), &[&gpt2]);
    scan("--ignore sparsity.collapsed-units").exits(0);
    scan("--ignore sparsity.collapsed-units:h.[1-8].*").exits(0);
    scan("--ignore sparsity.collapsed-units:h.1.*").exits(1);
    scan("--ignore sparsity.collapsed-unit")
        .exits(2)
        .says("did you mean \"sparsity.collapsed-units\"?");
    scan("--ignore spectral.alpha:[").exits(2).says("--ignore: ");
    let report = run("scan --format json --ignore spectral.alpha", &[&gpt2]).exits(0).json();
    let rule = &report["settings"]["ignore"][0];
    assert_eq!((&rule["code"], &rule["weight"]), (&"spectral.alpha".into(), &"*".into()));

    // A saved report is judged by its own lines, without these.
    let folder = folder();
    let saved = folder.path().join("r.json");
    let mut strict = command();
    strict.args(["scan", "-q", "--thresholds", "absolute"]).arg(&gpt2).arg("-o").arg(&saved);
    run_with(&mut strict).exits(0);
    let codes = |report: &Value| -> std::collections::BTreeSet<String> {
        let of = |f: &Value| f["code"].as_str().unwrap().to_owned();
        report["findings"].as_array().unwrap().iter().map(of).collect()
    };
    let before = run("report --format json", &[&saved]).json();
    let after =
        run("report --format json --ignore sparsity.collapsed-units", &[&saved]).exits(0).json();
    let mut expected = codes(&before);
    assert!(expected.remove("sparsity.collapsed-units"));
    assert_eq!(codes(&after), expected);
    assert_eq!(after["settings"]["parameters"], before["settings"]["parameters"]);
}

#[test]
fn known_findings_do_not_fail_and_new_ones_do() {
    let folder = folder();
    let baseline = folder.path().join("old.json");
    run_with(command().args(["scan", "-q"]).arg(gpt2()).arg("-o").arg(&baseline)).exits(0);
    let scan = |more: &[&str]| {
        let mut command = command();
        command.arg("scan").arg(gpt2()).arg("--baseline").arg(&baseline).args(more);
        run_with(&mut command)
    };
    let report = scan(&["--fail-on", "info", "--format", "json"]).exits(0).json();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 8);
    assert!(findings.iter().all(|f| f["known"] == true));

    // One of the old report's findings is taken away: it is new again.
    let text = fs::read_to_string(&baseline).unwrap();
    let mut old: Value = serde_json::from_str(&text).unwrap();
    let removed = old["findings"].as_array_mut().unwrap().remove(5);
    assert_eq!(removed["severity"], "warning");
    fs::write(&baseline, old.to_string()).unwrap();
    scan(&["-q", "--fail-on", "warning"]).exits(1);
    scan(&["-q", "--fail-on", "critical"]).exits(0);
    // A setting that finds more, against the whole report.
    fs::write(&baseline, text).unwrap();
    let config = folder.path().join("settings.toml");
    fs::write(&config, "[parameters.sparsity]\ncollapsed_gap = 1.5").unwrap();
    let config = config.to_str().unwrap();
    scan(&["-q", "--fail-on", "info", "--config", config]).exits(1);
}

#[test]
fn flags_set_parameters_of_the_spectrum() {
    let folder = folder();
    let scan = |more: &[&str]| {
        let run = run_with(command().args(["scan", "--format", "json"]).arg(gpt2()).args(more));
        run.exits(0).json()
    };
    let parameters = |report: &Value| report["settings"]["parameters"]["spectral"].clone();
    let spectrum = |report: &Value| report["weights"][0]["analyses"]["spectral"].clone();
    let plain = scan(&[]);
    assert_eq!(spectrum(&plain)["method"], "gram");
    assert!(spectrum(&plain)["alpha_gof_p"].is_null());

    let exact = scan(&["--exact", "--alpha-gof=20"]);
    assert_eq!(
        (&parameters(&exact)["exact"], &parameters(&exact)["alpha_gof"]),
        (&1.0.into(), &20.0.into())
    );
    assert_eq!(spectrum(&exact)["method"], "direct");
    assert!(spectrum(&exact)["alpha_gof_p"].is_number());

    let absolute = scan(&["--thresholds", "absolute"]);
    assert_eq!(parameters(&absolute)["absolute_lines"], 1.0);
    let count = |report: &Value, code: &str| {
        report["findings"].as_array().unwrap().iter().filter(|f| f["code"] == code).count()
    };
    assert_eq!(count(&plain, "spectral.ill-conditioned"), 0);
    assert!(count(&absolute, "spectral.ill-conditioned") > 10);
    // The flag wins over the file, and without a number there is one.
    let config = folder.path().join("settings.toml");
    fs::write(&config, "[parameters.spectral]\nalpha_gof = 5\nabsolute_lines = 1").unwrap();
    let both = scan(&["--include", "h.0.*", "--alpha-gof", "--config", config.to_str().unwrap()]);
    assert_eq!(parameters(&both)["alpha_gof"], 250.0);
    assert_eq!(parameters(&both)["absolute_lines"], 1.0);
    run("scan --thresholds relative", &[&gpt2()]).exits(2);
}

#[test]
fn the_environment_sets_threads_and_memory() {
    let scan = |name: &str, value: &str| {
        let mut command = command();
        run_with(command.args(["scan", "--format", "json"]).arg(gpt2()).env(name, value))
    };
    let report = scan("WEIGHTSCOPE_THREADS", "3").exits(0).json();
    assert_eq!(report["timings"]["threads"], 3);
    scan("WEIGHTSCOPE_MEMORY", "1KiB").exits(3);
    scan("WEIGHTSCOPE_MEMORY", "much").exits(2);
    scan("WEIGHTSCOPE_THREADS", "no").exits(2);
}
