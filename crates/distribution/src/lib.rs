//! Moments, quantiles and normality of every float tensor.
//!
//! All numbers come from the shared [`stats::Summary`]: exact quantiles and extremes, moments with f64 sums,
//! and the exact Kolmogorov-Smirnov distance to the normal with the same mean and deviation.
#![forbid(unsafe_code)]

mod heat_map;
mod row_variance;

use weightscope_core::stats::{QUANTILES, Summary, kolmogorov_sf};
use weightscope_core::{
    AnalyzeError, Analyzer, Axes, Descriptor, Figure, FigureData, FindingSpec, Key, MetricSpec,
    ModelGraph, Output, Report, Severity, Unit, UnitSpec, Verdicts, WeightView, stats,
};

/// The analyzer `distribution`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distribution;

static DESCRIPTOR: Descriptor = Descriptor {
    id: "distribution",
    version: 1,
    summary: "Moments, quantiles and normality of weights",
    metrics: &[
        MetricSpec::new("mean", "weight", "Arithmetic mean of the finite values.").trend(),
        MetricSpec::new("std", "weight", "Population standard deviation (divisor n).").trend(),
        MetricSpec::new("min", "weight", "Smallest value.").trend(),
        MetricSpec::new("max", "weight", "Largest value.").trend(),
        MetricSpec::new("abs_max", "weight", "Largest magnitude."),
        MetricSpec::new("mean_abs", "weight", "Mean magnitude."),
        MetricSpec::new("rms", "weight", "Root mean square.").trend().siblings(),
        MetricSpec::new("l2_norm", "weight", "Square root of the sum of squares (Frobenius norm of a matrix)."),
        MetricSpec::new("skewness", "", "Biased skewness m3/m2^1.5; undefined when all values are equal."),
        MetricSpec::new("excess_kurtosis", "", "Biased excess kurtosis m4/m2^2 - 3: 0 for a normal, -1.2 for a uniform, positive for heavy tails; undefined when all values are equal.").trend(),
        MetricSpec::new("q001", "weight", "0.1 % quantile, by linear interpolation (numpy's default); exact, like the other quantiles."),
        MetricSpec::new("q01", "weight", "1 % quantile."),
        MetricSpec::new("q05", "weight", "5 % quantile."),
        MetricSpec::new("q25", "weight", "25 % quantile."),
        MetricSpec::new("median", "weight", "Median."),
        MetricSpec::new("q75", "weight", "75 % quantile."),
        MetricSpec::new("q95", "weight", "95 % quantile."),
        MetricSpec::new("q99", "weight", "99 % quantile."),
        MetricSpec::new("q999", "weight", "99.9 % quantile."),
        MetricSpec::new("ks_statistic", "", "Two-sided Kolmogorov-Smirnov distance to the normal with this mean and standard deviation, over all values: 0 to 1.").trend(),
        MetricSpec::new("ks_p_value", "", "Chance that as many values from exactly that normal show at least this distance. Optimistic, because mean and deviation were fitted to the same values, and near 0 for any large tensor that is not exactly normal; compare the distance instead."),
        MetricSpec::new("unique_values", "count", "Distinct values (-0 and +0 are one); for 8- and 16-bit types, undefined for wider ones."),
        MetricSpec::new("row_variance", "weight^2", "Population variances of the rows, one per output unit: {quartiles (25, 50, 75 %), whiskers (the outermost within 1.5 interquartile ranges of the quartiles, which they never pass), histogram {low, width, counts}}. Matrices only."),
    ],
    parameters: &[],
    findings: &[FindingSpec {
        code: "distribution.unlike-siblings",
        severities: &[Severity::Warning],
        doc: "The root mean square of a matrix is more than twice or less than half the median of the same role in other blocks, and more than 6 robust standard deviations of the logarithm away. Needs 6 siblings. No initialisation shows a factor 2.",
        advice: "compare it with its neighbours: a restored, rescaled or badly merged layer looks like this",
    }],
    reads: &["integrity", "sparsity"],
    ..Descriptor::EMPTY
};

// Its one finding, on siblings, is made for all analyzers together in weightscope-core.
impl Analyzer for Distribution {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        UnitSpec::each(graph, |weight| {
            weight.part.is_parameter()
                && weight.dtype.is_some_and(weightscope_core::DType::is_float)
        })
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let view = unit.first();
        let summary = view.summary()?;
        measure(&summary, view.dtype()?.bits() <= 16, out);
        rows(&view, &summary, out);
        Ok(())
    }

    fn portray(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        if let Some(figure) = heat_map::figure(&unit.first())? {
            out.figure(figure);
        }
        Ok(())
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        row_variance::judge(report, out);
    }
}

/// Variances of the rows of a matrix.
fn rows(view: &WeightView<'_>, summary: &Summary, out: &mut Output) {
    let weight = view.weight();
    let (Some(matrix), Some(norms)) = (weight.matrix, &summary.norms) else {
        return out.undefined("row_variance", "not a matrix");
    };
    let measured = || row_variance::measure(norms, matrix, weight.transposed);
    let measured = if summary.all_finite() { measured() } else { None };
    out.metric_or("row_variance", measured, "some rows have no finite variance");
}

const NO_VALUES: &str = "no finite values";
const NO_SPREAD: &str = "all values are equal";
const OVERFLOW: &str = "the variance overflows";

/// Turns a summary into metrics and the histogram. `narrow`: distinct values are counted.
fn measure(summary: &Summary, narrow: bool, out: &mut Output) {
    let moments = summary.moments.as_ref();
    let number = |f: fn(&stats::Moments) -> f64| moments.map(f);
    out.metric_or("mean", number(|m| m.mean), NO_VALUES);
    out.metric_or("std", number(stats::Moments::std), NO_VALUES);
    out.metric_or("min", summary.extremes.map(|(min, _)| min), NO_VALUES);
    out.metric_or("max", summary.extremes.map(|(_, max)| max), NO_VALUES);
    out.metric_or(
        "abs_max",
        summary.extremes.map(|(min, max)| min.abs().max(max.abs())),
        NO_VALUES,
    );
    out.metric_or("mean_abs", number(|m| m.mean_abs), NO_VALUES);
    out.metric_or("rms", number(stats::Moments::rms), NO_VALUES);
    out.metric_or("l2_norm", number(|m| m.energy.sqrt()), NO_VALUES);
    let equal = match moments {
        Some(m) if !m.m2.is_finite() => OVERFLOW,
        Some(_) => NO_SPREAD,
        None => NO_VALUES,
    };
    out.metric_or("skewness", moments.and_then(stats::Moments::skewness), equal);
    out.metric_or("excess_kurtosis", moments.and_then(stats::Moments::excess_kurtosis), equal);
    let quantiles = ["q001", "q01", "q05", "q25", "median", "q75", "q95", "q99", "q999"];
    for (index, key) in quantiles.into_iter().enumerate() {
        out.metric_or(key, summary.quantiles.get(index).copied(), NO_VALUES);
    }
    let ks = summary.ks_statistic;
    out.metric_or("ks_statistic", ks, equal);
    out.metric_or("ks_p_value", ks.map(|d| kolmogorov_sf(summary.tally.finite(), d)), equal);
    if narrow {
        out.metric_or("unique_values", summary.distinct, NO_VALUES);
    } else {
        out.undefined("unique_values", "counted for 8- and 16-bit types only");
    }
    if let (Some(histogram), Some(moments)) = (&summary.histogram, moments) {
        out.figure(histogram_figure(histogram, moments, ks));
    }
}

fn histogram_figure(
    histogram: &stats::Histogram,
    moments: &stats::Moments,
    ks: Option<f64>,
) -> Figure {
    let lines = [
        ("mean", Some(moments.mean)),
        ("std", Some(moments.std())),
        ("skewness", moments.skewness()),
        ("excess kurtosis", moments.excess_kurtosis()),
        ("KS distance", ks),
    ];
    Figure {
        id: Key::Borrowed("distribution.histogram"),
        weight: None,
        analyzer: Key::Borrowed("distribution"),
        title: "Values against the normal with their mean and deviation".to_owned(),
        axes: Axes::new("weight", "count"),
        data: FigureData::Histogram {
            low: histogram.low,
            width: histogram.width,
            counts: histogram.counts.clone(),
            below: histogram.below,
            above: histogram.above,
            normal: Some([moments.mean, moments.std()]),
            statistics: lines
                .into_iter()
                .filter_map(|(label, value)| {
                    Some((Key::Borrowed(label), value.filter(|v| v.is_finite())?))
                })
                .collect(),
        },
    }
}

// The quantile keys above name these probabilities.
const _: () = assert!(QUANTILES.len() == 9);
