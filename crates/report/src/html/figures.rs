//! Figures on their way into a page: which ones, thinned and rounded.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value as Json;
use weightscope_core::{Cells, Figure, FigureData, PORTRAITS, Report, Series, portraits};

use super::round::{exact, tidy, tidy_by};

/// Most points of a curve.
pub(crate) const MOST_POINTS: usize = 256;
/// Most dots of one colour.
const MOST_DOTS: usize = 1024;
/// Most cells of a heat map that keeps exact values; more go in 255 steps.
const MOST_EXACT_CELLS: usize = 4096;
/// Most figures of weights that are no portraits but have a section of their own.
const MOST_SECTIONED: usize = 600;
/// Analyzers whose figures have a section of their own, whatever weight they show.
const SECTIONED: [&str; 2] = ["attention", "position"];

/// Figures of the model, of the weights that the page shows whole, and of the sections that gather them
/// over weights; each as JSON with its weight's index under `w`.
pub(crate) fn chosen(report: &Report, places: &HashMap<&str, usize>) -> Vec<Json> {
    let whole: BTreeSet<&str> =
        portraits(report, PORTRAITS).into_iter().map(|w| w.name.as_str()).collect();
    let mut sectioned = 0;
    let mut shown = |figure: &&Figure| match figure.weight.as_deref() {
        None => true,
        Some(weight) if whole.contains(weight) => true,
        Some(_) if SECTIONED.contains(&figure.analyzer.as_ref()) => {
            sectioned += 1;
            sectioned <= MOST_SECTIONED
        }
        Some(_) => false,
    };
    let figures = report.figures.iter().filter(|figure| shown(figure));
    figures
        .filter_map(|figure| {
            let mut json = encode(figure)?;
            let place = figure.weight.as_deref().and_then(|name| places.get(name));
            json.as_object_mut()?.insert("w".to_owned(), Json::from(place.copied()));
            Some(json)
        })
        .collect()
}

/// One figure as JSON: every point, nine digits.
pub(crate) fn encode_exact(figure: &Figure) -> Option<Json> {
    let figure = Figure { weight: None, ..figure.clone() };
    let mut json = tidy_by(exact, serde_json::to_value(figure).ok()?, "levels");
    json.as_object_mut()?.remove("weight");
    Some(json)
}

/// One figure as JSON: as in the JSON report, but thinned, and with six digits.
pub(crate) fn encode(figure: &Figure) -> Option<Json> {
    let is_trend = figure.id.starts_with("trend.");
    let mut data = figure.data.clone();
    let mut thinned = 0;
    let mut bands = Vec::new();
    match &mut data {
        FigureData::Line { series } => {
            for series in series {
                if is_trend {
                    bands.push(gather(series));
                }
                thinned = thinned.max(thin(series, figure.axes.log_x));
            }
        }
        FigureData::Scatter { series } => {
            for series in series.iter_mut().filter(|s| s.x.len() > MOST_DOTS) {
                thinned = thinned.max(series.x.len());
                let step = series.x.len().div_ceil(MOST_DOTS);
                series.x = series.x.iter().copied().step_by(step).collect();
                series.y = series.y.iter().copied().step_by(step).collect();
            }
        }
        FigureData::Heatmap(map) if map.cells.len() > MOST_EXACT_CELLS => {
            map.cells = in_levels(&map.cells);
        }
        _ => {}
    }
    let figure = Figure { data, weight: None, ..figure.clone() };
    let mut json = tidy(serde_json::to_value(figure).ok()?, "levels");
    let object = json.as_object_mut()?;
    object.remove("weight");
    if thinned > 0 {
        object.insert("points".to_owned(), Json::from(thinned));
    }
    if bands.iter().any(Option::is_some) {
        object.insert("bands".to_owned(), tidy(serde_json::to_value(bands).ok()?, ""));
    }
    Some(json)
}

/// Keeps [`MOST_POINTS`] of a curve: the first, the last and evenly many between, evenly in the logarithm of
/// the place when x is logarithmic. Answers how many there were, or 0 when nothing was left out.
fn thin(series: &mut Series, log: bool) -> usize {
    let count = series.x.len().min(series.y.len());
    if count <= MOST_POINTS {
        return 0;
    }
    let (last, steps) = ((count - 1) as f64, (MOST_POINTS - 1) as f64);
    let mut kept: BTreeSet<usize> = BTreeSet::new();
    for step in 0..MOST_POINTS {
        let share = step as f64 / steps;
        let place = if log { (last + 1.0).powf(share) - 1.0 } else { last * share };
        kept.insert(place.round() as usize);
    }
    series.x = kept.iter().filter_map(|i| series.x.get(*i).copied()).collect();
    series.y = kept.iter().filter_map(|i| series.y.get(*i).copied()).collect();
    count
}

/// Where several weights stand at one depth, as experts do: the curve becomes their median, and the smallest
/// and largest are handed back as `[low, high]`.
fn gather(series: &mut Series) -> Option<[Vec<Option<f64>>; 2]> {
    let points = series.x.iter().zip(&series.y).filter_map(|(x, y)| Some((*x, (*y)?)));
    let mut points: Vec<(f64, f64)> = points.collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let groups: Vec<&[(f64, f64)]> = points.chunk_by(|a, b| a.0 == b.0).collect();
    if groups.iter().all(|group| group.len() < 2) {
        return None;
    }
    let at = |group: &[(f64, f64)], place: usize| group.get(place).map(|point| point.1);
    let low = groups.iter().map(|group| at(group, 0)).collect();
    let high = groups.iter().map(|group| at(group, group.len() - 1)).collect();
    series.x = groups.iter().filter_map(|group| group.first().map(|point| point.0)).collect();
    series.y = groups.iter().map(|group| at(group, group.len() / 2)).collect();
    Some([low, high])
}

fn in_levels(cells: &Cells) -> Cells {
    let Cells::Values { values } = cells else { return cells.clone() };
    let values: Vec<f64> = values.iter().map(|v| v.unwrap_or(f64::NAN)).collect();
    let finite = values.iter().copied().filter(|v| v.is_finite());
    let low = finite.clone().reduce(f64::min).unwrap_or(0.0);
    let high = finite.reduce(f64::max).unwrap_or(0.0);
    Cells::levels(&values, [low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n: usize) -> Series {
        let x = (1..=n).map(|i| i as f64);
        Series { name: "s".to_owned(), x: x.clone().collect(), y: x.map(Some).collect() }
    }

    #[test]
    fn curves_keep_their_ends() {
        for log in [false, true] {
            let mut curve = series(4096);
            assert_eq!(thin(&mut curve, log), 4096);
            assert!(curve.x.len() <= MOST_POINTS && curve.x.len() > 150, "{}", curve.x.len());
            assert_eq!((curve.x.first(), curve.x.last()), (Some(&1.0), Some(&4096.0)));
            assert_eq!(curve.x.len(), curve.y.len());
        }
        assert_eq!(thin(&mut series(MOST_POINTS), true), 0);
    }

    #[test]
    fn experts_become_a_median_with_a_band() {
        let mut curve = Series {
            name: "mlp_up".to_owned(),
            x: vec![0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
            y: [3.0, 1.0, 2.0, 6.0, 4.0, 5.0].map(Some).to_vec(),
        };
        let [low, high] = gather(&mut curve).unwrap();
        assert_eq!((curve.x, curve.y), (vec![0.0, 1.0], vec![Some(2.0), Some(5.0)]));
        assert_eq!((low, high), (vec![Some(1.0), Some(4.0)], vec![Some(3.0), Some(6.0)]));
        assert_eq!(gather(&mut series(5)), None);
    }
}
