//! How far groups of weights moved.

use indexmap::IndexMap;
use weightscope_core::{
    Category, DType, Kind, Parameters, Report, Role, Stack, WeightRecord, WeightStatus,
};

use crate::ID;
use crate::parameters::STEPS;

/// What became of one weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The same values in the same type.
    Same,
    /// Another type, and no more difference than its rounding.
    Recast,
    /// A conversion explains the difference.
    Converted(Conversion),
    /// The change has this exact rank above the rounding.
    LowRank(u64),
    /// A matrix that has nothing to do with BASE's: no training leads so far.
    Replaced,
    /// So few values that no training did it.
    Edited(u64),
    /// Values that are not finite, where BASE has none.
    Broken,
    /// Anything else, or more.
    Moved,
}

/// What a conversion did, as far as judging tells kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conversion {
    Permuted,
    Transposed,
    Scaled,
    Shifted,
    /// Values that are zero now, the others as they were.
    Zeroed,
    /// One value everywhere.
    Constant,
    /// Rounded to a few values and stored as before, or through F16 and back.
    Rounded,
}

impl Conversion {
    /// By its name among the metrics.
    fn named(name: &str) -> Option<Self> {
        match name {
            "shifted" => Some(Self::Shifted),
            "scaled-and-shifted" => Some(Self::Scaled),
            "zeroed" => Some(Self::Zeroed),
            "constant" => Some(Self::Constant),
            "f16-flushed" => Some(Self::Rounded),
            _ if name.starts_with("rounded") => Some(Self::Rounded),
            _ if name.starts_with("transposed") => Some(Self::Transposed),
            _ if name.ends_with("permuted") => Some(Self::Permuted),
            _ if name.ends_with("scaled") => Some(Self::Scaled),
            _ => None,
        }
    }
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
    /// Multiple of the rounding of quantised forms that is still rounding.
    pub(crate) steps: f64,
    /// Cosine below which two matrices have nothing in common.
    pub(crate) unrelated: f64,
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

    /// A metric in words.
    pub(crate) fn text(&self, metric: &str) -> &'a str {
        text(self.record, metric)
    }

    /// How TUNED's is stored; the narrower type that its values need, where they do.
    pub(crate) fn other_type(&self) -> &'a str {
        ["rounded_to", "other_stored", "other_dtype"]
            .map(|metric| self.text(metric))
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or("")
    }

    /// Whether the steps of a quantised form are what it differs by.
    pub(crate) fn is_quantised(&self) -> bool {
        self.fate == Fate::Recast && has_steps(self.record)
    }

    /// Whether rounding one source to two formats is what it differs by.
    pub(crate) fn has_common_source(&self) -> bool {
        self.fate == Fate::Recast && self.number("beyond_storage") == Some(0.0)
    }

    pub(crate) fn has_changed(&self) -> bool {
        matches!(self.fate, Fate::LowRank(_) | Fate::Moved | Fate::Replaced)
    }
}

/// Whether rounding, quantising or another conversion explains a pair that differs.
pub(crate) fn is_explained(record: &WeightRecord, parameters: &Parameters) -> bool {
    is_quantised(record, parameters.value(ID, &STEPS))
        || record.number(ID, "beyond_storage") == Some(0.0)
        || record.metric(ID, "conversion").is_some_and(|kind| kind.as_str().is_some())
}

/// Rounding errors of a form, relative to the weight, below which a form is fine enough that nobody trades the error of
/// one value for another's; and the multiple of them that rounding to nearest may make.
const FINE: f64 = 0.04;
const NEAREST: f64 = 1.3;

/// Whether the steps of a quantised form explain a difference. `most`: multiple of the rounding that they are expected
/// to make.
fn is_quantised(record: &WeightRecord, most: f64) -> bool {
    let number = |metric| record.number(ID, metric);
    let most = if number("storage_floor").is_some_and(|floor| floor < FINE) {
        most.min(NEAREST)
    } else {
        most
    };
    has_steps(record) && number("above_storage").is_some_and(|above| above <= most)
}

/// Whether one of the two is stored as codes with factors.
fn has_steps(record: &WeightRecord) -> bool {
    record.stored.is_some() || text(record, "other_stored") != text(record, "other_dtype")
}

/// A metric in words.
pub(crate) fn text<'a>(record: &'a WeightRecord, metric: &str) -> &'a str {
    record.metric(ID, metric).and_then(|value| value.as_str()).unwrap_or("")
}

fn fate(record: &WeightRecord, lines: Lines) -> Fate {
    let number = |metric| record.number(ID, metric);
    if text(record, "conversion") == "constant" {
        return Fate::Converted(Conversion::Constant);
    }
    if number("not_finite").is_some_and(|count| count > 0.0)
        && number("base_not_finite") == Some(0.0)
    {
        return Fate::Broken;
    }
    let Some(relative) = number("relative_l2") else {
        // Not finite, or out of nothing.
        return if number("l2_distance") == Some(0.0) { Fate::Same } else { Fate::Moved };
    };
    let other = text(record, "other_dtype");
    let stored = text(record, "other_stored");
    let unchanged = number("changed_fraction") == Some(0.0);
    if relative == 0.0
        && other == record.dtype
        && (stored.is_empty() || *stored == record.stored_type())
    {
        return Fate::Same;
    }
    // What rounding to BASE's narrower type could hide, and is too little for it, is a small change.
    let is_less = bits_of(other) > bits_of(&record.dtype)
        && record.parameters >= FEW_ROUNDINGS
        && number("above_storage").is_some_and(|above| above < LESS);
    if number("changed_beyond_rounding") == Some(0.0)
        || number("beyond_storage") == Some(0.0) && !is_less
        || is_quantised(record, lines.steps)
    {
        return Fate::Recast;
    }
    if is_less {
        return Fate::Moved;
    }
    if let Some(conversion) = Conversion::named(text(record, "conversion")) {
        return Fate::Converted(conversion);
    }
    if unchanged && (other != record.dtype || relative == 0.0) {
        // A wider type loses nothing: what differs is what rounding BASE once took, or a change that is smaller.
        let dtype = |name: &str| name.parse::<DType>().ok();
        let roundoff = |name| dtype(name).and_then(DType::unit_roundoff).unwrap_or(0.0);
        let bits = |name| dtype(name).map_or(0, DType::bits);
        let widened =
            roundoff(&record.dtype) > roundoff(other) && bits(other) > bits(&record.dtype);
        let is_rounding = relative >= lines.rounding * roundoff(&record.dtype);
        if !widened || relative == 0.0 || is_rounding || record.parameters < FEW_ROUNDINGS {
            return Fate::Recast;
        }
    }
    let changed = number("changed_fraction").unwrap_or(0.0) * record.parameters as f64;
    if (1.0..=FEW_VALUES).contains(&changed.round()) && record.parameters >= FEW {
        return Fate::Edited(changed.round() as u64);
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
        _ if is_replaced(record, lines.unrelated) => Fate::Replaced,
        _ => Fate::Moved,
    }
}

/// Whether a matrix is so far from BASE's that no training led there. Adapters start at zero and at noise.
fn is_replaced(record: &WeightRecord, unrelated: f64) -> bool {
    let number = |metric| record.number(ID, metric);
    let is_table = matches!(record.kind(), Kind::Embedding | Kind::Head);
    let tells = (record.kind() == Kind::Matrix || is_table)
        && record.parameters >= FEW
        && !matches!(record.role, Role::AdapterA | Role::AdapterB);
    tells
        && (number("relative_l2").is_some_and(|relative| relative > 1.0)
            || number("cosine_similarity").is_some_and(|cosine| cosine.abs() < unrelated))
}

fn bits_of(dtype: &str) -> u32 {
    dtype.parse::<DType>().map_or(0, DType::bits)
}

/// Multiple of the rounding to be expected below which a difference is none of it, and fewest values that tell.
const LESS: f64 = 0.5;
const FEW_ROUNDINGS: u64 = 64;
/// Most values that are said one by one to differ.
const FEW_VALUES: f64 = 16.0;
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
