//! Figures of a report, drawn with characters.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use weightscope::report::{escape, pieces};
use weightscope::{BoxStatistics, Figure, FigureData, HeatMap, Series};

use super::plot::{self, Curve, Scale, Stroke};
use super::theme::Theme;

/// Draws `figure` as large as `area` allows.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, figure: &Figure, theme: Theme) {
    let (x, y) =
        (escape::terminal_within(&figure.axes.x, 60), escape::terminal_within(&figure.axes.y, 60));
    let titles = [&*x, &*y];
    let log = [figure.axes.log_x, figure.axes.log_y];
    match &figure.data {
        FigureData::Line { series } | FigureData::Violin { series } => {
            let curves: Vec<Curve> =
                series.iter().enumerate().map(|(i, s)| curve(s, Stroke::of(i))).collect();
            plot::curves(buffer, area, &curves, titles, log, None, theme);
        }
        FigureData::Scatter { series } => {
            let curves: Vec<Curve> = series.iter().map(|s| curve(s, Stroke::Points)).collect();
            plot::curves(buffer, area, &curves, titles, log, None, theme);
        }
        FigureData::Histogram { low, width, counts, normal, .. } => {
            let bins = Bins { low: *low, width: *width, counts };
            histogram(buffer, area, &bins, *normal, titles, theme);
        }
        FigureData::Heatmap(map) => heat_map(buffer, area, map, theme),
        FigureData::Bar { labels, values } => bars(buffer, area, labels, values, theme),
        FigureData::Box { boxes } => box_plots(buffer, area, boxes, theme),
        _ => {
            let text = pieces::shortened("drawn in the HTML report", usize::from(area.width));
            buffer.set_string(area.x, area.y, text, theme.dim());
        }
    }
}

fn curve(series: &Series, stroke: Stroke) -> Curve {
    let points = series.x.iter().zip(&series.y).map(|(x, y)| Some((*x, (*y)?)));
    let name = escape::terminal_within(&series.name, 40).into_owned();
    Curve { name, points: points.collect(), stroke }
}

/// Equal bins.
struct Bins<'a> {
    low: f64,
    width: f64,
    counts: &'a [u64],
}

impl Bins<'_> {
    /// Values per bin's width, within a part of the range.
    fn density(&self, from: f64, to: f64) -> f64 {
        let (from, to) = ((from - self.low) / self.width, (to - self.low) / self.width);
        let mut sum = 0.0;
        for (i, count) in self.counts.iter().enumerate() {
            let (left, right) = (from.max(i as f64), to.min(i as f64 + 1.0));
            sum += *count as f64 * (right - left).max(0.0);
        }
        sum / (to - from)
    }
}

/// Bars in eighths of a character, with the normal curve over them.
fn histogram(
    buffer: &mut Buffer,
    area: Rect,
    bins: &Bins<'_>,
    normal: Option<[f64; 2]>,
    titles: [&str; 2],
    theme: Theme,
) {
    const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    let high = bins.low + bins.width * bins.counts.len() as f64;
    let most = bins.counts.iter().copied().max().unwrap_or(0) as f64;
    let x = Scale::of(&[bins.low, high], false);
    let y = Scale::of(&[0.0, most], false);
    let (Some(x), Some(y), true) = (x, y, bins.width > 0.0 && most > 0.0) else {
        return plot::nothing(buffer, area, theme);
    };
    let Some(inner) = plot::axes(buffer, area, [x, y], titles, theme) else { return };
    let all: f64 = bins.counts.iter().map(|c| *c as f64).sum();
    let step = (high - bins.low) / f64::from(inner.width);
    let rows = usize::from(inner.height);
    let eighths = |value: f64| (value / most * rows as f64 * 8.0).round().max(0.0) as usize;
    for column in 0..inner.width {
        let from = bins.low + step * f64::from(column);
        let value = bins.density(from, from + step);
        // What is there is seen.
        let filled = eighths(value).max(usize::from(value > 0.0));
        for row in 0..rows {
            let part = filled.saturating_sub(row * 8).min(8);
            let symbol = EIGHTHS.get(part).copied().unwrap_or(" ");
            let y = inner.bottom() - 1 - row as u16;
            if part > 0 {
                buffer.set_string(inner.x + column, y, symbol, theme.curve(0));
            }
        }
        let Some([mean, deviation]) = normal.filter(|[_, s]| *s > 0.0) else { continue };
        let z = (from + step / 2.0 - mean) / deviation;
        let expected =
            all * bins.width / deviation * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let level = eighths(expected);
        let row = level / 8;
        if level == 0 || row >= rows {
            continue;
        }
        let place = (inner.x + column, inner.bottom() - 1 - row as u16);
        if let Some(cell) = buffer.cell_mut(place) {
            // Over a bar it is cut out of it, so that it is seen without colour too.
            let inside = cell.symbol() == "█";
            let style = theme.curve(usize::from(!inside));
            cell.set_symbol(if level % 8 < 4 { "⎽" } else { "⎺" }).set_style(style);
            if inside {
                cell.set_style(Style::new().add_modifier(Modifier::REVERSED));
            }
        }
    }
}

/// Two rows of cells to a character in colour, one shade a character without.
fn heat_map(buffer: &mut Buffer, area: Rect, map: &HeatMap, theme: Theme) {
    const SHADES: [&str; 5] = [" ", "░", "▒", "▓", "█"];
    let [rows, columns] = map.size.map(|n| usize::try_from(n).unwrap_or(0));
    let values: Vec<Option<f64>> = (0..map.cells.len()).map(|i| map.cells.value(i)).collect();
    let ends = values.iter().flatten();
    let (low, high) =
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    if rows == 0 || columns == 0 || area.height < 3 || !low.is_finite() {
        return plot::nothing(buffer, area, theme);
    }
    let per = if theme.color { 2 } else { 1 };
    let room = Rect { height: area.height - 1, ..area };
    let (height, width) =
        (rows.min(usize::from(room.height) * per), columns.min(usize::from(room.width)));
    // The mean of what falls on a dot.
    let at = |row: usize, column: usize| {
        let (r, c) = (
            row * rows / height..((row + 1) * rows / height),
            column * columns / width..((column + 1) * columns / width),
        );
        let (mut sum, mut count) = (0.0, 0.0);
        for r in r {
            for value in c.clone().filter_map(|c| values.get(r * columns + c).copied().flatten()) {
                sum += value;
                count += 1.0;
            }
        }
        (count > 0.0).then_some(sum / count)
    };
    let share = |value: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
    for y in 0..height.div_ceil(per) {
        for x in 0..width {
            let place = (room.x + x as u16, room.y + y as u16);
            let Some(cell) = buffer.cell_mut(place) else { continue };
            if theme.color {
                let color = |row: usize| {
                    let value = (row < height).then(|| at(row, x)).flatten();
                    value.map_or(Color::Reset, |v| ramp(v, low, high))
                };
                cell.set_symbol("▀").set_fg(color(2 * y)).set_bg(color(2 * y + 1));
            } else {
                let shade = at(y, x).map_or(0, |v| (share(v) * 4.0).round() as usize);
                cell.set_symbol(SHADES.get(shade).copied().unwrap_or("?"));
            }
        }
    }
    let pooled = if map.pooling.is_empty() { String::new() } else { format!(", {}", map.pooling) };
    let note = format!(
        "{} to {}, {} x {} cells{pooled}",
        pieces::number(low),
        pieces::number(high),
        map.size[0],
        map.size[1]
    );
    let note = pieces::shortened(&escape::terminal(&note), usize::from(area.width));
    buffer.set_string(area.x, area.bottom() - 1, note, theme.dim());
}

/// Blue over grey to red around zero; dark to light for what has one sign.
fn ramp(value: f64, low: f64, high: f64) -> Color {
    if low < 0.0 && high > 0.0 {
        const BELOW: [u8; 5] = [252, 153, 111, 69, 27];
        const ABOVE: [u8; 5] = [252, 223, 216, 209, 196];
        let (colors, end) = if value < 0.0 { (BELOW, -low) } else { (ABOVE, high) };
        let step = (value.abs() / end.max(f64::MIN_POSITIVE) * 4.0).round() as usize;
        Color::Indexed(colors.get(step).copied().unwrap_or(252))
    } else {
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        Color::Indexed(233 + (share * 22.0).round() as u8)
    }
}

/// Horizontal bars with their labels and values.
fn bars(buffer: &mut Buffer, area: Rect, labels: &[String], values: &[f64], theme: Theme) {
    let most =
        values.iter().copied().filter(|v| v.is_finite()).fold(0.0, |m: f64, v| m.max(v.abs()));
    let labels: Vec<String> = labels.iter().map(|l| escape::terminal(l).into_owned()).collect();
    let width = usize::from(area.width);
    let label = labels.iter().map(|l| pieces::width(l)).max().unwrap_or(0).min(width / 3);
    let room = width.saturating_sub(label + 13);
    for ((y, name), value) in (area.top()..area.bottom()).zip(&labels).zip(values) {
        let name = pieces::shortened(name, label);
        buffer.set_string(area.x, y, name, Style::new());
        let long = if most > 0.0 { (value.abs() / most * room as f64).round() as usize } else { 0 };
        let start = area.x + label as u16 + 1;
        buffer.set_string(start, y, "━".repeat(long.min(room)), theme.curve(0));
        let after = start + long.min(room) as u16 + u16::from(long > 0);
        let text = match *value {
            v if v.fract() == 0.0 && (1e6..1e18).contains(&v) => pieces::short_count(v as u64),
            v => pieces::number(v),
        };
        buffer.set_string(after, y, text, theme.dim());
    }
}

/// `├──┤  median  ├──┤` a line each.
fn box_plots(buffer: &mut Buffer, area: Rect, boxes: &[BoxStatistics], theme: Theme) {
    let ends: Vec<f64> = boxes.iter().flat_map(|b| b.five).collect();
    let Some(scale) = Scale::of(&ends, false) else { return plot::nothing(buffer, area, theme) };
    let width = usize::from(area.width);
    let names: Vec<String> = boxes.iter().map(|b| escape::terminal(&b.name).into_owned()).collect();
    let label = names.iter().map(|n| pieces::width(n)).max().unwrap_or(0).min(width / 3);
    let Some(room) = width.checked_sub(label + 2).filter(|room| *room >= 10) else { return };
    for ((y, one), name) in (area.top()..area.bottom()).zip(boxes).zip(&names) {
        buffer.set_string(area.x, y, pieces::shortened(name, label), Style::new());
        let column =
            |value: f64| scale.place(value).map(|p| (p * (room - 1) as f64).round() as usize);
        let places: Vec<usize> = one.five.iter().filter_map(|v| column(*v)).collect();
        let [low, left, middle, right, high] = places[..] else { continue };
        for x in low..=high {
            let symbol = match x {
                x if x == middle => "┃",
                x if x == low => "├",
                x if x == high => "┤",
                x if (left..=right).contains(&x) => "▬",
                _ => "─",
            };
            buffer.set_string(area.x + (label + 1 + x) as u16, y, symbol, theme.curve(0));
        }
    }
}
