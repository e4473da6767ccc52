//! Zeros, near-zeros, dead units, 2:4 structure and what magnitude pruning would keep.
//!
//! All numbers come from the shared [`weightscope_core::stats::Summary`]; rows are output units and columns input features in
//! every family, however the tensor is stored. Neurons of MLPs are judged together: unit `j` is dead when the product of
//! the norms of its gate row, up row and down column is.
#![forbid(unsafe_code)]

mod coupled;
mod judge;
mod measure;

use weightscope_core::{
    AnalyzeError, Analyzer, DType, Descriptor, FindingSpec, MetricSpec, ModelGraph, Output,
    ParameterSpec, Report, Severity, Unit, UnitSpec, Verdicts,
};

/// The analyzer `sparsity`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sparsity;

const DEAD_NORM: ParameterSpec = ParameterSpec {
    key: "dead_norm",
    default: 1e-3,
    doc: "A row or column is dead when its norm is at most this share of the 90th percentile.",
};
const DEAD_COUPLED: ParameterSpec = ParameterSpec {
    key: "dead_coupled",
    default: 1e-6,
    doc: "A neuron is dead when the product of its gate, up and down norms is at most this share of the 90th percentile.",
};
const COLLAPSED: ParameterSpec = ParameterSpec {
    key: "collapsed",
    default: 0.05,
    doc: "A neuron has collapsed when that product is at most this share of the 90th percentile, and apart from the others.",
};
const COLLAPSED_GAP: ParameterSpec = ParameterSpec {
    key: "collapsed_gap",
    default: 3.0,
    doc: "How many times larger the next neuron's product must be for that.",
};
const DEAD_MIN_ENTRIES: ParameterSpec = ParameterSpec {
    key: "dead_min_entries",
    default: 16.0,
    doc: "Rows and columns with fewer entries are not judged dead: chance makes short ones small.",
};
const DEAD_SHARE: ParameterSpec = ParameterSpec {
    key: "dead_share_critical",
    default: 0.05,
    doc: "Share of dead units that is critical, and of collapsed ones that is a warning.",
};
const PRUNABLE_SHARE: ParameterSpec = ParameterSpec {
    key: "prunable_share",
    default: 0.5,
    doc: "Prunable share of the weights (at 99 % of the energy) that is worth saying.",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: "sparsity",
    version: 2,
    summary: "Zeros, dead units, 2:4 structure and what magnitude pruning keeps",
    metrics: &[
        MetricSpec::new("zero_fraction", "", "Share of finite values that are exactly zero, 0 to 1.").trend(),
        MetricSpec::new("below", "", "Share of magnitudes below each absolute threshold: [{threshold, fraction}] at 1e-8 1e-6 1e-4 1e-3 1e-2."),
        MetricSpec::new("below_rms", "", "Share of magnitudes below each multiple of the root mean square: [{threshold, fraction}] at 1e-3 1e-2 1e-1. A normal has 0.08 % below 1e-3 and 8 % below 1e-1."),
        MetricSpec::new("zero_rows", "", "Output units whose weights are all zero: {count, first, last}, the first 16 indices."),
        MetricSpec::new("zero_columns", "", "Input features whose weights are all zero: {count, first, last}."),
        MetricSpec::new("dead_rows", "", "Output units with a norm of at most 1e-3 of the 90th percentile of the rows (zero rows included): {count, first, last}."),
        MetricSpec::new("dead_columns", "", "Input features with a norm of at most 1e-3 of the 90th percentile of the columns: {count, first, last}."),
        MetricSpec::new("nm_2_4_fraction", "", "Share of full groups of 4 consecutive inputs with at least 2 zeros: 1 is 2:4 structured sparsity (Mishra et al., arXiv 2104.08378)."),
        MetricSpec::new("nm_2_4_energy_loss", "", "Energy of the two smallest magnitudes of every group of 4 inputs, over the whole energy: what 2:4 pruning by magnitude would take; 0.14 for a normal.").trend(),
        MetricSpec::new("hoyer", "", "Hoyer sparseness (sqrt n - l1/l2)/(sqrt n - 1), 0 for equal magnitudes to 1 for a single value; about 0.2 for a normal (Hoyer 2004).").trend(),
        MetricSpec::new("magnitude_quantiles", "weight", "Quantiles of the magnitudes: {p10, p25, p50, p75, p90}."),
        MetricSpec::new("energy_kept_at", "", "Share of the energy left when the smallest 10 .. 90 % of the magnitudes are pruned: [{pruned, kept}]."),
        MetricSpec::new("prunable", "", "Largest share of smallest magnitudes that can go while 99 % of the energy stays: about 0.26 for a normal.").trend(),
        MetricSpec::new("coupled_dead", "", "Neurons of an MLP whose gate row (of a gated one), up row and down column together are dead (product of their norms at most 1e-6 of the 90th percentile): {count, first, last}. Recorded with the gate, or up where there is none."),
        MetricSpec::new("collapsed_units", "", "Neurons that are not dead but whose product of norms is at most 0.05 of the 90th percentile, up to the widest step between two of them: {count, first, strongest (of them, as a share of the 90th percentile), next (the weakest of the others)}. Recorded as coupled_dead."),
    ],
    parameters: &[
        DEAD_NORM,
        DEAD_COUPLED,
        COLLAPSED,
        COLLAPSED_GAP,
        DEAD_MIN_ENTRIES,
        DEAD_SHARE,
        PRUNABLE_SHARE,
    ],
    findings: &[
        FindingSpec {
            code: "sparsity.dead-units",
            severities: &[Severity::Warning, Severity::Critical],
            doc: "Rows or columns of a matrix whose norm is at most 1e-3 of the 90th percentile (not of the median, which may be dead itself), or neurons of an MLP whose product of norms is at most 1e-6 of it. With 16 Gaussian entries chance makes one with probability below 1e-40. Critical above 5 % of the units. Matrices of at least 16 rows and columns and 4096 values. What it says of the values is exact; no study with a forward pass had a model with any.",
            advice: "neurons of an MLP can be removed, gate, up and down together; rows of other matrices cannot be removed alone: find out why training left them",
        },
        FindingSpec {
            code: "sparsity.collapsed-units",
            severities: &[Severity::Info, Severity::Warning],
            doc: "Neurons of an MLP are not dead but hardly there: the product of their norms is at most 0.05 of the 90th percentile, and the next neuron's is at least 3 times theirs. A warning above 5 % of the neurons. In all-MiniLM-L6-v2 no neuron is below 0.26 of it, and in SmolLM2-135M none below 0.17. That these norms say what removing them costs was not checked with a forward pass.",
            advice: "try the model without them, gate, up and down removed together; or find out why training left them (weight decay on units that no longer fire)",
        },
        FindingSpec {
            code: "sparsity.prunable",
            severities: &[Severity::Info],
            doc: "A fact, shown with --all: the matrix is already 2:4 sparse, or half of its weights hold 1 % of the energy. Energy is not function: with the smallest weights of all matrices at 1 % of the energy set to zero, SmolLM2-135M loses 0.86 nats a token and all-MiniLM-L6-v2 0.061 of its cosine, as much as by rounding to int4 in groups of 128.",
            advice: "store or run it sparse where it is 2:4 sparse; otherwise nothing by itself",
        },
        FindingSpec {
            code: "tokens.untrained",
            severities: &[Severity::Info],
            doc: "Zero or dead rows of a token embedding: padding, reserved or never-trained tokens.",
            advice: "expected for padding and reserved tokens; keep them out of quantization statistics",
        },
    ],
    reads: &["integrity"],
    ..Descriptor::EMPTY
};

impl Analyzer for Sparsity {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        let mut units = UnitSpec::each(graph, |w| {
            w.part.is_parameter() && !w.role.is_factor() && w.dtype.is_some_and(DType::is_float)
        });
        units.extend(coupled::units(graph));
        units
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        if unit.views().len() > 1 {
            let [dead, collapsed] = [&DEAD_COUPLED, &COLLAPSED].map(|line| unit.value(line));
            return coupled::measure(unit.views(), dead, collapsed, out);
        }
        let view = unit.first();
        measure::measure(view.weight(), &*view.summary()?, unit.value(&DEAD_NORM), out);
        Ok(())
    }

    fn measuring_parameters(&self) -> &'static [&'static str] {
        &[DEAD_NORM.key, DEAD_COUPLED.key, COLLAPSED.key]
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        judge::judge(report, out);
    }
}

/// Norms from energies.
fn norms(energies: &[f64]) -> Vec<f64> {
    energies.iter().map(|e| e.sqrt()).collect()
}

/// Indices at or below `line` as `{count, first, last}`.
fn indices(values: &[f64], line: f64) -> weightscope_core::Value {
    let hits: Vec<u64> =
        (0u64..).zip(values).filter(|(_, v)| **v <= line).map(|(index, _)| index).collect();
    let first: weightscope_core::Value = hits.iter().take(16).copied().collect();
    let count = weightscope_core::Value::from(hits.len() as u64);
    match hits.last() {
        Some(last) => weightscope_core::Value::map([
            ("count", count),
            ("first", first),
            ("last", (*last).into()),
        ]),
        None => weightscope_core::Value::map([("count", count), ("first", first)]),
    }
}

/// What a unit is held against: the 90th percentile of all, 0 when there are none. The median may be dead itself.
fn reference(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((0.9 * last as f64).round() as usize).copied().unwrap_or(0.0)
}
