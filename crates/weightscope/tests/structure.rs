//! Heads, components, positions and row variances against numpy, scipy and scikit-learn.
//!
//! The references come from fixtures/references/structure.py (and elementwise.py for the statistics that a
//! histogram shows), which read and measure on their own.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use weightscope::{FigureData, Report, RunOptions, Scan, builtin_registry, rejudge};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn reference(name: &str) -> Json {
    let text = std::fs::read_to_string(fixtures().join("references").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn scan(model: &str) -> Report {
    let options = RunOptions { portraits: 100, timings: false, ..RunOptions::default() };
    Scan::new([fixtures().join(model)]).options(options).run().unwrap()
}

/// What a deviation is relative to.
#[derive(Clone, Copy, PartialEq)]
enum Scale {
    /// Nothing: correlations and shares.
    One,
    /// The largest of the list, whose smallest entries are rounding.
    List,
    /// The value.
    Own,
}

/// Largest deviation allowed, and what it is relative to.
fn tolerance(metric: &str) -> (f64, Scale) {
    match metric {
        "head_similarity"
        | "duplicate_heads"
        | "neighbour_correlation"
        | "neighbour_correlation_median"
        | "toeplitz_r2" => (1e-9, Scale::One),
        // A component turns by the error over the gap to the next one.
        "explained_variance_ratio" | "scores" => (1e-8, Scale::List),
        "dimension_variance" | "row_variance" => (1e-9, Scale::List),
        _ => (1e-9, Scale::Own),
    }
}

#[derive(Default)]
struct Comparison {
    compared: usize,
    worst: Vec<(String, f64)>,
    wrong: Vec<String>,
}

impl Comparison {
    fn value(&mut self, place: &str, metric: &str, found: &Json, want: &Json, largest: f64) {
        match (found, want) {
            (Json::Array(found), Json::Array(want)) if found.len() == want.len() => {
                let sizes = want.iter().filter_map(Json::as_f64).map(f64::abs);
                let largest = sizes.fold(0.0, f64::max);
                for (index, (found, want)) in found.iter().zip(want).enumerate() {
                    self.value(&format!("{place}[{index}]"), metric, found, want, largest);
                }
            }
            (Json::Object(found), Json::Object(want)) if found.keys().eq(want.keys()) => {
                for (key, want) in want {
                    self.value(&format!("{place}.{key}"), metric, &found[key], want, 0.0);
                }
            }
            // Counts, clusters and places.
            (Json::Number(a), Json::Number(b)) if a.is_u64() && b.is_u64() => {
                self.compared += 1;
                if a != b {
                    self.wrong.push(format!("{place}: {a} instead of {b}"));
                }
            }
            (Json::Number(a), Json::Number(b)) => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                let (allowed, scale) = tolerance(metric);
                let scale = match scale {
                    Scale::One => 1.0,
                    Scale::List if largest > 0.0 => largest,
                    _ => a.abs().max(b.abs()),
                };
                let deviation = if a == b { 0.0 } else { (a - b).abs() / scale };
                self.compared += 1;
                match self.worst.iter_mut().find(|(m, _)| m == metric) {
                    Some((_, worst)) => *worst = worst.max(deviation),
                    None => self.worst.push((metric.to_owned(), deviation)),
                }
                if deviation > allowed {
                    self.wrong.push(format!("{place}: {a:e} instead of {b:e}"));
                }
            }
            _ => {
                self.compared += 1;
                if found != want {
                    self.wrong.push(format!("{place}: {found} instead of {want}"));
                }
            }
        }
    }
}

fn check(model: &str, references: &str, at_least: usize) {
    let (report, references) = (scan(model), reference(references));
    assert_eq!(report.errors, []);
    let mut comparison = Comparison::default();
    let wanted = references["weights"].as_object().unwrap();
    for weight in &report.weights {
        let Some(want) = wanted.get(&weight.name) else {
            let structure = ["attention", "pca", "position"];
            assert!(!structure.iter().any(|a| weight.analyses.contains_key(*a)), "{}", weight.name);
            continue;
        };
        for analyzer in ["attention", "pca", "position"] {
            let has = weight.analyses.contains_key(analyzer);
            assert_eq!(has, want.get(analyzer).is_some(), "{} {analyzer}", weight.name);
        }
        for (analyzer, metrics) in want.as_object().unwrap() {
            for (metric, want) in metrics.as_object().unwrap() {
                let found = &weight.analyses[analyzer.as_str()][metric.as_str()];
                let found = serde_json::to_value(found).unwrap();
                let place = format!("{} {analyzer}.{metric}", weight.name);
                comparison.value(&place, metric, &found, want, 0.0);
            }
        }
    }
    assert!(wanted.keys().all(|name| report.weights.iter().any(|w| w.name == *name)));
    let Comparison { compared, worst, wrong } = comparison;
    println!("{compared} values, worst deviations {worst:?}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= at_least, "only {compared} values compared");
}

#[test]
fn structure_of_tiny_gpt2() {
    check("tiny-gpt2", "tiny-gpt2-structure.json", 5000);
}

#[test]
fn structure_of_tiny_llama() {
    check("tiny-llama", "tiny-llama-structure.json", 5000);
}

#[test]
fn histograms_show_the_statistics_of_scipy() {
    let pairs = [
        ("skewness", "skewness", 1e-7),
        ("excess kurtosis", "excess_kurtosis", 1e-7),
        ("KS distance", "ks_statistic", 1e-6),
        ("mean", "mean", 1e-9),
        ("std", "std", 1e-9),
    ];
    for (model, references) in [("tiny-gpt2", "tiny-gpt2.json"), ("tiny-llama", "tiny-llama.json")]
    {
        let (report, references) = (scan(model), reference(references));
        let mut shown = 0;
        for figure in report.figures.iter().filter(|f| f.id == "distribution.histogram") {
            let FigureData::Histogram { statistics, .. } = &figure.data else { panic!() };
            let name = figure.weight.as_deref().unwrap();
            let want = &references["weights"][name]["distribution"];
            for (label, metric, allowed) in pairs {
                let found = statistics.iter().find(|(l, _)| *l == label).map(|(_, value)| *value);
                let (found, want) = (found.unwrap(), want[metric].as_f64().unwrap());
                let near = (found - want).abs() <= allowed * found.abs().max(1.0);
                assert!(near, "{name} {label}: {found} instead of {want}");
                shown += 1;
            }
        }
        // One of every weight whose values are not all equal.
        let unequal = report.weights.iter().filter(|w| w.number("distribution", "std") > Some(0.0));
        assert_eq!(shown, pairs.len() * unequal.count());
    }
}

#[test]
fn judging_a_real_report_anew_changes_nothing() {
    for model in ["tiny-gpt2", "tiny-llama"] {
        let report = scan(model);
        let portraits = report.figures.iter().filter(|f| f.id == "distribution.heatmap").count();
        assert!((4..=100).contains(&portraits), "{portraits}");
        let text = serde_json::to_string(&report).unwrap();
        let mut read: Report = serde_json::from_str(&text).unwrap();
        let registry = builtin_registry();
        rejudge(&mut read, &registry.analyzers());
        assert_eq!(read.findings, report.findings);
        assert_eq!(read.conclusions, report.conclusions);
        let ids = |report: &Report| -> Vec<String> {
            let name = |w: &Option<String>| w.clone().unwrap_or_default();
            report.figures.iter().map(|f| format!("{} {}", f.id, name(&f.weight))).collect()
        };
        assert_eq!(ids(&read), ids(&report));
        assert!(serde_json::to_string(&read).unwrap() == text, "{model}");
    }
}
