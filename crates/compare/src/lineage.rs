//! Whether one checkpoint descends from the other: neurons that match by one matrix match by another.
//!
//! A neuron of an MLP owns a row of each matrix that leads into the hidden layer and a column of the one that leads out.
//! Neurons of BASE are matched with those of TUNED twice, by two of these, each time as mutual nearest neighbours by
//! cosine. In models that were trained apart the two matchings have nothing to do with each other; in related ones they
//! agree, also when somebody has put the neurons into another order (Zhu et al. 2025, arXiv 2502.12292).

use std::ops::Range;

use indexmap::IndexMap;
use weightscope_core::stats::{normal_cdf, spearman};
use weightscope_core::{
    AnalyzeError, Analyzer, Cost, DType, Descriptor, MetricSpec, ModelGraph, Order, Output, Part,
    Role, Unit, UnitSpec, Weight, WeightId, WeightView,
};
use weightscope_linalg::{Matrix, SpectrumError, Watch, nearest_bytes, nearest_rows};

use crate::parameters::{LINEAGE, NEURONS};
use crate::spectra::analyze_error;

/// The analyzer `lineage`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lineage;

pub(crate) const ID: &str = "lineage";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "Whether one checkpoint descends from the other, by matched MLP neurons",
    compares: true,
    metrics: &[
        MetricSpec::new(
            "matched_neurons",
            "count",
            "Neurons of a sample of BASE's MLP that have a mutual nearest neighbour in TUNED by both of two matrices: gate and up, or up (rows) and down (columns).",
        ),
        MetricSpec::new(
            "match_correlation",
            "",
            "Spearman's correlation of the two matchings, -1 to 1: about 0 for models trained apart, 1 for related ones, whatever the order of the neurons (arXiv 2502.12292).",
        ),
        MetricSpec::new(
            "match_p_value",
            "",
            "Chance of a correlation at least as large in unrelated models, from rho sqrt(n - 1) being about standard normal.",
        ),
    ],
    parameters: LINEAGE,
    ..Descriptor::EMPTY
};

/// Fewest neurons that both matchings must have.
const FEWEST: usize = 8;
/// MLPs that are matched at most, evenly spread over depth.
const BLOCKS: usize = 8;
/// Features of all neurons that are read at a time.
const FEATURES: usize = 64;
/// Smallest probability that is stated.
const LEAST: f64 = 1e-300;

impl Analyzer for Lineage {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    /// One unit a block: BASE's and TUNED's first matrix, BASE's and TUNED's second.
    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        blocks(graph).into_iter().map(|block| UnitSpec { weights: block.to_vec() }).collect()
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        let first = unit.weights.first().and_then(|id| graph.weights.get(id.0 as usize));
        let Some([hidden, width]) = first.and_then(|w| w.matrix) else { return Cost::default() };
        let sample = (NEURONS.default as u64).min(hidden);
        Cost {
            // Two matrices, there and back.
            work: 8.0 * (hidden * width) as f64 * sample as f64,
            scratch_bytes: nearest_bytes(width as usize, sample as usize)
                + 16 * sample * width
                + 8 * FEATURES as u64 * hidden,
        }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let [base, tuned, base_second, tuned_second] = unit.views() else { return Ok(()) };
        let sides = [
            Neurons::first(*base),
            Neurons::first(*tuned),
            Neurons::second(*base_second),
            Neurons::second(*tuned_second),
        ];
        let [Some(a), Some(b), Some(c), Some(d)] = sides else { return Ok(()) };
        let hidden = a.count().min(c.count());
        let sample = sample(hidden, unit.value(&NEURONS) as u64);
        let both = matched(unit, &a, &b, &sample)
            .and_then(|first| Ok((first, matched(unit, &c, &d, &sample)?)));
        let (first, second) = match both {
            Err(SpectrumError::NotFinite) => {
                for key in ["matched_neurons", "match_correlation", "match_p_value"] {
                    out.undefined(key, "values that are NaN or infinite");
                }
                return Ok(());
            }
            both => both.map_err(analyze_error)?,
        };
        let both =
            first.iter().zip(&second).filter_map(|(a, b)| Some(((*a)? as f64, (*b)? as f64)));
        let (x, y): (Vec<f64>, Vec<f64>) = both.unzip();
        out.metric("matched_neurons", x.len() as u64);
        let found = spearman(&x, &y).filter(|found| found.n >= FEWEST);
        let why = format!("fewer than {FEWEST} neurons match by both matrices");
        out.metric_or("match_correlation", found.map(|f| f.rho), &why);
        let p = found.map(|f| normal_cdf(-f.rho * (f.n as f64 - 1.0).sqrt()).clamp(LEAST, 1.0));
        out.metric_or("match_p_value", p, &why);
        Ok(())
    }

    fn measuring_parameters(&self) -> &'static [&'static str] {
        &[NEURONS.key]
    }
}

/// Chance of so small probabilities from independent tests (Fisher), and its logarithm to base 10: the sum of -2 ln p
/// has a chi-squared distribution with two degrees of freedom for each. `None` without tests.
pub fn fisher(p_values: &[f64]) -> Option<f64> {
    if p_values.is_empty() {
        return None;
    }
    let x: f64 = p_values.iter().map(|p| -p.max(LEAST).ln()).sum();
    // exp(-x) sum of x^i/i!, summed as logarithms because exp(-x) may vanish.
    let mut log_term = 0.0;
    let mut sum = 0.0f64;
    let mut largest = f64::NEG_INFINITY;
    let terms: Vec<f64> = (0..p_values.len())
        .map(|i| {
            if i > 0 {
                log_term += x.ln() - (i as f64).ln();
            }
            largest = largest.max(log_term);
            log_term
        })
        .collect();
    for term in terms {
        sum += (term - largest).exp();
    }
    Some((sum.ln() + largest - x).min(0.0) / std::f64::consts::LN_10)
}

/// The matrices of up to [`BLOCKS`] MLPs, evenly spread over depth.
fn blocks(graph: &ModelGraph) -> Vec<[WeightId; 4]> {
    let pairs = graph.pairing.iter().flat_map(|pairing| &pairing.pairs);
    let mut mlps: IndexMap<_, [Option<[WeightId; 2]>; 3]> = IndexMap::new();
    for pair in pairs {
        let Some(weight) = graph.weights.get(pair[0].0 as usize) else { continue };
        let slot = match weight.role {
            Role::MlpGate | Role::MlpGateUp => 0,
            Role::MlpUp => 1,
            Role::MlpDown => 2,
            _ => continue,
        };
        let is_matrix = weight.part == Part::Weight && weight.matrix.is_some();
        if let (Some(block), true) = (weight.block, is_matrix) {
            let place = (weight.stack, block, weight.expert);
            if let Some(slot) = mlps.entry(place).or_default().get_mut(slot) {
                slot.get_or_insert(*pair);
            }
        }
    }
    let mut chosen = IndexMap::new();
    for ((stack, block, _), [gate, up, down]) in mlps {
        let (Some([a, b]), Some([c, d])) =
            (gate.or(up), if gate.is_some() { up.or(down) } else { down })
        else {
            continue;
        };
        // One expert stands for its block.
        if fits(graph, [a, b, c, d]) {
            chosen.entry((stack, block)).or_insert([a, b, c, d]);
        }
    }
    let count = chosen.len();
    let picked = (0..BLOCKS.min(count)).map(|i| (2 * i + 1) * count / (2 * BLOCKS.min(count)));
    picked.filter_map(|i| chosen.get_index(i).map(|(_, units)| *units)).collect()
}

/// Whether the four have neurons that can be matched.
fn fits(graph: &ModelGraph, ids: [WeightId; 4]) -> bool {
    let weights = ids.map(|id| graph.weights.get(id.0 as usize));
    let [Some(a), Some(b), Some(c), Some(d)] = weights else { return false };
    let sound = |w: &&Weight| w.dtype.is_some_and(DType::is_float) && w.elements() > 0;
    let sound = [a, b, c, d].iter().all(sound);
    sound
        && lines(a, true).is_some()
        && lines(b, true).is_some()
        && lines(c, false).is_some()
        && lines(d, false).is_some()
}

/// Which lines of a matrix the neurons own: rows of what leads into the hidden layer (the gate's of a fused gate and
/// up), columns of what leads out of it.
fn lines(weight: &Weight, first: bool) -> Option<(Range<u64>, bool)> {
    let [out, input] = weight.matrix?;
    match weight.role {
        Role::MlpDown => Some((0..input, true)),
        // Fused, it is both matrices: the gate is the first, the down projection the second.
        Role::MlpGateUp => {
            let gate = weight.fused.iter().find(|part| part.role == Role::MlpGate)?;
            let [rows] = &gate.rows[..] else { return None };
            first.then(|| (rows.clone(), false))
        }
        _ => Some((0..out, false)),
    }
}

/// `count` of `hidden` neurons, evenly spread.
fn sample(hidden: u64, count: u64) -> Vec<u64> {
    let count = count.min(hidden);
    (0..count).map(|i| i * hidden / count.max(1)).collect()
}

/// The neurons of one matrix as rows.
#[derive(Clone)]
struct Neurons<'a> {
    view: WeightView<'a>,
    lines: Range<u64>,
    /// Whether they are columns of the view.
    are_columns: bool,
}

impl<'a> Neurons<'a> {
    fn first(view: WeightView<'a>) -> Option<Self> {
        Self::of(view, true)
    }

    fn second(view: WeightView<'a>) -> Option<Self> {
        Self::of(view, false)
    }

    fn of(view: WeightView<'a>, first: bool) -> Option<Self> {
        let (lines, are_columns) = lines(view.weight(), first)?;
        Some(Self { view, lines, are_columns })
    }

    fn count(&self) -> u64 {
        self.lines.end - self.lines.start
    }

    fn width(&self) -> u64 {
        let [out, input] = self.view.size();
        if self.are_columns { out } else { input }
    }

    /// Some neurons, one after the other.
    fn read_some(&self, which: &[u64]) -> Result<Vec<f64>, AnalyzeError> {
        let (width, count) = (self.width() as usize, self.count() as usize);
        let mut values = vec![0.0; which.len() * width];
        if self.are_columns == self.view.weight().transposed {
            for (row, line) in values.chunks_exact_mut(width.max(1)).zip(which) {
                let line = *line as usize;
                self.read(line..line + 1, 0..width, weightscope_linalg::Order::RowMajor, row)?;
            }
            return Ok(values);
        }
        // Stored across: some features of all neurons at a time, of which a few are kept.
        let mut panel = Vec::new();
        for first in (0..width).step_by(FEATURES) {
            let features = first..width.min(first + FEATURES);
            panel.resize(features.len() * count, 0.0);
            self.read(
                0..count,
                features.clone(),
                weightscope_linalg::Order::ColumnMajor,
                &mut panel,
            )?;
            for (feature, all) in features.zip(panel.chunks_exact(count.max(1))) {
                for (row, line) in values.chunks_exact_mut(width).zip(which) {
                    row[feature] = all[*line as usize];
                }
            }
        }
        Ok(values)
    }
}

impl Matrix for Neurons<'_> {
    type Error = AnalyzeError;

    fn shape(&self) -> [usize; 2] {
        [self.count() as usize, self.width() as usize]
    }

    fn read(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        order: weightscope_linalg::Order,
        into: &mut [f64],
    ) -> Result<(), AnalyzeError> {
        let first = self.lines.start;
        let neurons = first + rows.start as u64..first + rows.end as u64;
        let features = columns.start as u64..columns.end as u64;
        let by_row = order == weightscope_linalg::Order::RowMajor;
        if self.are_columns {
            // Rows of these are columns there.
            let order = if by_row { Order::ColumnMajor } else { Order::RowMajor };
            self.view.block(features, neurons, order, into)
        } else {
            let order = if by_row { Order::RowMajor } else { Order::ColumnMajor };
            self.view.block(neurons, features, order, into)
        }
    }
}

/// For every neuron of the sample its mutual nearest neighbour in TUNED, where there is one.
fn matched(
    unit: &Unit<'_>,
    base: &Neurons<'_>,
    tuned: &Neurons<'_>,
    sample: &[u64],
) -> Result<Vec<Option<usize>>, SpectrumError<AnalyzeError>> {
    if base.width() != tuned.width() {
        return Ok(vec![None; sample.len()]);
    }
    let monitor = Watch(|| unit.threads(), |flops| unit.advance(flops).is_ok());
    let some = |neurons: &Neurons<'_>, which: &[u64]| {
        neurons.read_some(which).map_err(SpectrumError::Read)
    };
    let there = nearest_rows(&some(base, sample)?, tuned, &monitor)?;
    let partners: Vec<u64> = there.iter().map(|n| n.map_or(0, |n| n.row as u64)).collect();
    let back = nearest_rows(&some(tuned, &partners)?, base, &monitor)?;
    let mutual =
        |((there, back), own): ((&Option<_>, &Option<weightscope_linalg::Nearest>), &u64)| {
            let there: &weightscope_linalg::Nearest = there.as_ref()?;
            back.as_ref().filter(|back| back.row as u64 == *own).map(|_| there.row)
        };
    Ok(there.iter().zip(&back).zip(sample).map(mutual).collect())
}
