//! One weight, or a window of it, drawn exactly.

use std::ops::Range;

use weightscope_core::{
    AnalyzeError, Analyzer, Axes, Cells, Figure, FigureData, HeatMap, Key, Layout, ModelGraph,
    Output, Role, Series, Settings, Shared, Status, Ticks, Weight, WeightView,
};
use weightscope_engine::{EngineError, RunOptions, scan};
use weightscope_linalg::Watch;
use weightscope_load::Checkpoint;

use crate::Registry;
use crate::registry::nearest;

/// Most entries of an exact heat map, and values of traces together.
pub const MOST_EXACT: u64 = 1 << 20;

/// What to draw.
#[derive(Clone, Debug, Default)]
pub struct PlotRequest {
    /// The weight's name, or an end of it that only one weight has.
    pub weight: String,
    /// `heatmap`, `trace`, `pca`, or a figure that an analyzer makes: its id (`spectral.spectrum`), the word after
    /// its analyzer (`spectrum`, `histogram`), or the analyzer for all of its figures.
    pub figure: String,
    /// Only these rows (output units) of the matrix `[out, in]`; an end of `u64::MAX` is the last one.
    pub rows: Option<Range<u64>>,
    /// Only these columns (input features).
    pub columns: Option<Range<u64>>,
    /// Columns that `trace` follows over the rows, as numbered in the whole matrix; three evenly spaced ones
    /// when empty.
    pub dims: Vec<u64>,
}

/// Why nothing was drawn.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// No weight has that name.
    #[error("no weight is called \"{name}\"{}", .nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean \"{n}\"?")))]
    NoWeight {
        /// What was asked for.
        name: String,
        /// The name most like it.
        nearest: Option<String>,
    },
    /// Several weights end like that.
    #[error("{count} weights end in \"{name}\", {first} among them")]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// The window does not lie in the matrix.
    #[error("{axis} {}:{} of {weight}, which has {size}", .range.start, .range.end)]
    Window {
        /// `rows` or `columns`.
        axis: &'static str,
        /// What was asked for.
        range: Range<u64>,
        /// The weight.
        weight: String,
        /// How many there are.
        size: u64,
    },
    /// An exact drawing of so many values would fit no page.
    #[error(
        "{values} values of {weight} are more than {MOST_EXACT}, which a page can show: choose a window"
    )]
    TooLarge {
        /// How many there would be.
        values: u64,
        /// The weight.
        weight: String,
    },
    /// No analyzer draws that of this weight.
    #[error("no figure \"{figure}\" of {weight}; there are: {known}")]
    NoFigure {
        /// What was asked for.
        figure: String,
        /// The weight.
        weight: String,
        /// What can be drawn of it.
        known: String,
    },
    /// The weight cannot be measured.
    #[error("{weight}: {message}")]
    Failed {
        /// The weight.
        weight: String,
        /// Why.
        message: String,
    },
    /// The measuring could not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Figures of one weight, as [`PlotRequest`] says: one, or a few that belong together.
///
/// Entries of a heat map and points of a trace are exact. Of a weight that is too large for that, `heatmap`
/// without a window gives the pooled picture that reports show.
///
/// # Errors
/// [`PlotError`].
pub fn plot(
    checkpoint: &Checkpoint,
    graph: &ModelGraph,
    registry: &Registry,
    request: &PlotRequest,
    options: &RunOptions,
) -> Result<Vec<Figure>, PlotError> {
    let whole = find(graph, &request.weight)?;
    let weight = window(whole, request)?;
    let failed = |error: &AnalyzeError| PlotError::Failed {
        weight: weight.name.clone(),
        message: error.to_string(),
    };
    let shared = Shared::default();
    let view = WeightView::new(&weight, checkpoint, &shared, &options.cancel);
    let [out, input] = view.size();
    let has_window = request.rows.is_some() || request.columns.is_some();
    let first = [&request.rows, &request.columns].map(|r| r.as_ref().map_or(0, |r| r.start));
    match request.figure.as_str() {
        "heatmap" if out.saturating_mul(input) <= MOST_EXACT => {
            Ok(vec![heat_map(&view, first).map_err(|e| failed(&e))?])
        }
        "heatmap" if has_window => {
            Err(PlotError::TooLarge { values: out.saturating_mul(input), weight: weight.name })
        }
        "trace" => {
            let whole = whole.matrix.map_or(input, |[_, columns]| columns);
            let dims = dims(request, first[1]..first[1] + input, whole, &weight.name)?;
            let values = out.saturating_mul(dims.len() as u64);
            if values > MOST_EXACT {
                return Err(PlotError::TooLarge { values, weight: weight.name });
            }
            Ok(vec![traces(&view, first, &dims).map_err(|e| failed(&e))?])
        }
        "pca" | "explained_variance" | "scores" => {
            let mut output = Output::default();
            let monitor = Watch(|| 1, |_| !options.cancel.is_cancelled());
            weightscope_pca::measure(&view, &monitor, &mut output).map_err(|e| failed(&e))?;
            if let Some((_, why)) = output.undefined.first().filter(|_| output.figures.is_empty()) {
                return Err(PlotError::Failed { weight: weight.name, message: why.clone() });
            }
            choose(output.figures, &request.figure, &weight)
        }
        _ => {
            choose(of_analyzers(checkpoint, &weight, registry, options)?, &request.figure, &weight)
        }
    }
}

fn find<'a>(graph: &'a ModelGraph, name: &str) -> Result<&'a Weight, PlotError> {
    if let Some(weight) = graph.weights.iter().find(|w| w.name == name) {
        return Ok(weight);
    }
    let ends: Vec<&Weight> =
        graph.weights.iter().filter(|w| !name.is_empty() && w.name.ends_with(name)).collect();
    match ends.as_slice() {
        [weight] => Ok(weight),
        [] => Err(PlotError::NoWeight {
            name: name.to_owned(),
            nearest: nearest(name, graph.weights.iter().map(|w| w.name.as_str())),
        }),
        [first, ..] => Err(PlotError::Ambiguous {
            name: name.to_owned(),
            count: ends.len(),
            first: first.name.clone(),
        }),
    }
}

/// The part of a weight that is asked for, as a weight.
fn window(weight: &Weight, request: &PlotRequest) -> Result<Weight, PlotError> {
    let stored = [weight.layout.rows(), weight.layout.columns()];
    let [out, input] = if weight.transposed { [stored[1], stored[0]] } else { stored };
    let check = |axis, range: &Option<Range<u64>>, size: u64| match range {
        Some(range) if range.end == u64::MAX && range.start < size => Ok(range.start..size),
        Some(range) if range.start >= range.end || range.end > size => {
            Err(PlotError::Window { axis, range: range.clone(), weight: weight.name.clone(), size })
        }
        Some(range) => Ok(range.clone()),
        None => Ok(0..size),
    };
    let rows = check("rows", &request.rows, out)?;
    let columns = check("columns", &request.columns, input)?;
    if (&rows, &columns) == (&(0..out), &(0..input)) {
        return Ok(weight.clone());
    }
    let (stored_rows, stored_columns) =
        if weight.transposed { (&columns, &rows) } else { (&rows, &columns) };
    let sides = |range: &Range<u64>| range.end - range.start;
    let start = weight.layout.column_range.start;
    Ok(Weight {
        shape: vec![sides(stored_rows), sides(stored_columns)],
        layout: Layout {
            stored_columns: weight.layout.stored_columns,
            row_ranges: cut(&weight.layout.row_ranges, stored_rows),
            column_range: start + stored_columns.start..start + stored_columns.end,
        },
        matrix: weight.matrix.map(|_| [sides(&rows), sides(&columns)]),
        // A window cuts through heads.
        heads: None,
        fused: Vec::new(),
        from_one: false,
        factor: None,
        ..weight.clone()
    })
}

/// Lines `wanted` of the lines that `ranges` list one after the other.
fn cut(ranges: &[Range<u64>], wanted: &Range<u64>) -> Vec<Range<u64>> {
    let mut first = 0;
    let mut kept = Vec::new();
    for range in ranges {
        let lines = first..first + (range.end - range.start);
        let (low, high) = (wanted.start.max(lines.start), wanted.end.min(lines.end));
        if low < high {
            kept.push(range.start + (low - first)..range.start + (high - first));
        }
        first = lines.end;
    }
    kept
}

fn figure(
    view: &WeightView<'_>,
    id: &'static str,
    title: String,
    axes: Axes,
    data: FigureData,
) -> Figure {
    let name = view.weight().name.clone();
    let (id, analyzer) = (Key::Borrowed(id), Key::Borrowed("plot"));
    Figure { id, weight: Some(name), analyzer, title, axes, data }
}

fn heat_map(view: &WeightView<'_>, [row, column]: [u64; 2]) -> Result<Figure, AnalyzeError> {
    let mut values = Vec::new();
    view.for_each_row(|_, row: &[f64]| values.extend_from_slice(row))?;
    let map = HeatMap {
        size: view.size(),
        rows: Ticks::Lines { first: row, step: 1 },
        columns: Ticks::Lines { first: column, step: 1 },
        pooling: Key::Borrowed(""),
        cells: Cells::values(values),
    };
    let [rows, columns] = view.size();
    let title = format!("Rows {row}:{}, columns {column}:{}", row + rows, column + columns);
    let axes = match view.weight().role {
        Role::PositionEmbedding => Axes::new("dimension", "position"),
        Role::TokenEmbedding => Axes::new("dimension", "token"),
        _ => Axes::new("input", "output"),
    };
    Ok(figure(view, "heatmap", title, axes, FigureData::Heatmap(map)))
}

/// The columns to follow, all of them within `window`.
fn dims(
    request: &PlotRequest,
    window: Range<u64>,
    columns: u64,
    weight: &str,
) -> Result<Vec<u64>, PlotError> {
    if request.dims.is_empty() {
        let width = window.end - window.start;
        let mut dims = [1, 2, 3].map(|i| window.start + i * width / 4).to_vec();
        dims.dedup();
        return Ok(dims);
    }
    match request.dims.iter().find(|dim| !window.contains(dim)) {
        Some(dim) => Err(PlotError::Window {
            axis: "columns",
            range: *dim..dim.saturating_add(1),
            weight: weight.to_owned(),
            size: columns,
        }),
        None => Ok(request.dims.clone()),
    }
}

fn traces(
    view: &WeightView<'_>,
    [row, column]: [u64; 2],
    dims: &[u64],
) -> Result<Figure, AnalyzeError> {
    let rows = view.size()[0];
    let series = dims.iter().map(|dim| {
        let mut values = vec![0.0f64; rows as usize];
        let place = dim - column;
        view.block(0..rows, place..place + 1, weightscope_core::Order::RowMajor, &mut values)?;
        Ok(Series {
            name: format!("dimension {dim}"),
            x: (row..row + rows).map(|x| x as f64).collect(),
            y: values.into_iter().map(|v| Some(v).filter(|v| v.is_finite())).collect(),
        })
    });
    let series = series.collect::<Result<_, AnalyzeError>>()?;
    let title = "Columns over the rows".to_owned();
    Ok(figure(view, "trace", title, Axes::new("row", "weight"), FigureData::Line { series }))
}

/// Everything that analyzers draw of a weight.
fn of_analyzers(
    checkpoint: &Checkpoint,
    weight: &Weight,
    registry: &Registry,
    options: &RunOptions,
) -> Result<Vec<Figure>, PlotError> {
    let graph = ModelGraph { weights: vec![weight.clone()], ..ModelGraph::default() };
    let analyzers: Vec<&dyn Analyzer> = registry.analyzers();
    let options = RunOptions { portraits: 1, journal: None, ..options.clone() };
    let report = scan(checkpoint, &graph, &analyzers, &Settings::default(), &options, &mut |_| {})?;
    let of_this = |error: &&weightscope_core::ErrorRecord| error.name == weight.name;
    if let Some(error) = report.errors.iter().find(of_this) {
        let (weight, message) = (weight.name.clone(), error.message.clone());
        return Err(PlotError::Failed { weight, message });
    }
    if report.status == Status::Interrupted {
        let (weight, message) = (weight.name.clone(), AnalyzeError::Cancelled.to_string());
        return Err(PlotError::Failed { weight, message });
    }
    // Of the model there is nothing but this weight.
    Ok(report.figures.into_iter().filter(|f| f.analyzer != "model").collect())
}

/// What a user calls a figure: the word after its analyzer.
fn word(figure: &Figure) -> &str {
    figure.id.split('.').nth(1).unwrap_or(&figure.id)
}

fn choose(figures: Vec<Figure>, wanted: &str, weight: &Weight) -> Result<Vec<Figure>, PlotError> {
    let is_wanted = |f: &Figure| f.id == wanted || f.analyzer == wanted || word(f) == wanted;
    let mut known: Vec<&str> =
        figures.iter().map(word).chain(["heatmap", "trace", "pca"]).collect();
    known.sort_unstable();
    known.dedup();
    let known = known.join(", ");
    let chosen: Vec<Figure> = figures.into_iter().filter(is_wanted).collect();
    if chosen.is_empty() {
        let (figure, weight) = (wanted.to_owned(), weight.name.clone());
        return Err(PlotError::NoFigure { figure, weight, known });
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_interleaved_rows() {
        let ranges = [0..2, 6..8, 12..14];
        assert_eq!(cut(&ranges, &(0..6)), ranges);
        assert_eq!(cut(&ranges, &(1..5)), [1..2, 6..8, 12..13]);
        assert_eq!(cut(&ranges, &(3..5)), [7..8, 12..13]);
    }
}
