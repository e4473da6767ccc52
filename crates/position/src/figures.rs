//! Position tables drawn, beside the heat map that every matrix has.

use weightscope_core::{Axes, Figure, FigureData, Key, Output, Series};

use crate::measure::{Measured, Table};
use crate::periods::Line;

pub(crate) fn draw(table: &Table<'_>, measured: &Measured, out: &mut Output) {
    let trace = |(name, index): (&str, usize)| {
        series(format!("{name} (dimension {index})"), table.dimension(index))
    };
    // Dimensions by place, as they come.
    let width = table.width;
    let places = [width / 4, width / 2, 3 * width / 4].map(|index| ("dimension", index));
    let by_place = places
        .iter()
        .map(|(name, index)| series(format!("{name} {index}"), table.dimension(*index)));
    let axes = || Axes::new("position", "weight");
    let line = |series| FigureData::Line { series };
    out.figure(figure(
        "position.traces",
        "Three dimensions over the positions",
        axes(),
        line(by_place.collect()),
    ));

    let order = &measured.order;
    let ranks = [
        ("lowest variance", 0),
        ("middle variance", order.len() / 2),
        ("highest variance", order.len() - 1),
    ];
    let by_variance =
        ranks.iter().filter_map(|(name, rank)| Some(trace((name, *order.get(*rank)?))));
    let title = "Dimensions of low, middle and high variance over the positions";
    out.figure(figure("position.variance_traces", title, axes(), line(by_variance.collect())));

    let neighbours = series("correlation".to_owned(), measured.neighbours.iter().copied());
    let title = "Correlation of every position with the next";
    let axes = Axes::new("position", "Pearson correlation");
    out.figure(figure("position.neighbour_correlation", title, axes, line(vec![neighbours])));

    let variances = series("variance".to_owned(), measured.variances.iter().copied());
    let title = "Variance of every dimension over the positions";
    let axes = Axes { log_y: true, ..Axes::new("dimension", "variance") };
    out.figure(figure("position.dimension_variance", title, axes, line(vec![variances])));

    // Period of the strongest line, apart for waves and for what is none.
    let rows = measured.neighbours.len() as f64 + 1.0;
    let others = measured.lines.iter().map(|line| match line {
        Line::Trend(frequency) | Line::Chance(frequency) => rows / *frequency as f64,
        Line::Wave(_) | Line::None => f64::NAN,
    });
    let periods = vec![
        series("wave".to_owned(), measured.periods()),
        series("trend or chance, no wave".to_owned(), others),
    ];
    let waves = measured.periods().filter(|period| period.is_finite()).count();
    let title = match waves {
        0 => format!("Strongest period of every dimension: a wave in none of {width}"),
        _ => format!("Strongest period of every dimension: a wave in {waves} of {width}"),
    };
    let axes = Axes { log_y: true, ..Axes::new("dimension", "positions") };
    let data = FigureData::Scatter { series: periods };
    out.figure(figure("position.dominant_period", &title, axes, data));
}

fn series(name: String, values: impl Iterator<Item = f64>) -> Series {
    let y: Vec<Option<f64>> = values.map(|v| Some(v).filter(|v| v.is_finite())).collect();
    Series { name, x: (0..y.len()).map(|i| i as f64).collect(), y }
}

fn figure(id: &'static str, title: &str, axes: Axes, data: FigureData) -> Figure {
    let id = Key::Borrowed(id);
    let analyzer = Key::Borrowed(crate::ID);
    Figure { id, weight: None, analyzer, title: title.to_owned(), axes, data }
}
