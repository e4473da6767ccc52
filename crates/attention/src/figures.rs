//! Heads drawn: their mean rows, how alike they are, and the tree of their merges.

use weightscope_core::{
    Axes, Cells, Figure, FigureData, HeatMap, Key, Report, Ticks, Value, Verdicts, WeightRecord,
};

use crate::heads::{Heads, Part};

/// Most columns of a heat map.
const COLUMNS: usize = 256;
/// Most weights whose heads are drawn; the largest models have about 130 blocks with q, k and v each.
const MOST: usize = 400;

fn figure(id: String, title: String, axes: Axes, data: FigureData) -> Figure {
    let id = Key::Owned(id);
    Figure { id, weight: None, analyzer: Key::Borrowed(crate::ID), title, axes, data }
}

fn names(part: &str, count: usize) -> Vec<String> {
    (0..count).map(|head| format!("{part}{head}")).collect()
}

/// The mean rows of a part's heads, one line each.
pub(crate) fn mean_rows(part: &Part, heads: &Heads) -> Figure {
    let width = heads.mean(0).len();
    let step = width.div_ceil(COLUMNS).max(1);
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let values: Vec<f64> =
        (0..heads.count()).flat_map(|head| heads.mean(head).chunks(step).map(mean)).collect();
    let finite = values.iter().filter(|x| x.is_finite());
    let high = finite.fold(0.0, |largest: f64, x| x.abs().max(largest));
    let map = HeatMap {
        size: [heads.count() as u64, width.div_ceil(step) as u64],
        rows: Ticks::Names { names: names(part.name, heads.count()) },
        columns: Ticks::Lines { first: 0, step: step as u64 },
        pooling: Key::Borrowed(if step > 1 { "mean" } else { "" }),
        cells: Cells::levels(&values, [-high, high]),
    };
    figure(
        format!("attention.heads.{}", part.name),
        format!("Mean weight vector of every {} head", part.name),
        Axes::new("input", "head"),
        FigureData::Heatmap(map),
    )
}

/// For every attention projection, how alike its heads are and the tree of their merges.
pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    let with_heads =
        report.weights.iter().filter(|w| w.metric(crate::ID, "head_linkage").is_some());
    for weight in with_heads.take(MOST) {
        let similarity = weight.metric(crate::ID, "head_similarity").map_or(&[][..], Value::items);
        let linkage = weight.metric(crate::ID, "head_linkage").map_or(&[][..], Value::items);
        for (similarity, linkage) in similarity.iter().zip(linkage) {
            if let Some(part) = similarity.get("part").and_then(Value::as_str) {
                out.figures.extend(alike(weight, part, similarity));
                out.figures.extend(tree(weight, part, linkage));
            }
        }
    }
}

fn place(weight: &WeightRecord, part: &str) -> String {
    let stack = weight.stack.map_or_else(String::new, |stack| format!("{stack} "));
    match weight.block {
        Some(block) => format!("{stack}block {block}, {part} heads"),
        None => format!("{}, {part} heads", weight.name),
    }
}

fn alike(weight: &WeightRecord, part: &str, similarity: &Value) -> Option<Figure> {
    let rows = similarity.get("matrix")?.items();
    // A zero head has no cosine.
    let cosine = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
    let values: Vec<f64> = rows.iter().flat_map(|row| row.items().iter().map(cosine)).collect();
    let map = HeatMap {
        size: [rows.len() as u64; 2],
        rows: Ticks::Names { names: names(part, rows.len()) },
        columns: Ticks::Names { names: names(part, rows.len()) },
        pooling: Key::Borrowed(""),
        // One scale for all, so that blocks and checkpoints compare.
        cells: Cells::levels(&values, [-1.0, 1.0]),
    };
    (rows.len() > 1).then(|| {
        figure(
            format!("attention.similarity.{}.{part}", weight.name),
            format!("Cosine of {}", place(weight, part)),
            Axes::new("head", "head"),
            FigureData::Heatmap(map),
        )
    })
}

fn tree(weight: &WeightRecord, part: &str, linkage: &Value) -> Option<Figure> {
    let row = |merge: &Value| {
        let numbers: Option<Vec<f64>> = merge.items().iter().map(Value::as_f64).collect();
        <[f64; 4]>::try_from(numbers?).ok()
    };
    let merges: Vec<[f64; 4]> =
        linkage.get("merges")?.items().iter().map(row).collect::<Option<_>>()?;
    (!merges.is_empty()).then(|| {
        figure(
            format!("attention.linkage.{}.{part}", weight.name),
            format!("Ward linkage of {}", place(weight, part)),
            Axes::new("head", "distance"),
            FigureData::Dendrogram { labels: names(part, merges.len() + 1), merges },
        )
    })
}
