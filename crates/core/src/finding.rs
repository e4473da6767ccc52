//! Findings and conclusions: what the numbers mean.

use serde::{Deserialize, Serialize};

use crate::{Figure, Key};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Severity {
    /// Worth knowing, nothing to do.
    Info,
    /// Look at it before relying on the checkpoint.
    Warning,
    /// The checkpoint is broken or will break.
    Critical,
}

impl Severity {
    /// All, mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The name reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What a value was held against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reference {
    /// Where the reference comes from.
    pub kind: ReferenceKind,
    /// What it says; null when it is not a number.
    pub value: Option<f64>,
}

/// Where a reference value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ReferenceKind {
    /// What random Gaussian weights of the same shape show.
    Gaussian,
    /// What weights of the same role in other blocks show.
    Siblings,
    /// A fixed limit, for example the range of a format.
    Limit,
}

/// One judgement on one weight, or on the model when `weight` is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// `analyzer.condition`, as in the analyzer's [`crate::FindingSpec`].
    pub code: Key,
    /// How much it matters.
    pub severity: Severity,
    /// The weight's name.
    pub weight: Option<String>,
    /// The metric that was judged, without the analyzer's name.
    pub metric: Key,
    /// Its value.
    pub value: Option<f64>,
    /// The line it crossed.
    pub threshold: Option<f64>,
    /// What it was held against.
    pub reference: Option<Reference>,
    /// One sentence: what it means.
    pub message: String,
    /// One sentence: what to do.
    pub advice: String,
    /// All weights that it is about, where it is one finding on several; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<String>,
    /// How many other findings follow from it: they are among the report's facts.
    #[serde(default, skip_serializing_if = "is_none")]
    pub explains: u64,
    /// Of a fact: the finding that it follows from. A fact without one is a statistic that asks for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<CausedBy>,
    /// Whether a baseline report already has it; such findings do not fail a run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub known: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// The finding that another one follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CausedBy {
    /// Its code.
    pub code: Key,
    /// Its weight, when it has one.
    pub weight: Option<String>,
}

impl Finding {
    /// A finding without numbers; add them with the builder methods.
    pub fn new(
        code: &'static str,
        severity: Severity,
        weight: Option<&str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: Key::Borrowed(code),
            severity,
            weight: weight.map(str::to_owned),
            metric: Key::Borrowed(""),
            value: None,
            threshold: None,
            reference: None,
            message: message.into(),
            advice: String::new(),
            weights: Vec::new(),
            explains: 0,
            caused_by: None,
            known: false,
        }
    }

    /// The metric that was judged and its value.
    #[must_use]
    pub fn metric(mut self, metric: impl Into<Key>, value: f64) -> Self {
        self.metric = metric.into();
        self.value = value.is_finite().then_some(value);
        self
    }

    /// The line it crossed.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// What it was held against.
    #[must_use]
    pub fn reference(mut self, kind: ReferenceKind, value: f64) -> Self {
        self.reference = Some(Reference { kind, value: value.is_finite().then_some(value) });
        self
    }

    /// All the weights that it is about.
    #[must_use]
    pub fn weights(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.weights = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether it is about this weight.
    pub fn is_about(&self, name: &str) -> bool {
        self.weight.as_deref() == Some(name) || self.weights.iter().any(|other| other == name)
    }

    /// What to do.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

/// A statement about a whole model or a part of it, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Conclusion {
    /// `analyzer.statement`.
    pub code: Key,
    /// The analyzer that drew it.
    pub analyzer: Key,
    /// What it is about, for example `decoder mlp_down`.
    pub scope: String,
    /// One sentence.
    pub message: String,
    /// The numbers behind it.
    pub evidence: Vec<Evidence>,
    /// Whether it says that there is nothing to conclude: shown with `--all` alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nothing: bool,
}

/// One number behind a conclusion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    /// The weight, when it is about one.
    pub weight: Option<String>,
    /// What was measured.
    pub metric: Key,
    /// Its value.
    pub value: f64,
}

/// Where [`crate::Analyzer::judge`] puts its findings and conclusions.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// Findings so far.
    pub findings: Vec<Finding>,
    /// Facts so far.
    pub facts: Vec<Finding>,
    /// Conclusions so far.
    pub conclusions: Vec<Conclusion>,
    /// Figures of the whole model so far.
    pub figures: Vec<Figure>,
}

impl Verdicts {
    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds what is true and worth knowing to who asks, but asks for nothing: it stands in the report, and is shown
    /// with `--all` alone.
    pub fn fact(&mut self, finding: Finding) {
        self.facts.push(finding);
    }

    /// Adds a conclusion.
    pub fn conclude(&mut self, conclusion: Conclusion) {
        self.conclusions.push(conclusion);
    }

    /// Adds a figure of the whole model; the engine fills in the analyzer.
    pub fn figure(&mut self, figure: Figure) {
        self.figures.push(figure);
    }
}
