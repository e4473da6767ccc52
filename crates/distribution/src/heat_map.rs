//! What a weight looks like: its entries in colours, or over their index.

use weightscope_core::{
    AnalyzeError, Axes, Cells, Figure, FigureData, HeatMap, Key, Role, Series, Ticks, WeightView,
};

/// Most cells along one side.
const SIDE: u64 = 256;
/// Most entries of a vector that are drawn one by one.
const POINTS: u64 = 2048;
/// Share of the cells whose magnitudes the colours resolve: a few outliers would leave one colour for the rest.
const RESOLVED: f64 = 0.999;

/// The figure of a weight; none without values.
///
/// Cells of a matrix larger than 256 x 256 join several entries. The mean of many entries of a trained matrix
/// is near 0 whatever they are, so their root mean square is shown; rows and columns of a position table vary
/// slowly, and there the mean keeps the wave.
pub(crate) fn figure(view: &WeightView<'_>) -> Result<Option<Figure>, AnalyzeError> {
    let [out, input] = view.size();
    if out == 0 || input == 0 {
        return Ok(None);
    }
    if out == 1 || input == 1 {
        return if out * input <= POINTS { trace(view).map(Some) } else { Ok(None) };
    }
    let (tall, wide) = (out.div_ceil(SIDE), input.div_ceil(SIDE));
    let (rows, columns) = (out.div_ceil(tall), input.div_ceil(wide));
    let mut cells = vec![Cell::default(); (rows * columns) as usize];
    view.for_each_row(|row, values: &[f64]| {
        let start = (row / tall * columns) as usize;
        let line = cells.iter_mut().skip(start);
        for (cell, values) in line.zip(values.chunks(wide as usize)) {
            cell.add(values);
        }
    })?;
    let single = tall == 1 && wide == 1;
    let signed = single || view.weight().role == Role::PositionEmbedding;
    let values: Vec<f64> = cells.iter().map(|c| if signed { c.mean() } else { c.rms() }).collect();
    let pooling = match (single, signed) {
        (true, _) => "",
        (false, true) => "mean",
        (false, false) => "root mean square",
    };
    let map = HeatMap {
        size: [rows, columns],
        rows: Ticks::Lines { first: 0, step: tall },
        columns: Ticks::Lines { first: 0, step: wide },
        pooling: Key::Borrowed(pooling),
        cells: Cells::levels(&values, scale(&values, signed)),
    };
    let (title, axes) = match view.weight().role {
        Role::PositionEmbedding => ("The table over positions", Axes::new("dimension", "position")),
        Role::TokenEmbedding => ("The table over tokens", Axes::new("dimension", "token")),
        _ => ("The matrix, output units as rows", Axes::new("input", "output")),
    };
    Ok(Some(make(title, axes, FigureData::Heatmap(map))))
}

fn make(title: &str, axes: Axes, data: FigureData) -> Figure {
    Figure {
        id: Key::Borrowed("distribution.heatmap"),
        weight: None,
        analyzer: Key::Borrowed("distribution"),
        title: title.to_owned(),
        axes,
        data,
    }
}

/// A vector over its index.
fn trace(view: &WeightView<'_>) -> Result<Figure, AnalyzeError> {
    let mut y = Vec::new();
    view.for_each_row(|_, values: &[f64]| {
        y.extend(values.iter().map(|v| Some(*v).filter(|v| v.is_finite())));
    })?;
    let x = (0..y.len()).map(|i| i as f64).collect();
    let series = vec![Series { name: "values".to_owned(), x, y }];
    let data = FigureData::Line { series };
    Ok(Figure {
        id: Key::Borrowed("distribution.values"),
        ..make("The values", Axes::new("index", "weight"), data)
    })
}

/// Finite entries joined in one cell.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    count: u64,
    sum: f64,
    squares: f64,
}

impl Cell {
    fn add(&mut self, values: &[f64]) {
        for value in values.iter().filter(|v| v.is_finite()) {
            self.count += 1;
            self.sum += value;
            self.squares += value * value;
        }
    }

    /// NaN without finite entries.
    fn mean(self) -> f64 {
        self.sum / self.count as f64
    }

    fn rms(self) -> f64 {
        (self.squares / self.count as f64).sqrt()
    }
}

/// Ends of the colour scale: symmetric about 0 for signed values.
fn scale(values: &[f64], signed: bool) -> [f64; 2] {
    let mut sizes: Vec<f64> = values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).collect();
    sizes.sort_by(f64::total_cmp);
    let last = sizes.len().saturating_sub(1);
    let high = sizes.get((last as f64 * RESOLVED).ceil() as usize).copied().unwrap_or(0.0);
    if signed { [-high, high] } else { [sizes.first().copied().unwrap_or(0.0), high] }
}
