//! Zeros, near-zeros, dead units, 2:4 structure and what magnitude pruning would keep.
//!
//! All numbers come from the shared [`stats::Summary`]; rows are output units and columns input features in
//! every family, however the tensor is stored. Neurons of gated MLPs are judged together: unit `j` is dead
//! when its gate row, up row and down column are.
#![forbid(unsafe_code)]

mod coupled;
mod judge;
mod measure;

use weightscope_core::{
    AnalyzeError, Analyzer, DType, Descriptor, FindingSpec, MetricSpec, ModelGraph, Output,
    ParameterSpec, Report, Severity, Unit, UnitSpec, Verdicts, stats,
};

/// The analyzer `sparsity`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sparsity;

const DEAD_NORM: ParameterSpec = ParameterSpec {
    key: "dead_norm",
    default: 1e-3,
    doc: "A row or column is dead when its norm is at most this share of the median norm.",
};
const DEAD_COUPLED: ParameterSpec = ParameterSpec {
    key: "dead_coupled",
    default: 1e-6,
    doc: "A gated neuron is dead when the product of its gate, up and down norms is at most this share of the median product.",
};
const DEAD_MIN_ENTRIES: ParameterSpec = ParameterSpec {
    key: "dead_min_entries",
    default: 16.0,
    doc: "Rows and columns with fewer entries are not judged dead: chance makes short ones small.",
};
const DEAD_SHARE: ParameterSpec = ParameterSpec {
    key: "dead_share_critical",
    default: 0.05,
    doc: "Share of dead units that is critical.",
};
const PRUNABLE_SHARE: ParameterSpec = ParameterSpec {
    key: "prunable_share",
    default: 0.5,
    doc: "Prunable share of the weights (at 99 % of the energy) that is worth saying.",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "sparsity",
    version: 1,
    summary: "Zeros, dead units, 2:4 structure and what magnitude pruning keeps",
    metrics: &[
        MetricSpec::new("zero_fraction", "", "Share of finite values that are exactly zero, 0 to 1.").trend(),
        MetricSpec::new("below", "", "Share of magnitudes below each absolute threshold: [{threshold, fraction}] at 1e-8 1e-6 1e-4 1e-3 1e-2."),
        MetricSpec::new("below_rms", "", "Share of magnitudes below each multiple of the root mean square: [{threshold, fraction}] at 1e-3 1e-2 1e-1. A normal has 0.08 % below 1e-3 and 8 % below 1e-1."),
        MetricSpec::new("zero_rows", "", "Output units whose weights are all zero: {count, first}, the first 16 indices."),
        MetricSpec::new("zero_columns", "", "Input features whose weights are all zero: {count, first}."),
        MetricSpec::new("dead_rows", "", "Output units with a norm of at most 1e-3 of the median row norm (zero rows included): {count, first}."),
        MetricSpec::new("dead_columns", "", "Input features with a norm of at most 1e-3 of the median column norm: {count, first}."),
        MetricSpec::new("nm_2_4_fraction", "", "Share of full groups of 4 consecutive inputs with at least 2 zeros: 1 is 2:4 structured sparsity (Mishra et al., arXiv 2104.08378)."),
        MetricSpec::new("nm_2_4_energy_loss", "", "Energy of the two smallest magnitudes of every group of 4 inputs, over the whole energy: what 2:4 pruning by magnitude would take; 0.14 for a normal.").trend(),
        MetricSpec::new("hoyer", "", "Hoyer sparseness (sqrt n - l1/l2)/(sqrt n - 1), 0 for equal magnitudes to 1 for a single value; about 0.2 for a normal (Hoyer 2004).").trend(),
        MetricSpec::new("magnitude_quantiles", "weight", "Quantiles of the magnitudes: {p10, p25, p50, p75, p90}."),
        MetricSpec::new("energy_kept_at", "", "Share of the energy left when the smallest 10 .. 90 % of the magnitudes are pruned: [{pruned, kept}]."),
        MetricSpec::new("prunable", "", "Largest share of smallest magnitudes that can go while 99 % of the energy stays: about 0.26 for a normal.").trend(),
        MetricSpec::new("coupled_dead", "", "Neurons of a gated MLP whose gate row, up row and down column together are dead (product of norms at most 1e-6 of the median): {count, first}. Recorded with the gate matrix."),
    ],
    parameters: &[DEAD_NORM, DEAD_COUPLED, DEAD_MIN_ENTRIES, DEAD_SHARE, PRUNABLE_SHARE],
    findings: &[
        FindingSpec {
            code: "sparsity.dead-units",
            severities: &[Severity::Warning, Severity::Critical],
            doc: "Rows or columns of a matrix, or neurons of a gated MLP, whose norm is at most 1e-3 of the median. With 16 Gaussian entries chance makes one with probability below 1e-40. Critical above 5 % of the units.",
            advice: "prune them without loss, or find out why training left them",
        },
        FindingSpec {
            code: "sparsity.prunable",
            severities: &[Severity::Info],
            doc: "The matrix is already 2:4 sparse, or half of its weights can go while 99 % of the energy stays.",
            advice: "store or run it sparse",
        },
        FindingSpec {
            code: "tokens.untrained",
            severities: &[Severity::Info],
            doc: "Zero or dead rows of a token embedding: padding, reserved or never-trained tokens.",
            advice: "expected for padding and reserved tokens; keep them out of quantization statistics",
        },
    ],
    ..Descriptor::EMPTY
};

impl Analyzer for Sparsity {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        let mut units = UnitSpec::each(graph, |w| {
            w.part.is_parameter() && w.dtype.is_some_and(DType::is_float)
        });
        units.extend(coupled::units(graph));
        units
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        if let [gate, up, down] = unit.views() {
            return coupled::measure([gate, up, down], unit.value(&DEAD_COUPLED), out);
        }
        let view = unit.first();
        measure::measure(view.weight(), &*view.summary()?, unit.value(&DEAD_NORM), out);
        Ok(())
    }

    fn measuring_parameters(&self) -> &'static [&'static str] {
        &[DEAD_NORM.key, DEAD_COUPLED.key]
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        judge::judge(report, out);
    }
}

/// Norms from energies.
fn norms(energies: &[f64]) -> Vec<f64> {
    energies.iter().map(|e| e.sqrt()).collect()
}

/// Indices at or below `line` as `{count, first}`.
fn indices(values: &[f64], line: f64) -> weightscope_core::Value {
    let hits: Vec<u64> =
        (0u64..).zip(values).filter(|(_, v)| **v <= line).map(|(index, _)| index).collect();
    let first: weightscope_core::Value = hits.iter().take(16).copied().collect();
    weightscope_core::Value::map([("count", (hits.len() as u64).into()), ("first", first)])
}

/// The median of `values`, 0 when there are none.
fn median(values: &[f64]) -> f64 {
    stats::median(values).unwrap_or(0.0)
}
