//! Curves and points in a terminal: eight dots to a character, on linear or logarithmic axes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use weightscope::report::pieces;

use super::theme::Theme;

/// How a curve is drawn; without colour this tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    Line,
    Dots,
    Dashes,
    /// Single points.
    Points,
}

impl Stroke {
    /// Of the curve with this number.
    pub(super) const fn of(index: usize) -> Self {
        match index {
            0 => Self::Line,
            1 => Self::Dots,
            _ => Self::Dashes,
        }
    }

    const fn sample(self) -> &'static str {
        match self {
            Self::Line => "──",
            Self::Dots => "··",
            Self::Dashes => "╌╌",
            Self::Points => "∙∙",
        }
    }

    /// Whether the dot number `step` of a curve is set.
    const fn is_set(self, step: usize) -> bool {
        match self {
            Self::Line | Self::Points => true,
            Self::Dots => step.is_multiple_of(3),
            Self::Dashes => step % 8 < 4,
        }
    }
}

/// Points in order; a gap is where `None` is.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) points: Vec<Option<(f64, f64)>>,
    pub(super) stroke: Stroke,
}

/// One axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    /// Whether all values are whole, such as blocks: nothing lies between them.
    whole: bool,
}

impl Scale {
    /// Spans `values`; logarithmic only when they are positive and it was asked for.
    pub(super) fn of(values: &[f64], log: bool) -> Option<Self> {
        let log = log && values.iter().any(|v| *v > 0.0);
        let fits = |v: &&f64| v.is_finite() && (!log || **v > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.iter().filter(fits) {
            (low, high) = (low.min(*value), high.max(*value));
        }
        if !low.is_finite() {
            return None;
        }
        let whole = values.iter().all(|v| v.fract() == 0.0);
        if low == high {
            // One value stands in the middle.
            let around = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
            (low, high) = if log { (low / 2.0, high * 2.0) } else { (low - around, high + around) };
        }
        Some(Self { low, high, log, whole })
    }

    fn map(self, value: f64) -> f64 {
        if self.log { value.ln() } else { value }
    }

    /// Where a value lies, 0 at the low end and 1 at the high one.
    pub(super) fn place(self, value: f64) -> Option<f64> {
        if self.log && value <= 0.0 {
            return None;
        }
        let (low, high) = (self.map(self.low), self.map(self.high));
        let place = (self.map(value) - low) / (high - low);
        (-1e-9..=1.0 + 1e-9).contains(&place).then(|| place.clamp(0.0, 1.0))
    }

    /// Round values within, at most `most`.
    pub(super) fn ticks(self, most: usize) -> Vec<f64> {
        let most = most.max(2);
        if self.log {
            let (first, last) = (self.low.log10().ceil() as i32, self.high.log10().floor() as i32);
            let decades = (last - first + 1).max(0) as usize;
            if decades >= 2 {
                let step = decades.div_ceil(most).max(1);
                return (first..=last).step_by(step).map(|e| 10f64.powi(e)).collect();
            }
            let fine: Vec<f64> = (first - 1..=last + 1)
                .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e)))
                .filter(|v| self.place(*v).is_some())
                .collect();
            if fine.len() >= 2 {
                let step = fine.len().div_ceil(most);
                return fine.into_iter().step_by(step).collect();
            }
        }
        let rough = (self.high - self.low) / most as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999);
        let step = step.map(|s| if self.whole { s.max(1.0) } else { s });
        let Some(step) = step.filter(|s| s.is_finite() && *s > 0.0) else { return vec![self.low] };
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last.min(first + 50)).map(|i| i as f64 * step).collect()
    }
}

/// A tick in as few characters as tell it.
pub(super) fn tick(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if (1e-3..1e5).contains(&size) {
        let text = format!("{value:.4}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let text = format!("{value:.1e}");
    text.replace(".0e", "e")
}

/// Draws axes with their ticks in `area` and returns what is left for the data.
pub(super) fn axes(
    buffer: &mut Buffer,
    area: Rect,
    [x, y]: [Scale; 2],
    [x_title, y_title]: [&str; 2],
    theme: Theme,
) -> Option<Rect> {
    let rows = area.height.checked_sub(3).filter(|rows| *rows >= 2)?;
    let y_ticks = y.ticks(usize::from(rows / 3).clamp(2, 7));
    let labels: Vec<String> = y_ticks.iter().map(|v| tick(*v)).collect();
    let margin = labels.iter().map(|l| pieces::width(l)).max().unwrap_or(0) as u16 + 1;
    let columns = area.width.checked_sub(margin + 1).filter(|columns| *columns >= 8)?;
    let inner = Rect { x: area.x + margin + 1, y: area.y + 1, width: columns, height: rows };
    let dim = theme.dim();
    let title = pieces::shortened(y_title, usize::from(area.width));
    buffer.set_stringn(area.x, area.y, title, usize::from(area.width), dim);
    for row in 0..rows {
        buffer.set_string(inner.x - 1, inner.y + row, "│", dim);
    }
    for (value, label) in y_ticks.iter().zip(&labels) {
        let Some(place) = y.place(*value) else { continue };
        let row = inner.bottom() - 1 - (place * f64::from(rows - 1)).round() as u16;
        let start = inner.x - 1 - pieces::width(label) as u16 - 1;
        buffer.set_string(start, row, label, dim);
        buffer.set_string(inner.x - 1, row, "┤", dim);
    }
    let base = inner.bottom();
    buffer.set_string(inner.x - 1, base, "└", dim);
    for column in 0..columns {
        buffer.set_string(inner.x + column, base, "─", dim);
    }
    // Titles go where ticks leave room: at the right end.
    let title = pieces::shortened(x_title, usize::from(columns / 2));
    let title_at = inner.right().saturating_sub(pieces::width(&title) as u16);
    buffer.set_string(title_at, base + 1, &title, dim);
    let mut free = area.x;
    for value in x.ticks(usize::from(columns / 9).clamp(2, 9)) {
        let Some(place) = x.place(value) else { continue };
        let column = inner.x + (place * f64::from(columns - 1)).round() as u16;
        let label = tick(value);
        let wide = pieces::width(&label) as u16;
        let start = column.saturating_sub(wide / 2).max(area.x);
        buffer.set_string(column, base, "┬", dim);
        if start >= free && start + wide < title_at {
            buffer.set_string(start, base + 1, &label, dim);
            free = start + wide + 1;
        }
    }
    Some(inner)
}

/// The names of curves in a line, each with a sample of its stroke.
fn legend(
    buffer: &mut Buffer,
    area: Rect,
    curves: &[Curve],
    seen: &dyn Fn(&Curve) -> bool,
    theme: Theme,
) {
    let mut x = area.x;
    for (i, curve) in curves.iter().enumerate().filter(|(_, c)| seen(c)) {
        let text = format!("{} {}", curve.stroke.sample(), curve.name);
        let room = area.right().saturating_sub(x);
        if pieces::width(&text) > usize::from(room) {
            break;
        }
        buffer.set_stringn(x, area.y, &text, usize::from(room), theme.curve(i));
        x += pieces::width(&text) as u16 + 3;
    }
}

/// Dots of characters.
struct Dots {
    area: Rect,
    cells: Vec<(u8, Style)>,
}

impl Dots {
    fn new(area: Rect) -> Self {
        Self {
            area,
            cells: vec![(0, Style::new()); usize::from(area.width) * usize::from(area.height)],
        }
    }

    fn set(&mut self, x: usize, y: usize, style: Style) {
        // Bits of a braille character, by row and column.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let bit = BITS.get(y % 4).and_then(|row| row.get(x % 2)).copied().unwrap_or(0);
        let width = usize::from(self.area.width);
        if x / 2 < width
            && let Some((bits, own)) = self.cells.get_mut(y / 4 * width + x / 2)
        {
            *bits |= bit;
            *own = style;
        }
    }

    fn draw(self, buffer: &mut Buffer) {
        let width = usize::from(self.area.width).max(1);
        for (i, (bits, style)) in self.cells.into_iter().enumerate().filter(|(_, (b, _))| *b != 0) {
            let place = (self.area.x + (i % width) as u16, self.area.y + (i / width) as u16);
            let dots = char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
            if let Some(cell) = buffer.cell_mut(place) {
                cell.set_char(dots).set_style(style);
            }
        }
    }
}

/// Axes that hold the first two curves, and further ones that do not press those together.
fn scales(curves: &[Curve], log: [bool; 2]) -> Option<[Scale; 2]> {
    // What a logarithmic axis cannot show is no point.
    let fits = move |p: &&(f64, f64)| (!log[0] || p.0 > 0.0) && (!log[1] || p.1 > 0.0);
    let of = |curves: &[Curve]| {
        let points: Vec<(f64, f64)> =
            curves.iter().flat_map(|c| c.points.iter().flatten()).filter(fits).copied().collect();
        let (xs, ys): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
        Some([Scale::of(&xs, log[0])?, Scale::of(&ys, log[1])?])
    };
    let (main, further) = curves.split_at_checked(2).unwrap_or((curves, &[]));
    if further.len() > 1 {
        return of(curves);
    }
    let span = |[_, y]: &[Scale; 2]| y.map(y.high) - y.map(y.low);
    match (of(main), of(curves)) {
        (Some(main), Some(all)) if span(&all) > 1.6 * span(&main) => Some(main),
        (main, all) => all.or(main),
    }
}

/// Draws curves with axes and a legend; one point may be marked.
pub(super) fn curves(
    buffer: &mut Buffer,
    area: Rect,
    curves: &[Curve],
    titles: [&str; 2],
    log: [bool; 2],
    marked: Option<(f64, f64)>,
    theme: Theme,
) {
    let Some([x, y]) = scales(curves, log) else { return nothing(buffer, area, theme) };
    let many = curves.len() > 1 && area.height > 6;
    let top = u16::from(many);
    if many {
        let seen = |c: &Curve| {
            c.points
                .iter()
                .flatten()
                .any(|(px, py)| x.place(*px).is_some() && y.place(*py).is_some())
        };
        legend(buffer, Rect { height: 1, ..area }, curves, &seen, theme);
    }
    let area = Rect { y: area.y + top, height: area.height - top, ..area };
    let Some(inner) = axes(buffer, area, [x, y], titles, theme) else { return };
    let mut dots = Dots::new(inner);
    let (right, bottom) = (f64::from(inner.width) * 2.0 - 1.0, f64::from(inner.height) * 4.0 - 1.0);
    let dot = |(px, py): (f64, f64)| {
        let (px, py) = (x.place(px)?, y.place(py)?);
        Some(((px * right).round() as i64, ((1.0 - py) * bottom).round() as i64))
    };
    // The first curve is what it is about: drawn last, it lies on top.
    for (i, curve) in curves.iter().enumerate().rev() {
        let style = theme.curve(i);
        let mut last = None;
        let mut steps = 0;
        for point in &curve.points {
            let here = point.and_then(dot);
            match (last, here) {
                (Some(from), Some(to)) if curve.stroke != Stroke::Points => {
                    line(from, to, &mut |x, y| {
                        if curve.stroke.is_set(steps) {
                            dots.set(x, y, style);
                        }
                        steps += 1;
                    });
                }
                (_, Some((x, y))) => dots.set(x as usize, y as usize, style),
                _ => {}
            }
            last = here;
        }
    }
    dots.draw(buffer);
    if let Some((px, py)) = marked.and_then(|(px, py)| Some((x.place(px)?, y.place(py)?))) {
        let column = inner.x + (px * (right / 2.0)).floor() as u16;
        let row = inner.y + ((1.0 - py) * (bottom / 4.0)).floor() as u16;
        buffer.set_string(column, row, "●", theme.accent());
    }
}

/// What is drawn in place of a figure without points.
pub(super) fn nothing(buffer: &mut Buffer, area: Rect, theme: Theme) {
    let text = pieces::shortened("nothing to draw", usize::from(area.width));
    buffer.set_string(area.x, area.y, text, theme.dim());
}

/// Every dot between two, the first left out (Bresenham's line).
fn line(from: (i64, i64), to: (i64, i64), set: &mut dyn FnMut(usize, usize)) {
    let ((mut x, mut y), (dx, dy)) = (from, ((to.0 - from.0).abs(), -(to.1 - from.1).abs()));
    let (sx, sy) = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
    let mut error = dx + dy;
    while (x, y) != to {
        let twice = 2 * error;
        if twice >= dy {
            error += dy;
            x += sx;
        }
        if twice <= dx {
            error += dx;
            y += sy;
        }
        set(x as usize, y as usize);
    }
    if from == to {
        set(x as usize, y as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let scale = |low: f64, high: f64, log| Scale::of(&[low, high], log).unwrap();
        assert_eq!(scale(0.002, 300.0, true).ticks(6), [0.01, 0.1, 1.0, 10.0, 100.0]);
        assert_eq!(scale(1.0, 12.0, true).ticks(6), [1.0, 10.0]);
        assert_eq!(scale(2.1, 9.0, true).ticks(4), [4.0, 6.0, 8.0]);
        assert_eq!(scale(0.0, 11.0, false).ticks(6), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(scale(-0.3, 0.3, false).ticks(4), [-0.2, 0.0, 0.2]);
        assert!(Scale::of(&[0.0, -1.0], true).is_some_and(|s| !s.log));
        assert!(Scale::of(&[], false).is_none());
    }

    #[test]
    fn labels_are_short() {
        for (value, text) in
            [(0.0, "0"), (0.05, "0.05"), (-2.5, "-2.5"), (1e-7, "1e-7"), (2.5e6, "2.5e6")]
        {
            assert_eq!(tick(value), text);
        }
    }

    #[test]
    fn lines_reach_their_end() {
        let mut dots = Vec::new();
        line((0, 0), (4, 2), &mut |x, y| dots.push((x, y)));
        assert_eq!(dots.last(), Some(&(4, 2)));
        assert_eq!(dots.len(), 4);
    }
}
