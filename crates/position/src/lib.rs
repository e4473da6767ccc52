//! Learned position embeddings: is there a wave in them, do neighbours look alike, which positions were never
//! trained, and was the table made longer?
//!
//! Models whose positions are computed (rotary, ALiBi, sinusoids that are not stored) have no table, and there
//! is nothing to analyse; the report says so.
#![forbid(unsafe_code)]

mod breaks;
mod copies;
mod figures;
mod measure;
mod periods;

use weightscope_core::{
    AnalyzeError, Analyzer, Conclusion, Cost, DType, Descriptor, Finding, FindingSpec, Key, Kind,
    MetricSpec, ModelGraph, Output, ParameterSpec, ReferenceKind, Report, Role, Severity, Unit,
    UnitSpec, Value, Verdicts, Weight, WeightRecord,
};
use weightscope_linalg::{Dense, Options, SpectrumError, Watch, cost, singular_values};

use crate::measure::Table;

/// The analyzer `position`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position;

const ID: &str = "position";

const BREAK_FALL: ParameterSpec = ParameterSpec {
    key: "break_fall",
    default: 0.15,
    doc: "Fall of the correlation of neighbours at one place that is a break.",
};
/// Fewest copies in a row that are told: fewer may be special positions.
const FEWEST_COPIES: u64 = 4;

/// Most values of a table that is held in memory: 32,768 positions of width 4096.
const MOST_VALUES: u64 = 1 << 27;

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    version: 2,
    summary: "Learned position embeddings: neighbours, waves, untrained and copied positions",
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
            "Period at which the periodogram of every dimension (mean removed) is largest, where that line is a wave: at least two of them over the table, and above what a power law through the lines around it makes likely (Vaughan 2005; 1 % for a table without waves). Null for other dimensions; undefined where no dimension has one.",
        ),
        MetricSpec::new(
            "strongest_line",
            "dimensions",
            "Dimensions by the largest line of their periodogram: {waves, trends (less than two waves over the table), chance (no line stands out), constant}.",
        ),
        MetricSpec::new(
            "dominant_share",
            "",
            "Share of all variance that lies at the dominant periods, 0 to 1: 0 where no dimension has a wave.",
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
        MetricSpec::new(
            "copies",
            "positions",
            "The longest run of positions that hold the same values as those at one distance before them: {count, first, distance}. Equal neighbours (distance 1) are no copies.",
        ),
        MetricSpec::new(
            "between",
            "positions",
            "Differences of positions next to each other (second order, else third) that are zero but for rounding while the others are not: as many lie on straight lines between others, as linear interpolation leaves them.",
        ),
    ],
    parameters: &[BREAK_FALL],
    findings: &[
        FindingSpec {
            code: "position.repeats",
            severities: &[Severity::Info],
            doc: "At least 4 positions in a row hold the same values as those at one distance before them, or a third of the table lies exactly on straight lines between other positions: the table was made longer, by copies or by linear interpolation, and not trained since.",
            advice: "train on inputs of the new length, or keep them as short as the original table",
        },
        FindingSpec {
            code: "position.break",
            severities: &[Severity::Info],
            doc: "The correlation of neighbours falls by 0.15 or more at one place of a learned table and stays low, with at least 16 positions on both sides: training ended there, or seldom went further.",
            advice: "test inputs that go beyond that place, or keep them shorter",
        },
        FindingSpec {
            code: "position.untrained-tail",
            severities: &[Severity::Info],
            doc: "At least two positions at the end of a learned table show no correlation with their neighbours, while those before do: training never reached them.",
            advice: "keep inputs shorter than that, or train on longer ones first",
        },
    ],
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
        let roundoff = view.storage_grid()?.dtype().and_then(DType::unit_roundoff);
        let measured = table.measure(&sigma, roundoff);
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
            let tail = tail(weight);
            out.findings.extend(tail.map(|(count, first)| untrained(weight, count, first)));
            out.findings.extend(broken(weight, report, tail));
            out.findings.extend(copied(weight));
            out.findings.extend(stretched(weight));
        }
    }
}

fn info(code: &'static str, weight: &WeightRecord, message: String) -> Finding {
    let specs = DESCRIPTOR.findings.iter();
    let advice = specs.clone().find(|spec| spec.code == code).map_or("", |spec| spec.advice);
    Finding::new(code, Severity::Info, Some(&weight.name), message).advice(advice)
}

/// Positions at the end that look untrained, and the first of them, where there are two or more.
fn tail(weight: &WeightRecord) -> Option<(u64, u64)> {
    let tail = weight.metric(ID, "untrained_tail")?;
    let number = |key| tail.get(key).and_then(Value::as_u64);
    Some((number("count")?, number("first")?)).filter(|(count, _)| *count >= 2)
}

fn untrained(weight: &WeightRecord, count: u64, first: u64) -> Finding {
    let rows = weight.matrix.map_or(0, |[rows, _]| rows);
    let message = format!(
        "the last {count} of {rows} positions (from {first} on) look initialised: they correlate with none of their neighbours"
    );
    info("position.untrained-tail", weight, message)
        .metric("untrained_tail", count as f64)
        .threshold(2.0)
        .reference(ReferenceKind::Gaussian, 0.0)
}

/// A fall of the correlation of neighbours, before a tail that is told already.
fn broken(weight: &WeightRecord, report: &Report, tail: Option<(u64, u64)>) -> Option<Finding> {
    let values = weight.metric(ID, "neighbour_correlation")?.items();
    // Correlation i ties position i to i + 1.
    let told = tail.map_or(values.len(), |(_, first)| (first as usize).saturating_sub(1));
    let values = values.iter().take(told);
    let known: Vec<f64> = values.map(|value| value.as_f64().unwrap_or(f64::NAN)).collect();
    let [rows, width] = weight.matrix?;
    let least = report.settings.parameters.value(ID, &BREAK_FALL);
    let found = breaks::find(&known, width, least)?;
    let [before, after] = found.levels;
    let first = found.first as u64;
    let behind = tail.map_or(rows, |(_, first)| first).saturating_sub(first);
    let message = format!(
        "positions next to each other correlate {before:.2} up to {} and {after:.2} from {first} on (medians; {first} positions before, {behind} behind): training ended there or seldom went further, or those behind were added",
        first.saturating_sub(1),
    );
    let finding = info("position.break", weight, message);
    Some(finding.metric("neighbour_correlation", before - after).threshold(least))
}

/// A block of positions that is a copy of another one.
fn copied(weight: &WeightRecord) -> Option<Finding> {
    let copies = weight.metric(ID, "copies")?;
    let number = |key| copies.get(key).and_then(Value::as_u64);
    let (count, first, distance) = (number("count")?, number("first")?, number("distance")?);
    if count < FEWEST_COPIES {
        return None;
    }
    let from = first.checked_sub(distance)?;
    let last = (first + count).saturating_sub(1);
    let [rows, _] = weight.matrix?;
    let what = if count > distance {
        format!("positions {from} to {last} of {rows} repeat after every {distance}")
    } else {
        format!("positions {first} to {last} of {rows} are copies of {from} to {}", last - distance)
    };
    let message = format!("{what}: the table was made longer and not trained since");
    let finding = info("position.repeats", weight, message);
    Some(finding.metric("copies", count as f64).threshold(FEWEST_COPIES as f64))
}

/// Positions that lie between others.
fn stretched(weight: &WeightRecord) -> Option<Finding> {
    let count = weight.metric(ID, "between")?.as_f64().filter(|count| *count > 0.0)?;
    let [rows, _] = weight.matrix?;
    let message = format!(
        "{count} of {rows} positions lie exactly on straight lines between others: the table was stretched by linear interpolation and not trained since"
    );
    Some(info("position.repeats", weight, message).metric("between", count))
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
