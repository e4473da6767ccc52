//! The exact cosine of weights whose sketches say that one is a copy of the other.

use std::collections::HashMap;

use weightscope_core::{
    AnalyzeError, Analyzer, Axis, Descriptor, ModelGraph, Output, Parameters, Unit, UnitSpec,
    Value, WeightId, WeightRecord,
};

use crate::duplicates;

/// Values of both that are compared at a time.
const PART: u64 = 1 << 18;

/// Follows up on what the sketches say: they are of a few rows, and one heavy column makes them alike.
#[derive(Debug)]
pub(crate) struct Copies {
    pairs: Vec<[WeightId; 2]>,
}

impl Copies {
    /// The pairs to be looked at; `None` without any.
    pub(crate) fn of(
        graph: &ModelGraph,
        weights: &[&WeightRecord],
        parameters: &Parameters,
    ) -> Option<Self> {
        if graph.pairing.is_some() {
            return None;
        }
        let places: HashMap<&str, WeightId> = (0..)
            .map(WeightId)
            .zip(&graph.weights)
            .map(|(id, weight)| (weight.name.as_str(), id))
            .collect();
        let id = |weight: &WeightRecord| places.get(weight.name.as_str()).copied();
        let pairs: Vec<[WeightId; 2]> = duplicates::alike(weights, parameters)
            .into_iter()
            .filter_map(|(copy, original, _)| Some([id(copy)?, id(original)?]))
            .collect();
        (!pairs.is_empty()).then_some(Self { pairs })
    }
}

impl Analyzer for Copies {
    fn descriptor(&self) -> &Descriptor {
        &crate::DESCRIPTOR
    }

    fn units(&self, _: &ModelGraph) -> Vec<UnitSpec> {
        self.pairs.iter().map(|pair| UnitSpec { weights: pair.to_vec() }).collect()
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let [copy, original] = unit.views() else { return Ok(()) };
        let [rows, columns] = copy.size();
        if original.size() != [rows, columns] {
            return Ok(());
        }
        let step = (PART / columns.max(1)).clamp(1, rows.max(1));
        let [mut a, mut b] = [(); 2].map(|()| vec![0f64; (step * columns) as usize]);
        let (mut product, mut first, mut second) = (0.0, 0.0, 0.0);
        for start in (0..rows).step_by(step as usize) {
            let part = start..rows.min(start + step);
            let count = ((part.end - part.start) * columns) as usize;
            copy.panel(Axis::Rows, part.clone(), &mut a[..count])?;
            original.panel(Axis::Rows, part, &mut b[..count])?;
            for (x, y) in a[..count].iter().zip(&b[..count]) {
                product += x * y;
                first += x * x;
                second += y * y;
            }
            unit.advance(0.0)?;
        }
        let cosine = product / (first * second).sqrt();
        if cosine.is_finite() {
            out.metric(
                "closest",
                Value::map([
                    ("weight", Value::Text(original.weight().name.clone())),
                    ("cosine", Value::Number(cosine)),
                ]),
            );
        } else {
            out.undefined("closest", "one of the two is zero");
        }
        Ok(())
    }
}
