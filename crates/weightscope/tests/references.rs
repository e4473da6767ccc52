//! Every metric against numpy and scipy, on the fixtures and on a tensor of every element type.
//!
//! The references come from fixtures/references/elementwise.py, spectral.py and quantization.py, which decode and
//! measure on their own.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use weightscope::{Compare, Scan, Settings, Value, WeightRecord};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// Largest deviation allowed: relative, unless said otherwise; the reason beside it.
fn tolerance(metric: &str, found: f64, want: f64, std: f64, n: f64) -> f64 {
    let scale = found.abs().max(want.abs());
    match metric {
        // Sums of signed terms cancel: the mean is as good as its terms.
        "mean" => 1e-7 * std + 1e-12 * scale,
        "skewness" | "excess_kurtosis" => 1e-7 * scale.max(1.0),
        "ks_statistic" | "ks_p_value" => 1e-6,
        // A difference of nearly equal numbers when all magnitudes are equal.
        "hoyer" => 1e-12 + 1e-9 * scale,
        // One value more or less at the line.
        "prunable" => 2.0 / n,
        _ => 1e-9 * scale,
    }
}

struct Comparison {
    compared: usize,
    wrong: Vec<String>,
}

impl Comparison {
    fn value(
        &mut self,
        place: &str,
        metric: &str,
        found: Option<&Value>,
        want: &Json,
        std: f64,
        n: f64,
    ) {
        match (found, want) {
            (None | Some(Value::Null), Json::Null) => {}
            (Some(Value::Map(found)), Json::Object(want)) => {
                for (key, want) in want {
                    self.value(
                        &format!("{place}.{key}"),
                        metric,
                        found.get(key.as_str()),
                        want,
                        std,
                        n,
                    );
                }
                return;
            }
            (Some(Value::List(found)), Json::Array(want)) if found.len() == want.len() => {
                for (index, (found, want)) in found.iter().zip(want).enumerate() {
                    self.value(&format!("{place}[{index}]"), metric, Some(found), want, std, n);
                }
                return;
            }
            (Some(Value::Bool(found)), Json::Bool(want)) if found == want => {}
            (Some(found), Json::Number(want)) => {
                let (found, want) = (found.as_f64().unwrap_or(f64::NAN), want.as_f64().unwrap());
                let is_near = (found - want).abs() <= tolerance(metric, found, want, std, n);
                if !is_near {
                    self.wrong.push(format!("{place}: {found:e} instead of {want:e}"));
                }
            }
            (found, want) => self.wrong.push(format!("{place}: {found:?} instead of {want}")),
        }
        self.compared += 1;
    }

    fn weight(&mut self, weight: &WeightRecord, want: &Json) {
        let n = weight.elements() as f64;
        let std = weight.number("distribution", "std").unwrap_or(0.0);
        for analyzer in ["distribution", "integrity", "sparsity"] {
            if analyzer != "integrity" && !weight.part.is_parameter() {
                continue; // the reference script knows no buffers
            }
            for (metric, want) in want[analyzer].as_object().unwrap() {
                let found =
                    weight.analyses.get(analyzer).and_then(|metrics| metrics.get(metric.as_str()));
                let place = format!("{} {analyzer}.{metric}", weight.name);
                assert!(found.is_some(), "{place} is not in the report");
                self.value(&place, metric, found, want, std, n);
            }
        }
    }
}

fn check(input: &str, reference: &str, at_least: usize) {
    let report = Scan::new([fixtures().join(input)]).run().unwrap();
    let text = std::fs::read_to_string(fixtures().join("references").join(reference)).unwrap();
    let reference: Json = serde_json::from_str(&text).unwrap();
    let wanted = reference["weights"].as_object().unwrap();
    assert_eq!(report.weights.len(), wanted.len());
    let mut comparison = Comparison { compared: 0, wrong: Vec::new() };
    for weight in &report.weights {
        comparison.weight(weight, &wanted[&weight.name]);
    }
    assert!(
        comparison.wrong.is_empty(),
        "{} wrong:\n{}",
        comparison.wrong.len(),
        comparison.wrong.join("\n")
    );
    assert!(comparison.compared >= at_least, "only {} values compared", comparison.compared);
}

#[test]
fn tiny_gpt2() {
    check("tiny-gpt2", "tiny-gpt2.json", 9000);
}

#[test]
fn tiny_llama() {
    check("tiny-llama", "tiny-llama.json", 6000);
}

#[test]
fn every_element_type() {
    check("references/dtypes.safetensors", "dtypes.json", 2000);
}

/// Largest relative deviation of a spectral metric.
fn spectral_tolerance(metric: &str, weight: &WeightRecord) -> f64 {
    let bound = weight.number("spectral", "sigma_min_relative_error_bound").unwrap_or(0.0);
    match metric {
        // What the smallest value is known to.
        "min_singular_value" | "condition_number" => 1e-9 + bound,
        // A power of the condition number.
        "condition_number_p_value" => {
            let [out, input] = weight.matrix.unwrap();
            (1e-9 + bound) * (out.abs_diff(input) + 1) as f64
        }
        _ => 1e-9,
    }
}

fn check_spectra(input: &str, reference: &str, at_least: usize) {
    let report = Scan::new([fixtures().join(input)]).analyzers(["spectral"]).run().unwrap();
    let text = std::fs::read_to_string(fixtures().join("references").join(reference)).unwrap();
    let reference: Json = serde_json::from_str(&text).unwrap();
    let wanted = reference["weights"].as_object().unwrap();
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, wanted) in wanted {
        let weight = report.weights.iter().find(|w| w.name == *name).unwrap();
        for (metric, want) in wanted.as_object().unwrap() {
            let found = weight.metric("spectral", metric);
            let is_near = match (found.and_then(Value::as_f64), want.as_f64()) {
                // What is below the smallest double beside 1 in the exponent is zero here and there.
                (Some(found), Some(want)) => {
                    let mut allowed = (spectral_tolerance(metric, weight) * want.abs()).max(1e-290);
                    if metric == "min_singular_value" {
                        // Zeros are as good as rounding in the largest.
                        allowed += 1e-14 * weight.number("spectral", "spectral_norm").unwrap();
                    }
                    (found - want).abs() <= allowed
                }
                _ => found.map(|f| serde_json::to_value(f).unwrap()).as_ref() == Some(want),
            };
            compared += 1;
            if !is_near {
                wrong.push(format!("{name} {metric}: {found:?} instead of {want}"));
            }
        }
        // What is undefined there is undefined here.
        for (metric, value) in &weight.analyses["spectral"] {
            let own = ["singular_values", "method", "sigma_min_relative_error_bound"];
            if !value.is_null() && !own.contains(&&**metric) && wanted.get(&**metric).is_none() {
                wrong.push(format!("{name} {metric}: {value:?} is undefined in the reference"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= at_least, "only {compared} values compared");
}

#[test]
fn spectra_of_tiny_gpt2() {
    check_spectra("tiny-gpt2", "tiny-gpt2-spectral.json", 1500);
}

#[test]
fn spectra_of_tiny_llama() {
    check_spectra("tiny-llama", "tiny-llama-spectral.json", 2500);
}

#[test]
fn spectra_of_every_element_type() {
    check_spectra("references/dtypes.safetensors", "dtypes-spectral.json", 500);
}

/// Largest relative deviation of the numbers of a scheme: sums of `f32` squares, and angles of nearly equal vectors.
const SCHEME_TOLERANCE: f64 = 1e-6;

/// Numbers of the analyzer `quantization`: how many of each kind were compared.
#[derive(Default)]
struct Quantized {
    of_schemes: usize,
    others: usize,
    undefined: usize,
    notes: usize,
    wrong: Vec<String>,
}

impl Quantized {
    /// Counts and indices exactly, the rest within 1e-9; lists and maps entry by entry.
    fn value(&mut self, place: &str, found: &Value, want: &Json) {
        let is_right = match (found, want) {
            (Value::Map(found), Json::Object(want)) if found.len() == want.len() => {
                for (key, want) in want {
                    let found = found.get(key.as_str()).unwrap_or(&Value::Null);
                    self.value(&format!("{place}.{key}"), found, want);
                }
                return;
            }
            (Value::List(found), Json::Array(want)) if found.len() == want.len() => {
                for (index, (found, want)) in found.iter().zip(want).enumerate() {
                    self.value(&format!("{place}[{index}]"), found, want);
                }
                return;
            }
            (Value::Null, Json::Null) => {
                self.undefined += 1;
                return;
            }
            (Value::Integer(found), want) if want.is_u64() => Some(*found) == want.as_u64(),
            (Value::Integer(_) | Value::Number(_), Json::Number(want)) if !want.is_u64() => {
                is_near(found.as_f64().unwrap(), want.as_f64().unwrap(), 1e-9, 0.0)
            }
            _ => false,
        };
        self.others += 1;
        if !is_right {
            self.wrong.push(format!("{place}: {found:?} instead of {want}"));
        }
    }

    /// `shares_nothing`: no two values of the weight share a scale, so that nothing is known to expect.
    fn scheme(&mut self, place: &str, found: &Value, want: &Json, shares_nothing: bool) {
        // Decibels around 0 are as good as those around 1.
        for (key, least) in [
            ("bits_per_weight", 0.0),
            ("sqnr_db", 1.0),
            ("mse", 0.0),
            ("max_abs_error", 0.0),
            ("cosine", 0.0),
        ] {
            let number = found.get(key).and_then(Value::as_f64);
            let is_right = match (number, want[key].as_f64()) {
                (Some(found), Some(want)) => {
                    self.of_schemes += 1;
                    is_near(found, want, SCHEME_TOLERANCE, least)
                }
                (found, want) => {
                    self.undefined += 1;
                    found == want
                }
            };
            if !is_right {
                self.wrong.push(format!("{place}.{key}: {number:?} instead of {}", want[key]));
            }
        }
        let note = found.get("note").and_then(Value::as_str);
        self.notes += usize::from(note.is_some());
        if note != want.get("note").and_then(Json::as_str) {
            self.wrong.push(format!("{place}: note {note:?} instead of {:?}", want.get("note")));
        }
        let [sqnr, excess] = ["sqnr_db", "excess_db"].map(|key| found.get(key).unwrap());
        if sqnr.is_null() != excess.is_null() && !shares_nothing {
            self.wrong.push(format!("{place}: {excess:?} beside {sqnr:?}"));
        }
    }

    fn weight(&mut self, weight: &WeightRecord, want: &Json) {
        let shares_nothing = weight.matrix.is_some_and(|[_, input]| input == 1);
        for (metric, want) in want.as_object().unwrap() {
            let place = format!("{} {metric}", weight.name);
            let found = weight.metric("quantization", metric).unwrap_or(&Value::Null);
            let Some(rows) = want.as_array().filter(|_| metric == "schemes") else {
                self.value(&place, found, want);
                continue;
            };
            let ours = found.items().iter().map(|row| row.get("scheme")?.as_str());
            let ours: Vec<_> = ours.map(Option::unwrap).collect();
            let theirs: Vec<_> = rows.iter().map(|row| row["scheme"].as_str().unwrap()).collect();
            if ours != theirs {
                self.wrong.push(format!("{place}: {ours:?} instead of {theirs:?}"));
            }
            for (found, want) in found.items().iter().zip(rows) {
                let place = format!("{} {}", weight.name, want["scheme"]);
                self.scheme(&place, found, want, shares_nothing);
            }
        }
        // What it does not know is undefined here, but for what is told of a whole MLP.
        for (metric, value) in &weight.analyses["quantization"] {
            if *metric != "mlp_spike" && !value.is_null() && want.get(&**metric).is_none() {
                self.wrong.push(format!("{} {metric}: {value:?} instead of nothing", weight.name));
            }
        }
    }
}

fn is_near(found: f64, want: f64, tolerance: f64, least: f64) -> bool {
    (found - want).abs() <= tolerance * found.abs().max(want.abs()).max(least)
}

/// Compares, and says how many numbers of schemes, other numbers, undefined ones and notes there were.
fn check_quantization(input: &str, reference: &str) -> [usize; 4] {
    let report = Scan::new([fixtures().join(input)]).analyzers(["quantization"]).run().unwrap();
    assert_eq!(report.errors, []);
    let text = std::fs::read_to_string(fixtures().join("references").join(reference)).unwrap();
    let reference: Json = serde_json::from_str(&text).unwrap();
    let wanted = reference["weights"].as_object().unwrap();
    let mut compared = Quantized::default();
    let measured = report.weights.iter().filter(|w| w.analyses.contains_key("quantization"));
    for weight in measured.clone() {
        compared.weight(weight, &wanted[&weight.name]);
    }
    assert_eq!(measured.count(), wanted.len());
    let wrong = &compared.wrong;
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    [compared.of_schemes, compared.others, compared.undefined, compared.notes]
}

#[test]
fn schemes_of_tiny_gpt2() {
    assert_eq!(check_quantization("tiny-gpt2", "tiny-gpt2-quantization.json"), [7450, 1550, 0, 0]);
}

#[test]
fn schemes_of_tiny_llama() {
    assert_eq!(
        check_quantization("tiny-llama", "tiny-llama-quantization.json"),
        [8952, 1595, 173, 173]
    );
}

#[test]
fn schemes_of_every_element_type() {
    let compared = check_quantization("references/dtypes.safetensors", "dtypes-quantization.json");
    assert_eq!(compared, [1898, 410, 107, 52]);
}

/// Largest deviation allowed of a metric of a comparison; `None` where it must be the same number.
fn comparison_tolerance(metric: &str, want: f64) -> Option<f64> {
    match metric {
        "base_not_finite" | "not_finite" | "delta_energy_rank_90" | "delta_rank_above_rounding" => {
            None
        }
        // Terms of nearly orthogonal weights cancel.
        "cosine_similarity" => Some(1e-9),
        // Of a small shift the rounding of singular values is a larger part.
        "spectral_shift" => Some(1e-9 * want.abs() + 1e-14),
        _ => Some(1e-9 * want.abs()),
    }
}

/// Compares with the reference, and says how many weights changed, and how many numbers were compared.
fn check_comparison(tuned: &str, reference: &str) -> [usize; 2] {
    let mut settings = Settings::default();
    settings.parameters.set("compare", "spectral", 1.0);
    let comparison = Compare::new(fixtures().join("tiny-gpt2"), fixtures().join(tuned));
    let report = comparison.settings(settings).run().unwrap();
    assert_eq!(report.errors, []);
    let text = std::fs::read_to_string(fixtures().join("references").join(reference)).unwrap();
    let reference: Json = serde_json::from_str(&text).unwrap();
    let same: Vec<&str> =
        reference["same"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let changed = reference["changed"].as_object().unwrap();
    assert_eq!(report.weights.len(), same.len() + changed.len());
    let (mut compared, mut wrong) = (0, Vec::new());
    for weight in &report.weights {
        let ours = &weight.analyses["compare"];
        if same.contains(&weight.name.as_str()) {
            let is_one = |key: &str| key == "cosine_similarity";
            for (metric, value) in ours.iter().filter(|(key, _)| **key != "other_dtype") {
                let want = f64::from(u8::from(is_one(metric)));
                if value.as_f64().is_some_and(|found| found != want) {
                    wrong.push(format!("{} {metric}: {value:?} of the same bytes", weight.name));
                }
            }
            assert_eq!(weight.number("compare", "l2_distance"), Some(0.0), "{}", weight.name);
            continue;
        }
        let wanted = changed[&weight.name].as_object().unwrap();
        for (metric, want) in wanted {
            let found = weight.number("compare", metric);
            let want = want.as_f64().unwrap();
            let is_near = found.is_some_and(|found| {
                comparison_tolerance(metric, want)
                    .map_or(found == want, |allowed| (found - want).abs() <= allowed)
            });
            compared += 1;
            if !is_near {
                wrong.push(format!("{} {metric}: {found:?} instead of {want}", weight.name));
            }
        }
        // What is undefined there is undefined here.
        for (metric, value) in ours {
            // Ratios of singular values that are rounding errors have no reference.
            let own = [
                "other_dtype",
                "other_stored",
                "storage_floor",
                "above_storage",
                "delta_rank_gap",
                "delta_rank_decay",
            ];
            if !value.is_null() && !own.contains(&&**metric) && !wanted.contains_key(&**metric) {
                wrong.push(format!(
                    "{} {metric}: {value:?} is undefined in the reference",
                    weight.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    [changed.len(), compared]
}

#[test]
fn comparison_of_tiny_gpt2_tuned() {
    let compared = check_comparison("tiny-gpt2-tuned", "tiny-gpt2-tuned-compare.json");
    assert_eq!(compared, [146, 1844]);
}

#[test]
fn comparison_of_tiny_gpt2_lora() {
    let compared = check_comparison("tiny-gpt2-lora", "tiny-gpt2-lora-compare.json");
    assert_eq!(compared, [12, 216]);
}

#[test]
fn threads_change_nothing() {
    use weightscope::RunOptions;
    let run = |threads| {
        let options = RunOptions { threads, timings: false, ..RunOptions::default() };
        Scan::new([fixtures().join("tiny-llama")]).options(options).run().unwrap()
    };
    let one = run(1);
    for threads in [2, 3, 8] {
        assert_eq!(one, run(threads), "{threads} threads");
    }
}

#[test]
fn published_parameter_counts_of_the_fixtures() {
    let gpt2 = Scan::new([fixtures().join("tiny-gpt2")]).run().unwrap();
    assert_eq!(
        (gpt2.models[0].family.as_str(), gpt2.models[0].parameters, gpt2.models[0].blocks),
        ("gpt2", 959_840, 12)
    );
    let llama = Scan::new([fixtures().join("tiny-llama")]).run().unwrap();
    assert_eq!(
        (llama.models[0].family.as_str(), llama.models[0].parameters, llama.models[0].kv_heads),
        ("llama", 1_206_624, Some(2))
    );
}
