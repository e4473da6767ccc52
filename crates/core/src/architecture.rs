//! What the model is made of, drawn, and which of its weights stand for the rest.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use crate::{Axes, Figure, FigureData, Key, Report, Severity, WeightRecord, WeightStatus};

/// Who makes the figures of [`architecture_figures`]: no analyzer.
const MODEL: Key = Key::Borrowed("model");

/// How many weights reports show whole.
pub const PORTRAITS: usize = 60;

/// Parameters by category, and by block over depth.
pub fn architecture_figures(report: &Report) -> Vec<Figure> {
    let categories = report.models.iter().take(1).flat_map(|model| &model.categories);
    let categories: Vec<(String, f64)> =
        categories.map(|c| (c.category.name().to_owned(), c.parameters as f64)).collect();
    let mut blocks: IndexMap<String, f64> = IndexMap::new();
    for weight in report.weights.iter().filter(|w| w.parameters > 0) {
        *blocks.entry(place(weight)).or_default() += weight.parameters as f64;
    }
    let bar = |id: &'static str, title: &str, x: &'static str, bars: Vec<(String, f64)>| {
        let (labels, values) = bars.into_iter().unzip();
        Figure {
            id: Key::Borrowed(id),
            weight: None,
            analyzer: MODEL,
            title: title.to_owned(),
            axes: Axes::new(x, "parameters"),
            data: FigureData::Bar { labels, values },
        }
    };
    vec![
        bar("model.categories", "Parameters by category", "category", categories),
        bar("model.layer_sizes", "Parameters over depth", "block", blocks.into_iter().collect()),
    ]
}

/// Where a weight counts: its tower and block, or outside of all blocks its category.
fn place(weight: &WeightRecord) -> String {
    match (weight.stack, weight.block) {
        (Some(stack), Some(block)) => format!("{stack} {block}"),
        (None, Some(block)) => block.to_string(),
        (_, None) => weight.role.category().name().to_owned(),
    }
}

/// The weights that a report shows whole, in model order, `limit` at most: first those with a warning or
/// worse, then the middle one of every role, then those with any finding.
pub fn portraits(report: &Report, limit: usize) -> Vec<&WeightRecord> {
    let places: IndexMap<&str, usize> =
        report.weights.iter().enumerate().map(|(i, w)| (w.name.as_str(), i)).collect();
    let found = |least: Severity| {
        let findings = report.findings.iter().filter(move |f| f.severity >= least);
        findings.filter_map(|f| places.get(f.weight.as_deref()?).copied())
    };
    let mut roles: IndexMap<_, Vec<usize>> = IndexMap::new();
    for (index, weight) in report.weights.iter().enumerate().filter(|(_, w)| w.parameters > 0) {
        let role = (weight.role, weight.part, weight.stack, weight.expert.is_some());
        roles.entry(role).or_default().push(index);
    }
    let middles = roles.values().filter_map(|members| members.get(members.len() / 2).copied());
    let mut chosen = BTreeSet::new();
    for index in found(Severity::Warning).chain(middles).chain(found(Severity::Info)) {
        let measured = report.weights.get(index).is_some_and(|w| w.status == WeightStatus::Ok);
        if measured && chosen.len() < limit {
            chosen.insert(index);
        }
    }
    chosen.into_iter().filter_map(|index| report.weights.get(index)).collect()
}
