//! Theory and metrics against mpmath, scipy, numpy and the packages weightwatcher and powerlaw.
//!
//! The references come from fixtures/references/spectral.py.

use serde_json::Value as Json;
use weightscope_core::{DType, StorageGrid};
use weightscope_linalg::{Route, Spectrum};
use weightscope_spectral::{
    MarchenkoPastur, SpectralMetrics, condition, gavish_donoho, measure, power_law,
};

fn references() -> Json {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/references/spectral.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Json) -> f64 {
    value.as_f64().unwrap()
}

fn sides(row: &Json) -> [f64; 2] {
    [number(&row["shape"][0]), number(&row["shape"][1])]
}

#[track_caller]
fn near(what: &str, found: f64, want: f64, relative: f64) {
    let error = (found - want).abs();
    assert!(error <= relative * want.abs().max(1e-290), "{what}: {found:e} instead of {want:e}");
}

#[test]
fn theory() {
    let references = references();
    let rows = references["theory"].as_array().unwrap();
    assert!(rows.len() >= 15);
    for row in rows {
        let [n, m] = sides(row);
        let what = format!("{n} x {m}");
        near(&what, condition::median(m, n), number(&row["kappa_median"]), 1e-14);
        for pair in row["exceedance"].as_array().unwrap() {
            let (kappa, p) = (number(&pair[0]), number(&pair[1]));
            // lgamma of thousands loses some digits of the exponent.
            near(&format!("{what} kappa {kappa}"), condition::exceedance(n, m, kappa), p, 1e-8);
        }
        let law = MarchenkoPastur::new(n, m);
        near(&what, law.median(), number(&row["median"]), 1e-10);
        near(&what, gavish_donoho::threshold(m, n), number(&row["omega"]), 1e-10);
        near(&what, law.rank_share_of_energy(0.99), number(&row["rank_99"]), 1e-9);
        for pair in row["quantiles"].as_array().unwrap() {
            near(&what, law.quantile(number(&pair[0])), number(&pair[1]), 1e-9);
        }
    }
}

/// A spectrum with its numbers.
fn measured(row: &Json) -> (Vec<f64>, SpectralMetrics) {
    let sigma: Vec<f64> = row["sigma"].as_array().unwrap().iter().map(number).collect();
    let spectrum = Spectrum { singular_values: sigma.clone(), route: Route::Direct };
    let metrics =
        measure(&spectrum, sides(row).map(|side| side as u64), StorageGrid::Float(DType::F32));
    (sigma, metrics)
}

#[test]
fn spectra_by_numpy() {
    let references = references();
    for row in references["spectra"].as_array().unwrap() {
        let (sigma, m) = measured(row);
        let (name, want) = (row["name"].as_str().unwrap(), &row["numpy"]);
        let shape = m.shape.unwrap();
        let law = m.power_law.unwrap();
        let bulk = m.bulk;
        let [r50, r90, r95, r99] = shape.energy_ranks;
        let found: Vec<(&str, Option<f64>)> = vec![
            ("spectral_norm", Some(m.spectral_norm)),
            ("min_singular_value", Some(m.min_singular_value)),
            ("numerical_rank", Some(m.numerical_rank as f64)),
            ("condition_number", m.condition_number),
            ("frobenius_norm", Some(m.frobenius_norm)),
            ("nuclear_norm", Some(m.nuclear_norm)),
            ("rank_1pct", Some(m.rank_1pct as f64)),
            ("stable_rank", Some(shape.stable_rank)),
            ("effective_rank", Some(shape.effective_rank)),
            ("matrix_entropy", shape.matrix_entropy),
            ("participation_ratio", Some(shape.participation_ratio)),
            ("energy_rank_50", Some(r50 as f64)),
            ("energy_rank_90", Some(r90 as f64)),
            ("energy_rank_95", Some(r95 as f64)),
            ("energy_rank_99", Some(r99 as f64)),
            ("log_norm", Some(shape.log_norm)),
            ("storage_noise", Some(m.storage_noise)),
            ("rank_above_storage_noise", Some(m.rank_above_storage_noise as f64)),
            ("condition_number_resolvable", m.condition_number_resolvable),
            ("condition_number_null_median", Some(m.condition.null_median)),
            ("condition_number_trimmed", m.condition.trimmed),
            ("mp_edge_low", bulk.map(|b| b.low)),
            ("mp_edge_high", bulk.map(|b| b.high)),
            ("mp_spikes", bulk.map(|b| b.spikes as f64)),
            ("gavish_donoho_rank", bulk.map(|b| b.gavish_donoho_rank as f64)),
            ("alpha", Some(law.alpha)),
            ("alpha_xmin", Some(law.log_xmin.exp())),
            ("alpha_ks", Some(law.distance)),
            ("alpha_tail", Some(law.tail as f64)),
            ("alpha_sigma", Some(law.sigma())),
            ("alpha_weighted", m.alpha_weighted()),
            ("log_alpha_norm", m.log_alpha_norm(&sigma)),
        ];
        for (metric, found) in found {
            match (found, want.get(metric)) {
                (Some(found), Some(want)) => {
                    near(&format!("{name}: {metric}"), found, number(want), 1e-9);
                }
                (found, want) => assert!(
                    found.is_none() && want.is_none(),
                    "{name}: {metric} is {found:?} instead of {want:?}"
                ),
            }
        }
        assert_eq!(want["rank_deficient"].as_bool(), Some(m.rank_deficient), "{name}");
        if let (Some(p), Some(want)) = (m.condition.p_value, want.get("condition_number_p_value")) {
            near(name, p, number(want), 1e-8);
        }
    }
}

#[test]
fn spectra_by_weightwatcher_and_powerlaw() {
    let references = references();
    for row in references["spectra"].as_array().unwrap() {
        let (sigma, m) = measured(row);
        let name = row["name"].as_str().unwrap();
        // Both are given the eigenvalues above 1e-5, as WeightWatcher drops the rest.
        let mut logs: Vec<f64> =
            sigma.iter().map(|s| s * s).filter(|l| *l > 1e-5).map(f64::ln).collect();
        logs.reverse();
        let law = power_law::fit(&logs).unwrap();
        for package in ["weightwatcher", "powerlaw"] {
            let want = &row[package];
            near(&format!("{name} {package} alpha"), law.alpha, number(&want["alpha"]), 1e-6);
            near(
                &format!("{name} {package} xmin"),
                law.log_xmin.exp(),
                number(&want["xmin"]),
                1e-6,
            );
            near(&format!("{name} {package} D"), law.distance, number(&want["D"]), 1e-6);
        }
        let (shape, want) = (m.shape.unwrap(), &row["weightwatcher"]);
        near(name, law.sigma(), number(&want["sigma"]), 1e-6);
        near(name, shape.matrix_entropy.unwrap(), number(&want["entropy"]), 1e-6);
        near(name, shape.stable_rank, number(&want["stable_rank"]), 1e-6);
        near(name, shape.log_norm, number(&want["log_norm"]), 1e-6);
        near(name, m.log_alpha_norm(&sigma).unwrap(), number(&want["log_alpha_norm"]), 1e-6);
        near(name, m.alpha_weighted().unwrap(), number(&want["alpha_weighted"]), 1e-6);
    }
}
