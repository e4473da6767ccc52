//! Names as templates with numbers, and the order people expect names in.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use weightscope_core::TensorEntry;

use crate::wrapper::{self, Bare};

/// The numbers of a name and the template that is left without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Index in [`Names::templates`].
    pub(crate) template: usize,
    /// The first number, `{b}` in the template.
    pub(crate) first: Option<u32>,
    /// The expert's number, `{e}` in the template.
    pub(crate) second: Option<u32>,
    /// Whether a trained copy of the module stands beside it.
    pub(crate) is_replaced: bool,
}

/// The names of a checkpoint; few distinct templates stand for many names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Distinct templates in the order of their first use.
    pub(crate) templates: Vec<Template>,
    /// One for each entry.
    pub(crate) parsed: Vec<Parsed>,
    /// Wrappers that were taken off, with the number of names that had them.
    pub(crate) wrappers: BTreeMap<&'static str, u64>,
}

/// A name with `{b}` for its first number, and `{e}` for a second one that counts experts.
#[derive(Debug)]
pub(crate) struct Template {
    /// For example `h.{b}.attn.c_attn.weight`.
    pub(crate) text: String,
    /// How many entries have it.
    pub(crate) count: usize,
}

impl Names {
    /// Reads the names of `entries`, without what wrappers put into them.
    pub(crate) fn parse(entries: &[TensorEntry]) -> Self {
        let mut names = Self::default();
        let mut known: HashMap<String, usize> = HashMap::new();
        for entry in entries {
            let Bare { name, mut wrappers, is_original } = wrapper::bare(&entry.name);
            let (text, [first, second]) = template_of(&name);
            wrappers.sort_unstable();
            wrappers.dedup();
            for wrapper in wrappers {
                *names.wrappers.entry(wrapper).or_default() += 1;
            }
            let template = known.get(&text).copied().unwrap_or_else(|| {
                let next = names.templates.len();
                known.insert(text.clone(), next);
                names.templates.push(Template { text, count: 0 });
                next
            });
            if let Some(template) = names.templates.get_mut(template) {
                template.count += 1;
            }
            names.parsed.push(Parsed { template, first, second, is_replaced: is_original });
        }
        names.find_copies();
        names
    }
}

impl Names {
    /// An original is replaced where its copy is there.
    fn find_copies(&mut self) {
        let place = |parsed: &Parsed| (parsed.template, parsed.first, parsed.second);
        if self.parsed.iter().any(|parsed| parsed.is_replaced) {
            let copies: HashSet<_> =
                self.parsed.iter().filter(|parsed| !parsed.is_replaced).map(place).collect();
            for parsed in &mut self.parsed {
                parsed.is_replaced &= copies.contains(&place(parsed));
            }
        }
    }
}

/// Modules whose members are counted as experts. The last three are of old GGUFs.
const EXPERTS: &[&str] = &["experts", "ffn_gate", "ffn_up", "ffn_down"];

/// What numbers behind segments with these words count are layers of one small network, not blocks.
const UNNUMBERED: &[&str] = &["projector", "merger", "conv_layers", "mid_block"];
/// The same where names begin so.
const UNNUMBERED_START: &str = "mm.";

/// The template of a name and its numbers. Further numbers stay as they are: they tell modules apart
/// (`layer.1`, `mlp.0`) where they do not count experts.
fn template_of(name: &str) -> (String, [Option<u32>; 2]) {
    let mut text = String::with_capacity(name.len() + 4);
    let mut numbers = [None, None];
    let mut before = "";
    let mut is_numbered = !name.starts_with(UNNUMBERED_START);
    for (index, segment) in name.split('.').enumerate() {
        if index > 0 {
            text.push('.');
        }
        match (number(segment), numbers) {
            (Some(n), [None, _]) if is_numbered => {
                numbers = [Some(n), None];
                text.push_str("{b}");
            }
            (Some(n), [first, None]) if EXPERTS.contains(&before) => {
                numbers = [first, Some(n)];
                text.push_str("{e}");
            }
            _ => text.push_str(segment),
        }
        is_numbered &= !UNNUMBERED.iter().any(|word| segment.contains(word));
        before = segment;
    }
    (text, numbers)
}

/// A segment that is a number as programs write one: digits only, no leading zero, in the range of `u32`.
fn number(segment: &str) -> Option<u32> {
    let plain = segment.bytes().all(|b| b.is_ascii_digit())
        && (segment.len() == 1 || !segment.starts_with('0'));
    if plain { segment.parse().ok() } else { None }
}

/// Compares dotted names segment by segment, numbers by value and before words.
pub(crate) fn by_number(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            // Equal as far as numbers go means equal: `number` accepts one spelling of each.
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => match (number(x), number(y)) {
                (Some(m), Some(n)) => m.cmp(&n),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => x.cmp(y),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_keep_what_is_no_number() {
        let check = |name: &str, text: &str, numbers| {
            assert_eq!(template_of(name), (text.to_owned(), numbers), "{name}");
        };
        check("h.3.attn.bias", "h.{b}.attn.bias", [Some(3), None]);
        check("l.3.experts.12.w1.weight", "l.{b}.experts.{e}.w1.weight", [Some(3), Some(12)]);
        check("a.1.2.3", "a.{b}.2.3", [Some(1), None]);
        check("a.1.2.experts.3", "a.{b}.2.experts.{e}", [Some(1), Some(3)]);
        check("blk.3.ffn_up.1.weight", "blk.{b}.ffn_up.{e}.weight", [Some(3), Some(1)]);
        check("mm.2.weight", "mm.2.weight", [None, None]);
        check("model.mm_projector.2.weight", "model.mm_projector.2.weight", [None, None]);
        check("visual.merger.mlp.0.bias", "visual.merger.mlp.0.bias", [None, None]);
        check("mid_block.resnets.1.conv1.bias", "mid_block.resnets.1.conv1.bias", [None, None]);
        check("h.2.projector.0", "h.{b}.projector.0", [Some(2), None]);
        check("h.03.x", "h.03.x", [None, None]);
        check("h.+3.x", "h.+3.x", [None, None]);
        check("h.4294967296.x", "h.4294967296.x", [None, None]);
        check("", "", [None, None]);
        check("..0", "..{b}", [Some(0), None]);
        check("h.\u{0663}.x", "h.\u{0663}.x", [None, None]);
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let mut names = ["e.10.w", "e.9.w", "e.9a.w", "e", "e.1a.w", "d.2", "e.10.v"];
        names.sort_by(|a, b| by_number(a, b));
        assert_eq!(names, ["d.2", "e", "e.9.w", "e.10.v", "e.10.w", "e.1a.w", "e.9a.w"]);
    }
}
