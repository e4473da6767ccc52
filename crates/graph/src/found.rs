//! What each stored tensor is: the table's word where a family knows it, else a guess from its name.

use std::collections::BTreeSet;

use weightscope_core::{DType, Part, Role, Stack, TensorEntry};

use crate::family::{Dim, Fused, Shape, Storage};
use crate::generic::{self, Guess};
use crate::index::{Model, Relation, Resolved, Slot};
use crate::name::Names;
use crate::side;

/// What is known of a stored tensor before its orientation.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) role: Role,
    pub(crate) part: Part,
    pub(crate) stack: Option<Stack>,
    pub(crate) block: Option<u32>,
    pub(crate) expert: Option<u32>,
    /// The shape the family's table gives it.
    pub(crate) shape: Shape,
    /// How its matrix is stored by habit.
    pub(crate) storage: Storage,
    pub(crate) fused: Option<Fused>,
    /// The tensor of the family's table that this is; `None` for anything else.
    pub(crate) slot: Option<Slot>,
    /// Whether a family's table knows what this is or belongs to.
    pub(crate) known: bool,
    /// Whether it stacks experts in its first dimension.
    pub(crate) stacked: bool,
    /// Whether it holds several values per element.
    pub(crate) packed: bool,
}

impl Found {
    /// What a trained copy stands in for: nothing uses it any more.
    fn replaced(self) -> Self {
        Self { part: Part::Buffer, shape: Shape::Any, fused: None, slot: None, ..self }
    }

    /// The two dimensions of the matrix, or of each of the stacked ones, as stored.
    pub(crate) fn stored_matrix(&self, shape: &[u64]) -> Option<[u64; 2]> {
        match (self.packed, self.stacked, shape) {
            (false, false, [a, b]) | (false, true, [_, a, b]) => Some([*a, *b]),
            _ => None,
        }
    }
}

/// One for each entry.
pub(crate) fn find(entries: &[TensorEntry], names: &Names, model: &Model) -> Vec<Found> {
    let guesses: Vec<Guess> =
        names.templates.iter().map(|template| generic::guess(&template.text)).collect();
    std::iter::zip(entries, &names.parsed)
        .map(|(entry, parsed)| {
            let numbers = [parsed.first, parsed.second];
            let resolved = model.resolved.get(parsed.template).and_then(Option::as_ref);
            let found = if let Some(resolved) = resolved {
                let stack = model.family().and_then(|f| f.stack_of(resolved.slot.row.pattern));
                known(entry, resolved, numbers, stack)
            } else {
                let guess = guesses.get(parsed.template).copied().unwrap_or_default();
                // A tower beside the family's own: the eyes of a language model.
                let stack = guess.stack.or_else(|| model.family()?.stack_of(""));
                guessed(entry, guess, numbers, stack)
            };
            if parsed.is_replaced { found.replaced() } else { found }
        })
        .collect()
}

fn known(
    entry: &TensorEntry,
    resolved: &Resolved,
    numbers: [Option<u32>; 2],
    stack: Option<Stack>,
) -> Found {
    let row = resolved.slot.row;
    let [block, expert] = numbers;
    let base = Found {
        role: row.role,
        part: resolved.slot.part,
        stack,
        block: if row.pattern.contains("{b}") { block } else { None },
        expert: if row.pattern.contains("{e}") { expert } else { None },
        shape: Shape::Any,
        storage: row.storage,
        fused: None,
        slot: None,
        known: true,
        stacked: false,
        packed: false,
    };
    match resolved.relation {
        Relation::Itself => {
            let shape = row.shape_of(resolved.slot.part);
            Found {
                shape,
                fused: row.fused,
                slot: Some(resolved.slot),
                stacked: matches!(shape, Shape::Stacked(..)) && entry.shape.len() == 3,
                // Two 4-bit values to a byte keep the name of the weight.
                packed: base.part == Part::Weight
                    && (entry.dtype == Some(DType::U8) || is_bare_codes(entry)),
                ..base
            }
        }
        Relation::Side(side) => Found { part: side.part, packed: side.packed, ..base },
        Relation::Adapter(role) => {
            let part = if entry.name.rsplit('.').next() == Some("bias") {
                Part::Bias
            } else {
                Part::Weight
            };
            Found { role, part, storage: Storage::Linear, ..base }
        }
    }
}

fn guessed(
    entry: &TensorEntry,
    guess: Guess,
    numbers: [Option<u32>; 2],
    stack: Option<Stack>,
) -> Found {
    let [first, second] = numbers;
    let mut part = side::part(&entry.name, entry.shape.len());
    let integers = entry.dtype.is_some_and(|dtype| !dtype.is_float());
    if entry.dtype == Some(DType::Bool)
        || (integers && part.is_parameter() && !side::holds_quantised_weights(&entry.name))
    {
        part = Part::Buffer;
    }
    let (block, expert) = match guess.expert {
        generic::Number::None => (first, None),
        generic::Number::First => (None, first),
        generic::Number::Second => (first, second),
    };
    Found {
        role: guess.role.with_shape(&entry.shape),
        part,
        stack,
        block,
        expert,
        shape: Shape::Any,
        storage: Storage::Linear,
        fused: None,
        slot: None,
        known: false,
        stacked: guess.stacked && part == Part::Weight && entry.shape.len() == 3,
        packed: side::side(&entry.name).is_some_and(|(_, side)| side.packed)
            || is_bare_codes(entry),
    }
}

/// Gate and up together have twice as many outputs as the map behind them has inputs. What a table takes for both and is
/// no wider than that is up alone, of an MLP without a gate.
pub(crate) fn correct_ungated(entries: &[TensorEntry], found: &mut [Found]) {
    let sides = |entry: &TensorEntry, found: &Found| {
        let mut sides = found.stored_matrix(&entry.shape)?;
        sides.sort_unstable();
        Some(sides).filter(|_| found.part == Part::Weight)
    };
    // A block may have several MLPs: what stands behind a map is in the same module.
    let mut downs = BTreeSet::new();
    for (entry, found) in std::iter::zip(entries, &*found) {
        if found.role == Role::MlpDown
            && let Some(sides) = sides(entry, found)
        {
            downs.insert((mlp_of(&entry.name), sides));
        }
    }
    let is_joined = |found: &Found| found.role == Role::MlpGateUp && found.fused.is_some();
    let mut ungated = BTreeSet::new();
    for (entry, found) in std::iter::zip(entries, &*found).filter(|(_, found)| is_joined(found)) {
        let mlp = mlp_of(&entry.name);
        if sides(entry, found).is_some_and(|sides| downs.contains(&(mlp, sides))) {
            ungated.insert(mlp);
        }
    }
    for (entry, found) in std::iter::zip(entries, found).filter(|(_, found)| is_joined(found)) {
        if ungated.contains(mlp_of(&entry.name)) {
            (found.role, found.fused) = (Role::MlpUp, None);
        }
    }
}

/// The module that a map's own module is in.
fn mlp_of(name: &str) -> &str {
    let end = [".weight", ".bias"].iter().find_map(|end| name.strip_suffix(end));
    end.unwrap_or(name).rsplit_once('.').map_or("", |(module, _)| module)
}

/// Whether these are codes without what would tell the shape of the weight.
fn is_bare_codes(entry: &TensorEntry) -> bool {
    let form = entry.stored.as_ref();
    form.is_some_and(|form| form.unreadable.is_some() && form.parts.len() == 1)
}

/// Whether the stored dimensions are as many as the table's.
pub(crate) fn rank_agrees(found: &Found, shape: &[u64]) -> bool {
    match found.shape {
        Shape::Any => true,
        Shape::Vector(_) => shape.len() == 1,
        Shape::Matrix(..) => shape.len() == 2,
        Shape::Stacked(..) => shape.len() == 3,
        Shape::Tensor(dims) => shape.len() == dims.len(),
    }
}

/// The table's dimensions of a matrix, `[out, in]`.
pub(crate) fn table_matrix(found: &Found) -> Option<[Dim; 2]> {
    match found.shape {
        Shape::Matrix(out, input) | Shape::Stacked(out, input) => Some([out, input]),
        Shape::Any | Shape::Vector(_) | Shape::Tensor(_) => None,
    }
}
