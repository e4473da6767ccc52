//! What quantization costs: outliers, and the error of every deployable format, measured on the weights.
//!
//! Every scheme of [`weightscope_codec::SCHEMES`] is applied to every weight, and its signal-to-noise ratio is held
//! against what independent normal weights of the same shape show. Output units are rows and groups run along the
//! inputs in every family, however a tensor is stored.
#![forbid(unsafe_code)]

mod baseline;
mod figures;
mod judge;
mod measure;
mod outliers;
mod parameters;
mod record;
mod spike;

use weightscope_core::{
    AnalyzeError, Analyzer, Cost, DType, Descriptor, FindingSpec, MetricSpec, ModelGraph, Output,
    Report, Severity, Unit, UnitSpec, Verdicts, Weight,
};

pub use baseline::normal_db;
pub use measure::{Measured, Run, SchemeErrors, measure, scratch_bytes};
pub use outliers::{LargeValue, Largest};

const ID: &str = "quantization";

/// The analyzer `quantization`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantization;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "Outliers, and the error of every quantization scheme",
    metrics: &[
        MetricSpec::new("dynamic_range", "", "Largest over mean magnitude."),
        MetricSpec::new("crest_factor", "", "Largest magnitude over root mean square: at most 6.4 in random weights.").trend(),
        MetricSpec::new("outliers_3sigma", "", "Share of values more than 3 standard deviations from the mean, 0 to 1: 0.0027 for a normal."),
        MetricSpec::new("outliers_6sigma", "", "The same for 6: 2e-9 for a normal."),
        MetricSpec::new("outliers_iqr_1_5", "", "Share of values beyond the quartiles by more than 1.5 interquartile ranges: 0.007 for a normal."),
        MetricSpec::new("outliers_iqr_3", "", "The same for 3 interquartile ranges, extreme outliers: 2e-6 for a normal, 0.008 for a Laplace distribution.").trend(),
        MetricSpec::new("outlier_columns", "", "Input features whose column norm is above 8 times the median: {count, first, largest {column, ratio, z}, above_3 (columns above 3 times the median)}; z is the robust one of the logarithm. Random weights stay below 1.67. Undefined where the median is zero."),
        MetricSpec::new("super_weights", "", "Values above 30 root mean squares, the largest 16: [{row, column, value, ratio}], ratio in root mean squares. Whether one of them matters to the model its size does not tell: see mlp_spike."),
        MetricSpec::new("largest_over_second", "", "Largest magnitude over the second largest: at most 1.41 in random weights."),
        MetricSpec::new("channel_abs_max", "weight", "Largest magnitude of every output unit: {quartiles (25, 50, 75 %), largest {row, ratio (to the median)}}."),
        MetricSpec::new("mlp_spike", "", "For the down matrix of a gated MLP, which output how far a neuron can raise at most: {row, unit, ratio, rms} of the largest |sum_i gain_i^2 gate[j,i] up[j,i]| |down[o,j]| over outputs o and neurons j, gain that of the norm before the MLP (1 + w where the family stores w). ratio is that over the median of all pairs (known to 0.05 %), rms the magnitude of down[o,j] in root mean squares of down. Undefined where not every value is finite."),
        MetricSpec::new("schemes", "", "What storing the weights in each scheme does: [{scheme, bits_per_weight (scales included), sqnr_db = 10 log10(sum w^2/sum e^2), mse, max_abs_error, cosine, excess_db (what independent normal weights of the shape have, less sqnr_db: positive is worse than noise), note}]. Weights are taken as f32. Exact ones have no sqnr_db and the note \"lossless\". Vectors have the schemes that need no rows."),
    ],
    parameters: parameters::ALL,
    findings: &[
        FindingSpec {
            code: "quantization.int8-unsafe",
            severities: &[Severity::Critical, Severity::Warning, Severity::Info],
            doc: "8-bit integers with a scale for every output unit keep less than 30 dB (critical: 20 dB). Random weights keep at least 41, healthy trained ones at least 31. No model that it fired on has been studied with a forward pass. Info, one line for the model: how many matrices keep less than 30 dB with one scale for the tensor, as a third of healthy ones do. With absolute lines: one scale for the tensor keeps less than 40 dB (critical: 30 dB), which most healthy matrices do.",
            advice: "keep it at 16 bits, or use smaller groups",
        },
        FindingSpec {
            code: "quantization.outliers",
            severities: &[Severity::Warning, Severity::Critical, Severity::Info],
            doc: "More than 1 % of the values (critical: 10 %) lie beyond 3 interquartile ranges, and 4-bit integers in groups of 128 lose 4 dB more than with normal weights (8-bit integers per output where rows are shorter). Random weights have at most 0.05 % and lose 0.8 dB more at most. Of matrices outside of blocks, info at most. With absolute lines the share alone decides: 0.1, 1 and 10 %.",
            advice: "smaller groups, or more bits here",
        },
        FindingSpec {
            code: "quantization.outlier-columns",
            severities: &[Severity::Warning, Severity::Info],
            doc: "A column norm is above 8 times the median, at most 5 % of the columns are above 3 times, and chance makes none as large (1e-3 over all columns of all judged matrices, with half as much again of room). Info where one value alone makes the column large, and nothing where that value is told as `quantization.super-weight`. No model that it fired on has been studied with a forward pass. Random weights stay below a ratio of 1.67.",
            advice: "rotate, or hold those columns out at 8 or more bits",
        },
        FindingSpec {
            code: "quantization.super-weight",
            severities: &[Severity::Info],
            doc: "The largest magnitude is above 150 root mean squares, or above 30 and 3 times the second largest, and at least twice the second largest. Random weights stay below 6.4 and 1.41. It sets the scale of formats with one scale for the tensor: on all-mpnet-base-v2 int8 for the tensor did 65 to 600 times the damage of int8 for rows, and holding the value out there cost 11 to 37 times less on all-MiniLM-L6-v2 and 1.05 to 5 on all-mpnet-base-v2; with groups it had no effect. That such a value decides what the model does held for 2 of 14.",
            advice: "hold it out of formats with one scale for the tensor",
        },
        FindingSpec {
            code: "quantization.mlp-spike",
            severities: &[Severity::Warning],
            doc: "In a gated MLP one pair of neuron and output reaches more than 500 times as far as the median pair (metric mlp_spike), by an output weight above 20 root mean squares. Such weights raise one feature of the residual stream by massive activations (arXiv 2411.07191, 2402.17762). Lines chosen on SmolLM2-135M: six, all in row 507; setting the value to zero costs 0.13 nats a token or more for four of them (3.0 for the largest), 0.034 and 0.009 for two. On Qwen2.5-Coder-0.5B, where nothing was chosen, five: 0.36, 0.12 and 0.037 for three, next to nothing for two. Strongest where other blocks have one in the same row.",
            advice: "measure this matrix before and after quantization; keep it at 8 or more bits where it suffers",
        },
    ],
    reads: &["integrity", "sparsity"],
    ..Descriptor::EMPTY
};

/// Work for every value, in the units of [`Cost::work`]: as many operations of a matrix product take as long.
const WORK: f64 = 160.0;

/// Whether rows and columns mean something.
fn is_matrix(weight: &Weight) -> bool {
    weight.matrix.is_some()
}

impl Analyzer for Quantization {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        let mut units = UnitSpec::each(graph, |weight| {
            weight.part.is_parameter()
                && !weight.role.is_factor()
                && weight.dtype.is_some_and(DType::is_float)
        });
        units.extend(spike::units(graph));
        units
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        if unit.weights.len() > 1 {
            return spike::cost(unit, graph);
        }
        let weight = unit.weights.first().and_then(|id| graph.weights.get(id.0 as usize));
        let Some(weight) = weight else { return Cost::default() };
        let size = weight.matrix.unwrap_or([1, weight.elements()]);
        Cost {
            work: weight.elements() as f64 * WORK,
            scratch_bytes: scratch_bytes(size, weight.transposed),
        }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        if unit.views().len() > 1 {
            return spike::measure(unit, out);
        }
        let view = unit.first();
        let summary = view.summary()?;
        let is_matrix = is_matrix(view.weight());
        let measured = match measure::obstacle(&summary) {
            None => Ok(measure(&view, is_matrix, &Hosted(unit))?),
            Some(why) => Err(why),
        };
        record::record(&view, &summary, measured.as_ref().map_err(String::as_str), out);
        Ok(())
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        judge::judge(report, out);
        figures::of_model(report, out);
    }
}

/// A measurement run by the engine.
struct Hosted<'a, 'u>(&'a Unit<'u>);

impl Run for Hosted<'_, '_> {
    fn threads(&self) -> usize {
        self.0.threads()
    }

    fn advance(&self, values: u64) -> Result<(), AnalyzeError> {
        self.0.advance(values as f64 * WORK)
    }
}
