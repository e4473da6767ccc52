//! Low-rank adapters as what they add to a model: the products of their factors.
//!
//! An adapter adds `scale B A` to a weight, with A `[r, in]` and B `[out, r]` (LoRA, arXiv 2106.09685, section 4.1). Either
//! factor alone says nothing: an invertible matrix between them changes both and not their product. So a unit is the two
//! of a module, and what is measured is the product, whose singular values follow exactly from QR factorisations of both
//! (`weightscope_linalg::product_singular_values`); it is never formed. A transposed product (embeddings, `fan_in_fan_out`)
//! has the same ones. Of two adapters, the difference of their products is `[s B, -s' B'] [A; A']`, a product as well.
#![forbid(unsafe_code)]

mod change;
mod factors;
mod figures;
mod judge;
mod measure;

use weightscope_core::{
    AnalyzeError, Analyzer, CauseSpec, Cost, Descriptor, FindingSpec, MetricSpec, ModelGraph,
    Output, Reach, Report, Severity, Unit, UnitSpec, Verdicts,
};
use weightscope_linalg::product_cost;

pub use crate::change::AdapterChange;
use crate::measure::{Pair, ZERO};

/// The analyzer `adapter`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adapter;

const ID: &str = "adapter";

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "Low-rank adapters: the product scale B A that is added to each module",
    products: true,
    metrics: &[
        MetricSpec::new(
            "module",
            "",
            "The module that the product is added to, without what wrappers put into names.",
        ),
        MetricSpec::new(
            "rank",
            "",
            "Rank that the tensors have: A's outputs, of each expert where a stack of them lies in one tensor.",
        ),
        MetricSpec::new(
            "configured_rank",
            "",
            "Rank that adapter_config.json gives the module: r, or what rank_pattern says (PEFT: the first pattern that matches the end of the name). Undefined without one.",
        ),
        MetricSpec::new(
            "scale",
            "",
            "What B A is multiplied with: lora_alpha (or what alpha_pattern says) over the rank of the tensors, over its square root with use_rslora (arXiv 2312.03732); MLX says it directly, a GGUF has adapter.lora.alpha. 1 where nothing tells.",
        ),
        MetricSpec::new("scale_from", "", "Where the scale comes from, in words."),
        MetricSpec::new(
            "experts",
            "",
            "Products in the two tensors: A's rows one expert after the other, B's columns one rank after the other (PEFT's target_parameters). The numbers below are those of all together.",
        ),
        MetricSpec::new("a_norm", "weight", "Frobenius norm of A as stored."),
        MetricSpec::new("b_norm", "weight", "Frobenius norm of B as stored; 0 as training begins."),
        MetricSpec::new(
            "spectral_norm",
            "weight",
            "Largest singular value of scale B A: the most that it adds for an input of length 1.",
        )
        .siblings(),
        MetricSpec::new("frobenius_norm", "weight", "Frobenius norm of scale B A.")
            .trend()
            .siblings(),
        MetricSpec::new(
            "stable_rank",
            "",
            "sum lambda/lambda_1 of the product, lambda = sigma^2, 1 to the rank.",
        ),
        MetricSpec::new(
            "effective_rank",
            "",
            "exp of the entropy of sigma/sum sigma of the product, 1 to the rank (Roy & Vetterli 2007).",
        ),
        MetricSpec::new(
            "energy_rank_90",
            "",
            "Fewest singular values that hold 90 % of the product's energy.",
        ),
        MetricSpec::new(
            "share_of_first",
            "",
            "Share of the energy in the first direction, 0 to 1.",
        ),
        MetricSpec::new(
            "rank_used",
            "",
            "Singular values above what rounding the factors to their format leaves in the product: scale (noise of B ||A|| + ||B|| noise of A), spectral norms, with the storage noise of `spectral`.",
        ),
        MetricSpec::new(
            "rank_used_share",
            "",
            "rank_used over the rank: below 1, a smaller rank holds the same product.",
        ),
        MetricSpec::new(
            "singular_values",
            "weight",
            "Singular values of the product, descending; all others are zero.",
        ),
    ],
    findings: &[
        FindingSpec {
            code: "adapter.untrained",
            severities: &[Severity::Info, Severity::Warning],
            doc: "A factor is zero, so that its module is as it is without the adapter. B is zero when training begins: info when all of the adapter is, a warning when a part is.",
            advice: "some: check which modules the optimiser was given, or leave them out of the adapter",
        },
        FindingSpec {
            code: "adapter.rank-mismatch",
            severities: &[Severity::Critical],
            doc: "adapter_config.json gives modules another rank than their tensors have. PEFT refuses such shapes; loaders that take alpha over the configured rank multiply with another number than training did.",
            advice: "write the rank of the tensors into r (or rank_pattern)",
        },
        FindingSpec {
            code: "adapter.config",
            severities: &[Severity::Warning],
            doc: "adapter_config.json and the tensors contradict each other: targets without factors, factors outside of the targets, use_dora without magnitude vectors or the other way round, modules_to_save without tensors, a factor without the other, factors that do not fit together, or patterns that are not understood.",
            advice: "save the adapter again with save_pretrained, or correct adapter_config.json",
        },
        FindingSpec {
            code: "adapter.unlike-siblings",
            severities: &[Severity::Warning, Severity::Info],
            doc: "The norm of a product is more than twice or less than half the median of the same module in other blocks, and more than 6 robust standard deviations of the logarithm away; info in the first and the last block. Needs 6 siblings.",
            advice: "compare it with its neighbours: a factor that diverged or was scaled looks like this",
        },
    ],
    causes: &[CauseSpec {
        code: "adapter.untrained",
        from: Severity::Warning,
        explains: &["adapter.unlike-siblings"],
        reach: Reach::Weights,
    }],
    reads: &["integrity"],
    ..Descriptor::EMPTY
};

impl Analyzer for Adapter {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        factors::pairs(graph).into_iter().map(|pair| UnitSpec { weights: pair.to_vec() }).collect()
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        cost(&[(0, 1)], unit, graph)
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let [a, b] = unit.views() else { return Ok(()) };
        if let Some(factor) = measure::factor(a) {
            out.metric("module", factor.module.as_str());
            out.metric("rank", a.size()[0] / factor.experts.max(1));
            let configured = factor.configured_rank;
            out.metric_or("configured_rank", configured, "no configuration gives it one");
            out.metric("scale", factor.scale);
            let from = Some(factor.scale_from.as_str()).filter(|from| !from.is_empty());
            out.metric_or("scale_from", from, "no configuration says alpha or a scale");
            out.metric("experts", factor.experts);
        }
        let Some(pair) = Pair::of(*a, *b)? else {
            let written: Vec<_> = out.metrics.keys().cloned().collect();
            for metric in DESCRIPTOR.metrics.iter().filter(|m| written.iter().all(|k| k != m.key)) {
                out.undefined(metric.key, measure::NOT_FINITE);
            }
            return Ok(());
        };
        let found = measure::measure(unit, &pair)?;
        let [a_norm, b_norm] = pair.norms;
        out.metric("a_norm", a_norm);
        out.metric("b_norm", b_norm);
        let largest = found.sigma.first().copied().unwrap_or(0.0);
        out.metric("spectral_norm", largest);
        out.metric("frobenius_norm", measure::norm(&found.sigma));
        let shape = found.shape.as_ref();
        out.metric_or("stable_rank", shape.map(|s| s.stable_rank), ZERO);
        out.metric_or("effective_rank", shape.map(|s| s.effective_rank), ZERO);
        out.metric_or("energy_rank_90", shape.map(|s| s.energy_ranks[1]), ZERO);
        out.metric_or("share_of_first", shape.map(|s| 1.0 / s.stable_rank), ZERO);
        out.metric("rank_used", found.used);
        let all = (pair.rank() * pair.experts).max(1);
        out.metric("rank_used_share", found.used as f64 / all as f64);
        out.metric("singular_values", measure::list(&found.sigma));
        out.figures.extend(figures::spectrum(&found));
        Ok(())
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        judge::judge(report, out);
        out.figures.extend(figures::norms(report));
    }
}

/// What products of a unit take, their A's and B's at these places and side by side.
fn cost(pairs: &[(usize, usize)], unit: &UnitSpec, graph: &ModelGraph) -> Cost {
    let weight = |place: usize| graph.weights.get(unit.weights.get(place)?.0 as usize);
    let (mut out, mut input, mut rank, mut experts) = (0u64, 0u64, 0u64, 1u64);
    for (a, b) in pairs {
        let sizes = weight(*a).and_then(|w| w.matrix).zip(weight(*b).and_then(|w| w.matrix));
        let Some(([r, columns], [rows, _])) = sizes else { continue };
        (out, input) = (out.max(rows), input.max(columns));
        let factor = weight(*a).and_then(|w| w.factor.as_ref());
        experts = factor.map_or(1, |factor| factor.experts.max(1));
        rank += r / experts;
    }
    let one = product_cost(out as usize, rank as usize, input as usize);
    // Panels of raw bytes, and of two adapters side by side.
    let raw = rank.saturating_mul(16 * 512);
    Cost { work: one.flops * experts as f64, scratch_bytes: one.bytes.saturating_add(raw) }
}
