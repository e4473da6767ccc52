//! Which family a checkpoint is of, and which row of its table each template is.

use std::collections::HashMap;

use weightscope_core::{Part, Role};

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
    prefix: usize,
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
    /// What stands before the family's patterns in this checkpoint.
    pub(crate) prefix: String,
}

impl Model {
    /// The family; `None` when no table fits.
    pub(crate) fn family(&self) -> Option<&'static Family> {
        self.index.as_ref().map(|index| index.family)
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
            let (slot, relation) = self.lookup(template.strip_prefix(prefix)?)?;
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
            let prefix = usual_prefix(names, &resolved);
            let model = Model { index: Some(index), resolved, prefix };
            best = Some((rank, model));
        }
    }
    best.map_or_else(
        || Model { resolved: vec![None; names.templates.len()], ..Model::default() },
        |(_, model)| model,
    )
}

/// The usual prefix of the body.
fn usual_prefix(names: &Names, resolved: &[Option<Resolved>]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for (template, resolved) in std::iter::zip(&names.templates, resolved) {
        let Some(resolved) = resolved.as_ref().filter(|r| !r.slot.row.outside) else { continue };
        let prefix = template.text.get(..resolved.prefix).unwrap_or_default();
        match counts.iter_mut().find(|(known, _)| *known == prefix) {
            Some((_, count)) => *count += template.count,
            // There are few prefixes: a family's are a short list.
            None => counts.push((prefix, template.count)),
        }
    }
    let usual = counts.iter().max_by_key(|(prefix, count)| (*count, *prefix));
    usual.map_or_else(String::new, |(prefix, _)| (*prefix).to_owned())
}
