//! One weight: its findings and metrics, what the chosen one means, and its figures.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use weightscope::report::{escape, pieces};
use weightscope::{Key, Value};

use super::about;
use super::data::Data;
use super::figure;
use super::frame::{note, panel};
use super::list::List;
use super::plot::{self, Curve, Stroke};
use super::text::{Scroll, Text};
use super::theme::{Theme, symbol};
use super::weights::{padded, right};

/// A line of the list.
#[derive(Clone, Debug, PartialEq)]
enum Row {
    Weight,
    Finding(usize),
    Analyzer(Key),
    Metric(Key, Key),
}

/// What is drawn beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picture {
    /// A figure of the report.
    Figure(usize),
    /// The chosen metric over the blocks.
    Depth,
}

/// The screen of one weight.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) place: usize,
    rows: Vec<Row>,
    list: List,
    siblings: Vec<usize>,
    /// The picture the user turned to; what fits the chosen line when `None`.
    picture: Option<usize>,
    /// Whether the picture fills the screen.
    zoomed: bool,
    about: Scroll,
}

impl Detail {
    pub(super) fn new(data: &Data, place: usize) -> Self {
        let mut rows = vec![Row::Weight];
        rows.extend(data.findings_of(place).iter().map(|f| Row::Finding(*f)));
        for (analyzer, metrics) in data.weight(place).into_iter().flat_map(|w| &w.analyses) {
            rows.push(Row::Analyzer(analyzer.clone()));
            rows.extend(metrics.keys().map(|key| Row::Metric(analyzer.clone(), key.clone())));
        }
        Self {
            place,
            rows,
            list: List::default(),
            siblings: data.siblings(place),
            picture: None,
            zoomed: false,
            about: Scroll::default(),
        }
    }

    /// The same line and picture of another weight, as far as it has them.
    pub(super) fn turned_to(&self, data: &Data, place: usize) -> Self {
        let mut other = Self::new(data, place);
        let row = self.rows.get(self.list.cursor);
        let same = other.rows.iter().position(|r| Some(r) == row);
        other.list.cursor = same.unwrap_or(0);
        other.zoomed = self.zoomed;
        let wanted = self.picture.and_then(|i| self.pictures(data).get(i).copied());
        other.picture = wanted.and_then(|wanted| {
            let id = |p: &Picture| match p {
                Picture::Figure(f) => data.figure(*f).map(|f| f.id.clone()),
                Picture::Depth => None,
            };
            other.pictures(data).iter().position(|p| id(p) == id(&wanted))
        });
        other
    }

    /// Puts the cursor on a finding.
    pub(super) fn show(&mut self, finding: usize) {
        if let Some(row) = self.rows.iter().position(|r| *r == Row::Finding(finding)) {
            self.list.cursor = row;
        }
    }

    /// Takes a key; `false` when it is not for this screen. Leaving goes through the zoom first.
    pub(super) fn on_key(&mut self, key: KeyEvent, data: &Data) -> bool {
        let count = self.pictures(data).len();
        match key.code {
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Char('q') if self.zoomed => {
                self.zoomed = false;
            }
            KeyCode::Enter | KeyCode::Char('z') => self.zoomed = !self.zoomed && count > 0,
            KeyCode::Right | KeyCode::Char('f' | 'l') if count > 0 => {
                self.picture = Some((self.current_picture(data) + 1) % count);
            }
            KeyCode::Left | KeyCode::Char('F' | 'h') if count > 0 => {
                self.picture = Some((self.current_picture(data) + count - 1) % count);
            }
            KeyCode::Char(']' | '[') => self.about.turn(key.code == KeyCode::Char(']')),
            _ => {
                let before = self.list.cursor;
                let taken = self.list.on_key(key, self.rows.len());
                if self.list.cursor != before {
                    self.about = Scroll::default();
                }
                return taken;
            }
        }
        true
    }

    /// The metric of the chosen line; of a finding, the one that was judged.
    fn metric<'a>(&'a self, data: &'a Data) -> Option<(&'a str, &'a str)> {
        match self.rows.get(self.list.cursor)? {
            Row::Metric(analyzer, key) => Some((analyzer, key)),
            Row::Finding(place) => {
                let finding = data.finding(*place)?;
                let analyzer = finding.code.split_once('.')?.0;
                data.weight(self.place)?.number(analyzer, &finding.metric)?;
                Some((analyzer, &finding.metric))
            }
            Row::Weight | Row::Analyzer(_) => None,
        }
    }

    /// Depth and value of a metric of all siblings.
    fn over_depth(&self, data: &Data, analyzer: &str, key: &str) -> Vec<(f64, f64)> {
        let siblings = self.siblings.iter().filter_map(|p| data.weight(*p));
        let point =
            |w: &weightscope::WeightRecord| Some((f64::from(w.block?), w.number(analyzer, key)?));
        siblings.filter_map(point).collect()
    }

    fn pictures(&self, data: &Data) -> Vec<Picture> {
        let figures = data.figures_of(self.place).iter().map(|f| Picture::Figure(*f));
        let depth = self.metric(data).filter(|(a, k)| self.over_depth(data, a, k).len() > 1);
        figures.chain(depth.map(|_| Picture::Depth)).collect()
    }

    /// The picture to draw: the chosen one, or one of the line's analyzer, or its metric over depth.
    fn current_picture(&self, data: &Data) -> usize {
        let pictures = self.pictures(data);
        if let Some(chosen) = self.picture {
            return chosen.min(pictures.len().saturating_sub(1));
        }
        let analyzer = match self.rows.get(self.list.cursor) {
            Some(Row::Analyzer(analyzer) | Row::Metric(analyzer, _)) => Some(analyzer.as_ref()),
            Some(Row::Finding(f)) => {
                data.finding(*f).and_then(|f| f.code.split_once('.')).map(|(analyzer, _)| analyzer)
            }
            _ => None,
        };
        let is_own = |p: &Picture| match p {
            Picture::Figure(f) => data.figure(*f).is_some_and(|f| Some(&*f.analyzer) == analyzer),
            Picture::Depth => false,
        };
        let spectrum = |p: &Picture| match p {
            Picture::Figure(f) => data.figure(*f).is_some_and(|f| f.id == "spectral.spectrum"),
            Picture::Depth => false,
        };
        let own = pictures.iter().position(is_own);
        let depth = pictures.iter().position(|p| *p == Picture::Depth);
        own.or(depth).or_else(|| pictures.iter().position(spectrum)).unwrap_or(0)
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, data: &Data, theme: Theme) {
        if self.zoomed {
            return self.draw_picture(frame, area, data, self.current_picture(data), theme);
        }
        // The list, what the line means above, and pictures below: two where there is room.
        let left = (area.width * 2 / 5).clamp(34.min(area.width), 64);
        let list = Rect { width: left, ..area };
        let beside = Rect { x: area.x + left, width: area.width - left, ..area };
        self.draw_list(frame, list, data, theme);
        let above = (beside.height * 2 / 5).clamp(7.min(beside.height), 18);
        self.draw_about(frame, Rect { height: above, ..beside }, data, theme);
        let below = Rect { y: beside.y + above, height: beside.height - above, ..beside };
        let (pictures, current) = (self.pictures(data), self.current_picture(data));
        let depth = pictures.iter().position(|p| *p == Picture::Depth);
        match depth.filter(|depth| *depth != current) {
            Some(depth) if below.height >= 26 => {
                let half = below.height / 2;
                let upper = Rect { height: half, ..below };
                let lower = Rect { y: below.y + half, height: below.height - half, ..below };
                self.draw_picture(frame, upper, data, current, theme);
                self.draw_picture(frame, lower, data, depth, theme);
            }
            Some(depth) if below.width >= 110 => {
                let half = below.width / 2;
                let first = Rect { width: half, ..below };
                let second = Rect { x: below.x + half, width: below.width - half, ..below };
                self.draw_picture(frame, first, data, current, theme);
                self.draw_picture(frame, second, data, depth, theme);
            }
            _ => self.draw_picture(frame, below, data, current, theme),
        }
    }

    fn draw_list(&self, frame: &mut Frame<'_>, area: Rect, data: &Data, theme: Theme) {
        let name = data.weight(self.place).map_or("", |w| w.name.as_str());
        let room = usize::from(area.width).saturating_sub(6);
        let title = pieces::shortened(&escape::terminal(name), room);
        let inner = panel(frame, area, Line::styled(format!(" {title} "), theme.bold()), theme);
        let window = self.list.window(self.rows.len(), usize::from(inner.height));
        for (y, index) in (inner.top()..inner.bottom()).zip(window) {
            let Some(row) = self.rows.get(index) else { continue };
            let here = index == self.list.cursor;
            let room = usize::from(inner.width).saturating_sub(1);
            let line = self.row(row, here, room, data, theme);
            frame.buffer_mut().set_line(inner.x, y, &line, inner.width);
            if here {
                frame.buffer_mut().set_style(Rect { y, height: 1, ..inner }, theme.cursor());
            }
        }
    }

    fn row(&self, row: &Row, here: bool, width: usize, data: &Data, theme: Theme) -> Line<'static> {
        let mark = Span::raw(if here { "› " } else { "  " });
        let room = width.saturating_sub(2);
        match row {
            Row::Weight => {
                let text = pieces::shortened("overview", room);
                Line::from(vec![mark, Span::styled(text, theme.heading())])
            }
            Row::Finding(place) => {
                let Some(finding) = data.finding(*place) else { return Line::default() };
                let style = theme.severity(finding.severity);
                let code =
                    pieces::shortened(&escape::terminal(&finding.code), room.saturating_sub(2));
                let sign = format!("{} ", symbol(finding.severity));
                Line::from(vec![mark, Span::styled(sign, style), Span::raw(code)])
            }
            Row::Analyzer(id) => {
                let id = pieces::shortened(&escape::terminal(id), room);
                Line::from(vec![mark, Span::styled(id, theme.heading())])
            }
            Row::Metric(analyzer, key) => {
                let value =
                    data.weight(self.place).and_then(|w| w.analyses.get(analyzer)?.get(key));
                let (value, style) = match value {
                    None | Some(Value::Null) => ("none".to_owned(), theme.dim()),
                    Some(value) => (brief(value), Style::new()),
                };
                let name = escape::terminal(key).replace('_', " ");
                let room = room.saturating_sub(2);
                let taken = pieces::width(&name).min(room * 3 / 5) + 1;
                let value = pieces::shortened(&value, room.saturating_sub(taken));
                let name_room = room.saturating_sub(pieces::width(&value) + 1);
                let name = pieces::shortened(&name, name_room);
                Line::from(vec![
                    mark,
                    Span::raw("  "),
                    Span::raw(padded(&name, name_room)),
                    Span::styled(right(&value, pieces::width(&value) + 1), style),
                ])
            }
        }
    }

    fn draw_about(&self, frame: &mut Frame<'_>, area: Rect, data: &Data, theme: Theme) {
        let mut text = Text::new(usize::from(area.width).saturating_sub(4), theme);
        match self.rows.get(self.list.cursor) {
            None | Some(Row::Weight) => about::weight(&mut text, data, self.place, theme),
            Some(Row::Finding(place)) => {
                if let Some(finding) = data.finding(*place) {
                    about::finding(&mut text, data, finding, false, theme);
                }
            }
            Some(Row::Analyzer(id)) => {
                text.plain_bold(id);
                text.blank();
                match data.descriptor(id) {
                    Some(descriptor) => text.plain(descriptor.summary),
                    None => text.dim("this program does not know it: another one measured it"),
                }
            }
            Some(Row::Metric(analyzer, key)) => {
                let siblings = self.over_depth(data, analyzer, key);
                about::metric(&mut text, data, self.place, analyzer, key, &siblings, theme);
            }
        }
        let inner = panel(frame, area, Line::default(), theme);
        let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
        self.about.draw(frame, inner, &text.lines);
        if self.about.is_cut() {
            note(frame, area, "[ ] more", theme.dim());
        }
    }

    fn draw_picture(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        data: &Data,
        index: usize,
        theme: Theme,
    ) {
        let pictures = self.pictures(data);
        let Some(picture) = pictures.get(index).copied() else {
            let inner = panel(frame, area, Line::default(), theme);
            let text = pieces::shortened(
                " no figures of this weight in the report",
                usize::from(inner.width),
            );
            frame.buffer_mut().set_string(inner.x, inner.y, text, theme.dim());
            return;
        };
        let metric = self.metric(data);
        let title = match picture {
            Picture::Figure(f) => data.figure(f).map_or_else(String::new, |f| f.title.clone()),
            Picture::Depth => metric.map_or_else(String::new, |(_, key)| {
                format!("{} of its siblings over the blocks", key.replace('_', " "))
            }),
        };
        let room = usize::from(area.width).saturating_sub(14);
        let title = pieces::shortened(&escape::terminal(&title), room);
        let mut spans = vec![Span::raw(" "), Span::styled(title, theme.bold()), Span::raw(" ")];
        if pictures.len() > 1 {
            spans
                .push(Span::styled(format!("‹{}/{}› ", index + 1, pictures.len()), theme.accent()));
        }
        let inner = panel(frame, area, Line::from(spans), theme);
        let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
        match (picture, metric) {
            (Picture::Figure(f), _) => {
                if let Some(figure) = data.figure(f) {
                    figure::draw(frame.buffer_mut(), inner, figure, theme);
                }
            }
            (Picture::Depth, Some((analyzer, key))) => {
                self.draw_depth(frame, inner, data, analyzer, key, theme);
            }
            (Picture::Depth, None) => {}
        }
    }

    /// A metric of all siblings, with this weight pointed out.
    fn draw_depth(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        data: &Data,
        analyzer: &str,
        key: &str,
        theme: Theme,
    ) {
        let points = self.over_depth(data, analyzer, key);
        let many = data.weight(self.place).is_some_and(|w| w.expert.is_some());
        let stroke = if many { Stroke::Points } else { Stroke::Line };
        let log = data.metric(analyzer, key).is_some_and(|m| m.siblings)
            && points.iter().all(|(_, y)| *y > 0.0);
        let curve = Curve {
            name: key.replace('_', " "),
            points: points.into_iter().map(Some).collect(),
            stroke,
        };
        let own = data
            .weight(self.place)
            .and_then(|w| Some((f64::from(w.block?), w.number(analyzer, key)?)));
        let y = escape::terminal_within(key, 60).replace('_', " ");
        plot::curves(frame.buffer_mut(), area, &[curve], ["block", &y], [false, log], own, theme);
    }
}

/// A value in a word or two.
fn brief(value: &Value) -> String {
    match value {
        Value::List(items) if items.len() > 2 => {
            format!("{} values", pieces::count(items.len() as u64))
        }
        Value::Map(entries) => match entries.get("count").and_then(Value::as_u64) {
            Some(count) => pieces::count(count),
            None => "…".to_owned(),
        },
        other => pieces::value(other),
    }
}
