//! Learned position embeddings: is there a wave in them, do neighbours look alike, and which positions were
//! never trained?
//!
//! Models whose positions are computed (rotary, ALiBi, sinusoids that are not stored) have no table, and there
//! is nothing to analyse; the report says so.
#![forbid(unsafe_code)]

mod figures;
mod measure;

use weightscope_core::{
    AnalyzeError, Analyzer, Conclusion, Cost, DType, Descriptor, Finding, FindingSpec, Key, Kind,
    MetricSpec, ModelGraph, Output, ReferenceKind, Report, Role, Severity, Unit, UnitSpec, Value,
    Verdicts, Weight,
};
use weightscope_linalg::{Dense, Options, SpectrumError, Watch, cost, singular_values};

use crate::measure::Table;

/// The analyzer `position`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position;

const ID: &str = "position";

/// Most values of a table that is held in memory: 32,768 positions of width 4096.
const MOST_VALUES: u64 = 1 << 27;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 1,
    summary: "Learned position embeddings: neighbours, waves, untrained positions",
    metrics: &[
        MetricSpec::new(
            "neighbour_correlation",
            "",
            "Pearson correlation of the embeddings of positions i and i + 1, for every i; null where one is constant.",
        ),
        MetricSpec::new(
            "neighbour_correlation_median",
            "",
            "Median of those: near 1 where positions are learned smoothly, near 0 in an untrained table.",
        ),
        MetricSpec::new(
            "dimension_variance",
            "weight^2",
            "Population variance over positions of every dimension: {lowest, middle, highest (dimension and variance), values}.",
        ),
        MetricSpec::new(
            "dominant_period",
            "positions",
            "Period at which the periodogram of every dimension (mean removed) is largest; the number of positions is the longest. Null for a constant dimension.",
        ),
        MetricSpec::new(
            "dominant_share",
            "",
            "Share of all variance that lies at the dominant periods, 0 to 1. White noise of n positions has about 2 ln(n/2)/n.",
        ),
        MetricSpec::new(
            "toeplitz_r2",
            "",
            "R^2 of the inner products of positions i and j explained by |i - j| alone: 1 when only the distance matters, about width/(width + n) in a random table of n positions (the diagonal alone). Undefined where all are equal to about 1e-5.",
        ),
        MetricSpec::new(
            "effective_rank",
            "",
            "exp(-sum p ln p) with p = sigma/sum sigma over the singular values of the table (Roy & Vetterli 2007).",
        ),
        MetricSpec::new(
            "untrained_tail",
            "",
            "Positions at the end that correlate with none of their neighbours (|r| below 5/sqrt(width)) although those before do: {count, first}.",
        ),
    ],
    parameters: &[],
    findings: &[FindingSpec {
        code: "position.untrained-tail",
        severities: &[Severity::Info],
        doc: "At least two positions at the end of a learned table show no correlation with their neighbours, while those before do: training never reached them.",
        advice: "keep inputs shorter than that, or train on longer ones first",
    }],
    ..Descriptor::EMPTY
};

fn is_table(weight: &Weight) -> bool {
    weight.role == Role::PositionEmbedding
        && weight.part.is_parameter()
        && weight.dtype.is_some_and(DType::is_float)
        && weight.matrix.is_some_and(|[rows, width]| rows >= 3 && width >= 3)
}

impl Analyzer for Position {
    fn descriptor(&self) -> &Descriptor {
        &DESCRIPTOR
    }

    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        UnitSpec::each(graph, is_table)
    }

    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        let weight = unit.weights.first().and_then(|id| graph.weights.get(id.0 as usize));
        let Some([rows, width]) = weight.and_then(|w| w.matrix) else { return Cost::default() };
        let values = rows.saturating_mul(width);
        if values > MOST_VALUES {
            return Cost::default();
        }
        let spectrum = cost(rows as usize, width as usize, &Options::default());
        // The table, a turned copy of a few dimensions, and what the transforms take.
        let held = values.saturating_mul(8).saturating_add(rows.saturating_mul(64));
        let transforms = 40.0 * values as f64 * (rows as f64).log2();
        Cost {
            work: spectrum.flops + transforms,
            scratch_bytes: held.saturating_add(spectrum.bytes),
        }
    }

    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let view = unit.first();
        let [rows, width] = view.size();
        let why = if !view.summary()?.all_finite() {
            "some values are NaN or infinite"
        } else if rows.saturating_mul(width) > MOST_VALUES {
            "the table is larger than any that is known"
        } else {
            ""
        };
        if !why.is_empty() {
            for metric in DESCRIPTOR.metrics {
                out.undefined(metric.key, why);
            }
            return Ok(());
        }
        let mut values = Vec::with_capacity((rows * width) as usize);
        view.for_each_row(|_, row: &[f64]| values.extend_from_slice(row))?;
        let table = Table { values: &values, width: width as usize };
        let sigma = spectrum(&table, unit)?;
        let measured = table.measure(&sigma);
        measured.record(out);
        figures::draw(&table, &measured, out);
        Ok(())
    }

    fn judge(&self, report: &Report, out: &mut Verdicts) {
        let mut tables = report.weights.iter().filter(|w| w.kind() == Kind::Position).peekable();
        let has_model = report.weights.iter().any(|w| w.block.is_some());
        if tables.peek().is_none() && has_model && report.settings.include.is_empty() {
            out.conclude(Conclusion {
                code: Key::Borrowed("position.none"),
                analyzer: Key::Borrowed(ID),
                scope: "model".to_owned(),
                message: "the checkpoint stores no position embeddings: rotary (RoPE), ALiBi and sinusoidal positions are computed, and there is nothing to analyse".to_owned(),
                evidence: Vec::new(),
                nothing: true,
            });
        }
        for weight in tables {
            let tail = weight.metric(ID, "untrained_tail");
            let number = |key| tail.and_then(|t| t.get(key)).and_then(Value::as_u64);
            let (Some(count), Some(first)) = (number("count"), number("first")) else { continue };
            if count < 2 {
                continue;
            }
            let rows = weight.matrix.map_or(0, |[rows, _]| rows);
            let message = format!(
                "the last {count} of {rows} positions (from {first} on) look initialised: they correlate with none of their neighbours"
            );
            let code = "position.untrained-tail";
            out.push(
                Finding::new(code, Severity::Info, Some(&weight.name), message)
                    .metric("untrained_tail", count as f64)
                    .threshold(2.0)
                    .reference(ReferenceKind::Gaussian, 0.0)
                    .advice("keep inputs shorter than that, or train on longer ones first"),
            );
        }
    }
}

fn spectrum(table: &Table<'_>, unit: &Unit<'_>) -> Result<Vec<f64>, AnalyzeError> {
    let rows = table.values.len() / table.width;
    let Some(matrix) = Dense::new(table.values, rows, table.width) else { return Ok(Vec::new()) };
    let monitor = Watch(|| unit.threads(), |flops| unit.advance(flops).is_ok());
    let found = singular_values(&matrix, &Options::default(), &monitor);
    found.map(|spectrum| spectrum.singular_values).map_err(|error| match error {
        SpectrumError::Stopped => AnalyzeError::Cancelled,
        other => AnalyzeError::Other(other.to_string().into()),
    })
}
