//! Neurons of gated MLPs: gate, up and down together.

use std::collections::BTreeMap;

use weightscope_core::{
    AnalyzeError, ModelGraph, Output, Part, Role, UnitSpec, WeightId, WeightView,
};

use crate::{indices, median, norms};

/// Gate, up and down of every MLP (and every expert) that has all three with matching sizes.
pub(crate) fn units(graph: &ModelGraph) -> Vec<UnitSpec> {
    let mut mlps: BTreeMap<_, [Option<WeightId>; 3]> = BTreeMap::new();
    for (id, weight) in (0..).map(WeightId).zip(&graph.weights) {
        let place = match weight.role {
            Role::MlpGate => 0,
            Role::MlpUp => 1,
            Role::MlpDown => 2,
            _ => continue,
        };
        let is_matrix =
            weight.part == Part::Weight && weight.matrix.is_some() && weight.dtype.is_some();
        if let (true, Some(block)) = (is_matrix, weight.block) {
            // A second one in the same place (an unknown layout) makes the MLP ambiguous; the first stands.
            let mlp = mlps.entry((weight.stack, block, weight.expert)).or_default();
            mlp[place] = mlp[place].or(Some(id));
        }
    }
    let size = |id: WeightId| graph.weights.get(id.0 as usize).and_then(|w| w.matrix);
    mlps.into_values()
        .filter_map(|[gate, up, down]| {
            let (gate, up, down) = (gate?, up?, down?);
            let ([neurons, _], [same, _], [_, input]) = (size(gate)?, size(up)?, size(down)?);
            (neurons == same && neurons == input)
                .then(|| UnitSpec { weights: vec![gate, up, down] })
        })
        .collect()
}

/// `coupled_dead` of one gated MLP.
pub(crate) fn measure(
    [gate, up, down]: [&WeightView<'_>; 3],
    dead: f64,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let (gate, up, down) = (rows(gate)?, rows(up)?, columns(down)?);
    let products: Vec<f64> = gate.iter().zip(&up).zip(&down).map(|((g, u), d)| g * u * d).collect();
    let line = dead * median(&products);
    out.metric("coupled_dead", indices(&products, line));
    Ok(())
}

fn rows(view: &WeightView<'_>) -> Result<Vec<f64>, AnalyzeError> {
    let summary = view.summary()?;
    let stored = summary.norms.as_ref();
    Ok(stored.map_or_else(Vec::new, |n| {
        norms(if view.weight().transposed { &n.columns } else { &n.rows })
    }))
}

fn columns(view: &WeightView<'_>) -> Result<Vec<f64>, AnalyzeError> {
    let summary = view.summary()?;
    let stored = summary.norms.as_ref();
    Ok(stored.map_or_else(Vec::new, |n| {
        norms(if view.weight().transposed { &n.rows } else { &n.columns })
    }))
}
