//! Weights of the same role at other depths: who stands apart, and what changes with depth.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use weightscope_stats::{Spearman, mad, median, spearman};

use crate::{
    Analyzer, Axes, Conclusion, Descriptor, Evidence, Figure, FigureData, Finding, FindingSpec,
    Key, Kind, ParameterSpec, Part, ReferenceKind, Report, Role, Series, Severity, Stack, Verdicts,
    WeightRecord, WeightStatus,
};

/// Fewest judged siblings for a verdict.
const MIN_SIBLINGS: ParameterSpec = ParameterSpec {
    key: "min_siblings",
    default: 6.0,
    doc: "Fewest weights of one role that are compared.",
};
/// Robust z-score line.
const Z_LINE: ParameterSpec = ParameterSpec {
    key: "sibling_z",
    default: 6.0,
    doc: "Distance from the siblings' median of the logarithm, in units of max(1.4826 MAD, 0.1).",
};
/// Factor line.
const FACTOR_LINE: ParameterSpec = ParameterSpec {
    key: "sibling_factor",
    default: 2.0,
    doc: "Least factor from the siblings' median.",
};
/// Correlation line of trends.
const TREND_RHO: ParameterSpec = ParameterSpec {
    key: "trend_rho",
    default: 0.8,
    doc: "Least rank correlation with depth that is called a trend.",
};
/// Probability line of trends, before division by how many are tested.
const TREND_ALPHA: ParameterSpec = ParameterSpec {
    key: "trend_alpha",
    default: 1e-3,
    doc: "Largest chance of one false trend in a model.",
};

/// Judgements that belong to no single analyzer: who stands apart from its siblings, and what changes with
/// depth. Codes begin with the analyzer whose metric it is. The settings have its parameters under its id.
pub static SIBLINGS: Descriptor = Descriptor {
    id: "siblings",
    summary: "Weights of one role compared over depth, for every analyzer's metrics",
    parameters: &[MIN_SIBLINGS, Z_LINE, FACTOR_LINE, TREND_RHO, TREND_ALPHA],
    findings: &[FindingSpec {
        code: "siblings.unlike-siblings",
        severities: &[Severity::Warning, Severity::Info],
        doc: "Raised as <analyzer>.unlike-siblings. A positive metric of a matrix is more than twice or less than half the median of the same role in other blocks, and more than 6 robust standard deviations of the logarithm away; one finding per weight, for the metric that stands out most; a fact in the first and the last blocks (the outermost sixteenth, at least one on either side), where healthy models often show it. Needs 6 judged siblings. No initialisation shows a factor 2.",
        advice: "compare it with its neighbours: a restored, rescaled or badly merged layer looks like this",
    }],
    ..Descriptor::EMPTY
};

/// Weights that can be compared over depth: the same module in every block of a tower.
#[derive(Clone, Debug)]
pub struct Siblings<'a> {
    /// What they do.
    pub role: Role,
    /// Which part of their module they are.
    pub part: Part,
    /// Their tower.
    pub stack: Option<Stack>,
    /// The end of their module's name, where the tower has several modules of the role in a block (self and cross
    /// attention, say); empty otherwise.
    pub module: String,
    /// The weights, in model order.
    pub members: Vec<&'a WeightRecord>,
}

/// All weights within blocks, by what they can be compared with, in model order.
pub fn sibling_groups(report: &Report) -> Vec<Siblings<'_>> {
    let mut groups: IndexMap<_, Siblings<'_>> = IndexMap::new();
    for weight in report.weights.iter().filter(|w| w.block.is_some() && w.part.is_parameter()) {
        let Siblings { role, part, stack, .. } = Siblings::of(weight);
        groups
            .entry((role, part, stack, without_numbers(&weight.name)))
            .or_insert_with(|| Siblings::of(weight))
            .members
            .push(weight);
    }
    let mut modules: BTreeMap<_, u32> = BTreeMap::new();
    for (role, part, stack, _) in groups.keys() {
        *modules.entry((*role, *part, *stack)).or_default() += 1;
    }
    for ((role, part, stack, name), group) in &mut groups {
        if modules.get(&(*role, *part, *stack)).is_some_and(|count| *count > 1) {
            group.module = end_of_module(name);
        }
    }
    groups.into_values().collect()
}

impl Siblings<'_> {
    fn of(weight: &WeightRecord) -> Self {
        let (role, part, stack) = (weight.role, weight.part, weight.stack);
        Self { role, part, stack, module: String::new(), members: Vec::new() }
    }

    /// In words: `encoder attention_q`, `decoder attention_q (EncDecAttention.q) bias`.
    pub fn scope(&self) -> String {
        let stack = self.stack.map_or_else(String::new, |s| format!("{s} "));
        stack + &self.within_tower()
    }

    fn within_tower(&self) -> String {
        let mut words = self.role.name().to_owned();
        if !self.module.is_empty() {
            words.extend([" (", &self.module, ")"]);
        }
        if self.part != Part::Weight {
            words.push(' ');
            words += self.part.name();
        }
        words
    }
}

/// A name with every number in it (blocks, experts) replaced: the same for a module in every block.
pub fn without_numbers(name: &str) -> String {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let words = name.split(['.', '#']).map(|word| if is_number(word) { "*" } else { word });
    words.collect::<Vec<_>>().join(".")
}

/// The last two words of a module's name.
fn end_of_module(name: &str) -> String {
    let words = name.split('.').filter(|w| !matches!(*w, "*" | "weight" | "bias" | "default"));
    let words: Vec<&str> = words.collect();
    words[words.len().saturating_sub(2)..].join(".")
}

/// One in so many blocks, and at least one, is an end of its tower on either side. Of 18 healthy models, 8 have a matrix
/// unlike its siblings there.
const ENDS: u32 = 16;

/// One metric of one weight against its siblings.
struct Outlier {
    analyzer: &'static str,
    metric: &'static str,
    value: f64,
    centre: f64,
    z: f64,
}

/// Finds matrices that stand apart from the same role in other blocks, one finding per weight, and
/// conclusions on what grows or falls with depth.
pub fn judge_siblings(report: &Report, analyzers: &[&dyn Analyzer], out: &mut Verdicts) {
    let groups = sibling_groups(report);
    for group in &groups {
        unlike_siblings(report, &group.members, analyzers, out);
    }
    trends(report, &groups, analyzers, out);
}

fn unlike_siblings(
    report: &Report,
    members: &[&WeightRecord],
    analyzers: &[&dyn Analyzer],
    out: &mut Verdicts,
) {
    let line = |spec| report.settings.parameters.value(SIBLINGS.id, spec);
    let judged: Vec<&WeightRecord> = members
        .iter()
        .copied()
        .filter(|w| match w.kind() {
            Kind::Matrix => w.is_statistical(),
            // What is compared is the product, however thin the factors are.
            Kind::Factor => w.status == WeightStatus::Ok,
            _ => false,
        })
        .collect();
    if (judged.len() as f64) < line(&MIN_SIBLINGS) {
        return;
    }
    let mut apart: IndexMap<&str, Vec<Outlier>> = IndexMap::new();
    for analyzer in analyzers {
        let descriptor = analyzer.descriptor();
        for spec in descriptor.metrics.iter().filter(|m| m.siblings) {
            let value = |w: &WeightRecord| {
                let counts = w.kind() != Kind::Factor || descriptor.products;
                w.number(descriptor.id, spec.key).filter(|v| counts && *v > 0.0)
            };
            let logs: Vec<f64> = judged.iter().filter_map(|w| value(w)).map(f64::ln).collect();
            let Some(centre) = median(&logs).filter(|_| logs.len() as f64 >= line(&MIN_SIBLINGS))
            else {
                continue;
            };
            let scale = (1.4826 * mad(&logs, centre).unwrap_or(0.0)).max(0.1);
            for weight in &judged {
                let Some(value) = value(weight) else { continue };
                let distance = value.ln() - centre;
                let z = distance / scale;
                if z.abs() > line(&Z_LINE) && distance.abs() > line(&FACTOR_LINE).ln() {
                    let outlier = Outlier {
                        analyzer: descriptor.id,
                        metric: spec.key,
                        value,
                        centre: centre.exp(),
                        z,
                    };
                    apart.entry(&weight.name).or_default().push(outlier);
                }
            }
        }
    }
    let blocks =
        judged.iter().filter_map(|w| w.block).max().map_or(0, |last| last.saturating_add(1));
    let end = blocks.div_ceil(ENDS).max(1);
    for (name, mut outliers) in apart {
        outliers.sort_by(|a, b| b.z.abs().total_cmp(&a.z.abs()));
        let Some(weight) = judged.iter().find(|w| w.name == name) else { continue };
        let Some((worst, also)) = outliers.split_first() else { continue };
        let factor = worst.value / worst.centre;
        let factor = if factor >= 1.0 {
            format!("{factor:.1} times larger")
        } else {
            format!("{:.1} times smaller", 1.0 / factor)
        };
        let mut message = format!(
            "{} is {factor} than in the other blocks (median of {} siblings, z {:.1})",
            worst.metric.replace('_', " "),
            judged.len(),
            worst.z
        );
        if !also.is_empty() {
            let others: Vec<String> = also.iter().map(|o| o.metric.replace('_', " ")).collect();
            message.push_str(", also ");
            message.push_str(&others.join(", "));
        }
        let at_the_end =
            weight.block.is_some_and(|block| block < end || block >= blocks.saturating_sub(end));
        let (severity, advice) = if at_the_end {
            message += "; the first and last blocks often differ in healthy models";
            (Severity::Info, "nothing by itself")
        } else {
            (
                Severity::Warning,
                "compare it with its neighbours: a restored, rescaled or badly merged layer looks like this",
            )
        };
        let finding = Finding {
            code: Key::Owned(format!("{}.unlike-siblings", worst.analyzer)),
            ..Finding::new("", severity, Some(name), message)
                .metric(worst.metric, worst.value)
                .threshold(worst.centre * line(&FACTOR_LINE).powf(worst.z.signum()))
                .reference(ReferenceKind::Siblings, worst.centre)
                .advice(advice)
        };
        if at_the_end {
            out.fact(finding);
        } else {
            out.push(finding);
        }
    }
}

/// Depth and value of one metric in one group, where it exists.
fn over_depth(members: &[&WeightRecord], analyzer: &str, metric: &str) -> (Vec<f64>, Vec<f64>) {
    let points =
        members.iter().filter_map(|w| Some((f64::from(w.block?), w.number(analyzer, metric)?)));
    points.unzip()
}

fn trends(
    report: &Report,
    groups: &[Siblings<'_>],
    analyzers: &[&dyn Analyzer],
    out: &mut Verdicts,
) {
    let line = |spec| report.settings.parameters.value(SIBLINGS.id, spec);
    let mut found = Vec::new();
    let mut tested = 0u32;
    for analyzer in analyzers {
        let descriptor = analyzer.descriptor();
        for spec in descriptor.metrics.iter().filter(|m| m.trend) {
            for group in groups.iter().filter(|group| is_judged(&group.members, descriptor)) {
                let (x, y) = over_depth(&group.members, descriptor.id, spec.key);
                if let Some(correlation) =
                    spearman(&x, &y).filter(|c| c.n as f64 >= line(&MIN_SIBLINGS))
                {
                    tested += 1;
                    found.push((descriptor.id, spec.key, group.scope(), correlation));
                }
            }
        }
    }
    for (analyzer, metric, scope, correlation) in found {
        if correlation.rho.abs() < line(&TREND_RHO)
            || correlation.p_value * f64::from(tested) > line(&TREND_ALPHA)
        {
            continue;
        }
        let direction = if correlation.rho > 0.0 { "grows" } else { "falls" };
        out.conclude(Conclusion {
            code: Key::Owned(format!("{analyzer}.trend")),
            analyzer: Key::Borrowed(analyzer),
            message: format!(
                "{metric} of {scope} {direction} with depth (rho {:.2} over {} weights)",
                correlation.rho, correlation.n
            ),
            scope,
            evidence: rank_correlation(&correlation),
            nothing: false,
        });
    }
}

/// A question about depth that is worth an answer either way.
#[derive(Clone, Copy, Debug)]
pub struct DepthQuestion {
    /// Code of the conclusion.
    pub code: &'static str,
    /// Whose metric it is.
    pub analyzer: &'static str,
    /// The metric.
    pub metric: &'static str,
    /// What it means when the metric grows.
    pub grows: &'static str,
    /// What it means when it falls.
    pub falls: &'static str,
    /// What to say when it does neither.
    pub neither: &'static str,
}

/// Largest chance of a wrong answer to a [`DepthQuestion`].
const QUESTION_ALPHA: f64 = 0.01;

impl DepthQuestion {
    /// Answers it for one role in every tower with enough blocks, by Spearman's rank correlation with depth.
    pub fn answer(&self, report: &Report, role: Role, out: &mut Verdicts) {
        let line = report.settings.parameters.value(SIBLINGS.id, &MIN_SIBLINGS);
        for group in sibling_groups(report) {
            let (x, y) = over_depth(&group.members, self.analyzer, self.metric);
            let correlation = spearman(&x, &y).filter(|c| c.n as f64 >= line);
            let Some(correlation) =
                correlation.filter(|_| group.role == role && group.part == Part::Weight)
            else {
                continue;
            };
            let answer = match correlation.p_value < QUESTION_ALPHA {
                true if correlation.rho > 0.0 => self.grows,
                true => self.falls,
                false => self.neither,
            };
            let third = (y.len() / 3).max(1);
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            let (first, last) = (mean(&y[..third]), mean(&y[y.len() - third..]));
            let scope = group.scope();
            out.conclude(Conclusion {
                code: Key::Borrowed(self.code),
                analyzer: Key::Borrowed(self.analyzer),
                message: format!(
                    "{answer}: mean {} of {scope} {} in the first third of the blocks, {} in the last (rho {:.2}, p {})",
                    self.metric,
                    short(first),
                    short(last),
                    correlation.rho,
                    chance(correlation.p_value)
                ),
                scope,
                evidence: rank_correlation(&correlation),
                nothing: correlation.p_value >= QUESTION_ALPHA,
            });
        }
    }
}

/// A number in a sentence: four significant digits.
fn short(x: f64) -> String {
    let whole = if x == 0.0 { 0.0 } else { x.abs().log10().floor() };
    let decimals = (3.0 - whole).clamp(0.0, 9.0) as usize;
    format!("{x:.decimals$}")
}

/// A probability in a sentence.
fn chance(p: f64) -> String {
    if p < 0.01 { format!("{p:.0e}") } else { format!("{p:.2}") }
}

fn rank_correlation(correlation: &Spearman) -> Vec<Evidence> {
    let evidence = |metric, value| Evidence { weight: None, metric: Key::Borrowed(metric), value };
    vec![
        evidence("spearman_rho", correlation.rho),
        evidence("spearman_p_value", correlation.p_value),
    ]
}

fn is_judged(members: &[&WeightRecord], descriptor: &Descriptor) -> bool {
    let counts = |w: &&WeightRecord| match w.kind() {
        Kind::Matrix => true,
        Kind::Factor => descriptor.products,
        _ => false,
    };
    members.iter().any(counts)
}

/// One line figure per `trend` metric and tower: the metric over depth, a curve per role.
pub fn trend_figures(report: &Report, analyzers: &[&dyn Analyzer]) -> Vec<Figure> {
    let groups = sibling_groups(report);
    let mut figures = Vec::new();
    for analyzer in analyzers {
        let descriptor = analyzer.descriptor();
        for spec in descriptor.metrics.iter().filter(|m| m.trend) {
            let mut towers: IndexMap<Option<Stack>, Vec<Series>> = IndexMap::new();
            for group in &groups {
                let (x, y) = over_depth(&group.members, descriptor.id, spec.key);
                if is_judged(&group.members, descriptor) && x.len() >= 2 {
                    towers.entry(group.stack).or_default().push(Series {
                        name: group.within_tower(),
                        x,
                        y: y.into_iter().map(Some).collect(),
                    });
                }
            }
            for (stack, series) in towers {
                let tower = stack.map_or_else(String::new, |s| format!(" ({s})"));
                figures.push(Figure {
                    id: Key::Owned(format!(
                        "trend.{}.{}{}",
                        descriptor.id,
                        spec.key,
                        stack.map_or_else(String::new, |s| format!(".{s}"))
                    )),
                    weight: None,
                    analyzer: Key::Borrowed(descriptor.id),
                    title: format!("{} over depth{tower}", spec.key),
                    axes: Axes {
                        x: Key::Borrowed("block"),
                        y: Key::Borrowed(spec.key),
                        log_x: false,
                        log_y: spec.siblings,
                    },
                    data: FigureData::Line { series },
                });
            }
        }
    }
    figures
}
