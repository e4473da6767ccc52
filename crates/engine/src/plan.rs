//! What to measure, in which order.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use weightscope_core::{Analyzer, ModelGraph, UnitSpec, WeightId, summary_scratch};

use crate::EngineError;

/// Weights to be measured together, by the analyzers that asked for them.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) unit: UnitSpec,
    /// Indices of analyzers, in registry order.
    pub(crate) analyzers: Vec<usize>,
    /// Orders the queue: most first.
    pub(crate) work: f64,
    /// Peak scratch.
    pub(crate) bytes: u64,
}

/// Which weights a scan covers and the tasks that measure them.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Chosen weights, in model order.
    pub(crate) weights: Vec<WeightId>,
    /// Tasks, most work first. Ties keep model order, so that the order is the same every time.
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
        let chosen: Vec<bool> = graph
            .weights
            .iter()
            .map(|w| {
                (include.is_empty() || include.is_match(&w.name)) && !exclude.is_match(&w.name)
            })
            .collect();
        let is_chosen = |id: &WeightId| chosen.get(id.0 as usize).copied().unwrap_or(false);
        let mut units: BTreeMap<UnitSpec, Vec<usize>> = BTreeMap::new();
        for (index, analyzer) in analyzers.iter().enumerate() {
            for unit in analyzer.units(graph) {
                if !unit.weights.is_empty() && unit.weights.iter().all(is_chosen) {
                    units.entry(unit).or_default().push(index);
                }
            }
        }
        let mut tasks: Vec<Task> = units
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
                let work = costs.iter().map(|c| c.work).sum();
                Task { unit, analyzers: indices, work, bytes: summary.saturating_add(scratch) }
            })
            .collect();
        tasks.sort_by(|a, b| b.work.total_cmp(&a.work));
        let weights = (0..)
            .map(WeightId)
            .zip(&chosen)
            .filter(|(_, chosen)| **chosen)
            .map(|(id, _)| id)
            .collect();
        Ok(Self { weights, tasks })
    }
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
