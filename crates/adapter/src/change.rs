//! Two adapters of one model: what changed in what they add.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use weightscope_core::{
    AnalyzeError, Analyzer, Conclusion, Cost, Descriptor, Evidence, Key, MetricSpec, ModelGraph,
    Output, Report, Unit, UnitSpec, Value, Verdicts, WeightId, WeightRecord,
};

use crate::factors;
use crate::judge::last_word;
use crate::measure::{self, NOT_FINITE, Pair};

/// The analyzer `adapter_change`.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdapterChange;

const ID: &str = "adapter_change";

/// Relative changes up to which two products are the same: what their difference is computed to.
const SAME: f64 = 1e-12;
/// Modules and kinds of modules that a message names.
const NAMED: usize = 4;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "What changed between two adapters, in the products that they add",
    compares: true,
    products: true,
    metrics: &[
        MetricSpec::new("module", "", "The module that both products are added to."),
        MetricSpec::new("rank", "", "Rank of BASE's product."),
        MetricSpec::new("other_rank", "", "Rank of TUNED's product, which may be another one."),
        MetricSpec::new("scale", "", "What BASE's B A is multiplied with, see `adapter`."),
        MetricSpec::new("other_scale", "", "What TUNED's is multiplied with."),
        MetricSpec::new("product_norm", "weight", "Frobenius norm of BASE's scale B A."),
        MetricSpec::new("other_product_norm", "weight", "Frobenius norm of TUNED's scale B A."),
        MetricSpec::new("product_distance", "weight", "Frobenius norm of the difference of both products, exact: the difference is the product [s B, -s' B'] [A; A'], whose singular values follow from QR factorisations."),
        MetricSpec::new("product_relative_l2", "", "product_distance over BASE's product_norm. Undefined when that is zero and TUNED's is not.").trend(),
        MetricSpec::new("product_cosine", "", "Cosine of the angle between both products as vectors, -1 to 1. Of adapters that were trained apart it is small."),
    ],
    reads: &["compare"],
    ..Descriptor::EMPTY
};

impl Analyzer for AdapterChange {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        if graph.pairing.is_none() {
            return Vec::new();
        }
        // BASE's weights come first.
        let mut modules: IndexMap<_, Vec<[WeightId; 2]>> = IndexMap::new();
        for pair in factors::pairs(graph) {
            let [a, _] = pair;
            let Some(weight) = graph.weights.get(a.0 as usize) else { continue };
            let Some(factor) = weight.factor.as_ref() else { continue };
            modules.entry((factor.module.clone(), weight.expert)).or_default().push(pair);
        }
        let unit = |pairs: Vec<[WeightId; 2]>| {
            let [base, tuned] = pairs.try_into().ok()?;
            Some(UnitSpec { weights: [base, tuned].concat() })
        };
        modules.into_values().filter_map(unit).collect()
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        let parts = [crate::cost(&[(0, 1)], unit, graph), crate::cost(&[(2, 3)], unit, graph)];
        let both = crate::cost(&[(0, 1), (2, 3)], unit, graph);
        Cost { work: both.work + parts.iter().map(|cost| cost.work).sum::<f64>(), ..both }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let [a, b, other_a, other_b] = unit.views() else { return Ok(()) };
        if let Some(factor) = measure::factor(a) {
            out.metric("module", factor.module.as_str());
        }
        let pairs = (Pair::of(*a, *b)?, Pair::of(*other_a, *other_b)?);
        let (Some(base), Some(tuned)) = pairs else {
            undefined(out, NOT_FINITE);
            return Ok(());
        };
        let sizes = [b.size()[0], a.size()[1]] == [other_b.size()[0], other_a.size()[1]];
        if !sizes || base.experts != tuned.experts {
            undefined(out, "the two products have other shapes");
            return Ok(());
        }
        out.metric("rank", base.rank());
        out.metric("other_rank", tuned.rank());
        out.metric("scale", base.scale);
        out.metric("other_scale", tuned.scale);
        let norm = |pairs: &[(Pair<'_>, f64)]| {
            Ok::<_, AnalyzeError>(measure::norm(&measure::singular_values(unit, pairs)?))
        };
        let [m, n] = [norm(&[(base, 1.0)])?, norm(&[(tuned, 1.0)])?];
        let mut distance = norm(&[(base, 1.0), (tuned, -1.0)])?;
        if distance <= SAME * m.max(n) {
            distance = 0.0;
        }
        out.metric("product_norm", m);
        out.metric("other_product_norm", n);
        out.metric("product_distance", distance);
        let relative = if distance == 0.0 { Some(0.0) } else { (m > 0.0).then(|| distance / m) };
        out.metric_or("product_relative_l2", relative, "BASE's product is zero");
        // |x - y|^2 = |x|^2 + |y|^2 - 2 x y, in units of the norms.
        let cosine = (m > 0.0 && n > 0.0).then(|| {
            let difference = (distance / m) * (distance / n);
            (0.5 * (m / n + n / m - difference)).clamp(-1.0, 1.0)
        });
        out.metric_or("product_cosine", cosine, "one of the two products is zero");
        Ok(())
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        judge(report, out);
    }
}

/// Every metric that was not written does not exist, for this reason.
fn undefined(out: &mut Output, why: &str) {
    for metric in DESCRIPTOR.metrics {
        if !out.metrics.contains_key(metric.key) {
            out.undefined(metric.key, why);
        }
    }
}

/// One module in both.
struct Changed<'a> {
    record: &'a WeightRecord,
    module: &'a str,
    norms: [f64; 2],
    distance: f64,
    ranks: [f64; 2],
}

fn judge(report: &Report, out: &mut Verdicts) {
    let [base, tuned] = report.models.as_slice() else { return };
    let (Some(base), Some(tuned)) = (base.adapter_alone(), tuned.adapter_alone()) else { return };
    let changed = |record: &'_ WeightRecord| -> Option<[f64; 5]> {
        let number = |metric| record.number(ID, metric);
        let norms = [number("product_norm")?, number("other_product_norm")?];
        let ranks = [number("rank")?, number("other_rank")?];
        Some([norms[0], norms[1], number("product_distance")?, ranks[0], ranks[1]])
    };
    let modules: Vec<Changed<'_>> = report
        .weights
        .iter()
        .filter_map(|record| {
            let [m, n, distance, rank, other] = changed(record)?;
            let module = record.metric(ID, "module").and_then(Value::as_str)?;
            Some(Changed { record, module, norms: [m, n], distance, ranks: [rank, other] })
        })
        .collect();
    let mut apart = String::new();
    if modules.len() as u64 != base.modules || modules.len() as u64 != tuned.modules {
        apart = format!(
            "; {} of BASE's {} and TUNED's {} modules are compared (BASE: {}; TUNED: {})",
            modules.len(),
            base.modules,
            tuned.modules,
            base.targets.join(", "),
            tuned.targets.join(", ")
        );
    }
    let evidence =
        |value: f64, metric| Evidence { weight: None, metric: Key::Borrowed(metric), value };
    let mut conclude = |code, message: String, evidence| {
        out.conclude(Conclusion {
            code: Key::Borrowed(code),
            analyzer: Key::Borrowed(ID),
            scope: "model".to_owned(),
            message,
            evidence,
            nothing: false,
        });
    };
    if modules.is_empty() {
        let message =
            format!("two adapters without a module in common: nothing is compared{apart}");
        conclude("adapter_change.apart", message, Vec::new());
        return;
    }
    let moved: Vec<&Changed<'_>> = modules.iter().filter(|m| m.distance > 0.0).collect();
    let ranks = ranks(&modules);
    if moved.is_empty() {
        let message = format!(
            "two adapters that add the same: the products of all {} modules are equal{ranks}{apart}",
            modules.len()
        );
        conclude("adapter_change.same", message, vec![evidence(0.0, "product_relative_l2")]);
        return;
    }
    let sum =
        |f: &dyn Fn(&Changed<'_>) -> f64| modules.iter().map(|m| f(m).powi(2)).sum::<f64>().sqrt();
    let (m, n, d) = (sum(&|m| m.norms[0]), sum(&|m| m.norms[1]), sum(&|m| m.distance));
    let mut parts = vec![format!(
        "two adapters: what they add differs in {} of {} modules",
        moved.len(),
        modules.len()
    )];
    let mut proof = Vec::new();
    if m > 0.0 {
        parts.push(format!(
            "by {} of its size (relative L2 of the products together)",
            round(d / m)
        ));
        proof.push(evidence(d / m, "product_relative_l2"));
    }
    let mut clauses = vec![parts.join(" ")];
    if m > 0.0 && n > 0.0 {
        let cosine = (0.5 * (m / n + n / m - (d / m) * (d / n))).clamp(-1.0, 1.0);
        if let Some(first) = clauses.first_mut() {
            *first = format!("{first}, cosine {}", round(cosine));
        }
        proof.push(evidence(cosine, "product_cosine"));
    }
    for (side, index) in [("BASE", 0), ("TUNED", 1)] {
        let silent: Vec<&Changed<'_>> =
            moved.iter().copied().filter(|m| m.norms.get(index) == Some(&0.0)).collect();
        if !silent.is_empty() {
            clauses.push(format!(
                "{side} adds nothing in {} of them ({})",
                silent.len(),
                kinds(&silent)
            ));
        }
    }
    let mut movers = moved.clone();
    let relative = |m: &Changed<'_>| if m.norms[0] > 0.0 { m.distance / m.norms[0] } else { 0.0 };
    movers.sort_by(|a, b| relative(b).total_cmp(&relative(a)));
    if let Some(largest) = movers.first().filter(|largest| relative(largest) > 0.0) {
        clauses.push(format!("most in {} ({})", largest.module, round(relative(largest))));
        proof.push(Evidence {
            weight: Some(largest.record.name.clone()),
            metric: Key::Borrowed("product_relative_l2"),
            value: relative(largest),
        });
    }
    let mut message = clauses.join("; ");
    message += &ranks;
    conclude("adapter_change.changed", format!("{message}{apart}"), proof);
}

/// What modules are called.
fn kinds(modules: &[&Changed<'_>]) -> String {
    let kinds: BTreeSet<&str> = modules.iter().filter_map(|m| last_word(m.module)).collect();
    let shown: Vec<&str> = kinds.iter().take(NAMED).copied().collect();
    let more = if kinds.len() > NAMED { ", .." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Where ranks differ.
fn ranks(modules: &[Changed<'_>]) -> String {
    let pairs: BTreeSet<[u64; 2]> =
        modules.iter().map(|m| m.ranks.map(|r| r as u64)).filter(|[a, b]| a != b).collect();
    match pairs.first() {
        Some([a, b]) if pairs.len() == 1 => format!("; rank {a} against {b}"),
        Some(_) => "; ranks differ".to_owned(),
        None => String::new(),
    }
}

/// Three significant digits.
fn round(x: f64) -> String {
    let digits = if x == 0.0 { 0 } else { (2 - x.abs().log10().floor() as i32).clamp(0, 9) };
    let text = format!("{x:.*}", digits as usize);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
