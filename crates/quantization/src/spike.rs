//! How far the neurons of a gated MLP can raise an output.
//!
//! A neuron `j` returns `act(gate_j x) (up_j x)`, which for large inputs grows with the squares of `x`; with a norm before
//! the MLP `x_i` is about the gain `g_i`. `|sum_i g_i^2 gate[j, i] up[j, i]| |down[o, j]|` is therefore what an input of
//! independent values makes of the pair of neuron and output in the mean. Values that change a language model when they
//! are set to zero ("super weights", arXiv 2411.07191) stand out in it by three orders of magnitude, and not by their size.

use weightscope_core::{
    AnalyzeError, Axis, Cost, DType, InputNorm, ModelGraph, Output, Role, Unit, UnitSpec, Value,
    WeightId, WeightView,
};

/// The metric.
pub(crate) const METRIC: &str = "mlp_spike";

/// Values of a panel of gate and up at a time, unless one row is longer.
const PANEL_VALUES: u64 = 64 * 1024;
/// Work for every value, in the units of [`Cost::work`].
const WORK: f64 = 20.0;
/// Bits of a magnitude that counts are kept by: 8 of the exponent and 10 of the fraction, 0.1 % of the value.
const KEY_BITS: u32 = 18;
/// Down, gate, up and the norm before them, of every gated MLP; where gate and up are one tensor, that one.
pub(crate) fn units(graph: &ModelGraph) -> Vec<UnitSpec> {
    let mlps = graph.mlps();
    let norms = graph.input_norms(&mlps);
    let unit = |(mlp, norm): (&weightscope_core::Mlp, &InputNorm)| {
        let up = graph.weights.get(mlp.up.0 as usize)?;
        let is_joined = up.role == Role::MlpGateUp;
        let inputs = match mlp.gate {
            Some(gate) => vec![gate, mlp.up],
            None if is_joined && joined(up).is_some() => vec![mlp.up],
            None => return None,
        };
        let norm = match norm {
            InputNorm::Gains(norm) => Some(*norm),
            InputNorm::Bare => None,
            InputNorm::Unknown => return None,
        };
        let weights: Vec<WeightId> = [mlp.down].into_iter().chain(inputs).chain(norm).collect();
        let is_float = |id: &WeightId| {
            let weight = graph.weights.get(id.0 as usize);
            weight.and_then(|weight| weight.dtype).is_some_and(DType::is_float)
        };
        weights.iter().all(is_float).then_some(UnitSpec { weights })
    };
    mlps.iter().zip(&norms).filter_map(unit).collect()
}

/// Every value once, and a table of counts.
pub(crate) fn cost(unit: &UnitSpec, graph: &ModelGraph) -> Cost {
    let weights = unit.weights.iter().filter_map(|id| graph.weights.get(id.0 as usize));
    let (mut values, mut longest) = (0u64, 0u64);
    for weight in weights {
        values = values.saturating_add(weight.elements());
        longest = weight.matrix.map_or(longest, |[out, input]| longest.max(out).max(input));
    }
    let panels = PANEL_VALUES.max(longest).saturating_mul(2 * 8);
    let vectors = longest.saturating_mul(3 * 8);
    let scratch_bytes = panels.saturating_add(vectors).saturating_add(8 << KEY_BITS);
    Cost { work: WORK * values as f64, scratch_bytes }
}

/// First rows of gate and up in a fused weight that has one after the other.
fn joined(weight: &weightscope_core::Weight) -> Option<[u64; 2]> {
    let first = |role| {
        let part = weight.fused.iter().find(|part| part.role == role)?;
        match part.rows.as_slice() {
            [rows] => Some(rows.start),
            _ => None,
        }
    };
    Some([first(Role::MlpGate)?, first(Role::MlpUp)?])
}

/// Measures one MLP.
pub(crate) fn measure(unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
    let [down, inputs @ ..] = unit.views() else { return Ok(()) };
    let is_norm = |view: &&WeightView<'_>| view.weight().role == Role::Norm;
    let norm = inputs.last().filter(is_norm);
    let mut finite = down.summary()?.all_finite();
    for view in inputs {
        finite = finite && view.summary()?.all_finite();
    }
    if !finite {
        out.undefined(METRIC, "not every value of the MLP is finite");
        return Ok(());
    }
    let [_, neurons] = down.size();
    let matrices = &inputs[..inputs.len() - usize::from(norm.is_some())];
    let (gate, up, starts) = match matrices {
        [gate, up] => (gate, up, [0, 0]),
        [both] => match joined(both.weight()) {
            Some(starts) => (both, both, starts),
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    let width = gate.size()[1];
    if width == 0 || neurons == 0 {
        out.undefined(METRIC, "the MLP has no values");
        return Ok(());
    }
    let Some(squares) = squares_of_gains(norm, width)? else {
        out.undefined(METRIC, "the norm before the MLP has another width");
        return Ok(());
    };
    let reach = reach([gate, up], starts, neurons, &squares)?;
    let found = strongest(down, &reach)?;
    out.metric_or(METRIC, found, "most of it is zero");
    Ok(())
}

/// Squares of the gains of the norm; ones where there is none.
fn squares_of_gains(
    norm: Option<&WeightView<'_>>,
    width: u64,
) -> Result<Option<Vec<f64>>, AnalyzeError> {
    let Some(norm) = norm else { return Ok(Some(vec![1.0; width as usize])) };
    let [rows, columns] = norm.size();
    if rows.checked_mul(columns) != Some(width) {
        return Ok(None);
    }
    let mut gains = vec![0.0; width as usize];
    norm.panel(Axis::Rows, 0..rows, &mut gains)?;
    let one = if norm.weight().from_one { 1.0 } else { 0.0 };
    for gain in &mut gains {
        *gain = (*gain + one) * (*gain + one);
    }
    Ok(Some(gains))
}

/// `|sum_i g_i^2 gate[j, i] up[j, i]|` of every neuron.
fn reach(
    [gate, up]: [&WeightView<'_>; 2],
    starts: [u64; 2],
    neurons: u64,
    squares: &[f64],
) -> Result<Vec<f64>, AnalyzeError> {
    let width = squares.len();
    let step = (PANEL_VALUES / width as u64).clamp(1, neurons.max(1));
    let mut panels = [(); 2].map(|()| vec![0f64; step as usize * width]);
    let mut reach = Vec::with_capacity(neurons as usize);
    for first in (0..neurons).step_by(step as usize) {
        let count = step.min(neurons - first);
        let values = count as usize * width;
        for ((view, start), panel) in [gate, up].into_iter().zip(starts).zip(&mut panels) {
            let rows = start + first..start + first + count;
            view.panel(Axis::Rows, rows, &mut panel[..values])?;
        }
        let [gate, up] = &panels;
        let rows = gate[..values].chunks_exact(width).zip(up[..values].chunks_exact(width));
        reach.extend(rows.map(|(gate, up)| {
            let terms = squares.iter().zip(gate).zip(up).map(|((square, g), u)| square * g * u);
            terms.sum::<f64>().abs()
        }));
    }
    Ok(reach)
}

/// The pair of output and neuron that reaches furthest, against the median pair; `None` where that is zero.
fn strongest(down: &WeightView<'_>, reach: &[f64]) -> Result<Option<Value>, AnalyzeError> {
    let mut counts = vec![0u64; 1 << KEY_BITS];
    let (mut best, mut place) = (0.0, (0, 0, 0.0));
    let (mut energy, mut pairs) = (0.0, 0u64);
    down.for_each_row(|row, values: &[f64]| {
        for ((unit, value), reach) in (0u64..).zip(values).zip(reach) {
            let size = value.abs();
            let pair = reach * size;
            energy += size * size;
            // Order is that of the bits, and ten bits of the fraction are enough for a median.
            let key = (pair as f32).to_bits() >> (31 - KEY_BITS);
            if let Some(count) = counts.get_mut(key as usize) {
                *count += 1;
            }
            if pair > best {
                (best, place) = (pair, (row, unit, size));
            }
        }
        pairs += values.len() as u64;
    })?;
    let mut left = pairs / 2;
    let middle = counts.iter().position(|count| {
        let is_here = left < *count;
        left = left.saturating_sub(*count);
        is_here
    });
    let bits = |key: usize| f64::from(f32::from_bits((key as u32) << (31 - KEY_BITS)));
    // Half-way between the ends of the rung.
    let median = middle.filter(|key| *key > 0).map(|key| f64::midpoint(bits(key), bits(key + 1)));
    let (row, unit, size) = place;
    let rms = (energy / pairs.max(1) as f64).sqrt();
    let found = median.filter(|median| best > 0.0 && best.is_finite() && median.is_finite());
    Ok(found.map(|median| {
        Value::map([
            ("row", row.into()),
            ("unit", unit.into()),
            ("ratio", (best / median).into()),
            ("rms", (size / rms).into()),
        ])
    }))
}
