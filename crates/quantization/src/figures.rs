//! Pictures: the schemes of one weight, its channels, and schemes over depth.

use std::collections::{BTreeMap, BTreeSet};

use weightscope_core::{Axes, Figure, FigureData, Key, Report, Series, Value, Verdicts};

use crate::ID;
use crate::measure::SchemeErrors;
use crate::record::sqnr_db;

/// Channels that are drawn one by one; of more, the largest of every so many.
const POINTS: usize = 1024;

fn figure(id: &'static str, title: &str, axes: Axes, data: FigureData) -> Figure {
    let (id, analyzer) = (Key::Borrowed(id), Key::Borrowed(ID));
    Figure { id, weight: None, analyzer, title: title.to_owned(), axes, data }
}

/// Signal-to-noise ratio of every scheme that loses something.
pub(crate) fn schemes(rows: &[SchemeErrors], energy: f64) -> Figure {
    let lossy = rows.iter().filter_map(|row| Some((row.scheme.name, sqnr_db(row, energy)?)));
    let (labels, values): (Vec<_>, Vec<_>) = lossy.map(|(name, db)| (name.to_owned(), db)).unzip();
    let data = FigureData::Bar { labels, values };
    figure(
        "quantization.schemes",
        "Signal to noise of every scheme",
        Axes::new("scheme", "dB"),
        data,
    )
}

/// Largest magnitude of every output unit.
pub(crate) fn channels(abs_max: &[f32]) -> Option<Figure> {
    let step = abs_max.len().div_ceil(POINTS).max(1);
    if abs_max.len() < 2 {
        return None;
    }
    let points = abs_max.chunks(step).map(|part| part.iter().copied().fold(0.0, f32::max));
    let (x, y): (Vec<f64>, Vec<Option<f64>>) =
        points.enumerate().map(|(i, y)| ((i * step) as f64, Some(f64::from(y)))).unzip();
    let series = vec![Series { name: "largest magnitude".to_owned(), x, y }];
    let title = if step == 1 {
        "Largest magnitude of every output unit".to_owned()
    } else {
        format!("Largest magnitude of every {step} output units")
    };
    let axes = Axes::new("output unit", "weight");
    Some(figure("quantization.channels", &title, axes, FigureData::Line { series }))
}

/// A scheme's signal-to-noise ratio in a saved record.
pub(crate) fn saved_db(weight: &weightscope_core::WeightRecord, scheme: &str) -> Option<f64> {
    saved(weight, scheme)?.get("sqnr_db")?.as_f64()
}

/// A scheme's row in a saved record.
pub(crate) fn saved<'a>(
    weight: &'a weightscope_core::WeightRecord,
    scheme: &str,
) -> Option<&'a Value> {
    let rows = weight.metric(ID, "schemes")?.items();
    rows.iter().find(|row| row.get("scheme").and_then(Value::as_str) == Some(scheme))
}

/// Schemes that are followed over depth, one of a kind.
const FOLLOWED: [&str; 5] =
    ["int8_channel", "fp8_e4m3_channel", "int4_g128", "nf4_b64", "gguf_q4_0"];

/// The weakest matrix of every block, by scheme.
pub(crate) fn of_model(report: &Report, out: &mut Verdicts) {
    // Those that there are: a number in a name may be any.
    let blocks: BTreeSet<u32> = report.weights.iter().filter_map(|w| w.block).collect();
    if blocks.len() < 2 {
        return;
    }
    let line = |scheme: &&str| {
        let mut weakest: BTreeMap<u32, Option<f64>> = blocks.iter().map(|b| (*b, None)).collect();
        for weight in report.weights.iter().filter(|w| w.is_statistical()) {
            let (Some(block), Some(db)) = (weight.block, saved_db(weight, scheme)) else {
                continue;
            };
            if let Some(place) = weakest.get_mut(&block) {
                *place = Some(place.map_or(db, |least| least.min(db)));
            }
        }
        let (x, y) = weakest.into_iter().map(|(block, db)| (f64::from(block), db)).unzip();
        Series { name: (*scheme).to_owned(), x, y }
    };
    let series: Vec<Series> = FOLLOWED.iter().map(line).collect();
    if series.iter().any(|s| s.y.iter().any(Option::is_some)) {
        let axes = Axes::new("block", "dB");
        let title = "Signal to noise of the weakest matrix of every block";
        let data = FigureData::Line { series };
        out.figures.push(figure("quantization.depth", title, axes, data));
    }
}
