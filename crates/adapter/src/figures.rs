//! Pictures: the spectrum of a product, and the norms of all by module and block.

use indexmap::{IndexMap, IndexSet};
use weightscope_core::{Axes, Cells, Figure, FigureData, HeatMap, Key, Report, Series, Ticks};
use weightscope_linalg::spread_ranks;

use crate::ID;
use crate::judge::target;
use crate::measure::Measured;

/// Most points of a curve, and cells of a heat map.
const POINTS: usize = 256;
const CELLS: u64 = 1_000_000;
/// How near the rounding of the factors comes to the smallest value before it is drawn.
const NEAR: f64 = 0.1;

fn figure(id: &'static str, title: &str, axes: Axes, data: FigureData) -> Figure {
    let (id, analyzer) = (Key::Borrowed(id), Key::Borrowed(ID));
    Figure { id, weight: None, analyzer, title: title.to_owned(), axes, data }
}

/// Singular values of a product by rank; none for a zero product.
pub(crate) fn spectrum(found: &Measured) -> Option<Figure> {
    let sigma = &found.sigma;
    sigma.first().filter(|largest| **largest > 0.0)?;
    let positive = |y: f64| (y > 0.0).then_some(y);
    let ranks = spread_ranks(sigma.len(), POINTS);
    let (x, y) =
        ranks.iter().map(|r| (*r as f64, sigma.get(r - 1).copied().and_then(positive))).unzip();
    let mut series = vec![Series { name: "singular values of scale B A".to_owned(), x, y }];
    let least = sigma.iter().rev().copied().find(|s| *s > 0.0).unwrap_or(0.0);
    if found.noise > NEAR * least {
        let x = vec![1.0, sigma.len() as f64];
        let y = vec![positive(found.noise); 2];
        series.push(Series { name: "rounding of the factors".to_owned(), x, y });
    }
    let axes = Axes { log_y: true, ..Axes::new("rank", "singular value") };
    let data = FigureData::Line { series };
    Some(figure("adapter.spectrum", "Singular values of what the adapter adds", axes, data))
}

/// Frobenius norms by module and block; none without blocks.
pub(crate) fn norms(report: &Report) -> Option<Figure> {
    let mut cells: IndexMap<(String, u32), f64> = IndexMap::new();
    for record in &report.weights {
        let norm = record.number(ID, "frobenius_norm");
        let Some((block, norm)) = record.block.zip(norm) else { continue };
        if let Some(target) = target(record) {
            // Of several experts the root of the sum of squares.
            let sum = cells.entry((target.to_owned(), block)).or_default();
            *sum = sum.hypot(norm);
        }
    }
    let targets: IndexSet<&str> = cells.keys().map(|(target, _)| target.as_str()).collect();
    // A block's number comes from a name.
    let blocks = u64::from(cells.keys().map(|(_, block)| *block).max()?) + 1;
    if blocks.saturating_mul(targets.len() as u64) > CELLS || cells.len() < 2 {
        return None;
    }
    let places = targets.iter().flat_map(|target| (0..blocks).map(move |block| (*target, block)));
    let value = |(target, block): (&str, u64)| {
        let block = u32::try_from(block).ok()?;
        cells.get(&(target.to_owned(), block)).copied()
    };
    let map = HeatMap {
        size: [targets.len() as u64, blocks],
        rows: Ticks::Names { names: targets.iter().map(|name| (*name).to_owned()).collect() },
        columns: Ticks::Lines { first: 0, step: 1 },
        pooling: Key::Borrowed(""),
        cells: Cells::values(places.map(|place| value(place).unwrap_or(f64::NAN))),
    };
    let title = "What the adapter adds, by module and block (Frobenius norm)";
    Some(figure("adapter.norms", title, Axes::new("block", "module"), FigureData::Heatmap(map)))
}
