//! The quantization section: every scheme over the whole model and over each role, in words.

use serde::Serialize;
use weightscope_core::Report;

use crate::schemes::{self, Group};

#[derive(Debug, Serialize)]
pub(crate) struct Schemes {
    title: &'static str,
    note: String,
    roles: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// Bits, lowest, median and worst excess.
    cells: Vec<String>,
    /// The weight that loses most, and its index.
    lowest: Option<(String, usize)>,
    /// The median of each role and its colour.
    roles: Vec<(String, Option<usize>)>,
}

/// Decibels at which the next deeper colour begins.
const COLOURS: [f64; 7] = [10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0];

const NOTHING: &str = "–";

/// `None` when no weight has schemes.
pub(crate) fn schemes(report: &Report) -> Option<Schemes> {
    let summary = schemes::summary(report)?;
    let role = |group: &Group| {
        let Some(db) = group.median() else { return (NOTHING.to_owned(), None) };
        let colour = COLOURS.iter().filter(|least| db >= **least).count();
        (schemes::cell(db), Some(colour))
    };
    let row = |scheme: &schemes::Scheme<'_>| {
        let cells = scheme.cells().into_iter();
        let lowest = scheme
            .lowest
            .and_then(|(_, place)| Some((report.weights.get(place)?.name.clone(), place)));
        Row {
            name: scheme.name.to_owned(),
            cells: cells.map(|cell| cell.unwrap_or_else(|| NOTHING.to_owned())).collect(),
            lowest,
            roles: scheme.roles.iter().map(role).collect(),
        }
    };
    Some(Schemes {
        title: schemes::TITLE,
        note: summary.note(),
        rows: summary.schemes.iter().map(row).collect(),
        roles: summary.roles,
    })
}
