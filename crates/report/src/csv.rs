//! One row per weight, one column per scalar metric.

use indexmap::{IndexMap, IndexSet};
use weightscope_core::{
    Key, Part, Report, ReportKind, Role, Stack, Value, WeightRecord, WeightStatus,
};

use crate::escape::csv_text;
use crate::tables::analyzers;
use crate::{RenderError, RenderOptions, numbers, schemes};

/// What every weight has.
///
/// `stored_scheme`, `stored_bits_per_weight` and `stored_bytes` are how a weight lies in the file: its scheme and all of
/// its parts where it is stored in blocks or codes, else its plain elements; empty where that is not known.
pub(crate) const FIXED: [&str; 14] = [
    "name",
    "role",
    "part",
    "stack",
    "block",
    "expert",
    "dtype",
    "shape",
    "matrix",
    "parameters",
    "stored_scheme",
    "stored_bits_per_weight",
    "stored_bytes",
    "status",
];

pub(crate) fn render(report: &Report, options: &RenderOptions<'_>) -> Result<String, RenderError> {
    let columns = columns(report, options);
    let mut rows = Rows::new();
    let compares = report.kind == ReportKind::Compare;
    let partner = compares.then(|| "other".to_owned());
    let titles = with_partner(FIXED.iter().map(|title| (*title).to_owned()), partner);
    let metrics = columns.iter().flat_map(|(id, keys)| keys.iter().map(move |k| k.title(id)));
    rows.push(titles.chain(metrics))?;
    for weight in &report.weights {
        let cells = columns.iter().flat_map(|(id, keys)| {
            keys.iter().map(move |key| key.value(weight, id).map_or_else(String::new, cell))
        });
        let partner = || csv_text(weight.other.as_deref().unwrap_or("")).into_owned();
        rows.push(with_partner(fixed(weight), compares.then(partner)).chain(cells))?;
    }
    rows.finish()
}

/// The cells, in a comparison with that of the partner's name after the first.
fn with_partner(
    mut cells: impl Iterator<Item = String>,
    partner: Option<String>,
) -> impl Iterator<Item = String> {
    let name = cells.next();
    name.into_iter().chain(partner).chain(cells)
}

/// Records in the making.
pub(crate) struct Rows(::csv::Writer<Vec<u8>>);

impl Rows {
    pub(crate) fn new() -> Self {
        Self(::csv::Writer::from_writer(Vec::new()))
    }

    pub(crate) fn push(
        &mut self,
        cells: impl IntoIterator<Item = String>,
    ) -> Result<(), RenderError> {
        self.0.write_record(cells.into_iter().map(String::into_bytes)).map_err(RenderError::new)
    }

    pub(crate) fn finish(self) -> Result<String, RenderError> {
        let bytes = self.0.into_inner().map_err(|e| RenderError::new(e.into_error()))?;
        String::from_utf8(bytes).map_err(RenderError::new)
    }
}

/// Where a column's scalars are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ColumnKey<'a> {
    /// A metric.
    Metric(&'a str),
    /// An entry of a metric that is a map.
    Entry(&'a str, &'a str),
    /// `sqnr_db` of a scheme in a list of schemes; nothing where nothing is lost.
    Scheme(&'a str, &'a str),
}

/// The number of a scheme that has a column.
const SQNR: &str = "sqnr_db";

impl ColumnKey<'_> {
    fn metric(&self) -> &str {
        match self {
            Self::Metric(metric) | Self::Entry(metric, _) | Self::Scheme(metric, _) => metric,
        }
    }

    fn title(&self, analyzer: &str) -> String {
        let title = match self {
            Self::Metric(metric) => format!("{analyzer}.{metric}"),
            Self::Entry(metric, entry) => format!("{analyzer}.{metric}.{entry}"),
            Self::Scheme(_, name) => format!("{analyzer}.{SQNR}.{name}"),
        };
        csv_text(&title).into_owned()
    }

    fn value<'w>(&self, weight: &'w WeightRecord, analyzer: &str) -> Option<&'w Value> {
        let value = weight.metric(analyzer, self.metric())?;
        match self {
            Self::Metric(_) => Some(value).filter(|v| is_scalar(v)),
            Self::Entry(_, entry) => value.get(entry),
            Self::Scheme(_, name) => schemes::row(value, name)?.get(SQNR),
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Map(_) | Value::Null)
}

/// Every column that some weight fills, by analyzer: metrics in the descriptor's order, then as first seen.
fn columns<'a>(
    report: &'a Report,
    options: &RenderOptions<'a>,
) -> IndexMap<&'a str, Vec<ColumnKey<'a>>> {
    let of = |id: &'a str| {
        let mut seen: IndexSet<ColumnKey<'a>> = IndexSet::new();
        for metrics in report.weights.iter().filter_map(|w| w.analyses.get(id)) {
            for (metric, value) in metrics {
                collect(metric, value, &mut seen);
            }
        }
        let descriptor = options.descriptors.iter().find(|d| d.id == id);
        let declared: IndexSet<&str> =
            descriptor.into_iter().flat_map(|d| d.metrics.iter().map(|m| m.key)).collect();
        let mut keys: Vec<ColumnKey<'a>> = seen.into_iter().collect();
        let place = |key: &ColumnKey<'_>| declared.get_index_of(key.metric()).unwrap_or(usize::MAX);
        keys.sort_by_key(place);
        (id, keys)
    };
    analyzers(report).into_iter().map(of).collect()
}

fn collect<'a>(metric: &'a Key, value: &'a Value, seen: &mut IndexSet<ColumnKey<'a>>) {
    match value {
        Value::Map(entries) => {
            let scalars = entries.iter().filter(|(_, v)| is_scalar(v));
            seen.extend(scalars.map(|(entry, _)| ColumnKey::Entry(metric, entry)));
        }
        Value::List(items) => {
            let names = items.iter().filter_map(schemes::name_of);
            seen.extend(names.map(|name| ColumnKey::Scheme(metric, name)));
        }
        value if is_scalar(value) => {
            seen.insert(ColumnKey::Metric(metric));
        }
        _ => {}
    }
}

/// Numbers as in JSON, so that they read back the same.
fn cell(value: &Value) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Integer(n) => n.to_string(),
        Value::Number(x) => format!("{x:?}"),
        Value::Text(text) => csv_text(text).into_owned(),
        Value::Null | Value::List(_) | Value::Map(_) => String::new(),
    }
}

/// What is known of a weight before it is measured.
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    pub(crate) part: Part,
    pub(crate) stack: Option<Stack>,
    pub(crate) block: Option<u32>,
    pub(crate) expert: Option<u32>,
    pub(crate) dtype: &'a str,
    pub(crate) shape: &'a [u64],
    pub(crate) matrix: Option<[u64; 2]>,
    pub(crate) parameters: u64,
    pub(crate) stored_type: &'a str,
    pub(crate) stored_bits: Option<f64>,
    pub(crate) stored_bytes: Option<u64>,
}

/// Cells under all of [`FIXED`] but the last.
pub(crate) fn identity(weight: &Identity<'_>) -> [String; FIXED.len() - 1] {
    let optional = |n: Option<u32>| n.map_or_else(String::new, |n| n.to_string());
    [
        csv_text(weight.name).into_owned(),
        weight.role.name().to_owned(),
        weight.part.name().to_owned(),
        weight.stack.map_or("", |s| s.name()).to_owned(),
        optional(weight.block),
        optional(weight.expert),
        csv_text(weight.dtype).into_owned(),
        numbers::joined(weight.shape, "x"),
        weight.matrix.map_or_else(String::new, |m| numbers::joined(&m, "x")),
        weight.parameters.to_string(),
        csv_text(weight.stored_type).into_owned(),
        weight.stored_bits.map_or_else(String::new, |bits| format!("{bits:?}")),
        weight.stored_bytes.map_or_else(String::new, |bytes| bytes.to_string()),
    ]
}

fn fixed(weight: &WeightRecord) -> impl Iterator<Item = String> {
    let identity = identity(&Identity {
        name: &weight.name,
        role: weight.role,
        part: weight.part,
        stack: weight.stack,
        block: weight.block,
        expert: weight.expert,
        dtype: &weight.dtype,
        shape: &weight.shape,
        matrix: weight.matrix,
        parameters: weight.parameters,
        stored_type: &weight.stored_type(),
        stored_bits: weight.stored_bits(),
        stored_bytes: weight.stored_bytes(),
    });
    let status = match weight.status {
        WeightStatus::Ok => "ok",
        WeightStatus::Skipped => "skipped",
        WeightStatus::Failed => "failed",
    };
    identity.into_iter().chain([status.to_owned()])
}
