//! How far groups of weights moved.

use indexmap::IndexMap;
use weightscope_core::{Category, DType, Report, Stack, WeightRecord, WeightStatus};

use crate::ID;

/// What became of one weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The same values in the same type.
    Same,
    /// Another type, and no more difference than its rounding.
    Recast,
    /// The change has this exact rank above the rounding.
    LowRank(u64),
    /// Anything else, or more.
    Moved,
}

/// One trained weight of both checkpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) record: &'a WeightRecord,
    pub(crate) fate: Fate,
}

/// The lines that tell fates apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    /// Least relative L2 that rounding makes, in unit roundoffs.
    pub(crate) rounding: f64,
    pub(crate) gap: f64,
    pub(crate) share: f64,
}

impl<'a> Pair<'a> {
    /// All that were measured, in the order of the model.
    pub(crate) fn all(report: &'a Report, lines: Lines) -> Vec<Self> {
        let measured =
            report.weights.iter().filter(|w| w.status == WeightStatus::Ok && w.parameters > 0);
        let pairs = measured.filter(|w| w.metric(ID, "changed_fraction").is_some());
        pairs.map(|record| Self { record, fate: fate(record, lines) }).collect()
    }

    pub(crate) fn number(&self, metric: &str) -> Option<f64> {
        self.record.number(ID, metric)
    }

    /// `||B - A||/||A||`.
    pub(crate) fn relative(&self) -> Option<f64> {
        self.number("relative_l2")
    }

    /// The type that TUNED's values need, which may be narrower than the one they are stored in.
    pub(crate) fn other_dtype(&self) -> &'a str {
        let text = |metric| self.record.metric(ID, metric).and_then(|v| v.as_str());
        text("rounded_to").or_else(|| text("other_dtype")).unwrap_or("")
    }

    pub(crate) fn has_changed(&self) -> bool {
        matches!(self.fate, Fate::LowRank(_) | Fate::Moved)
    }
}

fn fate(record: &WeightRecord, lines: Lines) -> Fate {
    let number = |metric| record.number(ID, metric);
    let Some(relative) = number("relative_l2") else {
        // Not finite, or out of nothing.
        return if number("l2_distance") == Some(0.0) { Fate::Same } else { Fate::Moved };
    };
    let other = record.metric(ID, "other_dtype").and_then(|v| v.as_str()).unwrap_or("");
    let unchanged = number("changed_fraction") == Some(0.0);
    if relative == 0.0 && other == record.dtype {
        return Fate::Same;
    }
    if number("changed_beyond_rounding") == Some(0.0) {
        return Fate::Recast;
    }
    if unchanged && (other != record.dtype) {
        // A wider type loses nothing: what differs is what rounding BASE once took, or a change that is smaller.
        let roundoff = |name: &str| name.parse().ok().and_then(DType::unit_roundoff).unwrap_or(0.0);
        let widened = roundoff(&record.dtype) > roundoff(other);
        let is_rounding = relative >= lines.rounding * roundoff(&record.dtype);
        if !widened || relative == 0.0 || is_rounding || record.parameters < FEW {
            return Fate::Recast;
        }
    }
    let [out, input] = record.matrix.unwrap_or_default();
    let (rank, gap, decay) =
        (number("delta_rank_above_rounding"), number("delta_rank_gap"), number("delta_rank_decay"));
    let touched = number("delta_rows").unwrap_or(0.0).min(number("delta_columns").unwrap_or(0.0));
    match (rank, gap, decay) {
        // A few rows or columns have low rank for being few.
        (Some(rank), Some(gap), Some(decay))
            if gap >= lines.gap * decay
                && rank <= lines.share * out.min(input) as f64
                && rank < touched
                && record.block.is_some() =>
        {
            Fate::LowRank(rank as u64)
        }
        _ => Fate::Moved,
    }
}

/// Fewer values than this have no typical rounding error.
const FEW: u64 = 1024;

/// Relative L2 of a group: the root mean square over its values' weights, that is `sqrt(sum n r^2 / sum n)` with n the
/// number of values of a weight and r its relative L2. `None` when nothing in it has one.
pub(crate) fn relative_of<'a>(pairs: impl Iterator<Item = &'a Pair<'a>>) -> Option<f64> {
    let (mut squares, mut values) = (0.0, 0.0);
    for pair in pairs {
        if let Some(relative) = pair.relative() {
            let count = pair.record.parameters as f64;
            squares += count * relative * relative;
            values += count;
        }
    }
    (values > 0.0).then(|| (squares / values).sqrt())
}

/// Groups in the order of their first weights, with how far each moved.
pub(crate) fn grouped<'a, K: std::hash::Hash + Eq>(
    pairs: &'a [Pair<'a>],
    key: impl Fn(&WeightRecord) -> Option<K>,
) -> IndexMap<K, f64> {
    let mut groups: IndexMap<K, Vec<&Pair<'_>>> = IndexMap::new();
    for pair in pairs {
        if let Some(key) = key(pair.record) {
            groups.entry(key).or_default().push(pair);
        }
    }
    let moved =
        |(key, members): (K, Vec<&'a Pair<'a>>)| Some((key, relative_of(members.into_iter())?));
    groups.into_iter().filter_map(moved).collect()
}

/// The role in words, with its tower where the model has several.
pub(crate) fn role_of(record: &WeightRecord, towers: bool) -> String {
    match record.stack.filter(|_| towers) {
        Some(stack) => format!("{stack} {}", record.role),
        None => record.role.name().to_owned(),
    }
}

/// Whether weights belong to more than one tower.
pub(crate) fn has_towers(report: &Report) -> bool {
    let mut stacks = report.weights.iter().filter(|w| w.block.is_some()).map(|w| w.stack);
    let first: Option<Option<Stack>> = stacks.next();
    stacks.any(|stack| Some(stack) != first)
}

/// How far attention moved, and MLPs.
pub(crate) fn by_category(pairs: &[Pair<'_>], category: Category) -> Option<f64> {
    let members = pairs.iter().filter(|pair| pair.record.role.category() == category);
    let members: Vec<Pair<'_>> = members.copied().collect();
    relative_of(members.iter())
}
