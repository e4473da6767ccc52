//! The naming of shards: `model-00001-of-00003.safetensors`.

use std::collections::{BTreeMap, BTreeSet};

use weightscope_core::ErrorScope;

use crate::log::ErrorLog;

/// Larger totals are not taken for a numbering.
const MOST_SHARDS: u64 = 100_000;

/// What a name says of its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Set<'a> {
    prefix: &'a str,
    /// As spelled: one published model counts to `000163`.
    total: &'a str,
    /// Digits of the number.
    width: usize,
    count: u64,
}

/// The set and the number of a shard name.
fn parse(name: &str) -> Option<(Set<'_>, u64)> {
    let (rest, total) = name.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
    let (prefix, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(total) || !digits(number) {
        return None;
    }
    let (count, at) = (total.parse().ok()?, number.parse().ok()?);
    let valid = count <= MOST_SHARDS && (1..=count).contains(&at);
    valid.then_some((Set { prefix, total, width: number.len(), count }, at))
}

/// Reports the numbers that sets among `names` lack.
pub(crate) fn report_missing(names: &[&str], log: &mut ErrorLog) {
    let mut sets: BTreeMap<Set<'_>, BTreeSet<u64>> = BTreeMap::new();
    for (set, number) in names.iter().filter_map(|name| parse(name)) {
        sets.entry(set).or_default().insert(number);
    }
    for (set, numbers) in sets {
        let Set { prefix, total, width, count } = set;
        for number in (1..=count).filter(|number| !numbers.contains(number)) {
            let name = format!("{prefix}-{number:0width$}-of-{total}.safetensors");
            log.add(ErrorScope::Shard, &name, "missing-shard", || {
                format!("the file is not there; {} of {count} shards are", numbers.len())
            });
        }
    }
}

/// Files that are named like members of the same sets as the listed ones, but are not listed.
///
/// Other weights in the folder (adapters, another format's consolidated file, a variant with its own
/// prefix or total) are no members.
pub(crate) fn unlisted<'a>(
    names: &'a BTreeSet<String>,
    listed: &BTreeMap<String, u64>,
) -> Vec<&'a str> {
    let sets: BTreeSet<_> = listed.keys().filter_map(|name| Some(parse(name)?.0)).collect();
    names
        .iter()
        .map(String::as_str)
        .filter(|name| !listed.contains_key(*name))
        .filter(|name| parse(name).is_some_and(|(set, _)| sets.contains(&set)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_shards() {
        let (set, number) = parse("model-00002-of-000163.safetensors").unwrap();
        assert_eq!((set.prefix, set.count, set.width, number), ("model", 163, 5, 2));
        for name in [
            "model.safetensors",
            "model-00000-of-00002.safetensors",
            "model-00003-of-00002.safetensors",
            "model-00001-of-99999999999999999999.safetensors",
            "model-00001-of-999999999.safetensors",
            "model-0000a-of-00002.safetensors",
            "model--of-.safetensors",
            "model-00001-of-00002.bin",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_huge_claimed_set_stays_bounded() {
        let mut log = ErrorLog::default();
        report_missing(&["model-1-of-100000.safetensors"], &mut log);
        let records = log.finish();
        assert_eq!(records.len(), 21);
        assert_eq!(records.last().unwrap().name, "and 99979 more");
    }
}
