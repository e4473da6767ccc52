//! Weights of the same role at other depths: who stands apart, and what changes with depth.

use indexmap::IndexMap;
use weightscope_stats::{mad, median, spearman};

use crate::{
    Analyzer, Axes, Conclusion, Descriptor, Evidence, Figure, FigureData, Finding, FindingSpec,
    Key, Kind, ParameterSpec, ReferenceKind, Report, Role, Series, Severity, Stack, Verdicts,
    WeightRecord,
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
        severities: &[Severity::Warning],
        doc: "Raised as <analyzer>.unlike-siblings. A positive metric of a matrix is more than twice or less than half the median of the same role in other blocks, and more than 6 robust standard deviations of the logarithm away; one finding per weight, for the metric that stands out most. Needs 6 judged siblings. No initialisation shows a factor 2.",
        advice: "compare it with its neighbours: a restored, rescaled or badly merged layer looks like this",
    }],
    ..Descriptor::EMPTY
};

/// What makes weights comparable over depth: role, part, tower, and whether they are experts.
pub type SiblingGroup = (Role, &'static str, Option<Stack>, bool);

/// Weights within blocks, by group, in model order.
pub fn sibling_groups(report: &Report) -> IndexMap<SiblingGroup, Vec<&WeightRecord>> {
    let mut groups: IndexMap<SiblingGroup, Vec<&WeightRecord>> = IndexMap::new();
    for weight in report.weights.iter().filter(|w| w.block.is_some() && w.part.is_parameter()) {
        let group = (weight.role, weight.part.name(), weight.stack, weight.expert.is_some());
        groups.entry(group).or_default().push(weight);
    }
    groups
}

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
    for members in groups.values() {
        unlike_siblings(report, members, analyzers, out);
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
        .filter(|w| w.kind() == Kind::Matrix && w.is_statistical())
        .collect();
    if (judged.len() as f64) < line(&MIN_SIBLINGS) {
        return;
    }
    let mut apart: IndexMap<&str, Vec<Outlier>> = IndexMap::new();
    for analyzer in analyzers {
        let descriptor = analyzer.descriptor();
        for spec in descriptor.metrics.iter().filter(|m| m.siblings) {
            let value = |w: &WeightRecord| w.number(descriptor.id, spec.key).filter(|v| *v > 0.0);
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
    let depth = judged.iter().filter_map(|w| w.block).max();
    for (name, mut outliers) in apart {
        outliers.sort_by(|a, b| b.z.abs().total_cmp(&a.z.abs()));
        let Some(weight) = judged.iter().find(|w| w.name == name) else { continue };
        let Some((worst, also)) = outliers.split_first() else { continue };
        let factor = worst.value / worst.centre;
        let factor = if factor >= 1.0 {
            format!("{factor:.3} x")
        } else {
            format!("1/{:.3} of", 1.0 / factor)
        };
        let mut message = format!(
            "{} is {factor} the median of {} siblings (z {:.1})",
            worst.metric,
            judged.len(),
            worst.z
        );
        if !also.is_empty() {
            let others: Vec<&str> = also.iter().map(|o| o.metric).collect();
            message.push_str(", also ");
            message.push_str(&others.join(", "));
        }
        if weight.block == Some(0) || weight.block == depth {
            message += "; it is the first or last block, which often differs in healthy models";
        }
        let finding = Finding {
            code: Key::Owned(format!("{}.unlike-siblings", worst.analyzer)),
            ..Finding::new("", Severity::Warning, Some(name), message)
                .metric(worst.metric, worst.value)
                .threshold(worst.centre * line(&FACTOR_LINE).powf(worst.z.signum()))
                .reference(ReferenceKind::Siblings, worst.centre)
                .advice("compare it with its neighbours: a restored, rescaled or badly merged layer looks like this")
        };
        out.push(finding);
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
    groups: &IndexMap<SiblingGroup, Vec<&WeightRecord>>,
    analyzers: &[&dyn Analyzer],
    out: &mut Verdicts,
) {
    let line = |spec| report.settings.parameters.value(SIBLINGS.id, spec);
    let mut found = Vec::new();
    let mut tested = 0u32;
    for analyzer in analyzers {
        let descriptor = analyzer.descriptor();
        for spec in descriptor.metrics.iter().filter(|m| m.trend) {
            for ((role, part, stack, _), members) in groups.iter().filter(|(_, m)| is_judged(m)) {
                let (x, y) = over_depth(members, descriptor.id, spec.key);
                if let Some(correlation) =
                    spearman(&x, &y).filter(|c| c.n as f64 >= line(&MIN_SIBLINGS))
                {
                    tested += 1;
                    found.push((descriptor.id, spec.key, *role, *part, *stack, correlation));
                }
            }
        }
    }
    for (analyzer, metric, role, part, stack, correlation) in found {
        if correlation.rho.abs() < line(&TREND_RHO)
            || correlation.p_value * f64::from(tested) > line(&TREND_ALPHA)
        {
            continue;
        }
        let scope = scope(role, part, stack);
        let direction = if correlation.rho > 0.0 { "grows" } else { "falls" };
        out.conclude(Conclusion {
            code: Key::Owned(format!("{analyzer}.trend")),
            analyzer: Key::Borrowed(analyzer),
            message: format!(
                "{metric} of {scope} {direction} with depth (rho {:.2} over {} weights)",
                correlation.rho, correlation.n
            ),
            scope,
            evidence: vec![
                Evidence {
                    weight: None,
                    metric: Key::Borrowed("spearman_rho"),
                    value: correlation.rho,
                },
                Evidence {
                    weight: None,
                    metric: Key::Borrowed("spearman_p_value"),
                    value: correlation.p_value,
                },
            ],
        });
    }
}

fn is_judged(members: &[&WeightRecord]) -> bool {
    members.iter().any(|w| w.kind() == Kind::Matrix)
}

fn scope(role: Role, part: &str, stack: Option<Stack>) -> String {
    let mut scope = stack.map_or_else(String::new, |s| format!("{s} "));
    scope += role.name();
    if part != "weight" {
        scope.push(' ');
        scope.push_str(part);
    }
    scope
}

/// One line figure per `trend` metric and tower: the metric over depth, a curve per role.
pub fn trend_figures(report: &Report, analyzers: &[&dyn Analyzer]) -> Vec<Figure> {
    let groups = sibling_groups(report);
    let mut figures = Vec::new();
    for analyzer in analyzers {
        let descriptor = analyzer.descriptor();
        for spec in descriptor.metrics.iter().filter(|m| m.trend) {
            let mut towers: IndexMap<Option<Stack>, Vec<Series>> = IndexMap::new();
            for ((role, part, stack, _), members) in &groups {
                let (x, y) = over_depth(members, descriptor.id, spec.key);
                if is_judged(members) && x.len() >= 2 {
                    let name = scope(*role, part, None);
                    towers.entry(*stack).or_default().push(Series {
                        name,
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
