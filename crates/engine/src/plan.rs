//! What to measure, in which order.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use weightscope_core::{
    Analyzer, ModelGraph, TensorEntry, UnitSpec, Weight, WeightId, summary_scratch, summary_work,
};

use crate::EngineError;

/// Weights to be measured together, by the analyzers that asked for them.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) unit: UnitSpec,
    /// Indices of analyzers, in registry order.
    pub(crate) analyzers: Vec<usize>,
    /// Orders the queue, most first, and is what progress is told in.
    pub(crate) work: u64,
    /// Stored bytes that are read here for the first time.
    pub(crate) stored_bytes: u64,
    /// Peak scratch.
    pub(crate) bytes: u64,
}

/// Which weights a scan covers and the tasks that measure them.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Chosen weights, in model order.
    pub(crate) weights: Vec<WeightId>,
    /// Tasks in model order, with the work of their analyzers alone: see [`arrange`].
    pub(crate) tasks: Vec<Task>,
}

impl Plan {
    pub(crate) fn new(
        graph: &ModelGraph,
        analyzers: &[&dyn Analyzer],
        include: &[String],
        exclude: &[String],
    ) -> Result<Self, EngineError> {
        let (include, exclude) = (globs(include)?, globs(exclude)?);
        let matches = |w: &Weight| {
            (include.is_empty() || include.is_match(&w.name)) && !exclude.is_match(&w.name)
        };
        let mut chosen: Vec<bool> = graph.weights.iter().map(matches).collect();
        // A pair goes by its first name.
        for [base, tuned] in graph.pairing.iter().flat_map(|pairing| &pairing.pairs) {
            let first = chosen.get(base.0 as usize).copied().unwrap_or(false);
            if let Some(flag) = chosen.get_mut(tuned.0 as usize) {
                *flag = first;
            }
        }
        let is_chosen = |id: &WeightId| chosen.get(id.0 as usize).copied().unwrap_or(false);
        let mut units: BTreeMap<UnitSpec, Vec<usize>> = BTreeMap::new();
        for (index, analyzer) in analyzers.iter().enumerate() {
            for unit in analyzer.units(graph) {
                if !unit.weights.is_empty() && unit.weights.iter().all(is_chosen) {
                    units.entry(unit).or_default().push(index);
                }
            }
        }
        let tasks: Vec<Task> = units
            .into_iter()
            .map(|(unit, indices)| {
                let weights = unit.weights.iter().filter_map(|id| graph.weights.get(id.0 as usize));
                let summary = weights.map(summary_scratch).max().unwrap_or(0);
                let costs: Vec<_> = indices
                    .iter()
                    .filter_map(|i| analyzers.get(*i))
                    .map(|a| a.cost(&unit, graph))
                    .collect();
                let scratch = costs.iter().map(|c| c.scratch_bytes).max().unwrap_or(0);
                let work = costs.iter().map(|c| c.work).sum::<f64>() as u64;
                let bytes = summary.saturating_add(scratch);
                Task { unit, analyzers: indices, work, stored_bytes: 0, bytes }
            })
            .collect();
        let weights = rows(graph).into_iter().filter(is_chosen).collect();
        Ok(Self { weights, tasks })
    }
}

/// Weights that have a row in the report: all of a scan, and of a comparison the first of each pair and those without
/// a counterpart.
fn rows(graph: &ModelGraph) -> Vec<WeightId> {
    let Some(pairing) = &graph.pairing else {
        return (0..graph.weights.len() as u32).map(WeightId).collect();
    };
    let firsts = pairing.pairs.iter().map(|[base, _]| *base);
    let mut rows: Vec<WeightId> =
        firsts.chain(pairing.unpaired.iter().map(|unpaired| unpaired.weight)).collect();
    rows.sort_unstable();
    rows
}

/// Adds what the summaries cost and orders the tasks, most work first. Ties keep model order, so that the
/// order is the same every time.
///
/// A weight is read by its own task, or without one by the first that it is a member of. No sum of all
/// tasks' numbers overflows.
pub(crate) fn arrange(tasks: &mut [Task], graph: &ModelGraph, entries: &[TensorEntry]) {
    let most = u64::MAX / tasks.len().max(1) as u64;
    let mut is_read = vec![false; graph.weights.len()];
    for alone in [true, false] {
        for task in tasks.iter_mut().filter(|t| (t.unit.weights.len() == 1) == alone) {
            let mut summaries = 0.0;
            for id in &task.unit.weights {
                let Some(flag) = is_read.get_mut(id.0 as usize).filter(|flag| !**flag) else {
                    continue;
                };
                *flag = true;
                if let Some(weight) = graph.weights.get(id.0 as usize) {
                    // Nothing of a pair is asked of one side alone.
                    if graph.pairing.is_none() {
                        summaries += summary_work(weight);
                    }
                    task.stored_bytes =
                        task.stored_bytes.saturating_add(stored_bytes(weight, entries));
                }
            }
            task.work = task.work.saturating_add(summaries as u64).min(most);
            task.stored_bytes = task.stored_bytes.min(most);
        }
    }
    tasks.sort_by_key(|task| std::cmp::Reverse(task.work));
}

/// Stored size of a weight, which may be a part of a tensor.
fn stored_bytes(weight: &Weight, entries: &[TensorEntry]) -> u64 {
    entries.get(weight.entry.0 as usize).map_or(0, |entry| entry.stored_bytes(weight.elements()))
}

/// Says whether every pattern is a glob, as [`crate::scan`] does before it measures.
///
/// # Errors
/// For the first that is none.
pub fn check_globs(patterns: &[String]) -> Result<(), EngineError> {
    globs(patterns).map(drop)
}

/// Globs on weight names: `*` also matches dots and slashes, `**` means the same.
pub(crate) fn globs(patterns: &[String]) -> Result<GlobSet, EngineError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let bad = |cause: globset::Error| EngineError::Glob {
            pattern: pattern.clone(),
            message: cause.kind().to_string(),
        };
        // Names are no paths: nothing is special but `*`, `?`, `[..]` and `{..}`.
        set.add(GlobBuilder::new(pattern).literal_separator(false).build().map_err(bad)?);
    }
    set.build().map_err(|cause| EngineError::Glob {
        pattern: patterns.join(", "),
        message: cause.kind().to_string(),
    })
}
