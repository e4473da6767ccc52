//! Two figures of a spectrum: the singular values by rank, and the eigenvalues' density.

use weightscope_core::{Axes, Figure, FigureData, Key, Series};

use weightscope_linalg::spread_ranks;

use crate::{MarchenkoPastur, SpectralMetrics};

/// Most points of a curve.
const POINTS: usize = 256;
/// How near the storage noise comes to the smallest value before it is drawn.
const NEAR: f64 = 0.1;
/// Bins of the density, and points of the curve over it.
const BINS: usize = 60;

/// The figures of singular values, descending, of a matrix of this shape; none for a zero matrix.
pub(crate) fn figures(m: &SpectralMetrics, sigma: &[f64], shape: [u64; 2]) -> Vec<Figure> {
    if m.spectral_norm == 0.0 || m.numerical_rank == 0 {
        return Vec::new();
    }
    let law = MarchenkoPastur::new(shape[0] as f64, shape[1] as f64);
    vec![spectrum(m, sigma, law), density(m, sigma, law)]
}

fn series(name: &str, points: impl Iterator<Item = (f64, f64)>) -> Series {
    let positive = |y: f64| (y > 0.0 && y.is_finite()).then_some(y);
    let (x, y) = points.map(|(x, y)| (x, positive(y))).unzip();
    Series { name: name.to_owned(), x, y }
}

fn figure(id: &'static str, title: &str, axes: Axes, series: Vec<Series>) -> Figure {
    Figure {
        id: Key::Borrowed(id),
        weight: None,
        analyzer: Key::Borrowed(crate::ID),
        title: title.to_owned(),
        axes: Axes { log_x: true, log_y: true, ..axes },
        data: FigureData::Line { series },
    }
}

/// Singular values by rank, with those of a random matrix of the same median and the line below which storing
/// rounded them away.
fn spectrum(m: &SpectralMetrics, sigma: &[f64], law: MarchenkoPastur) -> Figure {
    let count = sigma.len();
    let ranks = spread_ranks(count, POINTS);
    let own = ranks.iter().filter_map(|r| Some((*r as f64, *sigma.get(r - 1)?)));
    let mut curves = vec![series("singular values", own)];
    if let Some(bulk) = &m.bulk {
        let random = ranks.iter().map(|r| {
            let share = 1.0 - (*r as f64 - 0.5) / count as f64;
            (*r as f64, bulk.deviation * law.quantile(share))
        });
        curves.push(series("random matrix", random));
    }
    // Far below all values it would only press them together.
    let least = sigma.iter().rev().copied().find(|s| *s > 0.0).unwrap_or(0.0);
    if m.storage_noise > NEAR * least {
        let ends = [1.0, count as f64];
        curves.push(series("storage noise", ends.into_iter().map(|r| (r, m.storage_noise))));
    }
    let title = "Singular values against a random matrix";
    figure("spectral.spectrum", title, Axes::new("rank", "singular value"), curves)
}

/// Density of the eigenvalues in bins of equal logarithmic width, with the random bulk and the power law.
fn density(m: &SpectralMetrics, sigma: &[f64], law: MarchenkoPastur) -> Figure {
    let logs = crate::measure::logs(sigma, m.numerical_rank);
    let (low, high) = (logs.first().copied().unwrap_or(0.0), logs.last().copied().unwrap_or(0.0));
    // Equal eigenvalues get one bin of a tenth of a decade.
    let width = ((high - low) / BINS as f64).max(0.1 / BINS as f64);
    let mut counts = [0u64; BINS];
    for log in &logs {
        let bin = (((log - low) / width) as usize).min(BINS - 1);
        if let Some(count) = counts.get_mut(bin) {
            *count += 1;
        }
    }
    let all = sigma.len() as f64;
    let edge = |bin: usize| (low + width * bin as f64).exp();
    let centre = |bin: usize| (low + width * (bin as f64 + 0.5)).exp();
    let histogram = counts
        .iter()
        .enumerate()
        .map(|(bin, count)| (centre(bin), *count as f64 / (all * (edge(bin + 1) - edge(bin)))));
    let mut curves = vec![series("eigenvalues", histogram)];
    if let Some(bulk) = &m.bulk {
        let points = (0..BINS).map(|i| {
            // Within the edges, which are zeros.
            let share = (i as f64 + 0.5) / BINS as f64;
            let s = law.quantile(share);
            // The density of the square of a scaled value.
            let scaled = bulk.deviation * s;
            (scaled * scaled, law.density(s) / (2.0 * scaled * bulk.deviation))
        });
        curves.push(series("random matrix", points));
    }
    if let Some(fit) = &m.power_law {
        let share = fit.tail as f64 / all;
        let at = |log: f64| {
            let density = share * (fit.alpha - 1.0) * (-fit.alpha * (log - fit.log_xmin)).exp();
            (log.exp(), density / fit.log_xmin.exp())
        };
        curves.push(series("power law", [fit.log_xmin, high].into_iter().map(at)));
    }
    // Squares of huge or tiny values are no numbers to draw.
    for curve in &mut curves {
        let sound: Vec<bool> = curve.x.iter().map(|x| x.is_finite() && *x > 0.0).collect();
        let mut keep = sound.iter();
        curve.x.retain(|_| keep.next() == Some(&true));
        let mut keep = sound.iter();
        curve.y.retain(|_| keep.next() == Some(&true));
    }
    let title = "Density of the eigenvalues, with the fitted power law";
    figure("spectral.eigenvalues", title, Axes::new("eigenvalue", "density"), curves)
}
