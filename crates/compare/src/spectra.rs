//! Singular values of what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use weightscope_core::{
    AnalyzeError, Analyzer, Axes, Axis, Cost, DType, Descriptor, Figure, FigureData, Key,
    ModelGraph, Order, Output, Parameters, Series, StorageGrid, Unit, UnitSpec, Weight,
    WeightRecord, WeightView,
};
use weightscope_linalg::{
    Matrix, Options, Spectrum, SpectrumError, SpectrumShape, Watch, above, cost, independent_norm,
    leading_cost, leading_singular_values, rounding_norm, singular_values, spread_ranks,
};

use crate::movement::is_explained;
use crate::parameters::{BUDGET, MOVERS, NO_SPECTRA, SPECTRAL};
use crate::{DESCRIPTOR, ID};

/// Metrics of the spectra, with the one that only `--spectral` asks for.
pub(crate) const METRICS: [&str; 11] = [
    "delta_stable_rank",
    "delta_effective_rank",
    "delta_energy_rank_90",
    "delta_rank_above_rounding",
    "delta_rank_at_least",
    "delta_rank_gap",
    "delta_rank_decay",
    "delta_rows",
    "delta_columns",
    "delta_spectral_norm",
    "spectral_shift",
];
/// What is said of the spectra of equal matrices.
pub(crate) const UNCHANGED: &str = "nothing changed";
/// What is said of those that were recast and nothing else.
pub(crate) const ROUNDED: &str =
    "nothing changed but the element type; --spectral measures every pair";
/// What is said of those that are not asked for.
pub(crate) const NOT_ASKED: &str = "not among the largest movers; --spectral measures every pair";
const NOT_SHIFT: &str = "computed on request: --spectral";
/// How far above the rounding of storing TUNED a direction of the change must stand, as a multiple.
const ABOVE_NOISE: f64 = 1.5;
/// Values of a weight that are compared at a time, unless one row is longer.
const LINE_VALUES: u64 = 64 * 1024;
/// Directions that a probe looks for in pairs whose whole spectrum is not measured, and how many of them may be above
/// the rounding.
const PROBED: usize = 72;
const MOST_PROBED: u64 = 48;
/// Points of a drawn spectrum at most.
const POINTS: usize = 256;

/// The follow-up: spectra of the pairs that changed, or of those that changed most.
#[derive(Debug)]
pub(crate) struct Spectra {
    units: Vec<UnitSpec>,
    /// BASE's weights whose low ranks alone are looked for, by stored tensor and name.
    probed: BTreeSet<(String, String)>,
}

/// A pair of matrices that changed.
struct Mover {
    unit: UnitSpec,
    relative: f64,
    flops: f64,
}

impl Spectra {
    /// The pairs whose spectra are worth their cost; `None` when there are none.
    pub(crate) fn of(
        graph: &ModelGraph,
        weights: &[&WeightRecord],
        parameters: &Parameters,
    ) -> Option<Self> {
        let value = |spec| parameters.value(ID, spec);
        if value(&NO_SPECTRA) != 0.0 {
            return None;
        }
        let all = value(&SPECTRAL) != 0.0;
        let pairs = graph.pairing.iter().flat_map(|pairing| &pairing.pairs);
        let records: BTreeMap<(&str, &str), &WeightRecord> = weights
            .iter()
            .filter(|w| w.other.is_some())
            .map(|w| ((w.source_tensor.as_str(), w.name.as_str()), *w))
            .collect();
        let mut movers = Vec::new();
        for pair in pairs {
            let [base, tuned] = pair.map(|id| graph.weights.get(id.0 as usize));
            let (Some(base), Some(tuned)) = (base, tuned) else { continue };
            let place = (base.source_tensor.as_str(), base.name.as_str());
            let Some(record) = records.get(&place) else { continue };
            let number = |metric| record.number(ID, metric).filter(|x| *x > 0.0);
            let Some(relative) = number("relative_l2") else { continue };
            // What rounding alone did has the spectrum of noise.
            if !all && (number("changed_fraction").is_none() || is_explained(record, parameters)) {
                continue;
            }
            let [rows, columns] = [base.layout.rows(), base.layout.columns()];
            let is_float = [base, tuned].iter().all(|w| w.dtype.is_some_and(DType::is_float));
            if base.matrix.is_some()
                && rows.min(columns) >= 2
                && is_float
                && base.part.is_parameter()
            {
                let flops = cost(rows as usize, columns as usize, &Options::default()).flops;
                movers.push(Mover { unit: UnitSpec { weights: pair.to_vec() }, relative, flops });
            }
        }
        let total: f64 = movers.iter().map(|mover| mover.flops).sum();
        if !all && total >= value(&BUDGET) {
            // Ties stay in the order of the model.
            movers.sort_by(|a, b| b.relative.total_cmp(&a.relative));
            let probed = movers.split_off(movers.len().min(value(&MOVERS) as usize));
            let base = |mover: &Mover| {
                let id = mover.unit.weights.first()?;
                graph.weights.get(id.0 as usize).map(place)
            };
            let probed_places = probed.iter().filter_map(base).collect();
            let units = movers.into_iter().chain(probed).map(|mover| mover.unit).collect();
            return Some(Self { units, probed: probed_places });
        }
        let units: Vec<UnitSpec> = movers.into_iter().map(|mover| mover.unit).collect();
        (!units.is_empty()).then_some(Self { units, probed: BTreeSet::new() })
    }
}

impl Analyzer for Spectra {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, _: &ModelGraph) -> Vec<UnitSpec> {
        self.units.clone()
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        let weight = unit.weights.first().and_then(|id| graph.weights.get(id.0 as usize));
        let Some(weight) = weight else { return Cost::default() };
        let [rows, columns] = [weight.layout.rows() as usize, weight.layout.columns() as usize];
        let is_probed = self.probed.contains(&place(weight));
        let cost = if is_probed {
            leading_cost(rows, columns, PROBED)
        } else {
            cost(rows, columns, &Options::default())
        };
        // A second panel beside the one that is multiplied.
        let side = if is_probed { columns } else { rows.min(columns) };
        let panel = 16 * 512 * side as u64;
        Cost { work: cost.flops, scratch_bytes: cost.bytes.saturating_add(panel) }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let [base, tuned] = unit.views() else { return Ok(()) };
        let monitor = Watch(|| unit.threads(), |flops| unit.advance(flops).is_ok());
        let [rows, columns] = base.size().map(|side| side as f64);
        let noise = match tuned.storage_grid()? {
            StorageGrid::Float(dtype) => {
                let [row, column] = largest_norms(tuned)?;
                rounding_norm(dtype.unit_roundoff().unwrap_or(0.0), row, column)
            }
            StorageGrid::Steps { rms } => independent_norm(rms, rows, columns),
        };
        let line = ABOVE_NOISE * noise;
        let change = Difference { base: Some(*base), tuned: *tuned };
        if self.probed.contains(&place(base.weight())) {
            let leading = leading_singular_values(&change, PROBED, &monitor);
            let leading = leading.map_err(analyze_error)?;
            if above(&leading, line) <= MOST_PROBED {
                ranks(base, tuned, &leading, line, out)?;
            } else {
                out.metric("delta_rank_at_least", MOST_PROBED);
            }
            return Ok(());
        }
        let spectrum = |matrix: &Difference<'_>| -> Result<Spectrum, AnalyzeError> {
            singular_values(matrix, &Options::default(), &monitor).map_err(analyze_error)
        };
        let zero = |view| Difference { base: None, tuned: view };
        let delta = spectrum(&change)?.singular_values;
        let negligible = delta.first().copied().unwrap_or(0.0) * rows.max(columns) * f64::EPSILON;
        let shape = SpectrumShape::of(&delta, above(&delta, negligible));
        out.metric_or("delta_stable_rank", shape.map(|s| s.stable_rank), UNCHANGED);
        out.metric_or("delta_effective_rank", shape.map(|s| s.effective_rank), UNCHANGED);
        out.metric_or("delta_energy_rank_90", shape.map(|s| s.energy_ranks[1]), UNCHANGED);
        ranks(base, tuned, &delta, line, out)?;
        out.undefined("delta_rank_at_least", "the whole spectrum is measured");
        out.metric("delta_spectral_norm", delta.first().copied().unwrap_or(0.0));
        if unit.value(&SPECTRAL) == 0.0 {
            out.undefined("spectral_shift", NOT_SHIFT);
        } else {
            let (a, b) = (spectrum(&zero(*base))?, spectrum(&zero(*tuned))?);
            let shift = shift(&a.singular_values, &b.singular_values);
            out.metric_or("spectral_shift", shift, "BASE is zero");
        }
        out.figure(figure(&delta, line));
        Ok(())
    }
}

/// What tells a weight from all others of its checkpoint.
fn place(weight: &Weight) -> (String, String) {
    (weight.source_tensor.clone(), weight.name.clone())
}

/// What the largest singular values of the change say of its rank above `line`.
fn ranks(
    base: &WeightView<'_>,
    tuned: &WeightView<'_>,
    delta: &[f64],
    line: f64,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let rank = above(delta, line);
    out.metric("delta_rank_above_rounding", rank);
    let [rows, columns] = base.size();
    // Below that, values are rounding errors of this calculation.
    let negligible =
        delta.first().copied().unwrap_or(0.0) * rows.max(columns) as f64 * f64::EPSILON;
    let at = |place: u64| delta.get(place as usize).map(|s| s.max(negligible));
    let ratio = |place: u64| Some(at(place)? / at(place + 1)?).filter(|r| r.is_finite());
    let gap = rank.checked_sub(1).and_then(ratio);
    out.metric_or("delta_rank_gap", gap, "no direction on one side of the line");
    let decay = ratio(rank).map(|first| first.max(ratio(rank + 1).unwrap_or(1.0)));
    out.metric_or("delta_rank_decay", decay, "too few directions below the line");
    let [changed_rows, changed_columns] = changed_lines(base, tuned)?;
    out.metric("delta_rows", changed_rows);
    out.metric("delta_columns", changed_columns);
    Ok(())
}

/// `||sigma(A) - sigma(B)|| / ||sigma(A)||`; `None` when A is zero.
fn shift(a: &[f64], b: &[f64]) -> Option<f64> {
    let distance: f64 = a.iter().zip(b).rev().map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = a.iter().rev().map(|a| a * a).sum();
    (norm > 0.0).then(|| (distance / norm).sqrt())
}

/// Norms of the largest row and of the largest column.
fn largest_norms(view: &WeightView<'_>) -> Result<[f64; 2], AnalyzeError> {
    let (mut row_energy, mut columns) = (0.0f64, vec![0.0f64; view.size()[1] as usize]);
    view.for_each_row(|_, row: &[f64]| {
        let mut energy = 0.0;
        for (x, column) in row.iter().zip(&mut columns) {
            energy += x * x;
            *column += x * x;
        }
        row_energy = row_energy.max(energy);
    })?;
    Ok([row_energy.sqrt(), columns.into_iter().fold(0.0, f64::max).sqrt()])
}

/// Rows and columns in which the two differ.
fn changed_lines(base: &WeightView<'_>, tuned: &WeightView<'_>) -> Result<[u64; 2], AnalyzeError> {
    let [rows, columns] = base.size();
    let height = (LINE_VALUES / columns.max(1)).clamp(1, rows.max(1));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let (mut changed_rows, mut changed_columns) = (0, vec![false; columns as usize]);
    for first in (0..rows).step_by(height as usize) {
        let lines = first..rows.min(first + height);
        let count = ((lines.end - lines.start) * columns) as usize;
        a.resize(count, 0.0f64);
        b.resize(count, 0.0f64);
        base.panel(Axis::Rows, lines.clone(), &mut a)?;
        tuned.panel(Axis::Rows, lines, &mut b)?;
        let width = columns.max(1) as usize;
        for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
            let mut any = false;
            for ((a, b), changed) in a.iter().zip(b).zip(&mut changed_columns) {
                let differs = a != b;
                any |= differs;
                *changed |= differs;
            }
            changed_rows += u64::from(any);
        }
    }
    Ok([changed_rows, changed_columns.into_iter().filter(|changed| *changed).count() as u64])
}

/// TUNED - BASE, or TUNED alone.
struct Difference<'a> {
    base: Option<WeightView<'a>>,
    tuned: WeightView<'a>,
}

impl Matrix for Difference<'_> {
    type Error = AnalyzeError;

    fn shape(&self) -> [usize; 2] {
        self.tuned.size().map(|side| side as usize)
    }

    fn read(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        order: weightscope_linalg::Order,
        into: &mut [f64],
    ) -> Result<(), AnalyzeError> {
        let lines = |range: Range<usize>| range.start as u64..range.end as u64;
        let order = match order {
            weightscope_linalg::Order::RowMajor => Order::RowMajor,
            weightscope_linalg::Order::ColumnMajor => Order::ColumnMajor,
        };
        self.tuned.block(lines(rows.clone()), lines(columns.clone()), order, into)?;
        if let Some(base) = &self.base {
            let mut other = vec![0.0; into.len()];
            base.block(lines(rows), lines(columns), order, &mut other)?;
            for (x, base) in into.iter_mut().zip(&other) {
                *x -= base;
            }
        }
        Ok(())
    }
}

/// What the engine is told.
pub(crate) fn analyze_error(error: SpectrumError<AnalyzeError>) -> AnalyzeError {
    match error {
        SpectrumError::Read(error) => error,
        SpectrumError::Stopped => AnalyzeError::Cancelled,
        other => AnalyzeError::Other(other.to_string().into()),
    }
}

/// Singular values of the change by rank, with the line that rounding stays below.
fn figure(delta: &[f64], line: f64) -> Figure {
    let ranks = spread_ranks(delta.len(), POINTS);
    let point = |rank: &usize| Some((*rank as f64, *delta.get(rank - 1)?));
    let (x, y) =
        ranks.iter().filter_map(point).map(|(x, y)| (x, Some(y).filter(|y| *y > 0.0))).unzip();
    let mut series = vec![Series { name: "TUNED - BASE".to_owned(), x, y }];
    // Far below everything it would only press the curve together.
    let last = delta.iter().rev().copied().find(|s| *s > 0.0).unwrap_or(0.0);
    if line > 0.1 * last {
        let x = vec![1.0, delta.len() as f64];
        series.push(Series { name: "rounding of TUNED".to_owned(), x, y: vec![Some(line); 2] });
    }
    Figure {
        id: Key::Borrowed("compare.delta_spectrum"),
        weight: None,
        analyzer: Key::Borrowed(ID),
        title: "Singular values of the change".to_owned(),
        axes: Axes { log_x: true, log_y: true, ..Axes::new("rank", "singular value") },
        data: FigureData::Line { series },
    }
}
