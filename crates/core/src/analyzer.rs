//! The trait every measurement implements.

use std::fmt::Debug;
use std::sync::Arc;

use weightscope_codec::DecodeError;

use crate::{
    Figure, Key, Metrics, ModelGraph, ParameterSpec, Parameters, Report, Severity, SourceError,
    Unit, Value, Verdicts, WeightRecord,
};

/// Index of a weight in [`ModelGraph::weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeightId(pub u32);

/// A measurement. Object-safe, immutable and shared by threads; two methods are required.
///
/// Measuring ([`Analyzer::analyze`]) and judging ([`Analyzer::judge`]) are apart: judging reads saved
/// records only, so thresholds can change without the weights, and it sees the whole model.
///
/// ```
/// use weightscope_core::*;
///
/// /// Share of weights that are exactly powers of two.
/// #[derive(Debug)]
/// struct PowersOfTwo;
///
/// static DESCRIPTOR: Descriptor = Descriptor {
///     id: "powers_of_two",
///     version: 1,
///     summary: "How many weights are powers of two",
///     metrics: &[MetricSpec::new("share", "", "Share of values that are a power of two, 0 to 1.").trend()],
///     ..Descriptor::EMPTY
/// };
///
/// impl Analyzer for PowersOfTwo {
///     fn descriptor(&self) -> &Descriptor {
///         &DESCRIPTOR
///     }
///
///     fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
///         let (mut hits, mut count) = (0u64, 0u64);
///         unit.first().for_each_row(|_, row: &[f64]| {
///             hits += row.iter().filter(|w| w.is_normal() && w.to_bits() << 12 == 0).count() as u64;
///             count += row.len() as u64;
///         })?;
///         out.metric("share", hits as f64 / count as f64);
///         Ok(())
///     }
/// }
/// ```
pub trait Analyzer: Debug + Send + Sync {
    /// What it measures: the one source of `explain`, the documentation and the checks of its output.
    fn descriptor(&self) -> &Descriptor;

    /// Measures one unit. Metrics land in the record of the unit's first weight.
    ///
    /// # Errors
    /// When bytes cannot be read or the measurement is impossible; the engine records it for that
    /// weight and goes on with the rest. A metric that merely does not exist goes to
    /// [`Output::undefined`] instead.
    fn analyze(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError>;

    /// What to measure together, from names, roles and shapes alone: each matrix alone unless overridden.
    fn units(&self, graph: &ModelGraph) -> Vec<UnitSpec> {
        UnitSpec::each(graph, |weight| weight.matrix.is_some() && weight.part.is_parameter())
    }

    /// What a unit costs besides the shared summary, for scheduling, memory admission and progress. The
    /// engine adds what the summary takes, once for every weight of a scan. Nothing unless overridden: right for
    /// whoever asks for the summary, or looks at every value once.
    fn cost(&self, unit: &UnitSpec, graph: &ModelGraph) -> Cost {
        let _ = (unit, graph);
        Cost::default()
    }

    /// What to measure now that everything else is: an analyzer whose units depend on what was found, for example the
    /// spectra of the weights that moved most. It runs as this one did, and its results join this one's.
    /// `weights` are the records so far, in model order.
    fn follow_up(
        &self,
        graph: &ModelGraph,
        weights: &[&WeightRecord],
        parameters: &Parameters,
    ) -> Option<Box<dyn Analyzer>> {
        let _ = (graph, weights, parameters);
        None
    }

    /// Figures that take another look at the values: drawn after judging, and only for the few weights that
    /// a report shows whole, those with findings and one of each role. `unit` is such a weight alone.
    ///
    /// # Errors
    /// As [`Analyzer::analyze`]; the weight then has one figure less.
    fn portray(&self, unit: &Unit<'_>, out: &mut Output) -> Result<(), AnalyzeError> {
        let _ = (unit, out);
        Ok(())
    }

    /// Keys of the parameters that measuring reads ([`Unit::value`]): changing one of them takes the weights,
    /// so a saved report cannot be judged anew with another value. None unless overridden.
    fn measuring_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// Called once after the last weight with everything measured: turns numbers into findings, conclusions
    /// and figures of the whole model.
    fn judge(&self, report: &Report, out: &mut Verdicts) {
        let _ = (report, out);
    }
}

/// What an analyzer is and produces.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// Snake-case id: the key under `analyses` and the prefix of its findings.
    pub id: &'static str,
    /// Changes when a number changes meaning.
    pub version: u32,
    /// One line.
    pub summary: &'static str,
    /// Whether it measures the pairs of a comparison ([`crate::Pairing`]) instead of the weights of one checkpoint.
    pub compares: bool,
    /// Whether what it records of a low-rank adapter's factor is about the product of both: only that is compared over
    /// depth, since a factor alone says nothing.
    pub products: bool,
    /// Every metric it can produce, in report order.
    pub metrics: &'static [MetricSpec],
    /// Every number a user may change.
    pub parameters: &'static [ParameterSpec],
    /// Every finding it can make.
    pub findings: &'static [FindingSpec],
    /// Which of its findings are causes of others, strongest first.
    pub causes: &'static [CauseSpec],
    /// Ids of other analyzers whose metrics its judging reads. They are measured with it, so that what it finds does not
    /// depend on what else was asked for.
    pub reads: &'static [&'static str],
    /// Whether it came along only because another analyzer needs it: then its findings are told where they are causes of
    /// another's, and nowhere else.
    pub companion: bool,
}

impl Descriptor {
    /// All fields empty, version 1: fill in what applies with `..Descriptor::EMPTY`.
    pub const EMPTY: Self = Self {
        id: "",
        version: 1,
        summary: "",
        compares: false,
        products: false,
        metrics: &[],
        parameters: &[],
        findings: &[],
        causes: &[],
        reads: &[],
        companion: false,
    };

    /// The metric with this key.
    pub fn metric(&self, key: &str) -> Option<&'static MetricSpec> {
        self.metrics.iter().find(|m| m.key == key)
    }
}

/// What one metric means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricSpec {
    /// Snake-case JSON key.
    pub key: &'static str,
    /// Unit, or empty for pure numbers.
    pub unit: &'static str,
    /// Definition in words: range, edge cases, source.
    pub doc: &'static str,
    /// Whether it is followed over depth.
    pub trend: bool,
    /// Whether a weight that stands apart from its siblings in the logarithm of this metric is a finding.
    pub siblings: bool,
}

impl MetricSpec {
    /// A plain metric.
    pub const fn new(key: &'static str, unit: &'static str, doc: &'static str) -> Self {
        Self { key, unit, doc, trend: false, siblings: false }
    }

    /// Follow it over depth.
    #[must_use]
    pub const fn trend(mut self) -> Self {
        self.trend = true;
        self
    }

    /// Compare it with the same role in other blocks (positive metrics only).
    #[must_use]
    pub const fn siblings(mut self) -> Self {
        self.siblings = true;
        self
    }
}

/// What one finding means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FindingSpec {
    /// `analyzer.condition-in-kebab`.
    pub code: &'static str,
    /// The severities it can have.
    pub severities: &'static [Severity],
    /// When it is raised, and what random or healthy weights show instead.
    pub doc: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

/// A finding that others follow from: those are folded into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CauseSpec {
    /// The cause's code.
    pub code: &'static str,
    /// The least severity at which it is a cause.
    pub from: Severity,
    /// Codes that follow from it, where `*` stands for any rest: `spectral.*`.
    pub explains: &'static [&'static str],
    /// Whose findings it explains.
    pub reach: Reach,
}

impl CauseSpec {
    /// Whether findings with this code may follow from it.
    pub fn covers(&self, code: &str) -> bool {
        self.explains.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => code.starts_with(start),
            None => code == *pattern,
        })
    }
}

/// How far a cause reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The weights that the cause names.
    Weights,
    /// Those, and what is said of the model as a whole.
    Model,
    /// Everything in the report.
    Everything,
}

/// Weights to be measured together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitSpec {
    /// At least one; metrics land in the first one's record.
    pub weights: Vec<WeightId>,
}

impl UnitSpec {
    /// One unit for each weight that `wanted` picks and whose element type is known.
    pub fn each(graph: &ModelGraph, wanted: impl Fn(&crate::Weight) -> bool) -> Vec<Self> {
        let ids = (0..).map(WeightId).zip(&graph.weights);
        ids.filter(|(_, w)| w.dtype.is_some() && wanted(w))
            .map(|(id, _)| Self { weights: vec![id] })
            .collect()
    }

    /// One unit for each pair of a comparison, BASE's weight first; none in a scan.
    pub fn pairs(graph: &ModelGraph) -> Vec<Self> {
        let pairs = graph.pairing.iter().flat_map(|pairing| &pairing.pairs);
        pairs.map(|pair| Self { weights: pair.to_vec() }).collect()
    }
}

/// What measuring a unit takes besides the shared summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations of a matrix product, or as many as take as long: orders the queue, and is
    /// what progress is told in. [`Unit::advance`] says how much of it is done.
    pub work: f64,
    /// Peak scratch memory in bytes, whatever [`Unit::threads`] answers.
    pub scratch_bytes: u64,
}

/// Where [`Analyzer::analyze`] puts its results.
#[derive(Debug, Default)]
pub struct Output {
    /// Metrics by key.
    pub metrics: Metrics,
    /// Reasons for metrics that do not exist.
    pub undefined: Vec<(&'static str, String)>,
    /// Figures; the engine fills in weight and analyzer.
    pub figures: Vec<Figure>,
}

impl Output {
    /// Records a metric. A number that is not finite becomes undefined: reports state no NaN.
    pub fn metric(&mut self, key: &'static str, value: impl Into<Value>) {
        let value = value.into();
        if value.is_null() {
            self.undefined(key, "not a finite number");
        } else {
            self.metrics.insert(Key::Borrowed(key), value);
        }
    }

    /// Records a metric that may not exist, with the reason.
    pub fn metric_or(&mut self, key: &'static str, value: Option<impl Into<Value>>, why_not: &str) {
        match value {
            Some(value) => self.metric(key, value),
            None => self.undefined(key, why_not),
        }
    }

    /// Records that a metric does not exist, and why.
    pub fn undefined(&mut self, key: &'static str, why: impl Into<String>) {
        self.metrics.insert(Key::Borrowed(key), Value::Null);
        self.undefined.push((key, why.into()));
    }

    /// Records a figure.
    pub fn figure(&mut self, figure: Figure) {
        self.figures.push(figure);
    }
}

/// Why a weight could not be measured. Cheap to clone, because analyzers share what was read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyzeError {
    /// Its bytes could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its bytes could not be decoded.
    #[error("tensor \"{tensor}\": {cause}")]
    Decode {
        /// Tensor name.
        tensor: String,
        /// What was wrong.
        #[source]
        cause: DecodeError,
    },
    /// Its element type is unknown, or a panel was asked for that it does not have.
    #[error("tensor \"{tensor}\": {message}")]
    Shape {
        /// Tensor name.
        tensor: String,
        /// What was wrong.
        message: String,
    },
    /// The run was stopped.
    #[error("stopped")]
    Cancelled,
    /// The analyzer's own reason.
    #[error("{0}")]
    Other(Arc<str>),
}

impl AnalyzeError {
    /// Stable code for an [`crate::ErrorRecord`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source(SourceError::Truncated { .. }) => "truncated",
            Self::Source(_) => "unreadable",
            Self::Decode { .. } | Self::Shape { .. } => "undecodable",
            Self::Cancelled => "interrupted",
            Self::Other(_) => "analysis-failed",
        }
    }
}
