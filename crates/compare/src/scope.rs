//! How much of two checkpoints was compared, and what was not: a headline speaks of the whole.

use indexmap::IndexMap;
use weightscope_core::{Report, WeightRecord};

use crate::movement::Pair;

/// Least share of the parameters of both that must be paired for a verdict.
const ENOUGH: f64 = 0.5;
/// Names that are told at most.
const NAMES: usize = 3;

/// Rows that one of two tables lacks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cut<'a> {
    pub(crate) records: Vec<&'a WeightRecord>,
    /// Rows of BASE's and of TUNED's.
    pub(crate) rows: [u64; 2],
    /// Whether the rows that only one has are all equal.
    pub(crate) equal: bool,
}

impl Cut<'_> {
    /// What TUNED's tables lack or have beyond BASE's.
    pub(crate) fn told(&self) -> String {
        let names = names(self.records.iter().map(|w| w.name.as_str()));
        let [base, tuned] = self.rows;
        if tuned < base {
            let rows = range(tuned, base);
            return format!("TUNED's {names} {} BASE's {rows}", verb(self, "lacks", "lack"));
        }
        let more = tuned - base;
        let equal = if self.equal && more > 1 {
            ", all equal, as rows are that were added and never trained"
        } else {
            ""
        };
        let has = verb(self, "has", "have");
        let noun = if more == 1 { "row" } else { "rows" };
        format!("TUNED's {names} {has} {more} more {noun} ({}{equal})", range(base, tuned))
    }
}

fn verb(cut: &Cut<'_>, one: &'static str, many: &'static str) -> &'static str {
    if cut.records.len() == 1 { one } else { many }
}

/// `rows 488 to 511`.
fn range(first: u64, end: u64) -> String {
    let last = end.saturating_sub(1);
    if first == last { format!("row {first}") } else { format!("rows {first} to {last}") }
}

/// What was compared.
#[derive(Clone, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) paired: usize,
    /// Trained weights that have no comparison, by why.
    pub(crate) alone: IndexMap<&'a str, Vec<&'a WeightRecord>>,
    /// Factors of an adapter that lies, unmerged, on weights of one of them.
    pub(crate) adapter: Vec<&'a WeightRecord>,
    /// Tables with rows that only one has.
    pub(crate) cut: Vec<Cut<'a>>,
    /// Share of the parameters of both that are paired.
    share: f64,
}

impl<'a> Scope<'a> {
    pub(crate) fn of(report: &'a Report, pairs: &[Pair<'a>]) -> Self {
        let is_paired = |record: &WeightRecord| {
            record.metric(crate::ID, "changed_fraction").is_some_and(|value| !value.is_null())
        };
        let mut alone: IndexMap<&str, Vec<&WeightRecord>> = IndexMap::new();
        let mut sums = [0.0f64; 2];
        let mut adapter = Vec::new();
        let lies_on_weights =
            report.models.iter().any(|model| model.adapter_on_weights().is_some());
        for record in report.weights.iter().filter(|w| w.parameters > 0) {
            let is_paired = is_paired(record);
            if !is_paired && record.role.is_factor() && lies_on_weights && record.other.is_none() {
                adapter.push(record);
                continue;
            }
            // A pair, and what has a counterpart that does not fit, stands for both.
            let sides = if is_paired || record.other.is_some() { 2.0 } else { 1.0 };
            if let Some(sum) = sums.get_mut(usize::from(is_paired)) {
                *sum += sides * record.parameters as f64;
            }
            if !is_paired {
                let why = record.reason.as_deref().unwrap_or("it was not measured");
                alone.entry(why).or_default().push(record);
            }
        }
        let mut cut: Vec<Cut<'a>> = Vec::new();
        for pair in pairs {
            let rows = ["base_rows", "other_rows"].map(|metric| pair.number(metric));
            let [Some(base), Some(tuned)] = rows else { continue };
            let rows = [base as u64, tuned as u64];
            let equal = pair.number("other_rows_equal") == Some(1.0);
            match cut.iter_mut().find(|cut| cut.rows == rows && cut.equal == equal) {
                Some(cut) => cut.records.push(pair.record),
                None => cut.push(Cut { records: vec![pair.record], rows, equal }),
            }
        }
        let [without, with] = sums;
        let share = if with > 0.0 { with / (with + without) } else { 0.0 };
        Self { paired: pairs.len(), alone, adapter, cut, share }
    }

    /// Whether so much is paired that something can be said of the whole.
    pub(crate) fn is_enough(&self) -> bool {
        self.share >= ENOUGH
    }

    /// Whether every weight of both was compared, with all of its rows.
    pub(crate) fn is_whole(&self) -> bool {
        self.alone.is_empty() && self.cut.is_empty()
    }

    /// Weights of both that have no comparison.
    pub(crate) fn alone(&self) -> usize {
        self.alone.values().map(Vec::len).sum()
    }

    /// Weights of both checkpoints, a pair counted once.
    pub(crate) fn total(&self) -> usize {
        self.paired + self.alone()
    }

    /// Share of the parameters that are paired.
    pub(crate) fn share(&self) -> f64 {
        self.share
    }

    /// What was not compared and why, for the end of a sentence; empty where everything was.
    pub(crate) fn told(&self) -> Vec<String> {
        let mut parts: Vec<String> = self.cut.iter().map(Cut::told).collect();
        let mut reasons: Vec<(&str, &Vec<&WeightRecord>)> =
            self.alone.iter().map(|(why, records)| (*why, records)).collect();
        // The commonest first; ties in the order of the model.
        reasons.sort_by_key(|(_, records)| std::cmp::Reverse(records.len()));
        let others: usize = reasons.iter().skip(NAMES).map(|(_, records)| records.len()).sum();
        for (why, records) in reasons.into_iter().take(NAMES) {
            let names = names(records.iter().map(|w| w.name.as_str()));
            parts.push(format!("{} not compared, {why} ({names})", weights(records.len())));
        }
        if others > 0 {
            parts.push(format!("{others} more not compared for other reasons"));
        }
        parts
    }
}

/// `1 weight`, `12 weights`.
pub(crate) fn weights(count: usize) -> String {
    if count == 1 { "1 weight".to_owned() } else { format!("{count} weights") }
}

/// Some names, and how many more there are.
pub(crate) fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    // One more name is no longer than saying that there is one more.
    let shown = if all.len() <= NAMES + 1 { all.len() } else { NAMES };
    let more = all.len() - shown;
    let some = all.get(..shown).unwrap_or_default();
    match some {
        [a, b] if more == 0 => format!("{a} and {b}"),
        _ if more > 0 => format!("{} and {more} more", some.join(", ")),
        _ => some.join(", "),
    }
}
