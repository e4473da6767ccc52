//! Figures that take another look at the values of a few weights.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;
use weightscope_core::{
    Analyzer, Cancel, ErrorRecord, Figure, Key, ModelGraph, Output, Report, Shared, TensorSource,
    Unit, Weight, WeightView, portraits,
};

use crate::scan::{panic_text, tensor_error};

/// What a portrait needs to be drawn from.
pub(crate) struct Studio<'a> {
    pub(crate) source: &'a dyn TensorSource,
    pub(crate) graph: &'a ModelGraph,
    pub(crate) analyzers: &'a [&'a dyn Analyzer],
    pub(crate) cancel: &'a Cancel,
}

impl Studio<'_> {
    /// Adds the figures of the weights that the report shows whole, `limit` at most, in model order. Runs on
    /// the pool it is called in; stops early when the run is being stopped.
    pub(crate) fn portray(&self, report: &mut Report, limit: usize) {
        let by_name: BTreeMap<(&str, &str), &Weight> = self
            .graph
            .weights
            .iter()
            .map(|w| ((w.source_tensor.as_str(), w.name.as_str()), w))
            .collect();
        let chosen: Vec<&Weight> = portraits(report, limit)
            .into_iter()
            .filter_map(|w| by_name.get(&(w.source_tensor.as_str(), w.name.as_str())).copied())
            .collect();
        let parameters = &report.settings.parameters;
        let drawn: Vec<(Vec<Figure>, Vec<ErrorRecord>)> = chosen
            .par_iter()
            .map(|weight| {
                let shared = Shared::default();
                let view = WeightView::new(weight, self.source, &shared, self.cancel);
                let (mut figures, mut errors) = (Vec::new(), Vec::new());
                for analyzer in self.analyzers.iter().filter(|_| !self.cancel.is_cancelled()) {
                    let id = analyzer.descriptor().id;
                    let Some(unit) = Unit::new(vec![view], id, parameters) else { continue };
                    let mut output = Output::default();
                    let drawing = AssertUnwindSafe(|| analyzer.portray(&unit, &mut output));
                    let error = |code, message| tensor_error(&weight.name, Some(id), code, message);
                    match catch_unwind(drawing) {
                        Ok(Ok(())) => {
                            figures.extend(output.figures.into_iter().map(|figure| Figure {
                                weight: Some(weight.name.clone()),
                                analyzer: Key::Borrowed(id),
                                ..figure
                            }));
                        }
                        Ok(Err(cause)) => errors.push(error(cause.code(), cause.to_string())),
                        Err(panic) => {
                            let text = panic_text(panic.as_ref());
                            errors.push(error(
                                "panic",
                                format!("internal error while drawing: {text}"),
                            ));
                        }
                    }
                }
                (figures, errors)
            })
            .collect();
        // Figures of weights come first, those of the whole model after them, also when it is judged anew.
        let place = report.figures.iter().position(|figure| figure.weight.is_none());
        let mut whole = report.figures.split_off(place.unwrap_or(report.figures.len()));
        for (figures, errors) in drawn {
            report.figures.extend(figures);
            report.errors.extend(errors);
        }
        report.figures.append(&mut whole);
    }
}
