//! How much the weights of each output unit vary, and how that changes with depth.

use weightscope_core::stats::{Norms, quantile_sorted};
use weightscope_core::{
    Axes, BoxStatistics, Figure, FigureData, Key, Part, Report, Series, Value, Verdicts,
    WeightRecord, sibling_groups,
};

/// Bins of the histogram.
const BINS: usize = 24;
/// Most boxes in one figure.
const BOXES: usize = 256;
const METRIC: &str = "row_variance";

/// Quartiles, whiskers and histogram of the variances of the rows of the matrix `[out, in]`; `None` when some
/// variance is no finite number.
pub(crate) fn measure(norms: &Norms, [out, input]: [u64; 2], transposed: bool) -> Option<Value> {
    let (sums, squares) = if transposed {
        (&norms.column_sums, &norms.columns)
    } else {
        (&norms.row_sums, &norms.rows)
    };
    let n = input as f64;
    let variance = |(sum, squares): (&f64, &f64)| {
        let mean = sum / n;
        // Rounding may leave a tiny negative one where all values are equal.
        (squares / n - mean * mean).max(0.0)
    };
    let mut variances: Vec<f64> = sums.iter().zip(squares).map(variance).collect();
    if variances.len() as u64 != out || !variances.iter().all(|v| v.is_finite()) {
        return None;
    }
    variances.sort_by(f64::total_cmp);
    let [q25, median, q75] = [0.25, 0.5, 0.75].map(|p| quantile_sorted(&variances, p));
    let (q25, median, q75) = (q25?, median?, q75?);
    let reach = 1.5 * (q75 - q25);
    // Quartiles lie between values: the outermost one within reach may be inside of the box.
    let low = variances.iter().copied().find(|v| *v >= q25 - reach)?.min(q25);
    let high = variances.iter().copied().rfind(|v| *v <= q75 + reach)?.max(q75);
    let (first, last) = (variances.first().copied()?, variances.last().copied()?);
    let width = (last - first) / BINS as f64;
    let mut counts = [0u64; BINS];
    for variance in &variances {
        let bin = if width > 0.0 { ((variance - first) / width) as usize } else { 0 };
        if let Some(count) = counts.get_mut(bin.min(BINS - 1)) {
            *count += 1;
        }
    }
    Some(Value::map([
        ("quartiles", [q25, median, q75].into_iter().collect()),
        ("whiskers", [low, high].into_iter().collect()),
        (
            "histogram",
            Value::map([
                ("low", first.into()),
                ("width", width.into()),
                ("counts", counts.into_iter().collect()),
            ]),
        ),
    ]))
}

/// For every role, boxes and densities of the row variances over depth.
pub(crate) fn judge(report: &Report, out: &mut Verdicts) {
    for group in sibling_groups(report) {
        let values: Vec<(String, &Value)> = group
            .members
            .iter()
            .filter_map(|w| Some((label(w)?, w.metric("distribution", METRIC)?)))
            .collect();
        if group.part != Part::Weight || !(2..=BOXES).contains(&values.len()) {
            continue;
        }
        let scope = group.scope();
        let figure = |kind: &str, data| Figure {
            id: Key::Owned(format!("distribution.row_variance.{kind}.{}", scope.replace(' ', "."))),
            weight: None,
            analyzer: Key::Borrowed("distribution"),
            title: format!("Variance of the output units of {scope} over depth"),
            axes: Axes::new("block", "row variance"),
            data,
        };
        let boxes = values.iter().filter_map(|(name, v)| boxed(name, v)).collect();
        out.figure(figure("box", FigureData::Box { boxes }));
        let series = values.iter().filter_map(|(name, v)| density(name, v)).collect();
        out.figure(figure("violin", FigureData::Violin { series }));
    }
}

/// The block, and of cross attention and experts what tells them apart.
fn label(weight: &WeightRecord) -> Option<String> {
    let block = weight.block?;
    Some(weight.expert.map_or_else(|| block.to_string(), |expert| format!("{block}#{expert}")))
}

fn numbers(value: &Value, key: &str) -> Option<Vec<f64>> {
    value.get(key)?.items().iter().map(Value::as_f64).collect()
}

fn boxed(name: &str, value: &Value) -> Option<BoxStatistics> {
    let (quartiles, whiskers) = (numbers(value, "quartiles")?, numbers(value, "whiskers")?);
    let ([q25, median, q75], [low, high]) = (quartiles.as_slice(), whiskers.as_slice()) else {
        return None;
    };
    Some(BoxStatistics { name: name.to_owned(), five: [*low, *q25, *median, *q75, *high] })
}

/// Bin centres against the share of rows in the bin.
fn density(name: &str, value: &Value) -> Option<Series> {
    let histogram = value.get("histogram")?;
    let (low, width) = (histogram.get("low")?.as_f64()?, histogram.get("width")?.as_f64()?);
    let counts = numbers(histogram, "counts")?;
    let all: f64 = counts.iter().sum();
    let x = (0..counts.len()).map(|bin| low + width * (bin as f64 + 0.5)).collect();
    Some(Series { name: name.to_owned(), x, y: counts.iter().map(|c| Some(c / all)).collect() })
}
