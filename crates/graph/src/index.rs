//! Which family a checkpoint is of, and which row of its table each template is.

use std::collections::{BTreeMap, HashMap};

use weightscope_core::{Part, Role, Stack};

use crate::config::Config;
use crate::families;
use crate::family::{Family, Row};
use crate::name::Names;
use crate::side::{self, Side};

/// One tensor of a family's table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Its module.
    pub(crate) row: &'static Row,
    /// Which of the module's tensors.
    pub(crate) part: Part,
    /// The same for all spellings of one tensor; dense.
    pub(crate) id: usize,
}

/// What a template is in a family.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The tensor of the table it is, or belongs to.
    pub(crate) slot: Slot,
    /// Whether it is that tensor itself.
    pub(crate) relation: Relation,
    /// Bytes of the template before the pattern.
    pub(crate) prefix: usize,
}

/// How a tensor relates to the one in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It is that tensor.
    Itself,
    /// Scales, zero points or packed values of it.
    Side(Side),
    /// A low-rank adapter of it.
    Adapter(Role),
}

/// A family's table by template.
#[derive(Debug)]
struct Index {
    family: &'static Family,
    slots: HashMap<String, Slot>,
}

/// The family of a checkpoint and what it says of the templates.
#[derive(Debug, Default)]
pub(crate) struct Model {
    index: Option<Index>,
    /// One for each of [`Names::templates`].
    pub(crate) resolved: Vec<Option<Resolved>>,
    /// What stands before the family's patterns in this checkpoint, tower by tower.
    prefixes: BTreeMap<Option<Stack>, String>,
}

impl Model {
    /// The family; `None` when no table fits.
    pub(crate) fn family(&self) -> Option<&'static Family> {
        self.index.as_ref().map(|index| index.family)
    }

    /// What stands before the patterns of a tower, or of all where it has none of its own.
    pub(crate) fn prefix(&self, stack: Option<Stack>) -> &str {
        let most = || self.prefixes.values().next();
        self.prefixes.get(&stack).or_else(most).map_or("", String::as_str)
    }

    /// The tensor with this pattern.
    pub(crate) fn slot(&self, pattern: &str) -> Option<Slot> {
        self.index.as_ref()?.slots.get(pattern).copied()
    }
}

/// Names longer than this are in no table.
const MAX_NAME: usize = 1024;

impl Index {
    fn new(family: &'static Family) -> Self {
        let mut slots = HashMap::new();
        for (number, row) in family.rows().enumerate() {
            for (end, part) in row.tensors() {
                let id = 2 * number + usize::from(*part == Part::Bias);
                slots.insert(format!("{}{end}", row.pattern), Slot { row, part: *part, id });
            }
        }
        Self { family, slots }
    }

    fn resolve(&self, template: &str) -> Option<Resolved> {
        if template.len() > MAX_NAME {
            return None;
        }
        self.family.prefixes.iter().find_map(|prefix| {
            let name = template.strip_prefix(prefix)?;
            let (slot, relation) =
                self.lookup(name).or_else(|| self.lookup(&with_counts(name)?))?;
            Some(Resolved { slot, relation, prefix: prefix.len() })
        })
    }

    fn lookup(&self, name: &str) -> Option<(Slot, Relation)> {
        if let Some(slot) = self.slots.get(name) {
            return Some((*slot, Relation::Itself));
        }
        let belongs_to = |module: &str| {
            let weight = || self.slots.get(&format!("{module}.weight"));
            self.slots.get(module).or_else(weight).copied()
        };
        if let Some((module, role)) = side::adapter(name) {
            return Some((belongs_to(module)?, Relation::Adapter(role)));
        }
        let (module, side) = side::side(name)?;
        Some((belongs_to(module)?, Relation::Side(side)))
    }
}

/// Modules whose members are not counted: each number is a layer of another kind.
const SEQUENCES: &[&str] = &["net", "to_out"];

/// The name with `{n}` for each number that counts modules; `None` when there is none.
fn with_counts(name: &str) -> Option<String> {
    let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mut counted = String::with_capacity(name.len());
    let mut before = "";
    let mut any = false;
    for segment in name.split('.') {
        if !counted.is_empty() {
            counted.push('.');
        }
        let counts = is_number(segment) && !SEQUENCES.contains(&before);
        counted.push_str(if counts { "{n}" } else { segment });
        any |= counts;
        before = segment;
    }
    any.then_some(counted)
}

/// Finds the family whose table knows most of the names. It is recognised by its telltale names, or because
/// config.json names it and anything fits.
pub(crate) fn detect(names: &Names, config: Config<'_>) -> Model {
    let mut best: Option<((usize, bool), Model)> = None;
    for family in families::ALL {
        let index = Index::new(family);
        let resolved: Vec<_> = names.templates.iter().map(|t| index.resolve(&t.text)).collect();
        let known: usize = std::iter::zip(&names.templates, &resolved)
            .filter(|(_, resolved)| resolved.is_some())
            .map(|(template, _)| template.count)
            .sum();
        let claimed = config.model_type().is_some_and(|name| family.model_types.contains(&name));
        let telltales: Vec<usize> =
            family.telltales.iter().filter_map(|t| index.slots.get(*t)).map(|s| s.id).collect();
        let told = resolved.iter().flatten().any(|r| telltales.contains(&r.slot.id));
        let rank = (known, claimed);
        if known > 0 && (claimed || told) && best.as_ref().is_none_or(|(r, _)| rank > *r) {
            let prefixes = usual_prefixes(names, &resolved, family);
            let model = Model { index: Some(index), resolved, prefixes };
            best = Some((rank, model));
        }
    }
    best.map_or_else(
        || Model { resolved: vec![None; names.templates.len()], ..Model::default() },
        |(_, model)| model,
    )
}

/// The usual prefix of each tower's body.
fn usual_prefixes(
    names: &Names,
    resolved: &[Option<Resolved>],
    family: &Family,
) -> BTreeMap<Option<Stack>, String> {
    let mut counts: BTreeMap<(Option<Stack>, &str), usize> = BTreeMap::new();
    for (template, resolved) in std::iter::zip(&names.templates, resolved) {
        let Some(resolved) = resolved.as_ref().filter(|r| !r.slot.row.outside) else { continue };
        let prefix = template.text.get(..resolved.prefix).unwrap_or_default();
        let stack = family.stack_of(resolved.slot.row.pattern);
        *counts.entry((stack, prefix)).or_default() += template.count;
    }
    let mut usual: BTreeMap<Option<Stack>, (usize, &str)> = BTreeMap::new();
    for ((stack, prefix), count) in counts {
        let best = usual.entry(stack).or_insert((0, ""));
        *best = (*best).max((count, prefix));
    }
    usual.into_iter().map(|(stack, (_, prefix))| (stack, prefix.to_owned())).collect()
}
