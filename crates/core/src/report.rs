//! The machine report: what a scan hands back and what judging reads.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    Category, Conclusion, Confidence, DType, Figure, Finding, Heads, Key, Kind, Metadata, Metrics,
    Parameters, Part, Role, Severity, Stack, Value,
};

/// Name in [`SchemaRecord`].
pub const SCHEMA_NAME: &str = "weightscope-report";
/// Major version of the report: changes when a reader must change.
pub const SCHEMA_MAJOR: u32 = 1;
/// Minor version of the report: changes when something is added.
pub const SCHEMA_MINOR: u32 = 2;

/// Everything one run found. Serialised, this is the JSON report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// Which version of this format it is.
    pub schema: SchemaRecord,
    /// Who wrote it.
    pub tool: ToolRecord,
    /// What was run.
    pub kind: ReportKind,
    /// Whether everything was measured.
    pub status: Status,
    /// The inputs.
    pub sources: Vec<SourceRecord>,
    /// What the inputs are, in the same order.
    pub models: Vec<ModelSummary>,
    /// What changes numbers.
    pub settings: Settings,
    /// Every weight, in model order.
    pub weights: Vec<WeightRecord>,
    /// Judgements, by severity (worst first), code, weight order and metric.
    pub findings: Vec<Finding>,
    /// What is true and asks for nothing: what follows from a finding (`caused_by`), and statistics that random or
    /// healthy weights show as well. In the same order.
    #[serde(default)]
    pub facts: Vec<Finding>,
    /// Statements about the model.
    pub conclusions: Vec<Conclusion>,
    /// Figures as data.
    pub figures: Vec<Figure>,
    /// What could not be read or measured.
    pub errors: Vec<ErrorRecord>,
    /// Counts.
    pub totals: Totals,
    /// How long it took; null when times were not asked for.
    pub timings: Option<Timings>,
}

/// Name and version of the report format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SchemaRecord {
    /// Always `weightscope-report`.
    pub name: String,
    /// Changes when a reader must change.
    pub major: u32,
    /// Changes when something is added.
    pub minor: u32,
}

impl Default for SchemaRecord {
    fn default() -> Self {
        Self { name: SCHEMA_NAME.to_owned(), major: SCHEMA_MAJOR, minor: SCHEMA_MINOR }
    }
}

/// The program that wrote a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ToolRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What kind of run a report is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ReportKind {
    /// One checkpoint.
    Scan,
    /// Two checkpoints, weight by weight.
    Compare,
}

/// How far a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Status {
    /// Everything that was declared was measured.
    Complete,
    /// Something could not be read or measured; `errors` says what.
    Partial,
    /// The user stopped it; what was measured is here.
    Interrupted,
    /// The input could not be used at all.
    Rejected,
}

impl Status {
    /// The name reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Interrupted => "interrupted",
            Self::Rejected => "rejected",
        }
    }
}

/// One input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SourceRecord {
    /// As the user typed it.
    pub path: String,
    /// Container format.
    pub format: String,
    /// Its files.
    pub files: Vec<FileRecord>,
    /// What its pickles would import and call; nothing of it was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub globals: Vec<GlobalRecord>,
    /// What was chosen to be read, and what else lies there and was not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Files with weights in the folder and below it that were not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<FileRecord>,
    /// Which part of a model of several it is: its folder below that of the model, empty for the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

impl SourceRecord {
    /// What a report says of a checkpoint.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            path: metadata.path.clone(),
            format: metadata.format.clone(),
            files: metadata.files.clone(),
            globals: metadata.globals.clone(),
            notes: metadata.notes.clone(),
            unread: metadata.unread.clone(),
            part: None,
        }
    }
}

/// Something that a pickle would import in the program that loads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GlobalRecord {
    /// Python module.
    pub module: String,
    /// Name in it.
    pub name: String,
    /// What it could do.
    pub danger: Danger,
    /// How often it is imported.
    pub count: u64,
    /// The file.
    pub file: String,
    /// The part of the file: `data.pkl`.
    pub place: String,
}

/// What importing and calling something could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Danger {
    /// Nothing but hold values: scalars of NumPy, paths, dates, settings.
    Inert,
    /// Nobody here knows.
    Unknown,
    /// Run programs, reach files or networks, or lead to what does.
    Runs,
}

/// One file of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileRecord {
    /// File name without its folder.
    pub name: String,
    /// Size.
    pub bytes: u64,
}

/// What a checkpoint is, from names, shapes and config.json alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelSummary {
    /// Architecture family, for example `gpt2`; `generic` when unknown.
    pub family: String,
    /// Trained parameters, tied tensors counted once.
    pub parameters: u64,
    /// The same with every stored copy counted.
    pub parameters_with_tied_copies: u64,
    /// Stored tensors, buffers included.
    pub tensors: u64,
    /// Stored bytes of all tensors.
    pub bytes: u64,
    /// Number of blocks (of all towers).
    pub blocks: u64,
    /// Query heads per block.
    pub heads: Option<u64>,
    /// Key-value heads per block.
    pub kv_heads: Option<u64>,
    /// Features per head.
    pub head_dim: Option<u64>,
    /// Width of the residual stream.
    pub hidden_size: Option<u64>,
    /// Rows of the token embedding.
    pub vocab_size: Option<u64>,
    /// Parameters and bytes per category, in the order of [`Category::ALL`]; empty ones left out.
    pub categories: Vec<CategoryRecord>,
    /// Whether config.json (or the family's default) ties the head to the token embedding.
    pub tie_word_embeddings: Option<bool>,
    /// Pairs of stored tensors that are one parameter: (copy, original).
    pub tied: Vec<(String, String)>,
    /// Tensors that config.json promises and the checkpoint lacks.
    pub missing: Vec<String>,
    /// Tensors that a known family does not have.
    pub unexpected: Vec<String>,
    /// Tensors whose shape is not what config.json implies.
    pub misshapen: Vec<ShapeMismatch>,
    /// How its tensors are stored, buffers and copies included; the form of the most elements first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stored_as: Vec<StoredShare>,
    /// The family whose rules were used, where config.json names one without rules of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_of: Option<String>,
    /// Towers, where there are several; `blocks` counts those of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub towers: Vec<TowerRecord>,
    /// Towers that config.json declares and of which there is no tensor: `vision tower (vision_config)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_towers: Vec<String>,
    /// Whether its norms multiply by 1 + w, so that training begins at zeros.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub norms_add_one: bool,
    /// What wrappers of training tools left in names, as `_orig_mod`, and how many names have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrappers: Vec<WrapperRecord>,
    /// A low-rank adapter: the whole checkpoint, or on weights of it, unmerged, where its parameters are not those of the
    /// model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterRecord>,
    /// Tensors of which a trained copy stands beside them (PEFT's `original_module`), which is what the model uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    /// Values of these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced_parameters: u64,
}

impl ModelSummary {
    /// The adapter that lies on weights of this checkpoint.
    pub fn adapter_on_weights(&self) -> Option<&AdapterRecord> {
        self.adapter.as_ref().filter(|adapter| !adapter.alone)
    }

    /// The adapter that this checkpoint is.
    pub fn adapter_alone(&self) -> Option<&AdapterRecord> {
        self.adapter.as_ref().filter(|adapter| adapter.alone)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What a wrapper left in names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WrapperRecord {
    /// The words, as `module` or `base_model.model`.
    pub name: String,
    /// Tensors whose names have it.
    pub tensors: u64,
}

/// A low-rank adapter: alone, or on weights of the same checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdapterRecord {
    /// Modules that have one.
    pub modules: u64,
    /// Least and largest rank.
    pub ranks: [u64; 2],
    /// What the modules are called, as `q_proj`.
    pub targets: Vec<String>,
    /// Values of all factors.
    pub parameters: u64,
    /// Whether there is nothing that it lies on: the checkpoint is the adapter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// What it is called: `LoRA`, `rsLoRA`, `DoRA`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Least and largest alpha, where the configuration says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alphas: Option<[f64; 2]>,
    /// Least and largest number that products are multiplied with; null where nothing tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales: Option<[f64; 2]>,
    /// The model that it is for, as the configuration names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Modules with a magnitude vector (DoRA).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub magnitudes: u64,
    /// Whole tensors beside the factors: modules that were trained whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whole: Vec<String>,
    /// Where the configuration and the tensors contradict each other, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contradictions: Vec<String>,
}

impl AdapterRecord {
    /// In words: `LoRA adapter, rank 8, alpha 16 (scale 2), 16 modules (q_proj, v_proj), of base/model`.
    pub fn told(&self) -> String {
        let range = |[least, most]: [f64; 2]| {
            if least == most { format!("{least}") } else { format!("{least} to {most}") }
        };
        let method = if self.method.is_empty() { "LoRA" } else { &self.method };
        let mut parts =
            vec![format!("{method} adapter, rank {}", range(self.ranks.map(|r| r as f64)))];
        let rounded = |pair: [f64; 2]| pair.map(|x| (x * 1e4).round() / 1e4);
        let scale = self.scales.map(|scales| format!("scale {}", range(rounded(scales))));
        parts.push(match (self.alphas, scale) {
            (Some(alphas), Some(scale)) => format!("alpha {} ({scale})", range(rounded(alphas))),
            (None, Some(scale)) => scale,
            (_, None) => "scale unknown (taken as 1)".to_owned(),
        });
        let noun = if self.modules == 1 { "module" } else { "modules" };
        parts.push(format!("{} {noun} ({})", self.modules, self.targets.join(", ")));
        if !self.whole.is_empty() {
            parts.push(format!("trained whole: {}", self.whole.join(", ")));
        }
        parts.extend(self.base.as_ref().map(|base| format!("of {base}")));
        parts.join(", ")
    }
}

/// One of a model's towers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TowerRecord {
    /// What it reads, or the beginning of its names: `text`, `vision`, `model.visual`.
    pub name: String,
    /// Number of blocks.
    pub blocks: u64,
    /// Width of the residual stream.
    pub hidden_size: Option<u64>,
    /// Query heads per block.
    pub heads: Option<u64>,
    /// Key-value heads per block.
    pub kv_heads: Option<u64>,
    /// Features per head.
    pub head_dim: Option<u64>,
}

/// What of a model is stored in one form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoredShare {
    /// An element type or a scheme, as [`WeightRecord::stored_type`] names it: `BF16`, `Q4_K`, `gptq int4 g128`.
    #[serde(rename = "type")]
    pub name: String,
    /// Tensors in it, one for a weight that is stored in several parts.
    pub tensors: u64,
    /// Their elements; of codes that are not decoded, the stored ones.
    pub elements: u64,
    /// Their stored bytes, factors and all other parts included.
    pub bytes: u64,
    /// Stored bits of an element; null for what is not decoded, whose elements are not known.
    pub bits_per_weight: Option<f64>,
}

/// Share of one category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CategoryRecord {
    /// The category.
    pub category: Category,
    /// Tensors in it, buffers left out.
    pub tensors: u64,
    /// Parameters, tied ones counted once.
    pub parameters: u64,
    /// Stored bytes of those.
    pub bytes: u64,
}

/// A tensor whose shape contradicts config.json.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShapeMismatch {
    /// Tensor name.
    pub name: String,
    /// Stored shape.
    pub shape: Vec<u64>,
    /// Shape that config.json implies, as it would be stored.
    pub expected: Vec<u64>,
}

/// What changes numbers, and so must agree when a run is resumed or compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Settings {
    /// Analyzers by id with their versions, in the order they ran.
    pub analyzers: IndexMap<Key, u32>,
    /// Every parameter's value by analyzer.
    pub parameters: Parameters,
    /// Only weights whose names match one of these globs; all when empty.
    pub include: Vec<String>,
    /// But none whose names match one of these.
    pub exclude: Vec<String>,
    /// Whether fused q, k, v (and gate, up) were measured apart.
    pub split_fused: bool,
    /// Whether long series in figures were thinned.
    pub series: SeriesDetail,
    /// Findings that were left out on request.
    pub ignore: Vec<IgnoreRule>,
}

/// How much of long series a report keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SeriesDetail {
    /// Everything.
    #[default]
    Full,
    /// Thinned, and per-weight figures only for weights with findings or shown whole.
    Summary,
}

/// A finding the user does not want to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IgnoreRule {
    /// Finding code.
    pub code: String,
    /// Glob on weight names; a finding without a weight matches `*`.
    pub weight: String,
    /// Why it is all right.
    pub reason: String,
}

/// One weight and everything measured on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WeightRecord {
    /// Unique name.
    pub name: String,
    /// In a comparison, the name that the same weight has in the second checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// The stored tensor it lies in.
    pub source_tensor: String,
    /// Which of [`Report::models`] it belongs to, where a model has several parts.
    #[serde(default, skip_serializing_if = "is_first")]
    pub model: u32,
    /// What it does.
    pub role: Role,
    /// Which part of its module it is.
    pub part: Part,
    /// Which tower it belongs to.
    pub stack: Option<Stack>,
    /// Depth, from 0.
    pub block: Option<u32>,
    /// Expert, from 0.
    pub expert: Option<u32>,
    /// Type of the elements that were measured; of an unknown type as the file spells it.
    pub dtype: String,
    /// How they are stored, unless as plain elements of `dtype`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredRecord>,
    /// Shape as stored; of a stored form that of the decoded weight, output units before inputs.
    pub shape: Vec<u64>,
    /// `[out, in]`, however stored.
    pub matrix: Option<[u64; 2]>,
    /// Whether `shape` is `[in, out]`.
    pub transposed: bool,
    /// Attention heads, where known.
    pub heads: Option<Heads>,
    /// How sure role and orientation are.
    pub confidence: Confidence,
    /// Elements that are trained parameters; 0 for buffers.
    pub parameters: u64,
    /// Whether it was measured.
    pub status: WeightStatus,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Metrics by analyzer.
    pub analyses: IndexMap<Key, Metrics>,
    /// Why a metric has no value, by `analyzer.metric`.
    pub undefined: IndexMap<Key, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_first(model: &u32) -> bool {
    *model == 0
}

/// How a weight is stored that is not plain elements of one type: in blocks with their scales, or as codes with factors
/// in tensors of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoredRecord {
    /// In the field's words: `Q4_K`, `gptq int4 g128`, `fp8 128x128`.
    pub scheme: String,
    /// Stored bits per weight, factors and all other parts included.
    pub bits_per_weight: f64,
    /// Stored bytes of all parts; of one expert of a stack its share.
    pub bytes: u64,
    /// The stored tensors it is made of, the one with the codes first.
    pub parts: Vec<String>,
    /// How many rows and columns of the matrix `[out, in]` share a factor; null when that varies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor_block: Option<[u64; 2]>,
}

/// The name of a stored form; plain codes that nothing decodes are told from numbers of the same type.
pub(crate) fn stored_type<'a>(
    scheme: Option<&'a str>,
    dtype: &'a str,
    is_readable: bool,
) -> Cow<'a, str> {
    match scheme {
        Some(scheme) if !is_readable && scheme.parse::<DType>().is_ok() => {
            Cow::Owned(format!("{scheme} codes"))
        }
        Some(scheme) => Cow::Borrowed(scheme),
        None => Cow::Borrowed(dtype),
    }
}

/// Whether a weight was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum WeightStatus {
    /// Yes.
    Ok,
    /// Not attempted; `reason` says why.
    Skipped,
    /// Attempted in vain; `reason` says why.
    Failed,
}

impl WeightRecord {
    /// A metric's value; `None` when it was not measured or does not exist.
    pub fn metric(&self, analyzer: &str, metric: &str) -> Option<&Value> {
        self.analyses.get(analyzer)?.get(metric).filter(|v| !v.is_null())
    }

    /// A numeric metric.
    pub fn number(&self, analyzer: &str, metric: &str) -> Option<f64> {
        self.metric(analyzer, metric)?.as_f64()
    }

    /// How it is stored, in one word for every output: the scheme of a stored form, else its element type.
    pub fn stored_type(&self) -> Cow<'_, str> {
        let is_readable = self.dtype.parse::<DType>().is_ok();
        let scheme = self.stored.as_ref().map(|stored| stored.scheme.as_str());
        stored_type(scheme, &self.dtype, is_readable)
    }

    /// Stored bits of each element, factors included; `None` for what is not decoded.
    pub fn stored_bits(&self) -> Option<f64> {
        let plain = f64::from(self.dtype.parse::<DType>().ok()?.bits());
        Some(self.stored.as_ref().map_or(plain, |stored| stored.bits_per_weight))
    }

    /// Bytes that it takes in the file, all parts included; `None` when its type is not known.
    pub fn stored_bytes(&self) -> Option<u64> {
        if let Some(stored) = &self.stored {
            return Some(stored.bytes);
        }
        let bits = u64::from(self.dtype.parse::<DType>().ok()?.bits());
        Some(self.elements().saturating_mul(bits).div_ceil(8))
    }

    /// How verdicts treat it.
    pub fn kind(&self) -> Kind {
        Kind::of(self.role, self.part, self.matrix)
    }

    /// Number of stored elements.
    pub fn elements(&self) -> u64 {
        crate::element_count(&self.shape).unwrap_or(0)
    }

    /// Rows and columns that are not exactly zero, as far as `sparsity` was run; `None` for vectors.
    pub fn live(&self) -> Option<[u64; 2]> {
        let [out, input] = self.matrix?;
        let zero = |metric| {
            self.metric("sparsity", metric).and_then(|v| v.get("count")?.as_u64()).unwrap_or(0)
        };
        Some([out.saturating_sub(zero("zero_rows")), input.saturating_sub(zero("zero_columns"))])
    }

    /// Whether it is large enough for statistical verdicts above info: at least 16 live rows and
    /// columns, 4096 live values, all finite, and not constant.
    pub fn is_statistical(&self) -> bool {
        let large =
            self.live().is_some_and(|[out, input]| out.min(input) >= 16 && out * input >= 4096);
        let constant =
            self.metric("integrity", "constant").and_then(Value::as_bool).unwrap_or(false);
        let count = |metric| self.number("integrity", metric).unwrap_or(0.0);
        let finite = count("nan_count") + count("inf_count") == 0.0;
        self.status == WeightStatus::Ok && large && finite && !constant
    }
}

/// Something that could not be read or measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorRecord {
    /// What it is about.
    pub scope: ErrorScope,
    /// The tensor, file or analyzer.
    pub name: String,
    /// The analyzer that failed, when the scope is a tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analyzer: Option<Key>,
    /// Stable kebab-case code.
    pub code: Key,
    /// One sentence with the numbers.
    pub message: String,
}

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ErrorScope {
    /// A weight or stored tensor.
    Tensor,
    /// A file with weights.
    Shard,
    /// config.json, an index.
    SideFile,
    /// An analyzer's judging.
    Analyzer,
}

/// Counts over the whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Totals {
    /// Weights the checkpoint has, after `include` and `exclude`.
    pub declared: u64,
    /// Of these, measured.
    pub measured: u64,
    /// Not attempted.
    pub skipped: u64,
    /// Attempted in vain.
    pub failed: u64,
    /// Parameters that were not measured, by reason; the largest share first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_measured: Vec<NotMeasured>,
    /// Findings by severity, ignored ones left out.
    pub findings: FindingCounts,
}

/// Weights of which nothing is known but that they are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotMeasured {
    /// How many.
    pub tensors: u64,
    /// Their parameters; of codes whose shape is not known, the stored elements.
    pub parameters: u64,
    /// Share of all parameters of the weights in the report, 0 to 1.
    pub share: f64,
    /// Why they were not measured.
    pub why: String,
}

/// Findings by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FindingCounts {
    /// Worth knowing.
    pub info: u64,
    /// Worth a look.
    pub warning: u64,
    /// Broken.
    pub critical: u64,
}

impl FindingCounts {
    /// Counts `findings`.
    pub fn of(findings: &[Finding]) -> Self {
        let count = |severity| findings.iter().filter(|f| f.severity == severity).count() as u64;
        Self {
            info: count(Severity::Info),
            warning: count(Severity::Warning),
            critical: count(Severity::Critical),
        }
    }
}

/// How long a run took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Timings {
    /// Wall time of measuring and judging.
    pub seconds: f64,
    /// Bytes of weights measured.
    pub bytes: u64,
    /// Worker threads.
    pub threads: u64,
}
