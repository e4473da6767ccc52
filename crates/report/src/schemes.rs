//! What the model loses in each quantization scheme: a line for every scheme, over all weights that are judged.

use indexmap::{IndexMap, IndexSet};
use weightscope_core::{Kind, Report, Value, WeightRecord};

use crate::numbers::{decibels, grouped};

/// The analyzer that measures schemes, and its metric `[{scheme, bits_per_weight, sqnr_db, .., note}]`.
pub(crate) const ANALYZER: &str = "quantization";
pub(crate) const METRIC: &str = "schemes";
/// What the table of a model is called.
pub(crate) const TITLE: &str = "SQNR by scheme";
/// What it notes where nothing is lost.
const LOSSLESS: &str = "lossless";
/// Most of those that are named.
const NAMED: usize = 4;
const OVERFLOW: &str = "overflow";

/// The row of a scheme in the metric's value.
pub(crate) fn row<'a>(schemes: &'a Value, name: &str) -> Option<&'a Value> {
    schemes.items().iter().find(|row| name_of(row) == Some(name))
}

/// The scheme that a row is about.
pub(crate) fn name_of(row: &Value) -> Option<&str> {
    row.get("scheme").and_then(Value::as_str)
}

/// What a table says instead of decibels.
pub(crate) fn word(note: &str) -> &'static str {
    if note == LOSSLESS { "exact" } else { OVERFLOW }
}

/// What one scheme does to a group of weights.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// Decibels of each weight that was measured; infinite where nothing is lost.
    decibels: Vec<f64>,
    /// How many hold values that the scheme cannot.
    pub(crate) overflows: usize,
}

impl Group {
    fn push(&mut self, row: &Value) -> Option<f64> {
        let note = row.get("note").and_then(Value::as_str);
        let db = row.get("sqnr_db").and_then(Value::as_f64);
        let db = db.or_else(|| (note == Some(LOSSLESS)).then_some(f64::INFINITY));
        match db {
            Some(db) => self.decibels.push(db),
            None => self.overflows += 1,
        }
        db
    }

    /// The middle, or of two the lower one. Infinite where nothing is lost.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.decibels.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }
}

/// What one scheme does to the model.
#[derive(Clone, Debug)]
pub(crate) struct Scheme<'a> {
    pub(crate) name: &'a str,
    /// Of all weights together, scales included.
    pub(crate) bits_per_weight: f64,
    pub(crate) all: Group,
    /// Decibels of the weight that loses most, and its place in the report.
    pub(crate) lowest: Option<(f64, usize)>,
    /// How many decibels a weight is below normal ones at most.
    pub(crate) excess: Option<f64>,
    /// In the order of [`Summary::roles`]; empty where a role has none.
    pub(crate) roles: Vec<Group>,
    bits: f64,
    elements: f64,
}

/// Every scheme over all weights that are judged.
#[derive(Clone, Debug)]
pub(crate) struct Summary<'a> {
    /// How many weights these are.
    pub(crate) weights: usize,
    /// Schemes that lose something, in the analyzer's order.
    pub(crate) schemes: Vec<Scheme<'a>>,
    /// Schemes that lose nothing of any weight.
    pub(crate) lossless: Vec<&'a str>,
    /// Roles that the weights have, in model order: `mlp up`, `mlp up experts`.
    pub(crate) roles: Vec<String>,
}

/// Matrices, embeddings and heads that are large enough for statistics.
fn is_judged(weight: &WeightRecord) -> bool {
    matches!(weight.kind(), Kind::Matrix | Kind::Embedding | Kind::Head) && weight.is_statistical()
}

fn role_of(weight: &WeightRecord) -> String {
    let role = weight.role.name().replace('_', " ");
    if weight.expert.is_some() { role + " experts" } else { role }
}

/// `None` when no judged weight has schemes.
pub(crate) fn summary(report: &Report) -> Option<Summary<'_>> {
    let mut schemes: IndexMap<&str, Scheme<'_>> = IndexMap::new();
    let mut roles: IndexSet<String> = IndexSet::new();
    let mut weights = 0;
    for (place, weight) in report.weights.iter().enumerate().filter(|(_, w)| is_judged(w)) {
        let Some(rows) = weight.metric(ANALYZER, METRIC) else { continue };
        let role = roles.insert_full(role_of(weight)).0;
        weights += 1;
        for row in rows.items() {
            let Some(name) = name_of(row) else { continue };
            let scheme = schemes.entry(name).or_insert_with(|| Scheme::new(name));
            scheme.push(row, weight.elements() as f64, place, role);
        }
    }
    let (lossy, lossless): (Vec<_>, Vec<_>) =
        schemes.into_values().partition(|s| s.lowest.is_some() || s.all.overflows > 0);
    if weights == 0 || lossy.is_empty() && lossless.is_empty() {
        return None;
    }
    Some(Summary {
        weights,
        lossless: lossless.iter().map(|s| s.name).collect(),
        schemes: lossy.into_iter().map(|scheme| scheme.finished(roles.len())).collect(),
        roles: roles.into_iter().collect(),
    })
}

impl<'a> Scheme<'a> {
    fn new(name: &'a str) -> Self {
        Self {
            name,
            bits_per_weight: 0.0,
            all: Group::default(),
            lowest: None,
            excess: None,
            roles: Vec::new(),
            bits: 0.0,
            elements: 0.0,
        }
    }

    fn finished(mut self, roles: usize) -> Self {
        self.bits_per_weight = self.bits / self.elements.max(1.0);
        self.roles.resize(roles, Group::default());
        self
    }

    fn push(&mut self, row: &Value, elements: f64, place: usize, role: usize) {
        let bits = row.get("bits_per_weight").and_then(Value::as_f64).unwrap_or(0.0);
        self.bits += bits * elements;
        self.elements += elements;
        let db = self.all.push(row).filter(|db| db.is_finite());
        if self.roles.len() <= role {
            self.roles.resize(role + 1, Group::default());
        }
        if let Some(group) = self.roles.get_mut(role) {
            group.push(row);
        }
        if let Some(db) = db.filter(|db| self.lowest.is_none_or(|(least, _)| *db < least)) {
            self.lowest = Some((db, place));
        }
        if let Some(excess) = row.get("excess_db").and_then(Value::as_f64) {
            self.excess = Some(self.excess.map_or(excess, |most| most.max(excess)));
        }
    }
}

impl Summary<'_> {
    /// What the table is about: `72 matrices; excess: decibels below normal weights; bf16 loses nothing`.
    pub(crate) fn note(&self) -> String {
        let matrices = match self.weights {
            1 => "1 matrix".to_owned(),
            n => format!("{} matrices", grouped(n as u64)),
        };
        let lossless = match self.lossless.as_slice() {
            [] => String::new(),
            [one] => format!("; {one} loses nothing"),
            some if some.len() <= NAMED => format!("; {} lose nothing", some.join(", ")),
            some => format!("; {} schemes lose nothing", grouped(some.len() as u64)),
        };
        format!("{matrices}; excess: decibels below normal weights{lossless}")
    }
}

impl Scheme<'_> {
    /// Bits, lowest, median and worst excess in words.
    pub(crate) fn cells(&self) -> [Option<String>; 4] {
        let overflow = (self.all.overflows > 0).then(|| OVERFLOW.to_owned());
        [
            Some(format!("{:.2}", self.bits_per_weight)),
            overflow.or_else(|| self.lowest.map(|(db, _)| cell(db))),
            self.all.median().map(cell),
            self.excess.map(decibels),
        ]
    }
}

/// Decibels in a cell: one decimal, or that nothing is lost.
pub(crate) fn cell(db: f64) -> String {
    if db.is_finite() { decibels(db) } else { word(LOSSLESS).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(db: Option<f64>, note: Option<&'static str>) -> Value {
        let mut entries = vec![("scheme", "s".into()), ("bits_per_weight", 8.0.into())];
        entries.push(("sqnr_db", db.map_or(Value::Null, Value::from)));
        entries.extend(note.map(|note| ("note", note.into())));
        Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    #[test]
    fn medians_count_what_is_exact_and_leave_out_what_overflows() {
        let mut group = Group::default();
        assert_eq!(group.median(), None);
        group.push(&row(None, Some("12 values beyond 65504")));
        assert_eq!((group.median(), group.overflows), (None, 1));
        for (db, note, median) in [
            (Some(30.0), None, "30.0"),
            (None, Some("lossless"), "30.0"),
            (None, Some("lossless"), "exact"),
            (Some(-0.01), None, "30.0"),
        ] {
            group.push(&row(db, note));
            assert_eq!(group.median().map(cell).as_deref(), Some(median));
        }
        assert_eq!(cell(-0.01), "0.0");
    }
}
