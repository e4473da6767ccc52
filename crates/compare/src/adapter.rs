//! A change of low rank as PEFT's `LoraConfig`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use indexmap::IndexMap;

/// A module and the rank that its adapter needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The module's name, without `.weight`.
    pub(crate) module: String,
    pub(crate) rank: u64,
}

/// The module that a weight belongs to.
pub(crate) fn module_of(weight: &str) -> &str {
    let tensor = weight.split('#').next().unwrap_or(weight);
    tensor.strip_suffix(".weight").unwrap_or(tensor)
}

/// A `LoraConfig` in words that Python reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoraConfig {
    pub(crate) rank: u64,
    /// Ends of module names that PEFT matches; whole names where an end would match too much.
    pub(crate) target_modules: Vec<String>,
    /// Ranks other than `rank`, by the same ends.
    pub(crate) rank_pattern: Vec<(String, u64)>,
    /// Whether weights are stored `[in, out]`.
    pub(crate) fan_in_fan_out: bool,
}

impl LoraConfig {
    /// For `targets`, out of all modules of the model; `None` without targets. `whole`: by whole names alone.
    pub(crate) fn of(
        targets: &[Target],
        modules: &BTreeSet<String>,
        whole: bool,
        transposed: bool,
    ) -> Option<Self> {
        let names: BTreeSet<&str> = targets.iter().map(|t| t.module.as_str()).collect();
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for target in targets {
            *counts.entry(target.rank).or_default() += 1;
        }
        // The commonest; of several the smallest.
        let rank =
            counts.iter().max_by_key(|(rank, count)| (**count, std::cmp::Reverse(**rank)))?;
        let rank = *rank.0;
        let named = |names: &BTreeSet<&str>| {
            if whole {
                names.iter().map(|name| (*name).to_owned()).collect()
            } else {
                endings(names, modules)
            }
        };
        let mut config = Self {
            rank,
            target_modules: named(&names),
            rank_pattern: Vec::new(),
            fan_in_fan_out: transposed,
        };
        for other in counts.into_keys().filter(|other| *other != rank) {
            let members = targets.iter().filter(|t| t.rank == other).map(|t| t.module.as_str());
            let ends: Vec<String> = named(&members.collect());
            config.rank_pattern.extend(ends.into_iter().map(|end| (end, other)));
        }
        config.rank_pattern.sort();
        Some(config)
    }
}

impl std::fmt::Display for LoraConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LoraConfig(r={}, target_modules={}", self.rank, list(&self.target_modules))?;
        if !self.rank_pattern.is_empty() {
            let mut pattern = String::new();
            for (module, rank) in &self.rank_pattern {
                let comma = if pattern.is_empty() { "" } else { ", " };
                let _ = write!(pattern, "{comma}{}: {rank}", quoted(module));
            }
            write!(f, ", rank_pattern={{{pattern}}}")?;
        }
        f.write_str(if self.fan_in_fan_out { ", fan_in_fan_out=True)" } else { ")" })
    }
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    format!("[{}]", names.join(", "))
}

/// A string literal of Python: names come from files.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.escape_default())
}

/// The shortest ends of names that match all of `wanted` and nothing else of `modules`; whole names where there is no
/// such end.
fn endings(wanted: &BTreeSet<&str>, modules: &BTreeSet<String>) -> Vec<String> {
    let mut kinds: IndexMap<String, Vec<&str>> = IndexMap::new();
    for name in wanted {
        kinds.entry(after_number(name)).or_default().push(name);
    }
    let mut found: Vec<String> = Vec::new();
    for (kind, members) in kinds {
        let words: Vec<&str> = kind.split('.').collect();
        let end =
            (1..=words.len()).filter_map(|count| Some(words.get(words.len() - count..)?.join(".")));
        let fits = |end: &String| {
            modules.iter().filter(|m| ends_with(m, end)).all(|m| wanted.contains(m.as_str()))
        };
        match end.into_iter().find(fits) {
            Some(end) => found.push(end),
            None => found.extend(members.into_iter().map(str::to_owned)),
        }
    }
    found.sort();
    found.dedup();
    found
}

/// How PEFT matches a target: the whole name, or its last words.
fn ends_with(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What follows the last number of a name.
fn after_number(name: &str) -> String {
    let is_number = |word: &&str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit());
    let words: Vec<&str> = name.split('.').collect();
    let start = words.iter().rposition(is_number).map_or(0, |place| place + 1);
    let rest = words.get(start..).unwrap_or_default();
    if rest.is_empty() { name.to_owned() } else { rest.join(".") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> BTreeSet<String> {
        let kinds = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];
        (0..3).flat_map(|block| kinds.map(|kind| format!("h.{block}.{kind}"))).collect()
    }

    fn config(targets: &[(&str, u64)]) -> String {
        let target =
            |(module, rank): &(&str, u64)| Target { module: (*module).to_owned(), rank: *rank };
        let targets: Vec<Target> = targets.iter().map(target).collect();
        LoraConfig::of(&targets, &modules(), false, false).unwrap().to_string()
    }

    #[test]
    fn one_kind_of_module() {
        let all = [("h.0.attn.c_attn", 4), ("h.1.attn.c_attn", 4), ("h.2.attn.c_attn", 4)];
        assert_eq!(config(&all), r#"LoraConfig(r=4, target_modules=["c_attn"])"#);
        let attention = [("h.0.attn.c_proj", 4), ("h.1.attn.c_proj", 4), ("h.2.attn.c_proj", 4)];
        assert_eq!(config(&attention), r#"LoraConfig(r=4, target_modules=["attn.c_proj"])"#);
    }

    #[test]
    fn some_blocks_go_by_whole_names() {
        let some = [("h.0.attn.c_attn", 4), ("h.2.attn.c_attn", 4)];
        let text = r#"LoraConfig(r=4, target_modules=["h.0.attn.c_attn", "h.2.attn.c_attn"])"#;
        assert_eq!(config(&some), text);
    }

    #[test]
    fn other_ranks_have_a_pattern() {
        let mixed = [
            ("h.0.attn.c_attn", 4),
            ("h.1.attn.c_attn", 8),
            ("h.2.attn.c_attn", 4),
            ("h.0.mlp.c_fc", 16),
            ("h.1.mlp.c_fc", 16),
            ("h.2.mlp.c_fc", 16),
        ];
        let text = r#"LoraConfig(r=16, target_modules=["c_attn", "c_fc"], rank_pattern={"h.0.attn.c_attn": 4, "h.1.attn.c_attn": 8, "h.2.attn.c_attn": 4})"#;
        assert_eq!(config(&mixed), text);
    }
}
