//! Figures of a whole comparison.

use indexmap::IndexSet;
use weightscope_core::{
    Axes, Cells, Figure, FigureData, HeatMap, Key, Report, Series, Ticks, Verdicts,
};

use crate::ID;
use crate::movement::{Pair, grouped, has_towers, role_of};

/// How many spectra are laid over each other.
const SPECTRA: usize = 8;

/// Movement by role, and by role and block, and the spectra of the largest movers.
pub(crate) fn judge(report: &Report, pairs: &[Pair<'_>], out: &mut Verdicts) {
    if !pairs.iter().any(|pair| pair.relative().is_some_and(|r| r > 0.0)) {
        return;
    }
    let towers = has_towers(report);
    let roles = grouped(pairs, |w| Some(role_of(w, towers)));
    let (labels, values) = roles.iter().map(|(role, moved)| (role.clone(), *moved)).unzip();
    out.figure(figure(
        "compare.roles",
        "Movement by role",
        Axes::new("role", "relative L2"),
        FigureData::Bar { labels, values },
    ));
    out.figures.extend(heat_map(pairs, towers));
    out.figures.extend(spectra(report, pairs));
}

fn figure(id: &'static str, title: &str, axes: Axes, data: FigureData) -> Figure {
    Figure {
        id: Key::Borrowed(id),
        weight: None,
        analyzer: Key::Borrowed(ID),
        title: title.to_owned(),
        axes,
        data,
    }
}

/// Roles against blocks; `None` without blocks.
fn heat_map(pairs: &[Pair<'_>], towers: bool) -> Option<Figure> {
    let cells = grouped(pairs, |w| Some((role_of(w, towers), w.block?)));
    let roles: IndexSet<&str> = cells.keys().map(|(role, _)| role.as_str()).collect();
    let last = cells.keys().map(|(_, block)| *block).max()?;
    // A block's number comes from a name.
    let blocks = u64::from(last) + 1;
    if blocks * roles.len() as u64 > 1_000_000 {
        return None;
    }
    let value = |role: &str, block: u64| {
        let block = u32::try_from(block).ok()?;
        cells.get(&(role.to_owned(), block)).copied()
    };
    let places = roles.iter().flat_map(|role| (0..blocks).map(move |block| (*role, block)));
    let values = places.map(|(role, block)| value(role, block).unwrap_or(f64::NAN));
    let map = HeatMap {
        size: [roles.len() as u64, blocks],
        rows: Ticks::Names { names: roles.iter().map(|role| (*role).to_owned()).collect() },
        columns: Ticks::Lines { first: 0, step: 1 },
        pooling: Key::Borrowed(""),
        cells: Cells::values(values),
    };
    let title = "Movement by role and block (relative L2)";
    Some(figure("compare.movement", title, Axes::new("block", "role"), FigureData::Heatmap(map)))
}

/// The largest movers' spectra of change in one figure.
fn spectra(report: &Report, pairs: &[Pair<'_>]) -> Option<Figure> {
    let mut movers: Vec<&Pair<'_>> =
        pairs.iter().filter(|p| p.number("delta_spectral_norm").is_some()).collect();
    movers.sort_by(|a, b| b.relative().unwrap_or(0.0).total_cmp(&a.relative().unwrap_or(0.0)));
    let curve = |pair: &&Pair<'_>| -> Option<Series> {
        let name = pair.record.name.as_str();
        let own =
            |f: &&Figure| f.id == "compare.delta_spectrum" && f.weight.as_deref() == Some(name);
        let FigureData::Line { series } = &report.figures.iter().find(own)?.data else {
            return None;
        };
        Some(Series { name: name.to_owned(), ..series.first()?.clone() })
    };
    let series: Vec<Series> = movers.iter().take(SPECTRA).filter_map(curve).collect();
    let axes = Axes { log_x: true, log_y: true, ..Axes::new("rank", "singular value") };
    let title = "Singular values of the largest changes";
    (!series.is_empty())
        .then(|| figure("compare.delta_spectra", title, axes, FigureData::Line { series }))
}
