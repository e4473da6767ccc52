//! Neurons of MLPs: their row of gate and up and their column of down together.

use weightscope_core::{
    AnalyzeError, ModelGraph, Output, Role, UnitSpec, Value, WeightId, WeightView,
};

use crate::{indices, norms, reference};

/// The matrices of every MLP (and every expert): gate, up and down, as far as it has them.
pub(crate) fn units(graph: &ModelGraph) -> Vec<UnitSpec> {
    let mlps = graph.mlps().into_iter();
    let weights = |gate: Option<WeightId>, rest: [WeightId; 2]| gate.into_iter().chain(rest);
    mlps.map(|mlp| UnitSpec { weights: weights(mlp.gate, [mlp.up, mlp.down]).collect() }).collect()
}

/// `coupled_dead` and `collapsed_units` of one MLP, down last.
pub(crate) fn measure(
    views: &[WeightView<'_>],
    dead: f64,
    collapsed: f64,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let Some((down, others)) = views.split_last() else { return Ok(()) };
    let mut products = lines(down, true)?;
    for view in others {
        let rows = lines(view, false)?;
        if view.weight().role == Role::MlpGateUp {
            // Which rows are a neuron's depends on how they are cut.
            let fused = &view.weight().fused;
            let mut places: Vec<Vec<u64>> = Vec::new();
            for part in fused {
                places.push(part.rows.iter().cloned().flatten().collect());
            }
            let fits = |part: &Vec<u64>| part.len() == products.len();
            if places.len() != 2 || !places.iter().all(fits) {
                out.undefined("coupled_dead", "how gate and up are joined is not known");
                out.undefined("collapsed_units", "how gate and up are joined is not known");
                return Ok(());
            }
            for part in places {
                for (product, row) in products.iter_mut().zip(part) {
                    *product *= rows.get(row as usize).copied().unwrap_or(0.0);
                }
            }
        } else {
            products.iter_mut().zip(&rows).for_each(|(product, row)| *product *= row);
        }
    }
    let reference = reference(&products);
    out.metric("coupled_dead", indices(&products, dead * reference));
    let shares: Vec<f64> = products.iter().map(|product| product / reference).collect();
    let found = (reference > 0.0 && reference.is_finite()).then(|| faint(&shares, dead, collapsed));
    out.metric_or("collapsed_units", found, "nine in ten are zero, or norms overflow");
    Ok(())
}

/// Norms of a matrix's rows or columns.
fn lines(view: &WeightView<'_>, of_columns: bool) -> Result<Vec<f64>, AnalyzeError> {
    let summary = view.summary()?;
    let stored = summary.norms.as_ref();
    Ok(stored.map_or_else(Vec::new, |n| {
        norms(if view.weight().transposed == of_columns { &n.rows } else { &n.columns })
    }))
}

/// Those between the lines `dead` and `collapsed` up to the widest step, with the strongest of them and the weakest of
/// the others.
fn faint(shares: &[f64], dead: f64, collapsed: f64) -> Value {
    let mut sorted: Vec<f64> = shares.iter().copied().filter(|share| *share > dead).collect();
    sorted.sort_by(f64::total_cmp);
    let steps = sorted.iter().zip(sorted.iter().skip(1));
    let below = steps.take_while(|(share, _)| **share <= collapsed);
    let widest =
        below.reduce(|best, step| if step.1 / step.0 > best.1 / best.0 { step } else { best });
    let line = widest.map_or(0.0, |(share, _)| *share);
    let hits: Vec<u64> = (0u64..)
        .zip(shares)
        .filter(|(_, share)| **share > dead && **share <= line)
        .map(|(index, _)| index)
        .collect();
    let number = |share: Option<f64>| share.map_or(Value::Null, Value::from);
    Value::map([
        ("count", (hits.len() as u64).into()),
        ("first", hits.iter().take(16).copied().collect()),
        ("strongest", number(widest.map(|(share, _)| *share))),
        ("next", number(widest.map(|(_, next)| *next))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_below_the_widest_step() {
        let told = |shares: &[f64]| {
            let value = faint(shares, 1e-6, 0.05);
            let number = |key| value.get(key).and_then(Value::as_f64);
            (number("count"), number("strongest"), number("next"))
        };
        // Dead ones are another matter, and so are steps above the line.
        let shares = [0.0, 1.0, 0.01, 0.4, 0.02, 0.9, 0.07, 1.2];
        assert_eq!(told(&shares), (Some(2.0), Some(0.02), Some(0.07)));
        assert_eq!(told(&[0.0, 0.3, 1.0]), (Some(0.0), None, None));
        assert_eq!(told(&[]), (Some(0.0), None, None));
    }
}
