//! Names of weights as people read them: shortened without losing their block, folded into ranges of blocks.

use indexmap::IndexMap;

use crate::page::{shortened, width};

/// Most ranges of one name that are told apart.
const RANGES: usize = 6;

/// `name` in at most `room` columns. Between its dots, words go first and numbers last: a number says which block it is.
pub(crate) fn short_name(name: &str, room: usize) -> String {
    if width(name) <= room {
        return name.to_owned();
    }
    let parts: Vec<&str> = name.split('.').collect();
    let mut kept = vec![true; parts.len()];
    let last = parts.len().saturating_sub(1);
    let has_digits = |part: &str| part.bytes().any(|b| b.is_ascii_digit());
    let droppable = |wanted: bool| {
        let words = parts.iter().enumerate().take(last);
        words.filter(move |(_, part)| !is_number(part) && has_digits(part) == wanted)
    };
    for (index, _) in droppable(false).chain(droppable(true)) {
        if let Some(keep) = kept.get_mut(index) {
            *keep = false;
        }
        let text = joined(&parts, &kept);
        if width(&text) <= room {
            return text;
        }
    }
    shortened(&joined(&parts, &kept), room)
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
}

/// What is kept, with one ellipsis for each run that is not.
fn joined(parts: &[&str], kept: &[bool]) -> String {
    let mut text = String::new();
    let mut gap = false;
    for (part, keep) in parts.iter().zip(kept) {
        if !keep {
            gap = true;
            continue;
        }
        if gap {
            text.push('…');
        } else if !text.is_empty() {
            text.push('.');
        }
        gap = false;
        text.push_str(part);
    }
    text
}

/// Names that differ in nothing but the number of their block, or also in that of their expert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fold {
    /// `model.layers.{0-7}.mlp.up_proj.weight`; a name alone is itself.
    pub(crate) name: String,
    /// Places of the names in it.
    pub(crate) members: Vec<usize>,
}

/// Folds `names`, in the order in which they come first.
pub(crate) fn folded(names: &[&str]) -> Vec<Fold> {
    let alone =
        |(place, name): (usize, &&str)| Fold { name: (*name).to_owned(), members: vec![place] };
    let folds: Vec<Fold> = names.iter().enumerate().map(alone).collect();
    (0..2).fold(folds, fold_at)
}

/// Names that have in common what stands before and after a number.
type Group = Vec<(Option<u64>, Fold)>;

/// Folds what differs in its `nth` number alone.
fn fold_at(folds: Vec<Fold>, nth: usize) -> Vec<Fold> {
    let mut groups: IndexMap<(String, String), Group> = IndexMap::new();
    for fold in folds {
        let (key, number) = match split_at_number(&fold.name, nth) {
            Some((before, number, after)) => ((before, after), Some(number)),
            None => ((fold.name.clone(), String::new()), None),
        };
        groups.entry(key).or_default().push((number, fold));
    }
    groups.into_iter().map(|((before, after), group)| whole(&before, &after, group)).collect()
}

fn whole(before: &str, after: &str, group: Group) -> Fold {
    let mut numbers: Vec<u64> = group.iter().filter_map(|(number, _)| *number).collect();
    let members: Vec<usize> = group.iter().flat_map(|(_, fold)| fold.members.clone()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let name = match group.into_iter().next() {
        Some((_, first)) if numbers.len() < 2 => first.name,
        _ => format!("{before}{{{}}}{after}", ranges(&numbers)),
    };
    Fold { name, members }
}

/// What stands before and after the `nth` number of a name, ranges included in the count, and the number.
fn split_at_number(name: &str, nth: usize) -> Option<(String, u64, String)> {
    let parts: Vec<&str> = name.split('.').collect();
    let mut places = parts.iter().enumerate().filter(|(_, p)| is_number(p) || p.starts_with('{'));
    let (place, part) = places.nth(nth)?;
    let number = part.parse().ok()?;
    let (before, rest) = parts.split_at_checked(place)?;
    let before: String = before.iter().flat_map(|part| [part, "."]).collect();
    let after: String = rest.iter().skip(1).flat_map(|part| [".", part]).collect();
    Some((before, number, after))
}

/// `0-3,5,7-9` of ascending numbers; of many ranges the first and the last.
fn ranges(numbers: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = number,
            _ => runs.push((number, number)),
        }
    }
    let run = |&(from, to): &(u64, u64)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    };
    let mut texts: Vec<String> = runs.iter().map(run).collect();
    if texts.len() > RANGES {
        let last = texts.pop();
        texts.truncate(RANGES - 2);
        texts.extend(std::iter::once("…".to_owned()).chain(last));
    }
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_keeps_its_block() {
        let name = "model.language_model.layers.11.self_attn.q_proj.weight";
        let cases = [
            (54, name),
            (50, "…language_model.layers.11.self_attn.q_proj.weight"),
            (47, "…layers.11.self_attn.q_proj.weight"),
            (30, "…11.self_attn.q_proj.weight"),
            (20, "…11…q_proj.weight"),
            (12, "…11…weight"),
        ];
        for (room, short) in cases {
            assert_eq!(short_name(name, room), short);
        }
        assert_eq!(short_name("layer1.0.conv_with_a_name.weight", 16), "layer1.0…weight");
        assert!(width(&short_name("a_word_without_any_dots_at_all", 10)) <= 10);
    }

    #[test]
    fn blocks_and_experts_are_folded() {
        let mut names: Vec<String> =
            [0, 1, 2, 3, 5].iter().map(|b| format!("h.{b}.mlp.up.weight")).collect();
        names.push("wte.weight".to_owned());
        for block in 0..2 {
            names.extend((0..3).map(|e| format!("h.{block}.experts.{e}.w1.weight")));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let folds: Vec<_> =
            folded(&names).into_iter().map(|fold| (fold.name, fold.members.len())).collect();
        let expected = [
            ("h.{0-3,5}.mlp.up.weight", 5),
            ("wte.weight", 1),
            ("h.{0,1}.experts.{0-2}.w1.weight", 6),
        ];
        assert_eq!(folds, expected.map(|(name, count)| (name.to_owned(), count)));
        assert_eq!(folded(&["a.7.b", "a.8.c"]).len(), 2);
    }

    #[test]
    fn many_ranges_are_cut() {
        let odd: Vec<u64> = (0..20).map(|i| 2 * i + 1).collect();
        assert_eq!(ranges(&odd), "1,3,5,7,…,39");
        assert_eq!(ranges(&[1, 2, 4, 5, 6, u64::MAX]), format!("1,2,4-6,{}", u64::MAX));
    }
}
