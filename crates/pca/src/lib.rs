//! Principal components of weight matrices: how many directions the rows of a matrix need.
//!
//! The rows of the matrix `[out, in]` (one per output unit) are the samples and its columns the features,
//! standardised first, as `StandardScaler` and `PCA` of scikit-learn do. (The well-known pictures of GPT-2's
//! `c_attn` take the stored `[in, out]` tensor instead, which is the transpose.) Only a square matrix of the
//! smaller side is ever formed.
#![forbid(unsafe_code)]

mod standardised;

use weightscope_core::{
    AnalyzeError, Analyzer, Axes, Category, Cost, DType, DepthQuestion, Descriptor, Figure,
    FigureData, Key, MetricSpec, ModelGraph, Output, ParameterSpec, Report, Role, Series, Unit,
    UnitSpec, Value, Verdicts, Weight, WeightView,
};
use weightscope_linalg::{
    Monitor, PrincipalComponents, SpectrumError, Watch, principal_components, principal_cost,
};

use crate::standardised::Standardised;

/// The analyzer `pca`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pca;

const ID: &str = "pca";

const MAX_SIDE: ParameterSpec = ParameterSpec {
    key: "max_side",
    default: 1024.0,
    doc: "Largest smaller side of a matrix that is taken apart; the cost grows with its cube.",
};

const SPECIALISATION: DepthQuestion = DepthQuestion {
    code: "pca.specialisation",
    analyzer: ID,
    metric: "components_90",
    grows: "attention spreads over more directions with depth",
    falls: "attention concentrates in fewer directions with depth",
    neither: "attention needs about as many directions at every depth",
};

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "Principal components of attention matrices: how many directions they need",
    metrics: &[
        MetricSpec::new(
            "explained_variance_ratio",
            "",
            "Share of the variance along every principal component of the standardised columns, descending: min(out, in) of them. Rows are samples.",
        ),
        MetricSpec::new(
            "components_90",
            "count",
            "Fewest components that hold 90 % of the variance.",
        )
        .trend(),
        MetricSpec::new(
            "scores",
            "",
            "Coordinates of every row along the first two components: [{component, values}]. Signs are free: the one of largest magnitude is positive. Undefined above 65,536 rows.",
        ),
    ],
    parameters: &[MAX_SIDE],
    findings: &[],
    ..Descriptor::EMPTY
};

/// Most rows whose coordinates a report holds; attention matrices have a tenth of it.
const MOST_SCORES: u64 = 1 << 16;

/// Whether it is measured in a scan.
fn is_attention(weight: &Weight) -> bool {
    let sides = weight.matrix.is_some_and(|[out, input]| out.min(input) >= 2);
    weight.role.category() == Category::Attention
        && sides
        && weight.part.is_parameter()
        && weight.dtype.is_some_and(DType::is_float)
}

impl Analyzer for Pca {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        UnitSpec::each(graph, is_attention)
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        let weight = unit.weights.first().and_then(|id| graph.weights.get(id.0 as usize));
        let Some([out, input]) = weight.and_then(|w| w.matrix) else { return Cost::default() };
        if out.min(input) as f64 > MAX_SIDE.default {
            return Cost::default();
        }
        let cost = principal_cost(out as usize, input as usize);
        let raw = out.min(input).saturating_mul(512 * 8);
        Cost { work: cost.flops, scratch_bytes: cost.bytes.saturating_add(raw) }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let view = unit.first();
        let limit = unit.value(&MAX_SIDE);
        let [rows, columns] = view.size();
        if rows.min(columns) as f64 > limit {
            let why = format!("the smaller side is above pca.max_side = {limit}");
            undefined(out, &why);
            return Ok(());
        }
        measure(&view, &Watch(|| unit.threads(), |flops| unit.advance(flops).is_ok()), out)
    }

    fn measuring_parameters(&self) -> &'static [&'static str] {
        &[MAX_SIDE.key]
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        for role in [Role::AttentionQ, Role::AttentionQUp, Role::AttentionQkv] {
            SPECIALISATION.answer(report, role, out);
        }
    }
}

fn undefined(out: &mut Output, why: &str) {
    for metric in DESCRIPTOR.metrics {
        out.undefined(metric.key, why);
    }
}

/// Metrics and figures of any matrix, however large.
///
/// # Errors
/// When the values cannot be read, or there is no memory for a square matrix of the smaller side.
pub fn measure(
    view: &WeightView<'_>,
    monitor: &dyn Monitor,
    out: &mut Output,
) -> Result<(), AnalyzeError> {
    let summary = view.summary()?;
    let Some(matrix) = Standardised::new(*view, &summary) else {
        undefined(out, "some values are NaN or infinite, or it is not a matrix");
        return Ok(());
    };
    let components = if view.size()[0] > MOST_SCORES { 0 } else { 2 };
    let found =
        principal_components(&matrix, components, monitor).map_err(|error| match error {
            SpectrumError::Read(error) => error,
            SpectrumError::Stopped => AnalyzeError::Cancelled,
            other => AnalyzeError::Other(other.to_string().into()),
        })?;
    let whole: f64 = found.energies.iter().sum();
    if whole <= 0.0 {
        undefined(out, "all rows are equal");
        return Ok(());
    }
    let ratios: Vec<f64> = found.energies.iter().map(|e| e / whole).collect();
    let cumulated: Vec<f64> = ratios
        .iter()
        .scan(0.0, |sum, ratio| {
            *sum += ratio;
            Some(*sum)
        })
        .collect();
    let count = 1 + cumulated.iter().take_while(|sum| **sum < 0.9).count();
    out.metric("components_90", count.min(ratios.len()) as u64);
    out.metric("explained_variance_ratio", ratios.iter().copied().collect::<Value>());
    let component = |(number, values): (u64, &Vec<f64>)| {
        let values: Value = values.iter().copied().collect();
        Value::map([("component", number.into()), ("values", values)])
    };
    if found.scores.is_empty() {
        out.undefined("scores", format!("more than {MOST_SCORES} rows"));
    } else {
        out.metric("scores", Value::List((1..).zip(&found.scores).map(component).collect()));
    }
    out.figure(explained(&cumulated));
    out.figures.extend(scatter(&found, &ratios));
    Ok(())
}

fn figure(id: &'static str, title: String, axes: Axes, data: FigureData) -> Figure {
    let id = Key::Borrowed(id);
    Figure { id, weight: None, analyzer: Key::Borrowed(ID), title, axes, data }
}

/// Cumulated share of the variance, from 0 components on.
fn explained(cumulated: &[f64]) -> Figure {
    let shares = std::iter::once(0.0).chain(cumulated.iter().copied());
    let (x, y): (Vec<f64>, Vec<Option<f64>>) =
        shares.enumerate().map(|(count, share)| (count as f64, Some(share.min(1.0)))).unzip();
    let line = vec![Some(0.9), Some(0.9)];
    let ends = vec![0.0, cumulated.len() as f64];
    let series = vec![
        Series { name: "explained".to_owned(), x, y },
        Series { name: "90 %".to_owned(), x: ends, y: line },
    ];
    let title = "Cumulative explained variance of the standardised columns".to_owned();
    let axes = Axes::new("components", "share of the variance");
    figure("pca.explained_variance", title, axes, FigureData::Line { series })
}

/// Rows along the first two components.
fn scatter(found: &PrincipalComponents, ratios: &[f64]) -> Option<Figure> {
    let ([first, second], [a, b, ..]) = (found.scores.as_slice(), ratios) else { return None };
    let y = second.iter().copied().map(Some).collect();
    let series = vec![Series { name: "output units".to_owned(), x: first.clone(), y }];
    let [a, b] = [a, b].map(|share| 100.0 * share);
    let title = format!("Output units along the first two components ({a:.1} % and {b:.1} %)");
    let axes = Axes::new("first component", "second component");
    Some(figure("pca.scores", title, axes, FigureData::Scatter { series }))
}
