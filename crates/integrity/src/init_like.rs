//! Matrices that look as if training never touched them.

use std::collections::BTreeMap;

use weightscope_core::{
    Finding, Kind, Part, Report, Role, Severity, Stack, Verdicts, WeightRecord, without_numbers,
};

use crate::ID;
use crate::values::{is_constant, is_zero};

/// Fewest matrices that tell a whole model, and share of them that must look initialised; the rest may be beyond the
/// line by chance, and none clearly.
const FEWEST: usize = 4;
const WHOLE: f64 = 0.9;
/// A matrix is clearly trained when it is so many times as far from random as the line.
const CLEAR: f64 = 1.5;
/// A token embedding is trained when its stable rank is so many times as far from random as the line.
const CLEAR_TABLE: f64 = 3.0;

/// How far a matrix is from random initialisation, in units of the line for each sign of training: kurtosis between
/// uniform and normal, no row or column norm apart from the rest, and no direction above what random values have.
/// Up to 1 looks initialised.
///
/// `None` when the first ones speak for it and the spectrum was not measured: they alone also pass many lightly
/// trained matrices. Without them nothing speaks for it.
fn distance(weight: &WeightRecord) -> Option<f64> {
    let shape = [("distribution", "excess_kurtosis"), (ID, "row_norm_z"), (ID, "column_norm_z")]
        .map(|(analyzer, metric)| weight.number(analyzer, metric));
    let [Some(kurtosis), Some(rows), Some(columns)] = shape else { return Some(f64::INFINITY) };
    if kurtosis < -1.3 {
        return Some(f64::INFINITY);
    }
    let values = (kurtosis / 0.2).max(rows / 6.0).max(columns / 6.0);
    match spectrum(weight) {
        Some(spectrum) => Some(values.max(spectrum)),
        None => (values > 1.0).then_some(values),
    }
}

/// The same of the spectrum alone.
fn spectrum(weight: &WeightRecord) -> Option<f64> {
    let stable_rank = weight.number("spectral", "stable_rank")?;
    let null = weight.number("spectral", "stable_rank_null")?;
    let short = weight.matrix.map_or(0, |[out, input]| out.min(input)) as f64;
    Some((1.0 - stable_rank / null) / (2.5 * short.powf(-2.0 / 3.0)))
}

/// How many norms are not as initialisation leaves them, where the token embedding is not either: what is around the
/// matrices was trained.
fn surroundings(report: &Report) -> usize {
    let is_trained = |w: &&WeightRecord| {
        w.role == Role::TokenEmbedding && spectrum(w).is_some_and(|d| d >= CLEAR_TABLE)
    };
    if !report.weights.iter().any(|w| is_trained(&w)) {
        return 0;
    }
    let gains = report.weights.iter().filter(|w| w.role == Role::Norm && w.part == Part::Weight);
    gains.filter(|w| !is_constant(w)).count()
}

fn is_init_like(weight: &WeightRecord) -> Option<bool> {
    distance(weight).map(|distance| distance <= 1.0)
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

pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let judged: Vec<(&WeightRecord, Option<f64>)> =
        judged(report).map(|weight| (weight, distance(weight))).collect();
    let like = |distance: Option<f64>| distance.is_some_and(|distance| distance <= 1.0);
    let untrained = judged.iter().filter(|(_, distance)| like(*distance)).count();
    let clear = judged.iter().any(|(_, distance)| distance.is_some_and(|d| d >= CLEAR));
    if judged.len() >= FEWEST && !clear && untrained as f64 >= WHOLE * judged.len() as f64 {
        match surroundings(report) {
            0 => whole(untrained, judged.len(), out),
            norms => anew(&judged, norms, out),
        }
        return;
    }
    if untrained * 2 >= judged.len() {
        return;
    }
    let told = blocks(report, &judged, out);
    single(&judged, &told, out);
}

/// A model that was only initialised.
fn whole(untrained: usize, all: usize, out: &mut Verdicts) {
    let which = if untrained == all { "all".to_owned() } else { format!("{untrained} of") };
    let message = format!(
        "this model was never trained: {which} {all} matrices have the values, norms and spectrum of a random initialisation"
    );
    out.push(
        Finding::new("integrity.untrained", Severity::Info, None, message)
            .metric("matrices", untrained as f64)
            .advice("if it should be trained, the weights were lost: loading with other names leaves the initial values in place"),
    );
}

/// Matrices that were initialised anew in a trained model.
fn anew(judged: &[(&WeightRecord, Option<f64>)], norms: usize, out: &mut Verdicts) {
    let message = format!(
        "all {} matrices of the blocks have the values, norms and spectrum of a random initialisation, and the token embedding and {norms} norms were trained: the blocks were initialised anew",
        judged.len()
    );
    out.push(
        Finding::new("integrity.reinitialised", Severity::Warning, None, message)
            .metric("matrices", judged.len() as f64)
            .weights(judged.iter().map(|(weight, _)| weight.name.as_str()))
            .advice("reload them from their source: loading with other names leaves the initial values in place"),
    );
}

/// Blocks that look initialised as a whole among others that were trained; returns the names of their weights.
fn blocks<'a>(
    report: &Report,
    judged: &[(&'a WeightRecord, Option<f64>)],
    out: &mut Verdicts,
) -> Vec<&'a str> {
    type Place = (Option<Stack>, u32);
    let mut blocks: BTreeMap<Place, Vec<(&WeightRecord, Option<f64>)>> = BTreeMap::new();
    for (weight, distance) in judged {
        if let Some(block) = weight.block {
            blocks.entry((weight.stack, block)).or_default().push((weight, *distance));
        }
    }
    let is_fresh = |members: &[(&WeightRecord, Option<f64>)]| {
        members.len() >= 3 && members.iter().all(|(_, d)| d.is_some_and(|d| d <= 1.0))
    };
    let fresh = blocks.values().filter(|members| is_fresh(members)).count();
    let mut told = Vec::new();
    if fresh == 0 || fresh * 2 >= blocks.len() {
        return told;
    }
    for ((stack, block), members) in blocks.iter().filter(|(_, members)| is_fresh(members)) {
        let names: Vec<&str> = members.iter().map(|(weight, _)| weight.name.as_str()).collect();
        let message = format!(
            "block {block} looks freshly initialised: all {} of its matrices have the values, norms and spectrum of random ones, and those of {} other blocks were trained",
            names.len(),
            blocks.len() - fresh
        );
        // Its norms and biases were reset with it.
        let vectors = report.weights.iter().filter(|w| {
            (w.stack, w.block) == (*stack, Some(*block))
                && w.kind() == Kind::Vector
                && is_constant(w)
        });
        let whole = names.iter().copied().chain(vectors.map(|w| w.name.as_str()));
        out.push(
            Finding::new("integrity.reinitialised", Severity::Warning, None, message)
                .metric("matrices", names.len() as f64)
                .weights(whole)
                .advice("reload the block from its source, unless it was added on purpose and is to be trained"),
        );
        told.extend(names);
    }
    told
}

/// Single matrices that only the initialisation has seen, where everything like them is clearly trained.
fn single(judged: &[(&WeightRecord, Option<f64>)], told: &[&str], out: &mut Verdicts) {
    let clear = |distance: &Option<f64>| distance.is_some_and(|distance| distance >= CLEAR);
    let patterns: Vec<String> = judged.iter().map(|(w, _)| without_numbers(&w.name)).collect();
    for (index, (weight, distance)) in judged.iter().enumerate() {
        let is_like = distance.is_some_and(|distance| distance <= 1.0);
        // Queries and keys may learn directions without leaving a trace in these numbers.
        let is_shy = matches!(weight.role, Role::AttentionQ | Role::AttentionK);
        if !is_like || is_shy || told.contains(&weight.name.as_str()) {
            continue;
        }
        let others = || judged.iter().enumerate().filter(|(other, _)| *other != index);
        let siblings: Vec<&Option<f64>> = others()
            .filter(|(other, _)| patterns.get(*other) == patterns.get(index))
            .map(|(_, (_, distance))| distance)
            .collect();
        if siblings.len() < 2 || !siblings.iter().all(|distance| clear(distance)) {
            continue;
        }
        let message = format!(
            "kurtosis, norms and spectrum are those of random values, and those of its {} siblings are not: it looks initialised anew, or never trained",
            siblings.len()
        );
        let ratio = weight.number("spectral", "stable_rank").unwrap_or(f64::NAN);
        out.push(
            Finding::new("integrity.untrained", Severity::Warning, Some(&weight.name), message)
                .metric("stable_rank", ratio)
                .advice("reload it from its source, or train it: loading with other names leaves initial values in place"),
        );
    }
}
