//! Help, explanations and completions.

use std::collections::BTreeSet;

use crate::common::{run, run_with};

const COMMANDS: &[&str] = &[
    "scan",
    "compare",
    "info",
    "report",
    #[cfg(feature = "tui")]
    "browse",
    "explain",
    "analyzers",
    "completions",
];

#[test]
fn help_fits_the_page_and_lists_everything() {
    let main = run("--help", &[]).exits(0);
    for command in COMMANDS {
        assert!(main.out.contains(&format!("\n  {command} ")), "{command}");
        let help = run(&format!("{command} --help"), &[]).exits(0);
        assert!(help.out.contains(&format!("Usage: ws-cli {command}")));
        assert_eq!(help.out, run(&format!("help {command}"), &[]).exits(0).out);
        assert_plain(&help.out);
    }
    assert_plain(&main.out);
    for line in ["  0    complete", "  5    a report could not be written", "  130  interrupted"] {
        assert!(main.out.contains(line), "{line}");
    }
    let version = run("--version", &[]).exits(0).out;
    assert_eq!(version, concat!("ws-cli ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// Within 100 columns, and no word twice.
#[track_caller]
fn assert_plain(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line:?}");
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let twice = pair[0] == pair[1] && pair[0].chars().all(char::is_alphabetic);
            assert!(!twice, "{pair:?} in {line:?}");
        }
    }
}

#[test]
fn everything_that_is_listed_can_be_explained() {
    let list = run("analyzers", &[]).exits(0).out;
    assert_plain(&list);
    let (mut analyzer, mut kind) = (String::new(), "");
    let mut names: BTreeSet<String> = BTreeSet::new();
    for line in list.lines().filter(|line| !line.starts_with("ws-cli explain")) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = words.first().copied() else { continue };
        if !line.starts_with(' ') {
            analyzer = first.to_owned();
            names.insert(analyzer.clone());
            continue;
        }
        if first == "metrics" || first == "findings" {
            kind = first;
            words.remove(0);
        }
        for word in words {
            let word = word.trim_end_matches(',');
            let full = kind == "findings";
            names.insert(if full { word.to_owned() } else { format!("{analyzer}.{word}") });
        }
    }
    assert!(names.len() > 60, "{names:?}");
    for name in ["integrity.non-finite", "sparsity.hoyer", "distribution"] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    let mut command = crate::common::command();
    let all = run_with(command.arg("explain").args(&names)).exits(0);
    assert_plain(&all.out);
    for name in &names {
        assert!(all.out.lines().any(|line| line.starts_with(&format!("{name}  "))), "{name}");
    }
    // Short names do as well, and what several analyzers have is explained for each.
    let short = run("explain dead-units hoyer siblings", &[]).exits(0).out;
    assert!(short.contains("sparsity.dead-units  ") && short.contains("sparsity.hoyer  "));
    assert!(short.contains("in [parameters.siblings] of a --config file"), "{short}");
}

/// Codes of findings that a scan really raises.
#[test]
fn what_a_scan_finds_can_be_explained() {
    let path = crate::common::fixture("tiny-gpt2");
    let report = run("scan --format json", &[&path]).exits(0).json();
    for finding in report["findings"].as_array().unwrap() {
        let code = finding["code"].as_str().unwrap();
        run(&format!("explain {code}"), &[]).exits(0);
    }
}

#[test]
fn completions_for_every_shell() {
    for (shell, words) in [
        ("bash", "complete -F _ws__cli"),
        ("zsh", "#compdef ws-cli"),
        ("fish", "complete -c ws-cli"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion"),
    ] {
        let script = run(&format!("completions {shell}"), &[]).exits(0).out;
        assert!(script.contains(words), "{shell}: {words}");
        for word in COMMANDS.iter().chain(&["fail-on", "split-fused"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
