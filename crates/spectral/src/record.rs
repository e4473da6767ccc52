//! The metrics under the names that reports use.

use weightscope_core::{Output, Value};
use weightscope_linalg::Spectrum;

use crate::SpectralMetrics;

const ZERO: &str = "all values are zero";
const DEFICIENT: &str = "rank deficient";
const HALF_ZERO: &str = "half of the singular values are zero";
const NO_TAIL: &str = "fewer than two different singular values above zero";
pub(crate) const NOT_ASKED: &str = "computed on request: parameter alpha_gof";
pub(crate) const NOT_FINITE: &str = "not every value is finite";

/// Records everything but `alpha_gof_p`.
pub(crate) fn record(
    m: &SpectralMetrics,
    shape: [u64; 2],
    grid: &str,
    spectrum: &Spectrum,
    out: &mut Output,
) {
    let sigma = spectrum.singular_values.as_slice();
    let is_zero = m.spectral_norm == 0.0;
    out.metric("spectral_norm", m.spectral_norm);
    out.metric("min_singular_value", m.min_singular_value);
    out.metric("numerical_rank", m.numerical_rank);
    out.metric("rank_deficient", m.rank_deficient);
    out.metric_or("condition_number", m.condition_number, if is_zero { ZERO } else { DEFICIENT });
    out.metric("frobenius_norm", m.frobenius_norm);
    out.metric("nuclear_norm", m.nuclear_norm);
    let s = m.shape.as_ref();
    out.metric_or("stable_rank", s.map(|s| s.stable_rank), ZERO);
    out.metric_or("effective_rank", s.map(|s| s.effective_rank), ZERO);
    let why = if is_zero { ZERO } else { "its rank is 1" };
    out.metric_or("matrix_entropy", s.and_then(|s| s.matrix_entropy), why);
    out.metric_or("participation_ratio", s.map(|s| s.participation_ratio), ZERO);
    out.metric("rank_1pct", m.rank_1pct);
    let keys = ["energy_rank_50", "energy_rank_90", "energy_rank_95", "energy_rank_99"];
    for (index, key) in keys.into_iter().enumerate() {
        out.metric_or(key, s.and_then(|s| s.energy_ranks.get(index).copied()), ZERO);
    }
    out.metric("singular_values", sigma.iter().copied().collect::<Value>());
    out.metric("method", spectrum.route.name());
    let why = "the smallest singular value is zero";
    out.metric_or("sigma_min_relative_error_bound", m.sigma_min_relative_error_bound, why);
    out.metric("storage_grid", grid.to_owned());
    out.metric("storage_noise", m.storage_noise);
    out.metric("rank_above_storage_noise", m.rank_above_storage_noise);
    out.metric_or("condition_number_resolvable", m.condition_number_resolvable, ZERO);
    references(m, shape, out);
    power_law(m, sigma, out);
}

fn references(m: &SpectralMetrics, shape: [u64; 2], out: &mut Output) {
    let is_zero = m.spectral_norm == 0.0;
    out.metric("condition_number_null_median", m.condition.null_median);
    let why = if is_zero { ZERO } else { DEFICIENT };
    out.metric_or("condition_number_p_value", m.condition.p_value, why);
    let why = if is_zero {
        ZERO
    } else if shape[0].min(shape[1]) <= 3 {
        "fewer than four singular values"
    } else {
        DEFICIENT
    };
    out.metric_or("condition_number_trimmed", m.condition.trimmed, why);
    out.metric("stable_rank_null", stable_rank_null(shape[0] as f64, shape[1] as f64));
    let why = if is_zero { ZERO } else { HALF_ZERO };
    let bulk = m.bulk.as_ref();
    out.metric_or("mp_edge_low", bulk.map(|b| b.low), why);
    out.metric_or("mp_edge_high", bulk.map(|b| b.high), why);
    out.metric_or("mp_spikes", bulk.map(|b| b.spikes), why);
    out.metric_or("gavish_donoho_rank", bulk.map(|b| b.gavish_donoho_rank), why);
}

/// Stable rank of a random matrix: `N M/(sqrt N + sqrt M)^2`, its energy over its largest eigenvalue.
pub(crate) fn stable_rank_null(rows: f64, columns: f64) -> f64 {
    rows * columns / (rows.sqrt() + columns.sqrt()).powi(2)
}

fn power_law(m: &SpectralMetrics, sigma: &[f64], out: &mut Output) {
    let why = if m.spectral_norm == 0.0 { ZERO } else { NO_TAIL };
    let law = m.power_law.as_ref();
    out.metric_or("alpha", law.map(|l| l.alpha), why);
    out.metric_or("alpha_xmin", law.map(|l| l.log_xmin.exp()), why);
    out.metric_or("alpha_ks", law.map(|l| l.distance), why);
    out.metric_or("alpha_tail", law.map(|l| l.tail as u64), why);
    out.metric_or("alpha_sigma", law.map(crate::PowerLaw::sigma), why);
    out.metric_or("log_norm", m.shape.as_ref().map(|s| s.log_norm), ZERO);
    out.metric_or("alpha_weighted", m.alpha_weighted(), why);
    out.metric_or("log_alpha_norm", m.log_alpha_norm(sigma), why);
}
