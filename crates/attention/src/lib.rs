//! Attention heads: their norms, how alike they are, which belong together, and which do nothing.
//!
//! A head is the slice of `head_dim` rows of a query, key or value projection `[out, in]`. Fused projections
//! are cut into q, k and v first, however they are stored: slicing a fused matrix into equal parts cuts
//! across q, k and v.
#![forbid(unsafe_code)]

mod figures;
mod heads;
mod judge;
mod linkage;

use weightscope_core::{
    AnalyzeError, Analyzer, CauseSpec, Cost, Descriptor, FindingSpec, MetricSpec, ModelGraph,
    Output, ParameterSpec, Reach, Report, Severity, Unit, UnitSpec, Value, Verdicts,
};

use crate::heads::{Heads, Part};
pub use crate::linkage::{Merge, ward_linkage};

/// The analyzer `attention`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention;

const ID: &str = "attention";

const DUPLICATE_COSINE: ParameterSpec = ParameterSpec {
    key: "duplicate_cosine",
    default: 0.99,
    doc: "Cosine of two whole head slices above which they are told.",
};
const COPY_COSINE: ParameterSpec = ParameterSpec {
    key: "copy_cosine",
    default: 0.999,
    doc: "Cosine of two whole head slices above which one is a copy of the other; weight decay alone leaves heads at 0.998.",
};
const DEAD_NORM: ParameterSpec = ParameterSpec {
    key: "dead_norm",
    default: 1e-3,
    doc: "Head norm, as a share of the median of its part, at or below which a head is dead.",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "Attention heads: norms, similarity, clusters, duplicates and dead heads",
    metrics: &[
        MetricSpec::new("heads", "weight", "Frobenius norm of every head's slice of head_dim rows: [{part q | k | v, head, norm}]."),
        MetricSpec::new("head_similarity", "", "Cosine of every two heads' whole slices, -1 to 1: [{part, matrix}]; null beside a zero head. Independent random heads have about 0."),
        MetricSpec::new("head_linkage", "weight", "Ward's hierarchical clustering of the heads by their mean weight vectors: [{part, merges [[a, b, height, size], ..]}], as scipy.cluster.hierarchy.linkage(.., 'ward')."),
        MetricSpec::new("head_dissimilarity", "", "Mean of 1 - cosine over all pairs of heads' mean weight vectors, averaged over the parts: 0 for copies, about 1 for unrelated heads, up to 2. Undefined with a single head.").trend(),
        MetricSpec::new("duplicate_heads", "", "Pairs of heads of one part with a cosine above duplicate_cosine: [{part, a, b, cosine}]."),
        MetricSpec::new("dead_heads", "weight", "Heads with a norm of at most dead_norm of the median of their part: [{part, head, norm}]."),
    ],
    parameters: &[DUPLICATE_COSINE, COPY_COSINE, DEAD_NORM],
    findings: &[
        FindingSpec {
            code: "attention.duplicate-heads",
            severities: &[Severity::Warning, Severity::Info],
            doc: "Two heads of one projection have a cosine above 0.999 as whole slices: one is a copy of the other. Info above 0.99: nearly the same, which weight decay can do as well. Independent heads of n values have about 1/sqrt n.",
            advice: "look whether one of each pair can go; a model that was widened by copying heads has such pairs",
        },
        FindingSpec {
            code: "attention.dead-heads",
            severities: &[Severity::Warning],
            doc: "The norm of a head's slice is at most 1e-3 of the median of its part: it adds nothing, or attends evenly.",
            advice: "prune the head, or find out why training left it",
        },
    ],
    causes: &[
        CauseSpec {
            code: "attention.duplicate-heads",
            from: Severity::Warning,
            explains: &["spectral.rank-deficient"],
            reach: Reach::Weights,
        },
        CauseSpec {
            code: "attention.dead-heads",
            from: Severity::Warning,
            explains: &["sparsity.dead-units", "spectral.rank-deficient"],
            reach: Reach::Weights,
        },
    ],
    reads: &["integrity", "sparsity"],
    ..Descriptor::EMPTY
};

impl Analyzer for Attention {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        UnitSpec::each(graph, |weight| !heads::parts(weight).is_empty())
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        let weight = unit.weights.first().and_then(|id| graph.weights.get(id.0 as usize));
        let Some((weight, [_, input])) = weight.and_then(|w| Some((w, w.matrix?))) else {
            return Cost::default();
        };
        let mut cost = Cost::default();
        for part in heads::parts(weight) {
            let (count, slice) = (part.starts.len() as f64, part.head_dim as f64 * input as f64);
            // A product runs at an eighth of a matrix product's speed.
            cost.work += 8.0 * count * count * slice;
            let panel = part.starts.len() as u64 * input.max(64 * part.head_dim);
            let held = panel + part.starts.len() as u64 * (input + part.starts.len() as u64);
            cost.scratch_bytes = cost.scratch_bytes.max(8 * held);
        }
        cost
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let view = unit.first();
        if !view.summary()?.all_finite() {
            for metric in DESCRIPTOR.metrics {
                out.undefined(metric.key, "some values are NaN or infinite");
            }
            return Ok(());
        }
        let mut found = Found::default();
        for part in heads::parts(view.weight()) {
            let heads = Heads::read(&view, &part)?;
            found.add(unit, &part, &heads);
            unit.advance(0.0)?;
        }
        let dissimilarity = found.dissimilarities.iter().sum::<f64>();
        let parts = found.dissimilarities.len() as f64;
        out.metric("heads", Value::List(found.heads));
        out.metric("head_similarity", Value::List(found.similarity));
        out.metric("head_linkage", Value::List(found.linkage));
        let mean = (parts > 0.0).then(|| dissimilarity / parts);
        out.metric_or("head_dissimilarity", mean, "fewer than two heads that are not zero");
        out.metric("duplicate_heads", Value::List(found.duplicates));
        out.metric("dead_heads", Value::List(found.dead));
        Ok(())
    }

    fn portray(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let view = unit.first();
        for part in heads::parts(view.weight()) {
            let heads = Heads::read(&view, &part)?;
            if heads.count() > 0 {
                out.figure(figures::mean_rows(&part, &heads));
            }
        }
        Ok(())
    }

    fn measuring_parameters(&self) -> &'static [&'static str] {
        &[DUPLICATE_COSINE.key, DEAD_NORM.key]
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        judge::judge(report, out);
        figures::judge(report, out);
    }
}

/// Metrics of all parts of a weight.
#[derive(Debug, Default)]
struct Found {
    heads: Vec<Value>,
    similarity: Vec<Value>,
    linkage: Vec<Value>,
    duplicates: Vec<Value>,
    dead: Vec<Value>,
    dissimilarities: Vec<f64>,
}

impl Found {
    fn add(&mut self, unit: &Unit<'_>, part: &Part, heads: &Heads) {
        let name = || ("part", Value::from(part.name));
        let number = |head: usize| Value::Integer(head as u64);
        let norms: Vec<f64> = (0..heads.count()).map(|head| heads.norm(head)).collect();
        let normed = |(head, norm): (usize, f64)| {
            Value::map([name(), ("head", number(head)), ("norm", norm.into())])
        };
        self.heads.extend(norms.iter().copied().enumerate().map(normed));
        let row = |a: usize| (0..heads.count()).map(|b| heads.cosine(a, b)).collect::<Value>();
        let matrix = Value::List((0..heads.count()).map(row).collect());
        self.similarity.push(Value::map([name(), ("matrix", matrix)]));
        let merge = |merge: &Merge| {
            let [a, b] = merge.clusters.map(number);
            Value::List(vec![a, b, merge.height.into(), number(merge.size)])
        };
        let merges = linkage::of_heads(heads).iter().map(merge).collect();
        self.linkage.push(Value::map([name(), ("merges", Value::List(merges))]));
        let line = unit.value(&DUPLICATE_COSINE);
        let cosine = |a, b| Some(heads.cosine(a, b));
        for (_, [a, b], cosine) in judge::alike(part.name, heads.count(), line, cosine) {
            let pair = [name(), ("a", number(a)), ("b", number(b)), ("cosine", cosine.into())];
            self.duplicates.push(Value::map(pair));
        }
        let (faint, _) = judge::faint(&norms, unit.value(&DEAD_NORM));
        self.dead.extend(faint.into_iter().map(normed));
        self.dissimilarities.extend(heads.dissimilarity());
    }
}
