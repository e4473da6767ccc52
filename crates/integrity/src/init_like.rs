//! Matrices that look as if training never touched them.

use weightscope_core::{Finding, Kind, Report, Severity, Verdicts, WeightRecord};

use crate::ID;
use crate::values::is_zero;

/// Whether a matrix looks like random initialisation: kurtosis between uniform and normal, no row or column
/// norm apart from the rest, and no direction above what random values have.
///
/// `None` when the first two hold and the spectrum was not measured: they alone also pass many lightly
/// trained matrices. Without the first two nothing speaks for it.
fn is_init_like(weight: &WeightRecord) -> Option<bool> {
    let shape = [("distribution", "excess_kurtosis"), (ID, "row_norm_z"), (ID, "column_norm_z")]
        .map(|(analyzer, metric)| weight.number(analyzer, metric));
    let [Some(kurtosis), Some(rows), Some(columns)] = shape else { return Some(false) };
    if !(-1.3..0.2).contains(&kurtosis) || rows >= 6.0 || columns >= 6.0 {
        return Some(false);
    }
    let stable_rank = weight.number("spectral", "stable_rank")?;
    let null = weight.number("spectral", "stable_rank_null")?;
    let short = weight.matrix.map_or(0, |[out, input]| out.min(input)) as f64;
    Some(stable_rank / null > 1.0 - 2.5 * short.powf(-2.0 / 3.0))
}

/// Matrices large enough to tell.
fn judged(report: &Report) -> impl Iterator<Item = &WeightRecord> {
    report.weights.iter().filter(|w| w.kind() == Kind::Matrix && w.is_statistical() && !is_zero(w))
}

/// Share of the judged matrices other than `weight`'s role that may be only initialised.
pub(crate) fn share_of_others(report: &Report, weight: &WeightRecord) -> f64 {
    let others: Vec<_> =
        judged(report).filter(|w| w.role != weight.role).map(is_init_like).collect();
    let init = others.iter().filter(|like| **like != Some(false)).count();
    init as f64 / others.len().max(1) as f64
}

/// One line for each matrix that only the initialisation has seen, unless that is half of the model.
pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let judged: Vec<_> = judged(report).collect();
    let untrained: Vec<_> = judged.iter().filter(|w| is_init_like(w) == Some(true)).collect();
    if untrained.len() * 2 >= judged.len() {
        return;
    }
    for weight in untrained {
        let message = "kurtosis, norms and spectrum are those of random values: training seems not to have touched it";
        let ratio = weight.number("spectral", "stable_rank").unwrap_or(f64::NAN);
        out.push(
            Finding::new("integrity.untrained", Severity::Info, Some(&weight.name), message)
                .metric("stable_rank", ratio)
                .advice("often a pooler or head; fine-tune it before use"),
        );
    }
}
